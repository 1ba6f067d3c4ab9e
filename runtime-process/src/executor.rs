use crate::backoff::Backoff;
use crate::error::ProcessError;
use crate::instance::{Instance, Process};
use crate::protocol::About;
use crate::spec::ProcessSpec;
use async_trait::async_trait;
use gestalt_core::service::HostServices;
use gestalt_core::{
    Call, Catalog, Credential, ExecError, Executor, HttpSubjectRequest, Metadata, Reply, SubjectRef, json_depth,
};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Deepest parameters that an app can read: a level of JSON takes three of protobuf, whose libraries stop at a hundred.
const MAX_DEPTH: usize = 32;

/// An app that runs as a child process, kept running by a supervisor.
pub struct ProcessExecutor {
    spec: Arc<ProcessSpec>,
    state: watch::Receiver<State>,
    calls: TaskTracker,
    stop: CancellationToken,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

/// What a call finds.
#[derive(Clone)]
enum State {
    Up(Arc<Instance>),
    /// With the reason, for the log.
    Down(Arc<str>),
}

/// Starts an app and waits until it takes calls.
///
/// Must be called in a tokio runtime, which from then on carries the app's supervisor: a process that ends by itself is
/// started again, after pauses that grow from death to death.
///
/// # Errors
/// When the process cannot be run, ends or is not ready within its start-up budget, speaks no known version, or rejects
/// its config. Nothing of it is left then.
pub async fn launch(spec: ProcessSpec, services: HostServices) -> Result<Arc<ProcessExecutor>, ProcessError> {
    let spec = Arc::new(spec);
    let stop = CancellationToken::new();
    let process = Process::launch(&spec, &services, &stop).await?;
    let (sender, state) = watch::channel(State::Up(Arc::clone(&process.instance)));
    let supervisor = Supervisor { spec: Arc::clone(&spec), services, state: sender, stop: stop.clone() };
    let supervisor = Mutex::new(Some(tokio::spawn(supervisor.run(process))));
    Ok(Arc::new(ProcessExecutor { spec, state, calls: TaskTracker::new(), stop, supervisor }))
}

impl ProcessExecutor {
    /// The process as it is now.
    fn instance(&self) -> Result<Arc<Instance>, ExecError> {
        match &*self.state.borrow() {
            _ if self.calls.is_closed() => Err(ExecError::NotUp("shutting down".into())),
            State::Up(instance) => Ok(Arc::clone(instance)),
            State::Down(reason) => Err(ExecError::NotUp(reason.as_ref().to_owned())),
        }
    }

    fn about(&self) -> About<'_> {
        About { app: &self.spec.app, public_base_url: &self.spec.public_base_url, timeout: self.spec.timeouts.rpc }
    }
}

/// Runs a call against the end of the process and of the time.
async fn unless_gone<T>(
    instance: &Instance,
    left: Duration,
    call: impl Future<Output = Result<T, ExecError>>,
) -> Result<T, ExecError> {
    tokio::select! {
        biased;
        answer = timeout(left, call) => answer.unwrap_or(Err(ExecError::Deadline)),
        () = instance.gone.cancelled() => Err(ExecError::Unavailable("process ended during the call".into())),
    }
}

#[async_trait]
impl Executor for ProcessExecutor {
    async fn catalog(&self, credential: Option<&Credential>) -> Result<Arc<Catalog>, ExecError> {
        let fixed = &self.spec.catalog;
        let Some(credential) = credential else { return Ok(Arc::clone(fixed)) };
        let instance = self.instance()?;
        let _token = self.calls.token();
        let about = self.about();
        let asked = instance.peer.session_catalog(fixed, credential, &about);
        let session = unless_gone(&instance, about.timeout, asked).await?;
        Ok(session.map_or_else(|| Arc::clone(fixed), Arc::new))
    }

    async fn execute(&self, call: Call) -> Result<Reply, ExecError> {
        let instance = self.instance()?;
        let _token = self.calls.token();
        if json_depth(call.params.as_str().as_bytes()) > MAX_DEPTH {
            return Err(ExecError::InvalidInput(format!("parameters are nested deeper than {MAX_DEPTH} levels")));
        }
        let left = call.deadline.saturating_duration_since(Instant::now());
        let in_flight = instance
            .caller
            .authority
            .open(&call.context, call.deadline)
            .ok_or(ExecError::Busy { what: "calls in flight" })?;
        let reply = unless_gone(&instance, left, instance.peer.execute(&call)).await;
        let now = Instant::now();
        match reply {
            Ok(reply) => {
                in_flight.finish(now);
                Ok(reply)
            }
            // Whoever noticed first, and whatever it called it.
            Err(ExecError::Unavailable(_) | ExecError::Failed(_)) if now >= call.deadline => Err(ExecError::Deadline),
            Err(error) => Err(error),
        }
    }

    async fn post_connect(&self, credential: &Credential) -> Result<Metadata, ExecError> {
        let instance = self.instance()?;
        let _token = self.calls.token();
        let about = self.about();
        unless_gone(&instance, about.timeout, instance.peer.post_connect(credential, &about)).await
    }

    async fn http_subject(&self, request: &HttpSubjectRequest) -> Result<Option<SubjectRef>, ExecError> {
        let instance = self.instance()?;
        let _token = self.calls.token();
        let about = self.about();
        unless_gone(&instance, about.timeout, instance.peer.http_subject(request, &about)).await
    }

    async fn shutdown(&self) {
        self.calls.close();
        if timeout(self.spec.timeouts.drain, self.calls.wait()).await.is_err() {
            tracing::warn!(app = %self.spec.app, calls = self.calls.len(), "calls still in flight at shutdown");
        }
        self.stop.cancel();
        let supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(supervisor) = supervisor
            && let Err(error) = supervisor.await
        {
            tracing::error!(app = %self.spec.app, %error, "supervisor failed");
        }
    }
}

impl Drop for ProcessExecutor {
    /// An executor nobody holds needs no process.
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Keeps one app's process running.
struct Supervisor {
    spec: Arc<ProcessSpec>,
    services: HostServices,
    state: watch::Sender<State>,
    stop: CancellationToken,
}

impl Supervisor {
    async fn run(self, mut process: Process) {
        let step = self.spec.timeouts.stop;
        let mut backoff = Backoff::new(&self.spec.timeouts);
        loop {
            let status = tokio::select! {
                status = process.wait() => status,
                () = self.stop.cancelled() => {
                    self.down("shutting down");
                    return process.shutdown(step).await;
                }
            };
            let uptime = process.started.elapsed();
            self.down("process ended");
            let reason = process.bury(status, step).await;
            match self.restart(&mut backoff, uptime, reason).await {
                Some(next) => process = next,
                None => return,
            }
            self.state.send_replace(State::Up(Arc::clone(&process.instance)));
            tracing::info!(app = %self.spec.app, "app is up again");
        }
    }

    /// Tries until the process is up again. `None` when told to stop.
    async fn restart(&self, backoff: &mut Backoff, mut uptime: Duration, mut reason: String) -> Option<Process> {
        loop {
            let pause = backoff.pause(uptime);
            tracing::warn!(app = %self.spec.app, %reason, ?pause, "app is down");
            self.down(&reason);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => return None,
            }
            match Process::launch(&self.spec, &self.services, &self.stop).await {
                Ok(process) => return Some(process),
                Err(ProcessError::Stopped) => return None,
                Err(error) => (uptime, reason) = (Duration::ZERO, error.to_string()),
            }
        }
    }

    fn down(&self, reason: &str) {
        self.state.send_replace(State::Down(reason.into()));
    }
}
