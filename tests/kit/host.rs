use crate::{Audit, Client, Names, PATIENCE, artifacts_dir, gestaltd};
use gestalt_config::{Mode, ProcessEnv};
use gestalt_core::{Executor, Origin, Params, Principal, Reply};
use gestalt_invoke::{AppState, Invocation, Problem};
use gestaltd::bootstrap::{Daemon, Options};
use std::fs::DirBuilder;
use std::net::Ipv4Addr;
use std::ops::Deref;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The real daemon in this process, with a resolver and an audit sink of the test's own. Calls go over HTTP.
pub struct TestHost {
    daemon: Daemon,
    client: Client,
    names: Arc<Names>,
    audit: Arc<Audit>,
    /// Holds the config files; goes when the test ends.
    dir: TempDir,
}

/// A loopback address nobody else has: a config names its port, so that the address has to differ.
fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 100 + high % 100, low, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What every test's config is merged over.
fn base_config(artifacts: &Path) -> String {
    format!(
        "apiVersion: gestaltd.config/v6\n\
         server:\n  public: {{host: {address}, port: 8080}}\n  encryptionKey: \"{key}\"\n  artifactsDir: {artifacts:?}\n\
         runtime:\n  providers:\n    wasm: {{driver: wasm, config: {{compile: {{timeout: {timeout}s}}}}}}\n",
        address = own_address(),
        key = "5e".repeat(32),
        timeout = PATIENCE.as_secs(),
    )
}

/// Writes the base and `config`, which is merged over it, and returns both paths in this order.
pub(crate) fn write_config(dir: &Path, config: &str) -> [PathBuf; 2] {
    // Daemons do not share what they prepare, but for compiled components: see `artifacts_dir`.
    let artifacts = dir.join("artifacts");
    let (compiled, own) = (artifacts_dir().join("wasm"), artifacts.join("cache/wasm"));
    for made in [&compiled, &artifacts.join("cache")] {
        DirBuilder::new().recursive(true).mode(0o700).create(made).unwrap();
    }
    std::os::unix::fs::symlink(compiled, own).unwrap();
    let files = ["base.yaml", "config.yaml"].map(|name| dir.join(name));
    std::fs::write(&files[0], base_config(&artifacts)).unwrap();
    write_keys(dir, config);
    files
}

/// Writes the file that is merged over the base.
pub(crate) fn write_keys(dir: &Path, config: &str) {
    std::fs::write(dir.join("config.yaml"), format!("apiVersion: gestaltd.config/v6\n{config}")).unwrap();
}

impl TestHost {
    /// Starts the daemon from the keys in `config` and waits until no app is starting any more.
    ///
    /// With `RUST_LOG` set, the daemon's log is shown. `config` is merged over a base that listens on a free address, and lies in a directory of its own.
    pub async fn start(config: &str) -> Self {
        Self::start_with_worker(config, &gestaltd()).await
    }

    /// The same with another program in the place of the binary that confines.
    pub async fn start_with_worker(config: &str, worker: &Path) -> Self {
        if std::env::var_os("RUST_LOG").is_some() {
            gestaltd::telemetry::launch();
        }
        let dir = tempfile::tempdir().unwrap();
        let files = write_config(dir.path(), config);
        let deployment = gestalt_config::load(&files, Mode::Strict, &ProcessEnv).unwrap_or_else(|e| panic!("{e}"));
        let (names, audit) = (Names::new(), Audit::new());
        let options =
            Options { resolver: Some(names.clone()), audit: Some(audit.clone()), worker: Some(worker.to_owned()) };
        let daemon = Daemon::start(deployment, options).await.unwrap();
        daemon.ready().await;
        let client = Client::new(daemon.public_address());
        Self { daemon, client, names, audit, dir }
    }

    /// What apps' names resolve to.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The config files it was started from, in the order in which they were merged.
    pub fn files(&self) -> [PathBuf; 2] {
        ["base.yaml", "config.yaml"].map(|name| self.dir.path().join(name))
    }

    /// What was recorded.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// What runs an app that is up.
    pub fn executor(&self, app: &str) -> Arc<dyn Executor> {
        let states = self.daemon.invoker().apps().list();
        match states.into_iter().find(|(name, ..)| name.as_str() == app) {
            Some((_, _, AppState::Up(executor))) => executor,
            Some(_) => panic!("{app} is not up"),
            None => panic!("there is no {app}"),
        }
    }

    /// One operation by way of the request path itself, for what HTTP does not let a caller choose: the deadline.
    ///
    /// # Errors
    /// What any ingress would tell the caller.
    pub async fn invoke(&self, app: &str, operation: &str, params: &str, time: Duration) -> Result<Reply, Problem> {
        let invocation = Invocation {
            principal: Arc::new(Principal::anonymous()),
            app: app.to_owned(),
            operation: operation.to_owned(),
            connection: None,
            instance: None,
            params: Params::parse(params).unwrap(),
            idempotency_key: String::new(),
            origin: Origin::Http,
            request: Arc::default(),
            deadline: Instant::now() + time,
            parent: None,
        };
        self.daemon.invoker().invoke(invocation).await.map_err(|error| Problem::from(&error))
    }

    /// Drains the daemon, and returns its audit records, which are complete by then.
    pub async fn shutdown(self) -> Arc<Audit> {
        self.daemon.shutdown().await;
        self.audit
    }
}

/// A test host is called like what it hosts.
impl Deref for TestHost {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}
