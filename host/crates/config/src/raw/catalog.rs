//! `catalog.yaml`, after its keys were brought to the one spelling.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The operations of an executable package.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawCatalog {
    /// Of no consequence: an app is named by the config.
    #[allow(dead_code, reason = "part of the format")]
    pub(crate) name: Option<String>,
    /// Name for people.
    pub(crate) display_name: Option<String>,
    /// One or two sentences.
    pub(crate) description: Option<String>,
    /// An SVG document.
    pub(crate) icon_svg: Option<String>,
    /// Of upstreams of generated catalogs.
    #[allow(dead_code, reason = "part of the format")]
    pub(crate) base_url: Option<String>,
    /// Of upstreams of generated catalogs.
    pub(crate) auth_style: Option<String>,
    /// Of upstreams of generated catalogs.
    #[allow(dead_code, reason = "part of the format")]
    pub(crate) headers: Option<BTreeMap<String, Option<String>>>,
    /// The operations.
    pub(crate) operations: Option<Vec<RawCatalogOperation>>,
}

/// One operation. Keys that are not known are no mistake: the SDKs write more than the daemon reads.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawCatalogOperation {
    pub(crate) id: Option<String>,
    pub(crate) method: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) input_schema: Option<RawSchema>,
    pub(crate) output_schema: Option<RawSchema>,
    pub(crate) annotations: Option<RawAnnotations>,
    pub(crate) allowed_roles: Option<Vec<String>>,
    pub(crate) parameters: Option<Vec<RawCatalogParameter>>,
    pub(crate) required_scopes: Option<Vec<String>>,
    pub(crate) tags: Option<Vec<String>>,
    pub(crate) read_only: Option<bool>,
    pub(crate) visible: Option<bool>,
    pub(crate) transport: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RawSchema {
    Map(Map<String, Value>),
    Text(String),
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawAnnotations {
    pub(crate) read_only_hint: Option<bool>,
    pub(crate) idempotent_hint: Option<bool>,
    pub(crate) destructive_hint: Option<bool>,
    pub(crate) open_world_hint: Option<bool>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawCatalogParameter {
    pub(crate) name: Option<String>,
    pub(crate) wire_name: Option<String>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) required: Option<bool>,
    pub(crate) internal: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) default: Option<Value>,
}

/// Tells `default: null` from no default.
fn present<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}
