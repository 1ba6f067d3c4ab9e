//! What an app writes, from its bytes to the log sink, within its bound.

use gestalt_core::AppName;
use gestalt_core::limits::ByteSize;
use gestalt_core::service::{LogEntry, LogSink, LogStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// Longest line. A longer one is cut into several: a guest that never ends its line must not grow a buffer.
const LINE: usize = 8 << 10;

/// The log of one instance: its standard output, its standard error and its explicit entries.
///
/// All three share one bound per call; past it, writing fails, and the log says once that something is missing.
pub(crate) struct CallLog {
    app: AppName,
    sink: Arc<dyn LogSink>,
    bound: ByteSize,
    state: Mutex<State>,
}

struct State {
    /// The call in progress; empty during start-up.
    invocation_id: Arc<str>,
    left: usize,
    is_cut: bool,
    /// Lines not yet ended, of stdout and stderr.
    open: [Vec<u8>; 2],
}

/// The bound is used up.
#[derive(Debug)]
pub(crate) struct Full;

impl CallLog {
    pub(crate) fn new(app: AppName, sink: Arc<dyn LogSink>, bound: ByteSize) -> Self {
        let state = State { invocation_id: "".into(), left: bound.as_usize(), is_cut: false, open: Default::default() };
        Self { app, sink, bound, state: Mutex::new(state) }
    }

    /// What follows belongs to this call.
    pub(crate) fn begin(&self, invocation_id: Arc<str>) {
        let mut state = self.lock();
        self.end_lines(&mut state);
        state.invocation_id = invocation_id;
        state.left = self.bound.as_usize();
        state.is_cut = false;
    }

    /// The call in progress; empty during start-up.
    pub(crate) fn invocation_id(&self) -> Arc<str> {
        self.lock().invocation_id.clone()
    }

    /// Writes out lines the guest has not ended.
    pub(crate) fn end(&self) {
        self.end_lines(&mut self.lock());
    }

    /// How many bytes may still be written.
    pub(crate) fn left(&self) -> usize {
        let mut state = self.lock();
        if state.left == 0 {
            self.cut(&mut state);
        }
        state.left
    }

    /// Takes bytes of stdout or stderr.
    pub(crate) fn write(&self, stream: LogStream, bytes: &[u8]) -> Result<(), Full> {
        let mut state = self.lock();
        self.charge(&mut state, bytes.len())?;
        let index = usize::from(stream == LogStream::Stderr);
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            let (text, ended) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            let mut rest = text;
            while state.open[index].len() + rest.len() > LINE {
                let (head, tail) = rest.split_at(LINE - state.open[index].len());
                state.open[index].extend_from_slice(head);
                self.end_line(&mut state, stream);
                rest = tail;
            }
            state.open[index].extend_from_slice(rest);
            if ended {
                self.end_line(&mut state, stream);
            }
        }
        Ok(())
    }

    /// Takes one explicit entry. Returns its number.
    pub(crate) fn append(
        &self,
        stream: LogStream,
        message: &str,
        observed_at: Option<SystemTime>,
    ) -> Result<u64, Full> {
        let mut state = self.lock();
        self.charge(&mut state, message.len())?;
        let message = message[..message.floor_char_boundary(LINE)].to_owned();
        Ok(self.emit(&state, stream, message, observed_at))
    }

    fn charge(&self, state: &mut State, bytes: usize) -> Result<(), Full> {
        match state.left.checked_sub(bytes) {
            Some(left) => {
                state.left = left;
                Ok(())
            }
            None => {
                self.cut(state);
                Err(Full)
            }
        }
    }

    fn cut(&self, state: &mut State) {
        if !std::mem::replace(&mut state.is_cut, true) {
            self.end_lines(state);
            let message = format!("log cut off: more than {} in one call", self.bound);
            self.emit(state, LogStream::Runtime, message, None);
        }
    }

    fn end_lines(&self, state: &mut State) {
        for (index, stream) in [LogStream::Stdout, LogStream::Stderr].into_iter().enumerate() {
            if !state.open[index].is_empty() {
                self.end_line(state, stream);
            }
        }
    }

    fn end_line(&self, state: &mut State, stream: LogStream) {
        let index = usize::from(stream == LogStream::Stderr);
        let line = std::mem::take(&mut state.open[index]);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        self.emit(state, stream, String::from_utf8_lossy(line).into_owned(), None);
    }

    fn emit(&self, state: &State, stream: LogStream, message: String, observed_at: Option<SystemTime>) -> u64 {
        let invocation_id = state.invocation_id.as_ref().to_owned();
        self.sink.append(&self.app, LogEntry { stream, message, observed_at, invocation_id })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; if a sink did, the text in flight is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Lines(Mutex<Vec<(LogStream, String, String)>>);

    impl LogSink for Lines {
        fn append(&self, _app: &AppName, entry: LogEntry) -> u64 {
            let mut lines = self.0.lock().unwrap();
            lines.push((entry.stream, entry.message, entry.invocation_id));
            lines.len() as u64
        }
    }

    impl Lines {
        fn take(&self) -> Vec<String> {
            let lines = std::mem::take(&mut *self.0.lock().unwrap());
            lines.into_iter().map(|(stream, text, id)| format!("{}:{id}:{text}", stream.as_str())).collect()
        }
    }

    fn log(bound: u64) -> (Arc<Lines>, CallLog) {
        let lines = Arc::new(Lines::default());
        let log = CallLog::new(AppName::parse("app").unwrap(), lines.clone(), ByteSize(bound));
        (lines, log)
    }

    #[test]
    fn lines_are_assembled_per_stream_and_belong_to_their_call() {
        let (lines, log) = log(1000);
        log.write(LogStream::Stdout, b"boot\n").unwrap();
        log.begin("one".into());
        log.write(LogStream::Stdout, b"a").unwrap();
        log.write(LogStream::Stderr, b"b\r\n\nc").unwrap();
        log.write(LogStream::Stdout, b"a\n\xff").unwrap();
        log.begin("two".into());
        log.write(LogStream::Stdout, b"d").unwrap();
        log.end();
        let expect = [
            "stdout::boot",
            "stderr:one:b",
            "stderr:one:",
            "stdout:one:aa",
            "stdout:one:\u{fffd}",
            "stderr:one:c",
            "stdout:two:d",
        ];
        assert_eq!(lines.take(), expect);
    }

    #[test]
    fn a_line_without_end_is_cut_into_pieces() {
        let (lines, log) = log(1 << 20);
        log.write(LogStream::Stdout, &vec![b'x'; 2 * LINE + 1]).unwrap();
        log.end();
        let lengths: Vec<_> = lines.take().iter().map(|l| l.len() - "stdout::".len()).collect();
        assert_eq!(lengths, [LINE, LINE, 1]);
    }

    #[test]
    fn past_the_bound_writing_fails_and_the_log_says_so_once() {
        let (lines, log) = log(4);
        log.write(LogStream::Stdout, b"abcd").unwrap();
        assert_eq!(log.left(), 0);
        assert!(log.write(LogStream::Stderr, b"e").is_err());
        assert!(log.append(LogStream::Runtime, "f", None).is_err());
        assert_eq!(lines.take(), ["stdout::abcd", "runtime::log cut off: more than 4B in one call"]);
        log.begin("next".into());
        assert_eq!(log.append(LogStream::Runtime, "g", None).unwrap(), 1);
        assert_eq!(lines.take(), ["runtime:next:g"]);
    }

    #[test]
    fn a_long_entry_is_cut_between_characters() {
        let (lines, log) = log(1 << 20);
        log.append(LogStream::Runtime, &"€".repeat(LINE), None).unwrap();
        let line = lines.take().remove(0);
        assert_eq!(line.strip_prefix("runtime::").unwrap(), "€".repeat(LINE / 3));
    }
}
