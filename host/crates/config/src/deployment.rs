//! A deployment that has passed every check that needs no running app: what `bootstrap` builds from.

use crate::config_schema::Origin;
use crate::problem::{Location, Problems};
use gestalt_core::host::{Host, HostPattern};
use gestalt_core::limits::{Limits, RuntimeLimits};
use gestalt_core::{AppName, Secret};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The name of the built-in wasm runtime, which is there also when no entry configures it.
pub const WASM: &str = "wasm";

/// Everything the config files say, checked and with every default filled in. Paths are absolute.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The daemon itself.
    pub server: Server,
    /// Where apps may run, by name. Always has a [`Runtime::Wasm`] called [`WASM`].
    pub runtimes: BTreeMap<String, Runtime>,
    /// The apps, by name.
    pub apps: BTreeMap<AppName, App>,
    /// What is allowed but likely not meant.
    pub warnings: Problems,
    pub(crate) origin: Arc<Origin>,
}

/// The daemon itself (seed 004, `server`).
#[derive(Clone, Debug)]
pub struct Server {
    /// The listener for callers. Default `0.0.0.0:8080`.
    pub public: SocketAddr,
    /// The listener for operators. Without it their routes are on the public one.
    pub management: Option<Management>,
    /// How browsers reach the public listener: an absolute http(s) URL without final slash.
    pub base_url: Option<String>,
    /// The root secret. Empty only when read with [`Mode::Lenient`](crate::Mode::Lenient).
    pub encryption_key: Secret<String>,
    /// Where the daemon keeps what it prepares. Default: the directory of the leftmost file.
    pub artifacts_dir: PathBuf,
    /// What apps may reach.
    pub egress: Egress,
    /// The runtime of an app that asks for one without naming it; a key of [`Deployment::runtimes`].
    pub default_runtime: Option<String>,
}

/// The listener for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Management {
    /// Where it listens.
    pub address: SocketAddr,
    /// How browsers reach it: an absolute http(s) URL without final slash.
    pub base_url: Option<String>,
}

/// What apps may reach (seed 004, `server.egress`, and `server.egress` keys of our own).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    /// For an app with an empty allow-list. Default allow.
    pub default_action: Action,
    /// Whether private addresses (10/8, fc00::/7, …) may be reached by name. Default deny.
    pub private_networks: Action,
    /// Networks that may be reached although they are private or special.
    pub allowed_networks: Vec<AllowedNetwork>,
    /// Ports no app may reach.
    pub blocked_ports: BlockedPorts,
    /// PEM file of certificate authorities trusted besides the platform's.
    pub ca_file: Option<PathBuf>,
    /// Name resolution.
    pub dns: Dns,
    /// Records of what was allowed and denied.
    pub audit: EgressAudit,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Yes.
    Allow,
    /// No.
    Deny,
}

/// A network lifted from the private and special classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowedNetwork {
    /// Its addresses.
    pub network: IpNet,
    /// This port only.
    pub port: Option<u16>,
}

/// Ports no app may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockedPorts {
    /// The bad ports of the Fetch standard.
    Fetch,
    /// None.
    None,
    /// These.
    List(Vec<u16>),
}

/// Name resolution for apps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// For one name. Default 5 s.
    pub timeout: Duration,
    /// In one answer; an answer with more is refused. Default 16.
    pub max_addresses: usize,
    /// For one app. Default 600.
    pub max_queries_per_minute: u32,
    /// Names that are not asked for: their addresses.
    pub hosts: BTreeMap<Host, Vec<IpAddr>>,
}

/// Records of what was allowed and denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressAudit {
    /// For one app and host; more are counted and written as one. Default 60.
    pub max_records_per_minute: u32,
}

/// Where an app may run (seed 004, `runtime.providers.<name>`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// As a child process of the daemon.
    Local,
    /// As a WebAssembly component.
    Wasm(Box<WasmRuntime>),
}

/// A `driver: wasm` runtime: its typed `config`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WasmRuntime {
    /// What its apps share.
    pub limits: RuntimeLimits,
    /// The bounds of an app that names no profile.
    pub defaults: Limits,
    /// Profiles by name, complete: each was laid over `defaults`.
    pub templates: BTreeMap<String, Limits>,
}

impl WasmRuntime {
    /// The bounds of the profile `template`, or the defaults when none is named or known.
    pub fn limits_for(&self, template: Option<&str>) -> &Limits {
        template.and_then(|name| self.templates.get(name)).unwrap_or(&self.defaults)
    }
}

/// One app (seed 004, `apps.<name>`).
#[derive(Clone, Debug, PartialEq)]
pub struct App {
    /// Its key.
    pub name: AppName,
    /// Where its entry begins, in the last file that has one.
    pub at: Location,
    /// Its manifest file, which exists.
    pub manifest: PathBuf,
    /// Where `source` was given.
    pub manifest_at: Location,
    /// Overrides the manifest's.
    pub display_name: Option<String>,
    /// Overrides the manifest's.
    pub description: Option<String>,
    /// An SVG file that exists; overrides the manifest's.
    pub icon_file: Option<PathBuf>,
    /// The app's own configuration: always an object when there.
    pub config: Option<serde_json::Value>,
    /// Environment variables of the app.
    pub env: BTreeMap<String, String>,
    /// The whole network the app has; when empty, the server's default action decides.
    pub allowed_hosts: Vec<AllowedHost>,
    /// The runtime it asked for. `None` is no `runtime` key: a component runs in [`Deployment::component_runtime`],
    /// anything else on this machine.
    pub placement: Option<Placement>,
}

/// One entry of `egress.allowedHosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    /// What it allows.
    pub pattern: HostPattern,
    /// As it was written.
    pub text: String,
    /// Where it was written.
    pub at: Location,
}

/// Where an app asked to run (seed 004, `apps.<name>.runtime`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// A key of [`Deployment::runtimes`]; the default runtime when none was named.
    pub runtime: String,
    /// A profile of that runtime, which exists.
    pub template: Option<String>,
    /// Where it was written.
    pub at: Location,
}

impl Deployment {
    /// The runtime `app` asked for.
    pub fn placed(&self, app: &App) -> Option<&Runtime> {
        self.runtimes.get(&app.placement.as_ref()?.runtime)
    }

    /// The runtime of components that ask for none: the default runtime if it is a wasm one, else [`WASM`].
    pub fn component_runtime(&self) -> &str {
        match self.server.default_runtime.as_deref() {
            Some(name) if matches!(self.runtimes.get(name), Some(Runtime::Wasm(_))) => name,
            _ => WASM,
        }
    }
}
