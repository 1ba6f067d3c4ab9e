//! From what an app reached to the list it needs.

use crate::journal::Reached;
use gestalt_core::egress::{Entry, Rules};
use gestalt_core::host::{Host, HostPattern};
use serde::Serialize;
use std::collections::BTreeSet;

/// More names than this below one `*.suffix` are meant by it: naming each would make a list that is wrong tomorrow.
const MANY: usize = 16;

/// What to do with an app's `allowedHosts`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Proposal {
    /// Entries that stay, as written.
    pub keep: Vec<String>,
    /// Entries that nothing used, or that allow more than was used.
    pub remove: Vec<String>,
    /// Hosts that were reached, and that no entry that stays allows.
    pub add: Vec<String>,
}

impl Proposal {
    /// The smallest list under which everything in `rows` that was reached would have been reached.
    ///
    /// A `*.suffix` makes way for the names below it unless there were more than 16, or more hosts than the journal
    /// holds. Entries that a held credential depends on stay.
    pub fn new(rules: &Rules, rows: &[Reached]) -> Self {
        let reached: BTreeSet<Host> = rows.iter().filter(|row| row.was_reached()).filter_map(host).collect();
        let overflown = rows.iter().any(|row| row.was_reached() && row.host.is_empty());
        let (keep, remove): (Vec<&Entry>, Vec<&Entry>) = rules.allowed.iter().partition(|entry| {
            let below = reached.iter().filter(|host| entry.pattern.matches(host)).count();
            let needed = match &entry.pattern {
                HostPattern::Exact(_) => below > 0,
                HostPattern::Below(_) => below > MANY || overflown,
            };
            needed
                || rules.credentials.iter().flat_map(|held| &held.hosts).any(|pattern| covers(&entry.pattern, pattern))
        });
        let missing = reached.iter().filter(|host| !keep.iter().any(|entry| entry.pattern.matches(host)));
        let text = |entry: &&Entry| entry.text.clone();
        Self {
            add: missing.map(crate::active::bare).collect(),
            keep: keep.iter().map(text).collect(),
            remove: remove.iter().map(text).collect(),
        }
    }

    /// Whether the list is what it should be.
    pub fn is_settled(&self) -> bool {
        self.remove.is_empty() && self.add.is_empty()
    }
}

fn host(row: &Reached) -> Option<Host> {
    Host::parse(&row.host).ok()
}

/// Whether `outer` is what lets a credential's `inner` be reached.
fn covers(outer: &HostPattern, inner: &HostPattern) -> bool {
    match inner {
        HostPattern::Exact(host) => outer.matches(host),
        HostPattern::Below(inner) => matches!(outer, HostPattern::Below(outer) if inner.ends_with(&**outer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gestalt_core::Secret;
    use gestalt_core::egress::HeldCredential;

    fn rules(entries: &[&str]) -> Rules {
        Rules::allowing(entries.iter().map(|entry| HostPattern::parse(entry).unwrap()))
    }

    fn rows(hosts: &[&str]) -> Vec<Reached> {
        hosts.iter().map(|host| Reached { host: (*host).to_owned(), allowed: 1, ..Reached::default() }).collect()
    }

    fn check(entries: &[&str], hosts: &[&str], keep: &[&str], remove: &[&str], add: &[&str]) {
        let found = Proposal::new(&rules(entries), &rows(hosts));
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(found, Proposal { keep: texts(keep), remove: texts(remove), add: texts(add) });
    }

    #[test]
    fn the_smallest_list() {
        check(&[], &["b.test", "a.test", "a.test"], &[], &[], &["a.test", "b.test"]);
        check(&["a.test", "gone.test"], &["a.test"], &["a.test"], &["gone.test"], &[]);
        check(&["*.w.test"], &["x.w.test", "[::1]"], &[], &["*.w.test"], &["x.w.test", "::1"]);
        check(&["*.w.test", "x.w.test"], &["x.w.test"], &["x.w.test"], &["*.w.test"], &[]);
        let many: Vec<String> = (0..17).map(|n| format!("{n}.w.test")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        check(&["*.w.test"], &many, &["*.w.test"], &[], &[]);
        check(&["*.w.test"], &["x.w.test", ""], &["*.w.test"], &[], &[]);
    }

    #[test]
    fn refused_hosts_are_not_proposed_and_credentials_keep_theirs() {
        let refused = Reached { host: "evil.test".into(), denied: 9, ..Reached::default() };
        let mut rules = rules(&["api.test", "*.w.test", "idle.test"]);
        rules.credentials.push(HeldCredential {
            header: http::header::AUTHORIZATION,
            hosts: vec![HostPattern::parse("api.test").unwrap(), HostPattern::parse("*.x.w.test").unwrap()],
            value: Secret::default(),
            format: None,
            env: None,
            token: true,
        });
        let found = Proposal::new(&rules, &[refused]);
        assert_eq!(
            (found.keep, found.remove, found.add),
            (vec!["api.test".into(), "*.w.test".into()], vec!["idle.test".into()], vec![])
        );
    }
}
