use super::exchange::{Direct, build, call, start};
use super::{operation, surface};
use crate::{RestExecutor, RestLimits};
use async_trait::async_trait;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::any};
use gestalt_core::egress::{Body, DenyReason, EgressError, Outbound, SendOptions};
use gestalt_core::{AppName, ExecError, Executor, Reply};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// A way out that reaches one host and port alone, and remembers what it was asked to send.
struct Listed {
    authority: String,
    asked: Mutex<Vec<String>>,
}

impl Listed {
    fn new(authority: &str) -> Arc<Self> {
        Arc::new(Self { authority: authority.to_owned(), asked: Mutex::default() })
    }
}

#[async_trait]
impl Outbound for Listed {
    async fn send(
        &self,
        request: http::Request<Body>,
        options: SendOptions,
    ) -> Result<http::Response<Body>, EgressError> {
        self.asked.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
        if request.uri().authority().is_none_or(|authority| authority.as_str() != self.authority) {
            return Err(EgressError::Denied(DenyReason::HostNotAllowed));
        }
        Direct.send(request, options).await
    }
}

/// The path of an upstream that answers with this status and location.
fn path(status: u16, location: &str) -> String {
    format!("/{status}/{}", location.replace('/', "~").replace('?', "!"))
}

/// Answers with the redirect its path asks for.
async fn moved(uri: Uri) -> Response {
    let path = uri.path();
    let (status, location) = path[1..].split_once('/').unwrap();
    let status = StatusCode::from_u16(status.parse().unwrap()).unwrap();
    match location {
        "" => status.into_response(),
        _ => (status, [("location", location.replace('~', "/").replace('!', "?"))]).into_response(),
    }
}

/// A server that redirects, as `host:port`.
async fn redirecting() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(any(moved))).await });
    address
}

/// Calls an operation of a surface with a key in a header of its own, whose upstream redirects to `location`.
async fn run(method: &str, status: u16, location: &str, outbound: Arc<dyn Outbound>) -> Result<Reply, ExecError> {
    let from = redirecting().await;
    let op = operation(&format!("{method} {} header:X-Team body:note", path(status, location)));
    let surface = surface(&format!("http://{from}"), &[("X-Api-Key", "k")], vec![op]);
    let app = AppName::parse("tickets").unwrap();
    let executor = RestExecutor::build(app, &surface, outbound, RestLimits::default()).unwrap();
    executor.execute(call("op", r#"{"X-Team":"t","note":"n"}"#, Some("tok"))).await
}

fn text(reply: &Reply) -> &str {
    std::str::from_utf8(&reply.body).unwrap()
}

#[tokio::test]
async fn an_upstream_that_moved_is_followed_without_what_was_for_the_first() {
    let to = start().await;
    for (method, status, seen) in [
        ("GET", 302, "GET /to?q auth=- type=- agent=gestaltd "),
        ("POST", 301, "GET /to?q auth=- type=- agent=gestaltd "),
        ("POST", 302, "GET /to?q auth=- type=- agent=gestaltd "),
        ("PUT", 303, "GET /to?q auth=- type=- agent=gestaltd "),
        ("PUT", 301, "PUT /to?q auth=- type=application/json; charset=utf-8 agent=gestaltd {\"note\":\"n\"}"),
        ("POST", 307, "POST /to?q auth=- type=application/json; charset=utf-8 agent=gestaltd {\"note\":\"n\"}"),
        ("PATCH", 308, "PATCH /to?q auth=- type=application/json; charset=utf-8 agent=gestaltd {\"note\":\"n\"}"),
    ] {
        let reply = run(method, status, &format!("{to}/to?q"), Arc::new(Direct)).await;
        let reply = reply.unwrap_or_else(|error| panic!("{method} {status}: {error}"));
        assert_eq!((reply.status, text(&reply)), (200, seen), "{method} {status}");
        assert_eq!(reply.header("location"), None);
    }
    let keys = Listener::start().await;
    run("GET", 307, &format!("http://{}/", keys.address), Arc::new(Direct)).await.unwrap();
    let fields = keys.seen.lock().unwrap().clone();
    assert!(!fields.contains_key("x-api-key") && !fields.contains_key("x-team"), "{fields:?}");
}

/// Keeps the header fields of the last request.
struct Listener {
    address: String,
    seen: Arc<Mutex<HeaderMap>>,
}

impl Listener {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(HeaderMap::new()));
        let kept = Arc::clone(&seen);
        let keep = move |headers: HeaderMap| async move { *kept.lock().unwrap() = headers };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(any(keep))).await });
        Self { address, seen }
    }
}

#[tokio::test]
async fn a_redirect_within_the_upstream_keeps_the_credential() {
    let base = start().await;
    let reply = build(&base, "GET /moved", Arc::new(Direct)).execute(call("op", "{}", Some("tok"))).await.unwrap();
    assert_eq!(text(&reply), "GET /there?from=moved auth=Bearer tok type=- agent=gestaltd ");
}

#[tokio::test]
async fn a_redirect_to_where_the_app_may_not_go_is_an_error_that_says_so() {
    for (location, place) in [
        ("http://169.254.169.254/latest/meta-data", "169.254.169.254"),
        ("http://evil.test/?secret", "evil.test"),
        ("//evil.test:8080/", "evil.test"),
    ] {
        let from = redirecting().await;
        let outbound = Listed::new(&from);
        let op = format!("GET {}", path(302, location));
        let executor = build(&format!("http://{from}"), &op, Arc::clone(&outbound) as Arc<dyn Outbound>);
        let error = executor.execute(call("op", "{}", Some("tok"))).await.unwrap_err();
        let expect = format!("egress denied: redirected to {place}: request denied: host_not_allowed");
        assert_eq!(error.to_string(), expect);
        assert!(matches!(error, ExecError::EgressDenied(_)));
        let asked = outbound.asked.lock().unwrap().clone();
        assert_eq!(asked.len(), 2, "each hop is put to the policy: {asked:?}");
    }
}

#[tokio::test]
async fn redirects_that_lead_nowhere() {
    let from = redirecting().await;
    let outbound = Listed::new(&from);
    let run = |status, location| {
        let op = format!("GET {}", path(status, location));
        let executor = build(&format!("http://{from}"), &op, Arc::clone(&outbound) as Arc<dyn Outbound>);
        async move { executor.execute(call("op", "{}", None)).await }
    };
    // Neither a status of another kind nor an answer without a place to go is a redirect.
    for (status, location) in [(302, ""), (300, "/elsewhere"), (304, "/elsewhere")] {
        assert_eq!(run(status, location).await.unwrap().status, status);
    }
    outbound.asked.lock().unwrap().clear();
    let circle = run(302, "?").await.unwrap_err();
    assert!(
        matches!(&circle, ExecError::UpstreamUnreadable(why) if why.contains("more than 5 redirects")),
        "{circle:?}"
    );
    assert_eq!(outbound.asked.lock().unwrap().len(), 6);
    let nowhere = run(302, "http://[").await.unwrap_err();
    assert!(matches!(&nowhere, ExecError::UpstreamUnreadable(why) if why.contains("usable location")), "{nowhere:?}");
}
