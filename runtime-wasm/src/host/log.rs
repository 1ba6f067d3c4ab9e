//! `gestalt:provider/runtime-log-host`: explicit log entries.

use crate::bindings::gestalt::provider::common::{RpcError, Timestamp};
use crate::bindings::gestalt::provider::runtime_log_host::{Host, LogEntry, LogStream};
use crate::convert;
use crate::state::State;
use gestalt_core::Code;
use gestalt_core::service::LogStream as Stream;
use std::time::{Duration, SystemTime};

impl Host for State {
    /// The session id is not looked at: whose log it is, is decided by whose instance this is.
    fn append_logs(&mut self, _session: String, entries: Vec<LogEntry>) -> wasmtime::Result<Result<i64, RpcError>> {
        let mut last = 0;
        for entry in entries.iter().filter(|entry| !entry.message.is_empty()) {
            let stream = match entry.stream {
                LogStream::Stdout => Stream::Stdout,
                LogStream::Stderr => Stream::Stderr,
                LogStream::Runtime | LogStream::Unspecified => Stream::Runtime,
            };
            match self.log.append(stream, &entry.message, entry.observed_at.and_then(instant)) {
                Ok(number) => last = number,
                Err(crate::log::Full) => {
                    let error = gestalt_core::RpcError::new(Code::ResourceExhausted, "this call has logged enough");
                    return Ok(Err(convert::rpc_error(error)));
                }
            }
        }
        Ok(Ok(i64::try_from(last).unwrap_or(i64::MAX)))
    }
}

/// `None` for an instant no clock of this machine can show.
fn instant(at: Timestamp) -> Option<SystemTime> {
    let nanos = Duration::from_nanos(at.nanos.into());
    let seconds = Duration::from_secs(at.seconds.unsigned_abs());
    let whole = if at.seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(seconds)
    };
    whole?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_reach_back_before_1970_and_never_overflow() {
        let epoch = SystemTime::UNIX_EPOCH;
        let half = Duration::from_millis(500);
        let at = |seconds, nanos| instant(Timestamp { seconds, nanos });
        assert_eq!(at(1, 500_000_000), Some(epoch + Duration::from_secs(1) + half));
        assert_eq!(at(-1, 500_000_000), Some(epoch - half));
        assert_eq!(at(i64::MAX, u32::MAX), None);
        assert!(at(i64::MIN, 0).is_none_or(|at| at < epoch));
    }
}
