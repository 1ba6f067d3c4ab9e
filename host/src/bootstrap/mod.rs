//! From a checked configuration to a running daemon, one file per stage, in this order:
//!
//! 0. `secrets`: every secret the configuration refers to is had once, and the configuration checked again with them.
//! 1. `listen`: the listeners are bound first, so that a port in use stops everything before anything was started,
//!    and so that egress knows the addresses no app may reach.
//! 2. `egress`: the daemon's part of the way out.
//! 3. `runtimes`: the wasm runtimes, each built when its first app needs it.
//! 4. `apps`: every app, concurrently and in the background. One that fails does not stop the others.
//! 5. [`Daemon::start`] opens the doors. `/ready` says when no app is starting any more.
//!
//! [`Daemon::reload`] takes over what a running daemon can of a later configuration: what apps may reach and call.
//! [`Daemon::shutdown`] goes the way back: doors, calls in flight, apps, last records.

mod apps;
mod blind;
pub(crate) mod confine;
pub(crate) mod egress;
mod hybrid;
mod launch;
mod listen;
mod package;
mod patience;
mod reload;
mod runtimes;
mod secrets;

pub(crate) use runtimes::this_binary;

use crate::audit::LogAudit;
use crate::ingress::http::{Api, Server, management_router, public_router, refusing_router};
use crate::metrics::Metrics;
use crate::sandboxes::Sandboxes;
use confine::Unconfined;
use gestalt_config::Deployment;
use gestalt_core::service::HostServices;
use gestalt_core::{AppName, Executor, audit};
use gestalt_egress::{Egress, Resolver, SystemResolver};
use gestalt_invoke::{Invoker, NestedInvoker, Settings};
use gestalt_services::AppLog;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What may be put in place of the daemon's own. The default is what `gestaltd serve` runs with.
#[derive(Default)]
pub struct Options {
    /// Resolves host names for apps; default the system's resolver.
    pub resolver: Option<Arc<dyn Resolver>>,
    /// Takes audit records; default the log.
    pub audit: Option<Arc<dyn audit::Sink>>,
    /// The `gestaltd` that compiles components; default the binary this process runs.
    pub worker: Option<PathBuf>,
}

/// A running daemon.
pub struct Daemon {
    public: SocketAddr,
    management: Option<SocketAddr>,
    invoker: Invoker,
    running: TaskTracker,
    egress: Arc<Egress>,
    /// What it was started from.
    deployment: Arc<Deployment>,
    /// What it was told last, which is what a reload is compared with.
    told: Mutex<Arc<Deployment>>,
    /// Apps of it that a reload stopped.
    gone: Mutex<BTreeSet<AppName>>,
    unconfined: Arc<Mutex<Unconfined>>,
    /// Ends the servers.
    stop: CancellationToken,
    servers: JoinSet<()>,
    /// Apps still being started.
    launching: JoinSet<()>,
}

/// How long calls in flight, and then the apps, may take to finish after the daemon was told to stop.
const DRAIN: Duration = Duration::from_secs(15);

impl Daemon {
    /// Starts everything `deployment` describes. Returns when the doors are open; apps may still be starting.
    ///
    /// # Errors
    /// When callers would have to log in, a secret cannot be had, a listener cannot be bound or the daemon's own parts cannot be built. A failing app is
    /// no error.
    pub async fn start(deployment: Deployment, options: Options) -> anyhow::Result<Self> {
        for warning in deployment.warnings.iter() {
            tracing::warn!("{warning}");
        }
        refuse_without_login(&deployment)?;
        let deployment = Arc::new(secrets::supply(deployment).await?);
        let listeners = listen::bind(&deployment.server).await?;
        let audit = options.audit.unwrap_or_else(|| Arc::new(LogAudit));
        let metrics = Arc::new(Metrics::build()?);
        let resolver = options.resolver.unwrap_or_else(|| Arc::new(SystemResolver::new()));
        let egress =
            egress::build(&deployment.server, resolver, audit.clone(), metrics.clone(), listeners.addresses())?;
        let egress = Arc::new(egress);

        let apps = Arc::new(apps::registry(&deployment));
        let nested = NestedInvoker::new();
        let base_url: Arc<str> = deployment.server.base_url.as_deref().unwrap_or("").into();
        let settings = Settings { public_base_url: base_url.clone(), ..Settings::default() };
        let invoker = Invoker::new(apps.clone(), audit, metrics.clone(), settings);
        invoker.grant(reload::grants(&deployment));
        nested.connect(invoker.clone());
        let logs = Arc::new(blind::BlindLog::new(Arc::new(AppLog::default()), egress.clone()));
        let services = HostServices { apps: nested, logs };
        let worker = options.worker.unwrap_or_else(this_binary);
        let runtimes = Arc::new(runtimes::Runtimes::new(deployment.clone(), worker.clone(), metrics.clone()));
        let unconfined = Arc::new(Mutex::new(Unconfined::new(deployment.clone())));
        let sandboxes = Arc::new(Sandboxes::new(metrics.clone()));
        let stage = apps::Stage {
            deployment: deployment.clone(),
            egress: egress.clone(),
            runtimes,
            services,
            base_url,
            worker,
            unconfined: unconfined.clone(),
            sandboxes: sandboxes.clone(),
            confiner: tokio::sync::OnceCell::new(),
        };
        let launching = apps::launch(stage, apps);
        tell_of_disagreements(deployment.clone());

        let running = TaskTracker::new();
        let secure = deployment.server.base_url.as_deref().is_some_and(|url| url.starts_with("https://"));
        let api =
            Api { invoker: invoker.clone(), metrics: metrics.clone(), sandboxes, running: running.clone(), secure };
        let (stop, mut servers) = (CancellationToken::new(), JoinSet::new());
        let (public, management) = (listeners.public_address, listeners.management_address);
        let (capacity, apart) = (listen::Capacity::find(&deployment.server)?, listeners.management.is_some());
        let routers = [public_router(api.clone(), !apart), refusing_router(api.clone(), !apart)];
        let door = capacity.public(&deployment.server);
        servers.spawn(Server::new(listeners.public, routers, door, metrics.clone()).run(stop.clone()));
        if let Some(listener) = listeners.management {
            let routers = [management_router(api.clone()), refusing_router(api, true)];
            let door = capacity.management(&deployment.server);
            servers.spawn(Server::new(listener, routers, door, metrics).run(stop.clone()));
        }
        tracing::info!(%public, management = management.map(tracing::field::display), "listening");
        let (told, gone) = (Mutex::new(deployment.clone()), Mutex::default());
        Ok(Self {
            public,
            management,
            invoker,
            running,
            egress,
            deployment,
            told,
            gone,
            unconfined,
            stop,
            servers,
            launching,
        })
    }

    /// Where callers connect.
    pub fn public_address(&self) -> SocketAddr {
        self.public
    }

    /// Where operators connect, when that is a listener of its own.
    pub fn management_address(&self) -> Option<SocketAddr> {
        self.management
    }

    /// The request path.
    pub fn invoker(&self) -> &Invoker {
        &self.invoker
    }

    /// Waits until no app is still starting.
    pub async fn ready(&self) {
        self.invoker.apps().wait_settled().await;
    }

    /// Closes the doors, lets calls in flight finish, then stops the apps and writes the last records.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        while self.servers.join_next().await.is_some() {}
        self.running.close();
        if tokio::time::timeout(DRAIN, self.running.wait()).await.is_err() {
            tracing::warn!(calls = self.running.len(), "calls still running after {DRAIN:?}; abandoning them");
        }
        self.launching.shutdown().await;
        let mut stopping = JoinSet::new();
        for (app, executor) in self.invoker.apps().drain() {
            stopping.spawn(stop(app, executor));
        }
        while stopping.join_next().await.is_some() {}
        self.egress.flush();
    }
}

async fn stop(app: AppName, executor: Arc<dyn Executor>) {
    if tokio::time::timeout(DRAIN, executor.shutdown()).await.is_err() {
        tracing::warn!(%app, "app did not stop within {DRAIN:?}");
    }
}

/// What a login was asked for is not opened to everybody for want of one.
fn refuse_without_login(deployment: &Deployment) -> anyhow::Result<()> {
    let Some((name, provider)) = deployment.providers.authentication.entries.first_key_value() else { return Ok(()) };
    anyhow::bail!(
        "{}: providers.authentication.{name} has no effect yet, and without it whoever reaches the daemon could call its \
         apps; take the entry out to serve without login",
        provider.at
    )
}

/// Says what packages and workflows ask of one another and cannot have. That stops none of them: an app that is wrong by
/// itself fails by itself.
fn tell_of_disagreements(deployment: Arc<Deployment>) {
    tokio::task::spawn_blocking(move || {
        let (packages, _) = deployment.read_packages();
        for problem in deployment.check_together(&packages).errors.iter() {
            tracing::error!("{problem}");
        }
    });
}
