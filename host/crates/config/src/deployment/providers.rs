use super::connections::Binding;
use super::source::Source;
use super::{Indexeddb, Placement};
use crate::problem::Location;
use gestalt_core::Secret;
use gestalt_core::egress::Entry;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

/// What the daemon and apps are served by (seed 004, `providers`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Providers {
    /// Agents. The one selected serves sessions that name none.
    pub agent: Entries<Agent>,
    /// Where audit records go. Never empty.
    pub audit: Entries<Audit>,
    /// How users log in; nobody has to when empty.
    pub authentication: Entries<Provider>,
    /// Policy engines and relationship stores.
    pub authorization: Entries<Provider>,
    /// Caches for apps.
    pub cache: Entries<Provider>,
    /// Keepers of upstream credentials.
    pub external_credentials: Entries<Provider>,
    /// Databases.
    pub indexeddb: Entries<Database>,
    /// Object stores for apps.
    pub s3: Entries<Provider>,
    /// Where secrets come from. Never empty.
    pub secrets: Entries<Secrets>,
    /// Where traces, metrics and logs go. Never empty.
    pub telemetry: Entries<Telemetry>,
    /// Web pages.
    pub ui: Entries<UiBundle>,
    /// Schedulers. The one selected runs workflows that name none.
    pub workflow: Entries<WorkflowProvider>,
}

/// The entries of one kind, by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Entries<T> {
    /// By name.
    pub entries: BTreeMap<String, T>,
    /// The entry used when none is named: named by `server.providers`, or marked `default`, or the only one.
    pub selected: Option<String>,
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), selected: None }
    }
}

impl<T> Deref for Entries<T> {
    type Target = BTreeMap<String, T>;

    fn deref(&self) -> &Self::Target {
        &self.entries
    }
}

impl<T> Entries<T> {
    /// The entry used when none is named.
    pub fn selected(&self) -> Option<&T> {
        self.entries.get(self.selected.as_deref()?)
    }
}

/// A provider from a package.
#[derive(Clone, Debug, PartialEq)]
pub struct Provider {
    /// Where its entry begins.
    pub at: Location,
    /// Its package.
    pub source: Source,
    /// Its own configuration.
    pub config: Config,
    /// Environment variables of the provider.
    pub env: BTreeMap<String, Secret<String>>,
    /// What it may reach; when empty, the server's default action decides.
    pub allowed_hosts: Vec<Entry>,
    /// Overrides the manifest's.
    pub display_name: Option<String>,
    /// Overrides the manifest's.
    pub description: Option<String>,
    /// An SVG file that exists; overrides the manifest's.
    pub icon_file: Option<PathBuf>,
}

/// An entry's own configuration: an object, when there. `Debug` hides it.
#[derive(Clone, Default, PartialEq)]
pub struct Config(pub Option<serde_json::Value>);

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(serde_json::Value::Object(map)) => {
                f.write_str("[secret] with ")?;
                f.debug_set().entries(map.keys()).finish()
            }
            Some(_) => f.write_str("[secret]"),
            None => f.write_str("None"),
        }
    }
}

/// Where secrets come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Secrets {
    /// Environment variables of the daemon: `prefix` and the name in upper case, with `_` for `-`.
    Env {
        /// Before each name.
        prefix: String,
    },
    /// Files of a directory.
    File {
        /// The directory.
        dir: PathBuf,
    },
    /// A package.
    Package(Box<Provider>),
}

/// A database.
#[derive(Clone, Debug, PartialEq)]
pub enum Database {
    /// The embedded one.
    Relational {
        /// `sqlite://…` or `postgres://…`.
        dsn: Option<Secret<String>>,
    },
    /// A package.
    Package(Box<Provider>),
}

/// A bundle of web pages.
#[derive(Clone, Debug, PartialEq)]
pub struct UiBundle {
    /// The package.
    pub provider: Provider,
    /// Where it is mounted by itself. One without is mounted by an app.
    pub path: Option<String>,
    /// A key of the policies.
    pub authorization_policy: Option<String>,
}

/// A scheduler.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowProvider {
    /// The package.
    pub provider: Provider,
    /// The database it is given.
    pub indexeddb: Option<Indexeddb>,
    /// Where it runs; on this machine when absent.
    pub placement: Option<Placement>,
}

/// An agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// The package.
    pub provider: Provider,
    /// Its connections, by its own names.
    pub connections: BTreeMap<String, Binding>,
    /// The database it is given.
    pub indexeddb: Option<Indexeddb>,
    /// Where it runs; on this machine when absent.
    pub placement: Option<Placement>,
    /// A key of `harnesses`.
    pub default_harness: Option<String>,
    /// What `gestalt agent` runs on an operator's machine.
    pub harnesses: BTreeMap<String, Harness>,
}

/// A program on an operator's machine. Whether it is there is only known there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Harness {
    /// The program.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: BTreeMap<String, Secret<String>>,
    /// Where it runs.
    pub working_directory: Option<PathBuf>,
    /// Programs that must be there.
    pub required_commands: Vec<String>,
    /// For people, when one is not.
    pub instructions: Option<String>,
    /// What installs them, one after the other.
    pub install: Vec<InstallCommand>,
}

/// A step of an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallCommand {
    /// For people.
    pub description: Option<String>,
    /// What is run.
    pub run: InstallRun,
    /// Environment variables.
    pub env: BTreeMap<String, Secret<String>>,
}

/// What a step of an installation runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstallRun {
    /// A program and its arguments.
    Command(Vec<String>),
    /// A line for the platform's shell.
    Shell(String),
}

/// Where traces, metrics and logs go (seed 004, `providers.telemetry`).
#[derive(Clone, Debug, PartialEq)]
pub enum Telemetry {
    /// Nowhere.
    Noop,
    /// Logs to standard output, metrics to `/metrics`.
    Stdout {
        /// Log lines.
        log: LogStyle,
        /// Attached to metrics. Default `gestaltd`.
        service_name: String,
        /// Attached to metrics.
        resource_attributes: BTreeMap<String, String>,
        /// Whether `/metrics` answers. Default true.
        prometheus: bool,
    },
    /// To a collector.
    Otlp {
        /// The collector.
        export: Otlp,
        /// Share of traces kept, 0 to 1. Default 1.
        sampling_ratio: f64,
        /// Between two exports of metrics. Default 60 s.
        interval: Duration,
        /// Whether `/metrics` answers. Default true.
        prometheus: bool,
        /// Whether log lines go to the collector; else to standard output. Default true.
        export_logs: bool,
        /// Log lines.
        log: LogStyle,
    },
    /// A package, which no daemon can use so far.
    Package(Box<Provider>),
}

/// Where audit records go (seed 004, `providers.audit`).
#[derive(Clone, Debug, PartialEq)]
pub enum Audit {
    /// Where log lines go.
    Inherit,
    /// Nowhere.
    Noop,
    /// Standard output.
    Stdout(LogStyle),
    /// A collector.
    Otlp(Otlp),
    /// A package, which no daemon can use so far.
    Package(Box<Provider>),
}

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStyle {
    /// As JSON; else as text.
    pub json: bool,
    /// The least important written.
    pub level: Level,
}

/// How important a line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For who works on it.
    Debug,
    /// What happened.
    #[default]
    Info,
    /// What should not have.
    Warn,
    /// What went wrong.
    Error,
}

/// A collector.
#[derive(Clone, Debug, PartialEq)]
pub struct Otlp {
    /// Its address; the SDK's default when absent.
    pub endpoint: Option<String>,
    /// Over HTTP; else gRPC.
    pub http: bool,
    /// Whether its TLS certificate goes unchecked.
    pub insecure: bool,
    /// On every export.
    pub headers: BTreeMap<String, Secret<String>>,
    /// Attached to everything. Default `gestaltd`.
    pub service_name: String,
    /// Attached to everything.
    pub resource_attributes: BTreeMap<String, String>,
}
