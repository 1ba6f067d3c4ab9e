//! Who a client is believed to be, and as whom it is counted.

use axum::http::HeaderMap;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// `server.trustedProxies`.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

/// Both sides of who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// Who connected.
    pub(super) peer: SocketAddr,
    /// Who is believed to have asked.
    pub(super) believed: IpAddr,
}

/// An address as bounds count it: an IPv4 address, or the /64 an IPv6 address lies in, as that is what one site or one
/// machine gets, with more addresses in it than can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Counted(IpAddr);

/// Proxies one behind the other. No installation has more; a longer list is somebody's attempt to keep us busy.
const MAX_HOPS: usize = 16;
/// The longest text that can be an address, `[ipv6]:port`.
const MAX_ENTRY: usize = 64;

impl TrustedProxies {
    /// The networks they connect from.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether `address` is one of them.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Who asked: `peer`, unless that is a trusted proxy. Then it is whom the proxy names last in `X-Forwarded-For`, and
    /// so on from right to left, as each proxy adds at the right whom it was asked by. The walk ends at the first that is
    /// not trusted, and at what is no address: whatever stands left of it, anybody could have written.
    pub(super) fn believe(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut believed = peer.to_canonical();
        if self.0.is_empty() {
            return believed;
        }
        let lines = headers.get_all("x-forwarded-for").into_iter().rev();
        let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for entry in entries.take(MAX_HOPS) {
            let next = if self.has(believed) { address(entry) } else { None };
            let Some(next) = next else { break };
            believed = next;
        }
        believed
    }
}

impl Counted {
    pub(super) fn new(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            v4 => v4,
        })
    }
}

/// `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:443`.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry.trim_ascii()).ok().filter(|text| text.len() <= MAX_ENTRY)?;
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(bracketed).or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, lines: &[&str], expect: &str) {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        let believed = TrustedProxies::new(trusted.into()).believe(peer.parse().unwrap(), &headers);
        assert_eq!(believed.to_string(), expect, "{peer} {lines:?}");
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        check("192.0.2.1", &[], "192.0.2.1");
        check("192.0.2.1", &["198.51.100.1"], "192.0.2.1");
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("fd00::1", &["2001:db8::1"], "2001:db8::1");
        // What the client wrote itself stands left of what the proxy saw.
        check("10.0.0.1", &["203.0.113.9, 198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["203.0.113.9", "198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["203.0.113.9, 198.51.100.1, 10.0.0.2,10.0.0.3"], "198.51.100.1");
        check("10.0.0.1", &["10.9.9.9, 10.0.0.2"], "10.9.9.9");
        for spelled in ["198.51.100.1:80", " 198.51.100.1 ", "::ffff:198.51.100.1", "[::ffff:198.51.100.1]:80"] {
            check("10.0.0.1", &[spelled], "198.51.100.1");
        }
        check("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1");
    }

    #[test]
    fn what_is_no_address_ends_the_walk() {
        for word in ["unknown", "", "_hidden", "localhost", "198.51.100.1.", "0x7f.1", "[198.51.100.1]", "1.2.3.4/8"] {
            check("10.0.0.1", &[&format!("198.51.100.1, {word}")], "10.0.0.1");
            check("10.0.0.1", &[&format!("198.51.100.1, {word}, 10.0.0.2")], "10.0.0.2");
        }
        check("10.0.0.1", &[&"1".repeat(100_000)], "10.0.0.1");
        let hops = format!("198.51.100.1{}", ", 10.0.0.2".repeat(MAX_HOPS));
        check("10.0.0.1", &[&hops], "10.0.0.2");
        let hops = format!("198.51.100.1{}", ", 10.0.0.2".repeat(MAX_HOPS - 1));
        check("10.0.0.1", &[&hops], "198.51.100.1");
    }

    #[test]
    fn addresses_of_one_site_count_as_one() {
        let same = |a: &str, b: &str| Counted::new(a.parse().unwrap()) == Counted::new(b.parse().unwrap());
        assert!(same("2001:db8::1", "2001:db8::ffff:1"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
        assert!(!same("::ffff:192.0.2.1", "::ffff:192.0.2.2"));
    }
}
