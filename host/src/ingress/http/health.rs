//! Liveness and readiness, for whatever restarts the daemon or routes to it.

use super::{Api, answer};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::json;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/health", get(health)).route("/ready", get(ready))
}

async fn health() -> Response {
    answer::json(StatusCode::OK, &json!({"status": "ok"}))
}

/// An app that failed to start does not hold readiness back: it will not come up by waiting.
async fn ready(State(api): State<Arc<Api>>) -> Response {
    if api.invoker.apps().settled() {
        answer::json(StatusCode::OK, &json!({"status": "ok"}))
    } else {
        answer::json(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "providers loading"}))
    }
}
