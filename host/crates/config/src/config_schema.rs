//! An app's `config` against the JSON Schema its package ships (`spec.configSchemaPath`).

use crate::deployment::{App, Deployment};
use crate::load::verbatim;
use crate::manifest::Manifest;
use crate::path::{KeyPath, Step};
use crate::problem::Problems;
use crate::source::{Finding, Show, Sources, Span};
use crate::tree::{Node, Tree};
use crate::violation::{Violation, violations};
use crate::yaml;
use jsonschema::{Retrieve, Uri, ValidationError, Validator};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::path::Path;

/// What a deployment was read from, kept so that what is found later can be placed.
pub(crate) struct Origin {
    pub(crate) tree: Node,
    pub(crate) sources: Sources,
    /// What a later file has taken out with a null, in the order of the files.
    pub(crate) removed: Vec<(KeyPath, Span)>,
}

impl fmt::Debug for Origin {
    /// The files hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Origin")
    }
}

impl Deployment {
    /// Checks the `config` of `app` against the schema its package ships, if it ships one. A schema that refers to
    /// other files or to the network is refused.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration, at its place in the config file; or what is wrong with the
    /// schema.
    pub fn check_config(&self, app: &App, manifest: &Manifest) -> Result<(), Problems> {
        let Some(path) = &manifest.config_schema else { return Ok(()) };
        let schema = Schema::read(manifest, path)?;
        let empty = Value::Object(Map::new());
        let config = app.config.0.as_ref().unwrap_or(&empty);
        let at = KeyPath::default().key("apps").key(app.name.as_str()).key("config");
        let nothing = Node { span: Span::default(), tree: Tree::Null };
        let node = self.origin.tree.find(&at).node.unwrap_or(&nothing);
        let mut findings = Vec::new();
        for error in schema.validator.iter_errors(config) {
            for violation in violations(&error, config, node, &schema.value) {
                let finding = place(&self.origin.tree, &at, violation);
                // A secret that is still to be supplied is judged when it is there.
                let there = self.origin.tree.find(&finding.path).node;
                let pending = there.is_some_and(|node| matches!(node.tree, Tree::Secret { .. }));
                findings.extend((!pending || self.secret_refs().is_empty()).then_some(finding));
            }
        }
        if findings.is_empty() { Ok(()) } else { Err(self.origin.sources.report(findings)) }
    }
}

/// A violation of what stands at `base`, at the place it was written.
fn place(root: &Node, base: &KeyPath, violation: Violation) -> Finding {
    let path = KeyPath(base.0.iter().cloned().chain(violation.path.0).collect());
    let found = root.find(&path);
    let value = found.node.filter(|node| node.map().is_none() && !violation.of_key);
    let span = value.map_or(found.span, |node| node.span);
    Finding { span, path, message: violation.message, hint: violation.hint, show: Show::Line }
}

/// A package's schema.
struct Schema {
    value: Value,
    validator: Validator,
}

impl Schema {
    fn read(manifest: &Manifest, path: &Path) -> Result<Self, Problems> {
        let text = manifest.read(path).map_err(|error| {
            let why = match error.kind() {
                std::io::ErrorKind::InvalidData => error.to_string(),
                _ => crate::source::explain(&error),
            };
            let Origin { tree, sources, .. } = &*manifest.origin;
            let at = KeyPath::default().dotted("spec.configSchemaPath");
            let span = tree.find(&at).node.map_or_else(Span::default, |node| node.span);
            let message = format!("the file {why}");
            sources.report(vec![Finding { span, path: at, message, hint: None, show: Show::Value }])
        })?;
        let mut sources = Sources::default();
        let number = sources.add(&manifest.root.join(path), text);
        let root = match yaml::parse(sources.text(number), &verbatim(number)) {
            Ok(root) => root.unwrap_or(Node { span: Span { file: number, ..Span::default() }, tree: Tree::Null }),
            Err(findings) => return Err(sources.report(findings)),
        };
        let value = root.to_value();
        match jsonschema::options().with_retriever(Nowhere).build(&value) {
            Ok(validator) => Ok(Self { value, validator }),
            Err(error) => Err(sources.report(unusable(&error, &root, &value))),
        }
    }
}

/// Why a schema is none, at the places that say so.
fn unusable(error: &ValidationError<'_>, root: &Node, value: &Value) -> Vec<Finding> {
    let mut findings = foreign_references(root);
    findings.extend(unknown_draft(root));
    if findings.is_empty() {
        for violation in violations(error, value, root, &Value::Null) {
            let finding = place(root, &KeyPath::default(), violation);
            let message = format!("is no usable JSON Schema: {}", finding.message);
            findings.push(Finding { message, ..finding });
        }
    }
    findings
}

/// A `$schema` that is not of the standard's.
fn unknown_draft(root: &Node) -> Option<Finding> {
    let node =
        root.get("$schema").filter(|node| !node.text().is_some_and(|uri| uri.contains("://json-schema.org/")))?;
    let drafts = "`https://json-schema.org/draft/2020-12/schema`, or `http://json-schema.org/draft-07/schema#`";
    Some(Finding {
        span: node.span,
        path: KeyPath::default().key("$schema"),
        message: "is no draft of JSON Schema".to_owned(),
        hint: Some(format!("write {drafts}")),
        show: Show::Value,
    })
}

/// References out of the schema. Those to the standard's own documents are none: the validator knows them.
fn foreign_references(root: &Node) -> Vec<Finding> {
    let (mut ids, mut references) = (HashSet::new(), Vec::new());
    root.walk(&mut KeyPath::default(), &mut |path, node| {
        let (Some(Step::Key(key)), Some(text)) = (path.0.last(), node.text()) else { return };
        match key.as_str() {
            "$id" => {
                ids.insert(text);
            }
            "$ref" if !text.starts_with('#') && !text.contains("://json-schema.org/") => {
                references.push((text, node.span, path.clone()));
            }
            _ => {}
        }
    });
    references.retain(|(text, ..)| !ids.contains(text.split('#').next().unwrap_or_default()));
    let outside = |(_, span, path)| Finding {
        span,
        path,
        message: "is not in this file: a schema must be one file".to_owned(),
        hint: Some("copy what it refers to below `$defs`, and write `#/$defs/<name>`".to_owned()),
        show: Show::Value,
    };
    references.into_iter().map(outside).collect()
}

/// Fetches nothing, whatever another crate has switched on in the validator.
struct Nowhere;

impl Retrieve for Nowhere {
    fn retrieve(&self, _: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        Err("a schema must be one file".into())
    }
}
