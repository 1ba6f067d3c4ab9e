//! One attempt to get out per call, spelled out by the caller, and an honest report of how it ended.
//!
//! `gestaltd provider verify-egress` carries this component in its binary and the end-to-end tests of the boundary run
//! it, so what is attempted is decided there: one operation, `attempt`, whose `act` says what to try. An act that is
//! refused answers `{"error": …}`, and `at` says which step refused it; one that is not tells what it got.

wit_bindgen::generate!({ path: "../../wit", world: "gestalt:provider/app-component", generate_all });

mod ambient;
mod exhaust;
mod output;
mod services;
mod wire;

use exports::gestalt::provider::app_provider::{
    ConnectionMode, Context, ExecuteRequest, Guest, HttpSubject, HttpSubjectRequest, Metadata, OperationResult,
    SessionCatalogRequest,
};
use gestalt::provider::catalog::{Catalog, Operation};
use gestalt::provider::common::{RpcError, StatusCode};
use serde_json::{Map, Value, json};

struct Corpus;
export!(Corpus);

/// What an attempt came to.
type Ended = Result<Value, Value>;

/// The parameters of one attempt. What is absent reads as empty.
struct Attempt(Value);

impl Attempt {
    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    fn optional_text(&self, name: &str) -> Option<&str> {
        self.0[name].as_str()
    }

    fn number(&self, name: &str) -> usize {
        self.0[name].as_u64().unwrap_or_default() as usize
    }

    fn is(&self, name: &str) -> bool {
        self.0[name] == true
    }

    /// A list of pairs of text.
    fn pairs(&self, name: &str) -> impl Iterator<Item = (&str, &str)> {
        let items = self.0[name].as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().map(|pair| (pair[0].as_str().unwrap_or_default(), pair[1].as_str().unwrap_or_default()))
    }
}

/// A refusal: by which step, and in whose words.
fn refused(at: &str, error: impl ToString) -> Value {
    json!({ "at": at, "error": error.to_string() })
}

fn act(context: &Context, attempt: &Attempt) -> Ended {
    match attempt.text("act") {
        "" | "nothing" => Ok(Value::Null),
        "http" => wire::http(attempt),
        "http-many" => wire::many(attempt),
        "tcp" | "listen" | "udp" | "lookup" => ambient::socket(attempt),
        "read" | "list" | "write" | "remove" => ambient::file(attempt),
        "process" => ambient::process(),
        "exit" => std::process::exit(attempt.number("code") as i32),
        "panic" => panic!("told to"),
        "loop" => exhaust::endless(attempt.is("hostcalls")),
        "sleep" => exhaust::sleep(attempt.number("millis")),
        "allocate" => exhaust::allocate(attempt.number("bytes")),
        "recurse" => exhaust::recurse(attempt.is("buffers")),
        "handles" => exhaust::handles(context, attempt),
        "log" => output::log(attempt),
        "count" => output::count(),
        "invoke" => services::invoke(context, attempt),
        "service" => services::open(attempt),
        "context" => services::context(context),
        other => Err(refused("act", other)),
    }
}

fn answer(value: &Value) -> OperationResult {
    OperationResult {
        status: 200,
        body: value.to_string().into_bytes(),
        headers: vec![("Content-Type".into(), vec!["application/json".into()])],
    }
}

fn unimplemented<T>() -> Result<T, RpcError> {
    Err(RpcError { code: StatusCode::Unimplemented, message: String::new() })
}

impl Guest for Corpus {
    fn get_metadata() -> Result<Metadata, RpcError> {
        let attempt = Operation {
            id: "attempt".into(),
            method: String::new(),
            title: "Attempt".into(),
            description: "Tries one way out.".into(),
            input_schema: r#"{"type":"object"}"#.into(),
            output_schema: String::new(),
            annotations: None,
            parameters: Vec::new(),
            required_scopes: Vec::new(),
            tags: Vec::new(),
            read_only: false,
            visible: None,
            transport: String::new(),
            allowed_roles: Vec::new(),
        };
        let catalog = Catalog {
            name: "corpus".into(),
            display_name: "Corpus".into(),
            description: String::new(),
            icon_svg: String::new(),
            operations: vec![attempt],
        };
        Ok(Metadata {
            name: "corpus".into(),
            display_name: "Corpus".into(),
            description: "Tries to get out.".into(),
            connection_mode: ConnectionMode::None,
            auth_types: Vec::new(),
            connection_params: Vec::new(),
            static_catalog: Some(catalog),
            supports_session_catalog: false,
        })
    }

    /// `config.start` is an attempt of its own: an app may misbehave before anybody has called it.
    fn start_provider(_name: String, config: Option<String>) -> Result<(), RpcError> {
        let config: Value = config.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let attempt = Attempt(config["start"].clone());
        let ended = match attempt.text("act") {
            "" => return Ok(()),
            "http" => wire::http(&attempt),
            "loop" => exhaust::endless(attempt.is("hostcalls")),
            "sleep" => exhaust::sleep(attempt.number("millis")),
            "panic" => panic!("told to"),
            other => Err(refused("act", other)),
        };
        // The only way to report from here.
        output::print(&json!({ "start": ended.unwrap_or_else(|error| error) }).to_string());
        Ok(())
    }

    fn execute(context: Context, request: ExecuteRequest) -> Result<OperationResult, RpcError> {
        let params = request.params.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let attempt = Attempt(params.unwrap_or(Value::Object(Map::new())));
        if attempt.text("act") == "answer" {
            return output::answer(&attempt);
        }
        Ok(answer(&act(&context, &attempt).unwrap_or_else(|error| error)))
    }

    fn get_session_catalog(_context: Context, _request: SessionCatalogRequest) -> Result<Catalog, RpcError> {
        unimplemented()
    }

    fn resolve_http_subject(_context: Context, _request: HttpSubjectRequest) -> Result<HttpSubject, RpcError> {
        unimplemented()
    }
}
