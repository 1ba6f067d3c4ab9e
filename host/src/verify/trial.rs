//! The dynamic part: the corpus, in the daemon of this binary, under the subject's rules.
//!
//! What is as the subject has it: its rules, `server.egress`, the bounds of its runtime. What is not: rates are lifted, so
//! that attempts do not hide each other; times are at most two seconds, so that it ends; names lead to listeners of this
//! process, and so `dns.hosts` and `proxyUrl` do not count; nothing secret is there to be lost.

use super::corpus::{self, Expect, Places, Row};
use super::subject::Subject;
use crate::bootstrap::{Daemon, Options};
use anyhow::Context;
use async_trait::async_trait;
use gestalt_config::{Deployment, Runtime};
use gestalt_core::audit::{Egress, Record, Sink};
use gestalt_core::egress::{AllowedNetwork, AuditAllowed, AuditSettings, Settings};
use gestalt_core::limits::Limits;
use gestalt_core::{Origin, Params, Principal};
use gestalt_egress::Resolver;
use gestalt_invoke::{AppState, Invocation, Problem};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The longest any one attempt takes, whatever the app's own bounds are.
const PATIENCE: Duration = Duration::from_secs(2);

/// What became of one attempt.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// As in the catalogue.
    pub id: &'static str,
    /// What was tried.
    pub attack: &'static str,
    /// What the guest was told, what was recorded, and who heard of it.
    pub seen: String,
    /// Whether the boundary held.
    pub holds: bool,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the world hears: questions, connections, records.
#[derive(Default)]
pub(super) struct World {
    pub(super) names: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    pub(super) asked: Mutex<Vec<String>>,
    pub(super) arrived: Mutex<Vec<Arrival>>,
    pub(super) records: Mutex<Vec<Egress>>,
}

/// One connection to a listener of the trial.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) at: SocketAddr,
    /// What came first, up to the end of a request's head.
    pub(super) head: String,
}

#[async_trait]
impl Resolver for World {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let times = {
            let mut asked = lock(&self.asked);
            asked.push(name.to_owned());
            asked.iter().filter(|known| *known == name).count()
        };
        let names = lock(&self.names);
        let answers = names.get(name).filter(|answers| !answers.is_empty());
        let answers = answers.ok_or_else(|| io::Error::other("no such name"))?;
        Ok(answers[(times - 1).min(answers.len() - 1)].clone())
    }
}

impl Sink for World {
    fn record(&self, record: Record) {
        if let Record::Egress(record) = record {
            lock(&self.records).push(record);
        }
    }
}

/// Runs all of the corpus.
///
/// # Errors
/// When the daemon of the trial does not start, or its guest does not.
pub async fn run(subject: &Subject, scratch: &Path) -> anyhow::Result<Vec<Outcome>> {
    let world = Arc::new(World::default());
    let open = listen(world.clone()).await?;
    let closed = listen(world.clone()).await?;
    let deployment = deployment(subject, scratch, open)?;
    let app = subject.app().map(|app| app.name.to_string()).unwrap_or_default();
    let options = Options { resolver: Some(world.clone()), audit: Some(world.clone()), ..Options::default() };
    let daemon = Daemon::start(deployment, options).await.context("the daemon of the trial")?;
    daemon.ready().await;
    for (name, _, state) in daemon.invoker().apps().list() {
        if let AppState::Failed(reason) = state {
            anyhow::bail!("the corpus does not start as {name}: {reason}");
        }
    }
    let places = Places { open, closed, own: daemon.public_address() };
    let trial = Trial { daemon, world, app, open };
    let mut outcomes = Vec::new();
    for row in corpus::rows(subject, places) {
        outcomes.push(trial.attempt(row).await);
    }
    trial.daemon.shutdown().await;
    Ok(outcomes)
}

/// The subject's configuration, as far as it counts, around the corpus.
fn deployment(subject: &Subject, scratch: &Path, open: SocketAddr) -> anyhow::Result<Deployment> {
    let package = scratch.join("corpus");
    std::fs::create_dir_all(&package)?;
    std::fs::write(package.join("corpus.wasm"), corpus::COMPONENT)?;
    let manifest = "kind: app\nsource: github.com/gestaltd/verify/corpus\nversion: 0.0.0\n\
        entrypoint: {artifactPath: corpus.wasm}\nspec: {}\n";
    std::fs::write(package.join("manifest.yaml"), manifest)?;
    let name = subject.app().map_or("corpus", |app| app.name.as_str());
    let config = format!(
        "apiVersion: gestaltd.config/v6\nserver: {{encryptionKey: {}}}\napps:\n  {name}: {{source: {{path: corpus/manifest.yaml}}}}\n",
        "0".repeat(64)
    );
    let file = scratch.join("config.yaml");
    std::fs::write(&file, config)?;
    let loaded = gestalt_config::load(&[file], gestalt_config::Mode::Strict, &gestalt_config::ProcessEnv);
    let mut ours = loaded.map_err(|problems| anyhow::anyhow!("configuration of the trial\n{problems}"))?;

    ours.server.public = (Ipv4Addr::LOCALHOST, 0).into();
    ours.server.artifacts_dir = scratch.to_owned();
    ours.server.egress = settings(subject, open);
    ours.server.default_runtime.clone_from(&subject.deployment.server.default_runtime);
    ours.runtimes.clone_from(&subject.deployment.runtimes);
    for runtime in ours.runtimes.values_mut() {
        if let Runtime::Wasm(wasm) = runtime {
            std::iter::once(&mut wasm.defaults).chain(wasm.templates.values_mut()).for_each(hasten);
        }
    }
    for app in ours.apps.values_mut() {
        app.egress = subject.rules();
        app.egress.credentials.clear();
        // Where declared requests and their like run is the daemon itself, and has no bounds of its own to take over.
        let placed = subject.app().filter(|_| subject.component.is_some());
        app.placement = placed.and_then(|app| app.placement.clone());
    }
    Ok(ours)
}

/// The subject's `server.egress`, as far as it counts, and a way to `open`.
pub(super) fn settings(subject: &Subject, open: SocketAddr) -> Settings {
    let mut egress = subject.deployment.server.egress.clone();
    egress.allowed_networks.push(AllowedNetwork { net: open.ip().into(), port: Some(open.port()) });
    egress.proxy = None;
    egress.dns.hosts.clear();
    egress.dns.max_queries_per_minute = u32::MAX;
    egress.audit = AuditSettings { max_records_per_minute: u32::MAX, allowed: AuditAllowed::All };
    egress
}

/// Times an operator can wait for, and no rate that one attempt could use up for the next.
fn hasten(limits: &mut Limits) {
    limits.timeout = limits.timeout.min(PATIENCE);
    limits.cpu_time = limits.cpu_time.min(PATIENCE / 4);
    limits.breaker.traps = u32::MAX;
    limits.egress.requests_per_minute = u32::MAX;
    limits.log_per_minute = limits.log_per_minute.max(limits.log_per_call);
}

struct Trial {
    daemon: Daemon,
    world: Arc<World>,
    app: String,
    open: SocketAddr,
}

/// What came of one call.
struct Seen {
    /// The guest's report, or why there is none.
    report: Result<Value, String>,
    asked: Vec<String>,
    arrived: Vec<Arrival>,
    records: Vec<Egress>,
}

impl Trial {
    async fn attempt(&self, row: Row) -> Outcome {
        *lock(&self.world.names) = row.names.iter().cloned().collect();
        let seen = self.call(&row.attempt).await;
        let mut holds = seen.is(&row.expect, self.open);
        let mut text = seen.describe();
        // Whatever came of it, the next call finds everything in order.
        let next = self.call(&json!({"act": "context"})).await;
        if next.report.is_err() {
            holds = false;
            text += "; and the app is out of order";
        }
        Outcome { id: row.id, attack: row.attack, seen: text, holds }
    }

    async fn call(&self, attempt: &Value) -> Seen {
        lock(&self.world.asked).clear();
        lock(&self.world.arrived).clear();
        lock(&self.world.records).clear();
        let report = match Params::parse(&attempt.to_string()) {
            Err(error) => Err(error.to_string()),
            Ok(params) => {
                let invocation = Invocation {
                    principal: Arc::new(Principal::anonymous()),
                    app: self.app.clone(),
                    operation: "attempt".to_owned(),
                    connection: None,
                    instance: None,
                    params,
                    idempotency_key: String::new(),
                    origin: Origin::Http,
                    request: Arc::default(),
                    deadline: Instant::now() + 4 * PATIENCE,
                    parent: None,
                };
                match self.daemon.invoker().invoke(invocation).await {
                    Ok(reply) => serde_json::from_slice(&reply.body).map_err(|error| error.to_string()),
                    Err(error) => Err(Problem::from(&error).message),
                }
            }
        };
        let (asked, arrived) = (lock(&self.world.asked).clone(), lock(&self.world.arrived).clone());
        Seen { report, asked, arrived, records: lock(&self.world.records).clone() }
    }
}

impl Seen {
    fn error(&self) -> Option<&str> {
        self.report.as_ref().ok()?["error"].as_str()
    }

    /// The one refusal on record, when there is one and nothing else.
    fn reason(&self) -> Option<&'static str> {
        match self.records.as_slice() {
            [record] if record.count == 1 => record.denied.map(|reason| reason.as_str()),
            _ => None,
        }
    }

    fn is_silent(&self) -> bool {
        self.asked.is_empty() && self.arrived.is_empty()
    }

    fn is(&self, expect: &Expect, open: SocketAddr) -> bool {
        let denied = |error: &str, reason: &str| self.error() == Some(error) && self.reason() == Some(reason);
        match expect {
            Expect::Invalid => {
                let spoken = matches!(self.reason(), Some("uri_invalid" | "method_invalid" | "scheme_invalid"));
                self.error().is_some() && self.is_silent() && (self.records.is_empty() || spoken)
            }
            Expect::Denied { error, reason } => self.is_silent() && denied(error, reason),
            Expect::Prohibited => {
                let quiet = self.asked.len() == 1 && self.arrived.is_empty();
                quiet && denied("DestinationIpProhibited", "address_prohibited")
            }
            Expect::Reached { host, status } => {
                let told = format!("host: {host}\r\n");
                let [arrival] = self.arrived.as_slice() else { return false };
                let clean = arrival.head.matches("host: ").count() == 1 && !arrival.head.contains("evil");
                let answered = self.report.as_ref().is_ok_and(|report| report["status"] == *status);
                answered && clean && arrival.at == open && arrival.head.contains(&told) && self.asked.len() == 1
            }
            Expect::Encrypted => {
                let [arrival] = self.arrived.as_slice() else { return false };
                self.error().is_some() && arrival.at == open && !arrival.head.contains("HTTP/1.1")
            }
            Expect::Nothing => self.error().is_some() && self.is_silent(),
            Expect::Report(report) => self.report.as_ref() == Ok(report) && self.is_silent(),
            Expect::Bounded => {
                let limits = |message: &String| message.contains("exceeded its") || message.contains("timed out");
                self.is_silent() && (self.error() == Some("refused") || self.report.as_ref().is_err_and(limits))
            }
            Expect::Stopped(limit) => {
                self.is_silent() && self.report.as_ref().is_err_and(|message| message.contains(limit))
            }
        }
    }

    /// In a line.
    fn describe(&self) -> String {
        let mut parts = vec![match &self.report {
            Ok(report) => match (report["error"].as_str(), report["status"].as_u64()) {
                (Some(error), _) => error.to_owned(),
                (_, Some(status)) => format!("answered {status}"),
                _ => report.to_string(),
            },
            Err(message) => message.clone(),
        }];
        parts.extend(heard(&self.records, &self.asked, &self.arrived));
        parts.join("; ")
    }
}

/// What the world heard, in a few words each.
pub(super) fn heard(records: &[Egress], asked: &[String], arrived: &[Arrival]) -> Vec<String> {
    let told = records.iter().map(|record| match record.denied {
        Some(reason) => format!("recorded as {}", reason.as_str()),
        None => "recorded as allowed".to_owned(),
    });
    let asked = (!asked.is_empty()).then(|| format!("asked for {}", asked.join(", ")));
    told.chain(asked).chain(arrived.iter().map(|arrival| format!("connected to {}", arrival.at))).collect()
}

/// A listener on loopback that remembers who came.
pub(super) async fn listen(world: Arc<World>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let at = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(welcome(stream, at, world.clone()));
        }
    });
    Ok(at)
}

async fn welcome(mut stream: TcpStream, at: SocketAddr, world: Arc<World>) {
    let (mut head, mut chunk) = (Vec::new(), [0; 1024]);
    // A handshake has no end of a head: its first bytes are enough.
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.first() != Some(&0x16) && head.len() < 64 << 10 {
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(length) => head.extend_from_slice(&chunk[..length]),
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let redirected = head.starts_with("GET /redirect ");
    lock(&world.arrived).push(Arrival { at, head });
    let answer: &[u8] = if redirected {
        b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"
    } else {
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    };
    let _ = stream.write_all(answer).await;
}
