//! Between the contract's generated types and the daemon's own.

use crate::bindings::gestalt::provider::common::{OperationResult, RpcError, StatusCode};
use gestalt_core::foreign::Foreign;
use gestalt_core::limits::Limits;
use gestalt_core::{Code, ExecError, Headers, Reply, json_depth};
use std::collections::HashMap;

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
            return broken(format!("the answer's header {:?} is not valid", shortened(&name)));
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
    // A sender of webhooks chooses how many names there are: they are looked up, not compared with each other.
    let mut places = HashMap::new();
    for (name, value) in headers {
        let place = *places.entry(name.to_ascii_lowercase()).or_insert(groups.len());
        match groups.get_mut(place) {
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
    format!("{:?}: {}", error.code, shortened(&error.message))
}

/// As much of a guest's text as an error of ours quotes, on one line.
pub(crate) fn shortened(text: &str) -> String {
    Foreign::phrase(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gestalt_core::foreign::PHRASE;
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
    fn a_guests_error_is_one_line_of_bounded_length() {
        let error = |message: String| guest_error(&RpcError { code: StatusCode::Aborted, message });
        assert_eq!(error("not\ntoday".into()), "StatusCode::Aborted: not\\ntoday");
        let cut = format!("StatusCode::Aborted: {}... (", "€".repeat(PHRASE / 3));
        assert!(error("€".repeat(1 << 20)).starts_with(&cut));
    }

    #[test]
    fn headers_are_grouped_without_regard_to_case() {
        let headers = [("Set-Cookie", "a"), ("X", "b"), ("set-cookie", "c")];
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let expect =
            [("Set-Cookie".to_owned(), vec!["a".to_owned(), "c".to_owned()]), ("X".to_owned(), vec!["b".to_owned()])];
        assert_eq!(grouped(headers), expect);
    }
}
