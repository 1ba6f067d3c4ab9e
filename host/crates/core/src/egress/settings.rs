//! What `server.egress` says: the part of the policy that all apps share, parsed and defaulted.

use super::native::{ConnectSettings, Sandbox, SandboxPath};
use super::ports::BlockedPorts;
use crate::Secret;
use crate::host::Host;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `server.egress`. Defaults are `Settings::default()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What an app with an empty `egress.allowedHosts` may reach (seed 004, server.egress). Default allow.
    pub default_action: Action,
    /// Whether listed names may lead to private networks (10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7).
    /// Decides only for apps that list their hosts. Default deny.
    pub private_networks: Action,
    /// For apps that do not say it themselves. Default enforce.
    pub mode: Mode,
    /// For apps that do not say it themselves: whether requests in the clear are refused. Default no.
    pub require_tls: bool,
    /// Networks, or single ports in them, that are no longer prohibited destinations.
    pub allowed_networks: Vec<AllowedNetwork>,
    /// Ports no request may go to.
    pub blocked_ports: BlockedPorts,
    /// Whether `64:ff9b::/96` is this network's NAT64 prefix, so that the IPv4 address inside decides.
    pub nat64: bool,
    /// What becomes of header fields in which a proxy tells where a request came from.
    pub forwarded_headers: ForwardedHeaders,
    /// The proxy every connection goes through. The proxy variables of the environment are never read.
    pub proxy: Option<Proxy>,
    /// PEM file of further root certificates, beside the platform's.
    pub ca_file: Option<PathBuf>,
    /// Name resolution.
    pub dns: DnsSettings,
    /// Audit records.
    pub audit: AuditSettings,
    /// Tunnels through the proxy of a native process.
    pub connect: ConnectSettings,
    /// For apps that do not say it themselves: what confines native processes. Default best-effort.
    pub sandbox: Sandbox,
    /// For apps that do not say it themselves: what confined processes may read besides what every one may.
    pub sandbox_paths: Vec<SandboxPath>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_action: Action::Allow,
            private_networks: Action::Deny,
            mode: Mode::Enforce,
            require_tls: false,
            allowed_networks: Vec::new(),
            blocked_ports: BlockedPorts::Fetch,
            nat64: false,
            forwarded_headers: ForwardedHeaders::Strip,
            proxy: None,
            ca_file: None,
            dns: DnsSettings::default(),
            audit: AuditSettings::default(),
            connect: ConnectSettings::default(),
            sandbox: Sandbox::default(),
            sandbox_paths: Vec::new(),
        }
    }
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Yes.
    Allow,
    /// No.
    Deny,
}

/// What happens to a request that an app's own policy refuses: `egress.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is refused.
    #[default]
    Enforce,
    /// It is sent, and recorded with the reason for which it would have been refused. For finding out what an app needs.
    ///
    /// What is observed is the app's own policy: its list, `requireTls` and `privateNetworks`. An observed app reaches
    /// what an app with an empty list under `defaultAction: allow` reaches, and no more: spelling, ports, limits,
    /// link-local and metadata addresses and the daemon's own listeners are guarded as always.
    Observe,
}

/// `server.egress.forwardedHeaders`: the families of [`speaks_for_proxy`](super::fields::speaks_for_proxy).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedHeaders {
    /// Apps cannot send them: upstreams believe them about their client, and the client is this daemon.
    #[default]
    Strip,
    /// Apps may send them; for apps that are proxies themselves.
    Pass,
}

/// `server.egress.proxyUrl`: `http://[user:password@]host[:port]`, port 80 unless it says another.
///
/// The proxy is told addresses that were judged (`CONNECT <address>:<port>`), never names, so that it has nothing to
/// resolve a second time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// The proxy's host, which the operator trusts: its address is not judged.
    pub host: Host,
    /// The proxy's port.
    pub port: u16,
    /// `user:password` for `Proxy-Authorization: Basic`.
    pub login: Option<Secret<String>>,
}

impl Proxy {
    /// Parses a proxy's URL.
    ///
    /// # Errors
    /// What is wrong, in words that can follow the key. They hold nothing of the URL, which may have a password.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let url = url::Url::parse(text).map_err(|_| "is not a URL such as `http://proxy.example:3128`")?;
        if url.scheme() != "http" {
            return Err("must begin with http://: what goes through the proxy is encrypted by itself");
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err("must have no path, query or fragment");
        }
        // Judged as written: the URL parser would also take `0x7f.1`.
        let (_, rest) = text.split_once("://").ok_or("is not a URL")?;
        let authority = rest.trim_end_matches('/');
        let (login, place) =
            authority.rsplit_once('@').map_or((None, authority), |(login, place)| (Some(login), place));
        let host = match place.rsplit_once(':') {
            Some((host, _)) if !place.ends_with(']') => host,
            _ => place,
        };
        let host = Host::parse(host).map_err(|_| "must name a host or an address in its usual spelling")?;
        let port = url.port().unwrap_or(80);
        if port == 0 {
            return Err("must have a port between 1 and 65535");
        }
        let login = login.map(|_| decode(url.username()).zip(decode(url.password().unwrap_or_default())));
        let login = match login {
            None => None,
            Some(Some((user, password))) => Some(Secret::new(format!("{user}:{password}"))),
            Some(None) => return Err("has a user or password with a broken percent-escape"),
        };
        Ok(Self { host, port, login })
    }
}

/// Undoes percent-escapes.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |b: Option<u8>| char::from(b?).to_digit(16);
                u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// One entry of `server.egress.allowedNetworks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowedNetwork {
    /// Addresses.
    pub net: IpNet,
    /// The only port, if not all.
    pub port: Option<u16>,
}

/// Why a text is not an entry of `server.egress.allowedNetworks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// `[` without `]`.
    #[error("has no closing `]`")]
    Bracket,
    /// What follows the last colon, or the bracket.
    #[error("has a port that is not between 1 and 65535")]
    Port,
    /// The rest.
    #[error("is not a network such as `10.0.0.0/8`, with or without port")]
    Network,
    /// The entry says two different things.
    #[error("has bits set beyond its prefix: `{0}` is the network")]
    Bits(IpNet),
}

impl AllowedNetwork {
    /// Whether `others` together lift all that this entry does.
    pub fn is_within(&self, others: &[Self]) -> bool {
        let on_the_port = others.iter().filter(|other| other.port.is_none() || other.port == self.port);
        let nets: Vec<IpNet> = on_the_port.map(|other| other.net).collect();
        IpNet::aggregate(&nets).iter().any(|net| net.contains(&self.net))
    }

    /// Parses `10.0.0.0/8`, `10.0.0.0/8:443`, `10.1.2.3`, `10.1.2.3:443`, `fd00::/8`, `[fd00::/8]:443` or `[::1]:443`.
    ///
    /// # Errors
    /// For anything else, also for a network with bits set to the right of its prefix.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let (net, port) = match text.strip_prefix('[') {
            Some(rest) => match rest.split_once(']').ok_or(NetworkError::Bracket)? {
                (net, "") => (net, None),
                (net, port) => (net, Some(port.strip_prefix(':').ok_or(NetworkError::Port)?)),
            },
            None => match text.split_once(':') {
                Some((net, port)) if !port.contains(':') => (net, Some(port)),
                _ => (text, None),
            },
        };
        let net = match net.parse::<IpAddr>() {
            Ok(ip) => IpNet::from(ip),
            Err(_) => net.parse().map_err(|_| NetworkError::Network)?,
        };
        let port = match port {
            Some(text) => Some(parse_port(text).ok_or(NetworkError::Port)?),
            None => None,
        };
        if net.trunc() != net {
            return Err(NetworkError::Bits(net.trunc()));
        }
        Ok(Self { net, port })
    }

    /// Whether the entry covers this destination.
    pub fn covers(&self, ip: IpAddr, port: u16) -> bool {
        self.net.contains(&ip) && self.port.is_none_or(|only| only == port)
    }
}

/// One to five decimal digits, 1 to 65535. No sign, no space, not empty: the one reading of a port.
pub fn parse_port(text: &str) -> Option<u16> {
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

/// `server.egress.dns`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// One lookup. Against names whose servers never answer. Default 5 s.
    pub timeout: Duration,
    /// Addresses that are dialled of one answer. All of the answer is judged. Against answers that are connect floods.
    /// Default 16.
    pub max_addresses: usize,
    /// Lookups of one app within any minute. Against carrying data out in labels below an allowed `*.suffix`. Default
    /// 600.
    pub max_queries_per_minute: u32,
    /// Names answered from here and never asked about. The addresses are judged like any others.
    pub hosts: BTreeMap<Host, Vec<IpAddr>>,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), max_addresses: 16, max_queries_per_minute: 600, hosts: BTreeMap::new() }
    }
}

/// `server.egress.audit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// Records of one app within a minute; more attempts share records. Against drowning the audit trail. Default 60.
    pub max_records_per_minute: u32,
    /// What is written of requests that were allowed.
    pub allowed: AuditAllowed,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { max_records_per_minute: 60, allowed: AuditAllowed::Sampled }
    }
}

/// `server.egress.audit.allowed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditAllowed {
    /// A record for each, as for those that were denied.
    All,
    /// A record for a minute's first to each host, and one that counts the rest of them.
    #[default]
    Sampled,
    /// Nothing.
    None,
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
            ("[::1]", "::1/128", None),
            ("::1", "::1/128", None),
        ] {
            let expect = AllowedNetwork { net: net.parse().unwrap(), port };
            assert_eq!(AllowedNetwork::parse(text), Ok(expect), "{text}");
        }
        for (text, expect) in [
            ("", NetworkError::Network),
            ("ten", NetworkError::Network),
            ("a.test", NetworkError::Network),
            ("10/8", NetworkError::Network),
            (":443", NetworkError::Network),
            ("10.0.0.0/33", NetworkError::Network),
            ("10.0.0.1/8", NetworkError::Bits("10.0.0.0/8".parse().unwrap())),
            ("10.0.0.0/8:", NetworkError::Port),
            ("10.0.0.0/8:0", NetworkError::Port),
            ("10.0.0.0/8:65536", NetworkError::Port),
            ("10.0.0.0/8:+1", NetworkError::Port),
            ("[::1", NetworkError::Bracket),
            ("[::1]443", NetworkError::Port),
        ] {
            assert_eq!(AllowedNetwork::parse(text), Err(expect), "{text}");
        }
    }

    #[test]
    fn proxies() {
        for (text, host, port, login) in [
            ("http://proxy.example:3128", "proxy.example", 3128, None),
            ("http://proxy.example", "proxy.example", 80, None),
            ("http://10.1.2.3:8080/", "10.1.2.3", 8080, None),
            ("http://[fd00::1]:8080", "[fd00::1]", 8080, None),
            ("http://[fd00::1]", "[fd00::1]", 80, None),
            ("http://u:p%40ss@proxy.example:1", "proxy.example", 1, Some("u:p@ss")),
            ("http://u@proxy.example:1", "proxy.example", 1, Some("u:")),
        ] {
            let proxy = Proxy::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            let seen = (proxy.host.to_string(), proxy.port, proxy.login.as_ref().map(|login| login.expose().as_str()));
            assert_eq!(seen, (host.to_owned(), port, login), "{text}");
        }
        for text in [
            "",
            "proxy:3128",
            "https://p",
            "socks5://p",
            "http://",
            "http://p/x",
            "http://p?x",
            "http://0x7f.1",
            "http://p:0",
        ] {
            assert!(Proxy::parse(text).is_err(), "{text}");
        }
    }
}
