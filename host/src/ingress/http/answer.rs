//! How results and errors are rendered.

use super::places::Bound;
use super::status;
use axum::Extension;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gestalt_core::{Reply, ResponseHeaders};
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

/// An error that is over soon.
pub(super) fn later(status: StatusCode, message: &str) -> Response {
    let mut response = error(status, message);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// There is no place for another connection.
pub(super) async fn no_place(bound: Option<Extension<Bound>>) -> Response {
    let of_whom = match bound {
        Some(Extension(Bound::MaxPerAddress)) => " from one address",
        Some(Extension(Bound::Max)) | None => "",
    };
    later(StatusCode::SERVICE_UNAVAILABLE, &format!("too many connections{of_whom}"))
}

/// What an operation of an app answered, with the headers that such an app may set.
pub(super) fn reply(reply: Reply, allowed: &ResponseHeaders) -> Response {
    let mut headers = HeaderMap::new();
    for (name, value) in &reply.headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else { continue };
        let is_second = headers.contains_key(&name) && ONCE.contains(&name);
        if allowed.passes(name.as_str()) && !is_second && headers.len() < MAX_HEADERS {
            headers.append(name, value);
        }
    }
    let content_type = headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    if is_script(content_type) {
        *content_type = HeaderValue::from_static("text/plain");
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    (status(reply.status), headers, reply.body).into_response()
}

/// An app needs a handful of headers; a thousand are a mistake or an attack on the client.
const MAX_HEADERS: usize = 64;

/// Headers that mean nothing twice: clients differ in which one they take.
const ONCE: [HeaderName; 2] = [header::CONTENT_TYPE, header::CONTENT_DISPOSITION];

/// What a browser may do with an answer that it opens as a page: show it. It is a document of no origin, so that it shares
/// nothing with the daemon's pages; it runs no script, loads nothing, sends no form, and stands in no frame.
const POLICY: &str = "sandbox; default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Whether a browser would run it: as a script of the daemon's own origin when a page there names its address, or as a
/// service worker. Together with `nosniff`, any other type keeps it from that; a document's own policy would not.
fn is_script(content_type: &HeaderValue) -> bool {
    const WORDS: [&[u8]; 4] = [b"javascript", b"ecmascript", b"jscript", b"livescript"];
    let text = content_type.as_bytes().to_ascii_lowercase();
    WORDS.iter().any(|word| text.windows(word.len()).any(|part| part == *word))
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

    fn answered(headers: &[(&str, &str)], listed: &[&str]) -> Vec<String> {
        let mut allowed = ResponseHeaders::default();
        for name in listed {
            allowed.add(name).unwrap();
        }
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let response = reply(Reply { status: 201, headers, body: "{}".into() }, &allowed);
        assert_eq!(response.status(), 201);
        let text = |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        let mut lines: Vec<_> = response.headers().iter().map(text).collect();
        lines.retain(|line| *line != format!("content-security-policy: {POLICY}"));
        assert_eq!(lines.len() + 1, response.headers().len(), "no policy, or another one");
        lines.sort();
        lines
    }

    #[test]
    fn apps_set_headers_that_describe_the_answer() {
        let usual = [
            ("Accept-Ranges", "bytes"),
            ("cache-control", "no-store"),
            ("Cache-Control", "private"),
            ("Content-Disposition", "attachment"),
            ("Content-Language", "en"),
            ("Content-Range", "bytes 0-1/2"),
            ("Content-Type", "text/html"),
            ("ETag", "\"a\""),
            ("Last-Modified", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("Retry-After", "3"),
        ];
        let expect: Vec<_> =
            usual.iter().map(|(name, value)| format!("{}: {value}", name.to_ascii_lowercase())).collect();
        assert_eq!(answered(&usual, &[]), expect);
        let twice = [("Content-Type", "text/html"), ("Content-Type", "text/plain")];
        assert_eq!(answered(&twice, &[]), ["content-type: text/html"]);
    }

    #[test]
    fn apps_set_no_other_headers() {
        const JSON: [&str; 1] = ["content-type: application/json"];
        let unlisted = ["X-Request-Cost", "Vary", "Content-Encoding", "X-New-In-Browsers"].map(|name| (name, "1"));
        assert_eq!(answered(&unlisted, &[]), JSON);
        let withheld = [
            "Set-Cookie",
            "Access-Control-Allow-Origin",
            "Transfer-Encoding",
            "Connection",
            "Link",
            "NEL",
            "Report-To",
            "Reporting-Endpoints",
            "Refresh",
            "Location",
            "Service-Worker-Allowed",
            "Clear-Site-Data",
            "Content-Security-Policy",
            "X-Content-Type-Options",
        ];
        assert_eq!(answered(&withheld.map(|name| (name, "1")), &["X-Request-Cost"]), JSON);
        let listed = [("X-Request-Cost", "3"), ("x-request-cost", "4"), ("Set-Cookie", "a=b"), ("Bad Name", "x")];
        let split = ("X-Request-Cost", "a\r\nSet-Cookie: b=c");
        let expect = [JSON[0], "x-request-cost: 3", "x-request-cost: 4"];
        assert_eq!(answered(&[&listed[..], &[split]].concat(), &["X-Request-Cost"]), expect);
    }

    #[test]
    fn scripts_are_sent_as_text() {
        for content_type in [
            "text/javascript",
            "Application/JavaScript; charset=utf-8",
            "application/x-javascript",
            "text/javascript1.5",
            "text/jscript",
            "text/x-ecmascript",
            "text/livescript",
        ] {
            assert_eq!(
                answered(&[("Content-Type", content_type)], &[]),
                ["content-type: text/plain"],
                "{content_type}"
            );
        }
        for content_type in ["application/json", "image/svg+xml", "text/html", "text/css"] {
            let expect = format!("content-type: {content_type}");
            assert_eq!(answered(&[("Content-Type", content_type)], &[]), [expect]);
        }
    }
}
