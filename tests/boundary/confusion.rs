//! H: confusing the host.

use crate::house::{RUNTIME, corpus, serve};
use crate::network::Counters;
use crate::packages::assert_contained;
use crate::row::{LISTED, Site, UNLISTED, catalogue, get, with};
use crate::{canary, names};
use gestalt_tests::eventually;
use gestalt_tests::examples::{app, package};
use serde_json::json;

const TIGHT: &[(&str, &str)] = &[("", "runtime: {provider: wasm, template: tight}")];
/// An app that may call another.
const GRANTED: &[(&str, &str)] = &[("", "invokes: [{app: h10-other, operation: attempt}]"), ("-other", "")];
/// An app whose time is short, and one that takes its time.
const RACING: &[(&str, &str)] = &[
    ("", "runtime: {provider: wasm, template: tight}, invokes: [{app: h07-slow, operation: attempt}]"),
    ("-slow", "egress: {allowedHosts: [allowed.test]}"),
];

catalogue! {
    Strict UNLISTED => h04_start h08;
    Strict RACING => h07;
    Strict GRANTED => h10;
    Strict UNLISTED => h16;
    Strict LISTED => h04;
    Strict TIGHT => h12 h13;
}

/// A panic in an operation is that call's.
fn h04(site: &Site) {
    site.ended(&json!({"act": "panic"}), 502, "operation failed");
}

/// A panic, a loop or a sleep at the start is that app's.
fn h04_start(_: &Site) {
    for act in ["panic", "loop", "sleep"] {
        let whole = std::fs::read(corpus()).unwrap();
        let more =
            format!("config: {{start: {{act: {act}, millis: 3600000}}}}, runtime: {{provider: wasm, template: brief}}");
        let brief =
            "runtime: {providers: {wasm: {config: {templates: {brief: {startupTimeout: 1s, cpuTime: 300ms}}}}}}\n";
        let (dir, mut config) = (tempfile::tempdir().unwrap(), format!("{brief}apps:\n"));
        for (name, more) in [("bad", more.as_str()), ("good", "")] {
            let own = dir.path().join(name);
            let manifest = package(&own, "entrypoint: {artifactPath: app.wasm}\nspec: {}\n", &[]);
            std::fs::write(own.join("app.wasm"), &whole).unwrap();
            config += &app(name, &manifest, more);
        }
        let served = serve(&config);
        assert_contained(&served, &["bad"]);
    }
}

/// A host call that is still under way when its call's time is up: both end, and what was to come does not.
fn h07(site: &Site) {
    let slow = json!({"act": "http", "scheme": "http", "authority": "allowed.test", "path": "/hold"});
    let seen = site.call(&json!({"act": "invoke", "app": "h07-slow", "operation": "attempt", "params": slow}));
    // The call that is nested ends no later than the one around it, so the guest may still hear of it, or not.
    let heard = seen.answer.code() == 200 && seen.report() == json!({"at": "service", "error": "DeadlineExceeded"});
    assert!(heard || seen.answer.text().contains("timed out"), "{}", seen.answer.text());
    // Its request has ended with it: the record is there, and the server has been hung up on.
    let slow = Site { app: "h07-slow".into(), house: site.house.clone() };
    slow.records(1);
    assert_eq!(canary::take(1).len(), 1);
    slow.assert_alive();
    site.assert_alive();
}

/// Whoever is named in the payload, the caller is the caller.
fn h08(site: &Site) {
    let forged = json!({
        "act": "context", "subject": "user:admin", "context": {"subject": {"id": "system:root"}}, "_subject": "user:admin"
    });
    let report = site.call(&forged).report();
    assert_eq!((&report["subject"], &report["depth"]), (&json!("user:anonymous"), &json!(0)), "{report}");
    let seen = site.call(&json!({
        "act": "invoke", "app": "h08", "operation": "attempt", "credentialMode": "subject",
        "connection": "somebody-elses", "params": {"act": "context"}
    }));
    assert_eq!(seen.report()["at"], "service", "{}", seen.answer.text());
    site.assert_alive();
}

/// A connection of another app, by whoever asks for it: refused, and on record.
fn h10(site: &Site) {
    let call = |more: serde_json::Value| {
        with(json!({"act": "invoke", "app": "h10-other", "operation": "attempt", "params": {"act": "count"}}), more)
    };
    assert_eq!(site.call(&call(json!({}))).report()["status"], 200);
    let seen = site.call(&call(json!({"connection": "somebody-elses"})));
    assert_eq!(seen.report(), json!({"at": "service", "error": "PermissionDenied"}));
    seen.assert_silence(&json!("a connection that was not granted"));
    let log = site.house.log();
    let told = |line: &str| line.contains("caller_app=\"h10\"") && line.contains("connection_not_granted");
    assert!(log.lines().any(told), "no record of it");
    site.assert_alive();
}

/// Rules that are narrowed while the daemon runs hold from the next request on; what cannot be read changes nothing; what
/// is taken out stops.
fn h16(_: &Site) {
    let dir = tempfile::tempdir().unwrap();
    let manifest = package(&dir.path().join("corpus"), "entrypoint: {artifactPath: corpus.wasm}\nspec: {}\n", &[]);
    std::fs::copy(corpus(), manifest.with_file_name("corpus.wasm")).unwrap();
    let config = |first: &str, second: bool| {
        let server = "server: {egress: {defaultAction: deny, audit: {allowed: all}}}\napps:\n";
        let second = if second { app("second", &manifest, "") } else { String::new() };
        format!("{server}{}{second}", app("first", &manifest, first))
    };
    let wide = config("egress: {allowedHosts: [allowed.test]}", true);
    let served = serve(&wide);
    let client = RUNTIME.block_on(served.listening());
    let fetch = || {
        let before = Counters::read();
        let answer = RUNTIME.block_on(client.call("first", "attempt", get("allowed.test").to_string())).json();
        let outcome = [&answer["status"], &answer["error"]].into_iter().find(|v| !v.is_null()).unwrap().to_string();
        (outcome, Counters::read().opened - before.opened - 1)
    };
    let reload = |config: &str, says: &str| {
        let known = served.log().matches(says).count();
        served.reload(config);
        RUNTIME.block_on(eventually(says, || async { (served.log().matches(says).count() > known).then_some(()) }));
    };
    let (allowed, denied) = (("200".to_owned(), 1), ("\"HttpRequestDenied\"".to_owned(), 0));
    assert_eq!(fetch(), allowed);
    assert_eq!(canary::take(1).len(), 1);
    names::take_asked();

    let narrow = config("egress: {allowedHosts: [other.test]}", true);
    reload(&narrow, "configuration reloaded");
    assert_eq!((fetch(), names::take_asked()), (denied.clone(), vec![]));
    for bad in ["apps: {first: {", "apps: {first: {source: ./gone.yaml, egress: {allowedHosts: ['*']}}}"] {
        reload(bad, "not reloaded, all stays as it was");
        assert_eq!((fetch(), names::take_asked()), (denied.clone(), vec![]), "{bad}");
    }
    // Nothing listed is what the default says, and not what was listed before.
    reload(&config("", true), "configuration reloaded");
    assert_eq!(fetch(), denied);
    reload(&wide, "configuration reloaded");
    assert_eq!(fetch(), allowed);
    assert_eq!(canary::take(1).len(), 1);
    names::take_asked();

    let call = |app: &str| RUNTIME.block_on(client.call(app, "attempt", r#"{"act":"count"}"#)).code();
    assert_eq!(call("second"), 200);
    reload(&config("config: {start: {}}", false), "apps.first.config");
    assert_eq!((call("first"), call("second")), (200, 503));
    reload(&wide, "app=second");
    assert_eq!(call("second"), 503, "what was taken out comes back at the next start");
}

/// Answers that are too long, too deep, or of a status there is not.
fn h12(site: &Site) {
    for (answer, limit) in [
        (json!({"kind": "huge", "bytes": 200_000}), Some("result")),
        (json!({"kind": "deep", "levels": 100_000}), None),
        (json!({"kind": "deep", "levels": 30}), None),
        (json!({"kind": "status", "status": 99999}), None),
        (json!({"kind": "status", "status": -1}), None),
        (json!({"kind": "status", "status": 101}), None),
    ] {
        let mut attempt = answer.clone();
        attempt["act"] = json!("answer");
        let seen = site.call(&attempt);
        seen.assert_silence(&attempt);
        assert_eq!(seen.answer.code(), 502, "{answer}: {}", seen.answer.text());
        if let Some(limit) = limit {
            assert!(seen.answer.text().contains(limit), "{answer}: {}", seen.answer.text());
        }
    }
    site.assert_alive();
}

/// Headers that are the daemon's to set, and ones that would end a head early.
fn h13(site: &Site) {
    let headers = json!([
        ["Set-Cookie", "session=stolen"],
        ["Strict-Transport-Security", "max-age=0"],
        ["X-Frame-Options", "ALLOWALL"],
        ["Content-Security-Policy", "default-src *"],
        ["Transfer-Encoding", "chunked"],
        ["Content-Length", "1000000"],
        ["Connection", "upgrade"],
        ["Location", "http://evil.test/"],
        ["Service-Worker-Allowed", "/"],
        ["Link", "</api/v1/h13/attempt>; rel=preload; as=script"],
        ["NEL", "{\"report_to\": \"x\"}"],
        ["Report-To", "{}"],
        ["Reporting-Endpoints", "x=\"http://evil.test/\""],
        ["Refresh", "0; url=http://evil.test/"],
        ["Clear-Site-Data", "\"*\""],
        ["Access-Control-Allow-Origin", "*"],
        ["WWW-Authenticate", "Basic"],
        ["X-Accel-Redirect", "/etc/passwd"],
        ["X-Anything", "1"],
        ["ETag", "1"]
    ]);
    let seen = site.call(&json!({"act": "answer", "kind": "headers", "headers": headers}));
    let set: Vec<_> = seen.answer.headers.keys().map(|name| name.as_str()).collect();
    let known = |name: &&str| {
        ["content-length", "content-security-policy", "content-type", "date", "etag", "x-content-type-options"]
            .contains(name)
            || *name == "x-frame-options"
    };
    assert!(set.iter().all(known), "{set:?}");
    let got = |name: &str| seen.answer.headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!((got("etag"), got("set-cookie"), got("x-injected")), (vec!["1"], vec![], vec![]));
    assert_eq!((got("content-type"), got("x-content-type-options")), (vec!["application/json"], vec!["nosniff"]));
    assert_eq!((got("x-frame-options"), got("strict-transport-security")), (vec!["DENY"], vec![]));
    assert!(
        matches!(got("content-security-policy")[..], [policy] if policy.starts_with("sandbox; default-src 'none'"))
    );
    assert_eq!((seen.answer.code(), seen.answer.text(), got("location")), (200, "{}".to_owned(), vec![]));
    for (name, value) in [("X-Split", "a\r\nX-Injected: 1"), ("X Bad Name", "1"), ("X-Nul", "a\0")] {
        let attempt = json!({"act": "answer", "kind": "headers", "headers": [[name, value]]});
        site.ended(&attempt, 502, "operation failed");
    }
}
