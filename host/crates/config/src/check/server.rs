//! `server`.

use super::app::trimmed;
use super::known::Known;
use super::{Report, egress};
use crate::deployment::{Admin, Build, Connections, Management, Server};
use crate::env::Mode;
use crate::path::KeyPath;
use crate::raw::server::{RawAdmin, RawBuild, RawConnections, RawManagement, RawServer};
use gestalt_core::Secret;
use gestalt_core::egress::{AllowedNetwork, NetworkError};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

const TOKEN_TTL: Duration = Duration::from_secs(30 * 86_400);

pub(crate) fn server(
    report: &mut Report<'_>,
    raw: RawServer,
    default_runtime: Option<String>,
    known: &Known,
    mode: Mode,
    home: &Path,
) -> Server {
    let at = &KeyPath::default().key("server");
    let public = raw.public.unwrap_or_default();
    let public = address(report, &at.key("public"), public.host.as_deref(), Some(public.port.unwrap_or(8080)));
    let management = raw.management.and_then(|raw| management(report, &at.key("management"), raw, public));
    let encryption_key = trimmed(raw.encryption_key).unwrap_or_default();
    if encryption_key.is_empty() && mode == Mode::Strict {
        let hint =
            "write `encryptionKey: ${GESTALT_ENCRYPTION_KEY}` under `server`, and set that variable to 64 hex digits";
        report.hinted(&at.key("encryptionKey"), "is required", Some(hint.to_owned()));
    }
    let base_url = report.base_url(&at.key("baseUrl"), trimmed(raw.base_url).as_deref());
    let admin = admin(report, &at.key("admin"), raw.admin.unwrap_or_default(), known);
    if admin.authorization_policy.is_some()
        && let Some(management) = &management
    {
        admin_across_listeners(report, at, base_url.as_deref(), management.base_url.as_deref());
    }
    let relay = raw.runtime.and_then(|runtime| trimmed(runtime.relay_base_url));
    let relay = relay.and_then(|url| origin(report, &at.dotted("runtime.relayBaseUrl"), &url));
    let threshold = raw.agent.and_then(|agent| agent.default_tool_narrowing_threshold);
    Server {
        public,
        management,
        trusted_proxies: proxies(report, &at.key("trustedProxies"), raw.trusted_proxies.unwrap_or_default()),
        connections: connections(report, &at.key("connections"), raw.connections.unwrap_or_default()),
        encryption_key: Secret::new(encryption_key),
        api_token_ttl: report.duration(&at.key("apiTokenTtl"), raw.api_token_ttl.as_deref(), TOKEN_TTL),
        artifacts_dir: trimmed(raw.artifacts_dir).map_or_else(|| home.to_owned(), PathBuf::from),
        egress: egress::server(report, &at.key("egress"), raw.egress.unwrap_or_default()),
        default_runtime,
        admin,
        tool_narrowing_threshold: report.count(
            &at.dotted("agent.defaultToolNarrowingThreshold"),
            threshold,
            0..=1_000_000,
            200,
        ),
        dev_attach: raw.dev.is_some_and(|dev| dev.attachment_state.is_some()),
        package_build: raw.packages.and_then(|packages| packages.build).map_or_else(Build::default, build),
        relay_base_url: relay.or_else(|| base_url.clone()),
        base_url,
    }
}

fn build(raw: RawBuild) -> Build {
    match raw {
        RawBuild::Allow => Build::Allow,
        RawBuild::Confined => Build::Confined,
        RawBuild::Deny => Build::Deny,
    }
}

fn management(report: &mut Report<'_>, at: &KeyPath, raw: RawManagement, public: SocketAddr) -> Option<Management> {
    let base_url = report.base_url(&at.key("baseUrl"), trimmed(raw.base_url).as_deref());
    if raw.port.is_none() {
        if raw.host.is_some() {
            report.problem(&at.key("port"), "is required when `host` is set");
        } else if base_url.is_some() {
            report.problem(&at.key("port"), "is required when `baseUrl` is set");
        }
        return None;
    }
    let address = address(report, at, raw.host.as_deref(), raw.port);
    let meet = address.ip() == public.ip() || address.ip().is_unspecified() || public.ip().is_unspecified();
    if address.port() == public.port() && address.port() > 0 && meet {
        report.problem(&at.key("port"), format!("is the public listener's own address ({public})"));
    }
    Some(Management { address, base_url })
}

/// The longest list of proxies: every request of a trusted one is compared with each entry.
const MAX_PROXIES: usize = 256;

/// Addresses and networks, without ports.
fn proxies(report: &mut Report<'_>, at: &KeyPath, raw: Vec<String>) -> Vec<IpNet> {
    if raw.len() > MAX_PROXIES {
        report.problem(at, format!("has more than {MAX_PROXIES} entries: write networks in place of addresses"));
    }
    let mut networks = Vec::new();
    for (i, text) in raw.iter().enumerate() {
        let at = at.index(i);
        let hint = Some("write an address such as `10.0.0.7` or a network such as `10.0.0.0/8`".to_owned());
        match AllowedNetwork::parse(text.trim()) {
            Ok(AllowedNetwork { port: Some(_), .. }) => {
                report.hinted(&at, "has a port: a proxy connects from any port", hint);
            }
            Ok(AllowedNetwork { net, .. }) if net.prefix_len() == 0 => {
                report.hinted(&at, "trusts everybody: any client could then say whom it comes from", hint);
            }
            Ok(AllowedNetwork { net: IpNet::V6(net), .. }) if net.addr().to_ipv4_mapped().is_some() => {
                report.hinted(&at, "is an IPv4 network written as IPv6", hint);
            }
            Ok(AllowedNetwork { net, .. }) => networks.push(net),
            Err(NetworkError::Bits(net)) => {
                report.problem(&at, format!("has bits set beyond its prefix: `{net}` is the network"));
            }
            Err(_) => report.hinted(&at, "is not an address or a network", hint),
        }
    }
    networks
}

fn connections(report: &mut Report<'_>, at: &KeyPath, raw: RawConnections) -> Connections {
    let default = Connections::default();
    let max = raw.max.map(|max| report.count(&at.key("max"), Some(max), 1..=1_000_000, 1));
    let each_at = at.key("maxPerAddress");
    let each: Option<usize> = raw.max_per_address.map(|max| report.count(&each_at, Some(max), 1..=1_000_000, 1));
    if let (Some(max), Some(each)) = (max, each)
        && each > max
    {
        report.problem(&each_at, format!("must not be above `max`, which is {max}"));
    }
    Connections {
        max,
        max_per_address: each,
        head_timeout: report.duration(&at.key("headTimeout"), raw.head_timeout.as_deref(), default.head_timeout),
        body_timeout: report.duration(&at.key("bodyTimeout"), raw.body_timeout.as_deref(), default.body_timeout),
        idle_timeout: report.duration(&at.key("idleTimeout"), raw.idle_timeout.as_deref(), default.idle_timeout),
        write_timeout: report.duration(&at.key("writeTimeout"), raw.write_timeout.as_deref(), default.write_timeout),
    }
}

/// `host` and `port` as one address. Names other than `localhost` are not looked up: nothing here asks the network.
fn address(report: &mut Report<'_>, at: &KeyPath, host: Option<&str>, port: Option<i64>) -> SocketAddr {
    let ip = match host.map(str::trim) {
        None | Some("") => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Some("localhost") => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(text) => text.trim_matches(['[', ']']).parse().unwrap_or_else(|_| {
            let hint = "write `0.0.0.0`, `127.0.0.1`, `::1` or another address of this machine".to_owned();
            report.hinted(&at.key("host"), "is neither an IP address nor `localhost`", Some(hint));
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        }),
    };
    SocketAddr::new(ip, report.count(&at.key("port"), port, 1..=65_535, 0))
}

fn admin(report: &mut Report<'_>, at: &KeyPath, raw: RawAdmin, known: &Known) -> Admin {
    let policy_at = at.key("authorizationPolicy");
    let authorization_policy = report.named(&policy_at, raw.authorization_policy, &known.policies);
    let ui = report.named(&at.key("ui"), raw.ui, &known.ui);
    let roles_at = at.key("allowedRoles");
    let allowed_roles = match (raw.allowed_roles, &authorization_policy) {
        (None, None) => Vec::new(),
        (None, Some(_)) => vec!["admin".to_owned()],
        (Some(_), None) => {
            let hint = Some("name a policy in `authorizationPolicy`".to_owned());
            report.hinted(&roles_at, "are roles of a policy, and none is named", hint);
            Vec::new()
        }
        (Some(roles), Some(_)) => {
            if roles.is_empty() {
                report.problem(&roles_at, "is empty: nobody would be let in");
            }
            report.distinct(&roles_at, Some(roles))
        }
    };
    if authorization_policy.is_some() && known.authentication.keys.is_empty() {
        let hint = Some("add an entry to `providers.authentication`".to_owned());
        report.hinted(&policy_at, "needs users who log in, and nothing says how they do", hint);
    }
    Admin { authorization_policy, allowed_roles, ui }
}

/// The operator pages borrow the public listener's login: its cookie must reach the other listener as well.
fn admin_across_listeners(report: &mut Report<'_>, at: &KeyPath, public: Option<&str>, operator: Option<&str>) {
    const WHY: &str = "is required when `server.admin.authorizationPolicy` protects a management listener";
    for (key, url) in [("baseUrl", public), ("management.baseUrl", operator)] {
        // One that is there and wrong has been reported.
        if url.is_none() && report.tree.find(&at.dotted(key)).node.is_none() {
            report.problem(&at.dotted(key), WHY);
        }
    }
    let (Some(public), Some(operator)) = (public.and_then(parsed), operator.and_then(parsed)) else { return };
    let at = at.dotted("management.baseUrl");
    if public.host() != operator.host() {
        report.problem(&at, "must have the host name of `server.baseUrl`, so that its cookie reaches both");
    } else if public.scheme() == "https" && operator.scheme() != "https" {
        report.problem(&at, "must begin with https://, as `server.baseUrl` does");
    }
}

fn parsed(url: &str) -> Option<Url> {
    Url::parse(url).ok()
}

/// An http(s) URL that is scheme, host and perhaps port.
fn origin(report: &mut Report<'_>, at: &KeyPath, text: &str) -> Option<String> {
    let url = report.base_url(at, Some(text))?;
    if parsed(&url).is_some_and(|url| url.path() != "/") {
        report.problem(at, "must be scheme, host and port only");
        return None;
    }
    Some(url)
}
