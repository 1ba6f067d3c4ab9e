//! Stage 2: the way out.

use gestalt_config::{Action, BlockedPorts as Ports, Egress as Config};
use gestalt_core::audit;
use gestalt_egress::{
    AllowedNetwork, AuditSettings, BlockedPorts, DefaultAction, DnsSettings, Egress, PrivateNetworks, Resolver,
    SelfListeners, Settings,
};
use std::net::SocketAddr;
use std::sync::Arc;

/// Builds the daemon's part. `own` are the listeners no app may reach.
pub(super) fn build(
    config: &Config,
    resolver: Arc<dyn Resolver>,
    audit: Arc<dyn audit::Sink>,
    own: Vec<SocketAddr>,
) -> anyhow::Result<Egress> {
    let listeners = Arc::new(SelfListeners::default());
    for address in own {
        listeners.add(address);
    }
    Ok(Egress::build(settings(config), resolver, audit, listeners)?)
}

fn settings(config: &Config) -> Settings {
    Settings {
        default_action: match config.default_action {
            Action::Allow => DefaultAction::Allow,
            Action::Deny => DefaultAction::Deny,
        },
        private_networks: match config.private_networks {
            Action::Allow => PrivateNetworks::Allow,
            Action::Deny => PrivateNetworks::Deny,
        },
        allowed_networks: config
            .allowed_networks
            .iter()
            .map(|entry| AllowedNetwork { net: entry.network, port: entry.port })
            .collect(),
        blocked_ports: match &config.blocked_ports {
            Ports::Fetch => BlockedPorts::Fetch,
            Ports::None => BlockedPorts::None,
            Ports::List(ports) => BlockedPorts::List(ports.clone()),
        },
        nat64: false,
        ca_file: config.ca_file.clone(),
        dns: DnsSettings {
            timeout: config.dns.timeout,
            max_addresses: config.dns.max_addresses,
            max_queries_per_minute: config.dns.max_queries_per_minute,
            hosts: config.dns.hosts.iter().map(|(host, ips)| (host.to_string(), ips.clone())).collect(),
        },
        audit: AuditSettings { max_records_per_minute: config.audit.max_records_per_minute },
    }
}
