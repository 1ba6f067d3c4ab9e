//! What the tests of this package share: the SDK environments, a launched fixture, the host's side of it.

use async_trait::async_trait;
use gestalt_core::service::{AppCall, AppInvoker, HostServices, LogEntry, LogSink};
use gestalt_core::*;
use gestalt_runtime_process::{AppCommand, ProcessError, ProcessExecutor, ProcessSpec, Timeouts, launch};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// SDK releases by the protocol they speak.
pub(crate) const V3: &str = "a18";
pub(crate) const V4: &str = "a22";
pub(crate) const V5: &str = "a29";

/// The interpreter of a release's environment, which `tests/setup/python.sh` of the workspace makes.
pub(crate) fn python(release: &str) -> PathBuf {
    let environments = std::env::var_os("GESTALT_TEST_PYTHON")
        .map_or_else(|| std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("python"), PathBuf::from);
    let python = environments.join(release).join("bin/python");
    assert!(python.is_file(), "{} is missing: run `make test`, which sets it up", python.display());
    python
}

pub(crate) fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/provider")
}

pub(crate) fn spec(release: &str) -> ProcessSpec {
    ProcessSpec {
        app: AppName::parse("fixture").unwrap(),
        command: AppCommand {
            program: python(release),
            args: ["-m", "gestalt._runtime", fixture().to_str().unwrap(), "provider:app"].map(Into::into).into(),
            workdir: fixture(),
            env: BTreeMap::from([
                ("PYTHONDONTWRITEBYTECODE".into(), "1".into()),
                ("PYTHONUNBUFFERED".into(), "1".into()),
            ]),
            direct: true,
        },
        env: BTreeMap::new(),
        config: None,
        catalog: Arc::new(Catalog::new(vec![operation("echo", "static"), operation("text", "static")])),
        public_base_url: "https://gestalt.test".into(),
        timeouts: Timeouts { restart_min: Duration::from_millis(10), ..Timeouts::default() },
        confine: None,
    }
}

pub(crate) fn operation(id: &str, title: &str) -> Operation {
    Operation { id: id.into(), title: title.into(), ..Operation::default() }
}

/// A launched app and the host's side of it.
pub(crate) struct Fixture {
    pub(crate) app: Arc<ProcessExecutor>,
    pub(crate) host: Host,
}

/// What the app asked and wrote.
pub(crate) struct Host {
    pub(crate) services: HostServices,
    pub(crate) invoker: Arc<Invoker>,
    logs: tokio::sync::Mutex<UnboundedReceiver<LogEntry>>,
}

impl Host {
    pub(crate) fn new() -> Self {
        let (sender, logs) = unbounded_channel();
        let invoker = Arc::new(Invoker::default());
        let sink = Arc::new(Sink { sender, next: AtomicU64::new(0) });
        let services = HostServices { apps: Arc::clone(&invoker) as _, logs: sink };
        Self { services, invoker, logs: logs.into() }
    }

    /// The first line from now on that fits.
    pub(crate) async fn line(&self, fits: impl Fn(&LogEntry) -> bool) -> LogEntry {
        let mut logs = self.logs.lock().await;
        let wait = async {
            loop {
                let entry = logs.recv().await.unwrap();
                if fits(&entry) {
                    return entry;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the line was not written")
    }
}

struct Sink {
    sender: UnboundedSender<LogEntry>,
    next: AtomicU64,
}

impl LogSink for Sink {
    fn append(&self, _app: &AppName, entry: LogEntry) -> u64 {
        let _ = self.sender.send(entry);
        self.next.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// The other apps: `other` says what it was asked, `missing` does not exist, `teapot` answers 418.
#[derive(Default)]
pub(crate) struct Invoker {
    pub(crate) calls: Mutex<Vec<(CallContext, AppCall)>>,
}

#[async_trait]
impl AppInvoker for Invoker {
    async fn invoke(&self, caller: &CallContext, call: AppCall) -> Result<Reply, RpcError> {
        self.calls.lock().unwrap().push((caller.clone(), call.clone()));
        match call.app.as_str() {
            "missing" => Err(RpcError::new(Code::NotFound, "no such app")),
            "teapot" => Ok(Reply::json(418, &json!({"error": "teapot"}))),
            "binary" => Ok(Reply { status: 200, headers: vec![], body: (&b"\xff\xfe"[..]).into() }),
            _ => Ok(Reply::json(200, &json!({"operation": call.operation, "params": call.params.to_map()}))),
        }
    }
}

impl Fixture {
    pub(crate) async fn launch(release: &str) -> Self {
        Self::launch_with(release, |_| ()).await.unwrap()
    }

    pub(crate) async fn launch_with(
        release: &str,
        change: impl FnOnce(&mut ProcessSpec),
    ) -> Result<Self, ProcessError> {
        let host = Host::new();
        let mut spec = spec(release);
        change(&mut spec);
        Ok(Self { app: launch(spec, host.services.clone()).await?, host })
    }

    /// Runs an operation with all the time in the world.
    pub(crate) async fn call(&self, operation: &str, params: Value) -> Result<Reply, ExecError> {
        self.app.execute(call(operation, params)).await
    }

    /// The JSON of a successful answer.
    pub(crate) async fn json(&self, operation: &str, params: Value) -> Value {
        let reply = self.call(operation, params).await.unwrap();
        assert_eq!(reply.status, 200, "{operation}: {reply:?}");
        serde_json::from_slice(&reply.body).unwrap()
    }
}

pub(crate) fn call(operation: &str, params: Value) -> Call {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let Value::Object(params) = params else { panic!("parameters are an object") };
    let app = AppName::parse("fixture").unwrap();
    let mut principal = Principal::anonymous();
    principal.permissions = Some(vec![AppPermission { app: app.clone(), operations: None }]);
    Call {
        operation: operation.into(),
        params: params.into(),
        credential: None,
        idempotency_key: String::new(),
        context: Arc::new(CallContext {
            invocation_id: format!("invocation-{}", NEXT.fetch_add(1, Ordering::Relaxed)).into(),
            app: app.clone(),
            principal: Arc::new(principal),
            policy: "everyone".into(),
            role: "reader".into(),
            credential: CredentialChoice {
                mode: "subject".into(),
                subject_id: "user:owner".into(),
                connection: "main".into(),
                instance: "first".into(),
            },
            request: Arc::new(RequestMeta { client_ip: "192.0.2.1".into(), ..RequestMeta::default() }),
            origin: Origin::Http,
            chain: vec![CallLink { app, operation: operation.into(), instance: String::new() }],
            public_base_url: "https://gestalt.test".into(),
        }),
        deadline: Instant::now() + Duration::from_secs(60),
    }
}

pub(crate) fn credential(token: &str) -> Credential {
    Credential {
        connection: "main".into(),
        instance: "first".into(),
        token: Secret::new(token.to_owned()),
        params: Metadata::from([("region".into(), "eu".into())]),
    }
}

/// Looks again and again until something is so.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process exists and is not merely waiting to be reaped.
pub(crate) fn is_alive(pid: i64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}
