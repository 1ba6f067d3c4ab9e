//! Covering up credentials in what comes back.
//!
//! A server that was sent a credential may repeat it: in an echo, an error page, a debug header. What an app must not
//! hold is covered up there with stars, one for each byte, so that lengths stay true. Found are the credential itself and
//! its usual disguises: Base64 (wherever in the encoded text it starts), percent-escapes, JSON and HTML escapes, hex; and
//! if the credential is Base64 of text, that text. All of it in capitals and in small letters as well: names of header
//! fields have no case. A server that transforms it in a way of its own is not covered: credentials go to hosts that the
//! operator trusts with them anyway.

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::fmt::Write;

/// Shortest text that is looked for. A shorter one would be found where it means nothing.
const SHORTEST: usize = 8;

/// Finds an app's credentials in text.
#[derive(Default)]
pub struct Scrubber {
    /// In small letters, sorted.
    needles: Vec<Vec<u8>>,
    /// `None` when there is nothing to look for.
    search: Option<AhoCorasick>,
}

impl Scrubber {
    /// A scrubber of these credentials.
    pub(crate) fn new<'a>(credentials: impl IntoIterator<Item = &'a str>) -> Self {
        let needles = credentials.into_iter().flat_map(disguises).filter(|needle| needle.len() >= SHORTEST);
        let needles: BTreeSet<Vec<u8>> = needles.map(|needle| needle.to_ascii_lowercase()).collect();
        let needles = Vec::from_iter(needles);
        // Building fails only beyond billions of states; with 16 credentials of 8 KiB there are some hundred thousand.
        let mut builder = AhoCorasick::builder();
        let search = builder.match_kind(MatchKind::Standard).ascii_case_insensitive(true).build(&needles).ok();
        Self { search: search.filter(|_| !needles.is_empty()), needles }
    }

    /// Whether there is nothing to look for.
    pub fn is_idle(&self) -> bool {
        self.search.is_none()
    }

    /// The bytes with every credential covered up; `None` when there is none in them.
    pub fn bytes(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut clean: Option<Vec<u8>> = None;
        for found in self.search.iter().flat_map(|search| search.find_overlapping_iter(bytes)) {
            clean.get_or_insert_with(|| bytes.to_vec())[found.range()].fill(b'*');
        }
        clean
    }

    /// The text with every credential covered up.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.bytes(text.as_bytes()) {
            Some(clean) => Cow::Owned(String::from_utf8_lossy(&clean).into_owned()),
            None => Cow::Borrowed(text),
        }
    }

    /// How long the longest end of `text` is that is a beginning, but not all, of something looked for.
    ///
    /// Among sorted needles those that begin alike stand together. Comparing with each would let a server that sends its
    /// answer byte by byte make a long time of it.
    fn open_end(&self, text: &[u8]) -> usize {
        let longest = self.needles.iter().map(Vec::len).max().unwrap_or(0);
        let tail = text[text.len().saturating_sub(longest)..].to_ascii_lowercase();
        let begins = |end: &&[u8]| {
            let first = self.needles.partition_point(|needle| needle.as_slice() <= *end);
            self.needles.get(first).is_some_and(|needle| needle.starts_with(end))
        };
        (0..tail.len()).map(|start| &tail[start..]).find(begins).map_or(0, <[u8]>::len)
    }

    /// Covers up credentials in the values of header fields; a field that is named like one goes.
    pub(crate) fn headers(&self, headers: &mut HeaderMap) {
        let Some(search) = &self.search else { return };
        let named: Vec<HeaderName> = headers.keys().filter(|name| search.is_match(name.as_str())).cloned().collect();
        for name in named {
            headers.remove(name);
        }
        for value in headers.values_mut() {
            if let Some(clean) = self.bytes(value.as_bytes()) {
                *value = HeaderValue::from_bytes(&clean).unwrap_or_else(|_| HeaderValue::from_static("*"));
            }
        }
    }
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrubber").field("needles", &self.needles.len()).finish_non_exhaustive()
    }
}

/// Covers up credentials in a stream of chunks, also where one begins in one chunk and ends in a later one.
///
/// What could be the beginning of a credential is held back until the next chunk decides, at most one byte less than the
/// longest credential.
#[derive(Default)]
pub(crate) struct Stream {
    /// Held back, as it came.
    raw: Vec<u8>,
    /// Which bytes of it are covered already.
    covered: Vec<bool>,
}

impl Stream {
    /// Takes a chunk, and gives what is certain.
    pub(crate) fn push(&mut self, scrubber: &Scrubber, chunk: Bytes) -> Bytes {
        let Some(search) = &scrubber.search else { return chunk };
        self.raw.extend_from_slice(&chunk);
        self.covered.resize(self.raw.len(), false);
        for found in search.find_overlapping_iter(&self.raw) {
            self.covered[found.range()].fill(true);
        }
        self.release(self.raw.len() - scrubber.open_end(&self.raw))
    }

    /// How many bytes are held back.
    pub(crate) fn len(&self) -> usize {
        self.raw.len()
    }

    /// Whether none are.
    pub(crate) fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Gives what was held back: no more is to come.
    pub(crate) fn finish(&mut self) -> Bytes {
        self.release(self.raw.len())
    }

    fn release(&mut self, length: usize) -> Bytes {
        let (raw, covered) = (self.raw.drain(..length), self.covered.drain(..length));
        raw.zip(covered).map(|(byte, covered)| if covered { b'*' } else { byte }).collect()
    }
}

/// The forms in which a server may repeat `credential`.
fn disguises(credential: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![credential.as_bytes().to_vec()];
    let bytes = credential.as_bytes();
    for shift in 0..3 {
        // Of an encoding that starts anywhere, the part that does not depend on what stands before or behind it.
        let padded: Vec<u8> = std::iter::repeat_n(0, shift).chain(bytes.iter().copied()).collect();
        let (start, end) = ((shift * 4).div_ceil(3), padded.len() * 4 / 3);
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            forms.push(engine.encode(&padded).as_bytes()[start..end].to_vec());
        }
    }
    let mut push = |escape: &dyn Fn(u8) -> Option<String>| {
        let mut text = String::new();
        for byte in bytes {
            match escape(*byte) {
                Some(escaped) => text.push_str(&escaped),
                None => text.push(char::from(*byte)),
            }
        }
        forms.push(text.into_bytes());
    };
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    push(&|b| (!unreserved(b)).then(|| format!("%{b:02X}")));
    push(&|b| matches!(b, b'"' | b'\\').then(|| format!("\\{}", char::from(b))));
    push(&|b| matches!(b, b'"' | b'\\' | b'/').then(|| format!("\\{}", char::from(b))));
    // Of JSON too: what writers keep out of HTML, and what the most careful of them keep out of it.
    push(&|b| match b {
        b'"' | b'\\' => Some(format!("\\{}", char::from(b))),
        _ => b"<>&".contains(&b).then(|| format!("\\u{b:04x}")),
    });
    push(&|b| b"\"&'<>+`\\".contains(&b).then(|| format!("\\u{b:04x}")));
    push(&|b| html(b).map(str::to_owned));
    let hex = bytes.iter().fold(String::new(), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    });
    forms.push(hex.into_bytes());
    if let Ok(inner) = STANDARD.decode(bytes)
        && inner.iter().all(|b| matches!(b, b' '..=b'~'))
    {
        // `user:password`, of which the password alone is as good.
        let password = inner.iter().position(|b| *b == b':').map(|at| inner[at + 1..].to_vec());
        forms.extend(password.into_iter().chain([inner]));
    }
    forms
}

fn html(byte: u8) -> Option<&'static str> {
    match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'"' => Some("&quot;"),
        b'\'' => Some("&#39;"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "s3cr3t/t0ken+\"x\"";
    const ANGLED: &str = "s3cr3t<t0ken>&'\"x";

    fn stars(text: &str, hidden: &str) -> String {
        text.replace(hidden, &"*".repeat(hidden.len()))
    }

    #[test]
    fn disguised_echoes_are_covered() {
        let scrubber = Scrubber::new([TOKEN, ANGLED]);
        for hidden in [
            TOKEN,
            "s3cr3t%2Ft0ken%2B%22x%22",
            "s3cr3t%2ft0ken%2b%22x%22",
            "s3cr3t/t0ken+\\\"x\\\"",
            "s3cr3t\\/t0ken+\\\"x\\\"",
            "s3cr3t/t0ken+&quot;x&quot;",
            "7333637233742f74306b656e2b227822",
            "7333637233742F74306B656E2B227822",
            "s3cr3t/t0ken\\u002B\\u0022x\\u0022",
            "S3CR3T/T0KEN+\"X\"",
            "s3cr3t\\u003ct0ken\\u003e\\u0026'\\\"x",
            "s3cr3t&lt;t0ken&gt;&amp;&#39;&quot;x",
        ] {
            let text = format!("a: {hidden}; {hidden}");
            assert_eq!(scrubber.text(&text), stars(&text, hidden), "{hidden}");
        }
        assert_eq!(scrubber.text("s3cr3t/t0ken+"), "s3cr3t/t0ken+", "not all of it");
        for before in ["", "u", "us", "use", "user:"] {
            let encoded = STANDARD.encode(format!("{before}{TOKEN}:tail"));
            let clean = scrubber.text(&encoded).into_owned();
            // All but the two digits, at most, in which a neighbour has a part.
            assert!(clean.matches('*').count() >= TOKEN.len() * 4 / 3 - 1, "{before}: {encoded} {clean}");
            assert_eq!(clean.len(), encoded.len());
        }
    }

    #[test]
    fn a_basic_login_is_covered_decoded_too() {
        let scrubber = Scrubber::new([STANDARD.encode("user:correct horse").as_str()]);
        assert_eq!(scrubber.text("{user:correct horse}"), "{******************}");
        assert_eq!(scrubber.text("password=correct horse"), "password=*************");
    }

    #[test]
    fn headers_are_covered_and_the_rest_is_not_touched() {
        let scrubber = Scrubber::new(["hunter2-hunter2"]);
        let mut headers = HeaderMap::new();
        headers.append("x-echo", HeaderValue::from_static("Bearer hunter2-hunter2"));
        headers.append("x-other", HeaderValue::from_static("hunter2"));
        headers.append("x-hunter2-hunter2-x", HeaderValue::from_static("1"));
        scrubber.headers(&mut headers);
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["x-echo"], "Bearer ***************");
        assert_eq!(headers["x-other"], "hunter2");
        assert!(Scrubber::new([]).is_idle() && Scrubber::default().bytes(b"x").is_none());
    }

    #[test]
    fn a_credential_in_other_letters_is_held_back_too() {
        let scrubber = Scrubber::new(["Hunter2-Hunter2"]);
        let mut stream = Stream::default();
        assert_eq!(stream.push(&scrubber, Bytes::from_static(b"x HUNTER2-hun")), "x ");
        assert_eq!(stream.push(&scrubber, Bytes::from_static(b"TER2 y")), "*************** y");
    }

    /// However a text is cut into chunks, the same comes out, and nothing but the beginning of a credential is held back.
    #[test]
    fn chunks_hide_nothing() {
        let scrubber = Scrubber::new(["abcabcabd", "bdabcabcx"]);
        let text = "abcabcabcabd abcabcab abcabcabdabcabcx abcabca";
        let expect = scrubber.text(text).into_owned();
        assert_eq!(expect, "abc********* abcabcab **************** abcabca");
        for first in 0..text.len() {
            for second in first..text.len() {
                let mut stream = Stream::default();
                let mut out = Vec::new();
                for part in [&text[..first], &text[first..second], &text[second..]] {
                    out.extend_from_slice(&stream.push(&scrubber, Bytes::copy_from_slice(part.as_bytes())));
                    assert!(stream.raw.len() < 9);
                }
                out.extend_from_slice(&stream.finish());
                assert_eq!(String::from_utf8(out).unwrap(), expect, "{first} {second}");
            }
        }
        let mut stream = Stream::default();
        assert_eq!(stream.push(&scrubber, Bytes::from_static(b"nothing to hide")), "nothing to hide");
    }
}
