//! The only place that knows YAML: text in, [`Node`]s out. JSON is YAML and goes the same way.
//!
//! Scalars resolve by the YAML 1.2 core schema. A number that JSON cannot hold exactly (an integer beyond 64 bits,
//! `.inf`, `.nan`) stays the text it was written as, so that no digit is ever lost.

use crate::path::KeyPath;
use crate::source::{Finding, Show, Span};
use crate::tree::{Entry, Map, Node, Tree};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput, Tag};
use serde_json::Number;
use std::collections::HashMap;

/// Deepest nesting, aliases expanded. Against stack exhaustion; the formats themselves need about a dozen.
const MAX_DEPTH: usize = 96;
/// Most nodes, aliases expanded. Against alias bombs; the largest legal catalog has about half as many.
const MAX_NODES: usize = 1_000_000;

/// Reads the first document of `text`; `None` when there is none.
///
/// `place` turns byte offsets of `text` into a [`Span`].
///
/// # Errors
/// Where the text is no YAML, or has a key twice, or a key that is no string, or is beyond a bound.
pub(crate) fn parse(text: &str, place: &dyn Fn(usize, usize) -> Span) -> Result<Option<Node>, Vec<Finding>> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        place: Place { text, chars: 0, bytes: 0, place },
        anchors: HashMap::new(),
        nodes: 0,
        findings: Vec::new(),
    };
    match reader.document() {
        Ok(node) if reader.findings.is_empty() => Ok(node),
        Ok(_) => Err(reader.findings),
        Err(fatal) => {
            reader.findings.push(fatal);
            Err(reader.findings)
        }
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    place: Place<'a>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    findings: Vec<Finding>,
}

type Spanned<'a> = (Event<'a>, saphyr_parser::Span);

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Spanned<'a>, Finding> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.scan_error(&error)),
            None => Ok((Event::StreamEnd, saphyr_parser::Span::default())),
        }
    }

    fn document(&mut self) -> Result<Option<Node>, Finding> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(None),
                (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
                event => return self.node(event, 1).map(Some),
            }
        }
    }

    fn node(&mut self, (event, at): Spanned<'a>, depth: usize) -> Result<Node, Finding> {
        let span = self.place.span(at.start, at.end);
        self.count(1, depth, span)?;
        let (anchor, node) = match event {
            Event::Alias(id) => return self.alias(id, depth, span),
            Event::Scalar(text, style, anchor, tag) => {
                let tree = scalar(&text, style, tag.as_deref()).map_err(|m| finding(span, m))?;
                (anchor, Node { span, tree })
            }
            Event::SequenceStart(anchor, tag) => {
                self.only_core(tag.as_deref(), span)?;
                (anchor, self.list(span, depth)?)
            }
            Event::MappingStart(anchor, tag) => {
                self.only_core(tag.as_deref(), span)?;
                (anchor, self.mapping(span, depth)?)
            }
            _ => return Err(finding(span, "the document ends in the middle".to_owned())),
        };
        if anchor > 0 {
            self.count(measure(&node).0, depth, span)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, start: Span, depth: usize) -> Result<Node, Finding> {
        let mut list = Vec::new();
        loop {
            let (event, at) = self.next()?;
            if event == Event::SequenceEnd {
                let end = self.place.span(at.start, at.end).end;
                return Ok(Node { span: Span { end, ..start }, tree: Tree::List(list) });
            }
            list.push(self.node((event, at), depth + 1)?);
        }
    }

    fn mapping(&mut self, start: Span, depth: usize) -> Result<Node, Finding> {
        let mut map = Map::new();
        let mut inherited = Vec::new();
        loop {
            let (event, at) = self.next()?;
            if event == Event::MappingEnd {
                let end = self.place.span(at.start, at.end).end;
                for (key, entry) in inherited.into_iter().flat_map(merged_maps) {
                    map.entry(key).or_insert(entry);
                }
                return Ok(Node { span: Span { end, ..start }, tree: Tree::Map(map) });
            }
            let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.node((event, at), depth + 1)?;
            let value = self.next()?;
            let value = self.node(value, depth + 1)?;
            match key.tree {
                _ if is_merge => inherited.push(value),
                Tree::Text(text) => {
                    if map.contains_key(&text) {
                        self.findings.push(finding(key.span, format!("key `{text}` is here twice")));
                    }
                    map.insert(text, Entry { key: key.span, node: value });
                }
                _ => {
                    let mut wrong = finding(key.span, "a key must be a string".to_owned());
                    wrong.hint = Some("put it in quotes".to_owned());
                    self.findings.push(wrong);
                }
            }
        }
    }

    fn alias(&mut self, id: usize, depth: usize, span: Span) -> Result<Node, Finding> {
        let Some(node) = self.anchors.get(&id) else {
            return Err(finding(span, "an alias may not stand inside what it refers to".to_owned()));
        };
        let (size, height) = measure(node);
        self.count(size, depth + height, span)?;
        self.anchors.get(&id).cloned().ok_or_else(|| finding(span, "unknown alias".to_owned()))
    }

    fn count(&mut self, more: usize, depth: usize, span: Span) -> Result<(), Finding> {
        self.nodes += more;
        if self.nodes > MAX_NODES {
            return Err(finding(span, format!("the document has more than {MAX_NODES} values")));
        }
        if depth > MAX_DEPTH {
            return Err(finding(span, format!("nested more than {MAX_DEPTH} levels deep")));
        }
        Ok(())
    }

    fn only_core(&self, tag: Option<&Tag>, span: Span) -> Result<(), Finding> {
        match tag {
            Some(tag) if !tag.is_yaml_core_schema() => Err(finding(span, format!("tag `{tag}` means nothing here"))),
            _ => Ok(()),
        }
    }

    fn scan_error(&mut self, error: &ScanError) -> Finding {
        let span = self.place.span(*error.marker(), *error.marker());
        finding(span, format!("not valid YAML: {}", error.info()))
    }
}

fn finding(span: Span, message: String) -> Finding {
    Finding { span, path: KeyPath::default(), message, hint: None, show: Show::Nothing }
}

/// Nodes in a tree, and its height.
fn measure(node: &Node) -> (usize, usize) {
    let over = |children: &mut dyn Iterator<Item = &Node>| {
        children.map(measure).fold((1, 1), |(size, height), (s, h)| (size + s, height.max(h + 1)))
    };
    match &node.tree {
        Tree::List(list) => over(&mut list.iter()),
        Tree::Map(map) => over(&mut map.values().map(|entry| &entry.node)),
        _ => (1, 1),
    }
}

/// What `<<: value` brings in: the entries of a map, or of several, the first one winning.
fn merged_maps(value: Node) -> Vec<(String, Entry)> {
    match value.tree {
        Tree::Map(map) => map.into_iter().collect(),
        Tree::List(list) => list.into_iter().flat_map(merged_maps).collect(),
        _ => Vec::new(),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Tree, String> {
    let Some(tag) = tag else {
        return Ok(if style == ScalarStyle::Plain { resolve(text) } else { Tree::Text(text.to_owned()) });
    };
    match (tag.is_yaml_core_schema(), tag.suffix.as_str()) {
        (true, "str") => Ok(Tree::Text(text.to_owned())),
        (true, "null" | "bool" | "int" | "float") => Ok(resolve(text)),
        _ => Err(format!("tag `{tag}` means nothing here")),
    }
}

/// The core schema's reading of a plain scalar.
fn resolve(text: &str) -> Tree {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Tree::Null,
        "true" | "True" | "TRUE" => Tree::Bool(true, text.into()),
        "false" | "False" | "FALSE" => Tree::Bool(false, text.into()),
        _ => match number(text) {
            Some(number) => Tree::Number(number, text.into()),
            None => Tree::Text(text.to_owned()),
        },
    }
}

/// Whether a plain scalar of that spelling is text.
pub(crate) fn is_text(text: &str) -> bool {
    matches!(resolve(text), Tree::Text(_)) && !text.is_empty()
}

fn number(text: &str) -> Option<Number> {
    if let Some(hex) = text.strip_prefix("0x") {
        return unsigned(hex, 16).map(Number::from);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return unsigned(octal, 8).map(Number::from);
    }
    let digits = text.trim_start_matches(['+', '-']);
    if text.len() - digits.len() > 1 || !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        return match text.starts_with('-') {
            true => text.parse::<i64>().ok().map(Number::from),
            false => unsigned(digits, 10).map(Number::from),
        };
    }
    let float_like = digits.bytes().all(|b| b.is_ascii_digit() || b"eE+-.".contains(&b));
    if !float_like { None } else { text.parse::<f64>().ok().and_then(Number::from_f64) }
}

fn unsigned(digits: &str, radix: u32) -> Option<u64> {
    if digits.starts_with('+') { None } else { u64::from_str_radix(digits, radix).ok() }
}

/// Character positions to byte positions. The parser counts characters, and moves forward but for a step now and then.
struct Place<'a> {
    text: &'a str,
    chars: usize,
    bytes: usize,
    place: &'a dyn Fn(usize, usize) -> Span,
}

impl Place<'_> {
    fn span(&mut self, start: Marker, end: Marker) -> Span {
        let start = self.bytes_at(start.index());
        let end = self.bytes_at(end.index()).max(start);
        let end = start + self.text.get(start..end).map_or(0, |t| t.trim_end().len());
        (self.place)(start, end)
    }

    fn bytes_at(&mut self, index: usize) -> usize {
        if index < self.chars {
            let back = self.text[..self.bytes].char_indices().rev().nth(self.chars - index - 1);
            self.bytes = back.map_or(0, |(i, _)| i);
        } else {
            let rest = &self.text[self.bytes..];
            self.bytes += rest.char_indices().nth(index - self.chars).map_or(rest.len(), |(i, _)| i);
        }
        self.chars = index;
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        let place = |start, end| Span { file: 0, start: start as u32, end: end as u32 };
        match parse(text, &place) {
            Ok(node) => Ok(node.map_or("none".to_owned(), |n| n.to_value().to_string())),
            Err(findings) => Err(findings.iter().map(|f| format!("{}: {}", f.span.start, f.message)).collect()),
        }
    }

    #[test]
    fn scalars_resolve_by_the_core_schema() {
        for (text, json) in [
            ("~", "null"),
            ("Null", "null"),
            ("yes", "\"yes\""),
            ("True", "true"),
            ("08", "8"),
            ("0x1F", "31"),
            ("0o17", "15"),
            ("+1", "1"),
            ("-0", "0"),
            ("1e3", "1000.0"),
            (".5", "0.5"),
            ("1.", "1.0"),
            ("1.2.3", "\"1.2.3\""),
            ("1-2", "\"1-2\""),
            ("--1", "\"--1\""),
            (".", "\".\""),
            ("30s", "\"30s\""),
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551616", "\"18446744073709551616\""),
            ("-9223372036854775809", "\"-9223372036854775809\""),
            (".inf", "\".inf\""),
            ("1e999", "\"1e999\""),
            ("'1'", "\"1\""),
            ("!!str 1", "\"1\""),
            ("!!int '1'", "1"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(json), "{text}");
        }
        assert!(read("!mine x").unwrap_err().contains("tag"));
    }

    #[test]
    fn reads_the_first_document_only() {
        assert_eq!(read("").as_deref(), Ok("none"));
        assert_eq!(read("# only this\n").as_deref(), Ok("none"));
        assert_eq!(read("a: 1\n---\n: : not yaml [").as_deref(), Ok("{\"a\":1}"));
        assert_eq!(read("{\n\t\"a\": [\n\t\t1,\n\t\t\"\\u00e9\"\n\t]\n}\n").as_deref(), Ok("{\"a\":[1,\"é\"]}"));
    }

    #[test]
    fn aliases_and_merge_keys() {
        let text = "base: &b {x: 1, y: 2}\nsub:\n  <<: *b\n  y: 3\nlist: [*b]\n";
        assert_eq!(read(text).as_deref(), Ok(r#"{"base":{"x":1,"y":2},"sub":{"y":3,"x":1},"list":[{"x":1,"y":2}]}"#));
    }

    #[test]
    fn bounds_hold() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..9 {
            let ten = vec![format!("*a{}", i - 1); 10].join(", ");
            bomb += &format!("a{i}: &a{i} [{ten}]\n");
        }
        assert!(read(&bomb).unwrap_err().contains("more than 1000000 values"));
        assert!(read(&"[".repeat(200)).unwrap_err().contains("levels deep"));
        assert!(read("a: &a [*a]").is_err());
    }

    #[test]
    fn keys_are_strings_and_unique() {
        assert_eq!(read("é: 1\nb: 2\nb: 3").unwrap_err(), "11: key `b` is here twice");
        assert_eq!(read("1: x").unwrap_err(), "0: a key must be a string");
        assert_eq!(read("[a]: x").unwrap_err(), "0: a key must be a string");
        assert_eq!(read("\"1\": x").as_deref(), Ok("{\"1\":\"x\"}"));
    }
}
