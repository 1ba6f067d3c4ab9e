//! Tunnels through the proxy: to whom, for how long, for how much.

use super::{Proxy, hello, listening};
use crate::support::{Setup, allowing, get, read_head};
use crate::tls::Authority;
use gestalt_core::AppName;
use gestalt_core::egress::{ConnectSettings, Mode};
use gestalt_core::limits::ByteSize;
use rustls_pki_types::ServerName;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_tunnel_carries_tls_to_its_host() {
    let authority = Authority::new();
    let mut server = authority.serve("allowed.test").await;
    let proxy = Proxy::before(&server, Setup::new());
    let connector = authority.connector();
    for name in ["allowed.test", "ALLOWED.TEST."] {
        let stream = proxy.tunnel(&format!("{name}:{}", server.address().port())).await.unwrap();
        let host = ServerName::try_from("allowed.test").unwrap();
        let mut stream = connector.connect(host, stream).await.unwrap();
        stream.write_all(b"GET /in HTTP/1.1\r\nhost: allowed.test\r\n\r\n").await.unwrap();
        assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
        drop(stream);
        assert!(server.report().await.contains("sni allowed.test"), "{name}");
        let record = proxy.record().await;
        let told = (record.method.as_str(), record.host.as_str(), record.scheme.as_str(), record.denied);
        assert_eq!(told, ("CONNECT", "allowed.test", "https", None), "{record:?}");
        assert!(record.sent > 250 && record.received > 250, "{record:?}");
        assert_eq!(proxy.desk.asked(), ["allowed.test"]);
    }
}

#[tokio::test]
async fn n10_tunnels_lead_to_their_ports_only() {
    let server = listening().await;
    let proxy = Proxy::launch(Setup::new().reach(server.address()).build());
    for (port, reason) in
        [(25, "port_blocked"), (80, "port_blocked"), (server.address().port(), "port_blocked"), (22, "port_blocked")]
    {
        let (status, text) = proxy.tunnel(&format!("allowed.test:{port}")).await.unwrap_err();
        assert_eq!((status, text), (403, format!("request denied: {reason}\n")), "{port}");
        let record = proxy.record().await;
        let told = (record.method.as_str(), record.port, record.denied.unwrap().as_str());
        assert_eq!(told, ("CONNECT", port, reason), "{record:?}");
    }
    for authority in ["allowed.test", "allowed.test:", "allowed.test:0", "allowed.test:+443", "allowed.test:65979"] {
        let answer = proxy.ask(&format!("CONNECT {authority} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
        assert_eq!(answer.0, 400, "{authority}: {answer:?}");
    }
    assert_eq!((proxy.desk.asked(), server.accepted()), (vec![], 0), "nobody was asked");
}

#[tokio::test]
async fn n11_a_tunnel_is_for_its_host_alone() {
    let mut server = listening().await;
    let proxy = Proxy::before(&server, Setup::new());
    let authority = format!("allowed.test:{}", server.address().port());
    let garbage: Vec<u8> =
        [vec![0x16, 3, 1, 0x3f, 0xff], vec![1; 0x3fff], vec![0x16, 3, 1, 0x3f, 0xff], vec![1; 0x3fff]].concat();
    for (what, bytes) in [
        ("another name", hello("evil.test", true)),
        ("a sibling", hello("a.allowed.test", true)),
        ("no name", hello("allowed.test", false)),
        ("an address", hello("127.0.0.2", true)),
        ("plain HTTP", b"GET / HTTP/1.1\r\nhost: allowed.test\r\n\r\n".to_vec()),
        ("another protocol", b"SSH-2.0-x\r\n".to_vec()),
        ("without end", garbage),
    ] {
        let mut stream = proxy.tunnel(&authority).await.unwrap();
        // It may be closed while this is being written.
        let _ = stream.write_all(&bytes).await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert_eq!(rest, b"", "{what}");
        assert_eq!(server.report().await, "0 bytes", "{what}");
        let record = proxy.record().await;
        assert_eq!((record.denied.map(|d| d.as_str()), record.sent), (Some("tls"), 0), "{what}: {record:?}");
    }
    // The same tunnel, used as it is meant to be, one byte at a time.
    let mut stream = proxy.tunnel(&authority).await.unwrap();
    let bytes = hello("allowed.test", true);
    for byte in &bytes {
        stream.write_all(&[*byte]).await.unwrap();
    }
    let mut seen = [0; 4];
    stream.read_exact(&mut seen).await.unwrap();
    drop(stream);
    assert_eq!((&seen, server.report().await), (b"seen", format!("{} bytes", bytes.len())));
    let record = proxy.record().await;
    assert_eq!((record.denied, record.sent, record.received), (None, bytes.len() as u64, 4));
}

#[tokio::test]
async fn n11_an_address_is_asked_for_without_a_name() {
    let mut server = listening().await;
    let proxy = Proxy::before(&server, Setup::new().hosts(&["127.0.0.2"]));
    let authority = server.address().to_string();
    for (bytes, expect) in [(hello("127.0.0.2", true), true), (hello("evil.test", true), false)] {
        let mut stream = proxy.tunnel(&authority).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut rest = Vec::new();
        stream.shutdown().await.unwrap();
        let _ = stream.read_to_end(&mut rest).await;
        assert_eq!(rest == b"seen", expect);
        assert_eq!(server.report().await, format!("{} bytes", if expect { bytes.len() } else { 0 }));
        assert_eq!(proxy.record().await.denied.is_none(), expect);
    }
}

#[tokio::test(start_paused = true)]
async fn n11_a_tunnel_that_says_nothing_is_closed() {
    let mut server = listening().await;
    let proxy = Proxy::before(&server, Setup::new());
    let mut stream = proxy.tunnel(&format!("allowed.test:{}", server.address().port())).await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert_eq!((rest.len(), server.report().await), (0, "0 bytes".to_owned()));
    assert_eq!(proxy.record().await.denied.map(|d| d.as_str()), Some("tls"));
}

/// A refused spelling never becomes a tunnel; `e12` has the whole table.
#[tokio::test]
async fn n12_zone_ids_and_mapped_addresses() {
    let server = listening().await;
    let proxy = Proxy::before(&server, Setup::new());
    for host in
        ["[::1%25.wild.test]", "[::ffff:127.0.0.2%25.wild.test]", "[::ffff:127.0.0.2]", "[::1]", "[allowed.test]"]
    {
        let (status, _) = proxy.tunnel(&format!("{host}:{}", server.address().port())).await.unwrap_err();
        assert!(matches!(status, 400 | 403), "{host}: {status}");
    }
    assert_eq!((proxy.desk.asked(), server.accepted()), (vec![], 0));
}

#[tokio::test]
async fn n13_a_tunnel_leads_where_its_one_lookup_led() {
    let server = listening().await;
    let setup = Setup::new().name("a.wild.test", &[&["127.0.0.2"], &["10.0.0.1"]]);
    let proxy = Proxy::before(&server, setup);
    let authority = format!("a.wild.test:{}", server.address().port());
    drop(proxy.tunnel(&authority).await.unwrap());
    assert_eq!(proxy.desk.asked(), ["a.wild.test"]);
    proxy.record().await;
    let (status, text) = proxy.tunnel(&authority).await.unwrap_err();
    assert_eq!((status, text.as_str()), (403, "destination address is prohibited\n"));
    assert_eq!((proxy.desk.asked(), server.accepted()), (vec!["a.wild.test".to_owned()], 1));
    assert_eq!(proxy.record().await.denied.map(|d| d.as_str()), Some("address_prohibited"));
}

#[tokio::test]
async fn tunnels_hold_permits_and_are_observed_like_requests() {
    let server = listening().await;
    let setup = Setup::new()
        .name("evil.test", &[&["127.0.0.2"]])
        .rules(|rules| rules.mode = Mode::Observe)
        .limits(|limits| (limits.connections, limits.connect_timeout) = (1, Duration::from_millis(50)));
    let proxy = Proxy::before(&server, setup);
    let authority = format!("evil.test:{}", server.address().port());
    let held = proxy.tunnel(&authority).await.unwrap();
    let (status, text) = proxy.tunnel(&authority).await.unwrap_err();
    assert_eq!((status, text.as_str()), (503, "connection limit reached\n"));
    let record = proxy.record().await;
    assert_eq!(record.denied.map(|d| d.as_str()), Some("limit"));
    drop(held);
    let record = proxy.record().await;
    assert_eq!(record.denied.map(|d| d.as_str()), Some("tls"), "{record:?}");
    let mut used = proxy.tunnel(&authority).await.unwrap();
    used.write_all(&hello("evil.test", true)).await.unwrap();
    used.read_u8().await.unwrap();
    drop(used);
    let record = proxy.record().await;
    assert_eq!((record.observed, record.denied.map(|d| d.as_str())), (true, Some("host_not_allowed")));
}

/// Every bound of a tunnel ends it, and is counted under the name the config has for it.
#[tokio::test]
async fn tunnels_are_bounded() {
    let first = hello("allowed.test", true);
    let most = |sent: u64, received: u64| ConnectSettings {
        max_sent: ByteSize(first.len() as u64 + sent),
        max_received: ByteSize(received),
        ..ConnectSettings::default()
    };
    let short = Duration::from_millis(300);
    for (settings, limit) in [
        (most(3, 1000), "egress.connect.maxSent"),
        (most(1000, 7), "egress.connect.maxReceived"),
        (ConnectSettings { idle_timeout: short, ..ConnectSettings::default() }, "egress.connect.idleTimeout"),
        (ConnectSettings { total_timeout: short, ..ConnectSettings::default() }, "egress.connect.totalTimeout"),
    ] {
        let server = listening().await;
        let proxy = Proxy::before(&server, Setup::new().settings(|all| all.connect = settings));
        let mut stream = proxy.tunnel(&format!("allowed.test:{}", server.address().port())).await.unwrap();
        stream.write_all(&first).await.unwrap();
        stream.read_exact(&mut [0; 4]).await.unwrap();
        stream.write_all(b"more").await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        proxy.record().await;
        let events = format!("{:?}", proxy.desk.events());
        assert!(events.contains(limit), "{limit}: {events}");
    }
}

#[tokio::test]
async fn a_component_gets_no_tunnel() {
    let desk = Setup::new().build();
    let mut request = get("http://allowed.test/");
    *request.method_mut() = http::Method::CONNECT;
    desk.refused(request, "MethodInvalid", "method_invalid", &[]).await;
}

/// A tunnel may last; rules that would not have opened it end it.
#[tokio::test]
async fn h16_rules_that_are_narrowed_end_tunnels() {
    let mut server = listening().await;
    let proxy = Proxy::before(&server, Setup::new());
    let open = async || {
        let mut stream = proxy.tunnel(&format!("allowed.test:{}", server.address().port())).await.unwrap();
        stream.write_all(&hello("allowed.test", true)).await.unwrap();
        stream.read_exact(&mut [0; 4]).await.unwrap();
        stream
    };
    let mut stream = open().await;
    let reload = |hosts: &[&str]| {
        let app = AppName::parse("probe").unwrap();
        proxy.desk.egress.reload(proxy.desk.settings.clone(), [(app, allowing(hosts))].into());
    };
    reload(&["allowed.test", "other.test"]);
    stream.write_all(b"more").await.unwrap();
    stream.read_exact(&mut [0; 4]).await.unwrap();
    reload(&["other.test"]);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty() && server.report().await.ends_with(" bytes"));
    let record = proxy.record().await;
    assert_eq!(record.denied.map(|d| d.as_str()), Some("host_not_allowed"), "{record:?}");
    let (status, _) = proxy.tunnel(&format!("allowed.test:{}", server.address().port())).await.unwrap_err();
    assert_eq!(status, 403);
}
