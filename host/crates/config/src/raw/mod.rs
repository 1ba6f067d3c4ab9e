//! Each format as it is written, and nothing more: which keys there are and what type each has.
//!
//! Every field is optional, because a layered file may leave out, or null out, anything. What must be there, and what a
//! value means, is `check`'s business. JSON Schemas derive from these types; the plain comments are kept out of them.

pub(crate) mod app;
pub(crate) mod authorization;
pub(crate) mod builtin;
pub(crate) mod catalog;
pub(crate) mod config;
pub(crate) mod connections;
pub(crate) mod http;
pub(crate) mod manifest;
pub(crate) mod placement;
pub(crate) mod providers;
pub(crate) mod server;
pub(crate) mod source;
pub(crate) mod wasm;
pub(crate) mod workflows;

/// One value, or several.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}
