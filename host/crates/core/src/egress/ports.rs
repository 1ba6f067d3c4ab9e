//! Ports no app may reach.

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

/// The bad ports of the Fetch standard (fetch.spec.whatwg.org, "port blocking"), without 0, which no request can name;
/// and 6379 and 11211, where Redis and memcached run a request's lines as commands. The standard leaves those two out
/// for the sake of pages that exist; here nobody depends on them yet.
const FETCH: &[u16] = &[
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110,
    111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532,
    540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061,
    6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080, 11211,
];

impl BlockedPorts {
    /// Whether requests to `port` are refused.
    pub fn blocks(&self, port: u16) -> bool {
        match self {
            Self::Fetch => FETCH.binary_search(&port).is_ok(),
            Self::None => false,
            Self::List(ports) => ports.contains(&port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fetch_ports_are_sorted_for_the_search() {
        assert!(FETCH.is_sorted());
        for (port, expect) in
            [(22, true), (25, true), (53, true), (10080, true), (80, false), (443, false), (8443, false)]
        {
            assert_eq!(BlockedPorts::Fetch.blocks(port), expect, "{port}");
        }
        assert!(!BlockedPorts::None.blocks(25) && BlockedPorts::List(vec![8080]).blocks(8080));
        assert!(!BlockedPorts::List(vec![8080]).blocks(25));
    }
}
