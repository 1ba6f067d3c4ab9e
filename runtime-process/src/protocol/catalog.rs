//! Session catalogs: what an app offers with a given credential, laid over what it offers anyway.

use super::json;
use gestalt_core::{Annotations, Catalog, ExecError, Operation, Parameter, Transport};
use gestalt_proto::v1::{Catalog as Wire, CatalogOperation, CatalogParameter, OperationAnnotations};
use serde_json::Value;
use std::collections::BTreeMap;

/// Most operations one session catalog may hold. Against an app that fills the daemon's memory with names.
const MAX_OPERATIONS: usize = 4096;

/// The operations of both, the session's winning; display data of the base, the session's where it has none.
pub(super) fn merge(base: &Catalog, session: Wire) -> Result<Catalog, ExecError> {
    if session.operations.len() > MAX_OPERATIONS {
        return Err(ExecError::Limit {
            what: "session catalog",
            detail: format!("{} operations, of at most {MAX_OPERATIONS}", session.operations.len()),
        });
    }
    let mut operations: BTreeMap<String, Operation> =
        base.operations().iter().map(|o| (o.id.clone(), Operation::clone(o))).collect();
    for wire in session.operations {
        let operation = operation(wire).map_err(|e| ExecError::Failed(format!("session catalog: {e}")))?;
        operations.insert(operation.id.clone(), operation);
    }
    let or = |ours: &String, theirs: String| if ours.is_empty() { theirs } else { ours.clone() };
    let mut merged = Catalog::new(operations.into_values().collect());
    merged.display_name = or(&base.display_name, session.display_name);
    merged.description = or(&base.description, session.description);
    merged.icon_svg = or(&base.icon_svg, session.icon_svg);
    Ok(merged)
}

fn operation(wire: CatalogOperation) -> Result<Operation, String> {
    if !wire.id.split('.').all(is_segment) {
        return Err(format!("{:?} is not an operation id", wire.id));
    }
    let schema = |field: &str, text: &str| match text {
        "" => Ok(None),
        text => serde_json::from_str::<Value>(text).map(Some).map_err(|e| format!("{} of {}: {e}", field, wire.id)),
    };
    Ok(Operation {
        input_schema: schema("input schema", &wire.input_schema)?,
        output_schema: schema("output schema", &wire.output_schema)?,
        transport: transport(&wire.transport)
            .ok_or_else(|| format!("transport {:?} of {}", wire.transport, wire.id))?,
        id: wire.id,
        method: wire.method,
        path: String::new(),
        title: wire.title,
        description: wire.description,
        annotations: wire.annotations.map(annotations).unwrap_or_default(),
        parameters: wire.parameters.into_iter().map(parameter).collect(),
        required_scopes: wire.required_scopes,
        tags: wire.tags,
        allowed_roles: wire.allowed_roles,
        read_only: wire.read_only,
        visible: wire.visible,
    })
}

/// A part of an operation id: letters, digits, `_`, and `-` except at the ends.
fn is_segment(segment: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = segment.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(&first), Some(&last)) if word(first) && word(last))
        && bytes.iter().all(|&b| word(b) || b == b'-')
}

fn transport(text: &str) -> Option<Transport> {
    Some(match text {
        "" | "app" | "plugin" => Transport::App,
        "rest" => Transport::Rest,
        "graphql" => Transport::Graphql,
        "mcp-passthrough" => Transport::McpPassthrough,
        _ => return None,
    })
}

fn annotations(wire: OperationAnnotations) -> Annotations {
    Annotations {
        read_only_hint: wire.read_only_hint,
        idempotent_hint: wire.idempotent_hint,
        destructive_hint: wire.destructive_hint,
        open_world_hint: wire.open_world_hint,
    }
}

fn parameter(wire: CatalogParameter) -> Parameter {
    Parameter {
        name: wire.name,
        kind: wire.r#type,
        description: wire.description,
        required: wire.required,
        default: wire.default.map(json::value),
        ..Parameter::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(id: &str) -> CatalogOperation {
        CatalogOperation { id: id.into(), title: "session".into(), ..Default::default() }
    }

    #[test]
    fn the_session_is_laid_over_the_base() {
        let base = |id: &str| Operation { id: id.into(), title: "base".into(), ..Operation::default() };
        let mut base = Catalog::new(vec![base("a"), base("b")]);
        base.display_name = "App".into();
        let session = Wire { operations: vec![wire("b"), wire("c.d")], ..Default::default() };
        let merged = merge(&base, session).unwrap();
        let got: Vec<_> = merged.operations().iter().map(|o| (o.id.as_str(), o.title.as_str())).collect();
        assert_eq!(got, [("a", "base"), ("b", "session"), ("c.d", "session")]);
        assert_eq!(merged.display_name, "App");
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        for bad in [
            wire(""),
            wire("a..b"),
            wire("-a"),
            wire("a b"),
            CatalogOperation { input_schema: "{".into(), ..wire("a") },
            CatalogOperation { transport: "carrier-pigeon".into(), ..wire("a") },
        ] {
            let session = Wire { operations: vec![bad.clone()], ..Default::default() };
            assert!(matches!(merge(&Catalog::default(), session), Err(ExecError::Failed(_))), "{bad:?}");
        }
    }
}
