use gestalt_core::SubjectRef;
use std::collections::{BTreeMap, BTreeSet};

/// Who may do what (seed 004, `authorization`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authorization {
    /// Subject access policies, by name.
    pub policies: BTreeMap<String, Policy>,
    /// The resource types of all model fragments together: fragments that name the same type add to it.
    pub resource_types: BTreeMap<String, ResourceType>,
    /// Static relationships; each fits its resource's type.
    pub relationships: Vec<Relationship>,
}

/// A subject access policy: it gives a caller exactly one role, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether a subject that is no member gets in.
    pub allow_others: bool,
    /// The role of each member.
    pub members: BTreeMap<SubjectRef, String>,
}

/// A type of resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceType {
    /// The types of subjects that can have each relation.
    pub relations: BTreeMap<String, BTreeSet<String>>,
    /// The relations of which any one suffices for each action.
    pub actions: BTreeMap<String, BTreeSet<String>>,
    /// Whether relationships may be added to the static ones while running.
    pub allow_additional_relationships: bool,
}

/// A static relationship.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relationship {
    /// Who.
    pub subject: Object,
    /// A relation of the resource's type.
    pub relation: String,
    /// To what.
    pub resource: Object,
    /// Where it comes from, in the deployment's own words: layer and id.
    pub source: (Option<String>, Option<String>),
}

/// A subject or a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// Its type.
    pub kind: String,
    /// Which one.
    pub id: String,
}
