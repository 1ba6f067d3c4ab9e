use crate::Output;
use crate::bindings::gestalt::provider::catalog::Parameter;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value};

/// Schemas without `$ref`s at the top: clients that show a form need not resolve any.
fn root(write: impl FnOnce(&mut SchemaGenerator) -> Schema) -> Map<String, Value> {
    let mut generator = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true).into_generator();
    let schema = write(&mut generator);
    let mut schema = match Value::from(schema) {
        Value::Object(schema) => schema,
        // `true`: anything goes.
        _ => Map::new(),
    };
    // A type that holds itself cannot be inlined.
    let definitions = generator.take_definitions(true);
    if !definitions.is_empty() {
        schema.insert("$defs".into(), Value::Object(definitions));
    }
    schema
}

/// The schema of an operation's parameters, which are always one object.
pub(crate) fn input<T: JsonSchema>() -> Map<String, Value> {
    let mut schema = root(|generator| T::json_schema(generator));
    schema.entry("type").or_insert_with(|| "object".into());
    schema
}

/// The schema of an operation's answer.
pub(crate) fn output<T: Output>() -> Map<String, Value> {
    root(|generator| T::schema(generator))
}

/// The top-level properties of an input schema, one by one.
pub(crate) fn parameters(schema: &Map<String, Value>) -> Vec<Parameter> {
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .map(|(name, property)| Parameter {
            name: name.clone(),
            type_: type_name(property).to_owned(),
            description: property.get("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
            required: required.contains(&name.as_str()),
            default: property.get("default").map(Value::to_string),
        })
        .collect()
}

/// The one type of a property. An optional one lists `null` as well; a choice of several has none and counts as
/// an object.
fn type_name(property: &Value) -> &str {
    let named = match property.get("type") {
        Some(Value::String(name)) => Some(name.as_str()),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        _ => None,
    };
    named.unwrap_or("object")
}
