//! C: framing, headers, smuggling.

use crate::row::{LISTED, Site, at, catalogue, get, with};
use serde_json::json;

catalogue! {
    Strict LISTED => c01 c02 c03 c04 c05 c06 c07 c08 c09 c10 c11 c13 c15 c16 c17 c18;
}

fn header(name: &str, value: &str) -> serde_json::Value {
    with(get("allowed.test"), json!({"headers": [[name, value]]}))
}

/// The host is the authority's, not a header's.
fn c01(site: &Site) {
    site.unspeakable(header("Host", "evil.test"), "header", "HeaderError::Forbidden");
    site.unspeakable(header("hOsT", "evil.test"), "header", "HeaderError::Forbidden");
    let (_, arrival) = site.allowed(&get("allowed.test"));
    assert_eq!(arrival.header("host"), ["allowed.test"]);
}

/// Pseudo headers.
fn c02(site: &Site) {
    for name in [":authority", ":path", ":scheme", ""] {
        site.unspeakable(header(name, "evil.test"), "header", "HeaderError::InvalidSyntax");
    }
}

/// A transfer coding of the guest's own.
fn c03(site: &Site) {
    for (name, value) in [
        ("Transfer-Encoding", "chunked"),
        ("Transfer_Encoding", "chunked"),
        ("TE", "trailers"),
        ("Trailer", "Host"),
        ("trailer", "X-Checksum"),
    ] {
        site.unspeakable(header(name, value), "header", "HeaderError::Forbidden");
    }
}

/// Two lengths, or one with two readings.
fn c04(site: &Site) {
    for lengths in [json!([["Content-Length", "5"], ["Content-Length", "6"]]), json!([["Content-Length", "+5"]])] {
        let attempt = with(get("allowed.test"), json!({"method": "POST", "headers": lengths, "body": "hello"}));
        site.unspeakable(attempt, "header", "HeaderError::InvalidSyntax");
    }
}

/// More than was announced.
fn c05(site: &Site) {
    let attempt = json!({"method": "POST", "headers": [["Content-Length", "2"]], "body": "0123456789"});
    let seen = site.call(&with(get("allowed.test"), attempt));
    let report = seen.report();
    assert!(report["error"].as_str().is_some_and(|error| error.starts_with("Http")), "{report}");
    site.records(1);
    for arrival in seen.arrivals() {
        assert!(!arrival.head.contains("0123"), "{arrival:?}");
    }
    site.assert_alive();
}

/// Less than was announced: the connection ends before somebody waits for the rest.
fn c06(site: &Site) {
    let attempt = json!({"method": "POST", "headers": [["Content-Length", "10"]], "body": "01234"});
    let (report, arrival) = site.reached(&with(get("allowed.test"), attempt));
    assert!(report["error"].as_str().is_some_and(|error| error.starts_with("Http")), "{report}");
    assert!(!arrival.head.contains("012340"), "{arrival:?}");
    site.records(1);
    site.assert_alive();
}

/// An answer with two lengths.
fn c07(site: &Site) {
    site.broken(at("allowed.test", "/lengths"), "HttpProtocolError", None);
}

/// A path that looks like an authority.
fn c08(site: &Site) {
    let (_, arrival) = site.allowed(&at("allowed.test", "//evil.test/x"));
    assert_eq!((arrival.line(), arrival.header("host")), ("GET //evil.test/x HTTP/1.1", vec!["allowed.test"]));
}

/// Paths that are none.
fn c09(site: &Site) {
    for path in ["@evil.test/", "*", "http://evil.test/", "/a b", "/a\r\nHost: evil.test", "/\0", "evil.test", ":80/"] {
        site.invalid(at("allowed.test", path));
    }
}

/// Lines within header names and values.
fn c10(site: &Site) {
    for (name, value) in
        [("x\r\nHost", "evil.test"), ("x", "a\r\nHost: evil.test"), ("x", "a\0"), ("x y", "a"), ("x", "\n")]
    {
        site.unspeakable(header(name, value), "header", "HeaderError::InvalidSyntax");
    }
}

/// Headers in which an upstream believes a proxy.
fn c11(site: &Site) {
    let headers = json!([
        ["X-Forwarded-For", "10.0.0.1"],
        ["X-Forwarded-Host", "evil.test"],
        ["Forwarded", "host=evil.test"],
        ["X-Real-IP", "10.0.0.1"],
        ["Via", "1.1 evil.test"],
        ["X-Fine", "1"]
    ]);
    let (_, arrival) = site.allowed(&with(get("allowed.test"), json!({"headers": headers})));
    assert!(!arrival.head.contains("evil") && !arrival.head.contains("10.0.0.1"), "{arrival:?}");
    assert_eq!(arrival.header("x-fine"), ["1"]);
}

/// Trailers that say what belongs into a head.
fn c13(site: &Site) {
    let to = || at("allowed.test", "/chunked");
    let post = |trailers| with(to(), json!({"method": "POST", "body": "x", "trailers": trailers}));
    for name in ["Host", "Transfer-Encoding", "Connection"] {
        site.unspeakable(post(json!([[name, "evil.test"]])), "trailer", "HeaderError::Forbidden");
    }
    let (_, arrival) = site.allowed(&post(json!([["X-Forwarded-Host", "evil.test"], ["X-Checksum", "1"]])));
    assert!(!arrival.head.contains("evil") && !arrival.head.contains("x-checksum"), "{arrival:?}");
}

/// What is checked is what is printed: a path that is none, or none of ASCII, has one spelling in the line that is sent.
fn c17(site: &Site) {
    for (path, line) in [
        ("", "GET / HTTP/1.1"),
        ("?q=1", "GET /?q=1 HTTP/1.1"),
        ("/?", "GET /? HTTP/1.1"),
        ("/../a/./%2e", "GET /../a/./%2e HTTP/1.1"),
        ("/\u{fc}?\u{20ac}", "GET /%C3%BC?%E2%82%AC HTTP/1.1"),
    ] {
        let (_, arrival) = site.allowed(&at("allowed.test", path));
        assert_eq!((arrival.line(), arrival.header("host")), (line, vec!["allowed.test"]), "{path:?}");
    }
    for path in ["#", "#f", "?\t", "/\u{7f}"] {
        site.invalid(at("allowed.test", path));
    }
}

/// Whatever proxies call the client's address, another host, path, method or user, in every spelling that a server reads
/// alike; the log says once what was withheld, and why.
fn c18(site: &Site) {
    let of_proxies = of_proxies();
    let mut headers = of_proxies.clone();
    headers.push(("X-Fine".to_owned(), "1"));
    headers.push(("Cf-Access-Client-Id".to_owned(), "2"));
    let (_, arrival) = site.allowed(&with(get("allowed.test"), json!({"headers": headers})));
    for (name, value) in of_proxies {
        assert_eq!(arrival.header(&name), Vec::<&str>::new(), "{arrival:?}");
        assert!(!arrival.head.contains(value), "{name}: {arrival:?}");
    }
    assert_eq!((arrival.header("x-fine"), arrival.header("cf-access-client-id")), (vec!["1"], vec!["2"]));
    let told =
        |line: &str| line.contains("app=c18") && line.contains("config=\"server.egress.forwardedHeaders: pass\"");
    assert!(site.house.log().lines().any(told), "the operator is not told");
}

/// Fields that a server believes of a proxy, in three spellings each.
pub(crate) fn of_proxies() -> Vec<(String, &'static str)> {
    let names = [
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Host",
        "X-HTTP-Host-Override",
        "X-Real-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Cluster-Client-IP",
        "X-ProxyUser-Ip",
        "X-HTTP-Method-Override",
        "X-Method-Override",
        "X-HTTP-Method",
        "X-Envoy-Original-Path",
        "X-Remote-User",
        "X-ARR-ClientCert",
        "X-Backend-Host",
        "X-Accel-Redirect",
        "CDN-Loop",
    ];
    let spellings = |name: &str| [name.to_owned(), name.replace('-', "_"), name.replace('-', ".").to_lowercase()];
    names.iter().flat_map(|name| spellings(name)).map(|name| (name, "of-a-proxy")).collect()
}

/// Credentials for a proxy.
fn c15(site: &Site) {
    for name in ["Proxy-Authorization", "Proxy-Connection", "Proxy-Authenticate"] {
        site.unspeakable(header(name, "Basic eDp5"), "header", "HeaderError::Forbidden");
    }
}

/// More header than anybody needs.
fn c16(site: &Site) {
    let attempt = with(get("allowed.test"), json!({"bloat": 2048}));
    let seen = site.call(&attempt);
    seen.assert_silence(&attempt);
    assert_eq!(seen.answer.code(), 502, "{}", seen.answer.text());
    site.records(0);
    site.assert_alive();
}
