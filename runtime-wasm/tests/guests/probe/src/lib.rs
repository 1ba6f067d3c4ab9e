//! Operations named after what they do to the host. `env` and `config` choose how it presents itself and starts.

wit_bindgen::generate!({
    path: "../../../../wit",
    inline: "
        package gestalt:probe;
        world probe {
            include gestalt:provider/app-component@0.4.0;
            import wasi:random/random@0.2.12;
        }
    ",
    world: "gestalt:probe/probe",
    generate_all,
});

mod acts;
mod residue;

use exports::gestalt::provider::app_provider::{
    Catalog, ConnectionMode, Context, ExecuteRequest, Guest, HttpSubject, HttpSubjectRequest, Metadata, OperationResult,
    Rejection, RpcError, SessionCatalogRequest, Subject,
};
use gestalt::provider::catalog::Operation;
use gestalt::provider::common::StatusCode;
use serde_json::{Value, json};
use std::cell::RefCell;

struct Probe;
export!(Probe);

thread_local! {
    /// What `start-provider` was given.
    static STARTED: RefCell<Vec<(String, Option<String>)>> = const { RefCell::new(Vec::new()) };
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn rpc(code: StatusCode, message: impl Into<String>) -> RpcError {
    RpcError { code, message: message.into() }
}

fn operation(id: &str) -> Operation {
    Operation {
        id: id.into(),
        method: String::new(),
        title: format!("The {id}"),
        description: String::new(),
        input_schema: r#"{"type":"object"}"#.into(),
        output_schema: String::new(),
        annotations: None,
        parameters: vec![],
        required_scopes: vec![],
        tags: vec![],
        read_only: false,
        visible: None,
        transport: String::new(),
        allowed_roles: vec![],
    }
}

fn catalog(ids: &[&str]) -> Catalog {
    Catalog {
        name: "probe".into(),
        display_name: "Probe".into(),
        description: String::new(),
        icon_svg: String::new(),
        operations: ids.iter().map(|id| operation(id)).collect(),
    }
}

impl Guest for Probe {
    fn get_metadata() -> Result<Metadata, RpcError> {
        let static_catalog = match variable("CATALOG").as_str() {
            "twice" => Some(catalog(&["a", "a"])),
            "bad" => Some(catalog(&["-"])),
            "panic" => panic!("no metadata today"),
            "loop" => acts::spin(),
            "static" | "session" => Some(catalog(&["echo", "static.only"])),
            _ => None,
        };
        Ok(Metadata {
            name: "probe".into(),
            display_name: "A probe".into(),
            description: "Does as it is told".into(),
            connection_mode: ConnectionMode::None,
            auth_types: vec![],
            connection_params: vec![],
            static_catalog,
            supports_session_catalog: variable("CATALOG") == "session",
        })
    }

    fn start_provider(name: String, config: Option<String>) -> Result<(), RpcError> {
        let value: Value = config.as_deref().map(|c| serde_json::from_str(c).unwrap()).unwrap_or_default();
        if let Some(text) = value["refuse"].as_str() {
            return Err(rpc(StatusCode::InvalidArgument, text));
        }
        if value["sleep"] == true {
            std::thread::sleep(std::time::Duration::from_secs(3600));
        }
        STARTED.with_borrow_mut(|started| started.push((name, config)));
        println!("started");
        Ok(())
    }

    fn execute(context: Context, request: ExecuteRequest) -> Result<OperationResult, RpcError> {
        acts::run(context, request)
    }

    fn get_session_catalog(context: Context, request: SessionCatalogRequest) -> Result<Catalog, RpcError> {
        let info = context.info();
        if info.subject.is_some() || info.invocation.is_some() {
            return Err(rpc(StatusCode::Internal, "somebody's authority in a catalog request"));
        }
        match request.token.as_str() {
            "none" => Err(rpc(StatusCode::Unimplemented, "")),
            "fail" => Err(rpc(StatusCode::Unknown, "session catalog: upstream is away")),
            token => {
                let mut extra = catalog(&["echo", "session.only"]);
                extra.operations[0].title = format!("{token} {:?}", request.connection_params);
                Ok(extra)
            }
        }
    }

    fn resolve_http_subject(_context: Context, request: HttpSubjectRequest) -> Result<HttpSubject, RpcError> {
        match request.raw_body.as_slice() {
            b"unresolved" => Ok(HttpSubject::Unresolved),
            b"reject" => Ok(HttpSubject::Reject(Rejection { status: 401, message: "who are you".into() })),
            b"unimplemented" => Err(rpc(StatusCode::Unimplemented, "")),
            body => Ok(HttpSubject::Subject(Subject {
                id: format!("{}:{}", String::from_utf8_lossy(body), headers(&request)),
                credential_subject_id: None,
                email: String::new(),
                display_name: String::new(),
                scopes: vec![],
                permissions: vec![],
            })),
        }
    }
}

fn headers(request: &HttpSubjectRequest) -> String {
    json!(request.headers).to_string()
}
