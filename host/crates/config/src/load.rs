//! From files to a [`Deployment`], step by step. The order matters: see each step.

use crate::check::{self, Report};
use crate::config_schema::Origin;
use crate::deployment::Deployment;
use crate::env::{Env, Expanded, Markers, Mode, expand};
use crate::files::{anchor, resolve};
use crate::path::{KeyPath, Step};
use crate::problem::{Location, Problem, Problems};
use crate::raw::config::RawConfig;
use crate::raw::wasm::RawWasm;
use crate::shape::{LazyShape, Shape, Surroundings, check, hide};
use crate::source::{Finding, Show, Sources, Span, explain, read};
use crate::tree::{Node, Tree};
use crate::{vocabulary, yaml};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// What every config file declares.
const API_VERSION: &str = "gestaltd.config/v6";

/// Where secrets stand in a config: nothing under these is ever shown.
const SECRETS: [&str; 5] = [
    "server.encryptionKey",
    "server.egress.proxyUrl",
    "apps.*.config",
    "apps.*.env",
    "apps.*.egress.credentials.*.value",
];

static CONFIG: LazyShape = LazyLock::new(Shape::of::<RawConfig>);
static WASM: LazyShape = LazyLock::new(Shape::of::<RawWasm>);

/// Reads, merges (left to right) and checks config files.
///
/// # Errors
/// Everything that is wrong with them, as far as it can be told: a file that is no YAML hides what is wrong with the
/// merged whole, but nothing else hides anything.
pub fn load(files: &[PathBuf], mode: Mode, env: &dyn Env) -> Result<Deployment, Problems> {
    let Some(leftmost) = files.first() else {
        let mut none = Problem::new(Location::file(Path::new("config.yaml")), "", "there is no config file");
        none.hint = Some(
            "pass --config FILE, set GESTALT_CONFIG, or write ./config.yaml or ~/.gestaltd/config.yaml".to_owned(),
        );
        return Err(Problems::one(none));
    };
    let directory = |file: &Path| {
        let file = resolve(&env.current_dir(), file);
        file.parent().map_or(file.clone(), Path::to_owned)
    };
    let mut loader = Loader { sources: Sources::default(), findings: Vec::new(), markers: Markers::new(), mode, env };
    let trees: Vec<_> = files.iter().map(|file| loader.file(file, &directory(file))).collect();
    let Some(mut trees) = trees.into_iter().collect::<Option<Vec<_>>>().map(Vec::into_iter) else {
        return Err(loader.sources.report(loader.findings));
    };
    let Some(mut merged) = trees.next() else { return Err(loader.sources.report(loader.findings)) };
    trees.for_each(|overlay| merged.merge(overlay));
    loader.merged(merged, &directory(leftmost))
}

struct Loader<'a> {
    sources: Sources,
    findings: Vec<Finding>,
    markers: Markers,
    mode: Mode,
    env: &'a dyn Env,
}

impl Loader<'_> {
    /// One file by itself: read, expanded, parsed, and refused for what it alone has wrong, so that a wrong key that a
    /// later file deletes is wrong all the same. `None` when there is nothing to merge.
    fn file(&mut self, name: &Path, directory: &Path) -> Option<Node> {
        let opened = File::open(resolve(&self.env.current_dir(), name)).map_err(|e| explain(&e));
        let (text, why) = match opened.and_then(read) {
            Ok(text) => (text, None),
            Err(why) => (String::new(), Some(why)),
        };
        let number = self.sources.add(name, text);
        let whole = Span { file: number, ..Span::default() };
        if let Some(why) = why {
            self.findings.push(finding(whole, format!("the config file {why}"), Show::File));
            return None;
        }
        let expanded = expand(self.sources.text(number), number, self.mode, self.env, &mut self.markers);
        let expanded = expanded.map_err(|findings| self.findings.extend(findings)).ok()?;
        let parsed = yaml::parse(&expanded.text, &|start, end| expanded.origin(number, start, end));
        let mut root = match parsed {
            Ok(root) => root.unwrap_or(Node { span: whole, tree: Tree::Null }),
            Err(findings) => {
                self.findings.extend(findings);
                return None;
            }
        };
        if !matches!(root.tree, Tree::Map(_) | Tree::Null) {
            self.findings.push(finding(root.span, "a config file must be a map of keys".to_owned(), Show::Nothing));
            return None;
        }
        blot_secrets(&root, &SECRETS, &mut self.sources);
        self.api_version(&root, whole)?;
        self.fold_secrets(&mut root, &mut KeyPath::default());
        self.shape(&mut root, &KeyPath::default(), &CONFIG);
        anchor(&mut root, directory);
        Some(root)
    }

    /// Every file says which format it has, before anything else of it is believed.
    fn api_version(&mut self, root: &Node, whole: Span) -> Option<()> {
        let hint = Some(format!("write `apiVersion: {API_VERSION}` in every config file"));
        let path = KeyPath::default().key("apiVersion");
        let (span, message, show) = match root.get("apiVersion") {
            None => (whole, "is missing", Show::File),
            Some(node) if node.text() == Some(API_VERSION) => return Some(()),
            Some(node) if node.is_empty() => (node.span, "is empty", Show::Value),
            Some(node) => (node.span, "is not the format this daemon reads", Show::Value),
        };
        self.findings.push(Finding { path, hint, ..finding(span, message.to_owned(), show) });
        None
    }

    /// Recognises `secret: {provider, name}` wherever a map has that one key and its value is a map.
    fn fold_secrets(&mut self, node: &mut Node, path: &mut KeyPath) {
        match &mut node.tree {
            Tree::Map(map) => {
                let only = if map.len() == 1 { map.get("secret").map(|entry| &entry.node) } else { None };
                if let Some(inner) = only.filter(|inner| inner.map().is_some()) {
                    node.tree = match secret(inner) {
                        Ok(folded) => folded,
                        Err((span, message)) => {
                            let path = path.key("secret");
                            self.findings.push(Finding { path, ..finding(span, message, Show::Line) });
                            Tree::Reported
                        }
                    };
                    return;
                }
                for (key, entry) in map {
                    path.0.push(Step::Key(key.clone()));
                    self.fold_secrets(&mut entry.node, path);
                    path.0.pop();
                }
            }
            Tree::List(list) => {
                for (index, item) in list.iter_mut().enumerate() {
                    path.0.push(Step::Index(index));
                    self.fold_secrets(item, path);
                    path.0.pop();
                }
            }
            _ => {}
        }
    }

    fn shape(&mut self, node: &mut Node, base: &KeyPath, shape: &LazyShape) {
        let (sources, findings) = (&mut self.sources, &mut self.findings);
        let keys = &vocabulary::CONFIG;
        check(node, base, shape, &mut Surroundings { sources, findings, markers: Some(&self.markers), keys });
    }

    /// The merged whole: nothing may be left that only a start could supply; then it is decoded and checked.
    fn merged(mut self, mut root: Node, home: &Path) -> Result<Deployment, Problems> {
        if self.left_over(&root) {
            return Err(self.sources.report(self.findings));
        }
        let wasm = self.wasm_configs(&mut root);
        let Some(raw) = decode(&root, &KeyPath::default(), &mut self.findings) else {
            return Err(self.sources.report(self.findings));
        };
        let mut report = Report::new(&root, &self.sources);
        let (server, runtimes, apps) = check::config::deployment(&mut report, raw, wasm, self.mode, home);
        let (found, warnings) = (report.findings, report.warnings);
        self.findings.extend(found);
        if !self.findings.is_empty() {
            return Err(self.sources.report(self.findings));
        }
        let warnings = self.sources.report(warnings);
        let origin = Arc::new(Origin { tree: root, sources: self.sources });
        Ok(Deployment { server, runtimes, apps, warnings, origin })
    }

    /// Reports markers and secret references that survived the merge. Whether a missing variable is among them: with
    /// markers in it, the rest cannot be judged.
    fn left_over(&mut self, root: &Node) -> bool {
        let mut missing = false;
        root.walk(&mut KeyPath::default(), &mut |path, node| match &node.tree {
            Tree::Text(text) if self.markers.marked(text) => {
                missing = true;
                self.findings.extend(self.markers.findings(text, path));
            }
            Tree::Map(map) => {
                for key in map.keys().filter(|key| self.markers.marked(key)) {
                    missing = true;
                    self.findings.extend(self.markers.findings(key, path));
                }
            }
            Tree::Secret { provider, .. } => self.findings.push(Finding {
                path: path.clone(),
                hint: Some(
                    "write `${NAME}` to take it from the environment, or from the file that NAME_FILE names".to_owned(),
                ),
                ..finding(
                    node.span,
                    format!("needs secrets provider `{provider}`; secrets providers are not available yet"),
                    Show::Line,
                )
            }),
            _ => {}
        });
        missing
    }

    /// The `config` of each wasm runtime. Which driver it is for is only known now, so its form is checked now.
    fn wasm_configs(&mut self, root: &mut Node) -> BTreeMap<String, RawWasm> {
        let at = KeyPath::default().dotted("runtime.providers");
        let entries = root.find(&at).node.and_then(Node::map).into_iter().flatten();
        let is_wasm = |node: &Node| node.get("driver").and_then(Node::text) == Some("wasm");
        let names: Vec<_> = entries.filter(|(_, e)| is_wasm(&e.node)).map(|(name, _)| name.clone()).collect();
        let mut configs = BTreeMap::new();
        for name in names {
            let at = at.key(&name).key("config");
            if let Some(node) = root.at_mut(&at.0).filter(|node| node.map().is_some()) {
                self.shape(node, &at, &WASM);
                configs.extend(decode(node, &at, &mut self.findings).map(|config| (name, config)));
            }
        }
        configs
    }
}

/// Decodes what passed its shape. The schema and the types differ in one thing: whether `90.0` is a whole number.
pub(crate) fn decode<T: DeserializeOwned>(node: &Node, base: &KeyPath, findings: &mut Vec<Finding>) -> Option<T> {
    serde_path_to_error::deserialize(node.to_value())
        .map_err(|error| {
            let mut path = KeyPath::default();
            for segment in error.path() {
                match segment {
                    Segment::Seq { index } => path.0.push(Step::Index(*index)),
                    Segment::Map { key } => path.0.push(Step::Key(key.clone())),
                    Segment::Enum { .. } | Segment::Unknown => {}
                }
            }
            let found = node.find(&path);
            let span = found.node.map_or(found.span, |node| node.span);
            let message = match found.node.map(|node| &node.tree) {
                Some(Tree::Number(number, _)) if number.is_f64() => "must be written without a point".to_owned(),
                _ => error.inner().to_string(),
            };
            let path = KeyPath(base.0.iter().cloned().chain(path.0).collect());
            findings.push(Finding { path, ..finding(span, message, Show::Line) });
        })
        .ok()
}

/// Hides every value at or under one of `patterns`, and whatever looks like `user:password@host`.
pub(crate) fn blot_secrets(root: &Node, patterns: &[&str], sources: &mut Sources) {
    let login = |text: &str| text.rsplit_once('@').is_some_and(|(before, _)| before.contains(':'));
    root.walk(&mut KeyPath::default(), &mut |path, node| {
        if patterns.iter().any(|pattern| path.matches(pattern)) || node.text().is_some_and(login) {
            hide(node, sources);
        }
    });
}

fn finding(span: Span, message: String, show: Show) -> Finding {
    Finding { span, path: KeyPath::default(), message, hint: None, show }
}

/// What stands under `secret:`.
fn secret(inner: &Node) -> Result<Tree, (Span, String)> {
    let mut entries = inner.map().into_iter().flatten();
    if let Some((key, entry)) = entries.find(|(key, _)| !matches!(key.as_str(), "provider" | "name")) {
        return Err((entry.key, format!("a secret reference has `provider` and `name`, and no `{key}`")));
    }
    let part = |key: &str| match inner.get(key) {
        Some(node) => match node.text().map(str::trim) {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err((node.span, format!("the `{key}` of a secret reference must be text"))),
        },
        None => Err((inner.span, format!("a secret reference needs a `{key}`"))),
    };
    Ok(Tree::Secret { provider: part("provider")?, name: part("name")? })
}

/// The span of everything an expanded text came from.
pub(crate) fn verbatim(file: u16) -> impl Fn(usize, usize) -> Span {
    let expanded = Expanded::default();
    move |start, end| expanded.origin(file, start, end)
}
