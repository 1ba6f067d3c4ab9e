//! Words of others, made fit to stand in a log, an audit record, an error or on a terminal.
//!
//! An app, a package, an upstream and a caller choose what they are called and what they say. Printed as it is, such a text
//! starts a line that looks like the daemon's own, moves a terminal's cursor over what was said before, turns the
//! direction in which the rest is read, or hides a message that only a machine sees. [`Foreign`] prints it as one line
//! in which everything that acts is spelled out (`\n`, `\u{1b}`), and no longer than a bound. Whoever writes such a line
//! piece by piece writes through an [`Escaper`], which is what [`Foreign`] does.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// Bytes of a text that is a line of its own: the longest line an app may log.
pub const LINE: usize = 16 << 10;

/// Bytes of a text within an error. Errors are log lines and audit records, which nobody charges to who caused them: one
/// of 16 MiB for each call would be a way to fill a disk.
pub const PHRASE: usize = 4 << 10;

/// Bytes of a name: no host is longer, and no name of ours is half as long.
pub const NAME: usize = 256;

/// A text that somebody else wrote. `{}` prints it as it stands, `{:?}` within quotes, which it cannot end.
#[derive(Clone, Copy)]
pub struct Foreign<'t> {
    text: &'t str,
    most: usize,
    is_ascii: bool,
}

impl<'t> Foreign<'t> {
    /// A text of at most [`LINE`] bytes as printed.
    pub const fn line(text: &'t str) -> Self {
        Self { text, most: LINE, is_ascii: false }
    }

    /// A text of at most [`PHRASE`] bytes as printed.
    pub const fn phrase(text: &'t str) -> Self {
        Self { text, most: PHRASE, is_ascii: false }
    }

    /// A text of at most [`NAME`] bytes as printed.
    pub const fn name(text: &'t str) -> Self {
        Self { text, most: NAME, is_ascii: false }
    }

    /// The same, of at most `most` bytes as printed; what says that it was cut comes on top.
    pub const fn within(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// The same, with all that is not ASCII spelled out: for names, in which one letter must not look like another.
    pub const fn ascii(self) -> Self {
        Self { is_ascii: true, ..self }
    }

    fn print(&self, f: &mut fmt::Formatter<'_>, quotes: bool) -> fmt::Result {
        let mut to = Escaper::new(f, self.most);
        to.quotes = quotes;
        to.is_ascii = self.is_ascii;
        to.write_str(self.text)?;
        to.finish()
    }
}

impl fmt::Display for Foreign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(f, false)
    }
}

impl fmt::Debug for Foreign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        self.print(f, true)?;
        f.write_char('"')
    }
}

/// Passes on what is written to it, with all that acts spelled out, up to a bound.
pub struct Escaper<'w, W: Write + ?Sized> {
    to: &'w mut W,
    left: usize,
    /// Bytes that were written when there was no room any more.
    cut: usize,
    /// Whether quotes and backslashes are spelled out too.
    quotes: bool,
    /// Whether ends of lines stand as they are.
    lines: bool,
    is_ascii: bool,
}

impl<'w, W: Write + ?Sized> Escaper<'w, W> {
    /// Writes at most `most` bytes to `to`.
    pub fn new(to: &'w mut W, most: usize) -> Self {
        Self { to, left: most, cut: 0, quotes: false, lines: false, is_ascii: false }
    }

    /// Says how much is missing, if anything is.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(self) -> fmt::Result {
        match self.cut {
            0 => Ok(()),
            cut => write!(self.to, "... ({cut} more bytes)"),
        }
    }

    /// Takes all of `bytes`, or nothing any more.
    fn put(&mut self, text: &str, bytes: usize) -> fmt::Result {
        if self.cut > 0 || text.len() > self.left {
            self.cut += bytes;
            return Ok(());
        }
        self.left -= text.len();
        self.to.write_str(text)
    }
}

impl<W: Write + ?Sized> Write for Escaper<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while !rest.is_empty() {
            let harmless = |c: char| {
                stands(c) && !(self.quotes && matches!(c, '"' | '\\') || self.is_ascii && !c.is_ascii())
                    || self.lines && c == '\n'
            };
            let end = rest.find(|c| !harmless(c)).unwrap_or(rest.len());
            let (plain, acting) = rest.split_at(end);
            let fits = plain.floor_char_boundary(self.left);
            self.put(&plain[..fits], fits)?;
            if fits < plain.len() {
                self.cut += plain.len() - fits;
            }
            let mut chars = acting.chars();
            if let Some(c) = chars.next() {
                self.put(&spelled(c), c.len_utf8())?;
            }
            rest = chars.as_str();
        }
        Ok(())
    }
}

/// How a character that acts is printed.
fn spelled(c: char) -> Cow<'static, str> {
    Cow::Borrowed(match c {
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '"' => "\\\"",
        '\\' => "\\\\",
        _ => return Cow::Owned(c.escape_unicode().to_string()),
    })
}

/// Whether a character is seen, and nothing but seen.
///
/// The standard library knows what is printable: no control character (of either set), no format character (direction,
/// zero width, tags), no separator of lines, nothing that is not assigned. The others are printable, and nobody sees them:
/// selectors of variants, joiners and fillers, in which whole messages have been hidden.
pub fn stands(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    let is_unseen = matches!(
        c,
        '\u{34f}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{e0100}'..='\u{e01ef}'
    );
    // After a letter: at the start of a text, a combining accent alone counts as not printable.
    let mut pair = [b'a'; 5];
    c.encode_utf8(&mut pair[1..]);
    let pair = std::str::from_utf8(&pair[..=c.len_utf8()]).unwrap_or_default();
    !is_unseen && pair.escape_debug().nth(1) == Some(c)
}

/// A text of the daemon's own with words of others in it, of as many lines as it has: nothing in them acts on a terminal.
///
/// Where a line starts is for whoever made the text to see to.
pub fn page(text: &str) -> String {
    let mut page = String::with_capacity(text.len());
    let mut to = Escaper::new(&mut page, usize::MAX);
    to.lines = true;
    // Writing to a `String` does not fail.
    let _ = to.write_str(text);
    page
}

/// JSON that stays the same JSON, with all that acts on a terminal written as `\u` escapes: JSON itself spells out no
/// more than the first 32 characters.
pub fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        // Between its texts JSON has no others than ASCII, and breaks of lines.
        if stands(c) || c == '\n' {
            safe.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_spelled_out() {
        for (text, expect) in [
            ("plain text, 'quoted' \"twice\" C:\\", "plain text, 'quoted' \"twice\" C:\\"),
            ("gr\u{fc}n \u{65e5}\u{672c} e\u{301} \u{928}\u{92e}\u{938}\u{94d}\u{924}\u{947} \u{1f600}", ""),
            ("\u{301}", ""),
            ("a\nb\r\nc\td", "a\\nb\\r\\nc\\td"),
            ("\0\x07\x08\x1b[2J\x7f", "\\u{0}\\u{7}\\u{8}\\u{1b}[2J\\u{7f}"),
            ("\u{80}\u{85}\u{9b}2J\u{9f}", "\\u{80}\\u{85}\\u{9b}2J\\u{9f}"),
            ("\u{2028}\u{2029}", "\\u{2028}\\u{2029}"),
            ("\u{202a}\u{202e}\u{2066}\u{2069}", "\\u{202a}\\u{202e}\\u{2066}\\u{2069}"),
            ("\u{200e}\u{200f}\u{61c}", "\\u{200e}\\u{200f}\\u{61c}"),
            ("\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}", "\\u{200b}\\u{200c}\\u{200d}\\u{2060}\\u{feff}"),
            ("\u{ad}\u{180e}\u{fff9}\u{1d173}", "\\u{ad}\\u{180e}\\u{fff9}\\u{1d173}"),
            ("\u{e0001}\u{e0041}\u{e007f}", "\\u{e0001}\\u{e0041}\\u{e007f}"),
            ("\u{fe0f}\u{e0100}\u{34f}\u{3164}", "\\u{fe0f}\\u{e0100}\\u{34f}\\u{3164}"),
            ("\u{a0}\u{2003}\u{fdd0}\u{e000}", "\\u{a0}\\u{2003}\\u{fdd0}\\u{e000}"),
            ("", ""),
        ] {
            let expect = if expect.is_empty() { text } else { expect };
            assert_eq!(Foreign::line(text).to_string(), expect, "{text:?}");
        }
    }

    /// Unicode's controls, format characters and separators, all of them, whatever the standard library says.
    #[test]
    fn of_all_characters_only_what_is_seen_stands() {
        let formats = [
            (0xad, 0xad),
            (0x600, 0x605),
            (0x61c, 0x61c),
            (0x6dd, 0x6dd),
            (0x70f, 0x70f),
            (0x890, 0x891),
            (0x8e2, 0x8e2),
            (0x180e, 0x180e),
            (0x200b, 0x200f),
            (0x202a, 0x202e),
            (0x2060, 0x206f),
            (0xfe00, 0xfe0f),
            (0xfeff, 0xfeff),
            (0xfff9, 0xfffb),
            (0x110bd, 0x110bd),
            (0x110cd, 0x110cd),
            (0x13430, 0x1343f),
            (0x1bca0, 0x1bca3),
            (0x1d173, 0x1d17a),
            (0xe0000, 0xe0fff),
        ];
        for c in ('\0'..=char::MAX).filter(|c| stands(*c)) {
            assert!(!c.is_control() && (c == ' ' || !c.is_whitespace()), "{c:?}");
            assert!(!formats.iter().any(|(first, last)| (*first..=*last).contains(&u32::from(c))), "{c:?}");
        }
    }

    #[test]
    fn a_text_within_quotes_cannot_end_them() {
        let shown = format!("{:?}", Foreign::line("x\" allowed=true y=\"\\\n"));
        assert_eq!(shown, "\"x\\\" allowed=true y=\\\"\\\\\\n\"");
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_so() {
        let cut = |text: &str, most| Foreign::line(text).within(most).to_string();
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 4), "abcd... (2 more bytes)");
        assert_eq!(cut("\u{20ac}\u{20ac}", 4), "\u{20ac}... (3 more bytes)");
        // An escape is written whole or not at all, and nothing comes after what was left out.
        assert_eq!(cut("ab\nc", 3), "ab... (2 more bytes)");
        assert_eq!(cut("ab\u{2028}c\nd", 6), "ab... (6 more bytes)");
        let long = Foreign::line(&"\x1b".repeat(1 << 20)).to_string();
        assert!(long.len() <= LINE + 32 && long.ends_with(" more bytes)"), "{}", long.len());
    }

    #[test]
    fn names_in_ascii_do_not_look_like_others() {
        assert_eq!(Foreign::name("\u{430}llowed.test").ascii().to_string(), "\\u{430}llowed.test");
    }

    #[test]
    fn a_page_keeps_its_lines_and_json_its_meaning() {
        assert_eq!(page("one\n\ttwo\r\n\x1b[1m\u{202e}"), "one\n\\ttwo\\r\n\\u{1b}[1m\\u{202e}");
        let value = serde_json::json!({"a": "\u{9b}2J\u{7f}\u{202e}\u{e0041}\u{fc}\n"});
        let text = json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(text.chars().all(|c| stands(c) || c == '\n'), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
