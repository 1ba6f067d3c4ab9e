//! Each format as it is written, and nothing more: which keys there are and what type each has.
//!
//! Every field is optional, because a layered file may leave out, or null out, anything. What must be there, and what a
//! value means, is `check`'s business. JSON Schemas derive from these types; the plain comments are kept out of them.

pub(crate) mod catalog;
pub(crate) mod config;
pub(crate) mod manifest;
pub(crate) mod wasm;

/// One value, or several.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}
