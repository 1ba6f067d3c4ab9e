use crate::confined::Confine;
use gestalt_core::{AppName, Catalog};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;

/// What to start, and as what.
#[derive(Clone, Debug)]
pub struct ProcessSpec {
    /// The app's key in the config.
    pub app: AppName,
    /// The command that serves it.
    pub command: AppCommand,
    /// The entry's `env` (seed 004, `apps.*.env`). Wins over the command's own and over what is inherited, loses against
    /// what the protocol needs.
    pub env: BTreeMap<String, String>,
    /// The entry's `config`, an object. `None` and `{}` are the same to an app.
    pub config: Option<Value>,
    /// The operations known without asking the process: its catalog file.
    pub catalog: Arc<Catalog>,
    /// `server.baseUrl`, or empty.
    pub public_base_url: Arc<str>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// What confines the process; nothing does without.
    pub confine: Option<Confine>,
}

/// A command line. Executed as it is, never through a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppCommand {
    /// A path, or a name to be looked up in `PATH`.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Where it runs.
    pub workdir: PathBuf,
    /// Variables of the command itself, such as a manifest's `run.env`.
    pub env: BTreeMap<String, String>,
    /// Whether the program is the provider itself rather than something like `uv run` that starts it.
    ///
    /// Only a direct child is told its parent's process id: SDKs end themselves when that is not the parent they see.
    pub direct: bool,
}

impl AppCommand {
    /// The command as it is run where nothing confines it, with nothing in its environment but `env`.
    pub(crate) fn builder(&self, env: BTreeMap<OsString, OsString>) -> Command {
        let mut builder = Command::new(&self.program);
        builder.args(&self.args).current_dir(&self.workdir).env_clear().envs(env).stdin(Stdio::null());
        builder
    }
}

/// How long things may take. The defaults are those providers are written against.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From the start of the process to its answer to the first call.
    pub startup: Duration,
    /// `StartProvider`, in which an app may migrate data.
    pub configure: Duration,
    /// Session catalogs, webhook subjects, and nested calls made after the outer one was answered.
    pub rpc: Duration,
    /// Calls in flight at shutdown.
    pub drain: Duration,
    /// Each step of ending a process: the interrupt, then the termination signal, before it is killed.
    pub stop: Duration,
    /// First pause before a process that died is started again; doubles up to `restart_max`.
    pub restart_min: Duration,
    /// Longest such pause.
    pub restart_max: Duration,
    /// A process that lived this long is well again: its next death starts from `restart_min`.
    pub stable: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            startup: Duration::from_secs(45),
            configure: Duration::from_secs(120),
            rpc: Duration::from_secs(30),
            drain: Duration::from_secs(30),
            stop: Duration::from_secs(2),
            restart_min: Duration::from_millis(500),
            restart_max: Duration::from_secs(30),
            stable: Duration::from_secs(60),
        }
    }
}
