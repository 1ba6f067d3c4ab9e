//! Answers what it is asked: the operations every echo example has, whatever it is written in.

use gestalt_guest::{App, Empty, Error, Json, Operation, Request, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Deserialize, JsonSchema)]
struct Fail {
    /// HTTP status; absent or 0 fails without one.
    #[serde(default)]
    status: u16,
    /// What the caller is told.
    #[serde(default)]
    message: String,
}

#[derive(Deserialize, JsonSchema)]
struct Slow {
    /// How long to sleep.
    millis: u64,
}

#[derive(Serialize, JsonSchema)]
struct Slept {
    slept: u64,
}

#[derive(Deserialize, JsonSchema)]
struct Respond {
    /// HTTP status.
    status: u16,
    /// Header names with all their values.
    #[serde(default)]
    headers: BTreeMap<String, Vec<String>>,
    /// The body, as it is; `null` when absent.
    body: Option<Json>,
}

fn echo(params: Json, _request: &Request) -> Result<Json, Error> {
    Ok(params)
}

fn fail(fail: Fail, _request: &Request) -> Result<Empty, Error> {
    Err(match fail.status {
        0 => Error::internal(fail.message),
        status => Error::new(status, fail.message),
    })
}

fn slow(slow: Slow, _request: &Request) -> Result<Slept, Error> {
    std::thread::sleep(Duration::from_millis(slow.millis));
    Ok(Slept { slept: slow.millis })
}

fn respond(respond: Respond, _request: &Request) -> Result<Response<Option<Json>>, Error> {
    let mut response = Response::new(respond.status, respond.body);
    for (name, values) in respond.headers {
        for value in values {
            response = response.header(&name, value);
        }
    }
    Ok(response)
}

#[derive(Deserialize, JsonSchema)]
struct Call {
    app: String,
    operation: String,
    /// Parameters of the other operation; none when absent.
    params: Option<Json>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Called {
    Refused {
        code: &'static str,
        message: String,
    },
    #[serde(untagged)]
    Answered {
        status: i32,
        body: Json,
    },
}

fn call(call: Call, request: &Request) -> Result<Called, Error> {
    let params = call.params.map_or_else(|| Json::parse("{}"), Ok)?;
    Ok(match request.invoke(&call.app, &call.operation, &params) {
        Ok(reply) => Called::Answered { status: reply.status, body: reply.json()? },
        Err(error) => Called::Refused { code: error.code_name(), message: error.message().into() },
    })
}

fn crash(_: Empty, _request: &Request) -> Result<Empty, Error> {
    panic!("crashed on purpose")
}

fn app() -> App {
    App::new("echo")
        .display_name("Echo")
        .description("Answers what it is asked.")
        .operation(Operation::new("echo").title("Echo").description("Answers its parameters.").read_only(), echo)
        .operation(Operation::new("fail").title("Fail").description("Fails with a status and a message."), fail)
        .operation(Operation::new("slow").title("Slow").description("Sleeps, then answers."), slow)
        .operation(Operation::new("respond").title("Respond").description("Answers as told."), respond)
        .operation(Operation::new("crash").title("Crash").description("Ends the instance it runs in."), crash)
        .operation(Operation::new("call").title("Call").description("Calls an operation of an app."), call)
}

gestalt_guest::export!(app);
