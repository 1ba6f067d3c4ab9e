//! What is wrong with a value under somebody else's JSON Schema, in our words: the validator's own show values, which
//! may be secrets.

use crate::path::{KeyPath, Step};
use crate::shape::{Outcome, did_you_mean, explain, join, kind_of, list, names_of, nearest, steps};
use crate::tree::Node;
use jsonschema::error::{ValidationError, ValidationErrorKind as Kind};
use serde_json::Value;

/// One thing that is wrong.
pub(crate) struct Violation {
    /// Where, from the value that was validated.
    pub(crate) path: KeyPath,
    /// Whether the key there is wrong, whatever its value is.
    pub(crate) of_key: bool,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Violation {
    fn new(path: KeyPath, message: String) -> Self {
        Self { path, of_key: false, message, hint: None }
    }
}

/// Everything `error` says about `value`, which was written as `node`, under `schema`.
pub(crate) fn violations(error: &ValidationError<'_>, value: &Value, node: &Node, schema: &Value) -> Vec<Violation> {
    let path = steps(error, node);
    match explain(error) {
        Outcome::Types(wanted) => {
            let found = node.find(&path).node.map_or("nothing", |node| kind_of(&node.tree));
            let wanted = join(&names_of(&wanted), "or");
            vec![Violation::new(path, format!("expected {wanted}, found {found}"))]
        }
        Outcome::Errors(errors) => {
            errors.into_iter().flat_map(|error| in_words(error, value, steps(error, node), schema)).collect()
        }
    }
}

fn in_words(error: &ValidationError<'_>, value: &Value, path: KeyPath, schema: &Value) -> Vec<Violation> {
    let say = |message: String| vec![Violation::new(path.clone(), message)];
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let known = siblings(error, schema);
            let unknown = |key: &String| Violation {
                path: path.key(key),
                of_key: true,
                message: "the package's schema has no such key".to_owned(),
                hint: nearest(key, known.iter().map(String::as_str)).map(did_you_mean),
            };
            unexpected.iter().map(unknown).collect()
        }
        Kind::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            vec![Violation::new(path.key(key), "is required".to_owned())]
        }
        Kind::Enum { options } => {
            let options: Vec<String> = options.as_array().into_iter().flatten().map(plain).collect();
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            let given = at(value, &path).map(plain).unwrap_or_default();
            let hint = nearest(&given, options.iter().copied()).map(did_you_mean);
            vec![Violation { hint, ..Violation::new(path, format!("must be one of {}", list(&options, "or"))) }]
        }
        Kind::Constant { expected_value } => say(format!("must be `{}`", plain(expected_value))),
        Kind::Minimum { limit } => say(format!("must be at least {limit}")),
        Kind::Maximum { limit } => say(format!("must be at most {limit}")),
        Kind::ExclusiveMinimum { limit } => say(format!("must be above {limit}")),
        Kind::ExclusiveMaximum { limit } => say(format!("must be below {limit}")),
        Kind::MultipleOf { multiple_of } => say(format!("must be a multiple of {multiple_of}")),
        Kind::MinLength { limit } => say(format!("must be at least {}", several(*limit, "character"))),
        Kind::MaxLength { limit } => say(format!("must be at most {}", several(*limit, "character"))),
        Kind::Pattern { pattern } => say(format!("must match the pattern `{pattern}`")),
        Kind::Format { format } => say(format!("must have the format `{format}`")),
        Kind::MinItems { limit } => say(format!("must have at least {}", several(*limit, "item"))),
        Kind::MaxItems { limit } => say(format!("must have at most {}", several(*limit, "item"))),
        Kind::AdditionalItems { .. } | Kind::UnevaluatedItems { .. } => say("has more items than are known".to_owned()),
        Kind::UniqueItems => say("has an item twice".to_owned()),
        Kind::Contains => say("has none of the items it must have".to_owned()),
        Kind::MinProperties { limit } => say(format!("must have at least {}", several(*limit, "key"))),
        Kind::MaxProperties { limit } => say(format!("must have at most {}", several(*limit, "key"))),
        Kind::PropertyNames { .. } => say("has a key that is not allowed".to_owned()),
        Kind::FalseSchema | Kind::Not { .. } => say("is not allowed here".to_owned()),
        Kind::OneOfMultipleValid { .. } => say("fits several alternatives, and must fit one".to_owned()),
        _ => say(error.masked().to_string()),
    }
}

/// A value without quotes around text.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn several(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn at<'a>(value: &'a Value, path: &KeyPath) -> Option<&'a Value> {
    path.0.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Index(index) => value.get(index),
    })
}

/// The keys the schema knows where it refuses others.
fn siblings(error: &ValidationError<'_>, schema: &Value) -> Vec<String> {
    let keyword = error.schema_path().as_str();
    let above = keyword.rsplit_once('/').and_then(|(above, _)| schema.pointer(above));
    let properties = above.and_then(|schema| schema.get("properties")).and_then(Value::as_object);
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}
