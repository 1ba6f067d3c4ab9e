//! From files to a [`Deployment`], step by step. The order matters: see each step.

use crate::check::config::Checked;
use crate::check::{self, Report};
use crate::config_schema::Origin;
use crate::deployment::Deployment;
use crate::env::{Env, Expanded, Markers, Mode, expand};
use crate::files::{anchor, resolve};
use crate::path::{KeyPath, Step};
use crate::problem::{Location, Problem, Problems};
use crate::raw::config::RawConfig;
use crate::shape::{LazyShape, Shape, Surroundings, hide};
use crate::source::{Finding, Show, Sources, Span, explain, read};
use crate::tree::{Node, Patterns, Tree};
use crate::{boundary, secrets, shape, typed, unavailable, vocabulary, yaml};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// What every config file declares.
const API_VERSION: &str = "gestaltd.config/v6";

/// Where secrets stand in a config: nothing under these is ever shown. The configuration of a runtime is not among
/// them, since most of them are bounds; that of a package is hidden when it turns out to be one.
const SECRETS: [&str; 21] = [
    "apps.*.config",
    "apps.*.connections.*.auth",
    "apps.*.egress.credentials.*.value",
    "apps.*.env",
    "apps.*.runtime.imagePullAuth",
    "apps.*.securitySchemes.*.secret",
    "apps.*.source.auth",
    "connections.*.auth.authMapping",
    "connections.*.auth.clientSecret",
    "connections.*.auth.refreshParams",
    "connections.*.auth.tokenParams",
    "providers.*.*.config",
    "providers.*.*.env",
    "providers.*.*.runtime.imagePullAuth",
    "providers.*.*.source.auth",
    "providers.agent.*.connections.*.auth",
    "providers.agent.*.harnesses.*.env",
    "runtime.providers.*.env",
    "runtime.providers.*.source.auth",
    "server.egress.proxyUrl",
    "server.encryptionKey",
];

static CONFIG: LazyShape = LazyLock::new(Shape::of::<RawConfig>);
static SECRET: LazyLock<Patterns> = LazyLock::new(|| Patterns::new(SECRETS));

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
    let mut loader = Loader {
        sources: Sources::default(),
        findings: Vec::new(),
        removed: Vec::new(),
        markers: Markers::new(),
        mode,
        env,
    };
    let trees: Vec<_> = files.iter().map(|file| loader.file(file, &directory(file))).collect();
    let Some(mut trees) = trees.into_iter().collect::<Option<Vec<_>>>().map(Vec::into_iter) else {
        return Err(loader.sources.report(loader.findings));
    };
    let Some(mut merged) = trees.next() else { return Err(loader.sources.report(loader.findings)) };
    let mut layers = Vec::new();
    for overlay in trees {
        layers.push(merged.clone());
        overlay.walk(&mut KeyPath::default(), &mut |path, node| {
            if matches!(node.tree, Tree::Null) {
                loader.removed.push((path.clone(), node.span));
            }
        });
        merged.merge(overlay);
    }
    let home = directory(leftmost);
    let mut whole = loader.merged(merged, &home)?;
    let origin = &whole.origin;
    let (mut alone, mut warnings) = (Vec::new(), Problems::default());
    for (layer, next) in layers.into_iter().zip(files.iter().skip(1)) {
        match boundary::earlier::deployment(layer, &origin.tree, &origin.sources, &home) {
            Some(earlier) => alone.push(earlier),
            None => {
                let why = "POLICY_WIDENED, perhaps: what the files before it say is not whole without it, so the two \
                           cannot be compared";
                warnings.extend(Problems::one(Problem::new(Location::file(next), "", why)));
            }
        }
    }
    warnings.extend(origin.sources.report(boundary::widened(&alone, &whole)));
    warnings.extend(std::mem::take(&mut whole.warnings));
    whole.warnings = warnings;
    Ok(whole)
}

struct Loader<'a> {
    sources: Sources,
    findings: Vec<Finding>,
    /// What a later file takes out.
    removed: Vec<(KeyPath, Span)>,
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
        for (value, written) in expanded.put_in().filter(|(value, _)| !self.markers.marked(value)) {
            self.sources.call_by_placeholder(number, value, written);
        }
        let parsed = yaml::parse(&expanded.text, &|start, end| expanded.origin(number, start, end));
        let mut root = match parsed {
            Ok(root) => root.unwrap_or(Node { span: whole, tree: Tree::Null }),
            Err(findings) => {
                self.findings.extend(findings);
                return None;
            }
        };
        root.walk(&mut KeyPath::default(), &mut |_, node| {
            for (key, entry) in node.map().into_iter().flatten() {
                self.sources.call_as_written(key, entry.key);
            }
        });
        if !matches!(root.tree, Tree::Map(_) | Tree::Null) {
            self.findings.push(finding(root.span, "a config file must be a map of keys".to_owned(), Show::Nothing));
            return None;
        }
        blot_secrets(&root, &SECRET, &mut self.sources);
        self.api_version(&root, whole)?;
        secrets::fold(&mut root);
        let (sources, findings, keys) = (&mut self.sources, &mut self.findings, &vocabulary::CONFIG);
        let mut around = Surroundings { sources, findings, markers: Some(&self.markers), keys };
        shape::check(&mut root, &KeyPath::default(), &CONFIG, &mut around);
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

    /// The merged whole: nothing may be left that only a start could supply; then it is decoded and checked.
    fn merged(mut self, mut root: Node, home: &Path) -> Result<Deployment, Problems> {
        secrets::settle(&mut root, &mut KeyPath::default(), &mut self.findings);
        if self.left_over(&root) {
            return Err(self.sources.report(self.findings));
        }
        let warnings = Vec::new();
        let assembly = Assembly { sources: self.sources, findings: self.findings, warnings, mode: self.mode, home };
        assembly.build(root, self.removed)
    }

    /// Reports variables that are missing after the merge. When some are, the rest cannot be judged.
    fn left_over(&mut self, root: &Node) -> bool {
        let before = self.findings.len();
        root.walk(&mut KeyPath::default(), &mut |path, node| match &node.tree {
            Tree::Text(text) if self.markers.marked(text) => self.findings.extend(self.markers.findings(text, path)),
            Tree::Map(map) => {
                for key in map.keys().filter(|key| self.markers.marked(key)) {
                    self.findings.extend(self.markers.findings(key, path));
                }
            }
            _ => {}
        });
        self.findings.len() > before
    }
}

/// Checks a merged tree that has passed once already, and now has its secrets.
///
/// # Errors
/// What only shows with the values.
pub(crate) fn assemble(root: Node, sources: Sources, mode: Mode, home: &Path) -> Result<Deployment, Problems> {
    Assembly { sources, findings: Vec::new(), warnings: Vec::new(), mode, home }.build(root, Vec::new())
}

/// From a merged tree to a deployment.
pub(crate) struct Assembly<'a> {
    pub(crate) sources: Sources,
    /// What is wrong with the single files.
    pub(crate) findings: Vec<Finding>,
    pub(crate) warnings: Vec<Finding>,
    pub(crate) mode: Mode,
    pub(crate) home: &'a Path,
}

impl Assembly<'_> {
    /// A deployment of what can be understood; what is wrong with it is not asked. `None` when what cannot be read has to
    /// be taken out first: it is in `findings`.
    pub(crate) fn understood(mut self, mut root: Node, findings: &mut Vec<Finding>) -> Option<Deployment> {
        let typed = typed::configs(&mut root, &mut self.sources, findings);
        findings.clear();
        let raw = decode(&root, &KeyPath::default(), findings)?;
        let mut report = Report::new(&root, &self.sources);
        let checked = check::config::deployment(&mut report, raw, typed, self.mode, self.home);
        Some(self.deployment(checked, root, Vec::new(), secrets::Pending::default()))
    }

    fn build(mut self, mut root: Node, removed: Vec<(KeyPath, Span)>) -> Result<Deployment, Problems> {
        let typed = typed::configs(&mut root, &mut self.sources, &mut self.findings);
        let Some(raw) = decode(&root, &KeyPath::default(), &mut self.findings) else {
            return Err(self.sources.report(self.findings));
        };
        let mut report = Report::new(&root, &self.sources);
        let mut checked = check::config::deployment(&mut report, raw, typed, self.mode, self.home);
        let pending = secrets::pending(&mut report, &root);
        let unenforced = unavailable::warn(&mut report, &root);
        let (found, warnings) = (report.findings, report.warnings);
        self.findings.extend(found);
        if !self.findings.is_empty() {
            return Err(self.sources.report(self.findings));
        }
        for (name, finding) in unenforced {
            if let Some(app) = checked.apps.get_mut(name.as_str()) {
                app.unenforced.extend(self.sources.report(vec![finding]));
            }
        }
        self.warnings.extend(warnings);
        Ok(self.deployment(checked, root, removed, pending))
    }

    fn deployment(
        self,
        checked: Checked,
        root: Node,
        removed: Vec<(KeyPath, Span)>,
        pending: secrets::Pending,
    ) -> Deployment {
        let warnings = self.sources.report(self.warnings);
        let origin = Arc::new(Origin { tree: root, sources: self.sources, removed });
        Deployment {
            server: checked.server,
            authorization: checked.authorization,
            connections: checked.connections,
            provider_repositories: checked.provider_repositories,
            snapshot_repositories: checked.snapshot_repositories,
            providers: checked.providers,
            runtimes: checked.runtimes,
            workflows: checked.workflows,
            apps: checked.apps,
            warnings,
            pending,
            mode: self.mode,
            home: self.home.to_owned(),
            origin,
        }
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
pub(crate) fn blot_secrets(root: &Node, patterns: &Patterns, sources: &mut Sources) {
    patterns.visit(root, &mut |_, _, _, node| hide(node, sources));
    let login = |text: &str| text.rsplit_once('@').is_some_and(|(before, _)| before.contains(':'));
    root.walk(&mut KeyPath::default(), &mut |_, node| {
        if node.text().is_some_and(login) {
            hide(node, sources);
        }
    });
}

fn finding(span: Span, message: String, show: Show) -> Finding {
    Finding { span, path: KeyPath::default(), message, hint: None, show }
}

/// The span of everything an expanded text came from.
pub(crate) fn verbatim(file: u16) -> impl Fn(usize, usize) -> Span {
    let expanded = Expanded::default();
    move |start, end| expanded.origin(file, start, end)
}
