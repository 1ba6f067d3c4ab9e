//! What the operator is told.

use crate::support::{Server, Setup, allowing, get, ok, request, streamed};
use gestalt_core::AppName;
use gestalt_core::egress::{Attribution, AuditAllowed, DenyReason, Sidestep};
use gestalt_core::limits::EgressLimits;
use gestalt_core::metrics::Event;
use gestalt_egress::{Reached, read_journal};
use http::{HeaderValue, Method};
use http_body_util::BodyExt;
use std::collections::BTreeSet;
use std::io;
use std::sync::Mutex;
use std::time::Duration;

#[tokio::test]
async fn an_allowed_request_is_one_record() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new().reach(server.address()).build();
    let response = desk.send(request(Method::PUT, &server.uri("ALLOWED.test", "/x?secret"), "12345")).await.unwrap();
    response.into_body().collect().await.unwrap();
    let records = desk.records();
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!((record.app.as_str(), record.denied, record.count), ("probe", None, 1));
    assert_eq!((record.host.as_str(), record.raw_host.as_str()), ("allowed.test", "ALLOWED.test"));
    assert_eq!((record.port, record.scheme.as_str(), record.method.as_str()), (server.address().port(), "http", "PUT"));
    assert_eq!((&*record.invocation_id, &*record.subject), ("i-1", "user:u"));
    assert!(!format!("{record:?}").contains("secret"));
    let events = desk.events();
    assert!(matches!(events[..], [Event::Egress { denied: None, observed: false, .. }]), "{events:?}");
}

/// A host that is allowed may be a relay. How much it got is on record, wherever in the requests it stood, and also when
/// many requests share a record.
#[tokio::test]
async fn e10_an_open_relay_on_an_allowed_host_shows_by_its_volume() {
    let journal = tempfile::tempdir().unwrap();
    let answer = "HTTP/1.1 200 OK\r\nx-more: data\r\ncontent-length: 5\r\n\r\nrelay";
    let mut volumes = [0; 2];
    for (allowed, records) in [(AuditAllowed::All, 4), (AuditAllowed::Sampled, 2)] {
        let mut server = Server::answering("127.0.0.2", answer).await;
        let desk = Setup::new()
            .settings(|settings| settings.audit.allowed = allowed)
            .artifacts(journal.path())
            .reach(server.address())
            .build();
        let mut sent = 0;
        for n in 0..4 {
            let uri = server.uri("allowed.test", &format!("/?stolen={}", "x".repeat(n * 100)));
            let mut request = get(&uri).map(|_| streamed(&[b"12345"], true));
            *request.method_mut() = Method::POST;
            request.headers_mut().insert("x-stolen", HeaderValue::from_static("data"));
            request.headers_mut().insert("content-length", HeaderValue::from_static("5"));
            desk.send(request).await.unwrap().into_body().collect().await.unwrap();
            let seen = server.report().await;
            sent += seen.split_once("\r\n\r\n").unwrap().0.len() + "\r\n\r\n12345".len();
        }
        volumes[usize::from(allowed == AuditAllowed::All)] = sent as u64;
        desk.egress.flush();
        let written = desk.records();
        let sums = written.iter().fold((0, 0, 0), |sums, r| (sums.0 + r.count, sums.1 + r.sent, sums.2 + r.received));
        assert_eq!((written.len(), sums), (records, (4, sent as u64, 4 * answer.len() as u64)), "{allowed:?}");
    }
    // The report says the same, of both runs.
    let rows = read_journal(journal.path(), &AppName::parse("probe").unwrap()).unwrap();
    let sums = |row: &Reached| (row.host.clone(), row.allowed, row.sent, row.received);
    let expect = volumes.map(|sent| ("allowed.test".to_owned(), 4, sent, 4 * answer.len() as u64));
    assert_eq!(rows.iter().map(sums).collect::<BTreeSet<_>>(), expect.into());
}

/// Ways out that lead nowhere, tried all the same.
#[tokio::test]
async fn f02_sockets_and_lookups_are_on_record() {
    let desk = Setup::new().build();
    let attribution = || Attribution { invocation_id: "i-1".into(), subject: "user:u".into() };
    for (sidestep, scheme, name) in [
        (Sidestep::Tcp, "tcp", ""),
        (Sidestep::Udp, "udp", ""),
        (Sidestep::Lookup("c2VjcmV0\n.evil.test".to_owned()), "dns", "c2VjcmV0\\n.evil.test"),
        (Sidestep::Lookup("x".repeat(1000)), "dns", &("x".repeat(256) + "... (744 more bytes)")),
    ] {
        desk.client.sidestepped(sidestep, attribution());
        let records = desk.records();
        let [record] = &records[..] else { panic!("{records:?}") };
        assert_eq!((record.scheme.as_str(), record.raw_host.as_str(), record.host.as_str()), (scheme, name, ""));
        assert_eq!((record.denied, record.observed, record.count), (Some(DenyReason::SchemeInvalid), false, 1));
        assert_eq!((&*record.invocation_id, &*record.subject), ("i-1", "user:u"));
        assert!(desk.asked().is_empty());
    }
}

#[tokio::test]
async fn a_flood_of_denials_is_a_minutes_worth_of_records() {
    let desk = Setup::new().build();
    for _ in 0..1000 {
        desk.get("http://evil.test/").await.unwrap_err();
    }
    assert_eq!(desk.records().len(), 60);
    desk.pass(Duration::from_secs(60));
    desk.egress.flush();
    let rest = desk.records();
    assert_eq!((rest.len(), rest[0].count), (1, 940));
}

/// What all tests of this binary log; each looks for hosts that only it names.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_denial_names_the_line_that_would_allow_it() {
    tracing_subscriber::fmt().with_ansi(false).with_writer(|| Log).init();
    let desk = Setup::new().name("c.wild.test", &[&["10.1.2.3"]]).name("six.wild.test", &[&["fd12::1"]]).build();
    for (host, uri, line) in [
        (
            "unlisted.test",
            "https://unlisted.test/",
            r#"config.yaml:7:5: apps.probe.egress.allowedHosts: ["unlisted.test"]"#,
        ),
        ("[fd12:5::1]", "http://[fd12:5::1]/", r#"config.yaml:7:5: apps.probe.egress.allowedHosts: ["fd12:5::1"]"#),
        ("c.wild.test", "http://c.wild.test/", r#"server.egress.allowedNetworks: ["10.1.2.3/32:80"]"#),
        ("six.wild.test", "https://six.wild.test/", r#"server.egress.allowedNetworks: ["[fd12::1/128]:443"]"#),
        ("p.wild.test", "http://p.wild.test:25/", "server.egress.blockedPorts: none, or a list without 25"),
    ] {
        let error = desk.send(get(uri)).await.unwrap_err();
        let logged = String::from_utf8(LOG.lock().unwrap().clone()).unwrap().replace("\\\"", "\"");
        let lines: Vec<_> = logged.lines().filter(|line| line.contains(&format!(" host=\"{host}\""))).collect();
        assert_eq!(lines.len(), 1, "{host}: {lines:?}");
        assert!(lines[0].contains("WARN gestalt::egress: outgoing request denied"), "{lines:?}");
        assert!(lines[0].contains(line), "{lines:?}");
        assert!(!error.to_string().contains("egress."), "the app is not told: {error}");
    }
    // Which rules a line speaks of can be told from when they came.
    let app = AppName::parse("reloaded").unwrap();
    let _client = desk.egress.client(app.clone(), allowing(&["a.test"]), EgressLimits::default());
    for version in 2..5 {
        desk.egress.reload(desk.settings.clone(), [(app.clone(), allowing(&["a.test"]))].into());
        let logged = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
        assert!(logged.contains(&format!("egress rules replaced app=reloaded version={version}")), "{logged}");
    }
}
