use crate::bindings::gestalt::provider::runtime_log_host::{LogEntry, LogStream, append_logs};
use std::fmt::Display;

/// Writes one line to the app's log. What goes to stdout and stderr ends up there too; this way a line stays one line
/// and does not share the bound on those streams.
pub fn log(message: impl Display) {
    let entry = LogEntry { stream: LogStream::Runtime, message: message.to_string(), observed_at: None, source_seq: 0 };
    if let Err(error) = append_logs("", &[entry]) {
        eprintln!("{message} (not logged: {})", error.message);
    }
}
