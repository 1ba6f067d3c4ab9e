//! A provider's process in a cell: what is the provider's of it.

use crate::error::{Output, ProcessError};
use crate::spec::AppCommand;
use gestalt_confine::{Cell, ConfineError, Confiner, Gate, Limits, Passage, Place, SOCKETS, View, lookup};
use gestalt_core::AppName;
use gestalt_core::egress::Forward;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::process::Command;
use tokio::task::JoinHandle;

/// How an app's process is confined.
#[derive(Clone)]
pub struct Confine {
    /// Who confines.
    pub confiner: Arc<Confiner>,
    /// Whether the app is not to be started unless every wall stands.
    pub required: bool,
    /// The app's way out.
    pub forward: Arc<dyn Forward>,
    /// What the app sees of the machine besides the system: its package, and what its operator shows it.
    pub view: View,
}

impl fmt::Debug for Confine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confine").field("required", &self.required).field("view", &self.view).finish_non_exhaustive()
    }
}

/// A process that is to be confined, before it runs.
pub(crate) struct Threshold {
    app: AppName,
    confiner: Arc<Confiner>,
    forward: Arc<dyn Forward>,
    gate: Gate,
}

/// A process that runs confined. Ends its way out when dropped.
pub(crate) struct Way {
    proxy: Option<JoinHandle<()>>,
    passage: Passage,
}

impl Drop for Way {
    fn drop(&mut self) {
        if let Some(proxy) = &self.proxy {
            proxy.abort();
        }
    }
}

impl Way {
    /// The file the process was to leave, once it has ended.
    pub(crate) async fn collected(&mut self) -> Result<Vec<u8>, String> {
        self.passage.collected().await
    }
}

/// What a cell has of its own besides its command.
#[derive(Default)]
pub(crate) struct Extent {
    pub(crate) limits: Option<Limits>,
    /// The directory of its sockets. Variables that name something in it name it by its place in the cell.
    pub(crate) sockets: Option<PathBuf>,
    /// Directories in which it may change everything.
    pub(crate) write: Vec<PathBuf>,
    /// A file in the cell that is handed back.
    pub(crate) collect: Option<PathBuf>,
}

impl Confine {
    /// What to start in the place of `command`, which will have `env`.
    ///
    /// # Errors
    /// When the machine lacks a wall that is required, or the command needs what its cell does not show.
    pub(crate) fn prepare(
        &self,
        app: &AppName,
        command: &AppCommand,
        env: BTreeMap<OsString, OsString>,
        extent: Extent,
    ) -> Result<(Command, Threshold), ProcessError> {
        let refused = |error: ConfineError| ProcessError::Sandbox {
            is_passing: error.is_passing(),
            reason: error.to_string(),
            output: Output::default(),
        };
        let has_files = self.confiner.means().has_namespaces();
        let mut view = View { sockets: extent.sockets.clone(), ..self.view.clone() };
        view.write.extend(extent.write.iter().flat_map(|path| Place::of(path)));
        let program = lookup::find(&command.program, &command.workdir, env.get(OsStr::new("PATH")).map(|p| &**p));
        if has_files {
            lookup::check(&program, &view).map_err(|hidden| refused(ConfineError::Cell(hidden.to_string())))?;
        }
        let env = match &extent.sockets {
            Some(dir) if has_files => env.into_iter().map(|(name, value)| (name, moved(value, dir))).collect(),
            _ => env,
        };
        let cell = Cell {
            program,
            args: command.args.clone(),
            workdir: command.workdir.canonicalize().unwrap_or_else(|_| command.workdir.clone()),
            env,
            view,
            limits: extent.limits.unwrap_or(Limits::provider()),
            required: self.required,
            collect: extent.collect,
        };
        let (command, gate) = self.confiner.gate(cell).map_err(refused)?;
        let (confiner, forward) = (Arc::clone(&self.confiner), Arc::clone(&self.forward));
        Ok((command, Threshold { app: app.clone(), confiner, forward, gate }))
    }
}

impl Threshold {
    /// Waits until the process runs confined, serves its proxy from then on, and says in the log what is missing. `pid` is
    /// that of the process started in its place.
    ///
    /// # Errors
    /// When it will not run.
    pub(crate) async fn pass(self, pid: Option<u32>) -> Result<Way, ConfineError> {
        let Self { app, confiner, forward, gate } = self;
        let mut passage = gate.pass(pid).await?;
        let listener = passage.listener();
        tell(&app, &confiner, listener.is_some());
        let proxy = listener.map(|listener| {
            tokio::spawn(async move {
                if let Err(error) = forward.run(listener).await {
                    tracing::error!(%app, %error, "the app's proxy failed");
                }
            })
        });
        Ok(Way { proxy, passage })
    }
}

fn tell(app: &AppName, confiner: &Confiner, has_network: bool) {
    let means = confiner.means();
    let (missing, bounds) = (means.missing(), means.bounds());
    if missing.is_empty() {
        return tracing::info!(%app, sandbox = "whole", bounds, "the app's process is confined");
    }
    let missing = missing.join("; ");
    let network = if has_network { "the proxy alone" } else { "THE MACHINE'S: egress.allowedHosts is not enforced" };
    tracing::warn!(%app, sandbox = "partial", network, missing, bounds, "the app's process is confined in part");
}

/// A path in the directory of sockets, by its place in the cell.
fn moved(value: OsString, dir: &Path) -> OsString {
    match Path::new(&value).strip_prefix(dir) {
        Ok(rest) => Path::new(SOCKETS).join(rest).into(),
        Err(_) => value,
    }
}
