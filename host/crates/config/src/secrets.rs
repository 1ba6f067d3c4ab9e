//! Secrets that a config refers to: where, which provider has them, and in which order they can be had.

use crate::check::Report;
use crate::deployment::Deployment;
use crate::load::assemble;
use crate::path::{KeyPath, Step};
use crate::problem::{Location, Problems};
use crate::shape::{did_you_mean, nearest};
use crate::source::{Finding, Show, Span};
use crate::tree::{Entry, Map, Node, Tree};
use gestalt_core::Secret;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a `secret: {provider, name}` names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretRef {
    /// A key of `providers.secrets`.
    pub provider: String,
    /// The secret's name there.
    pub name: String,
}

/// A place in the files where a secret is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUse {
    /// Which.
    pub secret: SecretRef,
    /// Where it is needed.
    pub at: Location,
    /// The key it is needed for.
    pub path: String,
}

/// All that is still to be supplied before a deployment is whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    uses: Vec<SecretUse>,
    order: Vec<String>,
}

/// Recognises `secret: {…}` wherever a map has that one key and its value is a map. What is in it is judged by
/// [`settle`], since a later file may change part of it. The `secret: {env}` of a webhook's security scheme is none.
pub(crate) fn fold(node: &mut Node) {
    match &mut node.tree {
        Tree::Map(map) => {
            let of_a_scheme = |inner: &Map| inner.keys().any(|key| matches!(key.as_str(), "env" | "secret"));
            let is_reference = |entry: &Entry| entry.node.map().is_some_and(|inner| !of_a_scheme(inner));
            if map.len() == 1 && map.get("secret").is_some_and(is_reference) {
                if let Some((_, entry)) = map.shift_remove_entry("secret") {
                    node.tree = Tree::Reference(Box::new(entry.node));
                }
                return;
            }
            map.values_mut().for_each(|entry| fold(&mut entry.node));
        }
        Tree::List(list) => list.iter_mut().for_each(fold),
        _ => {}
    }
}

/// Reads what [`fold`] has found.
pub(crate) fn settle(node: &mut Node, path: &mut KeyPath, findings: &mut Vec<Finding>) {
    match &mut node.tree {
        Tree::Reference(inner) => {
            node.tree = read(inner).unwrap_or_else(|(span, message)| {
                let (path, show) = (path.key("secret"), Show::Line);
                findings.push(Finding { span, path, message, hint: None, show });
                Tree::Reported
            });
        }
        Tree::Map(map) => {
            for (key, entry) in map {
                path.0.push(Step::Key(key.clone()));
                settle(&mut entry.node, path, findings);
                path.0.pop();
            }
        }
        Tree::List(list) => {
            for (index, item) in list.iter_mut().enumerate() {
                path.0.push(Step::Index(index));
                settle(item, path, findings);
                path.0.pop();
            }
        }
        _ => {}
    }
}

/// What stands under `secret:`.
fn read(inner: &Node) -> Result<Tree, (Span, String)> {
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

/// Parts of a config whose values may be secret.
const PLACES: [&str; 6] = ["apps", "authorization", "connections", "providers", "runtime", "server"];

/// Finds every reference, and reports those that cannot be followed.
pub(crate) fn pending(report: &mut Report<'_>, root: &Node) -> Pending {
    let entries = root.get("providers").and_then(|providers| providers.get("secrets")).and_then(Node::map);
    let known: BTreeSet<&str> = entries.into_iter().flat_map(|map| map.keys().map(String::as_str)).collect();
    let (mut uses, mut needs) = (Vec::new(), BTreeMap::<&str, BTreeSet<&str>>::new());
    let mut found: Vec<(KeyPath, &Node, &str, &str)> = Vec::new();
    root.walk(&mut KeyPath::default(), &mut |path, node| {
        if let Tree::Secret { provider, name } = &node.tree {
            found.push((path.clone(), node, provider, name));
        }
    });
    let wrong = |path: &KeyPath, node: &Node, message: &str, hint: Option<String>| {
        let (span, path) = (node.span, path.clone());
        Finding { span, path, message: message.to_owned(), hint, show: Show::Line }
    };
    for (path, node, provider, name) in &found {
        let (provider, name) = (*provider, *name);
        let keys: Vec<_> =
            path.0.iter().map(|step| if let Step::Key(key) = step { key.as_str() } else { "" }).collect();
        let within = match keys.as_slice() {
            ["providers", "secrets", _, "config", ..] => {
                let hint = "write `${NAME}` to take it from the environment, or from the file that NAME_FILE names";
                let message = "a secrets provider cannot be configured with secrets: it would need itself";
                report.findings.push(wrong(path, node, message, Some(hint.to_owned())));
                continue;
            }
            ["providers", "secrets", entry, ..] => known.get(entry).copied(),
            [first, ..] if !PLACES.contains(first) => {
                report.findings.push(wrong(path, node, "a secret has no place here", None));
                continue;
            }
            _ => None,
        };
        if !known.contains(provider) {
            let meant = nearest(provider, known.iter().copied()).map(did_you_mean);
            let hint = meant.or_else(|| match known.is_empty() {
                true => Some(format!("write `providers: {{secrets: {{{provider}: {{source: env}}}}}}`")),
                false => None,
            });
            let message = format!("`providers.secrets` has no entry `{provider}`");
            report.findings.push(wrong(path, node, &message, hint));
            continue;
        }
        if let Some(within) = within {
            needs.entry(within).or_default().insert(provider);
        }
        let secret = SecretRef { provider: provider.to_owned(), name: name.to_owned() };
        uses.push(SecretUse { secret, at: report.locate(path), path: path.to_string() });
    }
    let used: BTreeSet<&str> = uses.iter().map(|u| u.secret.provider.as_str()).collect();
    let order = order(report, &used, &needs).into_iter().map(str::to_owned).collect();
    Pending { uses, order }
}

/// The used providers, each after those whose secrets it needs itself.
fn order<'a>(
    report: &mut Report<'_>,
    used: &BTreeSet<&'a str>,
    needs: &BTreeMap<&'a str, BTreeSet<&'a str>>,
) -> Vec<&'a str> {
    let none = BTreeSet::new();
    let (mut order, mut left) = (Vec::new(), used.clone());
    loop {
        let ready = |name: &&&str| needs.get(**name).unwrap_or(&none).iter().all(|need| order.contains(need));
        let Some(next) = left.iter().find(ready).copied() else { break };
        left.remove(next);
        order.push(next);
    }
    // What is left needs something in the cycle; those in it need one another.
    for name in &left {
        let mut seen = BTreeSet::new();
        let mut reach: Vec<&str> = needs.get(name).unwrap_or(&none).iter().copied().collect();
        while let Some(next) = reach.pop() {
            if seen.insert(next) {
                reach.extend(needs.get(next).unwrap_or(&none));
            }
        }
        if seen.contains(name) {
            let at = KeyPath::default().dotted("providers.secrets").key(name);
            let message = match seen.len() {
                1 => "needs a secret of its own".to_owned(),
                _ => {
                    let others: Vec<_> = seen.iter().filter(|other| *other != name).copied().collect();
                    format!("needs secrets of {}, which need secrets of it", crate::shape::list(&others, "and"))
                }
            };
            report.problem(&at, message);
        }
    }
    order
}

impl Deployment {
    /// Every place that needs a secret which is still to be supplied, in the order of the files. What stands at such a
    /// place is empty or absent until then.
    pub fn secret_refs(&self) -> &[SecretUse] {
        &self.pending.uses
    }

    /// The secrets providers that are needed, each after those whose secrets it needs itself; keys of
    /// [`Providers::secrets`](crate::deployment::Providers::secrets).
    pub fn secrets_order(&self) -> &[String] {
        &self.pending.order
    }

    /// The deployment with these secrets in their places, checked again with them.
    ///
    /// # Errors
    /// What only shows with the values. No message holds one of them.
    pub fn with_secrets(self, secrets: &BTreeMap<SecretRef, Secret<String>>) -> Result<Self, Problems> {
        if self.pending.uses.is_empty() {
            return Ok(self);
        }
        let mut whole = self.origin.tree.clone();
        supply(&mut whole, secrets);
        let mut supplied = assemble(whole, self.origin.sources.clone(), self.mode, &self.home)?;
        // What is kept for telling places need not hold the secrets; and what was set since the load stays.
        supplied.origin = Arc::clone(&self.origin);
        supplied.server.artifacts_dir = self.server.artifacts_dir;
        supplied.server.public = self.server.public;
        supplied.server.management = self.server.management;
        Ok(supplied)
    }
}

fn supply(node: &mut Node, secrets: &BTreeMap<SecretRef, Secret<String>>) {
    match &mut node.tree {
        Tree::Secret { provider, name } => {
            let secret = SecretRef { provider: std::mem::take(provider), name: std::mem::take(name) };
            node.tree = match secrets.get(&secret) {
                Some(value) => Tree::Text(value.expose().clone()),
                None => Tree::Secret { provider: secret.provider, name: secret.name },
            };
        }
        Tree::Map(map) => map.values_mut().for_each(|entry| supply(&mut entry.node, secrets)),
        Tree::List(list) => list.iter_mut().for_each(|item| supply(item, secrets)),
        _ => {}
    }
}
