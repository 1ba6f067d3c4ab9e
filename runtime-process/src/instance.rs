//! One life of an app's process: from its sockets to its first answer, and to its end.

use crate::child::AppChild;
use crate::confined::{Extent, Threshold, Way};
use crate::environment::{self, Rendezvous};
use crate::error::ProcessError;
use crate::host::{Caller, HostServer};
use crate::output::AppLog;
use crate::protocol::Peer;
use crate::socket::SocketDir;
use crate::spec::ProcessSpec;
use gestalt_core::service::HostServices;
use hyper_util::rt::TokioIo;
use nix::fcntl::OFlag;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::future::Future;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// How often a process that starts is looked at.
const POLL: Duration = Duration::from_millis(25);

/// HTTP/2 windows: with the protocol's 64 KiB every larger message would wait for a round trip per window.
const WINDOW: u32 = 4 << 20;

/// What calls need of a process that is up. Outlives the process in the hands of calls that were in flight.
pub(crate) struct Instance {
    pub(crate) peer: Peer,
    pub(crate) caller: Arc<Caller>,
    /// Cancelled when the process has ended.
    pub(crate) gone: CancellationToken,
}

/// The process itself with all it holds, in the hands of its supervisor.
pub(crate) struct Process {
    child: AppChild,
    host: HostServer,
    pub(crate) instance: Arc<Instance>,
    pub(crate) started: Instant,
    log: Arc<AppLog>,
    /// The way out of a process that is confined.
    _way: Option<Way>,
    _sockets: SocketDir,
}

/// A process that is not yet known to be an app.
struct Starting {
    child: AppChild,
    log: Arc<AppLog>,
    budget: Duration,
    until: Instant,
}

impl Process {
    /// Starts the process and brings it to where it takes calls. On failure nothing of it is left.
    pub(crate) async fn launch(
        spec: &ProcessSpec,
        services: &HostServices,
        stop: &CancellationToken,
    ) -> Result<Self, ProcessError> {
        let sockets = SocketDir::new()?;
        let log = Arc::new(AppLog::new(spec.app.clone(), Arc::clone(&services.logs)));
        let session = sockets.id();
        let caller =
            Caller::new(spec.app.clone(), services.clone(), Arc::clone(&log), session.clone(), spec.timeouts.rpc);
        // Listening before the child runs: an app may call back while it is being configured.
        let host = HostServer::launch(&sockets, Arc::clone(&caller))?;
        let (app_socket, host_socket) = (sockets.app_socket(), sockets.host_socket());
        let rendezvous = Rendezvous {
            app_socket: &app_socket,
            host_socket: &host_socket,
            session: &session,
            parent: std::process::id(),
        };
        let env = environment::build(spec, &rendezvous, |name| std::env::var_os(name));
        let budget = spec.timeouts.startup;
        let (command, threshold) = command(spec, env, &sockets)?;
        let mut starting = Starting {
            child: AppChild::launch(command, &sockets, &log).await?,
            log: Arc::clone(&log),
            budget,
            until: Instant::now() + budget,
        };
        tracing::debug!(app = %spec.app, pid = starting.child.id(), "app process started");
        let outcome = tokio::select! {
            outcome = starting.bring_up(spec, threshold, app_socket, &caller) => outcome,
            () = stop.cancelled() => Err(ProcessError::Stopped),
        };
        match outcome {
            Ok((peer, way)) => {
                let instance = Arc::new(Instance { peer, caller, gone: CancellationToken::new() });
                let started = Instant::now();
                Ok(Self { child: starting.child, host, instance, started, log, _way: way, _sockets: sockets })
            }
            Err(error) => {
                starting.child.shutdown(spec.timeouts.stop).await;
                host.shutdown().await;
                Err(error)
            }
        }
    }

    /// Waits for the process to end by itself. May be dropped and called again.
    pub(crate) async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await;
        self.instance.gone.cancel();
        status
    }

    /// Cleans up after a process that ended by itself, and says how.
    pub(crate) async fn bury(mut self, status: std::io::Result<ExitStatus>, step: Duration) -> String {
        self.child.drain().await;
        let output = self.log.tail.get();
        self.shutdown(step).await;
        match status {
            Ok(status) => format!("process ended ({status}){output}"),
            Err(error) => format!("process lost: {error}{output}"),
        }
    }

    /// Ends the process: no more calls to it or from it, then signals of rising urgency.
    pub(crate) async fn shutdown(self, step: Duration) {
        let Self { child, host, instance, _way, _sockets, .. } = self;
        instance.gone.cancel();
        drop(instance);
        host.shutdown().await;
        child.shutdown(step).await;
    }
}

impl Starting {
    /// From a started process to a configured app.
    async fn bring_up(
        &mut self,
        spec: &ProcessSpec,
        threshold: Option<Threshold>,
        socket: PathBuf,
        caller: &Caller,
    ) -> Result<(Peer, Option<Way>), ProcessError> {
        let way = match threshold {
            Some(threshold) => Some(self.let_pass(threshold).await?),
            None => None,
        };
        while connect(&socket).await.is_err() {
            self.check_alive().await?;
            self.check_time()?;
            sleep(POLL).await;
        }
        let peer = loop {
            match self.unless_it_ends(self.until, negotiate(&socket)).await? {
                Ok(peer) => break peer?,
                Err(status) if status.code() == Code::Unavailable => {
                    self.check_time()?;
                    sleep(POLL).await;
                }
                Err(status) => return Err(self.call_failed("GetMetadata", &status).await),
            }
        };
        // Set once per process, so this cannot fail.
        let _ = caller.version.set(peer.version());
        let config = spec.config.as_ref().and_then(|config| config.as_object());
        let until = Instant::now() + spec.timeouts.configure;
        let answer = self.unless_it_ends(until, peer.start(&spec.app, config, spec.timeouts.configure)).await?;
        match answer {
            Ok(accepted) => accepted.map(|()| (peer, way)),
            Err(status) => Err(self.call_failed("StartProvider", &status).await),
        }
    }

    /// Waits until the process is confined.
    async fn let_pass(&mut self, threshold: Threshold) -> Result<Way, ProcessError> {
        match timeout_at(self.until, threshold.pass(self.child.id())).await.map_err(|_| self.not_ready())? {
            Ok(way) => Ok(way),
            Err(error) => {
                // It ends by itself, and may have said why.
                let _ = timeout(POLL * 20, self.child.wait()).await;
                self.child.drain().await;
                let (reason, output) = (error.to_string(), self.log.tail.get());
                Err(ProcessError::Sandbox { reason, is_passing: error.is_passing(), output })
            }
        }
    }

    /// Runs a call against the end of the process and of the time.
    async fn unless_it_ends<T>(&mut self, until: Instant, call: impl Future<Output = T>) -> Result<T, ProcessError> {
        tokio::select! {
            biased;
            answer = timeout_at(until, call) => answer.map_err(|_| self.not_ready()),
            _ = self.child.wait() => {
                self.check_alive().await?;
                Err(self.not_ready())
            }
        }
    }

    async fn check_alive(&mut self) -> Result<(), ProcessError> {
        let Some(status) = self.child.try_wait() else { return Ok(()) };
        self.child.drain().await;
        Err(ProcessError::Exited { status, output: self.log.tail.get() })
    }

    fn check_time(&self) -> Result<(), ProcessError> {
        if Instant::now() < self.until { Ok(()) } else { Err(self.not_ready()) }
    }

    fn not_ready(&self) -> ProcessError {
        ProcessError::NotReady { budget: self.budget, output: self.log.tail.get() }
    }

    async fn call_failed(&mut self, call: &'static str, status: &Status) -> ProcessError {
        // A connection that broke is most likely the first that is seen of the process' end.
        let broke = std::error::Error::source(status).is_some();
        if broke
            && timeout(POLL * 20, self.child.wait()).await.is_ok()
            && let Err(ended) = self.check_alive().await
        {
            return ended;
        }
        let message = format!("{:?}: {}", status.code(), status.message());
        ProcessError::Call { call, message, output: self.log.tail.get() }
    }
}

/// What is started: the provider, or what confines it first.
fn command(
    spec: &ProcessSpec,
    env: BTreeMap<OsString, OsString>,
    sockets: &SocketDir,
) -> Result<(Command, Option<Threshold>), ProcessError> {
    match &spec.confine {
        None => Ok((spec.command.builder(env), None)),
        Some(confine) => {
            let extent = Extent { sockets: Some(sockets.path().to_owned()), ..Extent::default() };
            let (command, threshold) = confine.prepare(&spec.app, &spec.command, env, extent)?;
            Ok((command, Some(threshold)))
        }
    }
}

async fn negotiate(socket: &Path) -> Result<Result<Peer, ProcessError>, Status> {
    let channel = dial(socket.to_owned()).await.map_err(|e| Status::unavailable(e.to_string()))?;
    Peer::negotiate(channel).await
}

/// Connects to what a process has put at `socket`, which lies in a directory of its own. If that is no socket but a link
/// to somebody else's, it is not followed: the daemon may reach sockets that the process may not.
async fn connect(socket: &Path) -> std::io::Result<UnixStream> {
    let flags = (OFlag::O_PATH | OFlag::O_NOFOLLOW).bits();
    let place = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(socket)?;
    UnixStream::connect(format!("/proc/self/fd/{}", place.as_raw_fd())).await
}

/// A channel to a Unix socket. The origin is one every HTTP/2 library takes for an authority: a path would be refused by
/// Rust providers.
async fn dial(socket: PathBuf) -> Result<Channel, tonic::transport::Error> {
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { connect(&socket).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://localhost")
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .connect_with_connector(connector)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    #[tokio::test]
    async fn a_socket_is_connected_to_and_a_link_to_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (own, foreign) = (dir.path().join("app.sock"), dir.path().join("docker.sock"));
        let listener = UnixListener::bind(&foreign).unwrap();
        std::os::unix::fs::symlink(&foreign, &own).unwrap();
        assert!(connect(&own).await.is_err());
        assert!(connect(&dir.path().join("gone")).await.is_err());
        let (near, far) = tokio::join!(connect(&foreign), listener.accept());
        assert!(near.is_ok() && far.is_ok());
    }
}
