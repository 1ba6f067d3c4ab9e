//! What of a request through the proxy reaches the server.

use super::done;
use crate::canary::{self, Arrival};
use crate::framing::of_proxies;
use crate::row::Site;
use serde_json::{Value, json};

/// A request that arrives.
fn arrives(site: &Site, attempt: &Value) -> Arrival {
    let seen = site.call(attempt);
    assert_eq!(done(&seen), json!(200), "{attempt}");
    let mut arrivals = canary::take(1);
    assert_eq!((arrivals.len(), site.records(1)[0].field("operation")), (1, "egress.allowed"), "{attempt}");
    arrivals.remove(0)
}

/// Fields of connections and of proxies, in every spelling, as for components: see `c03`, `c13` and `c18`.
pub(super) fn n30(site: &Site) {
    let of_connections = [
        ("TE", "trailers"),
        ("Trailer", "X-Checksum"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authorization", "Basic eDp5"),
        ("Proxy", "http://evil.test"),
        ("Max-Forwards", "0"),
        ("Transfer_Encoding", "identity"),
        ("X-Named", "1"),
        ("Connection", "X-Named"),
    ];
    let of_connections = of_connections.map(|(name, value)| (name.to_owned(), value));
    let mut headers = [of_proxies(), of_connections.to_vec()].concat();
    headers.push(("X-Fine".to_owned(), "1"));
    let arrival = arrives(site, &json!({"act": "plain", "uri": "http://allowed.test/ok", "headers": headers}));
    for (name, _) in headers.iter().filter(|(name, _)| name != "X-Fine" && name != "Connection") {
        assert_eq!(arrival.header(name), Vec::<&str>::new(), "{arrival:?}");
    }
    let told = ["x-fine", "host", "connection"].map(|name| arrival.header(name));
    assert_eq!(told, [["1"], ["allowed.test"], ["close"]], "{arrival:?}");
    // Trailers of a request go nowhere, announced or not.
    let body = "1\r\nx\r\n0\r\nX-Checksum: 1\r\nX-Forwarded-Host: evil.test\r\n\r\n";
    for headers in [json!([["Trailer", "X-Checksum, X-Forwarded-Host"]]), json!([])] {
        let post = json!({"act": "plain", "method": "POST", "uri": "http://allowed.test/chunked", "headers": headers});
        let arrival = arrives(site, &crate::row::with(post, json!({"chunked": body})));
        let head = arrival.head.to_ascii_lowercase();
        assert!(head.ends_with("0\r\n\r\n"), "all of it was read: {arrival:?}");
        assert!(!head.contains("x-checksum") && !head.contains("evil"), "{arrival:?}");
    }
    site.is_well();
}

/// What is checked is what is printed: see `c08`, `c09` and `c17`.
pub(super) fn n31(site: &Site) {
    for (uri, line) in [
        ("http://allowed.test", "GET / HTTP/1.1"),
        ("http://allowed.test?q=1", "GET /?q=1 HTTP/1.1"),
        ("http://allowed.test#f", "GET / HTTP/1.1"),
        ("http://allowed.test/#f", "GET / HTTP/1.1"),
        ("http://allowed.test//evil.test/x", "GET //evil.test/x HTTP/1.1"),
        ("http://allowed.test/../a", "GET /../a HTTP/1.1"),
    ] {
        let arrival = arrives(site, &json!({"act": "plain", "uri": uri}));
        assert_eq!((arrival.line(), arrival.header("host")), (line, vec!["allowed.test"]), "{uri}");
    }
    for uri in ["*", "/", "allowed.test", "//allowed.test/"] {
        assert_eq!(site.tries(json!({"act": "plain", "uri": uri}))["done"], 400, "{uri}");
        assert_eq!(site.records(1)[0].field("reason"), "uri_invalid", "{uri}");
    }
    site.is_well();
}
