//! `authorization`.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Who may do what.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawAuthorization {
    /// Subject access policies, by name.
    pub(crate) policies: Option<BTreeMap<String, Option<RawPolicy>>>,
    /// Fragments of the authorization model, by name.
    pub(crate) models: Option<BTreeMap<String, Option<RawModel>>>,
    /// Static relationships.
    pub(crate) relationships: Option<Vec<RawRelationship>>,
}

/// A subject access policy.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawPolicy {
    /// For a subject that is no member; `deny` when absent.
    pub(crate) default: Option<super::config::RawAction>,
    /// Who has which role.
    pub(crate) members: Option<Vec<RawMember>>,
}

/// Who has which role.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawMember {
    /// `user:<id>`, `service_account:<id>`, …
    #[serde(rename = "subjectID")]
    pub(crate) subject_id: Option<String>,
    /// The one role it has.
    pub(crate) role: Option<String>,
}

/// A fragment of the authorization model.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawModel {
    /// Types of resources, by name; a name may hold slashes.
    pub(crate) resource_types: Option<BTreeMap<String, Option<RawResourceType>>>,
}

/// A type of resource.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawResourceType {
    /// How subjects can relate to a resource, by name.
    pub(crate) relations: Option<BTreeMap<String, Option<RawRelation>>>,
    /// What can be done to a resource, by name.
    pub(crate) actions: Option<BTreeMap<String, Option<RawAllows>>>,
    /// What may be added while running.
    pub(crate) dynamic: Option<RawDynamic>,
}

/// How subjects can relate to a resource: one of the two forms.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawRelation {
    /// Types of subjects.
    pub(crate) subject_types: Option<Vec<String>>,
    /// Types of subjects, each as an object.
    pub(crate) allowed_targets: Option<Vec<RawTarget>>,
}

/// Who can have a relation.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawTarget {
    /// A type of subject.
    pub(crate) subject_type: Option<String>,
}

/// What can be done to a resource.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawAllows {
    /// Relations of this type; any one of them suffices.
    pub(crate) relations: Option<Vec<String>>,
}

/// What may be added while running.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawDynamic {
    /// Whether relationships may be added to the static ones.
    pub(crate) allow_additional_relationships: Option<bool>,
}

/// A static relationship.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawRelationship {
    /// Who.
    pub(crate) subject: Option<RawObject>,
    /// A relation of the resource's type.
    pub(crate) relation: Option<String>,
    /// To what.
    pub(crate) resource: Option<RawObject>,
    /// Where it comes from, in the deployment's own words.
    pub(crate) source: Option<RawProvenance>,
}

/// A subject or a resource.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawObject {
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// Which one.
    pub(crate) id: Option<String>,
}

/// Where a relationship comes from.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawProvenance {
    /// Free text.
    pub(crate) layer: Option<String>,
    /// Free text.
    pub(crate) id: Option<String>,
}
