//! Rows A and B01–B07: how hosts, ports, schemes and methods are spelled, and what the policy makes of it.

use crate::support::{Canary, Server, Setup, get, ok, request};
use gestalt_core::egress::{Action, BlockedPorts};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Uri};

enum Expect {
    /// Answered by the server, which saw this Host.
    Answer(&'static str),
    /// Refused with this error and this audit reason.
    Refuse(&'static str, &'static str),
    /// Refused by the HTTP types already, or as an invalid URI.
    Unspeakable,
}
use Expect::{Answer, Refuse, Unspeakable};

const DENIED: Expect = Refuse("Denied(HostNotAllowed)", "host_not_allowed");
const URI: Expect = Refuse("UriInvalid", "uri_invalid");

/// Sends `GET http://<host>:<port of a server>/` for each row.
async fn check(setup: Setup, rows: &[(&str, &str, Expect)]) {
    let mut server = Server::answering("127.0.0.2", ok()).await;
    // A record for each row, and one for what is sent after it.
    let setup = setup.settings(|settings| settings.audit.max_records_per_minute = 1000);
    let desk = setup.reach(server.address()).build();
    for (row, host, expect) in rows {
        let before = server.accepted();
        let uri: Result<Uri, _> = server.uri(host, "/").parse();
        match (expect, uri) {
            (Answer(wire), uri) => {
                let (head, body) = desk.fetch(&uri.unwrap().to_string()).await.unwrap_or_else(|e| panic!("{row}: {e}"));
                assert_eq!((head.status.as_u16(), &body[..]), (200, &b"ok"[..]), "{row}");
                let host = format!("host: {wire}:{}\r\n", server.address().port());
                let seen = server.report().await;
                assert!(seen.contains(&host), "{row}: {seen}");
                assert_eq!(desk.records().len(), 1, "{row}");
                desk.asked();
            }
            (Refuse(error, reason), uri) => {
                desk.refused(get(&uri.unwrap().to_string()), error, reason, &[]).await;
                assert_eq!(server.accepted(), before, "{row}");
            }
            (Unspeakable, Ok(uri)) => {
                desk.refused(get(&uri.to_string()), "UriInvalid", "uri_invalid", &[]).await;
                assert_eq!(server.accepted(), before, "{row}");
            }
            (Unspeakable, Err(_)) => {}
        }
    }
}

#[tokio::test]
async fn a01_to_a33_with_a_list() {
    let setup = Setup::new().name("a.b.wild.test", &[&["127.0.0.2"]]).name("allowed.test", &[&["127.0.0.2"]]);
    check(
        setup,
        &[
            ("A01", "allowed.test", Answer("allowed.test")),
            ("A02", "evil.test", DENIED),
            ("A06", "ALLOWED.Test", Answer("allowed.test")),
            ("A07", "allowed.test.", Answer("allowed.test")),
            ("A08", "allowed.test..", URI),
            ("A08", "a..wild.test", URI),
            ("A08", ".wild.test", URI),
            ("A09", "wild.test", DENIED),
            ("A10", "a.wild.test", Answer("a.wild.test")),
            ("A10", "a.b.wild.test", Answer("a.b.wild.test")),
            ("A12", "evilwild.test", DENIED),
            ("A12", "allowed.test.evil.test", DENIED),
            ("A16", "127.0.0.1", DENIED),
            ("A16", "169.254.169.254", DENIED),
            ("A17", "2130706433", URI),
            ("A17", "0x7f.0.0.1", URI),
            ("A17", "0177.0.0.1", URI),
            ("A17", "127.1", URI),
            ("A18", "127.0.0.1.", URI),
            ("A19", "[::1]", DENIED),
            ("A20", "[::ffff:127.0.0.1]", URI),
            ("A20", "[::ffff:7f00:1]", URI),
            ("A20", "[::127.0.0.1]", URI),
            ("A21", "[::1%25.wild.test]", Unspeakable),
            ("A21", "[::1%.wild.test]", Unspeakable),
            ("A21", "[fe80::1%25eth0]", Unspeakable),
            ("A21", "[::ffff:127.0.0.1%25.wild.test]", Unspeakable),
            ("A23", "user@allowed.test", URI),
            ("A23", "allowed.test@evil.test", URI),
            ("A23", "user:pass@allowed.test", URI),
            ("A24", "evil\\.wild.test", Unspeakable),
            ("A24", "evil\0.wild.test", Unspeakable),
            ("A24", "%00.wild.test", Unspeakable),
            ("A24", "%61llowed.test", Unspeakable),
            ("A25", "\u{430}llowed.test", Unspeakable),
            ("A25", "allowed\u{3002}test", Unspeakable),
            ("A26", "xn--llowed-2nf.test", DENIED),
            ("A31", "localhost", DENIED),
            ("A31", "foo.localhost", DENIED),
            ("A31", "LOCALHOST.", DENIED),
        ],
    )
    .await;
}

#[tokio::test]
async fn a24_a_delimiter_ends_the_host_for_everybody() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new().reach(server.address()).build();
    for tail in ["#.wild.test", "?.wild.test", "/.wild.test"] {
        let uri = format!("http://evil.test{tail}");
        desk.refused(get(&uri), "Denied(HostNotAllowed)", "host_not_allowed", &[]).await;
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn a03_a_list_of_nothing_with_default_deny() {
    let setup = || Setup::new().hosts(&[]).settings(|settings| settings.default_action = Action::Deny);
    let deny = || Refuse("Denied(DefaultDeny)", "default_deny");
    check(setup(), &[("A03", "allowed.test", deny()), ("A03", "127.0.0.2", deny()), ("A03", "localhost", deny())])
        .await;
}

#[tokio::test]
async fn a04_a_list_of_nothing_with_default_allow() {
    check(Setup::new().hosts(&[]), &[("A04", "allowed.test", Answer("allowed.test"))]).await;
    let desk = Setup::new().hosts(&[]).name("meta.test", &[&["169.254.169.254"]]).build();
    desk.refused(get("http://meta.test/"), "AddressProhibited", "address_prohibited", &["meta.test"]).await;
    desk.refused(get("http://169.254.169.254/"), "AddressProhibited", "address_prohibited", &[]).await;
    desk.refused(get("http://[fd00:ec2::254]/"), "AddressProhibited", "address_prohibited", &[]).await;
}

#[tokio::test]
async fn a05_a_list_wins_over_default_allow() {
    let setup = Setup::new().settings(|settings| settings.default_action = Action::Allow);
    check(setup, &[("A05", "evil.test", DENIED)]).await;
}

#[tokio::test]
async fn a28_an_international_entry_matches_its_a_label() {
    let setup = Setup::new().hosts(&["b\u{fc}cher.example"]).name("xn--bcher-kva.example", &[&["127.0.0.2"]]);
    check(setup, &[("A28", "xn--bcher-kva.example", Answer("xn--bcher-kva.example"))]).await;
}

#[tokio::test]
async fn a31_a_listed_localhost_is_loopback_and_no_name() {
    for host in ["localhost", "foo.localhost"] {
        let mut server = Server::answering("127.0.0.1", ok()).await;
        let desk = Setup::new().hosts(&["localhost", "*.localhost"]).build();
        desk.fetch(&server.uri(host, "/")).await.unwrap();
        assert!(server.report().await.contains(&format!("host: {host}:")));
        assert!(desk.asked().is_empty());
    }
}

#[tokio::test]
async fn a32_wildcard_dns_services_lead_nowhere() {
    let canary = Canary::bind("127.0.0.1");
    let desk = Setup::new().hosts(&["*.nip.test"]).name("127.0.0.1.nip.test", &[&["127.0.0.1"]]).build();
    let uri = format!("http://127.0.0.1.nip.test:{}/", canary.address().port());
    desk.refused(get(&uri), "AddressProhibited", "address_prohibited", &["127.0.0.1.nip.test"]).await;
    canary.assert_untouched();
}

#[tokio::test]
async fn b01_any_port_of_an_allowed_host() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new().reach(server.address()).build();
    assert_eq!(desk.fetch(&server.uri("allowed.test", "/")).await.unwrap().0.status, 200);
}

#[tokio::test]
async fn b02_a_port_is_digits_or_absent() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new().reach(server.address()).build();
    for port in ["", "+80", "-1", "0", "65536", "080808", " 80", "8 0", "0x50", "80:80"] {
        let Ok(uri) = format!("http://allowed.test:{port}/").parse::<Uri>() else { continue };
        desk.refused(get(&uri.to_string()), "UriInvalid", "uri_invalid", &[]).await;
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn b03_ports_of_other_protocols() {
    let desk = Setup::new().build();
    for port in [22, 25, 53, 6379] {
        let uri = format!("http://allowed.test:{port}/");
        desk.refused(get(&uri), "Denied(PortBlocked)", "port_blocked", &[]).await;
    }
    let desk = Setup::new().settings(|settings| settings.blocked_ports = BlockedPorts::List(vec![8080])).build();
    desk.refused(get("http://allowed.test:8080/"), "Denied(PortBlocked)", "port_blocked", &[]).await;
}

#[tokio::test]
async fn b04_schemes() {
    let desk = Setup::new().build();
    for scheme in ["ftp", "ws", "wss", "file", "httpx"] {
        let uri = format!("{scheme}://allowed.test/");
        desk.refused(get(&uri), "Denied(SchemeInvalid)", "scheme_invalid", &[]).await;
    }
    desk.refused(get("/only/a/path"), "UriInvalid", "uri_invalid", &[]).await;
    desk.refused(get("allowed.test"), "UriInvalid", "uri_invalid", &[]).await;
}

#[tokio::test]
async fn b05_methods() {
    let desk = Setup::new().build();
    for method in ["CONNECT", "TRACE", "PROPFIND", "get", "X"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        desk.refused(request(method, "http://allowed.test/", ""), "MethodInvalid", "method_invalid", &[]).await;
    }
    // What an app makes up is no more than a word in the records.
    let long = Method::from_bytes(&[b'M'; 1000]).unwrap();
    desk.send(request(long, "http://allowed.test/", "")).await.unwrap_err();
    assert_eq!(desk.records()[0].method, "M".repeat(32) + "... (968 more bytes)");
}

#[tokio::test]
async fn c09_paths_start_with_a_slash() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new().reach(server.address()).build();
    for path in ["*", "@evil.test/", ".evil.test/", ":80/", "/a\u{7f}b", "/a b", "/a\r\nb", "/a\tb"] {
        let Ok(path) = PathAndQuery::try_from(path) else { continue };
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(Authority::from_static("allowed.test"));
        parts.path_and_query = Some(path);
        let Ok(uri) = Uri::from_parts(parts) else { continue };
        let mut request = get("http://allowed.test/");
        *request.uri_mut() = uri;
        desk.refused(request, "UriInvalid", "uri_invalid", &[]).await;
    }
    assert_eq!(server.accepted(), 0);
}
