use crate::AppName;
use std::time::SystemTime;

/// Takes what an app writes: its stdout and stderr lines and its explicit log entries.
///
/// Must neither block nor fail: an app that floods its log is cut off by the caller, not here.
pub trait LogSink: Send + Sync + 'static {
    /// Takes one entry. Returns its sequence number within the app, from 1, strictly rising.
    fn append(&self, app: &AppName, entry: LogEntry) -> u64;
}

/// One line an app wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Where the app wrote it.
    pub stream: LogStream,
    /// The line, without its end; cut by the caller to its own bound.
    pub message: String,
    /// When the app says it happened; `None` means now.
    pub observed_at: Option<SystemTime>,
    /// The invocation it belongs to; empty outside of one.
    pub invocation_id: String,
}

/// Where a log line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// An explicit log call.
    Runtime,
}

impl LogStream {
    /// The spelling used in log fields.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Runtime => "runtime",
        }
    }
}
