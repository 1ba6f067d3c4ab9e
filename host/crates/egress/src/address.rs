//! Which addresses a name may lead to.
//!
//! A policy speaks about names; the owner of a name decides where it points. This is where pointing an allowed name at
//! the cloud's metadata service, at the office network or at this daemon ends.

use crate::listeners::SelfListeners;
use crate::policy::Grant;
use crate::refusal::Refusal;
use gestalt_core::address::{Classes, carried};
use gestalt_core::egress::{Action, AllowedNetwork, DenyReason, EgressError};
use gestalt_core::host::Host;
use std::net::IpAddr;
use std::sync::Arc;

/// Judges the addresses a host resolved to. One for the daemon; what an app may lift comes with its [`Grant`].
#[derive(Debug)]
pub struct Guard {
    private: Action,
    networks: Vec<AllowedNetwork>,
    nat64: bool,
    listeners: Arc<SelfListeners>,
}

impl Guard {
    /// A guard for these settings.
    pub fn new(private: Action, networks: Vec<AllowedNetwork>, nat64: bool, listeners: Arc<SelfListeners>) -> Self {
        Self { private, networks, nat64, listeners }
    }

    /// Refuses the whole answer if any of its addresses is prohibited: a name that points at both a good and a bad
    /// place is an attack, and picking the good one would leave the choice to whoever orders the answer.
    pub(crate) fn judge_all(&self, host: &Host, grant: Grant, addresses: &[IpAddr], port: u16) -> Result<(), Refusal> {
        addresses.iter().try_for_each(|ip| self.judge(host, grant, *ip, port))
    }

    /// What kinds of address one is, as this guard sees it.
    pub(crate) fn classes(&self, ip: IpAddr) -> Classes {
        Classes::of(ip, self.nat64)
    }

    /// Whether the network would take a connection to `ip` to this daemon by another address of it.
    fn leads_home(&self, ip: IpAddr, port: u16) -> bool {
        let IpAddr::V6(ip) = ip else { return false };
        carried(ip).is_some_and(|inner| self.listeners.cover(inner.into(), port))
    }

    pub(crate) fn judge(&self, host: &Host, grant: Grant, ip: IpAddr, port: u16) -> Result<(), Refusal> {
        let prohibited = || Refusal::from(EgressError::AddressProhibited);
        let classes = Classes::of(ip, self.nat64);
        if classes.has(Classes::NEVER) {
            return Err(prohibited());
        }
        // A guest cannot tell the daemon's own doors from any other prohibited place; the operator can.
        if self.listeners.cover(ip, port) || self.leads_home(ip, port) {
            return Err(Refusal { reason: Some(DenyReason::SelfListener), ..prohibited() });
        }
        if classes == Classes::PUBLIC || self.networks.iter().any(|network| network.covers(ip, port)) {
            return Ok(());
        }
        let allowed = match grant {
            Grant::Open => !classes.has(Classes::LINK),
            // Only an exact entry can match an address, and only an entry for localhost matches a name of that family.
            Grant::Exact | Grant::Below if matches!(host, Host::Ip(_)) || host.is_localhost() => true,
            Grant::Exact | Grant::Below => classes == Classes::PRIVATE && self.private == Action::Allow,
        };
        if allowed { Ok(()) } else { Err(prohibited().with_remedy(network_line(ip, port))) }
    }
}

/// The narrowest line that lifts one destination.
fn network_line(ip: IpAddr, port: u16) -> String {
    match ip {
        IpAddr::V4(ip) => format!("server.egress.allowedNetworks: [\"{ip}/32:{port}\"]"),
        IpAddr::V6(ip) => format!("server.egress.allowedNetworks: [\"[{ip}/128]:{port}\"]"),
    }
}

#[cfg(test)]
mod tests;
