//! Calls other apps, and itself, through the host.

use gestalt_guest::{App, CallError, Empty, Error, Json, Operation, Reply, Request};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// More than any host allows.
const LEVELS: u32 = 16;

#[derive(Deserialize, JsonSchema)]
struct Call {
    app: String,
    operation: String,
    /// Parameters of the other operation; none when absent.
    params: Option<Json>,
}

/// What came of a call: a reply, or the reason why there is none.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<i32>,
    /// The other app's body when it is JSON, else its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Vec<(String, Vec<String>)>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<Refused>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Refused {
    /// Such as `resource-exhausted`.
    code: String,
    message: String,
}

impl From<CallError> for Refused {
    fn from(error: CallError) -> Self {
        Self { code: error.code_name().into(), message: error.message().into() }
    }
}

fn outcome(result: Result<Reply, CallError>) -> Result<Outcome, Error> {
    Ok(match result {
        Ok(reply) => {
            let text = String::from_utf8_lossy(&reply.body).into_owned();
            let body = Json::parse(text.clone()).or_else(|_| Json::from_value(&text))?;
            Outcome { status: Some(reply.status), body: Some(body), headers: Some(reply.headers), refused: None }
        }
        Err(error) => Outcome { status: None, body: None, headers: None, refused: Some(error.into()) },
    })
}

fn call(call: Call, request: &Request) -> Result<Outcome, Error> {
    let params = call.params.map_or_else(|| Json::parse("{}"), Ok)?;
    outcome(request.invoke(&call.app, &call.operation, &params))
}

/// Calls the operation that is running: an endless chain, if the host let it.
fn recurse(_params: Json, request: &Request) -> Result<Outcome, Error> {
    outcome(request.invoke(request.app_name(), request.operation(), &Empty {}))
}

/// How far down a chain of calls got, and what ended it.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Descent {
    /// The last level that ran.
    level: u32,
    refused: Option<Refused>,
}

/// Level n calls level n + 1: a chain as long as the host allows.
fn descend(level: u32, request: &Request) -> Result<Descent, Error> {
    if level + 1 == LEVELS {
        return Ok(Descent { level, refused: None });
    }
    match request.invoke(request.app_name(), &format!("descend.{}", level + 1), &Empty {}) {
        Ok(reply) => Ok(reply.json()?),
        Err(error) => Ok(Descent { level, refused: Some(error.into()) }),
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Whoami {
    subject: String,
    app: String,
    invocation_id: String,
    depth: i32,
    call_chain: Vec<String>,
    surface: String,
}

fn whoami(_params: Json, request: &Request) -> Result<Whoami, Error> {
    let invocation = request.context().invocation.clone();
    Ok(Whoami {
        subject: request.subject().into(),
        app: request.app_name().into(),
        invocation_id: request.invocation_id().into(),
        depth: invocation.as_ref().map_or(0, |i| i.depth),
        call_chain: invocation.as_ref().map(|i| i.call_chain.clone()).unwrap_or_default(),
        surface: invocation.map(|i| i.surface).unwrap_or_default(),
    })
}

fn app() -> App {
    let app = App::new("caller")
        .display_name("Caller")
        .description("Calls other apps.")
        .operation(Operation::new("call").title("Call").description("Calls an operation of an app."), call)
        .operation(Operation::new("recurse").title("Recurse").description("Calls itself."), recurse)
        .operation(
            Operation::new("whoami").title("Who am I").description("Tells what the host says of the caller."),
            whoami,
        );
    (0..LEVELS).fold(app, |app, level| {
        let operation = Operation::new(format!("descend.{level}")).description("Calls the level below it.");
        app.operation(operation, move |_: Json, request: &Request| descend(level, request))
    })
}

gestalt_guest::export!(app);
