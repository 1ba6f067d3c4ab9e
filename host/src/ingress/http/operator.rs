//! What operators and their machines ask: liveness, readiness, metrics.

use super::{Api, answer};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/health", get(health)).route("/ready", get(ready)).route("/metrics", get(metrics))
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

async fn metrics(State(api): State<Arc<Api>>) -> Response {
    const TEXT: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    match api.metrics.render() {
        Ok(text) => (TEXT, text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
