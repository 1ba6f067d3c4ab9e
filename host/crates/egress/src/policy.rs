//! Which hosts an app may name, and which ports anybody may.

use gestalt_core::egress::{Action, BlockedPorts, DenyReason, Entry};
use gestalt_core::host::{Host, HostPattern};
use std::collections::HashMap;

/// One app's `egress.allowedHosts` together with the server's default.
///
/// Decides on canonical hosts only, without allocating: exact entries by hash, `*.suffix` entries one by one, so the
/// work depends on the operator's list and not on how many labels an app puts into a name.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Each host, and which entry names it.
    exact: HashMap<Host, usize>,
    /// Each suffix, and which entry names it.
    below: Vec<(Box<str>, usize)>,
    default: Action,
}

/// Proof that a policy was asked about a host, and which kind of rule let it pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// An entry is this host.
    Exact,
    /// A `*.suffix` entry covers it.
    Below,
    /// The list is empty and the default is to allow.
    Open,
}

impl Policy {
    /// A policy from an app's list and the server's default, which counts only if the list is empty.
    pub fn new(allowed: &[Entry], default: Action) -> Self {
        let mut policy = Self { exact: HashMap::new(), below: Vec::new(), default };
        for (i, entry) in allowed.iter().enumerate() {
            match &entry.pattern {
                HostPattern::Exact(host) => drop(policy.exact.insert(host.clone(), i)),
                HostPattern::Below(suffix) => policy.below.push((suffix.clone(), i)),
            }
        }
        policy
    }

    /// Decides about a host.
    ///
    /// # Errors
    /// [`DenyReason::HostNotAllowed`] when there is a list without it, [`DenyReason::DefaultDeny`] when there is none.
    pub fn check(&self, host: &Host) -> Result<Grant, DenyReason> {
        self.decide(host).map(|(grant, _)| grant)
    }

    /// [`Policy::check`], and the entry that decided, by its place in the list; none decides an open one.
    ///
    /// # Errors
    /// As [`Policy::check`].
    pub fn decide(&self, host: &Host) -> Result<(Grant, Option<usize>), DenyReason> {
        if self.exact.is_empty() && self.below.is_empty() {
            return match self.default {
                Action::Allow => Ok((Grant::Open, None)),
                Action::Deny => Err(DenyReason::DefaultDeny),
            };
        }
        if let Some(entry) = self.exact.get(host) {
            return Ok((Grant::Exact, Some(*entry)));
        }
        let Host::Name(name) = host else { return Err(DenyReason::HostNotAllowed) };
        match self.below.iter().find(|(suffix, _)| is_below(name, suffix)) {
            Some((_, entry)) => Ok((Grant::Below, Some(*entry))),
            None => Err(DenyReason::HostNotAllowed),
        }
    }
}

/// `suffix` starts with its dot, so a match ends at a label; something must stand before it.
fn is_below(name: &str, suffix: &str) -> bool {
    name.len() > suffix.len() && name.ends_with(suffix)
}

/// The bad ports of the Fetch standard (fetch.spec.whatwg.org, "port blocking"), without 0, which no request can name;
/// and 6379 and 11211, where Redis and memcached run a request's lines as commands. The standard leaves those two out
/// for the sake of pages that exist; here nobody depends on them yet.
const FETCH: &[u16] = &[
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110,
    111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532,
    540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061,
    6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080, 11211,
];

/// Whether requests to `port` are refused.
pub(crate) fn blocks(ports: &BlockedPorts, port: u16) -> bool {
    match ports {
        BlockedPorts::Fetch => FETCH.binary_search(&port).is_ok(),
        BlockedPorts::None => false,
        BlockedPorts::List(ports) => ports.contains(&port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_a_suffix_is_not_the_suffix() {
        assert!(is_below("a.wild.test", ".wild.test") && !is_below(".wild.test", ".wild.test"));
        assert!(!is_below("wild.test", ".wild.test") && !is_below("evilwild.test", ".wild.test"));
    }

    #[test]
    fn fetch_ports_are_sorted_for_the_search() {
        assert!(FETCH.is_sorted());
        for (port, expect) in
            [(22, true), (25, true), (53, true), (10080, true), (80, false), (443, false), (8443, false)]
        {
            assert_eq!(blocks(&BlockedPorts::Fetch, port), expect, "{port}");
        }
        assert!(!blocks(&BlockedPorts::None, 25) && blocks(&BlockedPorts::List(vec![8080]), 8080));
        assert!(!blocks(&BlockedPorts::List(vec![8080]), 25));
    }
}
