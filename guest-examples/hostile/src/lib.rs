//! What a component must not get away with. Every operation tries one thing and tells what came of it, so that a test
//! can tell containment from luck.

mod ambient;
mod exhaust;
mod output;

use gestalt_guest::{App, Error, Operation, Request, Start};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};

/// What the app is told to do while it starts.
#[derive(Default, Deserialize)]
struct Config {
    /// `panic`, `loop`, `sleep`, `exit` or `error`; empty starts as it should.
    #[serde(default)]
    start: String,
}

fn start(start: &Start) -> Result<(), Error> {
    let config: Config = start.config()?;
    match config.start.as_str() {
        "panic" => panic!("crashed at start on purpose"),
        "loop" => exhaust::spin(),
        "sleep" => std::thread::sleep(std::time::Duration::from_secs(3600)),
        "exit" => std::process::exit(3),
        "error" => return Err(Error::internal("refuses to start on purpose")),
        _ => {}
    }
    Ok(())
}

/// Counts the calls this instance has had: more than one means that state is left over.
fn count(_: Value, _: &Request) -> Result<Value, Error> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    Ok(json!({ "calls": CALLS.fetch_add(1, Ordering::Relaxed) + 1 }))
}

fn app() -> App {
    let op = Operation::new;
    App::new("hostile")
        .display_name("Hostile")
        .description("Tries to get out.")
        .on_start(start)
        .operation(op("count").description("Counts the calls of its instance."), count)
        .operation(op("loop").description("Never returns, calling the host or not."), exhaust::endless)
        .operation(op("allocate").description("Takes memory."), exhaust::allocate)
        .operation(op("recurse").description("Calls itself without end."), exhaust::recurse)
        .operation(op("sleep").description("Waits."), exhaust::sleep)
        .operation(op("handles").description("Takes host resources and never gives them back."), exhaust::handles)
        .operation(op("requests").description("Holds outgoing requests open."), exhaust::requests)
        .operation(op("panic").description("Panics."), exhaust::panic)
        .operation(op("exit").description("Ends the process."), exhaust::exit)
        .operation(op("tcp").description("Connects and listens."), ambient::tcp)
        .operation(op("udp").description("Sends a datagram."), ambient::udp)
        .operation(op("resolve").description("Looks a name up."), ambient::resolve)
        .operation(op("files").description("Reads, lists and writes files."), ambient::files)
        .operation(op("env").description("Reads environment, arguments and standard input."), ambient::env)
        .operation(op("log").description("Floods the log."), output::log)
        .operation(op("huge").description("Answers with many bytes."), output::huge)
        .operation(op("deep").description("Answers with deep JSON."), output::deep)
        .operation(op("garbage").description("Answers with what is not JSON, but says it is."), output::garbage)
        .operation(op("headers").description("Answers with headers that are not its own to set."), output::headers)
}

gestalt_guest::export!(app);
