use crate::eventually;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Router, body, routing::any};
use http::{HeaderMap, Method, StatusCode};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// A real HTTP server on loopback that stands for whatever an app calls. It remembers every request.
///
/// `/headers` answers with the request's headers as text, and with its `Authorization` as `X-Echo`,
/// `/status/{code}` answers with that status and the text `status`, `/hold` once it is [released](Self::release),
/// everything else with 200 and the request's body.
/// Every answer carries `X-Upstream: 1` and the request's own `Content-Type`.
pub struct Upstream {
    address: SocketAddr,
    seen: Arc<Seen>,
}

struct Seen {
    asked: Mutex<Vec<Asked>>,
    /// One permit for every request that may stop waiting.
    gate: Semaphore,
}

/// One request as the server saw it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// HTTP method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// Request headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: bytes::Bytes,
}

impl Upstream {
    /// Listens on a free port of `127.0.0.1` until the test ends.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen { asked: Mutex::default(), gate: Semaphore::new(0) });
        let router = Router::new().fallback(any(answer)).with_state(seen.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, seen }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its port, for URLs that name it otherwise.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.seen.asked.lock().unwrap().clone()
    }

    /// Waits until it was asked for `target`.
    pub async fn asked_for(&self, target: &str) {
        eventually(target, || async { self.asked().iter().any(|asked| asked.target == target).then_some(()) }).await;
    }

    /// Answers what is held.
    pub fn release(&self) {
        self.seen.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}

async fn answer(State(seen): State<Arc<Seen>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = body::to_bytes(body, 16 << 20).await.unwrap();
    let target = head.uri.path_and_query().unwrap().to_string();
    let status = target.strip_prefix("/status/").and_then(|code| code.parse::<u16>().ok());
    let json = http::HeaderValue::from_static("application/json");
    let content_type = head.headers.get("content-type").cloned().unwrap_or(json);
    let (method, headers, is_held) = (head.method, head.headers, head.uri.path() == "/hold");
    let (listed, echo) = (format!("{headers:?}"), headers.get("authorization").cloned());
    seen.asked.lock().unwrap().push(Asked { method, target: target.clone(), headers, body: body.clone() });
    if is_held {
        seen.gate.acquire().await.unwrap().forget();
    }
    let mut response = match status {
        Some(code) => (StatusCode::from_u16(code).unwrap(), "status").into_response(),
        None if target == "/headers" => listed.into_response(),
        None => body.into_response(),
    };
    if let Some(echo) = echo.filter(|_| target == "/headers") {
        response.headers_mut().insert("x-echo", echo);
    }
    response.headers_mut().insert("content-type", content_type);
    response.headers_mut().insert("x-upstream", http::HeaderValue::from_static("1"));
    response
}
