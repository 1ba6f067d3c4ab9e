//! Whatever may be sent is sent for real: one listener for all of 127/8, and a resolver that gives every name an address
//! of its own.

use crate::texts::Random;
use crate::{obvious, seed, time};
use async_trait::async_trait;
use bytes::Bytes;
use gestalt_core::AppName;
use gestalt_core::audit::{Record, Sink};
use gestalt_core::egress::{AllowedNetwork, BlockedPorts, Body, Outbound, Rules, SendOptions, Settings};
use gestalt_core::host::{Host, HostPattern};
use gestalt_core::limits::EgressLimits;
use gestalt_core::metrics::{Event, Meter};
use gestalt_egress::{Egress, Parts, Resolver, Target};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Empty};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The app's whole network.
const ENTRIES: [&str; 4] = ["allowed.test", "*.wild.test", "127.0.0.77", "xn--bcher-kva.example"];

/// An address that stands for a name, and for no other that comes up.
fn address_of(name: &str) -> Ipv4Addr {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let [a, b, c, ..] = hasher.finish().to_be_bytes();
    Ipv4Addr::new(127, a | 1, b, c)
}

#[derive(Default)]
struct Names(Mutex<Vec<String>>);

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.0.lock().unwrap().push(name.to_owned());
        Ok(vec![address_of(name).into()])
    }
}

/// How many records there were, and how many of them were denials.
#[derive(Default)]
struct Records(Mutex<(u64, u64)>);

impl Sink for Records {
    fn record(&self, record: Record) {
        let Record::Egress(record) = record else { return };
        let mut seen = self.0.lock().unwrap();
        seen.0 += record.count;
        seen.1 += record.count * u64::from(record.denied.is_some());
    }
}

struct Unmetered;

impl Meter for Unmetered {
    fn record(&self, _: Event) {}
}

/// Where each connection was to, the `Host` that was said on it, and its first line as it came.
type Seen = Arc<Mutex<Vec<(IpAddr, String, Vec<u8>)>>>;

async fn listen() -> (u16, Seen) {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
    let (port, seen) = (listener.local_addr().unwrap().port(), Seen::default());
    let log = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, log.clone()));
        }
    });
    (port, seen)
}

async fn answer(mut stream: TcpStream, seen: Seen) {
    let to = stream.local_addr().unwrap().ip();
    let (mut head, mut piece) = (Vec::new(), [0; 4096]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece).await {
            Ok(length @ 1..) => head.extend_from_slice(&piece[..length]),
            _ => break,
        }
    }
    let line = head.split(|b| *b == b'\n').next().unwrap_or_default().to_vec();
    let head = String::from_utf8_lossy(&head).into_owned();
    let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    seen.lock().unwrap().push((to, host.to_owned(), line));
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
}

fn build(names: Arc<Names>, records: Arc<Records>, port: u16) -> (Egress, Arc<dyn Outbound>) {
    let mut settings = Settings { blocked_ports: BlockedPorts::None, ..Settings::default() };
    settings.dns.max_queries_per_minute = u32::MAX;
    settings.audit.max_records_per_minute = u32::MAX;
    settings.allowed_networks.push(AllowedNetwork::parse(&format!("127.0.0.0/8:{port}")).unwrap());
    let parts = Parts {
        resolver: names,
        sink: records,
        meter: Arc::new(Unmetered),
        listeners: Arc::default(),
        clock: Arc::new(Instant::now),
        artifacts: None,
    };
    let egress = Egress::build(settings, parts).unwrap();
    let limits = EgressLimits { requests_per_minute: u32::MAX, ..EgressLimits::default() };
    let rules = Rules::allowing(ENTRIES.map(|entry| HostPattern::parse(entry).unwrap()));
    let client = egress.client(AppName::parse("fuzz").unwrap(), rules, limits);
    (egress, client)
}

/// A URI with this authority and some path, as a component puts it together, or as text.
fn uri(random: &mut Random, authority: &str) -> Option<Uri> {
    let path = random.path();
    if random.below(2) == 0 {
        return format!("http://{authority}{path}").parse().ok();
    }
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(Authority::try_from(authority).ok()?);
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Uri::from_parts(parts).ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_dialled_is_what_was_matched() {
    let (names, records) = (Arc::new(Names::default()), Arc::new(Records::default()));
    let (port, seen) = listen().await;
    let (egress, client) = build(names.clone(), records.clone(), port);
    let (start, first, mut count, mut sent) = (Instant::now(), seed(), 0u64, 0u64);
    let mut tried = 0;
    while start.elapsed() < time() {
        let number = first.wrapping_add(count);
        count += 1;
        let mut random = Random::new(number);
        let text = random.host();
        let spelled = if random.below(3) == 0 { text.clone() } else { format!("{text}:{port}") };
        let Some(uri) = uri(&mut random, &spelled) else { continue };
        // Another port has no listener, and would be another host's business on this machine.
        if uri.port_u16() != Some(port) && Host::parse(uri.host().unwrap_or_default()).is_ok() {
            continue;
        }
        tried += 1;
        let body: Body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
        let method = [Method::GET, Method::DELETE, Method::OPTIONS][random.below(3)].clone();
        let checked = Target::parse(&method, &uri);
        let request = Request::builder().method(method.clone()).uri(uri.clone()).body(body).unwrap();
        let what = format!("GESTALT_FUZZ_SEED={number} {uri:?}");
        let result = client.send(request, SendOptions::default()).await;
        let asked = std::mem::take(&mut *names.0.lock().unwrap());
        match result {
            Ok(response) => {
                response.into_body().collect().await.unwrap_or_else(|e| panic!("{what}: {e}"));
                sent += 1;
                let connections = std::mem::take(&mut *seen.lock().unwrap());
                assert_eq!(connections.len(), 1, "{what}: {connections:?}");
                let (to, said, line) = &connections[0];
                let checked = checked.unwrap_or_else(|e| panic!("{what}: sent, and not checked: {e}"));
                let expect = format!("{method} {} HTTP/1.1\r", checked.text());
                assert_eq!(String::from_utf8_lossy(line), expect, "{what}: what is printed is not what was checked");
                assert!(
                    checked.text().starts_with('/') && checked.text().bytes().all(|b| b.is_ascii_graphic()),
                    "{what}"
                );
                let host = said.strip_suffix(&format!(":{port}")).unwrap_or_else(|| panic!("{what}: host {said:?}"));
                let matched = Host::parse(host).unwrap_or_else(|e| panic!("{what}: host {said:?} {e}"));
                assert!(ENTRIES.iter().any(|entry| obvious(entry, &matched)), "{what}: {said:?} is not on the list");
                match matched {
                    Host::Ip(ip) => assert_eq!((to, &asked[..]), (&ip, &[][..]), "{what}"),
                    Host::Name(name) => {
                        assert_eq!(asked, [name.to_string()], "{what}");
                        assert_eq!(*to, IpAddr::from(address_of(&name)), "{what}");
                    }
                }
            }
            Err(error) => {
                assert!(asked.is_empty(), "{what}: {error}: {asked:?}");
                assert!(seen.lock().unwrap().is_empty(), "{what}: {error}");
            }
        }
    }
    drop(client);
    egress.flush();
    println!(
        "{count} texts from seed {first}: {tried} requests, {sent} sent to {:?}",
        SocketAddr::from(([127, 0, 0, 0], port))
    );
    assert_eq!(
        *records.0.lock().unwrap(),
        (tried, tried - sent),
        "every attempt is in a record, every refusal a denial"
    );
    assert!(sent > 10 && tried > sent, "nothing was tried: {tried}, {sent}");
}
