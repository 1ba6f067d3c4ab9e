//! Which hosts an app may name, and which ports anybody may.

use gestalt_core::egress::{Action, DenyReason, Entry};
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_a_suffix_is_not_the_suffix() {
        assert!(is_below("a.wild.test", ".wild.test") && !is_below(".wild.test", ".wild.test"));
        assert!(!is_below("wild.test", ".wild.test") && !is_below("evilwild.test", ".wild.test"));
    }
}
