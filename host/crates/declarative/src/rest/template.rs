use std::fmt::Write as _;

/// A path with `{name}` places, cut into its pieces once.
#[derive(Debug)]
pub(super) struct PathTemplate(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    /// URL text, ready to send.
    Fixed(String),
    /// The wire name of the value that goes here.
    Place(String),
}

/// Why a value cannot stand in a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FillError<'t> {
    /// No value for this place.
    Missing(&'t str),
    /// The value of this place leaves an empty segment, or makes one that means "here" or "up".
    Segment(&'t str),
}

impl PathTemplate {
    /// Cuts `path` and puts `/` before it if it has none.
    ///
    /// # Errors
    /// When braces do not match, a name is empty, or the rest cannot stand in a URL.
    pub(super) fn parse(path: &str) -> Result<Self, &'static str> {
        let mut pieces = Vec::new();
        let mut fixed = String::from(if path.starts_with('/') { "" } else { "/" });
        let mut rest = path;
        while let Some(open) = rest.find(['{', '}']) {
            let Some(after) = rest[open..].strip_prefix('{') else { return Err("has a `}` without a `{`") };
            let Some(close) = after.find('}') else { return Err("has a `{` without a `}`") };
            let name = &after[..close];
            if name.is_empty() || name.contains('{') {
                return Err("has a place without a plain name between its braces");
            }
            fixed.push_str(&rest[..open]);
            pieces.push(Piece::Fixed(url_text(&std::mem::take(&mut fixed))?));
            pieces.push(Piece::Place(name.to_owned()));
            rest = &after[close + 1..];
        }
        fixed.push_str(rest);
        pieces.push(Piece::Fixed(url_text(&fixed)?));
        let template = Self(pieces);
        let sample = template.fill(|_| Some("x".into())).map_err(|_| "has a `.` or `..` segment")?;
        let path = sample.split('?').next().unwrap_or_default();
        if path.split('/').any(is_dot_segment) {
            return Err("has a `.` or `..` segment");
        }
        Ok(template)
    }

    /// The names of the places, in order.
    pub(super) fn places(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Place(name) => Some(name.as_str()),
            Piece::Fixed(_) => None,
        })
    }

    /// The path with the text of each place.
    ///
    /// A value is data, so it must not become syntax: written as it is, `../admin`, `7?role=admin`, `7#` or `%2e%2e`
    /// would let a caller leave the path the manifest declared and reach, with the stored credential, operations that
    /// nobody offered. So everything but RFC 3986's unreserved characters is percent-encoded, `/` and `%` among it,
    /// which is also what APIs with slashes in their ids ask for. Dots are unreserved and URL parsers on the way
    /// resolve `.` and `..` even when encoded, so a segment that comes out as one of them is refused; so is an empty
    /// value, which turns `/tickets/{id}` into the list of all tickets.
    ///
    /// # Errors
    /// See [`FillError`].
    pub(super) fn fill<'t>(&'t self, mut value: impl FnMut(&str) -> Option<String>) -> Result<String, FillError<'t>> {
        let mut path = String::new();
        let mut last_in_segment: Option<&str> = None;
        let mut segment_start = 0;
        for piece in &self.0 {
            match piece {
                Piece::Place(name) => {
                    let text = value(name).ok_or(FillError::Missing(name))?;
                    if text.is_empty() {
                        return Err(FillError::Segment(name));
                    }
                    encode(&mut path, &text);
                    last_in_segment = Some(name);
                }
                Piece::Fixed(text) => {
                    for c in text.chars() {
                        if c == '/' || c == '?' {
                            check_segment(&path[segment_start..], last_in_segment.take())?;
                            segment_start = path.len() + 1;
                        }
                        path.push(c);
                    }
                }
            }
        }
        check_segment(path.get(segment_start..).unwrap_or_default(), last_in_segment)?;
        Ok(path)
    }
}

fn check_segment<'t>(segment: &str, place: Option<&'t str>) -> Result<(), FillError<'t>> {
    match place {
        Some(name) if is_dot_segment(segment) => Err(FillError::Segment(name)),
        _ => Ok(()),
    }
}

/// `.` or `..`, in any of the spellings URL parsers know.
fn is_dot_segment(segment: &str) -> bool {
    let plain = segment.replace("%2e", ".").replace("%2E", ".");
    plain == "." || plain == ".."
}

/// Appends `text` with everything but `A-Z a-z 0-9 - . _ ~` percent-encoded.
fn encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

/// The manifest's own text of a path: its author may use any URL syntax, and gets what is no URL text encoded.
fn url_text(text: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '#' => return Err("has a fragment"),
            '\\' => return Err("has a backslash"),
            c if c.is_control() => return Err("has a control character"),
            c if c.is_ascii() && !matches!(c, ' ' | '"' | '<' | '>' | '^' | '`' | '|') => out.push(c),
            c => encode(&mut out, c.encode_utf8(&mut [0; 4])),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, values: &[&str], expect: &str) {
        let template = PathTemplate::parse(template).unwrap();
        let mut values = values.iter();
        let got = match template.fill(|_| values.next().map(|v| (*v).to_owned())) {
            Ok(path) => path,
            Err(error) => format!("{error:?}"),
        };
        assert_eq!(got, expect);
    }

    #[test]
    fn a_value_stays_one_segment() {
        check("/tickets/{id}", &["7"], "/tickets/7");
        check("tickets/{id}/x", &["7"], "/tickets/7/x");
        check("/o/{object}", &["a/b c.txt"], "/o/a%2Fb%20c.txt");
        check("/o/{object}", &["../admin"], "/o/..%2Fadmin");
        check("/o/{object}", &["7?role=admin#x"], "/o/7%3Frole%3Dadmin%23x");
        check("/o/{object}", &["%2e%2e"], "/o/%252e%252e");
        check("/o/{object}", &["..;"], "/o/..%3B");
        check("/o/{object}", &["7:delete\r\n"], "/o/7%3Adelete%0D%0A");
        check("/o/{object}", &["é"], "/o/%C3%A9");
        check("/a/{x}.{y}?v={z}", &["1", "2", "&w=3"], "/a/1.2?v=%26w%3D3");
    }

    #[test]
    fn a_value_never_climbs() {
        check("/o/{id}", &[".."], "Segment(\"id\")");
        check("/o/{id}/x", &["."], "Segment(\"id\")");
        check("/o/{a}{b}/x", &[".", "."], "Segment(\"b\")");
        check("/o/{a}.", &["."], "Segment(\"a\")");
        check("/o/%2e{a}", &["."], "Segment(\"a\")");
        check("/o/{a}?x=1", &[".."], "Segment(\"a\")");
        check("/o/{a}..", &["x"], "/o/x..");
        check("/o/{id}", &[""], "Segment(\"id\")");
        check("/o/{id}", &[], "Missing(\"id\")");
    }

    #[test]
    fn bad_templates_are_refused() {
        for text in ["/a/{", "/a/}", "/{}", "/{a{b}}", "/a#b", "/a/../b", "/a/%2E%2e/b", "/.", "/a\\b", "/a\nb"] {
            assert!(PathTemplate::parse(text).is_err(), "{text:?}");
        }
        check("/a b/é", &[], "/a%20b/%C3%A9");
    }
}
