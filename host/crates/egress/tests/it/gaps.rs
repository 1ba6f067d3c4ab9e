//! Attacks between the rows: variations that a fix for the row next to them might leave open.

use crate::support::{Canary, Server, Setup, get, ok, read_head, request};
use gestalt_core::egress::{Action, EgressError};
use gestalt_core::limits::ByteSize;
use http::{HeaderName, HeaderValue, Method, Uri};
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;

const DENIED: (&str, &str) = ("Denied(HostNotAllowed)", "host_not_allowed");
const URI: (&str, &str) = ("UriInvalid", "uri_invalid");

/// Sends each to a port where somebody would notice.
async fn refused(rows: &[(&str, (&str, &str))]) {
    let canary = Canary::bind("127.0.0.1");
    let desk = Setup::new().build();
    for (host, (error, reason)) in rows {
        let Ok(uri) = format!("http://{host}:{}/", canary.address().port()).parse::<Uri>() else { continue };
        desk.refused(get(&uri.to_string()), error, reason, &[]).await;
    }
    canary.assert_untouched();
}

#[tokio::test]
async fn a11_suffixes_that_only_look_like_one() {
    let denied =
        ["wild.test.evil.test", "a.wild.testx", "a-wild.test", "awild.test", "test", "wild", "a.wild.test.test"];
    refused(&denied.map(|host| (host, DENIED))).await;
}

#[tokio::test]
async fn a17_numbers_in_every_base_and_length() {
    refused(
        &[
            "0x7f000001",
            "017700000001",
            "0x7f.1",
            "0X7F.0.0.1",
            "127.0.1",
            "127.0.0x1",
            "127.0.0.01",
            "00127.0.0.1",
            "4294967295",
            "0",
            "0x",
            "1.2.3",
            "256.256.256.256",
            "127.0.0.1.1",
            "1e3.1",
            "0xa9fea9fe",
            "169.254.43518",
        ]
        .map(|host| (host, URI)),
    )
    .await;
}

#[tokio::test]
async fn a20_ipv4_in_ipv6_in_every_spelling() {
    let spelled = [
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[0:0:0:0:0:ffff:7f00:1]",
        "[::FFFF:127.0.0.1]",
        "[0000:0000:0000:0000:0000:ffff:7f00:0001]",
        "[::169.254.169.254]",
        "[::a9fe:a9fe]",
    ];
    refused(&spelled.map(|host| (host, URI))).await;
    // Those that a policy cannot list by accident, and a resolver could answer with.
    const ANSWERS: [&[&[&str]]; 6] = [
        &[&["64:ff9b::7f00:1"]],
        &[&["2002:7f00:1::"]],
        &[&["2001:0:1:2:3:4:80ff:fffe"]],
        &[&["::ffff:0:127.0.0.1"]],
        &[&["fec0::1"]],
        &[&["100::1"]],
    ];
    for answer in ANSWERS {
        let desk = Setup::new().name("six.wild.test", answer).build();
        let asked = &["six.wild.test"];
        desk.refused(get("http://six.wild.test/"), "AddressProhibited", "address_prohibited", asked).await;
    }
}

#[tokio::test]
async fn a22_labels_and_names_that_are_too_long() {
    let label = "a".repeat(64);
    let name = format!("{}wild.test", "a.".repeat(130));
    refused(&[(&format!("{label}.wild.test"), URI), (&name, URI)]).await;
    let longest = format!("{}.{}.{}.{}.wild.test", "a".repeat(60), "b".repeat(60), "c".repeat(60), "d".repeat(50));
    let longest: &'static str = Box::leak(longest.into_boxed_str());
    let desk = Setup::new().name(longest, &[&["10.0.0.1"]]).build();
    let uri = format!("http://{longest}/");
    desk.refused(get(&uri), "AddressProhibited", "address_prohibited", &[longest]).await;
}

#[tokio::test]
async fn a27_a_labels_that_are_none() {
    // Broken, empty, and those that decode to what could have been written plainly.
    for host in ["xn--.wild.test", "xn--a.wild.test", "xn--abc-.wild.test", "xn--\u{e4}.wild.test", "XN--A.wild.test"] {
        let Ok(uri) = format!("http://{host}/").parse::<Uri>() else { continue };
        let desk = Setup::new().build();
        desk.refused(get(&uri.to_string()), "UriInvalid", "uri_invalid", &[]).await;
    }
}

#[tokio::test]
async fn a29_entries_are_brought_to_the_form_that_requests_have() {
    for entry in ["ALLOWED.Test", "allowed.test.", "Allowed.TEST."] {
        let server = Server::answering("127.0.0.2", ok()).await;
        let desk = Setup::new().hosts(&[entry]).reach(server.address()).build();
        assert_eq!(desk.fetch(&server.uri("allowed.test", "/")).await.unwrap().0.status, 200, "{entry}");
    }
}

#[tokio::test]
async fn a30_unusual_labels_are_names_and_nothing_else() {
    for host in ["_dmarc.wild.test", "1.wild.test", "-a.wild.test", "a--b.wild.test", "127.0.0.1.wild.test"] {
        let host: &'static str = Box::leak(host.to_owned().into_boxed_str());
        let desk = Setup::new().name(host, &[&["10.0.0.1"]]).build();
        let uri = format!("http://{host}/");
        desk.refused(get(&uri), "AddressProhibited", "address_prohibited", &[host]).await;
    }
}

#[tokio::test]
async fn a34_a_user_that_looks_like_the_host() {
    let rows = ["allowed.test:80@evil.test", "allowed.test%40evil.test", "allowed.test%2f@evil.test", "@allowed.test"];
    refused(&rows.map(|host| (host, URI))).await;
}

#[tokio::test]
async fn b08_the_port_of_the_other_scheme_is_a_port() {
    let mut server = Server::start("127.0.0.2", |mut stream, reports| async move {
        let mut piece = [0; 4096];
        let length = tokio::io::AsyncReadExt::read(&mut stream, &mut piece).await.unwrap_or(0);
        let _ = reports.send(String::from_utf8_lossy(&piece[..length]).into_owned());
        let _ = stream.write_all(ok().as_bytes()).await;
    })
    .await;
    let desk = Setup::new().reach(server.address()).build();
    // TLS against a server that speaks none fails, and is never tried again in the clear.
    let error = desk.get(&server.uri("allowed.test", "/").replace("http:", "https:")).await.unwrap_err();
    assert!(matches!(error, EgressError::Tls(_)), "{error:?}");
    assert_eq!(server.accepted(), 1);
    let seen = server.report().await;
    assert!(!seen.contains("GET"), "{seen}");
}

#[tokio::test]
async fn c12_answers_with_two_readings() {
    for (answer, why) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!", "two lengths"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2, 3\r\n\r\nok!", "two lengths in a line"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n\r\n", "a length beyond all"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "a length and chunks",
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "a coding in the chunks"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "chunks twice",
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nok", "a coding that is none"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n", "a coding behind a control character"),
        ("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "chunks before there were any"),
        ("HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n", "a folded line"),
        ("HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n", "a field with NUL"),
        ("HTTP/1.1 200 OK\r\nx: a\rb\r\n\r\n", "a field with a bare return"),
        ("<html>no head at all</html>\r\n\r\n", "an answer of HTTP/0.9"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "an answer of HTTP/2"),
        ("HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok", "a length with a sign"),
        ("HTTP/1.1 200 OK\r\nx y: 1\r\n\r\n", "a field with a space"),
        ("HTTP/1.1 200 OK\r\n x: 1\r\n\r\n", "a folded first line"),
        ("HTTP/1.1 99999 OK\r\n\r\n", "a status that is none"),
        ("HTTP/9.9 200 OK\r\n\r\n", "a version that is none"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "a chunk without size"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n", "a chunk of more than there is"),
    ] {
        let server = Server::answering("127.0.0.2", answer).await;
        let desk = Setup::new().reach(server.address()).build();
        let error = match desk.get(&server.uri("allowed.test", "/")).await {
            Ok(response) => response.into_body().collect().await.map(drop).unwrap_err(),
            Err(error) => error,
        };
        assert!(matches!(error, EgressError::Protocol(_)), "{why}: {error:?}");
        assert_eq!(desk.records().len(), 1, "{why}");
    }
}

/// What stands behind an answer is no answer: nothing is left over for a next request, because there is none.
#[tokio::test]
async fn c17_what_follows_an_answer_is_not_read() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nevil!",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\nevil",
    ] {
        let server = Server::answering("127.0.0.2", answer).await;
        let desk = Setup::new().reach(server.address()).build();
        for _ in 0..2 {
            let (head, body) = desk.fetch(&server.uri("allowed.test", "/")).await.unwrap();
            assert_eq!((head.status.as_u16(), &body[..]), (200, &b"ok"[..]));
        }
        assert_eq!(server.accepted(), 2);
    }
}

#[tokio::test]
async fn c14_a_forwarded_request_brings_nothing_of_its_own_connection() {
    let mut server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new().reach(server.address()).build();
    let mut inbound = request(Method::POST, &server.uri("allowed.test", "/"), "body");
    for (name, value) in [
        ("host", "daemon.internal"),
        ("connection", "close, content-length, x-internal"),
        ("content-length", "4"),
        ("x-internal", "secret"),
        ("x-real-ip", "10.0.0.1"),
        ("via", "1.1 daemon"),
        ("proxy-authenticate", "x"),
    ] {
        inbound.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    desk.send(inbound).await.unwrap();
    let seen = server.report().await;
    for gone in ["daemon", "x-internal", "10.0.0.1", "proxy-"] {
        assert!(!seen.contains(gone), "{gone}: {seen}");
    }
    assert!(seen.contains("content-length: 4\r\n"), "{seen}");
}

#[tokio::test]
async fn c16_request_heads_are_bounded_too() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new()
        .limits(|limits| (limits.max_headers, limits.max_header_bytes) = (8, ByteSize(1024)))
        .reach(server.address())
        .build();
    let uri = server.uri("allowed.test", "/");
    let mut many = get(&uri);
    for _ in 0..9 {
        many.headers_mut().append("x", HeaderValue::from_static("1"));
    }
    let mut long = get(&uri);
    long.headers_mut().insert("x", HeaderValue::try_from("y".repeat(1024)).unwrap());
    let path = get(&format!("{uri}{}", "p".repeat(1024)));
    for request in [many, long, path] {
        desk.refused(request, "RequestHeadTooLarge", "limit", &[]).await;
    }
    assert_eq!(server.accepted(), 0);
    assert!(desk.events().iter().any(|event| format!("{event:?}").contains("egress.maxHeaderBytes")));
}

#[tokio::test]
async fn d05_every_request_is_judged_by_an_answer_of_its_own() {
    let canary = Canary::bind("127.0.0.1");
    let port = canary.address().port();
    let server = tokio::net::TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = server.accept().await {
            read_head(&mut stream).await;
            let _ = stream.write_all(ok().as_bytes()).await;
        }
    });
    let desk = Setup::new()
        .name("allowed.test", &[&["127.0.0.2"], &["127.0.0.1"], &["127.0.0.2"]])
        .reach(([127, 0, 0, 2], port).into())
        .build();
    let uri = format!("http://allowed.test:{port}/");
    assert_eq!(desk.fetch(&uri).await.unwrap().0.status, 200);
    let _ = (desk.records(), desk.asked());
    desk.refused(get(&uri), "AddressProhibited", "address_prohibited", &["allowed.test"]).await;
    assert_eq!(desk.fetch(&uri).await.unwrap().0.status, 200);
    canary.assert_untouched();
}

#[tokio::test]
async fn d13_an_answer_as_long_as_a_flood_is_judged_whole_and_dialled_in_part() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let mut answer: Vec<&'static str> = vec!["93.184.216.34"; 500];
    answer.push("10.0.0.1");
    let answer: &'static [&'static str] = Box::leak(answer.into_boxed_slice());
    let desk = Setup::new().name("allowed.test", &[answer]).reach(server.address()).build();
    let uri = server.uri("allowed.test", "/");
    desk.refused(get(&uri), "AddressProhibited", "address_prohibited", &["allowed.test"]).await;
}

#[tokio::test]
async fn d20_another_apps_policy_decides_anew_about_a_name_that_was_asked_for() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new().reach(server.address()).build();
    let uri = server.uri("allowed.test", "/");
    desk.fetch(&uri).await.unwrap();
    let _ = (desk.asked(), desk.records());
    let rules = crate::support::allowing(&["other.test"]);
    let other = desk.egress.client(
        gestalt_core::AppName::parse("other").unwrap(),
        rules,
        gestalt_core::limits::EgressLimits::default(),
    );
    let error = other.send(get(&uri), gestalt_core::egress::SendOptions::default()).await.unwrap_err();
    assert_eq!(format!("{error:?}"), "Denied(HostNotAllowed)");
    assert!(desk.asked().is_empty());
    assert_eq!(desk.records()[0].app.as_str(), "other");
}

#[tokio::test]
async fn e09_a_connection_serves_one_request_even_if_the_server_would_serve_more() {
    let server = Server::start("127.0.0.2", |mut stream, _| async move {
        while !read_head(&mut stream).await.is_empty() {
            let answer = b"HTTP/1.1 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok";
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    })
    .await;
    let desk = Setup::new().reach(server.address()).build();
    for _ in 0..3 {
        desk.fetch(&server.uri("allowed.test", "/")).await.unwrap();
    }
    assert_eq!((server.accepted(), desk.asked().len()), (3, 3));
}

#[tokio::test]
async fn f10_the_daemons_listener_by_every_name_it_has() {
    let canary = Canary::bind("127.0.0.1");
    let port = canary.address().port();
    // The most open policy there is: even that does not open the daemon to its apps.
    let setup = Setup::new()
        .hosts(&[])
        .settings(|settings| (settings.default_action, settings.private_networks) = (Action::Allow, Action::Allow))
        .name("home.test", &[&["127.0.0.1"]])
        .name("mapped.test", &[&["::ffff:127.0.0.1"]])
        .reach(canary.address());
    setup.listeners.add(canary.address());
    let desk = setup.build();
    for (host, asked) in [
        ("127.0.0.1", &[][..]),
        ("localhost", &[]),
        ("x.localhost", &[]),
        ("home.test", &["home.test"]),
        ("mapped.test", &["mapped.test"]),
    ] {
        let uri = format!("http://{host}:{port}/admin");
        desk.refused(get(&uri), "AddressProhibited", "self_listener", asked).await;
    }
    refused(&[("[::ffff:127.0.0.1]", URI), ("2130706433", URI), ("127.1", URI)]).await;
    canary.assert_untouched();
}
