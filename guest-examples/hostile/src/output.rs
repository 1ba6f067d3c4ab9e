//! Confusing whoever reads the answer: too long, too deep, not what it says it is.

use gestalt_guest::{Binary, Error, Json, Request, Response};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{self, Write};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Log {
    /// `stdout`, `stderr` or `host`.
    stream: String,
    /// Lines of 1 KiB.
    lines: u32,
}

pub(crate) fn log(params: Log, _: &Request) -> Result<Value, Error> {
    let line = "x".repeat(1023);
    let mut write: Box<dyn FnMut() -> io::Result<()>> = match params.stream.as_str() {
        "stdout" => Box::new(|| writeln!(io::stdout(), "{line}")),
        "stderr" => Box::new(|| writeln!(io::stderr(), "{line}")),
        "host" => Box::new(|| {
            gestalt_guest::log(&line);
            Ok(())
        }),
        other => return Err(Error::new(400, format!("no such stream: {other}"))),
    };
    for written in 0..params.lines {
        if let Err(error) = write() {
            return Ok(json!({ "lines": written, "error": error.to_string() }));
        }
    }
    Ok(json!({ "lines": params.lines }))
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Size {
    bytes: usize,
}

pub(crate) fn huge(params: Size, _: &Request) -> Result<Value, Error> {
    Ok(Value::String("x".repeat(params.bytes)))
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Depth {
    levels: usize,
}

pub(crate) fn deep(params: Depth, _: &Request) -> Result<Binary, Error> {
    let text = "[".repeat(params.levels) + &"]".repeat(params.levels);
    // Not as `Json`: reading it would fail here already.
    Ok(Binary::new("application/json", text))
}

pub(crate) fn garbage(_: Value, _: &Request) -> Result<Binary, Error> {
    Ok(Binary::new("application/json", [b'{', 0xff, 0xfe, 0x00]))
}

pub(crate) fn headers(_: Value, _: &Request) -> Result<Response<Json>, Error> {
    Ok(Response::new(200, Json::parse("{}")?)
        .header("Set-Cookie", "session=stolen")
        .header("Strict-Transport-Security", "max-age=0")
        .header("Content-Security-Policy", "default-src *")
        .header("Transfer-Encoding", "chunked")
        .header("Content-Length", "1000000")
        .header("Connection", "upgrade")
        .header("X-Split", "a\r\nX-Injected: 1")
        .header("X Bad Name", "1")
        .header("X-Fine", "1"))
}
