//! What the operator is told.

use crate::support::{Server, Setup, get, ok, request};
use http::Method;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[tokio::test]
async fn an_allowed_request_is_one_record_with_its_bytes() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new().reach(server.address()).build();
    let response = desk.send(request(Method::PUT, &server.uri("ALLOWED.test", "/x?secret"), "12345")).await.unwrap();
    http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
    let records = desk.records();
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!((record.app.as_str(), record.denied, record.count, record.bytes), ("probe", None, 1, 7));
    assert_eq!((record.host.as_str(), record.raw_host.as_str()), ("allowed.test", "ALLOWED.test"));
    assert_eq!((record.port, record.scheme.as_str(), record.method.as_str()), (server.address().port(), "http", "PUT"));
    assert_eq!((&*record.invocation_id, &*record.subject), ("i-1", "user:u"));
    assert!(!format!("{record:?}").contains("secret"));
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

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_denial_names_the_line_that_would_allow_it() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).without_time().finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let desk = Setup::new().name("cname.wild.test", &[&["10.1.2.3"]]).name("six.wild.test", &[&["fd12::1"]]).build();
    for (uri, line) in [
        ("https://evil.test/", r#"apps.probe.egress.allowedHosts: ["evil.test"]"#),
        ("http://[fd12::1]/", r#"apps.probe.egress.allowedHosts: ["fd12::1"]"#),
        ("http://cname.wild.test/", r#"server.egress.allowedNetworks: ["10.1.2.3/32:80"]"#),
        ("https://six.wild.test/", r#"server.egress.allowedNetworks: ["[fd12::1/128]:443"]"#),
        ("http://allowed.test:25/", "server.egress.blockedPorts: none, or a list without 25"),
    ] {
        log.0.lock().unwrap().clear();
        let error = desk.send(get(uri)).await.unwrap_err();
        let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap().replace("\\\"", "\"");
        assert!(logged.contains("WARN gestalt::egress: outgoing request denied"), "{logged}");
        assert!(logged.contains(line), "{logged}");
        assert_eq!(logged.lines().count(), 1);
        assert!(!error.to_string().contains("allowed"), "the app is not told: {error}");
    }
}
