//! How results and errors are rendered.

use super::status;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gestalt_core::Reply;
use gestalt_invoke::Problem;
use serde::Serialize;
use std::io;

/// A JSON answer: one line, and safe to stand inside a page.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let mut text = Vec::with_capacity(128);
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, HtmlSafe);
    if value.serialize(&mut serializer).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    text.push(b'\n');
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// Escapes `<`, `>` and `&` in strings, as the original API does: clients compare answers byte by byte.
struct HtmlSafe;

impl serde_json::ser::Formatter for HtmlSafe {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&']) {
            let (plain, special) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            write!(writer, "\\u{:04x}", special.as_bytes()[0])?;
            rest = &special[1..];
        }
        writer.write_all(rest.as_bytes())
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    integration: Option<&'a str>,
}

/// An error of the request path.
pub(super) fn problem(problem: &Problem) -> Response {
    // Only the causes that clients act on carry the app's name; the others name it in the text.
    let integration = problem.code.and(problem.app.as_deref());
    json(status(problem.status), &ErrorBody { error: &problem.message, code: problem.code, integration })
}

/// An error of the HTTP layer itself.
pub(super) fn error(status: StatusCode, message: &str) -> Response {
    json(status, &ErrorBody { error: message, code: None, integration: None })
}

/// What an operation answered.
pub(super) fn reply(reply: Reply) -> Response {
    let mut headers = HeaderMap::new();
    for (name, value) in &reply.headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else { continue };
        if passes(&name) && headers.len() < MAX_HEADERS {
            headers.append(name, value);
        }
    }
    headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    (status(reply.status), headers, reply.body).into_response()
}

/// An app needs a handful of headers; a thousand are a mistake or an attack on the client.
const MAX_HEADERS: usize = 64;

/// Whether an app may set this header on the daemon's own origin: nothing that frames the message, moves the browser,
/// keeps state in it, or weakens what the daemon itself promises about the origin.
fn passes(name: &HeaderName) -> bool {
    const WITHHELD: [&str; 22] = [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "host",
        "set-cookie",
        "set-cookie2",
        "clear-site-data",
        "strict-transport-security",
        "content-security-policy",
        "content-security-policy-report-only",
        "x-frame-options",
        "x-content-type-options",
        "location",
        "refresh",
        "alt-svc",
    ];
    !WITHHELD.contains(&name.as_str()) && !name.as_str().starts_with("access-control-")
}

/// No such route.
pub(super) async fn not_found(request: Request) -> Response {
    let path = request.uri().path();
    if path.starts_with("/api/v1") {
        return error(StatusCode::NOT_FOUND, &format!("API route {path:?} not found"));
    }
    error(StatusCode::NOT_FOUND, "not found")
}

/// A route, but not for this method.
pub(super) async fn method_not_allowed(request: Request) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let message = format!("method {method} is not allowed for API route {path:?}");
    error(StatusCode::METHOD_NOT_ALLOWED, &message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;

    #[tokio::test]
    async fn json_is_one_html_safe_line() {
        let response = json(StatusCode::OK, &serde_json::json!({"a": "<b>&\u{e9}"}));
        let body = to_bytes(response.into_body(), 1024).await.unwrap();
        assert_eq!(std::str::from_utf8(&body).unwrap(), "{\"a\":\"\\u003cb\\u003e\\u0026\u{e9}\"}\n");
    }

    #[test]
    fn apps_set_harmless_headers_only() {
        let header = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        let response = reply(Reply {
            status: 201,
            headers: vec![
                header("X-Request-Cost", "3"),
                header("Set-Cookie", "a=b"),
                header("Access-Control-Allow-Origin", "*"),
                header("Transfer-Encoding", "chunked"),
                header("Bad Name", "x"),
                header("X-Split", "a\r\nSet-Cookie: b=c"),
                header("Link", "<a>"),
                header("link", "<b>"),
            ],
            body: "{}".into(),
        });
        let mut names: Vec<_> =
            response.headers().iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        names.sort();
        assert_eq!(names, ["content-type: application/json", "link: <a>", "link: <b>", "x-request-cost: 3"]);
        assert_eq!(response.status(), 201);
    }
}
