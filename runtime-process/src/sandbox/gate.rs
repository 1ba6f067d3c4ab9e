//! The daemon's side: what it starts in the provider's place, and what it hears of it.

use super::job::{Job, Report, View};
use super::{COMMAND, Confine, sight};
use crate::error::{Output, ProcessError};
use crate::spec::AppCommand;
use gestalt_core::AppName;
use gestalt_core::egress::Forward;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

/// The longest report. It is written before the provider runs, by a process that is no bigger than its job.
const REPORT: u64 = 64 << 10;

/// A command that stands for another one, and the socket over which it will report.
pub(crate) struct Gate {
    /// What to run instead.
    pub(crate) command: AppCommand,
    app: AppName,
    forward: Arc<dyn Forward>,
    near: UnixStream,
    far: Option<OwnedFd>,
}

/// A provider that runs confined. Ends its way out when dropped.
pub(crate) struct Passage {
    proxy: Option<JoinHandle<()>>,
    /// Whoever confines takes its end for the daemon's.
    near: UnixStream,
}

impl Drop for Passage {
    fn drop(&mut self) {
        if let Some(proxy) = &self.proxy {
            proxy.abort();
        }
    }
}

impl Gate {
    /// Writes the job that confines `command`, which will have `env`. `view` says what it needs besides.
    ///
    /// # Errors
    /// When there is no sandbox on this system and there must be one, or the job cannot be written.
    pub(crate) fn build(
        confine: &Confine,
        app: &AppName,
        command: &AppCommand,
        env: &BTreeMap<OsString, OsString>,
        operator: &BTreeMap<String, String>,
        mut view: View,
    ) -> Result<Self, ProcessError> {
        let failed = |reason: String| ProcessError::Sandbox { reason, output: Output::default() };
        let program = sight::find(&command.program, &command.workdir, env);
        view.read.extend(confine.read.iter().cloned());
        view.read.extend(sight::of_program(&program));
        view.read
            .extend(sight::of_variables(|name| operator.get(name).map(Into::into).or_else(|| std::env::var_os(name))));
        view.hide.extend(confine.hide.iter().cloned());
        let spellings = [&mut view.read, &mut view.hide, &mut view.write];
        spellings.into_iter().for_each(add_real_paths);
        let home = env.get(std::ffi::OsStr::new("HOME")).map(PathBuf::from);
        view.private.extend(home.filter(|home| home.is_absolute() && home.parent().is_some()));
        let job = Job {
            inner: false,
            probe: false,
            required: confine.required,
            namespaces: false,
            missing: Vec::new(),
            view,
            program,
            args: command.args.clone(),
            workdir: command.workdir.clone(),
        };
        let pair = std::os::unix::net::UnixStream::pair().and_then(|(near, far)| {
            near.set_nonblocking(true)?;
            Ok((UnixStream::from_std(near)?, OwnedFd::from(far)))
        });
        let (near, far) = pair.map_err(|error| failed(error.to_string()))?;
        let job = job.print().map_err(failed)?;
        let command = AppCommand {
            program: confine.worker.clone(),
            args: vec![COMMAND.into(), job.into()],
            workdir: PathBuf::from("/"),
            env: BTreeMap::new(),
            direct: false,
        };
        Ok(Self { command, app: app.clone(), forward: Arc::clone(&confine.forward), near, far: Some(far) })
    }

    /// Standard input of what is run instead.
    pub(crate) fn stdin(&mut self) -> Stdio {
        self.far.take().map_or_else(Stdio::null, Stdio::from)
    }

    /// Waits until the provider runs confined, serves its proxy from then on, and says in the log what is missing.
    ///
    /// # Errors
    /// When it will not run.
    pub(crate) async fn pass(self) -> Result<Passage, String> {
        let ended = |_| "ended before it was set up".to_owned();
        let Self { app, forward, near, .. } = self;
        let listener = receive(&near).await.map_err(ended)?;
        let has_network = listener.is_some();
        let proxy = listener.map(|listener| {
            let app = app.clone();
            tokio::spawn(async move {
                if let Err(error) = forward.run(TcpListener::from(listener)).await {
                    tracing::error!(%app, %error, "the app's proxy failed");
                }
            })
        });
        let mut passage = Passage { proxy, near };
        let mut line = Vec::new();
        let mut reader = BufReader::new((&mut passage.near).take(REPORT));
        reader.read_until(b'\n', &mut line).await.map_err(ended)?;
        let report: Report = serde_json::from_slice(&line).map_err(|_| "ended before it was set up".to_owned())?;
        match report.error {
            Some(error) => Err(error),
            None => {
                tell(&app, has_network, &report.missing);
                Ok(passage)
            }
        }
    }
}

fn tell(app: &AppName, has_network: bool, missing: &[String]) {
    if missing.is_empty() {
        return tracing::info!(%app, sandbox = "whole", "the app's process is confined");
    }
    let missing = missing.join("; ");
    let network = if has_network { "the proxy alone" } else { "THE MACHINE'S: egress.allowedHosts is not enforced" };
    tracing::warn!(%app, sandbox = "partial", network, missing, "the app's process is confined in part");
}

/// Both the path as it is spelled and as it really is: either may be what somebody looks for.
fn add_real_paths(paths: &mut Vec<PathBuf>) {
    let real: Vec<PathBuf> = paths.iter().filter_map(|path| path.canonicalize().ok()).collect();
    paths.extend(real);
    paths.sort();
    paths.dedup();
}

#[cfg(target_os = "linux")]
async fn receive(near: &UnixStream) -> std::io::Result<Option<OwnedFd>> {
    near.async_io(tokio::io::Interest::READABLE, || super::handover::receive(near)).await
}

#[cfg(not(target_os = "linux"))]
async fn receive(_near: &UnixStream) -> std::io::Result<Option<OwnedFd>> {
    Err(std::io::ErrorKind::Unsupported.into())
}
