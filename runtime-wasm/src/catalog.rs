//! A guest's catalog: what it says about its operations, checked and weighed before anything is made of it.

use crate::bindings::exports::gestalt::provider::app_provider::{Catalog as WitCatalog, Metadata};
use crate::bindings::gestalt::provider::catalog::{Annotations as WitAnnotations, Operation as WitOperation};
use crate::convert::shortened;
use gestalt_core::{Annotations, Catalog, Operation, Parameter, Transport};
use serde_json::Value;
use std::collections::HashSet;

/// Operations of one app. Far beyond what anybody lists, and a list of a million would stall every catalog page.
const OPERATIONS: usize = 10_000;

/// Bytes of one operation id: it is part of URLs, log lines and audit records.
const OPERATION_ID: usize = 256;

/// What one catalog may weigh in the daemon's memory, by an estimate: the bytes of its texts, and [`NODE`] for each
/// entry of a list and each value of a schema. A million values need two million bytes of text, which is far within what
/// a guest may hand over, and become a hundred times that. Two thousand operations with rich schemas weigh about as much.
const WEIGHT: usize = 64 << 20;
const NODE: usize = 128;

/// Bytes of an app's name and description.
const PRESENTATION: usize = 64 << 10;

/// A guest's catalog, checked (`config-and-packaging`, catalog schema).
pub(crate) fn checked(wit: WitCatalog) -> Result<Catalog, String> {
    if wit.operations.len() > OPERATIONS {
        return Err(format!("{} operations, at most {OPERATIONS} are allowed", wit.operations.len()));
    }
    let weight = weight(&wit);
    if weight > WEIGHT {
        return Err(format!("it weighs about {} MiB, at most {} are allowed", weight >> 20, WEIGHT >> 20));
    }
    let operations = wit.operations.into_iter().map(operation).collect::<Result<Vec<_>, _>>()?;
    let mut ids = HashSet::new();
    if let Some(twice) = operations.iter().find(|o| !ids.insert(o.id.as_str())) {
        return Err(format!("operation {:?} is there twice", twice.id));
    }
    let mut catalog = Catalog::new(operations);
    (catalog.display_name, catalog.description, catalog.icon_svg) = (wit.display_name, wit.description, wit.icon_svg);
    Ok(catalog)
}

/// The names an app gives itself: shown beside its operations, and bounded as they are.
pub(crate) fn presentation(metadata: &Metadata) -> Result<(), String> {
    let bytes = metadata.display_name.len() + metadata.description.len();
    if bytes > PRESENTATION { Err(format!("its name and description have {bytes} bytes")) } else { Ok(()) }
}

/// What a catalog will weigh; see [`WEIGHT`]. Of JSON nothing is parsed: each value but the first follows one of four
/// characters.
fn weight(wit: &WitCatalog) -> usize {
    let json = |text: &str| {
        let values = text.bytes().filter(|b| matches!(b, b',' | b':' | b'[' | b'{')).count();
        text.len() + NODE * values
    };
    let texts = |list: &[String]| list.iter().map(|text| NODE + text.len()).sum::<usize>();
    let operation = |o: &WitOperation| {
        let parameters = o.parameters.iter().map(|p| {
            2 * NODE + p.name.len() + p.type_.len() + p.description.len() + p.default.as_deref().map_or(0, json)
        });
        4 * NODE
            + [&o.id, &o.method, &o.title, &o.description].iter().map(|text| text.len()).sum::<usize>()
            + json(&o.input_schema)
            + json(&o.output_schema)
            + texts(&o.required_scopes)
            + texts(&o.tags)
            + texts(&o.allowed_roles)
            + parameters.sum::<usize>()
    };
    [&wit.display_name, &wit.description, &wit.icon_svg].iter().map(|text| text.len()).sum::<usize>()
        + wit.operations.iter().map(operation).sum::<usize>()
}

fn operation(wit: WitOperation) -> Result<Operation, String> {
    let id = wit.id;
    if !is_operation_id(&id) {
        return Err(format!("{:?} is not an operation id", &id[..id.floor_char_boundary(OPERATION_ID)]));
    }
    let schema = |what, text: &str| match text {
        "" => Ok(None),
        text => match serde_json::from_str(text) {
            Ok(schema @ (Value::Object(_) | Value::Bool(_))) => Ok(Some(schema)),
            Ok(_) => Err(format!("operation {id:?}: the {what} is JSON, but no schema")),
            Err(e) => Err(format!("operation {id:?}: the {what} is not JSON: {e}")),
        },
    };
    let (input_schema, output_schema) =
        (schema("input schema", &wit.input_schema)?, schema("output schema", &wit.output_schema)?);
    if !matches!(wit.transport.as_str(), "" | "app" | "plugin") {
        let transport = shortened(&wit.transport);
        return Err(format!("operation {id:?}: a component cannot offer transport {transport:?}"));
    }
    if wit.allowed_roles.iter().any(|role| role.trim().is_empty()) {
        return Err(format!("operation {id:?}: an allowed role is blank"));
    }
    let mut names = HashSet::new();
    if let Some(twice) = wit.parameters.iter().find(|p| !names.insert(p.name.as_str())) {
        return Err(format!("operation {id:?}: parameter {:?} is there twice", shortened(&twice.name)));
    }
    let parameters = wit.parameters.into_iter().map(|parameter| {
        let default = match parameter.default.as_deref().map(serde_json::from_str).transpose() {
            Ok(default) => default,
            Err(e) => {
                let name = shortened(&parameter.name);
                return Err(format!("operation {id:?}: default of {name:?} is not JSON: {e}"));
            }
        };
        Ok(Parameter {
            name: parameter.name,
            kind: parameter.type_,
            description: parameter.description,
            required: parameter.required,
            default,
            ..Parameter::default()
        })
    });
    Ok(Operation {
        method: if wit.method.is_empty() { "POST".to_owned() } else { wit.method.to_ascii_uppercase() },
        path: String::new(),
        title: wit.title,
        description: wit.description,
        input_schema,
        output_schema,
        annotations: wit.annotations.map(annotations).unwrap_or_default(),
        parameters: parameters.collect::<Result<_, _>>()?,
        required_scopes: wit.required_scopes,
        tags: wit.tags,
        allowed_roles: wit.allowed_roles,
        read_only: wit.read_only,
        visible: wit.visible,
        transport: Transport::App,
        id,
    })
}

fn annotations(wit: WitAnnotations) -> Annotations {
    Annotations {
        read_only_hint: wit.read_only_hint,
        idempotent_hint: wit.idempotent_hint,
        destructive_hint: wit.destructive_hint,
        open_world_hint: wit.open_world_hint,
    }
}

/// Dot-separated segments of `[A-Za-z0-9_-]`, none of which starts or ends with `-`.
fn is_operation_id(id: &str) -> bool {
    let segment = |segment: &str| {
        !segment.is_empty()
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
            && !segment.starts_with('-')
            && !segment.ends_with('-')
    };
    id.len() <= OPERATION_ID && id.split('.').all(segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(id: &str) -> WitOperation {
        WitOperation {
            id: id.into(),
            method: String::new(),
            title: String::new(),
            description: String::new(),
            input_schema: String::new(),
            output_schema: String::new(),
            annotations: None,
            parameters: Vec::new(),
            required_scopes: Vec::new(),
            tags: Vec::new(),
            read_only: false,
            visible: None,
            transport: String::new(),
            allowed_roles: Vec::new(),
        }
    }

    fn verdict(operations: Vec<WitOperation>) -> String {
        let (name, text) = (String::new(), String::new());
        let wit =
            WitCatalog { name, display_name: text.clone(), description: text.clone(), icon_svg: text, operations };
        match checked(wit) {
            Ok(catalog) => format!("{} operations", catalog.operations().len()),
            Err(e) => e,
        }
    }

    #[test]
    fn h15_catalogs_are_checked() {
        let with = |change: fn(&mut WitOperation)| {
            let mut operation = op("a");
            change(&mut operation);
            verdict(vec![operation])
        };
        assert_eq!(verdict(vec![op("a.b-c._d"), op("_"), op("0")]), "3 operations");
        for id in ["", ".", "a.", "-a", "a-", "a..b", "a b", "a/b", "ü", &"a".repeat(257)] {
            assert!(verdict(vec![op(id)]).ends_with("is not an operation id"), "{id}");
        }
        assert_eq!(verdict(vec![op("a"), op("b"), op("a")]), "operation \"a\" is there twice");
        assert!(verdict((0..10_001).map(|i| op(&i.to_string())).collect()).contains("at most 10000"));
        assert!(with(|o| o.input_schema = "{".into()).contains("input schema is not JSON"));
        assert!(with(|o| o.output_schema = "1".into()).contains("output schema is JSON, but no schema"));
        assert!(with(|o| o.transport = "rest".into()).contains("cannot offer transport"));
        assert!(with(|o| o.allowed_roles = vec![" ".into()]).contains("blank"));
        assert_eq!(with(|o| o.input_schema = r#"{"type":"object"}"#.into()), "1 operations");
        // Texts, lists and schemas all weigh something, and a value more than its bytes.
        for change in [
            (|o| o.description = "x".repeat(WEIGHT)) as fn(&mut WitOperation),
            |o| o.tags = vec![String::new(); WEIGHT / NODE],
            |o| o.allowed_roles = vec!["a".into(); WEIGHT / NODE],
            |o| o.output_schema = format!("[{}0]", "0,".repeat(WEIGHT / NODE)),
        ] {
            assert!(with(change).starts_with("it weighs about 6"), "{}", with(change));
        }
        assert!(with(|o| o.transport = "x".repeat(1 << 20)).len() < 10_000);
        // A schema nested to break the parser is an error, not a crash.
        assert!(with(|o| o.input_schema = "[".repeat(200_000)).contains("not JSON"));
    }
}
