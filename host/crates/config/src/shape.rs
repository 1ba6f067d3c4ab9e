//! Checks a tree against the JSON Schema of the type it will be decoded into, so that every wrong key and type is
//! found in one go and at its place. Decoding afterwards cannot fail on them.

use crate::env::Markers;
use crate::path::{KeyPath, Step};
use crate::source::{Finding, Show, Sources, Span};
use crate::tree::{Entry, Node, Tree};
use crate::vocabulary::{Keys, Standing};
use jsonschema::error::{TypeKind, ValidationError, ValidationErrorKind};
use jsonschema::{JsonType, Validator};
use schemars::JsonSchema;
use serde_json::Value;
use std::sync::LazyLock;

/// A form, derived once.
pub(crate) type LazyShape = LazyLock<Result<Shape, String>>;

/// The form of one type.
pub(crate) struct Shape {
    schema: Value,
    validator: Validator,
}

impl Shape {
    /// The form of `T`.
    ///
    /// # Errors
    /// When the derived schema is none. That is a mistake in `T`, shown by any test that reads one.
    pub(crate) fn of<T: JsonSchema>() -> Result<Self, String> {
        let schema = schemars::SchemaGenerator::default().into_root_schema_for::<T>().to_value();
        let validator = jsonschema::validator_for(&schema).map_err(|e| e.to_string())?;
        Ok(Self { schema, validator })
    }

    /// Every key the form allows at `path`.
    fn keys_at(&self, path: &KeyPath) -> Vec<String> {
        let mut here = vec![&self.schema];
        for step in &path.0 {
            here =
                here.into_iter().flat_map(|schema| self.alternatives(schema)).filter_map(|s| below(s, step)).collect();
        }
        let all = here.into_iter().flat_map(|schema| self.alternatives(schema));
        all.filter_map(|schema| schema.get("properties")?.as_object()).flat_map(|p| p.keys().cloned()).collect()
    }

    /// The schemas that `schema` stands for: itself, or what it refers to, or each of its branches.
    fn alternatives<'a>(&'a self, schema: &'a Value) -> Vec<&'a Value> {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|r| self.schema.pointer(r.strip_prefix('#')?));
        if let Some(target) = target {
            return self.alternatives(target);
        }
        match schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
            Some(branches) => branches.iter().flat_map(|branch| self.alternatives(branch)).collect(),
            None => vec![schema],
        }
    }
}

fn below<'a>(schema: &'a Value, step: &Step) -> Option<&'a Value> {
    match step {
        Step::Key(key) => schema.get("properties").and_then(|p| p.get(key)).or(schema.get("additionalProperties")),
        Step::Index(_) => schema.get("items"),
    }
}

/// What a check works on, besides the tree.
pub(crate) struct Surroundings<'a> {
    pub(crate) sources: &'a mut Sources,
    pub(crate) findings: &'a mut Vec<Finding>,
    pub(crate) markers: Option<&'a Markers>,
    /// What is known of keys that the form does not allow.
    pub(crate) keys: &'a Keys,
}

/// Checks `node`, which stands at `base`. Whatever is wrong is reported and taken out, so that the rest can be used;
/// a number or boolean where text is wanted becomes the text it was written as.
pub(crate) fn check(node: &mut Node, base: &KeyPath, shape: &LazyShape, around: &mut Surroundings<'_>) {
    let shape = match &**shape {
        Ok(shape) => shape,
        Err(why) => {
            let message = format!("the form of this is broken: {why}");
            let (span, path) = (node.span, base.clone());
            return around.findings.push(Finding { span, path, message, hint: None, show: Show::File });
        }
    };
    let value = node.to_value();
    let errors: Vec<_> = shape.validator.iter_errors(&value).collect();
    for error in &errors {
        match explain(error) {
            Outcome::Types(wanted) => wrong_type(node, base, &steps(error, node), &wanted, around),
            Outcome::Errors(errors) => {
                for error in errors {
                    report(node, base, shape, error, around);
                }
            }
        }
    }
}

/// What an error comes down to.
pub(crate) enum Outcome<'e> {
    /// The value has none of these types.
    Types(Vec<JsonType>),
    /// The value has the right type, and these are its faults.
    Errors(Vec<&'e ValidationError<'e>>),
}

/// Looks through alternatives: the branch the writer meant is the one whose type fits.
pub(crate) fn explain<'e>(error: &'e ValidationError<'e>) -> Outcome<'e> {
    match error.kind() {
        ValidationErrorKind::Type { kind: TypeKind::Single(one) } => Outcome::Types(vec![*one]),
        ValidationErrorKind::Type { kind: TypeKind::Multiple(set) } => Outcome::Types(set.iter().collect()),
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            let here = error.instance_path();
            let (mut types, mut best): (Vec<JsonType>, Option<Vec<_>>) = (Vec::new(), None);
            for branch in context {
                let (mut mistyped, mut faults) = (false, Vec::new());
                for inner in branch {
                    match explain(inner) {
                        Outcome::Types(wanted) if inner.instance_path() == here => {
                            mistyped = true;
                            types.extend(wanted);
                        }
                        Outcome::Types(_) => faults.push(inner),
                        Outcome::Errors(deeper) => faults.extend(deeper),
                    }
                }
                if !mistyped && best.as_ref().is_none_or(|b| faults.len() < b.len()) {
                    best = Some(faults);
                }
            }
            best.map_or(Outcome::Types(types), Outcome::Errors)
        }
        _ => Outcome::Errors(vec![error]),
    }
}

fn report(node: &mut Node, base: &KeyPath, shape: &Shape, error: &ValidationError<'_>, around: &mut Surroundings<'_>) {
    let path = steps(error, node);
    match error.kind() {
        ValidationErrorKind::Type { .. }
        | ValidationErrorKind::AnyOf { .. }
        | ValidationErrorKind::OneOfNotValid { .. } => match explain(error) {
            Outcome::Types(wanted) => wrong_type(node, base, &path, &wanted, around),
            Outcome::Errors(errors) => errors.into_iter().for_each(|e| report(node, base, shape, e, around)),
        },
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let known = shape.keys_at(&path);
            for key in unexpected {
                foreign_key(node, base, &path, key, &known, around);
            }
        }
        ValidationErrorKind::Enum { options } => {
            let options: Vec<_> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let given = error.instance().as_str().unwrap_or_default();
            let hint = nearest(given, options.iter().copied()).map(did_you_mean);
            let message = match options.as_slice() {
                [only] => format!("must be `{only}`"),
                _ => format!("must be one of {}", list(&options, "or")),
            };
            fault(node, base, &path, message, hint, around);
        }
        _ => fault(node, base, &path, format!("does not fit: {}", error.masked()), None, around),
    }
}

/// The error's path, told apart into keys and indexes by what the tree has there.
pub(crate) fn steps(error: &ValidationError<'_>, root: &Node) -> KeyPath {
    let mut path = KeyPath::default();
    let mut node = Some(root);
    for segment in error.instance_path().as_str().split('/').skip(1) {
        let segment = segment.replace("~1", "/").replace("~0", "~");
        match (node.map(|n| &n.tree), segment.parse()) {
            (Some(Tree::List(list)), Ok(index)) => {
                node = list.get(index);
                path.0.push(Step::Index(index));
            }
            _ => {
                node = node.and_then(|n| n.get(&segment));
                path.0.push(Step::Key(segment));
            }
        }
    }
    path
}

fn wrong_type(node: &mut Node, base: &KeyPath, path: &KeyPath, wanted: &[JsonType], around: &mut Surroundings<'_>) {
    let Some(found) = node.at_mut(&path.0) else { return };
    if wanted.contains(&JsonType::String)
        && let Tree::Bool(_, text) | Tree::Number(_, text) = &found.tree
    {
        found.tree = Tree::Text(text.to_string());
        return;
    }
    let message = format!("expected {}, found {}", join(&names_of(wanted), "or"), kind_of(&found.tree));
    fault(node, base, path, message, None, around);
}

/// What may stand in a place.
pub(crate) fn names_of(wanted: &[JsonType]) -> Vec<&'static str> {
    let mut names: Vec<_> = wanted.iter().filter(|t| **t != JsonType::Null).map(|t| name_of(*t)).collect();
    names.dedup();
    names
}

fn name_of(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Null => "nothing",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Number => "a number",
        JsonType::String => "text",
        JsonType::Array => "a list",
        JsonType::Object => "a map",
    }
}

/// What stands there.
pub(crate) fn kind_of(tree: &Tree) -> &'static str {
    match tree {
        Tree::Null | Tree::Reported => "nothing",
        Tree::Bool(..) => "a boolean",
        Tree::Number(n, _) if n.is_f64() => "a fraction",
        Tree::Number(..) => "a number",
        Tree::Text(_) => "text",
        Tree::List(_) => "a list",
        Tree::Map(_) => "a map",
        Tree::Reference(_) | Tree::Secret { .. } => "a secret reference",
    }
}

/// Reports a value, and takes it out: the key it belongs to reads as absent from here on.
fn fault(
    root: &mut Node,
    base: &KeyPath,
    path: &KeyPath,
    message: String,
    hint: Option<String>,
    around: &mut Surroundings<'_>,
) {
    let Some(node) = root.at_mut(&path.0) else { return };
    let marked = |node: &Node| node.text().is_some_and(|text| around.markers.is_some_and(|m| m.marked(text)));
    if marked(node) || matches!(node.tree, Tree::Reported) {
        return;
    }
    let span = node.span;
    let of_a_key = path.0.iter().rposition(|step| matches!(step, Step::Key(_))).map_or(0, |i| i + 1);
    if let Some(owner) = root.at_mut(&path.0[..of_a_key]) {
        owner.tree = Tree::Reported;
    }
    let full = KeyPath(base.0.iter().chain(&path.0).cloned().collect());
    around.findings.push(Finding { span, path: full, message, hint, show: Show::Value });
}

/// A key the form does not allow: not available yet, moved, or not known at all.
fn foreign_key(
    root: &mut Node,
    base: &KeyPath,
    path: &KeyPath,
    key: &str,
    known: &[String],
    around: &mut Surroundings<'_>,
) {
    let Some(map) = root.at_mut(&path.0).and_then(Node::map_mut) else { return };
    let Some(entry) = map.get_mut(key) else { return };
    let gone = Node { span: entry.node.span, tree: Tree::Reported };
    let entry = Entry { key: entry.key, node: std::mem::replace(&mut entry.node, gone) };
    let full = KeyPath(base.0.iter().chain(&path.0).cloned().collect()).key(key);
    let (message, hint) = match around.keys.standing(&full) {
        Standing::Later if around.keys.says_nothing(&full, &entry.node) => return,
        Standing::Later => (format!("{} knows this key, but it is not available yet", around.keys.format), None),
        Standing::Gone(hint) => ("this key is gone".to_owned(), Some(hint.to_owned())),
        Standing::Misplaced(hint) => ("does not belong here".to_owned(), Some(hint.to_owned())),
        Standing::Unknown => {
            let mut candidates: Vec<&str> = known.iter().map(String::as_str).collect();
            for later in around.keys.later_below(&full) {
                candidates.push(later);
            }
            let meant = nearest(key, candidates.into_iter());
            if let Some(meant) = meant.filter(|meant| !map.contains_key(*meant)) {
                // Whatever was meant is not missing, only misspelt.
                let gone = Node { span: entry.node.span, tree: Tree::Reported };
                map.insert(meant.to_owned(), Entry { key: entry.key, node: gone });
            }
            ("unknown key".to_owned(), meant.map(did_you_mean))
        }
    };
    hide(&entry.node, around.sources);
    around.findings.push(Finding { span: entry.key, path: full, message, hint, show: Show::Line });
}

/// Blots every value out: what stands under a key we do not know may be a secret.
pub(crate) fn hide(node: &Node, sources: &mut Sources) {
    node.walk(&mut KeyPath::default(), &mut |_, node| {
        if !matches!(node.tree, Tree::Map(_) | Tree::List(_)) && node.span != Span::default() {
            sources.blot(node.span);
        }
    });
}

/// What was likely meant, when something is near enough.
pub(crate) fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = given.to_lowercase();
    let far = |candidate: &str| strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
    let (distance, best) = known.map(|candidate| (far(candidate), candidate)).min()?;
    (distance <= 1 + given.len() / 4 && distance < best.len()).then_some(best)
}

/// [`nearest`], as a question.
pub(crate) fn did_you_mean(meant: &str) -> String {
    format!("did you mean `{meant}`?")
}

/// `a`, `b` or `c`, each in backticks.
pub(crate) fn list(items: &[&str], word: &str) -> String {
    let quoted: Vec<_> = items.iter().map(|item| format!("`{item}`")).collect();
    join(&quoted.iter().map(String::as_str).collect::<Vec<_>>(), word)
}

/// a, b or c.
pub(crate) fn join(items: &[&str], word: &str) -> String {
    match items {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [init @ .., last] => format!("{} {word} {last}", init.join(", ")),
    }
}
