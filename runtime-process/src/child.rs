//! One child process: how it is spawned, watched and ended.

use crate::error::ProcessError;
use crate::orphan::Guard;
use crate::output::AppLog;
use crate::socket::SocketDir;
use gestalt_core::service::LogStream;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io::ErrorKind;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Tries at executing a file that somebody still has open for writing, as a build or a copy may for a moment.
const BUSY_RETRIES: u32 = 5;

/// How long the output of a dead process is read on: a grandchild may hold its pipes forever.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A running process with its process group, its output and its guard.
pub(crate) struct AppChild {
    child: Child,
    group: Option<Pid>,
    guard: Option<Guard>,
    pumps: JoinSet<()>,
}

impl AppChild {
    /// Spawns the command as the leader of a process group of its own, so that a signal meant for the daemon's terminal
    /// does not reach it, and one meant for it reaches all it started.
    pub(crate) async fn launch(
        mut builder: Command,
        sockets: &SocketDir,
        log: &Arc<AppLog>,
    ) -> Result<Self, ProcessError> {
        builder.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).process_group(0);
        let mut child = spawn(&mut builder)
            .await
            .map_err(|source| ProcessError::Spawn { program: builder.as_std().get_program().into(), source })?;
        let id = child.id();
        let mut pumps = JoinSet::new();
        if let Some(stream) = child.stdout.take() {
            let log = Arc::clone(log);
            pumps.spawn(async move { log.pump(LogStream::Stdout, stream).await });
        }
        if let Some(stream) = child.stderr.take() {
            let log = Arc::clone(log);
            pumps.spawn(async move { log.pump(LogStream::Stderr, stream).await });
        }
        let guard = id.and_then(|id| Guard::launch(id, sockets.path()));
        let group = id.and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Ok(Self { child, group, guard, pumps })
    }

    /// The process id; `None` once it is known to be gone.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Whether the process has ended, without waiting for it.
    pub(crate) fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for the end of the process. May be dropped and called again.
    pub(crate) async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends whatever is left of the process group: an interrupt first, for it is the one signal on which every SDK runs
    /// its close hook; then the termination signal; then there is no asking.
    pub(crate) async fn shutdown(mut self, step: Duration) {
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            if self.child.id().is_none() {
                break;
            }
            self.signal(signal);
            if timeout(step, self.child.wait()).await.is_ok() {
                break;
            }
        }
        // Also after a clean end: what the process started and left behind goes with it.
        self.signal(Signal::SIGKILL);
        if let Err(error) = self.child.wait().await {
            tracing::warn!(%error, "app process not reaped");
        }
        self.drain().await;
        if let Some(guard) = self.guard.take() {
            guard.dismiss().await;
        }
    }

    /// Reads what a dead process has still written.
    pub(crate) async fn drain(&mut self) {
        let ended = timeout(LAST_WORDS, async { while self.pumps.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            self.pumps.abort_all();
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // ESRCH: the group is gone, which is what the signal is for.
            let _ = killpg(group, signal);
        }
    }
}

async fn spawn(builder: &mut Command) -> std::io::Result<Child> {
    let mut tries = 0;
    loop {
        match builder.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && tries < BUSY_RETRIES => {
                tries += 1;
                sleep(Duration::from_millis(100) * tries).await;
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[tokio::test]
    async fn a_program_still_open_for_writing_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        std::fs::copy("/bin/true", &program).unwrap();
        let writer = File::options().append(true).open(&program).unwrap();
        let mut builder = Command::new(&program);
        // The first try comes before the file is closed, and the next one after it.
        let (child, ()) = tokio::join!(spawn(&mut builder), async { drop(writer) });
        assert!(child.unwrap().wait().await.unwrap().success());
    }
}
