use crate::{Audit, Client, Names, PATIENCE, artifacts_dir};
use gestalt_config::{Mode, ProcessEnv};
use gestalt_core::{Origin, Params, Principal, Reply};
use gestalt_invoke::{Invocation, Problem};
use gestaltd::bootstrap::{Daemon, Options};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The real daemon in this process, with a resolver and an audit sink of the test's own. Calls go over HTTP.
pub struct TestHost {
    daemon: Daemon,
    client: Client,
    names: Arc<Names>,
    audit: Arc<Audit>,
    /// Holds the config files; goes when the test ends.
    _dir: TempDir,
}

/// What every test's config is merged over.
pub(crate) fn base_config(artifacts: &Path) -> String {
    format!(
        "apiVersion: gestaltd.config/v6\n\
         server:\n  public: {{host: 127.0.0.1, port: 0}}\n  encryptionKey: {key}\n  artifactsDir: {artifacts:?}\n\
         runtime:\n  providers:\n    wasm: {{driver: wasm, config: {{compile: {{timeout: {timeout}s}}}}}}\n",
        key = "5e".repeat(32),
        timeout = PATIENCE.as_secs(),
    )
}

/// Writes the base and `config`, which is merged over it, and returns both paths in this order.
pub(crate) fn write_config(dir: &Path, config: &str) -> [PathBuf; 2] {
    let files = ["base.yaml", "config.yaml"].map(|name| dir.join(name));
    std::fs::write(&files[0], base_config(&artifacts_dir())).unwrap();
    std::fs::write(&files[1], format!("apiVersion: gestaltd.config/v6\n{config}")).unwrap();
    files
}

impl TestHost {
    /// Starts the daemon from the keys in `config` and waits until no app is starting any more.
    ///
    /// `config` is merged over a base that listens on a free port, and lies in a directory of its own.
    pub async fn start(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = write_config(dir.path(), config);
        let deployment = gestalt_config::load(&files, Mode::Strict, &ProcessEnv).unwrap_or_else(|e| panic!("{e}"));
        let (names, audit) = (Names::new(), Audit::new());
        let options = Options { resolver: Some(names.clone()), audit: Some(audit.clone()) };
        let daemon = Daemon::start(deployment, options).await.unwrap();
        daemon.ready().await;
        let client = Client::new(daemon.public_address());
        Self { daemon, client, names, audit, _dir: dir }
    }

    /// What apps' names resolve to.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// What was recorded.
    pub fn audit(&self) -> &Audit {
        &self.audit
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
