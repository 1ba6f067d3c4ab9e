//! What `server.egress` says, parsed and defaulted.

use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `server.egress`: the part of the policy that all apps share. Defaults are `Settings::default()`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What an app with an empty `egress.allowedHosts` may reach (seed 004, server.egress).
    pub default_action: DefaultAction,
    /// Whether names may lead to private networks (10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7).
    pub private_networks: PrivateNetworks,
    /// Networks, or single ports in them, that are no longer prohibited destinations.
    pub allowed_networks: Vec<AllowedNetwork>,
    /// Ports no request may go to.
    pub blocked_ports: BlockedPorts,
    /// Whether `64:ff9b::/96` is this network's NAT64 prefix, so that the IPv4 address inside decides.
    pub nat64: bool,
    /// PEM file of further root certificates, beside the platform's.
    pub ca_file: Option<PathBuf>,
    /// Name resolution.
    pub dns: DnsSettings,
    /// Audit records.
    pub audit: AuditSettings,
}

/// `server.egress.defaultAction`. Decides only for apps whose list is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DefaultAction {
    /// Every public and private host, but not link-local and metadata addresses nor the daemon itself.
    #[default]
    Allow,
    /// Nothing.
    Deny,
}

/// `server.egress.privateNetworks`. Decides only for apps that list their hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrivateNetworks {
    /// A listed name may resolve to a private address.
    Allow,
    /// A listed name that resolves to a private address is refused, unless a network is allowed by itself.
    #[default]
    Deny,
}

/// `server.egress.blockedPorts`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BlockedPorts {
    /// The bad ports of the Fetch standard, Redis and memcached: protocols that can be made to misread HTTP.
    #[default]
    Fetch,
    /// No port.
    None,
    /// These, and no others.
    List(Vec<u16>),
}

/// One entry of `server.egress.allowedNetworks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowedNetwork {
    /// Addresses.
    pub net: IpNet,
    /// The only port, if not all.
    pub port: Option<u16>,
}

impl AllowedNetwork {
    /// Parses `10.0.0.0/8`, `10.0.0.0/8:443`, `10.1.2.3`, `10.1.2.3:443`, `fd00::/8`, `[fd00::/8]:443` or `[::1]:443`.
    ///
    /// `None` for anything else, also for a network with bits set to the right of its prefix: such an entry says two
    /// different things.
    pub fn parse(text: &str) -> Option<Self> {
        let (net, port) = match text.strip_prefix('[') {
            Some(rest) => match rest.split_once(']')? {
                (net, "") => (net, None),
                (net, port) => (net, Some(port.strip_prefix(':')?)),
            },
            None => match text.split_once(':') {
                Some((net, port)) if !port.contains(':') => (net, Some(port)),
                _ => (text, None),
            },
        };
        let net = match net.parse::<IpNet>() {
            Ok(net) => net,
            Err(_) => IpNet::from(net.parse::<IpAddr>().ok()?),
        };
        let port = match port {
            Some(text) => Some(parse_port(text)?),
            None => None,
        };
        (net.trunc() == net).then_some(Self { net, port })
    }

    /// Whether the entry covers this destination.
    pub fn covers(&self, ip: IpAddr, port: u16) -> bool {
        self.net.contains(&ip) && self.port.is_none_or(|only| only == port)
    }
}

/// One to five decimal digits, 1 to 65535. No sign, no space, not empty.
pub(crate) fn parse_port(text: &str) -> Option<u16> {
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

/// `server.egress.dns`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// One lookup. Against names whose servers never answer.
    pub timeout: Duration,
    /// Addresses that are dialled of one answer. All of the answer is judged. Against answers that are connect floods.
    pub max_addresses: usize,
    /// Lookups of one app within any minute. Against carrying data out in labels below an allowed `*.suffix`.
    pub max_queries_per_minute: u32,
    /// Names answered from here and never asked about. The addresses are judged like any others.
    pub hosts: BTreeMap<String, Vec<IpAddr>>,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), max_addresses: 16, max_queries_per_minute: 600, hosts: BTreeMap::new() }
    }
}

/// `server.egress.audit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// Records of one app within a minute; more attempts share records. Against drowning the audit trail.
    pub max_records_per_minute: u32,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { max_records_per_minute: 60 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_with_and_without_port() {
        for (text, net, port) in [
            ("10.0.0.0/8", "10.0.0.0/8", None),
            ("10.0.0.0/8:443", "10.0.0.0/8", Some(443)),
            ("127.0.0.1:8080", "127.0.0.1/32", Some(8080)),
            ("127.0.0.1", "127.0.0.1/32", None),
            ("fd00::/8", "fd00::/8", None),
            ("[fd00::/8]:443", "fd00::/8", Some(443)),
            ("[::1]:1", "::1/128", Some(1)),
            ("::1", "::1/128", None),
        ] {
            let expect = AllowedNetwork { net: net.parse().unwrap(), port };
            assert_eq!(AllowedNetwork::parse(text), Some(expect), "{text}");
        }
        for text in [
            "",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/8:",
            "10.0.0.0/8:0",
            "10.0.0.0/8:65536",
            "10.0.0.0/8:+1",
            "a.test",
            "[::1",
            "[::1]443",
            "10/8",
            ":443",
        ] {
            assert_eq!(AllowedNetwork::parse(text), None, "{text}");
        }
    }
}
