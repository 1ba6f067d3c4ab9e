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
/// One that uses a credential it does not hold, toward one of the hosts it may reach.
const KEPT: &[(&str, &str)] = &[(
    "",
    "egress: {allowedHosts: ['*.wild.test'], credentials: [{header: Authorization, hosts: [one.wild.test], \
     value: hunter2-hunter2, env: KEY}]}",
)];

catalogue! {
    Strict LISTED => e01 e02 e05 e06 e07;
    Strict KEPT => e08;
    Strict LISTED => e10;
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

/// A credential the app does not hold, sent where it is for and where it is not.
fn e08(site: &Site) {
    let key = site.call(&json!({"act": "process"})).report()["vars"]["KEY"].as_str().unwrap().to_owned();
    assert!(!key.contains("hunter2"), "{key}");
    let send = |host: &str, header: &str| {
        let headers = json!({"scheme": "https", "headers": [[header, format!("Bearer {key}")]]});
        let (report, arrival) = site.reached(&with(at(host, "/ok"), headers));
        assert_eq!(report["status"], 200, "{report}");
        (arrival.header(header)[0].to_owned(), site.records(1).remove(0))
    };
    let (sent, record) = send("one.wild.test", "authorization");
    assert_eq!((sent.as_str(), record.field("credential")), ("Bearer hunter2-hunter2", "injected"));
    for (host, header) in [("two.wild.test", "authorization"), ("one.wild.test", "x-other")] {
        let (sent, record) = send(host, header);
        assert_eq!((sent, record.field("credential")), (format!("Bearer {key}"), "withheld"), "{host} {header}");
    }
    assert!(!site.house.log().contains("hunter2"));
    site.assert_alive();
}

/// A listed host that passes on what it gets cannot be told from one that does not; how much it gets is on record.
fn e10(site: &Site) {
    let upload = with(
        at("allowed.test", "/bytes/4000"),
        json!({
            "method": "POST", "bodyBytes": 200_000, "headers": [["Content-Length", "200000"]]
        }),
    );
    let (report, _) = site.reached(&upload);
    assert_eq!(report["bytes"], 4000, "{report}");
    let record = site.records(1).remove(0);
    let volume = |name: &str| record.field(name).parse::<u64>().unwrap();
    assert!((200_000..202_000).contains(&volume("bytes_sent")), "{record:?}");
    assert!((4_000..6_000).contains(&volume("bytes_received")), "{record:?}");
    site.assert_alive();
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
