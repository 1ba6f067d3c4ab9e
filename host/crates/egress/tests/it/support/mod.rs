//! An app's client between a recording resolver, a recording sink and servers on loopback.

mod server;

pub(crate) use server::{Canary, Server, ok, read_head};

use async_trait::async_trait;
use bytes::Bytes;
use gestalt_core::AppName;
use gestalt_core::audit::{self, Record, Sink};
use gestalt_core::egress::{
    AllowedNetwork, Attribution, AuditAllowed, AuditSettings, Body, EgressError, Forward, Outbound, Rules, SendOptions,
    Settings,
};
use gestalt_core::host::{Host, HostPattern};
use gestalt_core::limits::EgressLimits;
use gestalt_core::metrics::{Event, Meter};
use gestalt_egress::{Clock, Egress, Explanation, Parts, Question, Resolver, SelfListeners};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// What a test sets up; the rest is defaulted.
pub(crate) struct Setup {
    pub(crate) hosts: Vec<&'static str>,
    pub(crate) rules: Rules,
    pub(crate) settings: Settings,
    pub(crate) limits: EgressLimits,
    /// Answers by name, one per query; the last one stays.
    pub(crate) names: Vec<(&'static str, Vec<&'static [&'static str]>)>,
    pub(crate) listeners: Arc<SelfListeners>,
    pub(crate) artifacts: Option<PathBuf>,
}

impl Setup {
    /// The policy of the attack catalogue, and its names on loopback.
    pub(crate) fn new() -> Self {
        Self {
            hosts: vec!["allowed.test", "*.wild.test"],
            rules: Rules { at: "config.yaml:7:5".into(), ..Rules::default() },
            // Every attempt has its record, so that each test can look at its own.
            settings: Settings {
                audit: AuditSettings { allowed: AuditAllowed::All, ..AuditSettings::default() },
                ..Settings::default()
            },
            limits: EgressLimits {
                connect_timeout: Duration::from_secs(5),
                first_byte_timeout: Duration::from_secs(5),
                idle_timeout: Duration::from_secs(5),
                total_timeout: Duration::from_secs(10),
                ..EgressLimits::default()
            },
            names: vec![("allowed.test", vec![&["127.0.0.2"]]), ("a.wild.test", vec![&["127.0.0.2"]])],
            listeners: Arc::default(),
            artifacts: None,
        }
    }

    pub(crate) fn hosts(mut self, hosts: &[&'static str]) -> Self {
        self.hosts = hosts.to_vec();
        self
    }

    pub(crate) fn name(mut self, name: &'static str, answers: &[&'static [&'static str]]) -> Self {
        self.names.retain(|(known, _)| *known != name);
        self.names.push((name, answers.to_vec()));
        self
    }

    pub(crate) fn rules(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(&mut self.rules);
        self
    }

    pub(crate) fn limits(mut self, change: impl FnOnce(&mut EgressLimits)) -> Self {
        change(&mut self.limits);
        self
    }

    pub(crate) fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Keeps a journal in this directory.
    pub(crate) fn artifacts(mut self, dir: &Path) -> Self {
        self.artifacts = Some(dir.to_owned());
        self
    }

    /// Lets requests reach this port of loopback, and nothing else there.
    pub(crate) fn reach(mut self, server: SocketAddr) -> Self {
        let network = AllowedNetwork::parse(&format!("{}:{}", server.ip(), server.port())).unwrap();
        self.settings.allowed_networks.push(network);
        self
    }

    /// What the operator is told about a request, with nothing sent.
    pub(crate) async fn explain(self, uri: &str) -> Explanation {
        let app = AppName::parse("probe").unwrap();
        let rules = Rules { allowed: allowing(&self.hosts).allowed, ..self.rules };
        let resolver: Option<Arc<dyn Resolver>> = Some(Arc::new(Names::new(self.names)));
        let (settings, listeners) = (&self.settings, self.listeners);
        Question { settings, app: &app, rules: &rules, listeners, resolver }.explain(&Method::GET, uri).await
    }

    pub(crate) fn build(self) -> Desk {
        let names = Arc::new(Names::new(self.names));
        let records = Arc::new(Records::default());
        let now = Arc::new(Mutex::new(Instant::now()));
        let clock: Clock = Arc::new({
            let now = Arc::clone(&now);
            move || *now.lock().unwrap()
        });
        let resolver: Arc<dyn Resolver> = names.clone();
        let meter = Arc::new(Events::default());
        let mut allowed = allowing(&self.hosts).allowed;
        let sentinel = (!allowed.is_empty()).then(sentinel);
        let mut settings = self.settings;
        if let Some(sentinel) = sentinel {
            allowed.extend(allowing(&["sentinel.test"]).allowed);
            settings.dns.hosts.insert(Host::parse("sentinel.test").unwrap(), vec![sentinel.ip()]);
            settings.allowed_networks.push(AllowedNetwork { net: sentinel.ip().into(), port: Some(sentinel.port()) });
        }
        let parts = Parts {
            resolver,
            sink: records.clone(),
            meter: meter.clone(),
            listeners: self.listeners,
            clock,
            artifacts: self.artifacts,
        };
        let egress = Egress::build(settings.clone(), parts).unwrap();
        let rules = Rules { allowed, ..self.rules };
        let client = egress.client(AppName::parse("probe").unwrap(), rules.clone(), self.limits.clone());
        Desk { egress, client, settings, rules, limits: self.limits, names, records, meter, now, sentinel }
    }
}

/// A server for all tests that accepts connections and hangs up. Its clients are told so by a failed handshake, which
/// is told apart from every refusal, and also where requests in the clear are refused.
fn sentinel() -> SocketAddr {
    static SENTINEL: OnceLock<SocketAddr> = OnceLock::new();
    *SENTINEL.get_or_init(|| {
        let listener = std::net::TcpListener::bind("127.0.0.99:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || listener.incoming().for_each(drop));
        address
    })
}

/// Rules that allow these hosts.
pub(crate) fn allowing(hosts: &[&str]) -> Rules {
    Rules::allowing(hosts.iter().map(|host| HostPattern::parse(host).unwrap()))
}

/// A resolver that knows some names and remembers all questions.
pub(crate) struct Names {
    answers: Mutex<HashMap<&'static str, VecDeque<&'static [&'static str]>>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    fn new(names: Vec<(&'static str, Vec<&'static [&'static str]>)>) -> Self {
        let answers = names.into_iter().map(|(name, answers)| (name, answers.into_iter().collect())).collect();
        Self { answers: Mutex::new(answers), asked: Mutex::default() }
    }
}

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(name.to_owned());
        let answer = {
            let mut answers = self.answers.lock().unwrap();
            let left = answers.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
            if left.len() > 1 { left.pop_front() } else { left.front().copied() }
        };
        match answer {
            Some(addresses) => Ok(addresses.iter().map(|ip| ip.parse().unwrap()).collect()),
            None => std::future::pending().await,
        }
    }
}

#[derive(Default)]
struct Records(Mutex<Vec<audit::Egress>>);

impl Sink for Records {
    fn record(&self, record: Record) {
        let Record::Egress(record) = record else { panic!("not an egress record") };
        self.0.lock().unwrap().push(record);
    }
}

/// A meter that keeps what it is told.
#[derive(Default)]
pub(crate) struct Events(Mutex<Vec<Event>>);

impl Meter for Events {
    fn record(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

/// A client and everything that watches it.
pub(crate) struct Desk {
    pub(crate) egress: Egress,
    pub(crate) client: Arc<dyn Outbound>,
    rules: Rules,
    limits: EgressLimits,
    /// What it was built with.
    pub(crate) settings: Settings,
    names: Arc<Names>,
    records: Arc<Records>,
    meter: Arc<Events>,
    now: Arc<Mutex<Instant>>,
    /// A server that is always allowed, when there is a list.
    pub(crate) sentinel: Option<SocketAddr>,
}

impl Desk {
    /// The same client as a proxy, and where it listens.
    pub(crate) fn forward(&self) -> (Arc<dyn Forward>, std::net::TcpListener) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let app = AppName::parse("probe").unwrap();
        (self.egress.forward(app, self.rules.clone(), self.limits.clone()), listener)
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response<Body>, EgressError> {
        let attribution = Attribution { invocation_id: "i-1".into(), subject: "user:u".into() };
        self.client.send(request, SendOptions { attribution, ..SendOptions::default() }).await
    }

    pub(crate) async fn get(&self, uri: &str) -> Result<Response<Body>, EgressError> {
        self.send(get(uri)).await
    }

    /// Sends and reads the whole answer.
    pub(crate) async fn fetch(&self, uri: &str) -> Result<(http::response::Parts, Bytes), EgressError> {
        let (head, body) = self.get(uri).await?.into_parts();
        Ok((head, body.collect().await?.to_bytes()))
    }

    /// Names the resolver was asked about since the last look.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.names.asked.lock().unwrap())
    }

    /// Records written since the last look.
    pub(crate) fn records(&self) -> Vec<audit::Egress> {
        std::mem::take(&mut *self.records.0.lock().unwrap())
    }

    /// Metric events since the last look.
    pub(crate) fn events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.meter.0.lock().unwrap())
    }

    /// The bounds that were reached since the last look, as the config spells them.
    pub(crate) fn bounds(&self) -> Vec<&'static str> {
        let bound = |event| if let Event::Limit { limit, .. } = event { Some(limit) } else { None };
        self.events().into_iter().filter_map(bound).collect()
    }

    pub(crate) fn pass(&self, time: Duration) {
        *self.now.lock().unwrap() += time;
    }

    /// Sends, and asserts the error, the one record with its reason, and that nobody was asked but `asked`.
    pub(crate) async fn refused(&self, request: Request<Body>, error: &str, reason: &str, asked: &[&str]) {
        let what = format!("{} {}", request.method(), request.uri());
        let failed = self.send(request).await.err().unwrap_or_else(|| panic!("{what} was answered"));
        assert_eq!(format!("{failed:?}"), error, "{what}");
        self.refusal_recorded(reason, &what);
        assert_eq!(self.asked(), asked, "{what}");
        if reason != "limit" {
            self.still_serves(&what).await;
        }
    }

    /// What was refused has taken nothing from the app that it needs for what is allowed.
    async fn still_serves(&self, what: &str) {
        let Some(sentinel) = self.sentinel else { return };
        let uri = format!("https://sentinel.test:{}/", sentinel.port());
        let error = self.get(&uri).await.expect_err("the sentinel hangs up");
        assert!(matches!(error, EgressError::Tls(_)), "{what}: {error:?}");
        assert_eq!((self.records().len(), self.asked()), (1, Vec::new()), "{what}");
    }

    pub(crate) fn refusal_recorded(&self, reason: &str, what: &str) {
        let records = self.records();
        assert_eq!(records.len(), 1, "{what}: {records:?}");
        assert_eq!(records[0].denied.map(|denied| denied.as_str()), Some(reason), "{what}");
        assert_eq!((&*records[0].invocation_id, &*records[0].subject), ("i-1", "user:u"));
        assert_eq!(records[0].count, 1);
    }
}

pub(crate) fn get(uri: &str) -> Request<Body> {
    request(Method::GET, uri, "")
}

pub(crate) fn request(method: Method, uri: &str, body: &'static str) -> Request<Body> {
    let body = Full::new(Bytes::from_static(body.as_bytes())).map_err(|never| match never {}).boxed_unsync();
    Request::builder().method(method).uri(uri).body(body).unwrap()
}

/// A body of unknown length: these chunks, then the end, or nothing more for ever.
pub(crate) fn streamed(chunks: &[&'static [u8]], ends: bool) -> Body {
    use futures::StreamExt;
    let chunks: Vec<_> = chunks.iter().map(|chunk| Ok(http_body::Frame::data(Bytes::from_static(chunk)))).collect();
    let chunks = futures::stream::iter(chunks);
    if ends {
        http_body_util::StreamBody::new(chunks).boxed_unsync()
    } else {
        http_body_util::StreamBody::new(chunks.chain(futures::stream::pending())).boxed_unsync()
    }
}
