//! The daemons of the namespace: one per kind of server configuration, each with an app of its own for every row, so
//! that what is recorded about an app was caused by its row.

use crate::row::{Row, rows};
use crate::{authority, native};
use gestalt_tests::examples::{app, package};
use gestalt_tests::{Client, Exit, Served, eventually, root};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, Once};
use tempfile::TempDir;

/// What `server.egress` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Nothing but what is listed.
    Strict,
    /// Everything where nothing is listed.
    Open,
    /// Some of what is never reached by default, lifted.
    Lifted,
    /// Three lookups and four records a minute.
    Frugal,
    /// A management listener on every address there is.
    Wide,
    /// Apps that are processes, on the published SDK.
    Native,
}

impl Kind {
    /// Every attempt has its record, so that each row can look at its own.
    fn server(self) -> &'static str {
        match self {
            Self::Strict | Self::Native => "defaultAction: deny, audit: {allowed: all}",
            Self::Open => "defaultAction: allow, audit: {allowed: all}",
            Self::Lifted => {
                "defaultAction: deny, audit: {allowed: all}, allowedNetworks: ['10.1.2.3/32:80', '[fd00:1::/64]:80'], dns: {hosts: {pinned.test: [93.184.216.77]}}"
            }
            Self::Frugal => {
                "defaultAction: deny, dns: {maxQueriesPerMinute: 3}, audit: {maxRecordsPerMinute: 4, allowed: all}"
            }
            Self::Wide => "defaultAction: deny, audit: {allowed: all}, allowedNetworks: ['0.0.0.0/0']",
        }
    }

    /// The listener for operators, where there is one apart.
    fn management(self) -> Option<SocketAddr> {
        match self {
            Self::Strict => Some(([127, 0, 0, 1], 9090).into()),
            Self::Wide => Some(([0, 0, 0, 0], 9091).into()),
            Self::Native => Some(([127, 0, 0, 1], 9092).into()),
            Self::Open | Self::Lifted | Self::Frugal => None,
        }
    }
}

/// Bounds small enough to be hit within a row's time.
const TEMPLATES: &str = "\
    tight: {timeout: 2s, cpuTime: 300ms, memory: 24MiB, handles: 256, result: 64KiB, resultDepth: 16, hostcallBytes: 1MiB, \
    concurrency: 2, queue: 1, queueTimeout: 500ms, logs: {perCall: 16KiB}}, \
    hasty: {egress: {connections: 4, connectTimeout: 1s, firstByteTimeout: 400ms, idleTimeout: 400ms, totalTimeout: 1s, \
    maxRequestBody: 64KiB, maxResponseBody: 256KiB, maxHeaderBytes: 16KiB, maxHeaders: 32}}, \
    slow: {egress: {requestsPerMinute: 5}}";

/// One daemon.
pub(crate) struct House {
    served: Served,
    /// Calls apps.
    pub(crate) client: Client,
    /// Asks after the daemon's health.
    pub(crate) operator: Client,
    /// Records that rows have accounted for, by app.
    pub(crate) expected: Mutex<BTreeMap<String, usize>>,
    packages: TempDir,
}

static OPEN: Mutex<BTreeMap<Kind, Arc<House>>> = Mutex::new(BTreeMap::new());

/// Runs what waits.
pub(crate) static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// The component that tries: the one inside of the daemon's binary.
pub(crate) fn corpus() -> PathBuf {
    root().join("host/src/verify/corpus.component")
}

/// The daemon of this kind, started when it is first asked for.
pub(crate) fn get(kind: Kind) -> Arc<House> {
    let mut open = OPEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    open.entry(kind).or_insert_with(|| Arc::new(start(kind))).clone()
}

/// Stops all of them and hands back how each ended.
pub(crate) fn close() -> Vec<(Kind, Exit, BTreeMap<String, usize>)> {
    let open = std::mem::take(&mut *OPEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    let stop = |(kind, house): (Kind, Arc<House>)| {
        let house = Arc::into_inner(house)?;
        house.served.signal(Signal::SIGTERM);
        let exit = RUNTIME.block_on(house.served.exit());
        Some((kind, exit, house.expected.into_inner().unwrap_or_default()))
    };
    open.into_iter().filter_map(stop).collect()
}

/// A daemon for one row only, once it is ready.
pub(crate) fn serve(config: &str) -> Served {
    RUNTIME.block_on(async {
        let served = Served::start(config);
        served.ready().await;
        served
    })
}

fn start(kind: Kind) -> House {
    let packages = tempfile::tempdir().unwrap();
    let ca = packages.path().join("ca.pem");
    std::fs::write(&ca, authority::pem()).unwrap();
    let manifest = package(&packages.path().join("corpus"), "entrypoint: {artifactPath: corpus.wasm}\nspec: {}\n", &[]);
    std::fs::copy(corpus(), manifest.with_file_name("corpus.wasm")).unwrap();
    let manifest = if kind == Kind::Native { native::hostile(&packages.path().join("hostile")) } else { manifest };
    let mut config = format!(
        "server:\n  egress: {{{}, caFile: {ca:?}}}\n\
         runtime:\n  providers:\n    wasm: {{driver: wasm, config: {{templates: {{{TEMPLATES}}}}}}}\napps:\n",
        kind.server(),
    );
    if let Some(address) = kind.management() {
        let (host, port) = (address.ip(), address.port());
        config = config.replacen("server:\n", &format!("server:\n  management: {{host: {host}, port: {port}}}\n"), 1);
    }
    let of_kind = rows().into_iter().filter(|row| row.house == kind);
    for Row { id, apps, .. } in of_kind {
        for (suffix, entry) in apps {
            config += &app(&format!("{id}{suffix}"), &manifest, entry);
        }
    }
    // Compiled once, before a hundred apps ask for it at the same time.
    static COMPILED: Once = Once::new();
    if kind != Kind::Native {
        COMPILED.call_once(|| drop(serve(&format!("apps:\n{}", app("first", &manifest, "")))));
    }
    RUNTIME.block_on(async {
        let served = Served::start(&config);
        let client = served.listening().await;
        let operator = kind.management().map_or(client, |address| Client::new(([127, 0, 0, 1], address.port()).into()));
        eventually("readiness", || async { (operator.get("/ready").await.code() == 200).then_some(()) }).await;
        House { served, client, operator, expected: Mutex::default(), packages }
    })
}

impl House {
    /// What is recorded about the outgoing requests of an app.
    pub(crate) fn records(&self, app: &str) -> Vec<Record> {
        records(&self.served.log(), app)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> i32 {
        self.served.pid()
    }

    /// Where its packages lie.
    pub(crate) fn packages(&self) -> &Path {
        self.packages.path()
    }

    /// What it keeps to itself: its configuration and what it prepares.
    pub(crate) fn secrets(&self) -> [PathBuf; 3] {
        ["base.yaml", "config.yaml", "artifacts"].map(|name| self.served.dir().join(name))
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.served.log()
    }
}

/// One audit record: its fields as the log spells them.
#[derive(Clone, Debug)]
pub(crate) struct Record(BTreeMap<String, String>);

impl Record {
    /// A field's value; empty when it is absent.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }
}

/// The egress records of an app in a log.
pub(crate) fn records(log: &str, app: &str) -> Vec<Record> {
    let audit = log.lines().filter_map(|line| line.split_once(" audit: audit ")).map(|(_, text)| Record(fields(text)));
    audit.filter(|r| r.field("source") == "egress" && r.field("provider") == app).collect()
}

/// `name=value` and `name="quoted \"value\""`, separated by spaces.
fn fields(mut text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    while let Some((name, rest)) = text.split_once('=') {
        let mut value = String::new();
        let mut rest = rest.chars();
        if rest.as_str().starts_with('"') {
            rest.next();
            while let Some(c) = rest.next().filter(|c| *c != '"') {
                value.extend(if c == '\\' { rest.next() } else { Some(c) });
            }
        } else {
            let end = rest.as_str().find(' ').unwrap_or(rest.as_str().len());
            value = rest.as_str()[..end].to_owned();
            rest = rest.as_str()[end..].chars();
        }
        found.insert(name.trim().to_owned(), value);
        text = rest.as_str();
    }
    found
}
