//! Which addresses a name may lead to.
//!
//! A policy speaks about names; the owner of a name decides where it points. This is where pointing an allowed name at
//! the cloud's metadata service, at the office network or at this daemon ends.

use crate::listeners::SelfListeners;
use crate::policy::Grant;
use crate::refusal::Refusal;
use gestalt_core::egress::{Action, AllowedNetwork, DenyReason, EgressError};
use gestalt_core::host::Host;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::BitOr;
use std::sync::Arc;

/// What kinds of address one is. An address that carries another inside is of the kinds of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes(u8);

impl Classes {
    /// Reachable by anybody.
    pub const PUBLIC: Self = Self(0);
    /// No destination at all, or many: nothing lifts it.
    pub const NEVER: Self = Self(1);
    /// Link-local, and where clouds keep their metadata: refused also where everything else is open.
    pub const LINK: Self = Self(2);
    /// Loopback, reserved, documentation, translation and tunnel ranges.
    pub const SPECIAL: Self = Self(4);
    /// Private networks, shared carrier space and unique local addresses.
    pub const PRIVATE: Self = Self(8);

    /// Whether all of `other` is in it.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The classes of an address. With `nat64`, `64:ff9b::/96` is judged by the IPv4 address inside alone.
    pub fn of(ip: IpAddr, nat64: bool) -> Self {
        match ip {
            IpAddr::V4(ip) => v4(ip),
            IpAddr::V6(ip) => v6(ip, nat64),
        }
    }
}

impl fmt::Display for Classes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            (Self::NEVER, "no destination"),
            (Self::LINK, "link-local or metadata"),
            (Self::SPECIAL, "special"),
            (Self::PRIVATE, "private"),
        ];
        let mut named = kinds.iter().filter(|(kind, _)| self.has(*kind)).map(|(_, name)| *name);
        f.write_str(named.next().unwrap_or("public"))?;
        named.try_for_each(|name| write!(f, ", {name}"))
    }
}

impl BitOr for Classes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

fn v4(ip: Ipv4Addr) -> Classes {
    match ip.octets() {
        [0, ..] | [224..=255, ..] => Classes::NEVER,
        // Link-local; metadata of Alibaba Cloud, of Azure and of Oracle Cloud
        [169, 254, ..] | [100, 100, 100, 200] | [168, 63, 129, 16] | [192, 0, 0, 192] => {
            Classes::LINK | Classes::SPECIAL
        }
        [127, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Classes::SPECIAL,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Classes::PRIVATE,
        _ => Classes::PUBLIC,
    }
}

fn v6(ip: Ipv6Addr, nat64: bool) -> Classes {
    match (ip.segments(), carried(ip)) {
        ([0, 0, 0, 0, 0, 0, 0, 0] | [0xff00..=0xffff, ..], _) => Classes::NEVER,
        ([0x64, 0xff9b, 0, ..], Some(inner)) if nat64 => v4(inner),
        // Which bits of it are the address depends on the network, so it may be that of a metadata service.
        ([0x64, 0xff9b, 1, ..], _) => Classes::LINK | Classes::SPECIAL,
        (_, Some(inner)) => Classes::SPECIAL | v4(inner),
        // 2001:db8::/32 and 3fff::/20 are for documentation, the rest of 2001::/23 for protocols
        ([0x2001, 0xdb8 | 0..=0x1ff, ..] | [0x3fff, 0..=0xfff, ..], None) => Classes::SPECIAL,
        ([0xfe80..=0xfebf, ..], None) => Classes::LINK | Classes::SPECIAL,
        // Metadata of AWS, of Google Cloud and of Scaleway
        ([0xfd00, 0xec2, ..] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] | [0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], None) => {
            Classes::LINK | Classes::SPECIAL
        }
        ([0xfc00..=0xfdff, ..], None) => Classes::PRIVATE,
        ([0x2000..=0x3fff, ..], None) => Classes::PUBLIC,
        _ => Classes::SPECIAL,
    }
}

/// The IPv4 address that an IPv6 address stands for, on a network that translates or tunnels it.
fn carried(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = ip.segments();
    let pair = |high: u16, low: u16| Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low));
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // v4-mapped, its deprecated translated twin, v4-compatible; NAT64
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0, 0, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 0 | 1, _, _, _, high, low] => Some(pair(high, low)),
        // 6to4 carries it behind its prefix, Teredo inverted at its end
        [0x2002, high, low, ..] => Some(pair(high, low)),
        [0x2001, 0, .., high, low] => Some(pair(!high, !low)),
        _ => None,
    }
}

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
