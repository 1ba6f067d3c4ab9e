use super::surface::RestOperation;
use super::template::PathTemplate;
use gestalt_core::{Operation, Transport};
use serde_json::{Map, Value, json};

/// How callers see the operation. `method` is already upper case.
pub(super) fn operation(source: &RestOperation, method: &str, path: &PathTemplate) -> Operation {
    let mut parameters = source.parameters.clone();
    for parameter in &mut parameters {
        if let Some(kind) = json_type(&parameter.kind) {
            parameter.kind = kind.to_owned();
        }
    }
    Operation {
        id: source.name.clone(),
        method: method.to_owned(),
        path: source.path.clone(),
        description: source.description.clone(),
        input_schema: Some(input_schema(source, path)),
        parameters,
        tags: source.tags.clone(),
        allowed_roles: source.allowed_roles.clone(),
        transport: Transport::Rest,
        ..Operation::default()
    }
}

/// The schema of the public parameters. Undeclared ones are passed on upstream, so it does not close the object; a
/// place in the path that no parameter declares is a required one of any type.
fn input_schema(source: &RestOperation, path: &PathTemplate) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for parameter in source.parameters.iter().filter(|p| !p.internal) {
        let mut schema = Map::new();
        if let Some(kind) = json_type(&parameter.kind) {
            schema.insert("type".into(), kind.into());
        }
        if !parameter.description.is_empty() {
            schema.insert("description".into(), parameter.description.clone().into());
        }
        if let Some(default) = &parameter.default {
            schema.insert("default".into(), default.clone());
        }
        properties.insert(parameter.name.clone(), schema.into());
        if parameter.required && parameter.default.is_none() {
            required.push(parameter.name.clone());
        }
    }
    for place in path.places() {
        let declared = source.parameters.iter().any(|p| p.wire_name.as_deref().unwrap_or(&p.name) == place);
        if !declared && !properties.contains_key(place) {
            properties.insert(place.to_owned(), json!({}));
            required.push(place.to_owned());
        }
    }
    let mut schema = Map::from_iter([("type".to_owned(), json!("object")), ("properties".into(), properties.into())]);
    if !required.is_empty() {
        schema.insert("required".into(), required.into());
    }
    schema.into()
}

/// JSON Schema's word for a manifest's type, which also knows two abbreviations.
fn json_type(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "string" => "string",
        "int" | "integer" => "integer",
        "number" => "number",
        "bool" | "boolean" => "boolean",
        "object" => "object",
        "array" => "array",
        _ => return None,
    })
}
