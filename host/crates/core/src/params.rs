use serde::de::IgnoredAny;
use serde_json::{Map, Value, value::RawValue};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The parameters of an operation: the text of one JSON object, exactly as the caller wrote it.
///
/// Text rather than a tree, so that a 64-bit integer that no `f64` can hold reaches a component unchanged and a
/// parameter nobody looks at is never parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params(Arc<str>);

/// Why a text is not a parameter object.
#[derive(Debug, thiserror::Error)]
pub enum ParamsError {
    /// Not JSON at all.
    #[error("not valid JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    /// Nested deeper than [`Params::MAX_DEPTH`].
    #[error("nested deeper than {max} levels", max = Params::MAX_DEPTH)]
    TooDeep,
    /// JSON, but an array or a scalar.
    #[error("not a JSON object")]
    NotAnObject,
}

impl Params {
    /// Deepest nesting accepted: what serde_json, and with it every native provider, will parse.
    pub const MAX_DEPTH: usize = 127;

    /// No parameters: `{}`.
    pub fn empty() -> Self {
        Self("{}".into())
    }

    /// Checks that `text` is one JSON object (or `null`, which stands for none) and keeps it.
    ///
    /// # Errors
    /// When the text is not JSON, not an object, or nested too deep.
    pub fn parse(text: &str) -> Result<Self, ParamsError> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        match text.as_bytes().first() {
            Some(b'{') => {
                serde_json::from_str::<IgnoredAny>(text)?;
                if json_depth(text.as_bytes()) > Self::MAX_DEPTH {
                    return Err(ParamsError::TooDeep);
                }
                Ok(Self(text.into()))
            }
            _ => match serde_json::from_str::<Value>(text)? {
                Value::Null => Ok(Self::empty()),
                _ => Err(ParamsError::NotAnObject),
            },
        }
    }

    /// The object as JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is no parameter at all.
    pub fn is_empty(&self) -> bool {
        self.0.strip_prefix('{').and_then(|s| s.strip_suffix('}')).is_some_and(|s| s.trim().is_empty())
    }

    /// The object as a tree. Of a repeated key the last value counts.
    pub fn to_map(&self) -> Map<String, Value> {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// Takes the named members out; what stays keeps its spelling.
    ///
    /// Returns the removed values in the order asked, `None` for a member that is not there.
    pub fn take<const N: usize>(&self, names: [&str; N]) -> (Self, [Option<Value>; N]) {
        let mut taken = [const { None }; N];
        // A key can be written with escapes as well, and is the same key.
        if !self.0.contains('\\') && !names.iter().any(|n| self.0.contains(n)) {
            return (self.clone(), taken);
        }
        let Ok(mut members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(&self.0) else {
            return (self.clone(), taken);
        };
        for (slot, name) in taken.iter_mut().zip(names) {
            *slot = members.remove(name).and_then(|raw| serde_json::from_str(raw.get()).ok());
        }
        match serde_json::to_string(&members) {
            Ok(text) => (Self(text.into()), taken),
            Err(_) => (self.clone(), taken),
        }
    }
}

/// How deep arrays and objects nest in a JSON text; meaningless for a text that is not JSON.
///
/// One pass without recursion, so that the depth of hostile JSON can be known before anything descends into it.
pub fn json_depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

impl From<Map<String, Value>> for Params {
    fn from(map: Map<String, Value>) -> Self {
        Self(Value::Object(map).to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keeps_the_text_of_an_object() {
        let text = r#"{"n":9007199254740993,"x":1.10}"#;
        assert_eq!(Params::parse(text).unwrap().as_str(), text);
        assert_eq!(Params::parse(" \n{} ").unwrap().as_str(), "{}");
        assert!(Params::parse("null").unwrap().is_empty());
        assert!(Params::parse("{ }").unwrap().is_empty());
        assert!(!Params::parse(r#"{"a":1}"#).unwrap().is_empty());
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "[1]", "1", "\"x\"", "{", "{} {}", "{'a':1}"] {
            assert!(Params::parse(text).is_err(), "{text:?}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        assert!(Params::parse(&deep).is_err());
    }

    #[test]
    fn measures_depth_outside_of_strings() {
        for (text, depth) in [("1", 0), ("{}", 1), (r#"{"a":[[1],2]}"#, 3), (r#"["[[\\\"[["]"#, 1)] {
            assert_eq!(json_depth(text.as_bytes()), depth, "{text}");
        }
    }

    #[test]
    fn takes_members_and_leaves_the_rest_exact() {
        let params = Params::parse(r#"{"_instance":"a","n":9007199254740993}"#).unwrap();
        let (rest, [connection, instance]) = params.take(["_connection", "_instance"]);
        assert_eq!(rest.as_str(), r#"{"n":9007199254740993}"#);
        assert_eq!((connection, instance), (None, Some(json!("a"))));
        let escaped = Params::parse(r#"{"\u005finstance":"a","x":"\u0041"}"#).unwrap();
        let (rest, [instance]) = escaped.take(["_instance"]);
        assert_eq!((rest.as_str(), instance), (r#"{"x":"\u0041"}"#, Some(json!("a"))));
    }
}
