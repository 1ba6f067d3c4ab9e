//! Confusing whoever reads: too much, too deep, not what it says it is.

use crate::exports::gestalt::provider::app_provider::OperationResult;
use crate::gestalt::provider::common::{RpcError, StatusCode};
use crate::gestalt::provider::runtime_log_host::{LogEntry, LogStream, append_logs};
use crate::{Attempt, Ended};
use serde_json::json;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) fn print(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// `lines` of 1 KiB to `stream`: `stdout`, `stderr` or `host`.
pub(crate) fn log(attempt: &Attempt) -> Ended {
    let line = "x".repeat(1023);
    for written in 0..attempt.number("lines") {
        let ended = match attempt.text("stream") {
            "stderr" => writeln!(io::stderr(), "{line}").map_err(|error| error.to_string()),
            "host" => {
                let entry =
                    LogEntry { stream: LogStream::Runtime, message: line.clone(), observed_at: None, source_seq: 0 };
                append_logs("", &[entry]).map(drop).map_err(|error| error.message)
            }
            _ => writeln!(io::stdout(), "{line}").map_err(|error| error.to_string()),
        };
        if let Err(error) = ended {
            return Err(json!({ "at": "log", "error": error, "lines": written }));
        }
    }
    Ok(json!({ "lines": attempt.number("lines") }))
}

/// How many calls this instance has had: more than one means that something is left over.
pub(crate) fn count() -> Ended {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    Ok(json!({ "calls": CALLS.fetch_add(1, Ordering::Relaxed) + 1 }))
}

/// An answer of `kind`: `huge` with `bytes`, `deep` with `levels`, `garbage`, `headers`, `error` or `status`.
pub(crate) fn answer(attempt: &Attempt) -> Result<OperationResult, RpcError> {
    let (mut status, mut headers) = (200, vec![("Content-Type".to_owned(), vec!["application/json".to_owned()])]);
    let body = match attempt.text("kind") {
        "huge" => format!("{:?}", "x".repeat(attempt.number("bytes"))).into_bytes(),
        "deep" => {
            let levels = attempt.number("levels");
            ("[".repeat(levels) + &"]".repeat(levels)).into_bytes()
        }
        "garbage" => vec![b'{', 0xff, 0xfe, 0x00],
        "headers" => {
            headers.extend(attempt.pairs("headers").map(|(name, value)| (name.to_owned(), vec![value.to_owned()])));
            b"{}".to_vec()
        }
        "status" => {
            status = attempt.0["status"].as_i64().unwrap_or_default() as i32;
            b"{}".to_vec()
        }
        _ => return Err(RpcError { code: StatusCode::Internal, message: attempt.text("message").to_owned() }),
    };
    Ok(OperationResult { status, body, headers })
}
