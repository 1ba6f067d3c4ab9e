//! An app's `config` against the JSON Schema its package ships (`spec.configSchemaPath`).

use crate::deployment::{App, Deployment};
use crate::load::verbatim;
use crate::manifest::Manifest;
use crate::path::KeyPath;
use crate::problem::{Location, Problem, Problems};
use crate::shape::steps;
use crate::source::{Finding, Show, Sources};
use crate::tree::Node;
use crate::yaml;
use jsonschema::error::ValidationErrorKind;
use jsonschema::{Retrieve, Uri};
use serde_json::{Map, Value};
use std::error::Error;
use std::fmt;
use std::path::Path;

/// What a deployment was read from, kept so that what is found later can be placed.
pub(crate) struct Origin {
    pub(crate) tree: Node,
    pub(crate) sources: Sources,
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
        let schema = read_schema(manifest, path)?;
        let broken = |why: String| {
            let at = Location::file(&manifest.root.join(path));
            Problems::one(Problem::new(at, "", format!("is no usable JSON Schema: {why}")))
        };
        let options = jsonschema::options().with_retriever(Nowhere);
        let validator = options.build(&schema).map_err(|error| broken(error.masked().to_string()))?;
        let empty = Value::Object(Map::new());
        let config = app.config.as_ref().unwrap_or(&empty);
        let at = KeyPath::default().key("apps").key(app.name.as_str()).key("config");
        let node = self.origin.tree.find(&at).node;
        let mut findings = Vec::new();
        for error in validator.iter_errors(config) {
            let inside = node.map(|node| steps(&error, node)).unwrap_or_default();
            let path = KeyPath(at.0.iter().cloned().chain(inside.0).collect());
            match error.kind() {
                ValidationErrorKind::AdditionalProperties { unexpected } => {
                    let unknown =
                        |key: &String| self.finding(path.key(key), "the app's schema has no such key".to_owned());
                    findings.extend(unexpected.iter().map(unknown));
                }
                _ => findings.push(self.finding(path, error.masked().to_string())),
            }
        }
        if findings.is_empty() { Ok(()) } else { Err(self.origin.sources.report(findings)) }
    }

    fn finding(&self, path: KeyPath, message: String) -> Finding {
        let found = self.origin.tree.find(&path);
        let span = found.node.filter(|node| node.map().is_none()).map_or(found.span, |node| node.span);
        Finding { span, path, message, hint: None, show: Show::Line }
    }
}

/// Fetches nothing, whatever another crate has switched on in the validator.
struct Nowhere;

impl Retrieve for Nowhere {
    fn retrieve(&self, _: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        Err("a schema must be one file".into())
    }
}

fn read_schema(manifest: &Manifest, path: &Path) -> Result<Value, Problems> {
    let file = manifest.root.join(path);
    let text = manifest.read(path).map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::InvalidData => error.to_string(),
            _ => crate::source::explain(&error),
        };
        let at = Location::file(&manifest.file);
        let mut problem = Problem::new(at, "spec.configSchemaPath", format!("the file {why}"));
        problem.value = Some(path.display().to_string());
        Problems::one(problem)
    })?;
    let mut sources = Sources::default();
    let number = sources.add(&file, text);
    match yaml::parse(sources.text(number), &verbatim(number)) {
        Ok(node) => Ok(node.map_or(Value::Null, |node| node.to_value())),
        Err(findings) => Err(sources.report(findings)),
    }
}
