//! The daemon's log: lines on standard output, filtered by `RUST_LOG` when it is set.
//!
//! **Invariant:** one record is one line. Whatever a field or message holds, who wrote it and how it came there, the
//! line is written by `Fields`, in which nothing ends a line, acts on a terminal or takes the place of another field.

use gestalt_core::foreign::Foreign;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error;
use std::fmt::{self, Debug, Write as _};
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use tracing::field::{Field, Visit};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::{MakeVisitor, VisitFmt, VisitOutput};
use tracing_subscriber::fmt::format::Writer;

/// Starts logging for the rest of the process. A second call changes nothing.
pub fn launch() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).fmt_fields(Fields);
    if builder.with_ansi(std::io::stdout().is_terminal()).try_init().is_ok() {
        std::panic::set_hook(Box::new(panicked));
    }
}

/// A panic's text may quote what somebody sent: it goes through the log, and not to standard error as it is.
fn panicked(info: &PanicHookInfo<'_>) {
    let at = info.location().map(tracing::field::display);
    let text = info.payload_as_str().unwrap_or("a value that is no text");
    tracing::error!(target: "gestaltd", at, reason = text, "panic");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        for line in backtrace.to_string().lines() {
            tracing::error!(target: "gestaltd", "{line}");
        }
    }
}

/// Writes the message and fields of a record.
///
/// A value that is not one plain word stands in quotes, and so does a message with anything in it that looks like a field:
/// else a text could name fields of its own, and a reader of the line would believe them.
pub struct Fields;

impl<'w> MakeVisitor<Writer<'w>> for Fields {
    type Visitor = Line<'w>;

    fn make_visitor(&self, writer: Writer<'w>) -> Line<'w> {
        Line { writer, is_empty: true, result: Ok(()) }
    }
}

/// One record, or one span, being written.
pub struct Line<'w> {
    writer: Writer<'w>,
    is_empty: bool,
    result: fmt::Result,
}

impl Line<'_> {
    fn put(&mut self, field: &Field, text: &str, quotes: bool) {
        if self.result.is_ok() {
            self.result = self.write(field.name(), Foreign::line(text), quotes);
        }
    }

    fn write(&mut self, name: &str, text: Foreign<'_>, quotes: bool) -> fmt::Result {
        if !std::mem::take(&mut self.is_empty) {
            self.writer.write_char(' ')?;
        }
        if name != MESSAGE {
            let name = name.strip_prefix("r#").unwrap_or(name);
            match self.writer.has_ansi_escapes() {
                true => write!(self.writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m")?,
                false => write!(self.writer, "{name}=")?,
            }
        }
        match quotes {
            true => write!(self.writer, "{text:?}"),
            false => write!(self.writer, "{text}"),
        }
    }
}

const MESSAGE: &str = "message";

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let quotes = field.name() != MESSAGE || names_fields(value);
        self.put(field, value, quotes);
    }

    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            let _ = write!(text, ": {error}");
            source = error.source();
        }
        self.record_debug(field, &format_args!("{text}"));
    }

    /// What is recorded with `%` comes here too, and prints as it likes.
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        // A value that cannot be printed is printed as far as it can.
        let _ = write!(text, "{value:?}");
        let quotes = if field.name() == MESSAGE { names_fields(&text) } else { !is_word(&text) };
        self.put(field, &text, quotes);
    }
}

impl VisitOutput<fmt::Result> for Line<'_> {
    fn finish(self) -> fmt::Result {
        self.result
    }
}

impl VisitFmt for Line<'_> {
    fn writer(&mut self) -> &mut dyn fmt::Write {
        &mut self.writer
    }
}

/// Whether a text is one word, which needs no quotes.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'=' | b'\\'))
}

/// Whether a message holds what looks like a field of the record, or like a message in quotes.
fn names_fields(message: &str) -> bool {
    let names = |(at, _)| message[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    message.starts_with('"') || message.match_indices('=').any(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gestalt_core::foreign::LINE;
    use std::io;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged by `tell`, as the daemon writes it.
    fn logged(is_terminal: bool, tell: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let builder = tracing_subscriber::fmt().without_time().with_ansi(is_terminal).fmt_fields(Fields);
        tracing::subscriber::with_default(builder.with_writer(move || writer.clone()).finish(), tell);
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const FORGED: &str = "x\n2026-01-01T00:00:00Z  INFO audit: audit allowed=true\r\x1b[2K\u{85}\u{2028}\u{202e}";

    #[test]
    fn one_record_is_one_line_whoever_wrote_it() {
        let error = io::Error::other(FORGED);
        for is_terminal in [false, true] {
            let log = logged(is_terminal, || {
                tracing::info!("{FORGED}");
                tracing::info!(text = FORGED, shown = %FORGED, debug = ?error, error = &error as &dyn Error, "m");
                tracing::info_span!("s", name = %FORGED).in_scope(|| tracing::info!(maybe = Some(FORGED), "n"));
            });
            assert_eq!(log.lines().count(), 3, "{log:?}");
            let acts = |c: &char| c.is_control() && *c != '\n' || matches!(c, '\u{2028}' | '\u{202e}');
            let of_ours = |log: &str| log.replace("\x1b[", "").chars().filter(acts).count();
            assert_eq!(of_ours(&log), 0, "{log:?}");
            assert!(is_terminal || !log.contains('\x1b'), "{log:?}");
            assert!(!log.contains("\x1b[2K") && log.matches("\\u{1b}[2K").count() >= 6, "{log:?}");
        }
    }

    #[test]
    fn a_text_names_no_field_of_the_record() {
        let written = |log: String| log.trim_end().split_once("tests: ").unwrap().1.to_owned();
        let log = |tell: &dyn Fn()| written(logged(false, tell));
        assert_eq!(log(&|| tracing::info!(app = %"a", "said {}", "this")), "said this app=a");
        assert_eq!(log(&|| tracing::info!(app = %"a", "{}", "x app=b")), "\"x app=b\" app=a");
        assert_eq!(log(&|| tracing::info!(app = %"a", "{}", "\"x\" app=\"b\"")), "\"\\\"x\\\" app=\\\"b\\\"\" app=a");
        assert_eq!(log(&|| tracing::info!(r = %"x app=b", app = %"a")), "r=\"x app=b\" app=a");
        assert_eq!(log(&|| tracing::info!(r = %"", app = "a", n = 1, t = ?Some(2))), "r=\"\" app=\"a\" n=1 t=Some(2)");
        assert_eq!(log(&|| tracing::info!("1 == 1, a = b")), "1 == 1, a = b");
    }

    #[test]
    fn a_long_text_is_cut() {
        let long = "y".repeat(1 << 20);
        let log = logged(false, || tracing::info!(text = long, shown = %long, "{long}"));
        assert!(log.len() < 4 * LINE && log.matches("more bytes)").count() == 3, "{}", log.len());
    }
}
