//! Where an app gets.

use super::{Comparison, item, listed, lists_something};
use crate::deployment::Deployment;
use crate::path::KeyPath;
use crate::tree::{Node, Tree};
use gestalt_core::address::Classes;
use gestalt_core::egress::{Action, Entry, Mode, Rules};
use gestalt_core::host::{Host, HostPattern};

/// Where something gets, as far as its own rules decide.
pub(super) struct Reach<'a> {
    /// The list it has.
    list: &'a [Entry],
    /// Whether it has one. A list may have nothing but entries that are not understood, and lets nothing through then.
    is_listed: bool,
    default: Action,
    observed: bool,
    require_tls: bool,
}

impl<'a> Reach<'a> {
    pub(super) fn of(deployment: &Deployment, list: &'a [Entry], at: &KeyPath, rules: Option<&Rules>) -> Self {
        Self {
            list,
            is_listed: lists_something(deployment, at),
            default: deployment.server.egress.default_action,
            observed: rules.is_some_and(|rules| rules.mode == Mode::Observe),
            require_tls: rules.is_some_and(|rules| rules.require_tls),
        }
    }

    /// Whether all of the internet and of private networks is reached.
    fn is_open(&self) -> bool {
        self.observed || (!self.is_listed && self.default == Action::Allow)
    }

    /// Whether nothing at all is.
    fn is_closed(&self) -> bool {
        !self.is_listed && !self.is_open()
    }

    /// Whether the list lets through all that `pattern` does.
    fn lists(&self, pattern: &HostPattern) -> bool {
        self.list.iter().any(|entry| entry.pattern.covers(pattern))
    }

    /// Whether all that `pattern` names is reached.
    fn covers(&self, pattern: &HostPattern) -> bool {
        self.lists(pattern) || (self.is_open() && !is_lifted(pattern))
    }
}

/// Whether a pattern is an address that is reached by being listed only, be everything else open.
fn is_lifted(pattern: &HostPattern) -> bool {
    matches!(pattern, HostPattern::Exact(Host::Ip(ip)) if Classes::of(*ip, false).has(Classes::LINK))
}

impl Comparison<'_> {
    /// What `who`, whose list stands at `at`, reaches now and did not before.
    pub(super) fn hosts(&mut self, who: &str, at: &KeyPath, before: &Reach<'_>, after: &Reach<'_>) {
        let was = match (before.is_listed, before.is_open()) {
            (true, _) => listed(self.before, at),
            (false, true) => "nothing, and the default to allow all".to_owned(),
            (false, false) => "nothing, and the default to allow nothing".to_owned(),
        };
        for (i, new) in new_items(self.before, self.after, at, before, after) {
            self.say(Some(who), at.index(i), &was, format!("also {new}"));
        }
        // An app that is observed now is told about by its mode.
        if !after.is_open() || before.is_open() || after.observed {
            return;
        }
        if before.is_listed {
            let now = "nothing, and the default to allow all";
            self.say(Some(who), at.clone(), was, now);
        } else {
            self.say(Some(who), KeyPath::default().dotted("server.egress.defaultAction"), "`deny`", "`allow`");
        }
    }

    /// Rules that an app has besides its list.
    pub(super) fn mode_and_tls(&mut self, who: &str, at: &KeyPath, before: &Reach<'_>, after: &Reach<'_>) {
        if after.observed && !before.observed && (before.require_tls || !before.is_open()) {
            let path = self.own_or(at.key("mode"), "server.egress.mode");
            self.say(Some(who), path, "`enforce`", "`observe`");
        }
        let demanded = before.require_tls && !before.observed;
        if demanded && !after.require_tls && !after.observed && !after.is_closed() {
            let path = self.own_or(at.key("requireTls"), "server.egress.requireTls");
            self.say(Some(who), path, "`true`", "`false`");
        }
    }
}

/// The items of the list at `at` that let through what was not let through before: their places, and how they are told.
fn new_items(
    before: &Deployment,
    after: &Deployment,
    at: &KeyPath,
    was: &Reach<'_>,
    is: &Reach<'_>,
) -> Vec<(usize, String)> {
    let Some(Tree::List(items)) = after.origin.tree.find(at).node.map(|node| &node.tree) else { return Vec::new() };
    // Secrets that are still to be supplied are no entries yet.
    let supplied = is.list.len() == items.len();
    let places = items.iter().enumerate().filter(|(_, node)| supplied || !is_secret(node));
    let known = places.zip(is.list).filter(|(_, entry)| !was.covers(&entry.pattern));
    let mut new: Vec<_> = known.map(|((i, node), _)| (i, item(node))).collect();
    if !supplied && !was.is_open() {
        let held = |node: &Node| match before.origin.tree.find(at).node.map(|node| &node.tree) {
            Some(Tree::List(items)) => items.iter().any(|other| same_secret(other, node)),
            _ => false,
        };
        let unknown = items.iter().enumerate().filter(|(_, node)| is_secret(node) && !held(node));
        new.extend(unknown.map(|(i, node)| (i, item(node))));
    }
    new
}

fn is_secret(node: &Node) -> bool {
    matches!(node.tree, Tree::Secret { .. })
}

fn same_secret(one: &Node, other: &Node) -> bool {
    match (&one.tree, &other.tree) {
        (Tree::Secret { provider, name }, Tree::Secret { provider: others, name: other }) => {
            (provider, name) == (others, other)
        }
        _ => false,
    }
}
