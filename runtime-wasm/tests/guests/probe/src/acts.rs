use crate::exports::gestalt::provider::app_provider::{Context, ExecuteRequest, OperationResult, RpcError};
use crate::gestalt::provider::app::{InvokeRequest, invoke};
use crate::gestalt::provider::common::{StatusCode, Subject, Timestamp};
use crate::gestalt::provider::runtime_log_host::{LogEntry, LogStream, append_logs};
use crate::gestalt::provider::{authorization, cache, indexeddb, s3};
use crate::wasi::clocks::monotonic_clock;
use crate::wasi::random::random;
use crate::wasi::http::{outgoing_handler, types as http};
use crate::wasi::io::streams::StreamError;
use crate::{STARTED, rpc};
use serde_json::{Value, json};
use std::io::Write;
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

static CALLS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// A context kept beyond its call.
    static KEPT: std::cell::RefCell<Option<Context>> = const { std::cell::RefCell::new(None) };
}

pub fn run(context: Context, request: ExecuteRequest) -> Result<OperationResult, RpcError> {
    let text = request.params.clone().unwrap_or_default();
    let params: Value = serde_json::from_str(&text).unwrap_or_default();
    let number = |name: &str| params[name].as_u64().unwrap_or_default();
    match request.operation.as_str() {
        "echo" => return Ok(answer(200, &[("X-Echo", "yes")], text)),
        "request" => return Ok(json_answer(described(&request))),
        "context" => return Ok(json_answer(seen(&context))),
        "count" => return Ok(json_answer(json!(CALLS.fetch_add(1, Ordering::Relaxed) + 1))),
        "started" => return Ok(json_answer(STARTED.with_borrow(|s| json!(s)))),
        "env" => return Ok(json_answer(json!(std::env::vars().collect::<Vec<_>>()))),
        "args" => return Ok(json_answer(json!(std::env::args().collect::<Vec<_>>()))),
        "answer" => return Ok(answer(number("status") as i32, &[("Content-Type", text_of(&params, "type"))], params["body"].as_str().unwrap_or_default().repeat(number("times").max(1) as usize))),
        "header" => return Ok(answer(200, &[(text_of(&params, "name"), text_of(&params, "value"))], String::new())),
        "rpc-error" => return Err(rpc(StatusCode::Unavailable, "not today")),
        "panic" => panic!("told to panic"),
        "exit" => std::process::exit(number("code") as i32),
        "abort" => std::process::abort(),
        "loop" => spin(),
        "recurse" => return Ok(json_answer(json!(recurse(number("seed"))))),
        "sleep" => std::thread::sleep(Duration::from_millis(number("ms"))),
        "naps" => (0..number("times")).for_each(|_| std::thread::sleep(Duration::from_millis(number("ms")))),
        "allocate" => return Ok(json_answer(json!(vec![1_u8; number("bytes") as usize].iter().map(|b| *b as u64).sum::<u64>()))),
        "try-allocate" => return Ok(json_answer(json!(Vec::<u8>::new().try_reserve_exact(number("bytes") as usize).is_err()))),
        "handles" => drop((0..number("times")).map(|_| monotonic_clock::subscribe_duration(0)).collect::<Vec<_>>()),
        "retain" => drop((0..number("times")).map(|_| context.retain()).collect::<Vec<_>>()),
        "fields" => fields(number("times")),
        "print" => return Ok(json_answer(print(&params))),
        "log" => return Ok(json_answer(log(&params))),
        "stdin" => return Ok(json_answer(json!(std::io::read_to_string(std::io::stdin()).unwrap_or_else(|e| e.to_string())))),
        "random" => return Ok(json_answer(json!(random::get_random_bytes(number("bytes")).len()))),
        "keep" => KEPT.set(Some(context.retain())),
        "use-kept" => return Ok(json_answer(KEPT.with_borrow(|kept| call(kept.as_ref().unwrap(), &params)))),
        "mark" => crate::residue::mark(&context, number("seed"), number("pages") as usize),
        "seek" => return Ok(json_answer(crate::residue::seek(number("pages") as usize))),
        "forge" => return Ok(json_answer(json!(crate::residue::forge(number("handle") as u32)))),
        "files" => return Ok(json_answer(files())),
        "blob" => return Ok(answer(0, &[("Content-Type", "text/plain")], "x".repeat(number("bytes") as usize))),
        "sockets" => return Ok(json_answer(sockets())),
        "services" => return Ok(json_answer(services())),
        "invoke" => return Ok(json_answer(call(&context, &params))),
        "fetch" => return Ok(json_answer(fetch(&params).map_or_else(|e| json!(e), |ok| json!(ok)))),
        other => return Ok(answer(404, &[], format!(r#"{{"error":"unknown operation {other}"}}"#))),
    }
    Ok(json_answer(Value::Null))
}

pub fn spin() -> ! {
    loop {
        std::hint::black_box(());
    }
}

fn recurse(n: u64) -> u64 {
    let n = std::hint::black_box(n + 1);
    if n == 0 { 0 } else { recurse(n).wrapping_add(n) }
}

fn text_of<'a>(params: &'a Value, name: &str) -> &'a str {
    params[name].as_str().unwrap_or_default()
}

fn answer(status: i32, headers: &[(&str, &str)], body: String) -> OperationResult {
    let headers = headers.iter().filter(|(n, v)| !n.is_empty() && !v.is_empty());
    OperationResult {
        status,
        body: body.into_bytes(),
        headers: headers.map(|(n, v)| (n.to_string(), vec![v.to_string()])).collect(),
    }
}

fn json_answer(value: Value) -> OperationResult {
    answer(0, &[("Content-Type", "application/json")], value.to_string())
}

/// `"ok"`, or the error's text.
fn outcome<T, E: ToString>(result: Result<T, E>) -> String {
    result.map_or_else(|e| e.to_string(), |_| "ok".to_owned())
}

fn io_outcome<T>(result: std::io::Result<T>) -> String {
    outcome(result.map_err(|e| format!("{:?}", e.kind())))
}

fn described(request: &ExecuteRequest) -> Value {
    json!({
        "params": request.params,
        "token": request.token,
        "connection": request.connection_params,
        "invocation": request.invocation_id,
        "key": request.idempotency_key,
    })
}

fn seen(context: &Context) -> Value {
    let info = context.retain().info();
    let invocation = info.invocation.unwrap();
    let subject = info.subject.unwrap();
    json!({
        "subject": subject.id,
        "permissions": subject.permissions.iter().map(|p| json!([p.app, p.operations, p.all_operations])).collect::<Vec<_>>(),
        "role": info.access.unwrap().role,
        "credential": info.credential.unwrap().instance,
        "caller": info.caller.map(|c| format!("{}/{}", c.kind, c.name)),
        "request": invocation.request_id,
        "depth": invocation.depth,
        "chain": invocation.call_chain,
        "surface": invocation.surface,
        "client": info.request_meta.unwrap().client_ip,
        "base": info.public_base_url,
    })
}

fn fields(times: u64) {
    let fields = http::Fields::new();
    for i in 0..times {
        fields.append(&format!("x-{i}"), &vec![b'v'; 1024]).unwrap();
    }
}

/// Writes `bytes` bytes to a standard stream; says what became of it.
fn print(params: &Value) -> Value {
    let line = "x".repeat(params["bytes"].as_u64().unwrap_or_default() as usize);
    let text = format!("{}{line}\n", text_of(params, "text"));
    let written = match text_of(params, "to") {
        "stderr" => std::io::stderr().write_all(text.as_bytes()),
        _ => std::io::stdout().write_all(text.as_bytes()),
    };
    json!(written.map_err(|e| format!("{:?}", e.kind())).err())
}

fn log(params: &Value) -> Value {
    let entry = |message: String, stream| LogEntry {
        stream,
        message,
        observed_at: Some(Timestamp { seconds: 1, nanos: 5 }),
        source_seq: 0,
    };
    let bytes = params["bytes"].as_u64().unwrap_or_default() as usize;
    let entries = [
        entry(text_of(params, "text").to_owned() + &"y".repeat(bytes), LogStream::Unspecified),
        entry(String::new(), LogStream::Stdout),
    ];
    match append_logs("", &entries) {
        Ok(last) => json!(last),
        Err(e) => json!(format!("{:?}", e.code)),
    }
}

fn files() -> Value {
    json!({
        "read": io_outcome(std::fs::read("/etc/passwd")),
        "list": io_outcome(std::fs::read_dir("/")),
        "write": io_outcome(std::fs::write("/tmp/probe", "x")),
        "here": io_outcome(std::fs::read("probe")),
    })
}

fn sockets() -> Value {
    json!({
        "connect": io_outcome(TcpStream::connect("127.0.0.1:80")),
        "listen": io_outcome(TcpListener::bind("127.0.0.1:0")),
        "udp": io_outcome(UdpSocket::bind("0.0.0.0:0")),
        "resolve": "example.test:80".to_socket_addrs().is_err(),
    })
}

fn services() -> Value {
    fn code<T>(result: Result<T, RpcError>) -> String {
        result.map(|_| "ok".to_owned()).unwrap_or_else(|e| format!("{:?}", e.code))
    }
    json!([
        code(cache::Handle::open(None)),
        code(indexeddb::Database::open(Some("main"))),
        code(s3::Handle::open(None)),
        code(authorization::get_active_model_ref()),
    ])
}

fn call(context: &Context, params: &Value) -> Value {
    let request = InvokeRequest {
        app: text_of(params, "app").to_owned(),
        operation: text_of(params, "operation").to_owned(),
        params: params.get("params").map(|p| p.as_str().map(str::to_owned).unwrap_or_else(|| p.to_string())),
        connection: text_of(params, "connection").to_owned(),
        instance: String::new(),
        idempotency_key: "key".into(),
        credential_mode: text_of(params, "mode").to_owned(),
        run_as: params["runAs"].as_str().map(|id| Subject {
            id: id.to_owned(),
            credential_subject_id: None,
            email: String::new(),
            display_name: String::new(),
            scopes: vec![],
            permissions: vec![],
        }),
    };
    match invoke(context, &request) {
        Ok(result) => json!({
            "status": result.status,
            "body": String::from_utf8_lossy(&result.body),
            "headers": result.headers,
        }),
        Err(e) => json!(format!("{:?}: {}", e.code, e.message)),
    }
}

/// `Ok` with status and body, or the error code.
fn fetch(params: &Value) -> Result<(u16, String), String> {
    let shown = |e: http::ErrorCode| format!("{e:?}");
    let headers = http::Fields::new();
    if let Some(name) = params["header"].as_str() {
        headers.append(name, b"x").map_err(|e| format!("{e:?}"))?;
    }
    let request = http::OutgoingRequest::new(headers);
    request.set_method(&http::Method::Post).unwrap();
    request.set_scheme(Some(&http::Scheme::Http)).unwrap();
    request.set_authority(Some(text_of(params, "host"))).map_err(|()| "authority")?;
    request.set_path_with_query(Some(text_of(params, "path"))).map_err(|()| "path")?;
    let body = request.body().unwrap();
    let options = http::RequestOptions::new();
    options.set_connect_timeout(Some(1_000_000_000)).unwrap();
    let pending = outgoing_handler::handle(request, Some(options)).map_err(shown)?;
    let stream = body.write().unwrap();
    stream.blocking_write_and_flush(text_of(params, "body").as_bytes()).map_err(|e| format!("{e:?}"))?;
    drop(stream);
    http::OutgoingBody::finish(body, None).map_err(shown)?;
    pending.subscribe().block();
    let response = pending.get().unwrap().unwrap().map_err(shown)?;
    let incoming = response.consume().unwrap();
    let stream = incoming.stream().unwrap();
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(chunk) => bytes.extend(chunk),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(e)) => {
                return Err(http::http_error_code(&e).map_or_else(|| e.to_debug_string(), shown));
            }
        }
    }
    Ok((response.status(), String::from_utf8_lossy(&bytes).into_owned()))
}
