//! What a running daemon takes over from a later reading of its configuration, and what waits for its next start.

use crate::deployment::Deployment;
use crate::path::{KeyPath, Step};
use crate::tree::{Node, Tree};
use std::collections::BTreeSet;

/// What is taken over: the rules of outgoing requests and of calls among apps, without what apps are given at their start.
const TAKEN_OVER: [&str; 20] = [
    "apps.*.egress.allowedHosts",
    "apps.*.egress.credentials.*.format",
    "apps.*.egress.credentials.*.hosts",
    "apps.*.egress.credentials.*.value",
    "apps.*.egress.mode",
    "apps.*.egress.requireTls",
    "apps.*.invokes",
    "server.egress.allowedNetworks",
    "server.egress.blockedPorts",
    "server.egress.connect",
    "server.egress.defaultAction",
    "server.egress.dns.hosts",
    "server.egress.dns.maxAddresses",
    "server.egress.dns.timeout",
    "server.egress.forwardedHeaders",
    "server.egress.mode",
    "server.egress.nat64",
    "server.egress.privateNetworks",
    "server.egress.proxyUrl",
    "server.egress.requireTls",
];

impl Deployment {
    /// The keys, such as `apps.github.config`, in which `newer` differs and which a running daemon cannot take over.
    /// An app that `newer` does not have is none of them: it can be stopped.
    pub fn waits_for_restart(&self, newer: &Self) -> Vec<String> {
        let mut waiting = Vec::new();
        compare(&mut KeyPath::default(), Some(&self.origin.tree), Some(&newer.origin.tree), &mut waiting);
        waiting
    }
}

fn compare(path: &mut KeyPath, old: Option<&Node>, new: Option<&Node>, waiting: &mut Vec<String>) {
    let same = match (old, new) {
        (Some(old), Some(new)) => equal(old, new),
        (present, absent) => present.or(absent).is_none_or(Node::is_empty),
    };
    let app_is_gone = new.is_none() && path.matches("apps.*");
    if same || app_is_gone || TAKEN_OVER.iter().any(|pattern| path.matches(pattern)) {
        return;
    }
    let app_is_new = old.is_none() && path.matches("apps.*");
    let steps = if app_is_new { None } else { steps(path, old, new) };
    let Some(steps) = steps else { return waiting.push(path.to_string()) };
    for step in steps {
        let (old, new) = (old.and_then(|node| child(node, &step)), new.and_then(|node| child(node, &step)));
        path.0.push(step);
        compare(path, old, new, waiting);
        path.0.pop();
    }
}

/// Where to look for the difference, when it is worth telling more precisely than by `path`.
fn steps(path: &KeyPath, old: Option<&Node>, new: Option<&Node>) -> Option<Vec<Step>> {
    let on_the_way = || TAKEN_OVER.iter().any(|pattern| is_above(path, pattern));
    match (old.map(|node| &node.tree), new.map(|node| &node.tree)) {
        (Some(Tree::Map(old)), Some(Tree::Map(new))) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            Some(keys.into_iter().cloned().map(Step::Key).collect())
        }
        (Some(Tree::Map(map)), None | Some(Tree::Null)) | (None | Some(Tree::Null), Some(Tree::Map(map)))
            if on_the_way() =>
        {
            Some(map.keys().cloned().map(Step::Key).collect())
        }
        (Some(Tree::List(old)), Some(Tree::List(new))) if old.len() == new.len() && on_the_way() => {
            Some((0..old.len()).map(Step::Index).collect())
        }
        _ => None,
    }
}

/// Whether `pattern` names something below `path`.
fn is_above(path: &KeyPath, pattern: &str) -> bool {
    let above: Vec<&str> = pattern.split('.').take(path.0.len()).collect();
    path.matches(&above.join("."))
}

fn child<'a>(node: &'a Node, step: &Step) -> Option<&'a Node> {
    match (&node.tree, step) {
        (Tree::List(list), Step::Index(index)) => list.get(*index),
        (_, Step::Key(key)) => node.get(key),
        _ => None,
    }
}

/// Whether two values say the same, wherever they were written. In maps, the order says nothing.
fn equal(old: &Node, new: &Node) -> bool {
    match (&old.tree, &new.tree) {
        (Tree::Map(old), Tree::Map(new)) => {
            let same = |(key, entry): (&String, &crate::tree::Entry)| {
                new.get(key).is_some_and(|other| equal(&entry.node, &other.node))
            };
            old.len() == new.len() && old.iter().all(same)
        }
        (Tree::List(old), Tree::List(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| equal(old, new))
        }
        (Tree::Bool(_, old), Tree::Bool(_, new)) | (Tree::Number(_, old), Tree::Number(_, new)) => old == new,
        (Tree::Text(old), Tree::Text(new)) => old == new,
        (Tree::Reference(old), Tree::Reference(new)) => equal(old, new),
        (Tree::Secret { provider, name }, Tree::Secret { provider: others, name: other }) => {
            (provider, name) == (others, other)
        }
        (Tree::Null | Tree::Reported, Tree::Null | Tree::Reported) => true,
        _ => false,
    }
}
