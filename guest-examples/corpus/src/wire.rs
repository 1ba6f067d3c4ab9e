//! Outgoing HTTP, by the raw interface: nothing is corrected on the way to the host.

use crate::wasi::http::outgoing_handler::handle;
use crate::wasi::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions,
    Scheme, http_error_code,
};
use crate::wasi::io::streams::StreamError;
use crate::{Attempt, Ended, refused};
use serde_json::{Map, Value, json};

/// Bytes of an answer's body that a report repeats.
const SHOWN: usize = 64 << 10;

/// Bytes per write: what the host may be handed at once.
const WRITE: usize = 4096;

/// The variant of an error, without its payload: payloads differ by machine and name nothing.
fn name(code: &ErrorCode) -> String {
    let text = format!("{code:?}");
    let text = text.strip_prefix("ErrorCode::").unwrap_or(&text);
    text.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
}

fn stream_error(at: &str, error: &StreamError) -> Value {
    match error {
        StreamError::Closed => refused(at, "closed"),
        StreamError::LastOperationFailed(error) => match http_error_code(error) {
            Some(code) => refused(at, name(&code)),
            None => refused(at, error.to_debug_string()),
        },
    }
}

fn method(name: &str) -> Method {
    match name {
        "" | "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "HEAD" => Method::Head,
        "CONNECT" => Method::Connect,
        "TRACE" => Method::Trace,
        other => Method::Other(other.to_owned()),
    }
}

fn fields(at: &str, pairs: impl Iterator<Item = (impl AsRef<str>, impl AsRef<str>)>) -> Result<Fields, Value> {
    let fields = Fields::new();
    for (name, value) in pairs {
        let (name, value) = (name.as_ref(), value.as_ref());
        fields.append(name, value.as_bytes()).map_err(|error| refused(at, format!("{error:?}")))?;
    }
    Ok(fields)
}

fn request(attempt: &Attempt) -> Result<OutgoingRequest, Value> {
    let bloat = (0..attempt.number("bloat")).map(|i| (format!("x-{i}"), "v".repeat(1024)));
    let given = attempt.pairs("headers").map(|(name, value)| (name.to_owned(), value.to_owned()));
    let request = OutgoingRequest::new(fields("header", given.chain(bloat))?);
    let invalid = |at: &'static str| move |()| refused(at, "invalid");
    request.set_method(&method(attempt.text("method"))).map_err(invalid("method"))?;
    let scheme = attempt.optional_text("scheme").map(|scheme| match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    });
    request.set_scheme(scheme.as_ref()).map_err(invalid("scheme"))?;
    request.set_authority(attempt.optional_text("authority")).map_err(invalid("authority"))?;
    request.set_path_with_query(attempt.optional_text("path")).map_err(invalid("path"))?;
    Ok(request)
}

fn options(attempt: &Attempt) -> Option<RequestOptions> {
    let value = attempt.0["betweenBytesMillis"].as_u64()?;
    let options = RequestOptions::new();
    let _ = options.set_between_bytes_timeout(Some(value * 1_000_000));
    Some(options)
}

/// Writes `body`, or `bodyBytes` of them; an `unfinished` body is kept open for ever.
fn upload(attempt: &Attempt, body: OutgoingBody, trailers: Option<Fields>) -> Result<(), Value> {
    let text = attempt.text("body").as_bytes();
    let mut left = attempt.number("bodyBytes").max(text.len());
    if left > 0 {
        let stream = body.write().map_err(|()| refused("body", "no stream"))?;
        let filler = [b'x'; WRITE];
        while left > 0 {
            let chunk = if text.is_empty() { &filler[..left.min(WRITE)] } else { &text[text.len() - left..] };
            let chunk = &chunk[..chunk.len().min(WRITE)];
            stream.blocking_write_and_flush(chunk).map_err(|error| stream_error("body", &error))?;
            left -= chunk.len();
        }
    }
    if attempt.is("unfinished") {
        std::mem::forget(body);
        return Ok(());
    }
    OutgoingBody::finish(body, trailers).map_err(|code| refused("finish", name(&code)))
}

fn wait(pending: &FutureIncomingResponse) -> Result<IncomingResponse, Value> {
    pending.subscribe().block();
    match pending.get() {
        Some(Ok(answer)) => answer.map_err(|code| refused("answer", name(&code))),
        _ => Err(refused("answer", "gone")),
    }
}

/// All of an answer, of its body the first bytes and how many there were.
fn read(response: &IncomingResponse) -> Ended {
    let headers: Vec<Value> = response
        .headers()
        .entries()
        .into_iter()
        .map(|(name, value)| json!([name, String::from_utf8_lossy(&value)]))
        .collect();
    let mut report = json!({ "status": response.status(), "headers": headers });
    let body = response.consume().map_err(|()| refused("answer", "consumed"))?;
    let stream = body.stream().map_err(|()| refused("answer", "no stream"))?;
    let (mut shown, mut bytes) = (Vec::new(), 0);
    loop {
        match stream.blocking_read(SHOWN as u64) {
            Ok(chunk) => {
                bytes += chunk.len();
                let room = SHOWN - shown.len();
                shown.extend_from_slice(&chunk[..chunk.len().min(room)]);
            }
            Err(StreamError::Closed) => break,
            Err(error) => {
                let mut refusal = stream_error("read", &error);
                refusal["bytes"] = json!(bytes);
                return Err(refusal);
            }
        }
    }
    report["bytes"] = json!(bytes);
    report["body"] = json!(String::from_utf8_lossy(&shown));
    Ok(report)
}

/// One request, as spelled: `method`, `scheme`, `authority`, `path`, `headers`, `bloat` more of 1 KiB, `body` or
/// `bodyBytes`, `trailers`, `unfinished`.
pub(crate) fn http(attempt: &Attempt) -> Ended {
    let request = request(attempt)?;
    let body = request.body().map_err(|()| refused("body", "taken"))?;
    let mut trailers = attempt.pairs("trailers").peekable();
    let trailers = if trailers.peek().is_some() { Some(fields("trailer", trailers)?) } else { None };
    let pending = handle(request, options(attempt)).map_err(|code| refused("send", name(&code)))?;
    let uploaded = upload(attempt, body, trailers);
    // A body that breaks off is told twice; the answer's own error says why.
    let response = wait(&pending)?;
    uploaded?;
    read(&response)
}

/// `count` requests, one after the other or, with `together`, at once; `{i}` in the authority is the number of each.
/// Answers how often each outcome was seen.
pub(crate) fn many(attempt: &Attempt) -> Ended {
    let (mut seen, mut open) = (Map::new(), Vec::new());
    let mut note = |outcome: Ended| {
        let key = match outcome {
            Ok(report) => report["status"].to_string(),
            Err(error) => error["error"].as_str().unwrap_or_default().to_owned(),
        };
        let count = seen.get(&key).and_then(Value::as_u64).unwrap_or_default();
        seen.insert(key, json!(count + 1));
    };
    for i in 0..attempt.number("count") {
        let mut one = attempt.0.clone();
        one["authority"] = json!(attempt.text("authority").replace("{i}", &i.to_string()));
        let one = Attempt(one);
        if !attempt.is("together") {
            note(http(&one));
            continue;
        }
        let sent = request(&one).and_then(|r| handle(r, None).map_err(|code| refused("send", name(&code))));
        match sent {
            Ok(pending) => open.push(pending),
            Err(error) => note(Err(error)),
        }
    }
    // All of them are held until the last has been seen.
    let answers: Vec<_> = open.iter().map(wait).collect();
    for answer in &answers {
        note(answer.as_ref().map(|response| json!({ "status": response.status() })).map_err(Clone::clone));
    }
    Ok(Value::Object(seen))
}
