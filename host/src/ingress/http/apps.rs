//! Which apps there are and what they can do.

use super::request::Caller;
use super::{Api, answer};
use crate::sandboxes::Sandbox;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use gestalt_invoke::{AppState, Problem};
use serde::Serialize;
use std::sync::Arc;

/// `AppInfo` of the HTTP API.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AppView {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    display_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    icon_svg: String,
    connections: [(); 0],
    status: &'static str,
    credential_state: &'static str,
    health_state: &'static str,
    actions: [(); 0],
    #[serde(flatten)]
    detail: Option<Detail>,
}

/// What operators are told besides.
#[derive(Serialize)]
struct Detail {
    /// How its process is confined; absent for an app that has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    sandbox: Option<Sandbox>,
    /// Why it is not up.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

/// `GET /api/v1/apps`
pub(super) async fn list(State(api): State<Arc<Api>>) -> Response {
    listed(&api, false)
}

/// The same for operators: what an app lacks to be confined is nobody else's to know.
pub(super) async fn list_for_operators(State(api): State<Arc<Api>>) -> Response {
    listed(&api, true)
}

fn listed(api: &Api, with_detail: bool) -> Response {
    let view = |(name, info, state): (gestalt_core::AppName, gestalt_invoke::AppInfo, AppState)| {
        let (status, health_state) = match state {
            AppState::Starting => ("unknown", "unknown"),
            AppState::Up(_) => ("ready", "not_applicable"),
            AppState::Failed(_) => ("unavailable", "unhealthy"),
        };
        let failure = match &state {
            AppState::Failed(reason) => Some(reason.to_string()),
            AppState::Starting | AppState::Up(_) => None,
        };
        let detail = with_detail.then(|| Detail { sandbox: api.sandboxes.get(&name), failure });
        AppView {
            name: name.to_string(),
            display_name: info.display_name,
            description: info.description,
            icon_svg: info.icon_svg,
            connections: [],
            status,
            credential_state: "not_required",
            health_state,
            actions: [],
            detail,
        }
    };
    let apps: Vec<AppView> = api.invoker.apps().list().into_iter().map(view).collect();
    answer::json(StatusCode::OK, &apps)
}

/// `GET /api/v1/apps/{name}/operations`
pub(super) async fn operations(caller: Caller, State(api): State<Arc<Api>>, Path(name): Path<String>) -> Response {
    match api.invoker.operations(&caller.principal, &name).await {
        Ok(catalog) => {
            let operations: Vec<_> = catalog.operations().iter().map(AsRef::as_ref).collect();
            answer::json(StatusCode::OK, &operations)
        }
        Err(error) => {
            tracing::warn!(app = name, %error, "listing operations failed");
            answer::problem(&Problem::from(&error))
        }
    }
}
