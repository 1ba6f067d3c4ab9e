//! How a host name is spelled and matched: one canonical form, one pattern language.
//!
//! Policy is decided on canonical names only. Whatever cannot be brought into the one form is refused; there is no
//! fallback to comparing the text as given, because that is where every known bypass lives.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use url::Host as UrlHost;

/// A host in its one spelling: a lower-case A-label name without final dot, or an address.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A DNS name.
    Name(Box<str>),
    /// An address literal.
    Ip(IpAddr),
}

/// Why a text is not a host this daemon will name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// Holds a scheme, port, path, user, space, control, percent or non-ASCII character.
    #[error("must be a bare host name or address")]
    Characters,
    /// A label is empty, longer than 63 bytes, or the name longer than 253.
    #[error("has an empty or over-long label")]
    Labels,
    /// An IPv4 address in any spelling but four decimal numbers.
    #[error("is an IPv4 address in a spelling other than dotted decimal")]
    Ipv4Spelling,
    /// An IPv6 address with a zone, or one that embeds an IPv4 address.
    #[error("is an IPv6 address with a zone or an embedded IPv4 address")]
    Ipv6Form,
}

impl Host {
    /// Parses the host part of an authority; IPv6 in brackets.
    ///
    /// # Errors
    /// When the text has no canonical form.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        let bracketed = text.starts_with('[');
        let allowed = |b: u8| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => !bracketed || b != b'_',
            b'[' | b']' | b':' => bracketed,
            _ => false,
        };
        if !text.bytes().all(allowed) {
            return Err(if bracketed { HostError::Ipv6Form } else { HostError::Characters });
        }
        match UrlHost::parse(text).map_err(|_| HostError::Characters)? {
            UrlHost::Domain(name) => canonical_name(&name),
            UrlHost::Ipv4(ip) if ip.to_string() == text => Ok(Self::Ip(ip.into())),
            UrlHost::Ipv4(_) => Err(HostError::Ipv4Spelling),
            UrlHost::Ipv6(ip) if ip.to_ipv4_mapped().is_some() || is_v4_compatible(ip) => Err(HostError::Ipv6Form),
            UrlHost::Ipv6(ip) => Ok(Self::Ip(ip.into())),
        }
    }

    /// Whether this is `localhost` or a name under it: resolved inside the daemon, never by DNS.
    pub fn is_localhost(&self) -> bool {
        matches!(self, Self::Name(name) if &**name == "localhost" || name.ends_with(".localhost"))
    }
}

/// In `::/96`, other than `::` and `::1`: an IPv4 address in disguise.
fn is_v4_compatible(ip: Ipv6Addr) -> bool {
    ip.segments()[..6] == [0; 6] && !ip.is_unspecified() && !ip.is_loopback()
}

fn canonical_name(name: &str) -> Result<Host, HostError> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
    };
    if name.len() > 253 || !name.split('.').all(label_ok) {
        return Err(HostError::Labels);
    }
    Ok(Host::Name(name.into()))
}

impl fmt::Display for Host {
    /// As it stands in an authority: IPv6 in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One entry of `egress.allowedHosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This host and no other.
    Exact(Host),
    /// `*.example.com`: every name below it, at any depth, but not the name itself. Holds `.example.com`.
    Below(Box<str>),
}

/// Why a text is not an entry of `egress.allowedHosts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A `*` anywhere but in a leading `*.`.
    #[error("a wildcard is only allowed as a leading `*.`")]
    Wildcard,
    /// `*.` before an address.
    #[error("a wildcard must stand before a name, not an address")]
    WildcardAddress,
    /// The rest is no host.
    #[error("{0}")]
    Host(#[from] HostError),
}

impl HostPattern {
    /// Parses an entry. International names are brought to their A-label form; IPv6 may stand bare or in brackets.
    ///
    /// # Errors
    /// When the entry is not exactly a host or `*.` and a name: no scheme, port, path, or other wildcard.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if let Some(rest) = text.strip_prefix("*.") {
            if rest.contains('*') {
                return Err(PatternError::Wildcard);
            }
            return match parse_entry(rest)? {
                Host::Name(name) => Ok(Self::Below(format!(".{name}").into())),
                Host::Ip(_) => Err(PatternError::WildcardAddress),
            };
        }
        if text.contains('*') {
            return Err(PatternError::Wildcard);
        }
        Ok(Self::Exact(parse_entry(text)?))
    }

    /// Whether the pattern covers `host`.
    pub fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Exact(exact), host) => exact == host,
            (Self::Below(suffix), Host::Name(name)) => name.len() > suffix.len() && name.ends_with(&**suffix),
            (Self::Below(_), Host::Ip(_)) => false,
        }
    }

    /// Whether every host that `narrow` covers is covered by this pattern too.
    pub fn covers(&self, narrow: &Self) -> bool {
        match (self, narrow) {
            (wide, Self::Exact(host)) => wide.matches(host),
            (Self::Below(wide), Self::Below(narrow)) => narrow.ends_with(&**wide),
            (Self::Exact(_), Self::Below(_)) => false,
        }
    }
}

/// A host as an operator writes it: also bare IPv6 and U-labels, which a request's authority may not hold.
fn parse_entry(text: &str) -> Result<Host, HostError> {
    if let Ok(ip) = text.parse::<Ipv6Addr>() {
        return Host::parse(&format!("[{ip}]"));
    }
    if text.is_ascii() {
        return Host::parse(text);
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || "/@?#\\%:[]".contains(c)) {
        return Err(HostError::Characters);
    }
    match UrlHost::parse(text) {
        Ok(UrlHost::Domain(name)) => canonical_name(&name),
        Ok(_) => Err(HostError::Ipv4Spelling),
        Err(_) => Err(HostError::Characters),
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(f),
            Self::Below(suffix) => write!(f, "*{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<&str, HostError>) {
        assert_eq!(Host::parse(text).map(|h| h.to_string()), expect.map(str::to_owned), "{text:?}");
    }

    #[test]
    fn one_spelling_per_host() {
        check("allowed.test", Ok("allowed.test"));
        check("ALLOWED.Test", Ok("allowed.test"));
        check("allowed.test.", Ok("allowed.test"));
        check("a_b.xn--bcher-kva.example", Ok("a_b.xn--bcher-kva.example"));
        check("127.0.0.1", Ok("127.0.0.1"));
        check("[::1]", Ok("[::1]"));
        check("[0:0:0:0:0:0:0:1]", Ok("[::1]"));
    }

    #[test]
    fn everything_else_is_refused() {
        use HostError::{Characters, Empty, Ipv4Spelling, Ipv6Form, Labels};
        check("", Err(Empty));
        for text in ["a b", "u@h", "h:80", "h/p", "h#x", "h?x", "h\\x", "%61llowed.test", "h%00", "а.test", "h\0"] {
            check(text, Err(Characters));
        }
        for text in ["allowed.test..", "a..wild.test", ".wild.test", "."] {
            check(text, Err(Labels));
        }
        check(&format!("{}.test", "a".repeat(64)), Err(Labels));
        check(&"a.".repeat(128), Err(Labels));
        let longest = format!("{}{}.c", "a.".repeat(94), "b".repeat(63));
        assert_eq!(longest.len(), 253);
        check(&format!("{longest}."), Ok(&longest));
        check(&format!("a{longest}"), Err(Labels));
        for text in ["127.1", "0x7f.0.0.1", "2130706433", "0177.0.0.1", "127.0.0.1.", "127.000.000.001"] {
            check(text, Err(Ipv4Spelling));
        }
        for text in [
            "[::1%25.wild.test]",
            "[::1%.wild.test]",
            "[fe80::1%25eth0]",
            "[::ffff:127.0.0.1]",
            "[::7f00:1]",
            "[::127.0.0.1]",
        ] {
            check(text, Err(Ipv6Form));
        }
        assert!(Host::parse("[::1").is_err() && Host::parse("::1").is_err() && Host::parse("[]").is_err());
    }

    #[test]
    fn patterns_match_whole_labels() {
        for (pattern, host, expect) in [
            ("allowed.test", "allowed.test", true),
            ("Allowed.Test", "allowed.test", true),
            ("allowed.test", "a.allowed.test", false),
            ("*.wild.test", "a.wild.test", true),
            ("*.wild.test", "a.b.wild.test", true),
            ("*.wild.test", "wild.test", false),
            ("*.wild.test", "evilwild.test", false),
            ("bücher.example", "xn--bcher-kva.example", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("::1", "[::1]", true),
            ("[::1]", "[::1]", true),
            ("localhost", "localhost", true),
        ] {
            let parsed = HostPattern::parse(pattern).unwrap();
            assert_eq!(parsed.matches(&Host::parse(host).unwrap()), expect, "{pattern} {host}");
        }
    }

    #[test]
    fn bad_patterns_are_refused() {
        for text in [
            "*",
            "*com",
            "a.*.com",
            "*.*.x",
            "*.1.2.3.4",
            "*.[::1]",
            "http://h",
            "h/p",
            "h:443",
            "u@h",
            "",
            " h",
            "h ",
            "[a-z].test",
            "127.1",
            "*.",
        ] {
            assert!(HostPattern::parse(text).is_err(), "{text:?}");
        }
    }
}
