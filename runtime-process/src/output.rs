//! What a child process writes: every line to the log, the last few to whoever reports its death.

use crate::error::Output;
use gestalt_core::AppName;
use gestalt_core::foreign::{self, Foreign};
use gestalt_core::service::{LogEntry, LogSink, LogStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::time::Instant;

/// Longest log line kept; the rest of a longer one is dropped. Against a process that writes without ever ending a line.
pub(crate) const MAX_LINE: usize = foreign::LINE;

/// Log bytes taken per second and process; what is over is counted and dropped. Against a process that fills the
/// daemon's log and disk. It is read on all the same: a process must not block because nobody wants its output.
const MAX_LOG_RATE: usize = 256 << 10;

/// How much is kept to be quoted when the process dies: a Python traceback fits.
const TAIL: usize = 4 << 10;

/// The last bytes written to either stream, line by line.
#[derive(Debug, Default)]
pub(crate) struct Tail(Mutex<String>);

impl Tail {
    pub(crate) fn push(&self, line: &str) {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(line);
        text.push('\n');
        if text.len() > TAIL {
            let mut cut = text.len() - TAIL;
            while !text.is_char_boundary(cut) {
                cut += 1;
            }
            text.drain(..cut);
        }
    }

    pub(crate) fn get(&self) -> Output {
        Output(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Calls `take` with each line, cut to [`MAX_LINE`] bytes, until the stream ends.
pub(crate) async fn each_line(stream: impl AsyncRead + Unpin, mut take: impl FnMut(&str)) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        let (used, ended) = match reader.fill_buf().await {
            Ok([]) | Err(_) => break,
            Ok(chunk) => {
                let end = chunk.iter().position(|&b| b == b'\n');
                let part = &chunk[..end.unwrap_or(chunk.len())];
                line.extend_from_slice(&part[..part.len().min(MAX_LINE - line.len())]);
                (end.map_or(chunk.len(), |i| i + 1), end.is_some())
            }
        };
        reader.consume(used);
        if ended {
            take(text(&line).as_ref());
            line.clear();
        }
    }
    if !line.is_empty() {
        take(text(&line).as_ref());
    }
}

fn text(line: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line))
}

/// Takes what one process writes to the log of its app.
pub(crate) struct AppLog {
    app: AppName,
    sink: Arc<dyn LogSink>,
    rate: Mutex<Rate>,
    pub(crate) tail: Tail,
}

impl AppLog {
    pub(crate) fn new(app: AppName, sink: Arc<dyn LogSink>) -> Self {
        Self { app, sink, rate: Mutex::new(Rate::new(Instant::now())), tail: Tail::default() }
    }

    /// Reads a stream of the process to its end.
    pub(crate) async fn pump(&self, kind: LogStream, stream: impl AsyncRead + Unpin) {
        each_line(stream, |line| {
            self.tail.push(line);
            self.append(kind, line, None);
        })
        .await;
    }

    /// Takes one line, unless there were too many. Returns its number in the app's log.
    pub(crate) fn append(&self, stream: LogStream, line: &str, observed_at: Option<SystemTime>) -> Option<u64> {
        let verdict = self.rate.lock().unwrap_or_else(PoisonError::into_inner).take(line.len(), Instant::now());
        let send = |stream, message, observed_at| {
            self.sink.append(&self.app, LogEntry { stream, message, observed_at, invocation_id: String::new() })
        };
        match verdict {
            Verdict::Drop => None,
            Verdict::Take { dropped } => {
                if dropped > 0 {
                    send(LogStream::Runtime, format!("{dropped} lines dropped: the app writes too much"), None);
                }
                Some(send(stream, Foreign::line(line).to_string(), observed_at))
            }
        }
    }
}

/// Bytes taken in the current second.
struct Rate {
    since: Instant,
    taken: usize,
    dropped: u64,
}

enum Verdict {
    Take { dropped: u64 },
    Drop,
}

impl Rate {
    fn new(now: Instant) -> Self {
        Self { since: now, taken: 0, dropped: 0 }
    }

    fn take(&mut self, bytes: usize, now: Instant) -> Verdict {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            (self.since, self.taken) = (now, 0);
        }
        self.taken = self.taken.saturating_add(bytes.min(MAX_LINE) + 1);
        if self.taken > MAX_LOG_RATE {
            self.dropped += 1;
            return Verdict::Drop;
        }
        Verdict::Take { dropped: std::mem::take(&mut self.dropped) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(input: &[u8]) -> Vec<String> {
        let mut out = Vec::new();
        each_line(input, |line| out.push(line.to_owned())).await;
        out
    }

    #[tokio::test]
    async fn lines_come_out_one_by_one_and_bounded() {
        assert_eq!(lines(b"a\r\n\nb").await, ["a", "", "b"]);
        assert_eq!(lines(b"\xff\n").await, ["\u{fffd}"]);
        let long = [vec![b'x'; MAX_LINE + 5000], b"\nnext\n".to_vec()].concat();
        let got = lines(&long).await;
        assert_eq!((got[0].len(), got[1].as_str()), (MAX_LINE, "next"));
    }

    #[test]
    fn the_tail_keeps_the_end() {
        let tail = Tail::default();
        for n in 0..5000 {
            tail.push(&format!("ü{n}"));
        }
        let text = tail.get().0;
        assert!(text.len() <= TAIL && text.ends_with("ü4999\n"));
    }

    #[test]
    fn a_flood_is_counted_and_dropped_until_the_next_second() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let taken = (0..1000).filter(|_| matches!(rate.take(1023, start), Verdict::Take { .. })).count();
        assert_eq!(taken, MAX_LOG_RATE / 1024);
        let next = rate.take(1, start + Duration::from_secs(1));
        assert!(matches!(next, Verdict::Take { dropped: 744 }));
    }
}
