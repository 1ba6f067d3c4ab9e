//! What kinds of address there are, as far as it matters who may reach them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::BitOr;

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
pub fn carried(ip: Ipv6Addr) -> Option<Ipv4Addr> {
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
