//! B: ports, schemes, methods, upgrades.

use crate::row::{LISTED, Site, at, catalogue, get, with};
use serde_json::json;

const HASTY: &[(&str, &str)] =
    &[("", "egress: {allowedHosts: [allowed.test]}, runtime: {provider: wasm, template: hasty}")];

const TLS_ONLY: &[(&str, &str)] = &[("", "egress: {allowedHosts: [allowed.test], requireTls: true}")];

catalogue! {
    Strict LISTED => b01 b02 b03 b04 b05 b06 b09 b10;
    Strict TLS_ONLY => b07;
    Strict HASTY => b11;
}

/// An entry is a host: any of its ports.
fn b01(site: &Site) {
    for port in [9999, 8000] {
        let (_, arrival) = site.allowed(&get(&format!("allowed.test:{port}")));
        assert_eq!((arrival.to.port(), arrival.header("host")), (port, vec![format!("allowed.test:{port}").as_str()]));
    }
}

/// A port is digits, or not there.
fn b02(site: &Site) {
    for port in ["", "+80", "-1", "0", "65536", "080808", " 80", "0x50", "80:80", "99999999999999999999"] {
        site.invalid(get(&format!("allowed.test:{port}")));
    }
}

/// Ports where HTTP is misread, before anybody is asked.
fn b03(site: &Site) {
    for port in [22, 25, 53, 6379, 11211, 587] {
        site.denied(get(&format!("allowed.test:{port}")), "HttpRequestDenied", "port_blocked");
    }
}

/// Schemes that are not HTTP.
fn b04(site: &Site) {
    for scheme in ["ftp", "ws", "wss", "file", "gopher", "HTTP\0"] {
        let attempt = with(get("allowed.test"), json!({"scheme": scheme}));
        let seen = site.call(&attempt);
        seen.assert_silence(&attempt);
        let error = seen.report();
        assert!(error["at"] == "scheme" || error["error"] == "HttpProtocolError", "{scheme}: {error}");
    }
    site.records(0);
    site.assert_alive();
}

/// Methods that open tunnels, reflect, or are anybody's guess.
fn b05(site: &Site) {
    for method in ["CONNECT", "TRACE", "PROPFIND", "get"] {
        let attempt = with(get("allowed.test"), json!({"method": method}));
        site.denied(attempt, "HttpRequestMethodInvalid", "method_invalid");
    }
    let split = with(get("allowed.test"), json!({"method": "GET /x HTTP/1.1\r\nHost: evil.test\r\n\r\nGET"}));
    site.unspeakable(split, "method", "invalid");
}

/// No scheme is https, with all that belongs to it.
fn b06(site: &Site) {
    let attempt = with(get("allowed.test"), json!({"scheme": null}));
    let (_, arrival) = site.allowed(&attempt);
    assert_eq!((arrival.to.port(), arrival.sni.as_deref()), (443, Some("allowed.test")));
}

/// In the clear, where TLS is asked for.
fn b07(site: &Site) {
    site.denied(get("allowed.test"), "HttpRequestDenied", "scheme_invalid");
    site.denied(get("allowed.test:443"), "HttpRequestDenied", "scheme_invalid");
    let (_, arrival) = site.allowed(&with(get("allowed.test"), json!({"scheme": "https"})));
    assert_eq!(arrival.sni.as_deref(), Some("allowed.test"));
}

/// Headers that would change the protocol.
fn b09(site: &Site) {
    for (name, value) in
        [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("HTTP2-Settings", "AAMAAABk"), ("Keep-Alive", "1")]
    {
        let attempt = with(get("allowed.test"), json!({"headers": [[name, value]]}));
        site.unspeakable(attempt, "header", "HeaderError::Forbidden");
    }
}

/// A server that changes the protocol unasked.
fn b10(site: &Site) {
    site.broken(at("allowed.test", "/upgrade"), "HttpUpgradeFailed", Some("upgrade"));
}

/// A server that promises an answer again and again.
fn b11(site: &Site) {
    site.broken(at("allowed.test", "/early"), "ConnectionReadTimeout", None);
}
