//! What a later file, or a later reading of the files, lets apps do that they could not do before.
//!
//! Layers are written by different people: whoever wrote an earlier one may believe that its boundary holds. So the
//! checked deployments are compared, and not their texts: a key that was deleted, emptied, left out or written in another
//! way is the same change.
//!
//! * `hosts`: where an app gets, by its list and its mode.
//! * `server`: what all apps share.
//! * `app`, `bindings`: what else an entry gives its app.
//! * `providers`: where providers that are no apps get.
//! * `limits`: where an app runs, and what bounds it there.
//! * `earlier`: the deployment that the first files alone would be.
//!
//! Not compared, since no order can be seen in it: which package an app is, its `config`, its `env`, and the value of a
//! credential, which is changed whenever it is renewed.
//!
//! **Invariant:** whoever adds a field to what is compared has to say here whether it widens: the comparisons name every
//! field.

mod app;
mod bindings;
pub(crate) mod earlier;
mod hosts;
mod limits;
mod providers;
mod server;

use crate::deployment::Deployment;
use crate::path::KeyPath;
use crate::problem::Location;
use crate::source::{Finding, Show, Span};
use crate::tree::{Node, Tree};
use std::fmt::Display;

/// Something that may be done after a change and could not be done before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Widened {
    /// The apps and providers that may: `apps.github`, `providers.cache.main`. Empty when any may that does not say
    /// otherwise itself.
    pub who: Vec<String>,
    /// The key that makes the difference, such as `apps.github.egress.mode`.
    pub key: String,
    /// What applied before.
    pub before: String,
    /// What applies now.
    pub after: String,
    /// Where the new value was written, or the old one taken out; else the nearest thing above the key.
    pub at: Location,
}

impl Deployment {
    /// What apps may do under this deployment and not under `earlier`.
    pub fn widened_since(&self, earlier: &Self) -> Vec<Widened> {
        let said = |text: &str| self.origin.sources.in_written_words(text.to_owned());
        let told = |step: Step| Widened {
            key: said(&step.path.to_string()),
            before: said(&earlier.origin.sources.in_written_words(step.before)),
            after: said(&step.after),
            at: self.origin.sources.locate(step.span),
            who: step.who,
        };
        compare(earlier, self).into_iter().map(told).collect()
    }
}

/// The warnings about what `after` lets apps do and one of `earlier` does not.
pub(crate) fn widened(earlier: &[Deployment], after: &Deployment) -> Vec<Finding> {
    let mut steps: Vec<Step> = Vec::new();
    for before in earlier {
        for mut step in compare(before, after) {
            step.before = before.origin.sources.in_written_words(step.before);
            // The earliest file that said less is the one to name.
            if !steps.iter().any(|told| told.path == step.path && told.after == step.after) {
                steps.push(step);
            }
        }
    }
    steps.into_iter().map(Step::finding).collect()
}

/// One step beyond, before it is laid out for reading.
struct Step {
    who: Vec<String>,
    path: KeyPath,
    before: String,
    after: String,
    span: Span,
}

impl Step {
    fn finding(self) -> Finding {
        /// Names that are listed in a warning.
        const MOST: usize = 5;
        let mut names = self.who[..self.who.len().min(MOST)].join(", ");
        if self.who.len() > MOST {
            names.push_str(&format!(" and {} more", self.who.len() - MOST));
        }
        let whom = if names.is_empty() { String::new() } else { format!(" for {names}") };
        let message = format!("POLICY_WIDENED{whom}: before: {}; now: {}", self.before, self.after);
        Finding { span: self.span, path: self.path, message, hint: None, show: Show::Line }
    }
}

fn compare(before: &Deployment, after: &Deployment) -> Vec<Step> {
    let mut comparison = Comparison { before, after, found: Vec::new() };
    comparison.server();
    comparison.apps();
    comparison.providers();
    comparison.found
}

/// Two deployments, and what the second lets apps do beyond the first.
struct Comparison<'a> {
    before: &'a Deployment,
    after: &'a Deployment,
    found: Vec<Step>,
}

impl Comparison<'_> {
    /// Takes note of one step beyond. Several apps that take the same one are told together.
    fn say(&mut self, who: Option<&str>, path: KeyPath, before: impl Display, after: impl Display) {
        let (before, after) = (before.to_string(), after.to_string());
        let same = |step: &&mut Step| (&step.path, &step.before, &step.after) == (&path, &before, &after);
        if let Some(step) = self.found.iter_mut().find(same) {
            if let Some(who) = who.filter(|who| !step.who.iter().any(|known| known == who)) {
                step.who.push(who.to_owned());
            }
            return;
        }
        let span = self.place(&path);
        let who = who.map(str::to_owned).into_iter().collect();
        self.found.push(Step { who, path, before, after, span });
    }

    /// Takes note of a value in which more is wider.
    fn more<T: PartialOrd + Display>(&mut self, who: Option<&str>, path: KeyPath, before: T, after: T) {
        if after > before {
            self.say(who, path, format!("`{before}`"), format!("`{after}`"));
        }
    }

    /// Takes note of words of which each is wider than the ones before it in `order`.
    fn word(&mut self, who: Option<&str>, path: KeyPath, order: &[&str], before: &str, after: &str) {
        let rank = |word| order.iter().position(|known| *known == word);
        if rank(after) > rank(before) {
            self.say(who, path, format!("`{before}`"), format!("`{after}`"));
        }
    }

    /// Where what stands at `path` now was written, or what stood there was taken out.
    fn place(&self, path: &KeyPath) -> Span {
        let origin = &self.after.origin;
        let found = origin.tree.find(path);
        match found.node {
            Some(node) if node.map().is_none() && node.span != Span::default() => node.span,
            Some(_) => found.span,
            None => {
                let covers = |gone: &KeyPath| path.0.starts_with(&gone.0);
                let removed = origin.removed.iter().rev().find(|(gone, _)| covers(gone));
                removed.map_or(found.span, |(_, span)| *span)
            }
        }
    }

    /// One item of the list at `list`, or the list where it is not written out: it is a default then.
    fn item_at(&self, list: &KeyPath, i: usize) -> KeyPath {
        let item = list.index(i);
        if self.after.origin.tree.find(&item).node.is_some() { item } else { list.clone() }
    }

    /// The key of an app's own, if either deployment has it; else the server's, from which the app has its value.
    fn own_or(&self, own: KeyPath, shared: &str) -> KeyPath {
        let has = |deployment: &Deployment| deployment.origin.tree.find(&own).node.is_some_and(says_something);
        if has(self.before) || has(self.after) { own } else { KeyPath::default().dotted(shared) }
    }
}

fn says_something(node: &Node) -> bool {
    !matches!(node.tree, Tree::Null | Tree::Reported)
}

/// The list at `path`, as it was written and without secrets.
fn listed(deployment: &Deployment, path: &KeyPath) -> String {
    /// Entries that are quoted in a warning.
    const MOST: usize = 4;
    let Some(Node { tree: Tree::List(list), .. }) = deployment.origin.tree.find(path).node else {
        return "nothing".to_owned();
    };
    let quoted: Vec<String> = list.iter().take(MOST).map(item).collect();
    match list.len() {
        0 => "nothing".to_owned(),
        all if all > MOST => format!("{} and {} more", quoted.join(", "), all - MOST),
        _ => quoted.join(", "),
    }
}

/// One item of a list, as it was written.
fn item(node: &Node) -> String {
    match &node.tree {
        Tree::Text(text) => format!("`{text}`"),
        Tree::Number(_, text) | Tree::Bool(_, text) => format!("`{text}`"),
        Tree::Secret { .. } | Tree::Reference(_) => "a secret".to_owned(),
        Tree::Null | Tree::Reported | Tree::List(_) | Tree::Map(_) => "an entry".to_owned(),
    }
}

/// Whether a list with an entry stands at `path`, be the entry understood or not.
fn lists_something(deployment: &Deployment, path: &KeyPath) -> bool {
    matches!(deployment.origin.tree.find(path).node, Some(Node { tree: Tree::List(list), .. }) if !list.is_empty())
}
