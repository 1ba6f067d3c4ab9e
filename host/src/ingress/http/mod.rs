//! The HTTP API.
//!
//! ```text
//! GET        /health, /ready, /metrics           management listener, or the public one when there is no other
//! GET        /api/v1/apps                        (also /api/v1/integrations; with more detail where operators ask)
//! GET        /api/v1/apps/{name}/operations      (also /api/v1/integrations/{name}/operations)
//! GET|POST   /api/v1/{app}/{operation}
//! ```

mod answer;
mod apps;
mod body;
mod client;
mod door;
mod operation;
mod operator;
mod pace;
mod places;
mod request;
mod server;

pub use client::TrustedProxies;
pub use door::DoorSettings;
pub use server::{Server, ServerError};

use crate::metrics::Metrics;
use crate::sandboxes::Sandboxes;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use gestalt_invoke::Invoker;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// What every handler may use.
#[derive(Clone)]
pub struct Api {
    /// The request path.
    pub invoker: Invoker,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// How native apps are confined.
    pub sandboxes: Arc<Sandboxes>,
    /// Invocations under way, detached from the connections that asked for them.
    pub running: TaskTracker,
    /// Whether `server.baseUrl` is https, so that browsers may be told to insist on it.
    pub secure: bool,
}

/// How long an operation called over HTTP may take.
const API_TIMEOUT: Duration = Duration::from_secs(60);

/// Request body bound: what a tool call's parameters need at most, and what one request can make the daemon hold.
const MAX_BODY: usize = 1 << 20;

/// The routes of a listener that serves callers, and operators too when `operator` is set.
pub fn public_router(api: Api, operator: bool) -> Router {
    let list = if operator { get(apps::list_for_operators) } else { get(apps::list) };
    let router = Router::new()
        .route("/api/v1/apps", list.clone())
        .route("/api/v1/integrations", list)
        .route("/api/v1/apps/{name}/operations", get(apps::operations))
        .route("/api/v1/integrations/{name}/operations", get(apps::operations))
        .route("/api/v1/{app}/{operation}", get(operation::get).post(operation::post))
        .layer(DefaultBodyLimit::max(MAX_BODY));
    let router = if operator { router.merge(operator::routes()) } else { router };
    finish(router.fallback(answer::not_found), api)
}

/// The routes of a listener for operators only.
pub fn management_router(api: Api) -> Router {
    let router = operator::routes().route("/api/v1/apps", get(apps::list_for_operators));
    finish(router.fallback(answer::not_found), api)
}

/// The routes of connections that there is no place for: they are told why. Health is told all the same when `operator` is
/// set, as whoever watches over the daemon is not to take it for dead because it is busy.
pub fn refusing_router(api: Api, operator: bool) -> Router {
    let routes = if operator { operator::routes() } else { Router::new() };
    finish(routes.fallback(answer::no_place), api)
}

fn finish(router: Router<Arc<Api>>, api: Api) -> Router {
    let secure = api.secure;
    router
        .method_not_allowed_fallback(answer::method_not_allowed)
        .layer(middleware::from_fn(move |request: Request, next: Next| async move {
            let mut response = next.run(request).await;
            protect(&mut response, secure);
            response
        }))
        .with_state(Arc::new(api))
}

/// Sets the headers that keep a browser from treating an answer as anything but what it is.
fn protect(response: &mut Response, secure: bool) {
    const POLICY: &str = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; \
        img-src 'self' data:; font-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'self'; \
        form-action 'self'; frame-ancestors 'none'";
    // What an app answered has a stricter one.
    response.headers_mut().entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    let mut set = |name: HeaderName, value: &'static str| {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    if secure {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=63072000; includeSubDomains");
    }
}

/// A status that an app or a table may give, made safe for the wire.
fn status(code: u16) -> StatusCode {
    // 1xx would end the exchange differently than the app meant; hyper refuses to send it as a final answer.
    StatusCode::from_u16(code).ok().filter(|s| !s.is_informational()).unwrap_or(StatusCode::BAD_GATEWAY)
}
