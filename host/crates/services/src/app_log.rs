use gestalt_core::AppName;
use gestalt_core::service::{LogEntry, LogSink, LogStream};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Passes apps' lines on to the daemon's log: target `app`, fields `app`, `stream` and `invocation`.
#[derive(Default)]
pub struct AppLog {
    /// Last number given per app. Apps are fixed at start-up, so the map is as long as the config.
    sequence: Mutex<BTreeMap<AppName, u64>>,
}

impl LogSink for AppLog {
    fn append(&self, app: &AppName, entry: LogEntry) -> u64 {
        let invocation = (!entry.invocation_id.is_empty()).then_some(entry.invocation_id.as_str());
        let (name, stream, line) = (app.as_str(), entry.stream.as_str(), entry.message);
        match entry.stream {
            LogStream::Stderr => tracing::warn!(target: "app", app = name, stream, invocation, "{line}"),
            LogStream::Stdout | LogStream::Runtime => {
                tracing::info!(target: "app", app = name, stream, invocation, "{line}");
            }
        }
        let mut sequence = self.sequence.lock().unwrap_or_else(PoisonError::into_inner);
        let last = sequence.entry(app.clone()).or_default();
        *last += 1;
        *last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_per_app() {
        let log = AppLog::default();
        let entry = |stream| LogEntry { stream, message: "x".into(), observed_at: None, invocation_id: String::new() };
        let (a, b) = (AppName::parse("a").unwrap(), AppName::parse("b").unwrap());
        let numbers = [(&a, LogStream::Stdout), (&b, LogStream::Stderr), (&a, LogStream::Runtime)]
            .map(|(app, stream)| log.append(app, entry(stream)));
        assert_eq!(numbers, [1, 1, 2]);
    }
}
