//! E: redirects, connections that are kept, deputies that can be confused.

use crate::canary;
use crate::row::{LISTED, Site, at, catalogue, get, with};
use serde_json::{Value, json};

/// An app that may go nowhere, and one it can ask to go for it.
const DEPUTY: &[(&str, &str)] = &[
    ("", "egress: {allowedHosts: [other.test]}, invokes: [{app: e11-wide, operation: attempt}]"),
    ("-wide", "egress: {allowedHosts: [allowed.test]}"),
    ("-stranger", "egress: {allowedHosts: [other.test]}"),
];

catalogue! {
    Strict LISTED => e01 e02 e05 e06 e07;
    Strict DEPUTY => e11;
}

/// Nothing is followed: the guest gets to see where it was sent.
fn e01(site: &Site) {
    for target in ["169.254.169.254/latest/meta-data/", "evil.test/", "127.0.0.1:9090/"] {
        let (report, arrival) = site.reached(&at("allowed.test", &format!("/redirect/{target}")));
        assert_eq!((report["status"].as_u64(), arrival.to.port()), (Some(302), 80));
        let location = json!(["location", format!("http://{target}")]);
        assert!(report["headers"].as_array().unwrap().contains(&location), "{report}");
        site.records(1);
        site.assert_alive();
    }
}

/// Following by hand is a request like any other.
fn e02(site: &Site) {
    site.denied(at("169.254.169.254", "/latest/meta-data/"), "HttpRequestDenied", "host_not_allowed");
    site.denied(at("127.0.0.1:9090", "/"), "HttpRequestDenied", "host_not_allowed");
}

/// Names that mean something inside of a platform mean nothing here.
fn e05(site: &Site) {
    for name in
        ["self.internal", "gestaltd", "host.docker.internal", "kubernetes.default.svc", "metadata.google.internal"]
    {
        site.denied(get(name), "HttpRequestDenied", "host_not_allowed");
    }
}

/// No connection outlives its request: two requests are two connections.
fn e06(site: &Site) {
    for _ in 0..2 {
        let (_, arrival) = site.allowed(&get("allowed.test"));
        assert_eq!(arrival.header("connection"), ["close"]);
    }
}

/// Nothing of one request is in the next.
fn e07(site: &Site) {
    site.allowed(&with(at("allowed.test", "/cookie"), json!({"headers": [["Authorization", "Bearer t"]]})));
    let (_, arrival) = site.allowed(&get("allowed.test"));
    let names: Vec<_> =
        arrival.head.lines().skip(1).filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    assert!(!names.iter().any(|name| ["cookie", "authorization", "referer"].contains(name)), "{arrival:?}");
}

/// An app that has another go in its place: only where that was granted, under that one's list, and with the whole chain
/// on record.
fn e11(site: &Site) {
    site.denied(get("allowed.test"), "HttpRequestDenied", "host_not_allowed");
    let wide = Site { app: "e11-wide".into(), house: site.house.clone() };
    let invoke = |params: Value| json!({"act": "invoke", "app": "e11-wide", "operation": "attempt", "params": params});
    let seen = site.call(&invoke(get("allowed.test")));
    assert_eq!(seen.report()["body"]["status"], 200, "{}", seen.answer.text());
    assert_eq!(canary::take(1).len(), 1);
    let record = wide.records(1).remove(0);
    let call = format!("request_id={:?}", record.field("request_id"));
    let log = site.house.log();
    let caller = log.lines().find(|line| line.contains(&call) && line.contains("operation=\"attempt\""));
    let told = ["caller_app=\"e11\"", "caller_chain=\"e11/attempt\""];
    assert!(caller.is_some_and(|line| told.iter().all(|field| line.contains(field))), "{caller:?}");
    let stranger = Site { app: "e11-stranger".into(), house: site.house.clone() };
    let seen = stranger.call(&invoke(get("allowed.test")));
    assert_eq!(seen.report(), json!({"at": "service", "error": "PermissionDenied"}));
    seen.assert_silence(&json!("a call that was not granted"));
    let seen = site.call(&invoke(get("other.test")));
    assert_eq!(seen.report()["body"]["error"], "HttpRequestDenied", "{}", seen.answer.text());
    seen.assert_silence(&json!("other.test"));
    wide.records(1);
    site.records(0);
    site.assert_alive();
}
