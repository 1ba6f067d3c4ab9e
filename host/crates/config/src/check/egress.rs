//! `server.egress`.

use super::Report;
use super::values::parse_network;
use crate::deployment::{Action, AllowedNetwork, BlockedPorts, Dns, Egress, EgressAudit};
use crate::path::KeyPath;
use crate::raw::OneOrMany;
use crate::raw::config::{RawAction, RawBlockedPorts, RawBlockedPortsName, RawDns, RawServerEgress};
use gestalt_core::host::Host;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) fn server(report: &mut Report<'_>, at: &KeyPath, raw: RawServerEgress) -> Egress {
    let action = |raw: Option<RawAction>, default| match raw {
        None => default,
        Some(RawAction::Allow) => Action::Allow,
        Some(RawAction::Deny) => Action::Deny,
    };
    let audit = raw.audit.unwrap_or_default();
    let per_minute = at.dotted("audit.maxRecordsPerMinute");
    Egress {
        default_action: action(raw.default_action, Action::Allow),
        private_networks: action(raw.private_networks, Action::Deny),
        allowed_networks: networks(report, &at.key("allowedNetworks"), raw.allowed_networks.unwrap_or_default()),
        blocked_ports: ports(report, &at.key("blockedPorts"), raw.blocked_ports),
        ca_file: raw.ca_file.map(PathBuf::from).inspect(|file| {
            if !file.is_file() {
                report.problem(&at.key("caFile"), "there is no such file");
            }
        }),
        dns: dns(report, &at.key("dns"), raw.dns.unwrap_or_default()),
        audit: EgressAudit {
            max_records_per_minute: report.count(&per_minute, audit.max_records_per_minute, 1..=1_000_000, 60),
        },
    }
}

fn networks(report: &mut Report<'_>, at: &KeyPath, raw: Vec<String>) -> Vec<AllowedNetwork> {
    let mut networks = Vec::new();
    for (i, text) in raw.iter().enumerate() {
        match parse_network(text) {
            Ok((network, port)) => networks.push(AllowedNetwork { network, port }),
            Err(why) => report.problem(&at.index(i), why),
        }
    }
    networks
}

fn ports(report: &mut Report<'_>, at: &KeyPath, raw: Option<RawBlockedPorts>) -> BlockedPorts {
    match raw {
        None | Some(RawBlockedPorts::Named(RawBlockedPortsName::Fetch)) => BlockedPorts::Fetch,
        Some(RawBlockedPorts::Named(RawBlockedPortsName::None)) => BlockedPorts::None,
        Some(RawBlockedPorts::List(list)) => {
            let each = list.into_iter().enumerate();
            BlockedPorts::List(each.map(|(i, port)| report.count(&at.index(i), Some(port), 1..=65_535, 0)).collect())
        }
    }
}

fn dns(report: &mut Report<'_>, at: &KeyPath, raw: RawDns) -> Dns {
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
    Dns {
        timeout: report.duration(&at.key("timeout"), raw.timeout.as_deref(), Duration::from_secs(5)),
        max_addresses: report.count(&at.key("maxAddresses"), raw.max_addresses, 1..=256, 16),
        max_queries_per_minute: report.count(
            &at.key("maxQueriesPerMinute"),
            raw.max_queries_per_minute,
            1..=1_000_000,
            600,
        ),
        hosts,
    }
}
