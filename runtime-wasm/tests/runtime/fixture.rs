//! One runtime for all tests, components built by their own toolchain, and the daemon's side of an app.

use async_trait::async_trait;
use bytes::Bytes;
use gestalt_core::egress::{Attribution, Body, EgressError, Outbound, SendOptions, Sidestep};
use gestalt_core::limits::{CompileLimits, Limits, PoolLimits, RuntimeLimits};
use gestalt_core::metrics::{Event, Meter};
use gestalt_core::service::{AppCall, AppInvoker, HostServices, LogEntry, LogSink};
use gestalt_core::{
    AppName, Call, CallContext, CallLink, CredentialChoice, ExecError, Executor, Origin, Params, Principal, Reply,
    RequestMeta, RpcError,
};
use gestalt_runtime_wasm::{AppSpec, Runtime, Settings, WasmError};
use http_body_util::BodyExt;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

/// The guest that does as it is told, built once per run of the tests.
pub(crate) fn probe() -> PathBuf {
    static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--release", "--locked", "--target", "wasm32-wasip2", "--target-dir"])
            .arg(&target)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guests/probe"))
            // Flags of the host's build are not meant for the guest's.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .status();
        assert!(status.unwrap().success(), "the probe does not build");
        target.join("wasm32-wasip2/release/probe.wasm")
    });
    BUILT.clone()
}

/// One of the example apps, built by their own script if it is not there.
pub(crate) fn example(name: &str) -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = BUILDING.lock();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-examples");
    let status = Command::new(examples.join("build.sh")).arg(name).status();
    assert!(status.unwrap().success(), "guest-examples/{name} does not build");
    examples.join(name).join(format!(".gestalt/build/{name}.wasm"))
}

pub(crate) fn runtime_limits() -> RuntimeLimits {
    let pool = PoolLimits { instances: 64, ..PoolLimits::default() };
    // Compiling 20 MB on a busy machine, beside all the other tests.
    let compile = CompileLimits { timeout: Duration::from_secs(300), ..CompileLimits::default() };
    RuntimeLimits { pool, compile, max_concurrency: 24, ..RuntimeLimits::default() }
}

/// The daemon's binary, which compiles for every runtime: the one of the same build as this test.
pub(crate) fn gestaltd() -> PathBuf {
    let binary = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("gestaltd");
    assert!(binary.exists(), "{} is missing; `cargo build --workspace --bins` makes it", binary.display());
    binary
}

pub(crate) fn settings(limits: RuntimeLimits, cache_dir: PathBuf) -> Settings {
    Settings { limits, cache_dir, worker: gestaltd(), meter: Arc::new(Events::default()) }
}

/// Keeps every metric event.
#[derive(Default)]
pub(crate) struct Events(Mutex<Vec<Event>>);

impl Events {
    pub(crate) fn all(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    /// Which bounds were reached, in order.
    pub(crate) fn limits(&self) -> Vec<&'static str> {
        let limit = |event: &Event| match event {
            Event::Limit { limit, .. } => Some(*limit),
            _ => None,
        };
        self.0.lock().unwrap().iter().filter_map(limit).collect()
    }
}

impl Meter for Events {
    fn record(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

/// The runtime most tests share, as apps share one in the daemon.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        let cache_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wasm-cache");
        Runtime::build(settings(runtime_limits(), cache_dir)).unwrap()
    });
    &RUNTIME
}

/// An app as a config entry describes it, and the host it meets.
pub(crate) struct Setup {
    pub(crate) component: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) config: Option<Value>,
    pub(crate) host: Arc<Host>,
}

impl Setup {
    pub(crate) fn probe() -> Self {
        Self::of(probe())
    }

    pub(crate) fn of(component: PathBuf) -> Self {
        let (limits, env) = (Limits::default(), BTreeMap::new());
        Self { component, limits, env, config: None, host: Arc::default() }
    }

    pub(crate) fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    pub(crate) fn config(mut self, config: Value) -> Self {
        self.config = Some(config);
        self
    }

    pub(crate) async fn launch(self) -> App {
        self.launch_on(runtime()).await.unwrap_or_else(|e| panic!("{e}"))
    }

    /// Why the app does not launch.
    pub(crate) async fn failure(self) -> WasmError {
        match self.launch_on(runtime()).await {
            Ok(_) => panic!("it launched"),
            Err(e) => e,
        }
    }

    pub(crate) async fn launch_on(self, runtime: &Runtime) -> Result<App, WasmError> {
        let host = self.host;
        let spec = AppSpec {
            app: AppName::parse("probe").unwrap(),
            component: self.component,
            config: self.config,
            env: self.env,
            limits: self.limits,
            outbound: host.clone(),
            services: HostServices { apps: host.clone(), logs: host.clone() },
            public_base_url: "https://gestalt.test".into(),
        };
        Ok(App { executor: runtime.launch(spec).await?, host })
    }
}

/// A launched app.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) host: Arc<Host>,
}

impl App {
    pub(crate) async fn call(&self, operation: &str, params: Value) -> Result<Reply, ExecError> {
        self.executor.execute(call(operation, &params.to_string())).await
    }

    /// The JSON of an answer that must be one.
    pub(crate) async fn ask(&self, operation: &str, params: Value) -> Value {
        let reply = self.call(operation, params).await.unwrap_or_else(|e| panic!("{operation}: {e}"));
        serde_json::from_slice(&reply.body).unwrap()
    }

    /// The text of an error that must be one.
    pub(crate) async fn failure(&self, operation: &str, params: Value) -> String {
        match self.call(operation, params).await {
            Ok(reply) => panic!("{operation} answered {reply:?}"),
            Err(e) => e.to_string(),
        }
    }
}

/// A call of an anonymous caller, with a minute to answer it.
pub(crate) fn call(operation: &str, params: &str) -> Call {
    let app = AppName::parse("probe").unwrap();
    let operation: Arc<str> = operation.into();
    let link = CallLink { app: app.clone(), operation: operation.clone(), instance: String::new() };
    let context = CallContext {
        invocation_id: format!("call-of-{operation}").into(),
        app,
        principal: Arc::new(Principal::anonymous()),
        policy: "policy".into(),
        role: "reader".into(),
        credential: CredentialChoice { instance: "work".into(), ..CredentialChoice::default() },
        request: Arc::new(RequestMeta { client_ip: "192.0.2.1".into(), ..RequestMeta::default() }),
        origin: Origin::Http,
        chain: vec![link],
        public_base_url: "https://gestalt.test".into(),
    };
    Call {
        operation,
        params: Params::parse(params).unwrap(),
        credential: None,
        idempotency_key: String::new(),
        context: Arc::new(context),
        deadline: Instant::now() + Duration::from_secs(60),
    }
}

/// The daemon as one app sees it; remembers what it was asked.
#[derive(Default)]
pub(crate) struct Host {
    log: Mutex<Vec<LogEntry>>,
    pub(crate) invoked: Mutex<Vec<(CallContext, AppCall)>>,
    pub(crate) sent: Mutex<Vec<Sent>>,
    pub(crate) sidestepped: Mutex<Vec<Sidestep>>,
}

/// One outgoing request.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) head: http::request::Parts,
    pub(crate) body: Bytes,
    pub(crate) options: SendOptions,
}

impl Host {
    /// What was logged, as `stream:invocation:text`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |e: &LogEntry| format!("{}:{}:{}", e.stream.as_str(), e.invocation_id, e.message);
        self.log.lock().unwrap().iter().map(line).collect()
    }

    pub(crate) fn entries(&self) -> Vec<LogEntry> {
        self.log.lock().unwrap().clone()
    }
}

impl LogSink for Host {
    fn append(&self, app: &AppName, entry: LogEntry) -> u64 {
        assert_eq!(app.as_str(), "probe");
        let mut log = self.log.lock().unwrap();
        log.push(entry);
        log.len() as u64
    }
}

#[async_trait]
impl AppInvoker for Host {
    /// Answers what it was given; the app called `gone` does not exist, and `silent` never answers.
    async fn invoke(&self, caller: &CallContext, call: AppCall) -> Result<Reply, RpcError> {
        self.invoked.lock().unwrap().push((caller.clone(), call.clone()));
        match call.app.as_str() {
            "gone" => Err(RpcError::new(gestalt_core::Code::NotFound, "no such app")),
            "silent" => std::future::pending().await,
            "large" => Ok(Reply { status: 200, headers: vec![], body: vec![b'x'; 17 << 20].into() }),
            _ => Ok(Reply {
                status: 207,
                headers: vec![("X-A".into(), "1".into()), ("x-a".into(), "2".into())],
                body: call.params.as_str().to_owned().into(),
            }),
        }
    }
}

#[async_trait]
impl Outbound for Host {
    /// Echoes the request's body to the host `echo.test`; fails for all others with the error the host name spells.
    async fn send(
        &self,
        request: http::Request<Body>,
        options: SendOptions,
    ) -> Result<http::Response<Body>, EgressError> {
        let (head, body) = request.into_parts();
        let host = head.uri.host().unwrap().to_owned();
        if host == "silent.test" {
            return std::future::pending().await;
        }
        let body = body.collect().await?.to_bytes();
        self.sent.lock().unwrap().push(Sent { head, body: body.clone(), options });
        match error(&host) {
            Some(error) => Err(error),
            None if host == "broken.test" => {
                let broken = futures::stream::iter([
                    Ok(http_body::Frame::data(body)),
                    Err(EgressError::ResponseTooLarge(gestalt_core::limits::ByteSize(7))),
                ]);
                Ok(http::Response::new(http_body_util::StreamBody::new(broken).boxed_unsync()))
            }
            None => {
                let echo = http_body_util::Full::new(body).map_err(|e| match e {}).boxed_unsync();
                let cookie = ("set-cookie", "session=1; Path=/");
                Ok(http::Response::builder().status(201).header(cookie.0, cookie.1).body(echo).unwrap())
            }
        }
    }

    fn sidestepped(&self, sidestep: Sidestep, attribution: Attribution) {
        assert_eq!(attribution.subject.as_ref(), "user:anonymous");
        self.sidestepped.lock().unwrap().push(sidestep);
    }
}

/// Every egress error, by the host that provokes it.
pub(crate) fn error(host: &str) -> Option<EgressError> {
    let text = || "secret detail".to_owned();
    let size = gestalt_core::limits::ByteSize(5);
    Some(match host.strip_suffix(".error")? {
        "denied" => EgressError::Denied(gestalt_core::egress::DenyReason::HostNotAllowed),
        "uri" => EgressError::UriInvalid,
        "method" => EgressError::MethodInvalid,
        "dns" => EgressError::Dns,
        "dns-timeout" => EgressError::DnsTimeout,
        "address" => EgressError::AddressProhibited,
        "limit" => EgressError::ConnectionLimit,
        "connect" => EgressError::Connect(text()),
        "connect-timeout" => EgressError::ConnectTimeout,
        "certificate" => EgressError::TlsCertificate(text()),
        "tls" => EgressError::Tls(text()),
        "read-timeout" => EgressError::ReadTimeout,
        "request-size" => EgressError::RequestTooLarge(size),
        "response-size" => EgressError::ResponseTooLarge(size),
        "response-head" => EgressError::ResponseHeadTooLarge,
        "upgrade" => EgressError::Upgrade,
        "protocol" => EgressError::Protocol(text()),
        "closed" => EgressError::Closed(text()),
        other => panic!("no error is called {other}"),
    })
}

/// Waits until `done`, for something another task is about to do.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < give_up, "still not {what}");
        tokio::task::yield_now().await;
    }
}
