//! Answers what it is asked, as a native provider on an older published SDK, which leaves `main` to its user.

use gestalt::{Error, Operation, Request, Response, Router, ok};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

type Params = Map<String, Value>;

#[derive(Default)]
struct Echo;

#[gestalt::async_trait]
impl gestalt::Provider for Echo {}

// Numbers travel as doubles in the native protocol, and this SDK does not turn them back: an integer field would
// refuse every one of them.
#[derive(Deserialize, JsonSchema)]
struct Fail {
    #[serde(default)]
    status: f64,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize, JsonSchema)]
struct Slow {
    millis: f64,
}

#[derive(Serialize, JsonSchema)]
struct Slept {
    slept: u64,
}

#[derive(Deserialize, JsonSchema)]
struct Respond {
    status: f64,
    #[serde(default)]
    headers: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    body: Value,
}

#[derive(Deserialize, JsonSchema)]
struct Call {
    app: String,
    operation: String,
    #[serde(default)]
    params: Params,
}

async fn fail(fail: Fail) -> gestalt::Result<Value> {
    match fail.status as u16 {
        0 => Err(std::io::Error::other(fail.message).into()),
        status => Err(Error::with_status(status, fail.message)),
    }
}

async fn slow(slow: Slow) -> gestalt::Result<Slept> {
    tokio::time::sleep(Duration::from_millis(slow.millis as u64)).await;
    Ok(Slept { slept: slow.millis as u64 })
}

async fn respond(respond: Respond) -> gestalt::Result<Response<Value>> {
    let mut response = Response::new(respond.status as u16, respond.body);
    response.headers = respond.headers;
    Ok(response)
}

/// The code of a gRPC status, in the spelling of the guest contract.
fn code_name(code: i32) -> &'static str {
    match code {
        1 => "cancelled",
        3 => "invalid-argument",
        4 => "deadline-exceeded",
        5 => "not-found",
        6 => "already-exists",
        7 => "permission-denied",
        8 => "resource-exhausted",
        9 => "failed-precondition",
        10 => "aborted",
        11 => "out-of-range",
        12 => "unimplemented",
        13 => "internal",
        14 => "unavailable",
        15 => "data-loss",
        16 => "unauthenticated",
        _ => "unknown",
    }
}

/// This SDK runs handlers in tasks that have lost the request's context, so the daemon refuses what they call.
async fn call(call: Call, request: Request) -> gestalt::Result<Value> {
    let mut app = request.app().await.map_err(|error| Error::internal(error.to_string()))?;
    match app.invoke_raw(&call.app, &call.operation, call.params, None).await {
        Ok(reply) => {
            let body: Value = serde_json::from_str(&reply.body)?;
            Ok(json!({ "status": reply.status, "body": body }))
        }
        Err(gestalt::AppError::Status(status)) => {
            let code = code_name(status.code() as i32);
            Ok(json!({ "refused": { "code": code, "message": status.message() } }))
        }
        Err(error) => Err(Error::internal(error.to_string())),
    }
}

fn router() -> gestalt::Result<Router<Echo>> {
    Router::new()
        .register(
            Operation::<Params, Params>::new("echo")
                .title("Echo")
                .description("Answers its parameters.")
                .read_only(true),
            |_: Arc<Echo>, params, _| async move { Ok::<_, Error>(ok(params)) },
        )?
        .register(
            Operation::<Fail, Value>::new("fail").title("Fail").description("Fails with a status and a message."),
            |_: Arc<Echo>, params, _| fail(params),
        )?
        .register(
            Operation::<Slow, Slept>::new("slow").title("Slow").description("Sleeps, then answers."),
            |_: Arc<Echo>, params, _| slow(params),
        )?
        .register(
            Operation::<Respond, Value>::new("respond").title("Respond").description("Answers as told."),
            |_: Arc<Echo>, params, _| respond(params),
        )?
        .register(
            Operation::<Params, Value>::new("crash").title("Crash").description("Ends the process it runs in."),
            |_: Arc<Echo>, _: Params, _| async move { crash() },
        )?
        .register(
            Operation::<Call, Value>::new("call").title("Call").description("Calls an operation of an app."),
            |_: Arc<Echo>, params, request| call(params, request),
        )
}

/// Not a panic: the SDK would catch that.
fn crash() -> gestalt::Result<Value> {
    std::process::exit(1)
}

gestalt::export_provider!(constructor = Echo::default, router = router);

fn main() -> gestalt::Result<()> {
    let name = std::env::var("GESTALT_APP_NAME").unwrap_or_else(|_| "echo".to_owned());
    match std::env::var("GESTALT_APP_WRITE_CATALOG") {
        Ok(path) => __gestalt_write_catalog(&name, &path),
        Err(_) => __gestalt_serve(&name),
    }
}
