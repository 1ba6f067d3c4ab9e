//! What all apps' clients have in common.

use crate::BuildError;
use crate::address::Guard;
use crate::client::Client;
use crate::forward::Forwarder;
use crate::journal::Journal;
use crate::ledger::{Clock, Ledger};
use crate::listeners::SelfListeners;
use crate::resolve::{Lookup, Resolver};
use crate::scrub::Scrubber;
use crate::tls;
use crate::vault::Mint;
use gestalt_core::AppName;
use gestalt_core::audit::Sink;
use gestalt_core::egress::{
    Action, AuditSettings, BlockedPorts, ConnectSettings, Forward, ForwardedHeaders, HeldCredential, Mode, Outbound,
    Proxy, Rules, Settings,
};
use gestalt_core::limits::EgressLimits;
use gestalt_core::metrics::Meter;
use rustls::ClientConfig;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
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
    /// Where the journal of reached hosts is kept, below `egress`: `server.artifactsDir`. `None` keeps none.
    pub artifacts: Option<PathBuf>,
}

/// The daemon's part of egress: trusted roots, resolver, address guard. Makes one client per app.
pub struct Egress {
    shared: Arc<Shared>,
    sink: Arc<dyn Sink>,
    meter: Arc<dyn Meter>,
    audit: AuditSettings,
    artifacts: Option<PathBuf>,
    clients: Mutex<Clients>,
    /// Of the apps that still have a client, or records to write.
    ledgers: Mutex<Vec<Weak<Ledger>>>,
}

/// Every app's client, and what the next one begins with.
struct Clients {
    common: Arc<Common>,
    /// What the last reload said. An app that was on its way up at that time does not begin with what was true before.
    reloaded: Option<BTreeMap<AppName, Rules>>,
    by_app: BTreeMap<AppName, Weak<Client>>,
}

impl Clients {
    /// An app's rules: those of the last reload, or `first` before there was one.
    fn rules(&self, app: &AppName, first: Rules) -> Option<Rules> {
        match &self.reloaded {
            None => Some(first),
            Some(rules) => rules.get(app).cloned(),
        }
    }
}

/// Read by every client, and the same for as long as the daemon runs. Holds no state that one app could leave behind for
/// another.
pub(crate) struct Shared {
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) listeners: Arc<SelfListeners>,
    pub(crate) mint: Mint,
    pub(crate) tls: ClientConfig,
    pub(crate) clock: Clock,
}

/// The part of every app's rules that all of them have in common. Holds no state either; a reload replaces it.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) default_action: Action,
    pub(crate) blocked_ports: BlockedPorts,
    pub(crate) forwarded: ForwardedHeaders,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) connect: ConnectSettings,
    pub(crate) guard: Guard,
    pub(crate) lookup: Lookup,
}

impl Common {
    fn new(settings: Settings, shared: &Shared) -> Self {
        let (resolver, listeners) = (Arc::clone(&shared.resolver), Arc::clone(&shared.listeners));
        Self {
            default_action: settings.default_action,
            blocked_ports: settings.blocked_ports,
            forwarded: settings.forwarded_headers,
            proxy: settings.proxy,
            connect: settings.connect,
            guard: Guard::new(settings.private_networks, settings.allowed_networks, settings.nat64, listeners),
            lookup: Lookup::new(resolver, settings.dns),
        }
    }
}

impl Egress {
    /// Assembles the daemon-wide part. Reads the platform's root certificates and `settings.ca_file`.
    ///
    /// # Errors
    /// When the CA file is unusable.
    pub fn build(settings: Settings, parts: Parts) -> Result<Self, BuildError> {
        let Parts { resolver, sink, meter, listeners, clock, artifacts } = parts;
        let tls = tls::build(settings.ca_file.as_deref())?;
        let mint = Mint::new().map_err(|error| BuildError::Random(error.to_string()))?;
        let shared = Shared { resolver, listeners, mint, tls, clock };
        let audit = settings.audit;
        let common = Arc::new(Common::new(settings, &shared));
        Ok(Self {
            shared: Arc::new(shared),
            sink,
            meter,
            audit,
            artifacts,
            clients: Mutex::new(Clients { common, reloaded: None, by_app: BTreeMap::new() }),
            ledgers: Mutex::default(),
        })
    }

    /// One app's way out, with its own policy, permits, rates, TLS sessions and records.
    ///
    /// An app that has one already gets the same one, with these rules and its former limits: two would have its limits
    /// twice. Rules of a [reload](Self::reload) win over these. Says so loudly when they are observed and not enforced.
    pub fn client(&self, app: AppName, rules: Rules, limits: EgressLimits) -> Arc<dyn Outbound> {
        self.client_for(app, rules, limits)
    }

    /// The same way out as a proxy, for an app whose process sends its requests itself.
    pub fn forward(&self, app: AppName, rules: Rules, limits: EgressLimits) -> Arc<dyn Forward> {
        Arc::new(Forwarder::new(self.client_for(app, rules, limits)))
    }

    fn client_for(&self, app: AppName, rules: Rules, limits: EgressLimits) -> Arc<Client> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let (common, rules) = (Arc::clone(&clients.common), clients.rules(&app, rules));
        warn_if_observed(&app, rules.as_ref());
        if let Some(client) = clients.by_app.get(&app).and_then(Weak::upgrade) {
            client.replace(common, rules);
            return client;
        }
        let (sink, meter, clock) = (Arc::clone(&self.sink), Arc::clone(&self.meter), Arc::clone(&self.shared.clock));
        let journal = self.artifacts.as_ref().map(|artifacts| Journal::open(artifacts, &app));
        let ledger = Arc::new(Ledger::new(app.clone(), sink, meter, clock, self.audit, journal));
        let mut ledgers = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
        ledgers.retain(|known| known.strong_count() > 0);
        ledgers.push(Arc::downgrade(&ledger));
        let client = Arc::new(Client::new(app.clone(), rules, limits, common, Arc::clone(&self.shared), ledger));
        clients.by_app.insert(app, Arc::downgrade(&client));
        client
    }

    /// Puts other settings and other rules in place, from every app's next request on, and for apps whose client is still
    /// to be made. An app without rules reaches nothing any more.
    ///
    /// Of the settings, `ca_file`, `audit` and `dns.max_queries_per_minute` stay what they were.
    pub fn reload(&self, settings: Settings, rules: BTreeMap<AppName, Rules>) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.common = Arc::new(Common::new(settings, &self.shared));
        clients.by_app.retain(|_, client| client.strong_count() > 0);
        for (app, client) in &clients.by_app {
            let rules = rules.get(app);
            warn_if_observed(app, rules);
            if let Some(client) = client.upgrade() {
                client.replace(Arc::clone(&clients.common), rules.cloned());
            }
        }
        clients.reloaded = Some(rules);
    }

    /// What an app is given in place of a credential that is kept from it. The same for as long as the daemon runs.
    pub fn placeholder(&self, app: &AppName, held: &HeldCredential) -> String {
        self.shared.mint.placeholder(app, held)
    }

    /// What covers up the credentials that are kept from an app; idle when there are none.
    pub fn scrubber(&self, app: &AppName) -> Arc<Scrubber> {
        self.client_of(app).map(|client| client.scrubber()).unwrap_or_default()
    }

    fn client_of(&self, app: &AppName) -> Option<Arc<Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).by_app.get(app).and_then(Weak::upgrade)
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
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Egress").field("common", &clients.common).finish_non_exhaustive()
    }
}

/// Says loudly that an app may go where it wants.
fn warn_if_observed(app: &AppName, rules: Option<&Rules>) {
    if let Some(rules) = rules.filter(|rules| rules.mode == Mode::Observe) {
        tracing::warn!(
            target: "gestalt::egress",
            %app,
            config = &*rules.at,
            "EGRESS IS NOT ENFORCED for this app (egress.mode: observe): it reaches any public or private host; \
             `gestaltd egress report` proposes the list it needs"
        );
    }
}
