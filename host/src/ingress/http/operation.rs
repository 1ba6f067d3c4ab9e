//! `GET|POST /api/v1/{app}/{operation}`: one operation, run.

use super::body::TooSlow;
use super::client::Client;
use super::door::Door;
use super::request::{Caller, SELECTORS, Selectors};
use super::{API_TIMEOUT, Api, answer};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use gestalt_core::{Origin, Params};
use gestalt_invoke::{Invocation, Problem};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Instant;

type Pairs = Vec<(String, String)>;

/// Parameters from the query string: the first value of each key, all of them texts.
pub(super) async fn get(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Path(target): Path<(String, String)>,
    Query(query): Query<Pairs>,
) -> Response {
    let selected = selectors(&query);
    let mut params = Map::new();
    for (name, value) in query {
        if !SELECTORS.contains(&name.as_str()) {
            params.entry(name).or_insert(Value::String(value));
        }
    }
    run(api, caller, target, selected, [None, None], params.into()).await
}

/// Parameters from the JSON body; the query string may only select.
pub(super) async fn post(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Path(target): Path<(String, String)>,
    Query(query): Query<Pairs>,
    Extension(door): Extension<Arc<Door>>,
    Extension(client): Extension<Client>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    if let Err(rejection) = &body
        && TooSlow::caused(rejection)
    {
        door.reached("bodyTimeout", client.believed);
        return answer::error(
            StatusCode::REQUEST_TIMEOUT,
            "the request's body took longer than the daemon waits for it",
        );
    }
    let params = body.ok().and_then(|body| Params::parse(std::str::from_utf8(&body).ok()?).ok());
    let Some(params) = params else { return answer::error(StatusCode::BAD_REQUEST, "invalid JSON body") };
    let (params, in_body) = params.take(SELECTORS);
    run(api, caller, target, selectors(&query), in_body, params).await
}

fn selectors(query: &Pairs) -> [Option<String>; 2] {
    SELECTORS.map(|name| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()))
}

async fn run(
    api: Arc<Api>,
    caller: Caller,
    (app, operation): (String, String),
    in_query: [Option<String>; 2],
    in_body: [Option<Value>; 2],
    params: Params,
) -> Response {
    let Selectors { connection, instance } = match Selectors::merge(in_query, in_body) {
        Ok(selectors) => selectors,
        Err(message) => return answer::error(StatusCode::BAD_REQUEST, &message),
    };
    let name = app.clone();
    let invocation = Invocation {
        principal: caller.principal,
        app,
        operation,
        connection,
        instance,
        params,
        idempotency_key: caller.idempotency_key,
        origin: Origin::Http,
        request: caller.meta,
        deadline: Instant::now() + API_TIMEOUT,
        parent: None,
    };
    // Detached from the connection: a side effect in flight finishes, and is audited, also when the client hangs up.
    let invoker = api.invoker.clone();
    // So does its count for the client: taking a request back and asking again is no way to run more at once.
    let counted = caller.counted;
    let running = api.running.spawn(async move {
        let _counted = counted;
        invoker.invoke(invocation).await
    });
    match running.await {
        // Asked for now: what its package lists is known when the app has started.
        Ok(Ok(reply)) => answer::reply(reply, &api.invoker.apps().response_headers(&name)),
        Ok(Err(error)) => answer::problem(&Problem::from(&error)),
        Err(failure) => {
            tracing::error!(%failure, "invocation task failed");
            answer::error(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
        }
    }
}
