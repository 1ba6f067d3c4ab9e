//! H: confusing the host.

use crate::house::{RUNTIME, corpus, serve};
use crate::row::{LISTED, Site, UNLISTED, catalogue};
use gestalt_tests::Served;
use gestalt_tests::examples::{app, package};
use serde_json::json;

const TIGHT: &[(&str, &str)] = &[("", "runtime: {provider: wasm, template: tight}")];

catalogue! {
    Strict UNLISTED => h01 h04_start h08;
    Strict LISTED => h04;
    Strict TIGHT => h12 h13;
}

/// Packages with these bytes for a component, and a good one beside them.
fn with_bad(bad: &[(&str, Vec<u8>)], more: &str) -> (Served, tempfile::TempDir) {
    let (dir, mut config) = (tempfile::tempdir().unwrap(), "apps:\n".to_owned());
    let good = ("good", std::fs::read(corpus()).unwrap());
    for (name, bytes) in bad.iter().chain([&good]) {
        let own = dir.path().join(name);
        let manifest = package(&own, "entrypoint: {artifactPath: app.wasm}\nspec: {}\n", &[]);
        std::fs::write(own.join("app.wasm"), bytes).unwrap();
        config += &app(name, &manifest, if *name == "good" { "" } else { more });
    }
    (serve(&config), dir)
}

/// The bad ones answer 503, the good one answers.
fn assert_contained(served: &Served, bad: &[&str]) {
    RUNTIME.block_on(async {
        let client = served.listening().await;
        for name in bad {
            assert_eq!(client.call(name, "attempt", "{}").await.code(), 503, "{name}");
        }
        assert_eq!(client.call("good", "attempt", r#"{"act":"count"}"#).await.json(), json!({"calls": 1}));
        assert_eq!(client.get("/ready").await.code(), 200);
    });
}

/// Bytes that are no component, or stop being one.
fn h01(_: &Site) {
    let whole = std::fs::read(corpus()).unwrap();
    let mut garbled = whole.clone();
    garbled.iter_mut().skip(4096).step_by(97).for_each(|byte| *byte ^= 0x55);
    let bad = [
        ("truncated", whole[..whole.len() / 2].to_vec()),
        ("garbled", garbled),
        ("module", wat::parse_str("(module)").unwrap()),
        ("worldless", wat::parse_str("(component)").unwrap()),
        ("random", (0..65536_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
        ("headed", [b"\0asm\x0d\0\x01\0".as_slice(), &[0xff; 4096]].concat()),
        ("empty", Vec::new()),
    ];
    let (served, _dir) = with_bad(&bad, "");
    assert_contained(&served, &bad.each_ref().map(|(name, _)| *name));
    assert!(!served.log().contains("panicked"), "{}", served.log());
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
        ["X-Fine", "1"]
    ]);
    let seen = site.call(&json!({"act": "answer", "kind": "headers", "headers": headers}));
    let got = |name: &str| seen.answer.headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!((got("x-fine"), got("set-cookie"), got("x-injected")), (vec!["1"], vec![], vec![]));
    assert_eq!((got("x-frame-options"), got("strict-transport-security")), (vec!["DENY"], vec![]));
    assert!(got("content-security-policy").iter().all(|policy| !policy.contains('*')));
    assert_eq!((seen.answer.code(), seen.answer.text(), got("location")), (200, "{}".to_owned(), vec![]));
    for (name, value) in [("X-Split", "a\r\nX-Injected: 1"), ("X Bad Name", "1"), ("X-Nul", "a\0")] {
        let attempt = json!({"act": "answer", "kind": "headers", "headers": [[name, value]]});
        site.ended(&attempt, 502, "operation failed");
    }
}
