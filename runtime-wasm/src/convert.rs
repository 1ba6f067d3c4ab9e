//! Between the contract's generated types and the daemon's own.

use crate::bindings::exports::gestalt::provider::app_provider::Catalog as WitCatalog;
use crate::bindings::gestalt::provider::catalog::{Annotations as WitAnnotations, Operation as WitOperation};
use crate::bindings::gestalt::provider::common::{OperationResult, RpcError, StatusCode};
use gestalt_core::limits::Limits;
use gestalt_core::{
    Annotations, Catalog, Code, ExecError, Headers, Operation, Parameter, Reply, Transport, json_depth,
};
use serde_json::Value;
use std::collections::HashSet;

/// Operations of one app. Far beyond what anybody lists, and a list of a million would stall every catalog page.
const OPERATIONS: usize = 10_000;

/// Bytes of one operation id: it is part of URLs, log lines and audit records.
const OPERATION_ID: usize = 256;

/// Headers of one answer, and their bytes together. What common HTTP servers accept in the other direction.
const REPLY_HEADERS: usize = 128;
const REPLY_HEADER_BYTES: usize = 64 << 10;

/// A guest's answer, held against the contract and the app's bounds.
pub(crate) fn reply(result: OperationResult, limits: &Limits) -> Result<Reply, ExecError> {
    let broken = |what: String| Err(ExecError::Failed(what));
    let status = match result.status {
        // A handler that set none.
        0 => 200,
        status => match u16::try_from(status) {
            Ok(status @ 100..=599) => status,
            _ => return broken(format!("the answer's status is {status}")),
        },
    };
    if result.body.len() > limits.result.as_usize() {
        let detail = format!("the answer has {} bytes, {} are allowed", result.body.len(), limits.result);
        return Err(ExecError::Limit { what: "result", detail });
    }
    let mut headers = Headers::new();
    let mut bytes = 0;
    for (name, value) in result.headers.into_iter().flat_map(|(n, vs)| vs.into_iter().map(move |v| (n.clone(), v))) {
        bytes += name.len() + value.len();
        if headers.len() == REPLY_HEADERS || bytes > REPLY_HEADER_BYTES {
            return broken(format!(
                "the answer has more than {REPLY_HEADERS} headers or {REPLY_HEADER_BYTES} bytes of them"
            ));
        }
        // A line break in a value would be a header of its own, further down the line.
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() || http::HeaderValue::from_str(&value).is_err() {
            return broken(format!("the answer's header {name:?} is not valid"));
        }
        headers.push((name, value));
    }
    let reply = Reply { status, headers, body: result.body.into() };
    let depth = if is_json(&reply) { json_depth(&reply.body) } else { 0 };
    if depth > limits.result_depth {
        let detail = format!("the answer is nested {depth} deep, {} levels are allowed", limits.result_depth);
        return Err(ExecError::Limit { what: "resultDepth", detail });
    }
    Ok(reply)
}

/// Whether somebody downstream may parse the body as JSON.
fn is_json(reply: &Reply) -> bool {
    let Some(kind) = reply.header("content-type") else { return true };
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.is_empty() || essence == "application/json" || essence.ends_with("+json") || essence == "text/json"
}

/// Another app's answer, for a guest.
pub(crate) fn operation_result(reply: Reply) -> OperationResult {
    OperationResult { status: reply.status.into(), body: reply.body.into(), headers: grouped(reply.headers) }
}

/// Headers by name: names compared without case, each with all of its values in order.
pub(crate) fn grouped(headers: Headers) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value) in headers {
        match groups.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            Some((_, values)) => values.push(value),
            None => groups.push((name, vec![value])),
        }
    }
    groups
}

/// An error of ours, for a guest.
pub(crate) fn rpc_error(error: gestalt_core::RpcError) -> RpcError {
    let code = match error.code {
        Code::Cancelled => StatusCode::Cancelled,
        Code::Unknown => StatusCode::Unknown,
        Code::InvalidArgument => StatusCode::InvalidArgument,
        Code::DeadlineExceeded => StatusCode::DeadlineExceeded,
        Code::NotFound => StatusCode::NotFound,
        Code::AlreadyExists => StatusCode::AlreadyExists,
        Code::PermissionDenied => StatusCode::PermissionDenied,
        Code::ResourceExhausted => StatusCode::ResourceExhausted,
        Code::FailedPrecondition => StatusCode::FailedPrecondition,
        Code::Aborted => StatusCode::Aborted,
        Code::OutOfRange => StatusCode::OutOfRange,
        Code::Unimplemented => StatusCode::Unimplemented,
        Code::Internal => StatusCode::Internal,
        Code::Unavailable => StatusCode::Unavailable,
        Code::DataLoss => StatusCode::DataLoss,
        Code::Unauthenticated => StatusCode::Unauthenticated,
    };
    RpcError { code, message: error.message }
}

/// A guest's error, for the operator.
pub(crate) fn guest_error(error: &RpcError) -> String {
    format!("{:?}: {}", error.code, error.message)
}

/// A guest's catalog, checked (`config-and-packaging`, catalog schema).
pub(crate) fn catalog(wit: WitCatalog) -> Result<Catalog, String> {
    if wit.operations.len() > OPERATIONS {
        return Err(format!("{} operations, at most {OPERATIONS} are allowed", wit.operations.len()));
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
        return Err(format!("operation {id:?}: a component cannot offer transport {:?}", wit.transport));
    }
    if wit.allowed_roles.iter().any(|role| role.trim().is_empty()) {
        return Err(format!("operation {id:?}: an allowed role is blank"));
    }
    let mut names = HashSet::new();
    if let Some(twice) = wit.parameters.iter().find(|p| !names.insert(p.name.as_str())) {
        return Err(format!("operation {id:?}: parameter {:?} is there twice", twice.name));
    }
    let parameters = wit.parameters.into_iter().map(|parameter| {
        let default = match parameter.default.as_deref().map(serde_json::from_str).transpose() {
            Ok(default) => default,
            Err(e) => return Err(format!("operation {id:?}: default of {:?} is not JSON: {e}", parameter.name)),
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
    use gestalt_core::limits::ByteSize;

    fn result(status: i32, headers: &[(&str, &[&str])], body: &str) -> OperationResult {
        let values = |vs: &[&str]| vs.iter().map(|v| (*v).to_owned()).collect();
        let headers = headers.iter().map(|(n, vs)| ((*n).to_owned(), values(vs))).collect();
        OperationResult { status, headers, body: body.into() }
    }

    fn check(result: OperationResult, expect: &str) {
        let limits = Limits { result: ByteSize(64), result_depth: 3, ..Limits::default() };
        let verdict = match reply(result, &limits) {
            Ok(reply) => format!("{} {}", reply.status, reply.headers.len()),
            Err(e) => e.to_string(),
        };
        assert!(verdict.contains(expect), "{verdict}");
    }

    #[test]
    fn answers_are_held_against_contract_and_bounds() {
        check(result(0, &[], "{}"), "200 0");
        check(result(418, &[("A", &["1", "2"])], "x"), "418 2");
        for status in [-1, 1, 99, 600, i32::MAX] {
            check(result(status, &[], ""), &format!("status is {status}"));
        }
        check(result(200, &[], &"x".repeat(65)), "result limit exceeded");
        check(result(200, &[], "[[[[]]]]"), "resultDepth limit exceeded");
        check(result(200, &[("content-type", &["application/problem+JSON; x"])], "[[[[]]]]"), "resultDepth");
        check(result(200, &[("Content-Type", &["text/plain"])], "[[[[]]]]"), "200 1");
        check(result(200, &[("X", &["a\r\nSet-Cookie: b"])], ""), "header \"X\" is not valid");
        check(result(200, &[("X y", &["a"])], ""), "not valid");
        check(result(200, &[("X", &["a"; 129])], ""), "more than 128 headers");
        let long = "v".repeat(REPLY_HEADER_BYTES);
        check(result(200, &[("X", &[long.as_str()])], ""), "more than 128 headers or 65536 bytes");
    }

    #[test]
    fn headers_are_grouped_without_regard_to_case() {
        let headers = [("Set-Cookie", "a"), ("X", "b"), ("set-cookie", "c")];
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let expect =
            [("Set-Cookie".to_owned(), vec!["a".to_owned(), "c".to_owned()]), ("X".to_owned(), vec!["b".to_owned()])];
        assert_eq!(grouped(headers), expect);
    }

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
        match catalog(wit) {
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
        // A schema nested to break the parser is an error, not a crash.
        assert!(with(|o| o.input_schema = "[".repeat(200_000)).contains("not JSON"));
    }
}
