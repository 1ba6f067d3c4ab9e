//! Taking more than its share: time, memory, stack, handles.

use gestalt_guest::bindings::gestalt::provider::request_context::Context;
use gestalt_guest::bindings::wasi::clocks::monotonic_clock;
use gestalt_guest::bindings::wasi::http::outgoing_handler;
use gestalt_guest::bindings::wasi::http::types::{Fields, OutgoingRequest, Scheme};
use gestalt_guest::{Error, Request};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::hint::black_box;
use std::time::Duration;

pub(crate) fn spin() -> ! {
    loop {
        black_box(0);
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Loop {
    /// Call the host each time around.
    #[serde(default)]
    hostcalls: bool,
}

pub(crate) fn endless(params: Loop, _: &Request) -> Result<Value, Error> {
    if !params.hostcalls {
        spin();
    }
    loop {
        black_box(monotonic_clock::now());
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Allocate {
    bytes: usize,
    /// Take it as ordinary code does, which cannot go on without, instead of asking politely.
    #[serde(default)]
    insist: bool,
}

pub(crate) fn allocate(params: Allocate, _: &Request) -> Result<Value, Error> {
    const STEP: usize = 1 << 20;
    let mut taken: Vec<Vec<u8>> = Vec::new();
    let mut bytes = 0;
    while bytes < params.bytes {
        let step = STEP.min(params.bytes - bytes);
        let mut block = Vec::new();
        if !params.insist && block.try_reserve_exact(step).is_err() {
            return Ok(json!({ "bytes": bytes, "refused": true }));
        }
        // Written to, so that the pages are really there.
        block.resize(step, 1);
        taken.push(black_box(block));
        bytes += step;
    }
    Ok(json!({ "bytes": bytes, "refused": false }))
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Recurse {
    /// Keep a buffer in each frame, and so overflow the stack in linear memory instead of the host's.
    #[serde(default)]
    buffers: bool,
}

pub(crate) fn recurse(params: Recurse, _: &Request) -> Result<Value, Error> {
    let end = if params.buffers { buffers(1) } else { frames(1) };
    Ok(json!({ "end": end }))
}

/// Twice, or the compiler makes it a loop.
#[inline(never)]
#[allow(unconditional_recursion, reason = "that is the point")]
fn frames(n: u64) -> u64 {
    frames(n + 1).wrapping_mul(n | 1).wrapping_add(frames(n + 2))
}

#[inline(never)]
#[allow(unconditional_recursion, reason = "that is the point")]
fn buffers(n: u64) -> u64 {
    let mut buffer = [0_u8; 1024];
    buffer[(n % 1024) as usize] = 1;
    buffers(n + 1) + u64::from(black_box(&buffer)[0])
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Sleep {
    millis: u64,
}

pub(crate) fn sleep(params: Sleep, _: &Request) -> Result<Value, Error> {
    std::thread::sleep(Duration::from_millis(params.millis));
    Ok(json!({ "slept": params.millis }))
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Handles {
    /// `contexts`, `fields` or `pollables`.
    kind: String,
    count: u32,
}

pub(crate) fn handles(params: Handles, request: &Request) -> Result<Value, Error> {
    match params.kind.as_str() {
        "contexts" => {
            let context = request.authority().ok_or_else(|| Error::internal("there is no host"))?;
            take(params.count, || Context::retain(context));
        }
        "fields" => take(params.count, Fields::new),
        "pollables" => take(params.count, || monotonic_clock::subscribe_duration(u64::MAX)),
        other => return Err(Error::new(400, format!("no such kind of handle: {other}"))),
    }
    Ok(json!({ "taken": params.count }))
}

fn take<T>(count: u32, make: impl Fn() -> T) {
    for _ in 0..count {
        std::mem::forget(make());
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Requests {
    /// `host:port`, over plain HTTP.
    authority: String,
    count: u32,
}

pub(crate) fn requests(params: Requests, _: &Request) -> Result<Value, Error> {
    let (mut open, mut refused) = (Vec::new(), Vec::new());
    for _ in 0..params.count {
        let outgoing = OutgoingRequest::new(Fields::new());
        let set = outgoing
            .set_scheme(Some(&Scheme::Http))
            .and_then(|()| outgoing.set_authority(Some(&params.authority)))
            .and_then(|()| outgoing.set_path_with_query(Some("/")));
        set.map_err(|()| Error::new(400, "no such authority"))?;
        match outgoing_handler::handle(outgoing, None) {
            Ok(response) => open.push(response),
            Err(code) => refused.push(code.to_string()),
        }
    }
    for response in &open {
        response.subscribe().block();
    }
    // Each answer, or the code of its failure; the responses stay open until here.
    let answers: Vec<_> = open.iter().map(|response| response.get()).collect();
    let failed = answers.iter().filter_map(|answer| match answer {
        Some(Ok(Err(code))) => Some(code.to_string()),
        _ => None,
    });
    refused.extend(failed);
    Ok(json!({ "answered": params.count as usize - refused.len(), "refused": refused }))
}

pub(crate) fn panic(_: Value, _: &Request) -> Result<Value, Error> {
    panic!("crashed on purpose")
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Exit {
    #[serde(default)]
    code: i32,
}

pub(crate) fn exit(params: Exit, _: &Request) -> Result<Value, Error> {
    std::process::exit(params.code)
}
