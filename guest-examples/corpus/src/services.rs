//! The daemon's own services, on somebody else's authority if it can be had.

use crate::exports::gestalt::provider::app_provider::Context;
use crate::gestalt::provider::common::RpcError;
use crate::gestalt::provider::{app, authorization, cache, indexeddb, s3};
use crate::{Attempt, Ended, refused};
use serde_json::{Value, json};

fn rpc(error: RpcError) -> Value {
    refused("service", format!("{:?}", error.code).trim_start_matches("StatusCode::"))
}

/// Calls `operation` of `app` with `params`.
pub(crate) fn invoke(context: &Context, attempt: &Attempt) -> Ended {
    let request = app::InvokeRequest {
        app: attempt.text("app").to_owned(),
        operation: attempt.text("operation").to_owned(),
        params: Some(attempt.0["params"].to_string()),
        connection: attempt.text("connection").to_owned(),
        instance: String::new(),
        idempotency_key: String::new(),
        credential_mode: attempt.text("credentialMode").to_owned(),
        run_as: None,
    };
    let result = app::invoke(context, &request).map_err(rpc)?;
    let body = String::from_utf8_lossy(&result.body).into_owned();
    Ok(json!({ "status": result.status, "body": serde_json::from_str::<Value>(&body).unwrap_or(Value::String(body)) }))
}

/// Opens the `service` bound under `binding`.
pub(crate) fn open(attempt: &Attempt) -> Ended {
    let binding = attempt.optional_text("binding");
    match attempt.text("service") {
        "cache" => cache::Handle::open(binding).map(drop),
        "indexeddb" => indexeddb::Database::open(binding).map(drop),
        "s3" => s3::Handle::open(binding).map(drop),
        _ => authorization::get_active_model_ref().map(drop),
    }
    .map_err(rpc)?;
    Ok(json!({ "opened": attempt.text("service") }))
}

/// What the guest can know about its caller.
pub(crate) fn context(context: &Context) -> Ended {
    let info = context.info();
    Ok(json!({
        "subject": info.subject.map(|subject| subject.id),
        "caller": info.caller.map(|caller| caller.name),
        "depth": info.invocation.map(|invocation| invocation.depth),
    }))
}
