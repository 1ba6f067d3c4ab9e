//! What an app writes, from its bytes to the log sink, within its bound.

use gestalt_core::AppName;
use gestalt_core::foreign::Foreign;
use gestalt_core::limits::{ByteSize, Limits};
use gestalt_core::metrics::{Event, Meter};
use gestalt_core::service::{LogEntry, LogSink, LogStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Longest line. A longer one is cut into several: a guest that never ends its line must not grow a buffer.
const LINE: usize = 8 << 10;

/// What a line counts for at least. Its time, app and call stand beside it in the log: a flood of empty lines would cost
/// the operator two hundred bytes for each byte it is charged.
const LEAST: usize = 64;

const MINUTE: Duration = Duration::from_secs(60);

/// Where all instances of one app log to, and what they may write together.
pub(crate) struct AppLog {
    app: AppName,
    sink: Arc<dyn LogSink>,
    meter: Arc<dyn Meter>,
    per_call: ByteSize,
    per_minute: ByteSize,
    minute: Mutex<Minute>,
}

struct Minute {
    since: Instant,
    left: usize,
    is_cut: bool,
}

impl AppLog {
    pub(crate) fn new(app: AppName, sink: Arc<dyn LogSink>, meter: Arc<dyn Meter>, limits: &Limits) -> Self {
        let (per_call, per_minute) = (limits.log_per_call, limits.log_per_minute);
        let minute = Minute { since: Instant::now(), left: per_minute.as_usize(), is_cut: false };
        Self { app, sink, meter, per_call, per_minute, minute: Mutex::new(minute) }
    }

    fn minute(&self, now: Instant) -> MutexGuard<'_, Minute> {
        // Three assignments, none of which can panic.
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(minute.since) >= MINUTE {
            *minute = Minute { since: now, left: self.per_minute.as_usize(), is_cut: false };
        }
        minute
    }

    fn take(&self, bytes: usize, now: Instant) -> bool {
        let mut minute = self.minute(now);
        let left = minute.left.checked_sub(bytes);
        minute.left = left.unwrap_or(minute.left);
        left.is_some()
    }

    /// Whether it is to be said that this minute's bytes are used up: once.
    fn cut(&self, now: Instant) -> bool {
        !std::mem::replace(&mut self.minute(now).is_cut, true)
    }
}

/// The log of one instance: its standard output, its standard error and its explicit entries.
///
/// All three share one bound per call, past which writing fails. All calls of the app share one per minute, past which
/// what is written is dropped: many a guest ends when it cannot print, and would end for what others have printed.
/// Of both the log says once that something is missing.
pub(crate) struct CallLog {
    app: Arc<AppLog>,
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
    pub(crate) fn new(app: Arc<AppLog>) -> Self {
        let left = app.per_call.as_usize();
        let state = State { invocation_id: "".into(), left, is_cut: false, open: Default::default() };
        Self { app, state: Mutex::new(state) }
    }

    /// What follows belongs to this call.
    pub(crate) fn begin(&self, invocation_id: Arc<str>) {
        let mut state = self.lock();
        self.end_lines(&mut state);
        state.invocation_id = invocation_id;
        state.left = self.app.per_call.as_usize();
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
        let index = usize::from(stream == LogStream::Stderr);
        let cost = cost(state.open[index].len(), bytes);
        if !self.charge(&mut state, cost)? {
            return Ok(());
        }
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

    /// Takes one explicit entry, each of its lines for itself: what follows a line break in a log is believed to be the
    /// daemon's. Returns the number of the last.
    pub(crate) fn append(
        &self,
        stream: LogStream,
        message: &str,
        observed_at: Option<SystemTime>,
    ) -> Result<u64, Full> {
        let mut state = self.lock();
        let lines = || message.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        if !self.charge(&mut state, lines().map(|line| line.len().max(LEAST)).sum())? {
            return Err(Full);
        }
        let emit = |line: &str| self.emit(&state, stream, &line[..line.floor_char_boundary(LINE)], observed_at);
        Ok(lines().map(emit).last().unwrap_or_default())
    }

    /// Whether the bytes are to be kept, unless this call has written too much.
    fn charge(&self, state: &mut State, bytes: usize) -> Result<bool, Full> {
        let Some(left) = state.left.checked_sub(bytes) else {
            self.cut(state);
            return Err(Full);
        };
        state.left = left;
        let now = Instant::now();
        let kept = self.app.take(bytes, now);
        if !kept && self.app.cut(now) {
            self.say(
                state,
                "logs.perMinute",
                format!("log cut off: more than {} within a minute", self.app.per_minute),
            );
        }
        Ok(kept)
    }

    fn cut(&self, state: &mut State) {
        if !std::mem::replace(&mut state.is_cut, true) {
            self.say(state, "logs.perCall", format!("log cut off: more than {} in one call", self.app.per_call));
        }
    }

    fn say(&self, state: &mut State, limit: &'static str, message: String) {
        self.end_lines(state);
        self.emit(state, LogStream::Runtime, &message, None);
        self.app.meter.record(Event::Limit { app: self.app.app.clone(), limit });
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
        self.emit(state, stream, &String::from_utf8_lossy(line), None);
    }

    fn emit(&self, state: &State, stream: LogStream, line: &str, observed_at: Option<SystemTime>) -> u64 {
        let (invocation_id, message) = (state.invocation_id.as_ref().to_owned(), Foreign::line(line).to_string());
        self.app.sink.append(&self.app.app, LogEntry { stream, message, observed_at, invocation_id })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; if a sink did, the text in flight is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the bytes of a stream are charged as, after `open` bytes of a line that is not ended.
fn cost(open: usize, bytes: &[u8]) -> usize {
    let mut line = open;
    let mut short = 0;
    for part in bytes.split_inclusive(|b| *b == b'\n') {
        line += part.len();
        if part.ends_with(b"\n") {
            short += LEAST.saturating_sub(line);
            line = 0;
        }
    }
    bytes.len() + short
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

    #[derive(Default)]
    struct Reached(Mutex<Vec<&'static str>>);

    impl Meter for Reached {
        fn record(&self, event: Event) {
            if let Event::Limit { limit, .. } = event {
                self.0.lock().unwrap().push(limit);
            }
        }
    }

    fn app_log(per_call: u64, per_minute: u64) -> (Arc<Lines>, Arc<Reached>, Arc<AppLog>) {
        let (lines, reached) = (Arc::new(Lines::default()), Arc::new(Reached::default()));
        let limits =
            Limits { log_per_call: ByteSize(per_call), log_per_minute: ByteSize(per_minute), ..Limits::default() };
        let log = AppLog::new(AppName::parse("app").unwrap(), lines.clone(), reached.clone(), &limits);
        (lines, reached, Arc::new(log))
    }

    fn log(bound: u64) -> (Arc<Lines>, CallLog) {
        let (lines, _, log) = app_log(bound, 1 << 30);
        (lines, CallLog::new(log))
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
        let (lines, log) = log(64);
        log.write(LogStream::Stdout, &[b'a'; 64]).unwrap();
        assert_eq!(log.left(), 0);
        assert!(log.write(LogStream::Stderr, b"e").is_err());
        assert!(log.append(LogStream::Runtime, "f", None).is_err());
        let written = format!("stdout::{}", "a".repeat(64));
        assert_eq!(lines.take(), [&written, "runtime::log cut off: more than 64B in one call"]);
        log.begin("next".into());
        assert_eq!(log.append(LogStream::Runtime, "g", None).unwrap(), 1);
        assert_eq!(lines.take(), ["runtime:next:g"]);
    }

    #[test]
    fn all_calls_of_a_minute_share_a_bound_and_the_log_says_so_once() {
        let (lines, reached, app) = app_log(160, 130);
        let (one, two) = (CallLog::new(app.clone()), CallLog::new(app.clone()));
        one.write(LogStream::Stdout, b"123456\n").unwrap();
        two.write(LogStream::Stdout, &[b'1'; 80]).unwrap();
        two.write(LogStream::Stdout, b"ab\n").unwrap();
        assert!(one.append(LogStream::Runtime, "c", None).is_err());
        let cut = "runtime::log cut off: more than 130B within a minute";
        assert_eq!(lines.take(), ["stdout::123456", cut, "stdout::ab"]);
        assert_eq!(*reached.0.lock().unwrap(), ["logs.perMinute"]);
        // The next minute is another.
        assert!(app.take(10, Instant::now() + MINUTE));
    }

    #[test]
    fn g17_a_short_line_counts_for_more_than_its_bytes() {
        for (open, bytes, expect) in [
            (0, "", 0),
            (0, "abc", 3),
            (0, "\n", 64),
            (0, "\n\n\n", 192),
            (60, "\n", 4),
            (100, "\n", 1),
            (0, "abc\nd", 65),
        ] {
            assert_eq!(cost(open, bytes.as_bytes()), expect, "{open} {bytes:?}");
        }
        let (lines, log) = log(10 * LEAST as u64);
        assert!(log.write(LogStream::Stdout, &[b'\n'; 11]).is_err());
        assert!(log.append(LogStream::Runtime, &"\n".repeat(10), None).is_err());
        log.append(LogStream::Runtime, &"\n".repeat(9), None).unwrap();
        assert_eq!(lines.take().len(), 11);
    }

    #[test]
    fn nobody_writes_a_line_that_looks_like_another() {
        let (lines, log) = log(1 << 20);
        let last = log.append(LogStream::Stdout, "one\r\n\x1b[2Jtwo\tgr\u{fc}n\u{0}\n", None).unwrap();
        log.write(LogStream::Stderr, "a\rb\u{202e}c\n".as_bytes()).unwrap();
        let expect = ["stdout::one", "stdout::\\u{1b}[2Jtwo\\tgr\u{fc}n\\u{0}", "stdout::", "stderr::a\\rb\\u{202e}c"];
        assert_eq!((lines.take(), last), (expect.map(str::to_owned).to_vec(), 3));
    }

    #[test]
    fn a_long_entry_is_cut_between_characters() {
        let (lines, log) = log(1 << 20);
        log.append(LogStream::Runtime, &"€".repeat(LINE), None).unwrap();
        let line = lines.take().remove(0);
        assert_eq!(line.strip_prefix("runtime::").unwrap(), "€".repeat(LINE / 3));
    }
}
