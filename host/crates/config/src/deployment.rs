//! A deployment that has passed every check that needs no running app: what `bootstrap` builds from.

use crate::config_schema::Origin;
use crate::problem::{Location, Problems};
use gestalt_core::egress::{Rules, Settings};
use gestalt_core::limits::{Limits, RuntimeLimits};
use gestalt_core::{AppName, Secret};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

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
    /// What apps may reach, as far as all share it.
    pub egress: Settings,
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
    /// The whole network the app has.
    pub egress: Rules,
    /// The runtime it asked for. `None` is no `runtime` key: a component runs in [`Deployment::component_runtime`],
    /// anything else on this machine.
    pub placement: Option<Placement>,
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
