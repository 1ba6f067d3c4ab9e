//! The dynamic part for native apps: the corpus as a program in the app's own cell, under the app's rules.
//!
//! What is as the app has it: its view, its limits, its rules, `server.egress`. What is not: the program, which is this
//! binary, shown read-only; where names lead; and rates, which are lifted.

use super::attacker::{Attempt, COMMAND};
use super::corpus::{self, Places};
use super::native_corpus::{self, Expect, Ground, Row};
use super::subject::Subject;
use super::trial::{self, Arrival, Outcome, World, lock};
use super::{Tried, Unmetered};
use crate::bootstrap::{confine, egress, this_binary};
use anyhow::Context;
use gestalt_confine::{Cell, Confiner, Limits, Place, View};
use gestalt_core::audit::Egress;
use gestalt_core::egress::{Forward, Sandbox};
use gestalt_core::limits::EgressLimits;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep, timeout};

/// Where the hostile program is seen: a place that no package is at.
const PROGRAM: &str = "/verify-egress/attacker";

/// The longest any one attempt takes. Each ends by itself before that.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a record may take that belongs to what a program has been told already.
const SETTLED: Duration = Duration::from_secs(2);

/// Runs all of the corpus.
///
/// # Errors
/// When it cannot be found out what the machine can do, or the program does not run.
pub async fn run(subject: &Subject, scratch: &Path) -> anyhow::Result<Tried> {
    let (app, root) = subject.app().zip(subject.root.as_deref()).context("there is no package to make a cell for")?;
    if app.egress.sandbox == Sandbox::Off {
        return Ok(Tried::nothing(
            "egress.sandbox is off: its process has the machine's network and files.".to_owned(),
        ));
    }
    if !confine::is_restricted(app, &subject.deployment) {
        let note = "Nothing is listed and the default is to allow: its process is not confined at all.";
        return Ok(Tried::nothing(note.to_owned()));
    }
    let confiner = confine::find_out(&this_binary()).await?;
    let missing = confiner.means().missing();
    let required = app.egress.sandbox == Sandbox::Required;
    if !missing.is_empty() && (required || !confiner.means().has_namespaces()) {
        let what = if required { "It would not be started" } else { "Its process would have the machine's network" };
        return Ok(Tried::nothing(format!("{what}: this machine lacks {}.", missing.join("; "))));
    }
    let mut view = confine::view(&subject.whole, app, root)?;
    let ground = ground(subject, &confiner, &view, root, scratch).await?;
    let program = std::fs::canonicalize("/proc/self/exe").context("the binary of this process")?;
    view.read.push(Place { at: PROGRAM.into(), real: program });
    let sockets = scratch.join("sockets");
    std::fs::create_dir_all(&sockets)?;
    view.sockets = Some(sockets.canonicalize()?);

    let mut server = subject.deployment.server.clone();
    server.artifacts_dir = scratch.to_owned();
    server.egress = trial::settings(subject, ground.open);
    server.egress.connect.ports.push(ground.open.port());
    let world = ground.world.clone();
    let way = egress::build(&server, world.clone(), world.clone(), Arc::new(Unmetered), vec![ground.own])?;
    let limits = EgressLimits { requests_per_minute: u32::MAX, ..EgressLimits::default() };
    let mut rules = subject.rules();
    rules.credentials.clear();
    let forward = way.forward(app.name.clone(), rules, limits);
    let trial = Trial { confiner, forward, world, view, required, open: ground.open };
    let mut outcomes = Vec::new();
    for row in native_corpus::rows(subject, &ground.tried) {
        outcomes.push(trial.attempt(row).await?);
    }
    way.flush();
    let notes = missing.iter().map(|wall| format!("A wall does not stand: {wall}.")).collect();
    Ok(Tried { outcomes, notes, is_whole: missing.is_empty() })
}

/// Who listens, for as long as the trial lasts.
struct Grounds {
    world: Arc<World>,
    open: SocketAddr,
    own: SocketAddr,
    tried: Ground,
    _sockets: [UnixListener; 2],
}

async fn ground(
    subject: &Subject,
    confiner: &Confiner,
    view: &View,
    root: &Path,
    scratch: &Path,
) -> anyhow::Result<Grounds> {
    let world = Arc::new(World::default());
    let [open, closed, own] =
        [trial::listen(world.clone()).await?, trial::listen(world.clone()).await?, trial::listen(world.clone()).await?];
    let (file, name) = (scratch.join("local.sock"), format!("gestaltd-verify-{}", uuid::Uuid::new_v4()));
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name)?;
    let listeners = [UnixListener::bind(&file)?, UnixListener::bind_addr(&address)?];
    std::fs::write(scratch.join("secret"), "secret")?;
    // What is shown on purpose, or has to be there for what is, is no secret.
    let is_secret = |path: &PathBuf| !view.read.iter().any(|place| place.at.starts_with(path));
    let mut secret = subject.whole.files();
    secret.extend([scratch.join("secret"), scratch.to_owned(), subject.whole.server.artifacts_dir.clone()]);
    secret.extend(subject.neighbours());
    let secret: BTreeSet<PathBuf> =
        secret.iter().filter_map(|path| path.canonicalize().ok()).filter(is_secret).collect();
    let machine = ["/etc/shadow", "/etc/ssl/private", "/root", "/var/lib", "/run/user", "/boot", "/sys/kernel"];
    let allowed = corpus::allowed_name(subject);
    let hellos = match &allowed {
        Some(name) => [hello(name)?, hello("verify-egress.invalid")?],
        None => Default::default(),
    };
    let tried = Ground {
        places: Places { open, closed, own },
        secret: secret.into_iter().take(MOST_SECRETS).collect(),
        machine: machine.map(PathBuf::from).into_iter().filter(is_secret).collect(),
        sockets: (file, name),
        package: root.canonicalize()?,
        allowed,
        unlisted: corpus::unlisted_name(subject).map(str::to_owned),
        hellos,
        counts: confiner.means().groups.is_none(),
    };
    Ok(Grounds { world, open, own, tried, _sockets: listeners })
}

/// Of a deployment's files and packages, as many are tried.
const MOST_SECRETS: usize = 32;

/// How a TLS handshake with `name` begins.
fn hello(name: &str) -> anyhow::Result<Vec<u8>> {
    let config =
        rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from(name.to_owned())?;
    let mut bytes = Vec::new();
    rustls::ClientConnection::new(Arc::new(config), name)?.write_tls(&mut bytes)?;
    Ok(bytes)
}

struct Trial {
    confiner: Arc<Confiner>,
    forward: Arc<dyn Forward>,
    world: Arc<World>,
    view: View,
    required: bool,
    open: SocketAddr,
}

/// What came of one attempt.
struct Seen {
    /// The program's report, or why there is none.
    report: Result<Value, String>,
    asked: Vec<String>,
    arrived: Vec<Arrival>,
    records: Vec<Egress>,
}

impl Trial {
    async fn attempt(&self, row: Row) -> anyhow::Result<Outcome> {
        *lock(&self.world.names) = row.name.iter().map(|(name, ips)| (name.clone(), vec![ips.clone()])).collect();
        lock(&self.world.asked).clear();
        lock(&self.world.arrived).clear();
        lock(&self.world.records).clear();
        let seen = self.run(&row).await?;
        let holds = seen.is(&row.expect, self.open);
        Ok(Outcome { id: row.id, attack: row.attack, seen: seen.describe(), holds })
    }

    async fn run(&self, row: &Row) -> anyhow::Result<Seen> {
        let cell = Cell {
            program: PROGRAM.into(),
            args: vec![COMMAND.into(), attempt(&row.attempt)?.into()],
            workdir: "/".into(),
            env: BTreeMap::new(),
            view: self.view.clone(),
            limits: Limits::provider(),
            required: self.required,
            collect: None,
        };
        let (mut command, gate) = self.confiner.gate(cell)?;
        command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().context("starting the sandbox")?;
        drop(command);
        let mut out = child.stdout.take().context("standard output of the sandbox")?.take(64 << 10);
        let mut passage = gate.pass(child.id()).await?;
        let proxy = passage.listener().map(|listener| {
            let forward = self.forward.clone();
            tokio::spawn(async move { forward.run(listener).await })
        });
        let mut text = String::new();
        let report = match timeout(PATIENCE, out.read_to_string(&mut text)).await {
            Ok(Ok(_)) => serde_json::from_str(&text).map_err(|_| format!("no report: {text:?}")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("did not end within {PATIENCE:?}")),
        };
        self.settle(&row.expect).await;
        if let Some(proxy) = proxy {
            proxy.abort();
        }
        drop(passage);
        let _ = timeout(PATIENCE, child.wait()).await;
        let (asked, arrived) = (lock(&self.world.asked).clone(), lock(&self.world.arrived).clone());
        Ok(Seen { report, asked, arrived, records: lock(&self.world.records).clone() })
    }

    /// Waits for what is written down only after the program was told.
    async fn settle(&self, expect: &Expect) {
        let (records, arrivals) = match expect {
            Expect::Refused(..) | Expect::Prohibited => (1, 0),
            Expect::Reached | Expect::Unheard => (1, 1),
            _ => (0, 0),
        };
        let until = Instant::now() + SETTLED;
        let is_there = || lock(&self.world.records).len() >= records && lock(&self.world.arrived).len() >= arrivals;
        while !is_there() && Instant::now() < until {
            sleep(Duration::from_millis(5)).await;
        }
    }
}

fn attempt(attempt: &Attempt) -> anyhow::Result<String> {
    Ok(serde_json::to_string(attempt)?)
}

impl Seen {
    fn done(&self) -> &Value {
        self.report.as_ref().map_or(&Value::Null, |report| &report["done"])
    }

    fn error(&self) -> Option<&str> {
        self.report.as_ref().ok()?["error"].as_str()
    }

    fn is_silent(&self) -> bool {
        self.asked.is_empty() && self.arrived.is_empty() && self.records.is_empty()
    }

    /// Whether the proxy answered so, and there is one record, with one of these reasons.
    fn is_refused(&self, status: u16, reasons: &[&str]) -> bool {
        let [record] = self.records.as_slice() else { return false };
        let reason = record.denied.map(|reason| reason.as_str());
        self.arrived.is_empty() && self.done()["status"] == status && reason.is_some_and(|is| reasons.contains(&is))
    }

    fn is(&self, expect: &Expect, open: SocketAddr) -> bool {
        match expect {
            Expect::Fails(errors) => self.is_silent() && self.error().is_some_and(|error| errors.contains(&error)),
            Expect::Unread => self.is_silent() && (self.error().is_some() || *self.done() == 0),
            Expect::Works => self.is_silent() && !self.done().is_null() && *self.done() != 0,
            Expect::Only(names) => {
                let listed = self.done().as_array().map(|list| list.iter().filter_map(Value::as_str).collect());
                self.is_silent() && listed == Some(names.iter().map(String::as_str).collect::<BTreeSet<_>>())
            }
            Expect::AtMost(most, end) => {
                let count = self.done()["count"].as_u64();
                self.is_silent() && count.is_some_and(|count| count <= *most) && self.done()["end"] == *end
            }
            Expect::Refused(status, reasons) => self.asked.is_empty() && self.is_refused(*status, reasons),
            Expect::Prohibited => self.asked.len() == 1 && self.is_refused(403, &["address_prohibited"]),
            Expect::Reached => {
                let ([arrival], [record]) = (self.arrived.as_slice(), self.records.as_slice()) else { return false };
                let there = arrival.at == open && !arrival.head.is_empty() && self.asked.len() == 1;
                there && record.denied.is_none() && self.done()["status"] == 200
            }
            Expect::Unheard => {
                let ([arrival], [record]) = (self.arrived.as_slice(), self.records.as_slice()) else { return false };
                arrival.at == open && arrival.head.is_empty() && record.denied.is_some()
            }
        }
    }

    /// In a line.
    fn describe(&self) -> String {
        let mut parts = vec![match (&self.report, self.error()) {
            (Err(why), _) => why.clone(),
            (_, Some(error)) => error.to_owned(),
            _ => self.done().to_string(),
        }];
        parts.extend(trial::heard(&self.records, &self.asked, &self.arrived));
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_attempt_that_works_is_no_wall() {
        let open: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let seen = |report: Value| Seen { report: Ok(report), asked: vec![], arrived: vec![], records: vec![] };
        let names = || Expect::Only(vec!["A".into(), "B".into()]);
        for (expect, report, holds) in [
            (Expect::Fails(&["EPERM"]), json!({"error": "EPERM"}), true),
            (Expect::Fails(&["EPERM"]), json!({"error": "ENOENT"}), false),
            (Expect::Fails(&["EPERM"]), json!({"done": "made"}), false),
            (Expect::Unread, json!({"error": "ENOENT"}), true),
            (Expect::Unread, json!({"done": 0}), true),
            (Expect::Unread, json!({"done": 7}), false),
            (Expect::Unread, json!({"done": ["192.0.2.1"]}), false),
            (Expect::Works, json!({"done": 7}), true),
            (Expect::Works, json!({"done": 0}), false),
            (Expect::Works, json!({"error": "EACCES"}), false),
            (names(), json!({"done": ["B", "A"]}), true),
            (names(), json!({"done": ["A", "B", "KEY"]}), false),
            (Expect::AtMost(9, "EAGAIN"), json!({"done": {"count": 9, "end": "EAGAIN"}}), true),
            (Expect::AtMost(9, "EAGAIN"), json!({"done": {"count": 10, "end": "EAGAIN"}}), false),
            (Expect::AtMost(9, "EAGAIN"), json!({"done": {"count": 9, "end": null}}), false),
            // Without a record, and without anybody who heard of it.
            (Expect::Refused(403, &["host_not_allowed"]), json!({"done": {"status": 403}}), false),
            (Expect::Prohibited, json!({"done": {"status": 403}}), false),
            (Expect::Reached, json!({"done": {"status": 200}}), false),
            (Expect::Unheard, json!({"done": {"status": 200}}), false),
        ] {
            assert_eq!(seen(report.clone()).is(&expect, open), holds, "{expect:?}: {report}");
            let heard = Seen { asked: vec!["evil.invalid".into()], ..seen(report) };
            assert!(!heard.is(&expect, open), "{expect:?}, and a name server was asked");
        }
        let silent = Seen { report: Err("no report".into()), ..seen(Value::Null) };
        for expect in [Expect::Fails(&["EPERM"]), Expect::Unread, Expect::Works, names()] {
            assert!(!silent.is(&expect, open), "{expect:?}: nobody knows");
        }
    }
}
