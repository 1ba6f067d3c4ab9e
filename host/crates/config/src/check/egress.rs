//! `server.egress`.

use super::paths::sandbox_paths;
use super::{Report, app_egress};
use crate::path::KeyPath;
use crate::raw::OneOrMany;
use crate::raw::config::{
    RawAction, RawAuditAllowed, RawBlockedPorts, RawBlockedPortsName, RawConnect, RawDns, RawEgressAudit,
    RawForwardedHeaders, RawServerEgress,
};
use gestalt_core::egress::{
    Action, AllowedNetwork, AuditAllowed, AuditSettings, BlockedPorts, ConnectSettings, DnsSettings, ForwardedHeaders,
    Proxy, Settings,
};
use gestalt_core::host::Host;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

pub(crate) fn server(report: &mut Report<'_>, at: &KeyPath, raw: RawServerEgress) -> Settings {
    let action = |raw: Option<RawAction>, default| match raw {
        None => default,
        Some(RawAction::Allow) => Action::Allow,
        Some(RawAction::Deny) => Action::Deny,
    };
    let default = Settings::default();
    Settings {
        default_action: action(raw.default_action, default.default_action),
        private_networks: action(raw.private_networks, default.private_networks),
        mode: raw.mode.map_or(default.mode, app_egress::mode),
        require_tls: raw.require_tls.unwrap_or(default.require_tls),
        allowed_networks: networks(report, &at.key("allowedNetworks"), raw.allowed_networks.unwrap_or_default()),
        blocked_ports: ports(report, &at.key("blockedPorts"), raw.blocked_ports),
        nat64: raw.nat64.unwrap_or(default.nat64),
        forwarded_headers: match raw.forwarded_headers {
            None | Some(RawForwardedHeaders::Strip) => ForwardedHeaders::Strip,
            Some(RawForwardedHeaders::Pass) => ForwardedHeaders::Pass,
        },
        proxy: raw
            .proxy_url
            .as_deref()
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .and_then(|text| Proxy::parse(text).map_err(|why| report.problem(&at.key("proxyUrl"), why)).ok()),
        ca_file: raw.ca_file.map(PathBuf::from).inspect(|file| {
            if !file.is_file() {
                report.problem(&at.key("caFile"), "there is no such file");
            }
        }),
        dns: dns(report, &at.key("dns"), raw.dns.unwrap_or_default()),
        audit: audit(report, &at.key("audit"), raw.audit.unwrap_or_default()),
        connect: connect(report, &at.key("connect"), raw.connect.unwrap_or_default()),
        sandbox: raw.sandbox.map_or(default.sandbox, app_egress::sandbox),
        sandbox_paths: sandbox_paths(report, &at.key("sandboxPaths"), raw.sandbox_paths.unwrap_or_default()),
    }
}

fn connect(report: &mut Report<'_>, at: &KeyPath, raw: RawConnect) -> ConnectSettings {
    let default = ConnectSettings::default();
    let ports = raw.ports.map(|ports| list_of_ports(report, &at.key("ports"), ports));
    let (idle, total) = (raw.idle_timeout, raw.total_timeout);
    ConnectSettings {
        ports: ports.unwrap_or(default.ports),
        idle_timeout: report.duration(&at.key("idleTimeout"), idle.as_deref(), default.idle_timeout),
        total_timeout: report.duration(&at.key("totalTimeout"), total.as_deref(), default.total_timeout),
        max_sent: report.size(&at.key("maxSent"), raw.max_sent.as_deref(), default.max_sent),
        max_received: report.size(&at.key("maxReceived"), raw.max_received.as_deref(), default.max_received),
    }
}

fn audit(report: &mut Report<'_>, at: &KeyPath, raw: RawEgressAudit) -> AuditSettings {
    let default = AuditSettings::default();
    let (at, records) = (at.key("maxRecordsPerMinute"), raw.max_records_per_minute);
    AuditSettings {
        max_records_per_minute: report.count(&at, records, 1..=1_000_000, default.max_records_per_minute),
        allowed: match raw.allowed {
            None | Some(RawAuditAllowed::Sampled) => AuditAllowed::Sampled,
            Some(RawAuditAllowed::All) => AuditAllowed::All,
            Some(RawAuditAllowed::None) => AuditAllowed::None,
        },
    }
}

fn networks(report: &mut Report<'_>, at: &KeyPath, raw: Vec<String>) -> Vec<AllowedNetwork> {
    let mut networks = Vec::new();
    for (i, text) in raw.iter().enumerate() {
        match AllowedNetwork::parse(text) {
            Ok(network) => networks.push(network),
            Err(why) => report.problem(&at.index(i), why.to_string()),
        }
    }
    networks
}

fn ports(report: &mut Report<'_>, at: &KeyPath, raw: Option<RawBlockedPorts>) -> BlockedPorts {
    match raw {
        None | Some(RawBlockedPorts::Named(RawBlockedPortsName::Fetch)) => BlockedPorts::Fetch,
        Some(RawBlockedPorts::Named(RawBlockedPortsName::None)) => BlockedPorts::None,
        Some(RawBlockedPorts::List(list)) => BlockedPorts::List(list_of_ports(report, at, list)),
    }
}

fn list_of_ports(report: &mut Report<'_>, at: &KeyPath, raw: Vec<i64>) -> Vec<u16> {
    let each = raw.into_iter().enumerate();
    each.map(|(i, port)| report.count(&at.index(i), Some(port), 1..=65_535, 0)).collect()
}

fn dns(report: &mut Report<'_>, at: &KeyPath, raw: RawDns) -> DnsSettings {
    let default = DnsSettings::default();
    let mut hosts = BTreeMap::new();
    for (name, addresses) in raw.hosts.unwrap_or_default() {
        let at = at.key("hosts").key(&name);
        let listed = match addresses {
            None => Vec::new(),
            Some(OneOrMany::One(one)) => vec![(at.clone(), one)],
            Some(OneOrMany::Many(many)) => many.into_iter().enumerate().map(|(i, a)| (at.index(i), a)).collect(),
        };
        if listed.is_empty() {
            report.problem(&at, "needs an address");
        }
        let mut parsed = Vec::new();
        for (at, text) in listed {
            match text.parse::<IpAddr>() {
                Ok(address) => parsed.push(address),
                Err(_) => report.problem(&at, "is not an IP address"),
            }
        }
        match Host::parse(&name) {
            Ok(host @ Host::Name(_)) => {
                hosts.insert(host, parsed);
            }
            Ok(Host::Ip(_)) => report.problem(&at, "the key must be a host name, not an address"),
            Err(why) => report.problem(&at, format!("the key {why}")),
        }
    }
    DnsSettings {
        timeout: report.duration(&at.key("timeout"), raw.timeout.as_deref(), default.timeout),
        max_addresses: report.count(&at.key("maxAddresses"), raw.max_addresses, 1..=256, default.max_addresses),
        max_queries_per_minute: report.count(
            &at.key("maxQueriesPerMinute"),
            raw.max_queries_per_minute,
            1..=1_000_000,
            default.max_queries_per_minute,
        ),
        hosts,
    }
}
