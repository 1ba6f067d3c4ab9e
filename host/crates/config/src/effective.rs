//! What a deployment comes to, as one YAML document: files merged, defaults filled in, secrets masked, and behind each
//! value the place it comes from.

use crate::check::providers::BUILTINS;
use crate::deployment::Deployment;
use crate::path::{KeyPath, Step};
use crate::source::{Sources, Span};
use crate::tree::{Entry, Map, Node, Patterns, Tree};
use crate::yaml;
use gestalt_core::foreign;
use serde_json::Number;
use std::collections::HashSet;
use std::fmt::Write;
use std::sync::LazyLock;

/// In the place of a secret. As long as the shortest credential that may be held for an app, so that what is printed
/// can be read again.
const MASK: &str = "********";

/// Where secrets stand in what has been checked. Narrower than what is hidden in messages about what has not.
const SECRETS: [&str; 27] = [
    "apps.*.config",
    "apps.*.connections.*.auth.authMapping.*.*.value",
    "apps.*.connections.*.auth.clientSecret",
    "apps.*.connections.*.auth.refreshParams",
    "apps.*.connections.*.auth.tokenParams",
    "apps.*.egress.credentials.*.value",
    "apps.*.env",
    "apps.*.runtime.imagePullAuth",
    "apps.*.securitySchemes.*.secret.secret",
    "apps.*.source.auth",
    "connections.*.auth.authMapping.*.*.value",
    "connections.*.auth.clientSecret",
    "connections.*.auth.refreshParams",
    "connections.*.auth.tokenParams",
    "providers.*.*.config",
    "providers.*.*.env",
    "providers.*.*.runtime.imagePullAuth",
    "providers.*.*.source.auth",
    "providers.agent.*.connections.*.auth.authMapping.*.*.value",
    "providers.agent.*.connections.*.auth.clientSecret",
    "providers.agent.*.connections.*.auth.refreshParams",
    "providers.agent.*.connections.*.auth.tokenParams",
    "providers.agent.*.harnesses.*.env",
    "providers.agent.*.harnesses.*.install.commands.*.env",
    "runtime.providers.*.env",
    "runtime.providers.*.source.auth",
    "server.encryptionKey",
];
static SECRET: LazyLock<Patterns> = LazyLock::new(|| Patterns::new(SECRETS));
/// Where a runtime is configured: one from a package may be given secrets.
static HOSTED: LazyLock<Patterns> = LazyLock::new(|| Patterns::new(["runtime.providers.*"]));
/// Where a database is given a name.
static DATABASES: LazyLock<Patterns> = LazyLock::new(|| {
    Patterns::new(["apps.*.indexeddb", "providers.agent.*.indexeddb", "providers.workflow.*.indexeddb"])
});
static WORKSPACES: LazyLock<Patterns> = LazyLock::new(|| Patterns::new(["providers.agent.*.runtime.workspace"]));
static SCHEDULES: LazyLock<Patterns> = LazyLock::new(|| Patterns::new(["workflows.schedules.*"]));

impl Deployment {
    /// The deployment as YAML, each value followed by `# file:line`, or by `# default` where no file says it. Secrets
    /// are masked; references to secrets are shown as such.
    pub fn effective(&self) -> String {
        let mut root = self.origin.tree.clone();
        self.fill_in(&mut root);
        let mut printer = Printer { sources: &self.origin.sources, masked: HashSet::new(), out: String::new() };
        SECRET.visit(&root, &mut |_, path, _, node| {
            let masked = &mut printer.masked;
            if path.matches("providers.*.*.config") && is_builtin(&root, path) {
                // Its keys are known: what authenticates is secret.
                masked.extend(node.get("headers").map(std::ptr::from_ref));
            } else {
                masked.insert(std::ptr::from_ref(node));
            }
        });
        HOSTED.visit(&root, &mut |_, _, _, node| {
            if let (None, Some(config)) = (node.get("driver"), node.get("config")) {
                printer.masked.insert(std::ptr::from_ref(config));
            }
        });
        printer.value(&root, 0, false);
        printer.out
    }

    /// Adds what applies when nothing is written.
    fn fill_in(&self, root: &mut Node) {
        let server = &self.server;
        let mut set = |path: &str, tree: Tree| put(root, &KeyPath::default().dotted(path), tree);
        set("server.public.host", text("0.0.0.0"));
        set("server.public.port", Tree::Number(Number::from(8080), "8080".into()));
        set("server.apiTokenTtl", text("30d"));
        set("server.artifactsDir", text(&server.artifacts_dir.to_string_lossy()));
        set("server.agent.defaultToolNarrowingThreshold", Tree::Number(Number::from(200), "200".into()));
        set("server.egress.defaultAction", text("allow"));
        set("server.egress.privateNetworks", text("deny"));
        set("server.egress.sandbox", text("best-effort"));
        set("server.packages.build", text("confined"));
        if let Some(url) = &server.relay_base_url {
            set("server.runtime.relayBaseUrl", text(url));
        }
        if server.admin.authorization_policy.is_some() {
            set("server.admin.allowedRoles", Tree::List(vec![node(text("admin"))]));
        }
        for (kind, source) in [("secrets", "env"), ("telemetry", "stdout"), ("audit", "inherit")] {
            let at = format!("providers.{kind}");
            if root.find(&KeyPath::default().dotted(&at)).node.is_none_or(Node::is_empty) {
                put(root, &KeyPath::default().dotted(&format!("{at}.default.source")), text(source));
            }
        }
        fill(root, &DATABASES, |path, _| match path.0.iter().rev().nth(1) {
            Some(Step::Key(name)) => Some(("db", text(name))),
            _ => None,
        });
        fill(root, &WORKSPACES, |_, _| Some(("prepareTimeout", text("10m"))));
        fill(root, &SCHEDULES, |_, _| Some(("timezone", text("UTC"))));
    }
}

/// Whether the entry whose `config` stands at `path` is built in.
fn is_builtin(root: &Node, path: &KeyPath) -> bool {
    let [_, Step::Key(kind), Step::Key(_), _] = path.0.as_slice() else { return false };
    let Some((_, names)) = BUILTINS.iter().find(|(of, _)| of == kind) else { return false };
    let source = root.find(&KeyPath(path.0[..3].to_vec()).key("source"));
    match source.node.map(|node| &node.tree) {
        None | Some(Tree::Null) => true,
        Some(Tree::Text(text)) => names.contains(&text.trim()),
        Some(_) => false,
    }
}

fn text(text: &str) -> Tree {
    Tree::Text(text.to_owned())
}

fn node(tree: Tree) -> Node {
    Node { span: Span::default(), tree }
}

/// Adds a key to each map at one of the paths that does not have it.
fn fill(root: &mut Node, patterns: &Patterns, default: impl Fn(&KeyPath, &Node) -> Option<(&'static str, Tree)>) {
    let mut missing = Vec::new();
    patterns.visit(root, &mut |_, path, _, node| {
        if node.map().is_some()
            && let Some((key, tree)) = default(path, node)
        {
            missing.push((path.key(key), tree));
        }
    });
    missing.into_iter().for_each(|(path, tree)| put(root, &path, tree));
}

/// Puts `tree` at `path`, unless something is there.
fn put(root: &mut Node, path: &KeyPath, tree: Tree) {
    let [above @ .., Step::Key(key)] = path.0.as_slice() else { return };
    let mut here = root;
    for step in above {
        let Step::Key(step) = step else { return };
        if matches!(here.tree, Tree::Null) {
            here.tree = Tree::Map(Map::new());
        }
        let Some(map) = here.map_mut() else { return };
        let empty = || Entry { key: Span::default(), node: node(Tree::Map(Map::new())) };
        here = &mut map.entry(step.clone()).or_insert_with(empty).node;
    }
    if matches!(here.tree, Tree::Null) {
        here.tree = Tree::Map(Map::new());
    }
    let Some(map) = here.map_mut() else { return };
    if map.get(key).is_none_or(|entry| matches!(entry.node.tree, Tree::Null)) {
        map.insert(key.clone(), Entry { key: Span::default(), node: node(tree) });
    }
}

struct Printer<'a> {
    sources: &'a Sources,
    /// Nodes below which everything is secret.
    masked: HashSet<*const Node>,
    out: String,
}

impl Printer<'_> {
    /// A map or list on lines of its own, or a scalar behind what is written already.
    fn value(&mut self, node: &Node, depth: usize, hidden: bool) {
        let hidden = hidden || self.masked.contains(&std::ptr::from_ref(node));
        match &node.tree {
            Tree::Map(map) if !map.is_empty() => {
                for (key, entry) in map {
                    self.indent(depth);
                    self.out.push_str(&scalar(key));
                    self.out.push(':');
                    self.behind(&entry.node, depth, hidden);
                }
            }
            Tree::List(list) if !list.is_empty() => {
                for item in list {
                    self.indent(depth);
                    self.out.push('-');
                    self.behind(item, depth, hidden);
                }
            }
            tree => {
                let text = match tree {
                    Tree::Map(_) => "{}".to_owned(),
                    Tree::List(_) => "[]".to_owned(),
                    Tree::Null | Tree::Reported => "null".to_owned(),
                    Tree::Secret { provider, name } => {
                        format!("{{secret: {{provider: {}, name: {}}}}}", quoted(provider), quoted(name))
                    }
                    _ if hidden => quoted(MASK),
                    Tree::Bool(_, spelling) | Tree::Number(_, spelling) => spelling.to_string(),
                    Tree::Text(text) => scalar(&without_login(text)),
                    Tree::Reference(_) => quoted(MASK),
                };
                let _ = writeln!(self.out, " {text}  # {}", self.origin(node.span));
            }
        }
    }

    fn behind(&mut self, node: &Node, depth: usize, hidden: bool) {
        let nested = match &node.tree {
            Tree::Map(map) => !map.is_empty(),
            Tree::List(list) => !list.is_empty(),
            _ => false,
        };
        if nested {
            self.out.push('\n');
        }
        self.value(node, depth + 1, hidden);
    }

    fn indent(&mut self, depth: usize) {
        self.out.extend(std::iter::repeat_n("  ", depth));
    }

    fn origin(&self, span: Span) -> String {
        if span == Span::default() {
            return "default".to_owned();
        }
        let at = self.sources.locate(span);
        format!("{}:{}", at.file.display(), at.line)
    }
}

/// Text as YAML that reads as this text.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./@+".contains(c);
    let safe = text.chars().all(plain) && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/');
    if safe && yaml::is_text(text) { text.to_owned() } else { quoted(text) }
}

/// Text in quotes, with all that acts on a terminal as an escape of YAML's.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for c in serde_json::Value::from(text).to_string().chars() {
        let _ = match u32::from(c) {
            _ if foreign::stands(c) => write!(out, "{c}"),
            code @ ..=0xffff => write!(out, "\\u{code:04x}"),
            code => write!(out, "\\U{code:08x}"),
        };
    }
    out
}

/// The text without the password of a URL in it.
fn without_login(text: &str) -> String {
    match text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?))) {
        Some((scheme, (login, host))) if login.contains(':') => format!("{scheme}://{MASK}@{host}"),
        _ => text.to_owned(),
    }
}
