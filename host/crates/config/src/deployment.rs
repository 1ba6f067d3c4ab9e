//! A deployment that has passed every check that needs no running app: what `bootstrap` builds from.

mod app;
mod authorization;
mod connections;
mod providers;
mod source;
mod workflows;

pub use app::{
    AllowedOperation, App, AppUi, HttpBinding, Invokes, RouteAuth, SchemeKind, SchemeSecret, SecurityScheme,
    SurfaceUrls,
};
pub use authorization::{Authorization, Object, Policy, Relationship, ResourceType};
pub use connections::{Auth, Binding, Connection, Oauth, Param};
pub use providers::{
    Agent, Audit, Config, Database, Entries, Harness, InstallCommand, InstallRun, Level, LogStyle, Otlp, Provider,
    Providers, Secrets, Telemetry, UiBundle, WorkflowProvider,
};
pub use source::{SnapshotRepository, Source, SourceForm};
pub use workflows::{
    AgentTurn, AppCall, Cron, EventTrigger, Message, RunAs, Schedule, Step, Task, Tool, Value, Workflow, Workflows,
};

use crate::config_schema::Origin;
use crate::env::Mode;
use crate::problem::{Location, Problems};
use crate::secrets::Pending;
use gestalt_core::egress::Settings;
use gestalt_core::limits::{Limits, RuntimeLimits};
use gestalt_core::{AppName, Secret};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::SocketAddr;
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
    /// Who may do what.
    pub authorization: Authorization,
    /// Upstream credentials, by id.
    pub connections: BTreeMap<String, Connection>,
    /// Indexes of packages: an http(s) or file URL each, by name.
    pub provider_repositories: BTreeMap<String, String>,
    /// Roots of prepared artifacts, by name.
    pub snapshot_repositories: BTreeMap<String, SnapshotRepository>,
    /// What the daemon and apps are served by.
    pub providers: Providers,
    /// Where apps may run, by name. Always has a [`Runtime::Wasm`] called [`WASM`].
    pub runtimes: BTreeMap<String, Runtime>,
    /// What runs by itself.
    pub workflows: Workflows,
    /// The apps, by name.
    pub apps: BTreeMap<AppName, App>,
    /// What is allowed but likely not meant.
    pub warnings: Problems,
    pub(crate) pending: Pending,
    pub(crate) mode: Mode,
    pub(crate) home: PathBuf,
    pub(crate) origin: Arc<Origin>,
}

/// The daemon itself (seed 004, `server`).
#[derive(Clone, Debug)]
pub struct Server {
    /// The listener for callers. Default `0.0.0.0:8080`.
    pub public: SocketAddr,
    /// The listener for operators. Without it their routes are on the public one.
    pub management: Option<Management>,
    /// Whose `X-Forwarded-For` is believed. A key of ours.
    pub trusted_proxies: Vec<IpNet>,
    /// What connections to the public listener may take. A key of ours.
    pub connections: Connections,
    /// How browsers reach the public listener: an absolute http(s) URL without final slash.
    pub base_url: Option<String>,
    /// The root secret. Empty when read with [`Mode::Lenient`], or while it is
    /// [still to be supplied](Deployment::secret_refs).
    pub encryption_key: Secret<String>,
    /// Lifetime of new API tokens. Default 30 days.
    pub api_token_ttl: Duration,
    /// The built-in operator pages.
    pub admin: Admin,
    /// Catalogs larger than this are narrowed to a provider that is named; 0 narrows all. Default 200.
    pub tool_narrowing_threshold: usize,
    /// Whether providers on developers' machines may stand in for apps; the state is kept in the daemon's database.
    pub dev_attach: bool,
    /// Where hosted runtimes call back: an absolute http(s) origin. Default: `base_url`.
    pub relay_base_url: Option<String>,
    /// Where the daemon keeps what it prepares. Default: the directory of the leftmost file.
    pub artifacts_dir: PathBuf,
    /// What apps may reach, as far as all share it.
    pub egress: Settings,
    /// The runtime of an app that asks for one without naming it; a key of [`Deployment::runtimes`].
    pub default_runtime: Option<String>,
    /// Whether what packages run before they start is run. Default [`Build::Confined`].
    pub package_build: Build,
}

/// What becomes of the `install` and `build` commands of packages: `server.packages.build`, a key of our own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Build {
    /// They run as the daemon's user, with its files and the machine's network.
    Allow,
    /// They run in the sandbox of native processes, with the network that the entry's `egress` allows.
    #[default]
    Confined,
    /// They do not run: a package that has to be built does not start.
    Deny,
}

impl Build {
    /// The config's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Confined => "confined",
            Self::Deny => "deny",
        }
    }
}

/// What connections to the public listener may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Open connections. Default: half of the descriptors the process may have, at most 8192.
    pub max: Option<usize>,
    /// Open connections of one client address, and its requests under way. Default: half of `max`.
    pub max_per_address: Option<usize>,
    /// To the end of a request's head. Default 10 s.
    pub head_timeout: Duration,
    /// To the end of a request's body. Default 60 s.
    pub body_timeout: Duration,
    /// To the next request. Default 120 s.
    pub idle_timeout: Duration,
    /// For a client that takes nothing of its answer. Default 30 s.
    pub write_timeout: Duration,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            max: None,
            max_per_address: None,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(120),
            write_timeout: Duration::from_secs(30),
        }
    }
}

/// The listener for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Management {
    /// Where it listens.
    pub address: SocketAddr,
    /// How browsers reach it: an absolute http(s) URL without final slash.
    pub base_url: Option<String>,
}

/// The built-in operator pages (seed 004, `server.admin`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admin {
    /// Who may load them: a key of the policies.
    pub authorization_policy: Option<String>,
    /// Roles of that policy that are let in; not empty when there is one.
    pub allowed_roles: Vec<String>,
    /// A key of the UI bundles, whose `admin/` takes the place of the built-in pages.
    pub ui: Option<String>,
}

/// Where an app may run (seed 004, `runtime.providers.<name>`).
#[derive(Clone, Debug, PartialEq)]
pub enum Runtime {
    /// As a child process of the daemon.
    Local,
    /// As a WebAssembly component.
    Wasm(Box<WasmRuntime>),
    /// In sessions of a backend, which a package provides.
    Hosted(Box<Provider>),
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

/// Where an app or provider asked to run (seed 004, `apps.<name>.runtime`).
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// A key of [`Deployment::runtimes`]; the default runtime when none was named.
    pub runtime: String,
    /// A profile of that runtime. It exists, unless the runtime is [hosted](Runtime::Hosted).
    pub template: Option<String>,
    /// OCI image.
    pub image: Option<String>,
    /// Credentials for the image: the JSON text of a Docker configuration.
    pub image_pull_auth: Option<Secret<String>>,
    /// Labels of the session.
    pub metadata: BTreeMap<String, String>,
    /// Sessions kept ready; agents and workflow providers have it.
    pub pool: Option<SessionPool>,
    /// Checkouts before a session; agents may have it.
    pub workspace: Option<Workspace>,
    /// Where it was written.
    pub at: Location,
}

/// Sessions kept ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPool {
    /// At least so many, and at most.
    pub ready: std::ops::RangeInclusive<u32>,
    /// For one session.
    pub startup_timeout: Duration,
    /// Between two looks at a session.
    pub health_check_interval: Duration,
    /// Whether a session that ended is replaced.
    pub restart: bool,
    /// For work in flight when a session is stopped.
    pub drain_timeout: Duration,
}

/// Checkouts before a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// For all checkouts of a session. Default 10 minutes.
    pub prepare_timeout: Duration,
    /// `host/owner/name` or `host/owner/*`; unique.
    pub allowed_repositories: Vec<String>,
}

/// A database of an app or provider (seed 004, `indexeddb`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indexeddb {
    /// A key of the databases. `None` is the daemon's own.
    pub provider: Option<String>,
    /// Its name there. Default: the entry's own.
    pub db: String,
    /// Stores that may be used; all when empty.
    pub object_stores: Vec<String>,
}

impl Deployment {
    /// The runtime `app` asked for.
    pub fn placed(&self, app: &App) -> Option<&Runtime> {
        self.runtimes.get(&app.placement.as_ref()?.runtime)
    }

    /// The config files it was read from, absolute.
    pub fn files(&self) -> Vec<PathBuf> {
        self.origin.sources.files().filter_map(|file| std::path::absolute(file).ok()).collect()
    }

    /// The runtime of components that ask for none: the default runtime if it is a wasm one, else [`WASM`].
    pub fn component_runtime(&self) -> &str {
        match self.server.default_runtime.as_deref() {
            Some(name) if matches!(self.runtimes.get(name), Some(Runtime::Wasm(_))) => name,
            _ => WASM,
        }
    }
}
