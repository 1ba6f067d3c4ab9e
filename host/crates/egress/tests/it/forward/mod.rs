//! The way out as a proxy: row E12, and who is let in. `tunnels` has rows N10–N13, and the bounds of tunnels.

mod tunnels;

use crate::support::{Desk, Server, Setup, ok, read_head};
use gestalt_core::audit;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// An app's proxy, on a socket that stands for the one inside of its network.
struct Proxy {
    desk: Desk,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    fn launch(desk: Desk) -> Self {
        let (forward, listener) = desk.forward();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { forward.run(listener).await.unwrap() });
        Self { desk, address, task }
    }

    /// As `setup` says, with tunnels to this server's port.
    fn before(server: &Server, setup: Setup) -> Self {
        let port = server.address().port();
        let setup = setup.reach(server.address()).settings(|settings| settings.connect.ports = vec![443, port]);
        Self::launch(setup.build())
    }

    #[expect(clippy::disallowed_methods, reason = "what the app does, which can reach nothing else")]
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends one request; its answer's status and body.
    async fn ask(&self, request: &str) -> (u16, String) {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{request:?}: {answer:?}"));
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    async fn get(&self, uri: &str) -> (u16, String) {
        self.ask(&format!("GET {uri} HTTP/1.1\r\nhost: evil.test\r\nconnection: close\r\n\r\n")).await
    }

    /// A tunnel, or the status of the refusal and its text.
    async fn tunnel(&self, authority: &str) -> Result<TcpStream, (u16, String)> {
        let mut stream = self.connect().await;
        let request = format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let read = stream.read_u8().await;
            head.push(read.unwrap_or_else(|error| panic!("{authority}: {error}: {}", String::from_utf8_lossy(&head))));
        }
        let head = String::from_utf8(head).unwrap();
        let status = head[9..12].parse().unwrap();
        if status == 200 {
            return Ok(stream);
        }
        let length = head.to_lowercase();
        let length =
            length.split_once("content-length: ").map_or(0, |(_, rest)| rest.lines().next().unwrap().parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        Err((status, String::from_utf8(body).unwrap()))
    }

    /// The next record, once it is written.
    async fn record(&self) -> audit::Egress {
        let wait = async {
            loop {
                if let Some(record) = self.desk.records().pop() {
                    return record;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.expect("a record")
    }
}

/// What a client that wants to talk to `name` begins with.
fn hello(name: &str, sni: bool) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    config.enable_sni = sni;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut bytes = Vec::new();
    ClientConnection::new(Arc::new(config), name).unwrap().write_tls(&mut bytes).unwrap();
    bytes
}

/// Reports all it gets, and answers `seen`.
async fn listening() -> Server {
    Server::start("127.0.0.2", |mut stream, reports| async move {
        let mut all = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(length) => {
                    all.extend_from_slice(&chunk[..length]);
                    let _ = stream.write_all(b"seen").await;
                }
            }
        }
        let _ = reports.send(format!("{} bytes", all.len()));
    })
    .await
}

#[tokio::test]
async fn requests_in_absolute_form_go_the_way_of_all_others() {
    let mut server = Server::answering("127.0.0.2", ok()).await;
    let proxy = Proxy::before(&server, Setup::new());
    let uri = server.uri("ALLOWED.test", "/x?y");
    assert_eq!(proxy.get(&uri).await, (200, "ok".to_owned()));
    let seen = server.report().await;
    assert!(seen.starts_with("GET /x?y HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains(&format!("host: allowed.test:{}\r\n", server.address().port())) && !seen.contains("evil"));
    let record = proxy.record().await;
    assert_eq!((record.host.as_str(), record.method.as_str(), record.denied), ("allowed.test", "GET", None));

    let post = format!(
        "POST {uri} HTTP/1.1\r\nhost: x\r\nproxy-authorization: Basic eDp5\r\nx-forwarded-for: 1.2.3.4\r\n\
         content-length: 4\r\nconnection: close\r\n\r\nbody"
    );
    assert_eq!(proxy.ask(&post).await.0, 200);
    let seen = server.report().await;
    assert!(seen.starts_with("POST /x?y") && seen.contains("content-length: 4\r\n"), "{seen}");
    assert!(!seen.contains("eDp5") && !seen.contains("1.2.3.4"), "{seen}");
}

#[tokio::test]
async fn refusals_say_what_the_app_may_know() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let setup = Setup::new().name("far.wild.test", &[&["10.0.0.1"]]).name("dead.wild.test", &[&["127.0.0.3"]]);
    let dead = SocketAddr::from(([127, 0, 0, 3], server.address().port()));
    let proxy = Proxy::before(&server, setup.reach(dead));
    for (uri, status, text) in [
        ("http://evil.test/", 403, "request denied: host_not_allowed\n"),
        ("http://allowed.test:25/", 403, "request denied: port_blocked\n"),
        ("http://far.wild.test/", 403, "destination address is prohibited\n"),
        ("http://unknown.wild.test/", 502, "name resolution failed\n"),
        ("/relative", 400, "request URI is invalid\n"),
        ("http://user@allowed.test/", 400, "request URI is invalid\n"),
    ] {
        assert_eq!(proxy.get(uri).await, (status, text.to_owned()), "{uri}");
    }
    let dead = format!("http://dead.wild.test:{}/", dead.port());
    assert_eq!(proxy.get(&dead).await, (502, "connection failed: connection refused\n".to_owned()));
    let trace = "TRACE http://allowed.test/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_eq!(proxy.ask(trace).await.0, 400);
    assert_eq!(server.accepted(), 0);
}

/// Both ways, and a component's: one answer.
#[tokio::test]
async fn e12_http_and_connect_give_one_answer() {
    let server = listening().await;
    let setup = Setup::new()
        .settings(|settings| settings.audit.max_records_per_minute = 1000)
        .name("private.wild.test", &[&["10.1.2.3"]])
        .name("meta.wild.test", &[&["169.254.169.254"]])
        .name("loop.wild.test", &[&["127.0.0.9"]])
        .name("half.wild.test", &[&["127.0.0.2", "10.0.0.1"]])
        .name("mapped.wild.test", &[&["::ffff:127.0.0.2"]]);
    let proxy = Proxy::before(&server, setup);
    let port = server.address().port();
    let outcome = |proxy: &Proxy| {
        let records = proxy.desk.records();
        let denied: Vec<_> =
            records.iter().map(|record| (record.denied.map(|d| d.as_str()), record.host.clone())).collect();
        (denied, proxy.desk.asked())
    };
    for target in [
        "allowed.test",
        "ALLOWED.test",
        "allowed.test.",
        "a.wild.test",
        "allowed.test..",
        "a..wild.test",
        "evil.test",
        "wild.test",
        "evilwild.test",
        "127.0.0.1",
        "127.0.0.1.",
        "2130706433",
        "0x7f.1",
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::1%25.wild.test]",
        "[::1%.wild.test]",
        "[fe80::1%25eth0]",
        "[::1",
        "::1",
        "localhost",
        "private.wild.test",
        "meta.wild.test",
        "loop.wild.test",
        "half.wild.test",
        "mapped.wild.test",
        "unknown.wild.test",
        "user@allowed.test",
        "allowed.test\\.wild.test",
        "%61llowed.test",
        "xn--llowed-4ve.test",
        "x\u{430}.wild.test",
    ] {
        let uri = format!("http://{target}:{port}/");
        let asked_directly = uri.parse::<http::Uri>().ok();
        let direct = match asked_directly {
            Some(_) => Some((proxy.desk.get(&uri).await.err().map(|error| error.to_string()), outcome(&proxy))),
            None => None,
        };
        // A server that is not an HTTP server answers neither; what counts is whether it was reached.
        let (status, text) = proxy.get(&uri).await;
        let plain = (text, outcome(&proxy));
        let (opened, tunnel) = match proxy.tunnel(&format!("{target}:{port}")).await {
            Ok(stream) => {
                drop(stream);
                (true, (String::new(), (vec![], vec![])))
            }
            Err((refused, text)) => {
                assert_eq!(refused, status, "{target}");
                (false, (text, outcome(&proxy)))
            }
        };
        match opened {
            // Reached by all three ways. The tunnel was not used, which is recorded as such.
            true => {
                assert!(["allowed.test", "ALLOWED.test", "allowed.test.", "a.wild.test"].contains(&target), "{target}");
                assert_eq!(plain.1.0[0].0, None, "{target}: {plain:?}");
                assert_eq!(proxy.record().await.denied.map(|d| d.as_str()), Some("tls"), "{target}");
                assert_eq!(proxy.desk.asked(), plain.1.1, "{target}");
            }
            false => {
                assert!(status >= 400, "{target}: {status}");
                assert_eq!(tunnel, plain, "{target}");
                if let Some((error, seen)) = direct {
                    // What cannot even be said in a request line is refused before there is an attempt.
                    assert!(plain.1.0.is_empty() || seen == plain.1, "{target}: {seen:?} {plain:?}");
                    assert!(
                        plain.0.is_empty() || Some(plain.0.trim().to_owned()) == error,
                        "{target}: {plain:?} {error:?}"
                    );
                }
            }
        }
    }
    assert!(server.accepted() > 0);
}

/// Connections that are held and not used are few, and do not stay; what is more than the bound waits.
#[tokio::test]
async fn connections_to_a_proxy_are_few() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let proxy = Proxy::before(&server, Setup::new().limits(|limits| limits.connections = 1));
    let uri = server.uri("allowed.test", "/");
    let mut held = Vec::new();
    for _ in 0..4 {
        // Answered, and kept.
        let mut stream = proxy.connect().await;
        stream.write_all(format!("GET {uri} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
        held.push(stream);
    }
    let mut fifth = Box::pin(proxy.get(&uri));
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut fifth).await.is_err(), "there was a fifth");
    held.pop();
    assert_eq!(fifth.await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn half_a_head_is_not_waited_for() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let proxy = Proxy::before(&server, Setup::new());
    for start in ["", "GET http://allowed.test/ HTTP/1.1\r\nx: "] {
        let mut stream = proxy.connect().await;
        stream.write_all(start.as_bytes()).await.unwrap();
        let before = tokio::time::Instant::now();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(before.elapsed() >= Duration::from_secs(30), "{start:?}");
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{start:?}");
    }
    assert_eq!(server.accepted(), 0);
}
