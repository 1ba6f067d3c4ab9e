//! `authorization`.

use super::Report;
use super::app::trimmed;
use crate::deployment::{Authorization, Object, Policy, Relationship, ResourceType};
use crate::path::KeyPath;
use crate::raw::authorization::{
    RawAuthorization, RawMember, RawModel, RawObject, RawPolicy, RawRelation, RawRelationship, RawResourceType,
};
use crate::raw::config::RawAction;
use crate::shape::{did_you_mean, nearest};
use gestalt_core::SubjectRef;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn authorization(report: &mut Report<'_>, raw: RawAuthorization) -> Authorization {
    let at = KeyPath::default().key("authorization");
    let mut policies = BTreeMap::new();
    for (name, raw) in raw.policies.unwrap_or_default() {
        let at = at.key("policies").key(&name);
        report.name(&at, &name);
        let Some(raw) = report.entry(&at, raw, "a policy needs `default`, `members` or both") else { continue };
        policies.insert(name, policy(report, &at, raw));
    }
    let mut resource_types: BTreeMap<String, ResourceType> = BTreeMap::new();
    for (name, raw) in raw.models.unwrap_or_default() {
        let at = at.key("models").key(&name);
        report.name(&at, &name);
        let Some(raw) = report.entry(&at, raw, "a model has `resourceTypes`") else { continue };
        model(report, &at.key("resourceTypes"), raw, &mut resource_types);
    }
    let mut relationships = Vec::new();
    for (i, raw) in raw.relationships.into_iter().flatten().enumerate() {
        relationships.extend(relationship(report, &at.key("relationships").index(i), raw, &resource_types));
    }
    Authorization { policies, resource_types, relationships }
}

fn policy(report: &mut Report<'_>, at: &KeyPath, raw: RawPolicy) -> Policy {
    let mut members = BTreeMap::new();
    for (i, raw) in raw.members.into_iter().flatten().enumerate() {
        let at = at.key("members").index(i);
        let Some((subject, role)) = member(report, &at, raw) else { continue };
        if members.insert(subject, role).is_some() {
            report.problem(&at.key("subjectID"), "is a member of this policy already; a subject has one role");
        }
    }
    Policy { allow_others: matches!(raw.default, Some(RawAction::Allow)), members }
}

fn member(report: &mut Report<'_>, at: &KeyPath, raw: RawMember) -> Option<(SubjectRef, String)> {
    let subject = report.subject(&at.key("subjectID"), raw.subject_id);
    let role = report.needed(&at.key("role"), raw.role, "the role the subject has");
    Some((subject?, role?))
}

/// Adds a fragment to what the fragments before it said.
fn model(report: &mut Report<'_>, at: &KeyPath, raw: RawModel, types: &mut BTreeMap<String, ResourceType>) {
    for (name, raw) in raw.resource_types.unwrap_or_default() {
        let at = at.key(&name);
        report.name(&at, &name);
        let Some(raw) = report.entry(&at, raw, "a resource type has `relations` and `actions`") else { continue };
        resource_type(report, &at, raw, types.entry(name).or_default());
    }
}

fn resource_type(report: &mut Report<'_>, at: &KeyPath, raw: RawResourceType, merged: &mut ResourceType) {
    for (name, raw) in raw.relations.unwrap_or_default() {
        let at = at.key("relations").key(&name);
        report.name(&at, &name);
        let needs = "a relation needs `subjectTypes` or `allowedTargets`";
        let Some(raw) = report.entry(&at, raw, needs) else { continue };
        let subjects = relation(report, &at, raw);
        merged.relations.entry(name).or_default().extend(subjects);
    }
    for (name, raw) in raw.actions.unwrap_or_default() {
        let at = at.key("actions").key(&name);
        report.name(&at, &name);
        let Some(raw) = report.entry(&at, raw, "an action needs `relations`") else { continue };
        let at = at.key("relations");
        let relations = report.numbered(&at, raw.relations);
        for (i, relation) in relations.iter().filter(|(_, r)| !merged.relations.contains_key(r)) {
            let hint = nearest(relation, merged.relations.keys().map(String::as_str)).map(did_you_mean);
            report.hinted(&at.index(*i), "is no relation of this resource type", hint);
        }
        merged.actions.entry(name).or_default().extend(relations.into_iter().map(|(_, relation)| relation));
    }
    merged.allow_additional_relationships |=
        raw.dynamic.and_then(|dynamic| dynamic.allow_additional_relationships).unwrap_or(false);
}

fn relation(report: &mut Report<'_>, at: &KeyPath, raw: RawRelation) -> BTreeSet<String> {
    match (raw.subject_types, raw.allowed_targets) {
        (Some(_), Some(_)) => report.problem(at, "has both `subjectTypes` and `allowedTargets`; write one of them"),
        (Some(types), None) if !types.is_empty() => {
            return report.distinct(&at.key("subjectTypes"), Some(types)).into_iter().collect();
        }
        (None, Some(targets)) if !targets.is_empty() => {
            let at = at.key("allowedTargets");
            let types = targets.into_iter().enumerate().filter_map(|(i, target)| {
                report.needed(&at.index(i).key("subjectType"), target.subject_type, "a type of subject")
            });
            return types.collect();
        }
        _ if report.is_troubled(at) => {}
        _ => report.problem(at, "needs `subjectTypes` or `allowedTargets`: who can have the relation"),
    }
    BTreeSet::new()
}

fn relationship(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawRelationship,
    types: &BTreeMap<String, ResourceType>,
) -> Option<Relationship> {
    let subject = object(report, &at.key("subject"), raw.subject.unwrap_or_default());
    let resource = object(report, &at.key("resource"), raw.resource.unwrap_or_default());
    let relation = report.needed(&at.key("relation"), raw.relation, "a relation of the resource's type");
    let (subject, relation, resource) = (subject?, relation?, resource?);
    let Some(of) = types.get(&resource.kind) else {
        let hint = nearest(&resource.kind, types.keys().map(String::as_str)).map(did_you_mean);
        report.hinted(&at.dotted("resource.type"), "no model has such a resource type", hint);
        return None;
    };
    let Some(allowed) = of.relations.get(&relation) else {
        let hint = nearest(&relation, of.relations.keys().map(String::as_str)).map(did_you_mean);
        report.hinted(&at.key("relation"), "is no relation of the resource's type", hint);
        return None;
    };
    if !allowed.is_empty() && !allowed.contains(&subject.kind) {
        let hint = nearest(&subject.kind, allowed.iter().map(String::as_str)).map(did_you_mean);
        report.hinted(&at.dotted("subject.type"), "cannot have this relation", hint);
        return None;
    }
    let source = raw.source.unwrap_or_default();
    Some(Relationship { subject, relation, resource, source: (trimmed(source.layer), trimmed(source.id)) })
}

fn object(report: &mut Report<'_>, at: &KeyPath, raw: RawObject) -> Option<Object> {
    let kind = report.needed(&at.key("type"), raw.kind, "a type");
    let id = report.needed(&at.key("id"), raw.id, "which one of that type");
    Some(Object { kind: kind?, id: id? })
}
