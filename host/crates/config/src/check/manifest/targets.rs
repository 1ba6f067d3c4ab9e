//! What a manifest says about operations, against those there are.

use crate::check::Report;
use crate::manifest::app::AppSpec;
use crate::path::KeyPath;
use crate::shape::{did_you_mean, nearest};
use gestalt_core::Catalog;
use std::collections::BTreeSet;

/// Where the operations of an app are described.
pub(crate) struct Described<'a> {
    /// The catalog of its code, if there is one.
    pub(crate) catalog: Option<&'a Catalog>,
    /// Whether it has code, which may offer operations that only a catalog would list. Without surfaces it must.
    pub(crate) has_code: bool,
}

/// Operations that are named must exist, as far as it is known which do, and no two may have one id.
pub(crate) fn operations(report: &mut Report<'_>, spec: &AppSpec, described: &Described<'_>) {
    let at = KeyPath::default().key("spec");
    let declared = spec.surfaces.rest.iter().flat_map(|rest| &rest.operations);
    for (i, operation) in declared.clone().enumerate() {
        if described.catalog.is_some_and(|catalog| catalog.find(&operation.name).is_some()) {
            let at = at.dotted("surfaces.rest.operations").index(i).key("name");
            report.problem(&at, "is an operation of `catalog.yaml` too");
        }
    }
    let elsewhere = [
        spec.surfaces.openapi.is_some(),
        spec.surfaces.graphql.is_some(),
        spec.surfaces.mcp.is_some(),
        described.catalog.is_none() && (described.has_code || spec.surfaces.is_empty()),
    ];
    if elsewhere.contains(&true) {
        return;
    }
    let mut known: BTreeSet<&str> = declared.map(|operation| operation.name.as_str()).collect();
    known.extend(described.catalog.iter().flat_map(|c| c.operations()).map(|operation| operation.id.as_str()));
    let mut must_exist = |at: &KeyPath, id: &str, known: &BTreeSet<&str>| {
        if !known.contains(id) {
            let meant = nearest(id, known.iter().copied()).map(did_you_mean);
            report.hinted(at, "there is no such operation", meant);
        }
    };
    for (id, allowed) in spec.allowed_operations.iter().flatten() {
        must_exist(&at.key("allowedOperations").key(id), id, &known);
        if let Some(alias) = &allowed.alias {
            known.insert(alias);
        }
    }
    for (name, binding) in &spec.http {
        must_exist(&at.key("http").key(name).key("target"), &binding.target, &known);
    }
}
