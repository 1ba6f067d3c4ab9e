//! What all apps' clients have in common.

use crate::BuildError;
use crate::address::Guard;
use crate::client::Client;
use crate::ledger::{Clock, Ledger};
use crate::listeners::SelfListeners;
use crate::resolve::{Lookup, Resolver};
use crate::tls;
use gestalt_core::AppName;
use gestalt_core::audit::Sink;
use gestalt_core::egress::{Action, BlockedPorts, Outbound, Rules, Settings};
use gestalt_core::limits::EgressLimits;
use gestalt_core::metrics::Meter;
use rustls::ClientConfig;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What egress uses of the rest of the daemon.
pub struct Parts {
    /// Asks name servers.
    pub resolver: Arc<dyn Resolver>,
    /// Takes audit records.
    pub sink: Arc<dyn Sink>,
    /// Takes metric events.
    pub meter: Arc<dyn Meter>,
    /// The daemon's own listeners. May be filled later, while they bind.
    pub listeners: Arc<SelfListeners>,
    /// For what is counted per minute. Timeouts of connections follow the runtime's.
    pub clock: Clock,
}

/// The daemon's part of egress: trusted roots, resolver, address guard. Makes one client per app.
pub struct Egress {
    shared: Arc<Shared>,
    sink: Arc<dyn Sink>,
    meter: Arc<dyn Meter>,
    records_per_minute: u32,
    /// Of the apps that still have a client, or records to write.
    ledgers: Mutex<Vec<Weak<Ledger>>>,
}

/// Read by every client. Holds no state that one app could leave behind for another.
pub(crate) struct Shared {
    pub(crate) default_action: Action,
    pub(crate) blocked_ports: BlockedPorts,
    pub(crate) guard: Guard,
    pub(crate) lookup: Lookup,
    pub(crate) tls: ClientConfig,
    pub(crate) clock: Clock,
}

impl Egress {
    /// Assembles the daemon-wide part. Reads the platform's root certificates and `settings.ca_file`.
    ///
    /// # Errors
    /// When the CA file is unusable.
    pub fn build(settings: Settings, parts: Parts) -> Result<Self, BuildError> {
        let Parts { resolver, sink, meter, listeners, clock } = parts;
        let tls = tls::build(settings.ca_file.as_deref())?;
        let lookup = Lookup::new(resolver, settings.dns);
        let guard = Guard::new(settings.private_networks, settings.allowed_networks, settings.nat64, listeners);
        let (default_action, blocked_ports) = (settings.default_action, settings.blocked_ports);
        Ok(Self {
            shared: Arc::new(Shared { default_action, blocked_ports, guard, lookup, tls, clock }),
            sink,
            meter,
            records_per_minute: settings.audit.max_records_per_minute,
            ledgers: Mutex::new(Vec::new()),
        })
    }

    /// One app's way out, with its own policy, permits, rates, TLS sessions and records. Made once per app: two clients
    /// of one app would have its limits twice.
    pub fn client(&self, app: AppName, rules: Rules, limits: EgressLimits) -> Arc<dyn Outbound> {
        let (sink, meter, clock) = (Arc::clone(&self.sink), Arc::clone(&self.meter), Arc::clone(&self.shared.clock));
        let ledger = Arc::new(Ledger::new(app.clone(), sink, meter, clock, self.records_per_minute));
        let mut ledgers = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
        ledgers.retain(|known| known.strong_count() > 0);
        ledgers.push(Arc::downgrade(&ledger));
        Arc::new(Client::new(app, rules, limits, Arc::clone(&self.shared), ledger))
    }

    /// Writes every audit record that still waits to be shared. For shutdown, when no request is under way any more.
    pub fn flush(&self) {
        let ledgers: Vec<_> = {
            let ledgers = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
            ledgers.iter().filter_map(Weak::upgrade).collect()
        };
        for ledger in ledgers {
            ledger.flush();
        }
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("guard", &self.shared.guard).finish_non_exhaustive()
    }
}
