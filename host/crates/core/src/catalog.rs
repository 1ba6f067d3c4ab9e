use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// What an app offers: its display data and its operations, sorted by id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    /// Human name; empty when the app declares none.
    pub display_name: String,
    /// One or two sentences; may be empty.
    pub description: String,
    /// An SVG document, or empty.
    pub icon_svg: String,
    operations: Vec<Arc<Operation>>,
}

impl Catalog {
    /// A catalog of `operations`, sorted by id.
    pub fn new(mut operations: Vec<Operation>) -> Self {
        operations.sort_by(|a, b| a.id.cmp(&b.id));
        Self { operations: operations.into_iter().map(Arc::new).collect(), ..Self::default() }
    }

    /// Every operation, sorted by id.
    pub fn operations(&self) -> &[Arc<Operation>] {
        &self.operations
    }

    /// The operation called `id`.
    pub fn find(&self, id: &str) -> Option<&Arc<Operation>> {
        self.operations.binary_search_by(|o| o.id.as_str().cmp(id)).ok().map(|i| &self.operations[i])
    }
}

/// One callable thing. Serialized as the HTTP API shows it (`CatalogOperation`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Unique within the app; dot-separated segments.
    pub id: String,
    /// HTTP verb; informational for app transport.
    #[serde(default)]
    pub method: String,
    /// Upstream path of a REST operation, else empty.
    #[serde(default)]
    pub path: String,
    /// Short human name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// What it does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// JSON Schema of the parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<Value>,
    /// JSON Schema of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    /// Hints about effects.
    #[serde(default)]
    pub annotations: Annotations,
    /// The parameters one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// Token scopes a caller needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required_scopes: Vec<String>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Roles that may call it; empty means every role.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_roles: Vec<String>,
    /// Declared free of side effects.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// `Some(false)` hides it from lists and from callers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visible: Option<bool>,
    /// How it is carried out.
    #[serde(default)]
    pub transport: Transport,
}

impl Operation {
    /// Whether a list shows it and a caller may name it.
    pub fn is_visible(&self) -> bool {
        self.visible != Some(false)
    }
}

/// How an operation is carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// By the app's own code.
    #[default]
    #[serde(alias = "plugin")]
    App,
    /// By one declared upstream REST request.
    Rest,
    /// By a GraphQL document.
    Graphql,
    /// By an upstream MCP tool; never offered over HTTP.
    McpPassthrough,
}

impl Transport {
    /// As catalogs, audit and metrics spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Rest => "rest",
            Self::Graphql => "graphql",
            Self::McpPassthrough => "mcp-passthrough",
        }
    }
}

/// Hints in MCP's sense. Absent is not false.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Annotations {
    /// Changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only_hint: Option<bool>,
    /// Calling twice is like calling once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotent_hint: Option<bool>,
    /// May delete or overwrite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destructive_hint: Option<bool>,
    /// Talks to things outside the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_world_hint: Option<bool>,
}

/// One parameter of an operation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parameter {
    /// Public name.
    pub name: String,
    /// Name on the upstream wire, when it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire_name: Option<String>,
    /// `string`, `integer`, `number`, `boolean`, `object`, `array`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it travels upstream. `None` for app transport.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<ParameterLocation>,
    /// What it means.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Whether a call without it is refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// Set by the host only; hidden from callers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
    /// Value used when the caller gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

/// Where a declared parameter travels in the upstream request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterLocation {
    /// A `{name}` in the path.
    Path,
    /// The query string.
    Query,
    /// A request header.
    Header,
    /// A top-level key of the JSON body.
    Body,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_by_id_whatever_the_order() {
        let op = |id: &str| Operation { id: id.into(), ..Operation::default() };
        let catalog = Catalog::new(vec![op("b"), op("a.x"), op("a")]);
        assert_eq!(catalog.operations().iter().map(|o| o.id.as_str()).collect::<Vec<_>>(), ["a", "a.x", "b"]);
        assert!(catalog.find("a.x").is_some());
        assert!(catalog.find("c").is_none());
    }

    #[test]
    fn serializes_as_the_http_api_shows_it() {
        let op = Operation { id: "echo".into(), method: "POST".into(), ..Operation::default() };
        assert_eq!(
            serde_json::to_value(&op).unwrap(),
            serde_json::json!({"id": "echo", "method": "POST", "path": "", "annotations": {}, "transport": "app"})
        );
    }
}
