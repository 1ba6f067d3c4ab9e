//! The `config` of entries whose driver or built-in provider is part of the daemon: its form is known, but only when all
//! files are merged is it known which entries those are.

use crate::check::builtin::Typed;
use crate::check::providers::BUILTINS;
use crate::load::decode;
use crate::path::KeyPath;
use crate::raw::builtin::{
    RawAuditOtlp, RawAuditStdout, RawRelationalDb, RawSecretsEnv, RawSecretsFile, RawTelemetryOtlp, RawTelemetryStdout,
};
use crate::raw::wasm::RawWasm;
use crate::shape::{LazyShape, Shape, Surroundings, check, hide};
use crate::source::{Finding, Sources};
use crate::tree::{Node, Tree};
use crate::vocabulary;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::LazyLock;

static WASM: LazyShape = LazyLock::new(Shape::of::<RawWasm>);
static SECRETS_ENV: LazyShape = LazyLock::new(Shape::of::<RawSecretsEnv>);
static SECRETS_FILE: LazyShape = LazyLock::new(Shape::of::<RawSecretsFile>);
static RELATIONAL: LazyShape = LazyLock::new(Shape::of::<RawRelationalDb>);
static TELEMETRY_STDOUT: LazyShape = LazyLock::new(Shape::of::<RawTelemetryStdout>);
static TELEMETRY_OTLP: LazyShape = LazyLock::new(Shape::of::<RawTelemetryOtlp>);
static AUDIT_STDOUT: LazyShape = LazyLock::new(Shape::of::<RawAuditStdout>);
static AUDIT_OTLP: LazyShape = LazyLock::new(Shape::of::<RawAuditOtlp>);

/// Checks and decodes every `config` whose form is known.
pub(crate) fn configs(root: &mut Node, sources: &mut Sources, findings: &mut Vec<Finding>) -> Typed {
    let mut reader = Reader { root, sources, findings };
    Typed {
        wasm: reader.wasm(),
        secrets_env: reader.of("secrets", "env", &SECRETS_ENV),
        secrets_file: reader.of("secrets", "file", &SECRETS_FILE),
        relational: reader.of("indexeddb", "relationaldb", &RELATIONAL),
        telemetry_stdout: reader.of("telemetry", "stdout", &TELEMETRY_STDOUT),
        telemetry_otlp: reader.of("telemetry", "otlp", &TELEMETRY_OTLP),
        audit_stdout: reader.of("audit", "stdout", &AUDIT_STDOUT),
        audit_otlp: reader.of("audit", "otlp", &AUDIT_OTLP),
    }
}

struct Reader<'a> {
    root: &'a mut Node,
    sources: &'a mut Sources,
    findings: &'a mut Vec<Finding>,
}

impl Reader<'_> {
    fn names(&self, at: &KeyPath, is: impl Fn(&Node) -> bool) -> Vec<String> {
        let entries = self.root.find(at).node.and_then(Node::map).into_iter().flatten();
        entries.filter(|(_, entry)| is(&entry.node)).map(|(name, _)| name.clone()).collect()
    }

    fn wasm(&mut self) -> BTreeMap<String, RawWasm> {
        let at = KeyPath::default().dotted("runtime.providers");
        for name in self.names(&at, |node| node.get("driver").is_none()) {
            if let Some(config) = self.root.find(&at.key(&name).key("config")).node {
                hide(config, self.sources);
            }
        }
        let names = self.names(&at, |node| node.get("driver").and_then(Node::text) == Some("wasm"));
        self.read(&at, names, &WASM)
    }

    /// The entries of `kind` that are the built-in `builtin`.
    fn of<T: DeserializeOwned>(&mut self, kind: &str, builtin: &str, shape: &LazyShape) -> BTreeMap<String, T> {
        debug_assert!(BUILTINS.iter().any(|(of, names)| *of == kind && names.contains(&builtin)));
        let at = KeyPath::default().dotted("providers").key(kind);
        // What an entry without source is: see `builtin_of`.
        let unsaid = matches!((kind, builtin), ("secrets", "env") | ("telemetry", "stdout"));
        let is = |node: &Node| match node.get("source").map(|source| &source.tree) {
            None | Some(Tree::Null) => unsaid,
            Some(Tree::Text(text)) => text.trim() == builtin,
            Some(_) => false,
        };
        let names = self.names(&at, is);
        self.read(&at, names, shape)
    }

    fn read<T: DeserializeOwned>(
        &mut self,
        at: &KeyPath,
        names: Vec<String>,
        shape: &LazyShape,
    ) -> BTreeMap<String, T> {
        let mut configs = BTreeMap::new();
        for name in names {
            let at = at.key(&name).key("config");
            if let Some(node) = self.root.at_mut(&at.0).filter(|node| node.map().is_some()) {
                let (sources, findings, keys) = (&mut *self.sources, &mut *self.findings, &vocabulary::CONFIG);
                check(node, &at, shape, &mut Surroundings { sources, findings, markers: None, keys });
                configs.extend(decode(node, &at, self.findings).map(|config| (name, config)));
            }
        }
        configs
    }
}
