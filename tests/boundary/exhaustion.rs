//! G: more than its share. Each limit ends the call that hit it, with its name, and nothing else.

use crate::canary;
use crate::house::{RUNTIME, corpus, serve};
use crate::row::{LISTED, Site, UNLISTED, at, catalogue, with};
use gestalt_tests::examples::{app, package};
use serde_json::{Value, json};

const TIGHT: &[(&str, &str)] = &[("", "runtime: {provider: wasm, template: tight}")];
const HASTY: &[(&str, &str)] =
    &[("", "egress: {allowedHosts: [allowed.test]}, runtime: {provider: wasm, template: hasty}")];
const SLOW: &[(&str, &str)] =
    &[("", "egress: {allowedHosts: [allowed.test]}, runtime: {provider: wasm, template: slow}")];
/// One that takes all it can get, and one that wants to be served meanwhile.
const NEIGHBOURS: &[(&str, &str)] = &[("", "runtime: {provider: wasm, template: tight}"), ("-good", "")];
/// One that takes in little, and one that gives much.
const CALLER: &[(&str, &str)] = &[
    ("", "runtime: {provider: wasm, template: tight}, invokes: [{app: g30-wide, operation: attempt}]"),
    ("-wide", ""),
];

catalogue! {
    Strict TIGHT => g01 g03 g05 g07 g08 g09 g17 g26;
    Strict HASTY => g11 g12 g13 g14 g15;
    Strict LISTED => g16 g31;
    Strict SLOW => g18;
    Strict NEIGHBOURS => g21;
    Strict CALLER => g30;
    Strict UNLISTED => g22_g23;
}

fn over(site: &Site, attempt: Value, limit: &str) {
    site.ended(&attempt, 502, &format!("operation exceeded its {limit} limit"));
}

/// Endless loops, calling the host or not.
fn g01(site: &Site) {
    over(site, json!({"act": "loop"}), "cpuTime");
    over(site, json!({"act": "loop", "hostcalls": true}), "cpuTime");
}

/// Memory: asked for politely it is refused.
fn g03(site: &Site) {
    let seen = site.call(&json!({"act": "allocate", "bytes": 64 << 20}));
    assert_eq!(seen.report(), json!({"at": "allocate", "error": "refused"}));
    site.assert_alive();
}

/// Stacks, the host's and the one in its own memory.
fn g05(site: &Site) {
    over(site, json!({"act": "recurse"}), "stack");
    let seen = site.call(&json!({"act": "recurse", "buffers": true}));
    assert_eq!(seen.answer.code(), 502, "{}", seen.answer.text());
    site.assert_alive();
}

/// Handles that are never given back.
fn g07(site: &Site) {
    for kind in ["contexts", "fields", "pollables"] {
        over(site, json!({"act": "handles", "kind": kind, "count": 100_000}), "handles");
    }
}

/// A text larger than may be handed over at once.
fn g08(site: &Site) {
    let huge = "x".repeat(700 << 10);
    let params = json!({"act": "invoke", "app": "g08", "operation": "attempt", "params": [huge, huge]});
    let seen = site.call(&params);
    assert!([400, 413, 502].contains(&seen.answer.code()), "{}", seen.answer.text());
    site.assert_alive();
}

/// Sleep: no CPU time is used, and the call ends all the same.
fn g09(site: &Site) {
    site.ended(&json!({"act": "sleep", "millis": 3_600_000}), 502, "operation timed out");
}

/// An answer without end.
fn g11(site: &Site) {
    let (report, _) = site.broken(at("allowed.test", "/endless"), "HttpResponseBodySize", Some("limit"));
    assert!(report["bytes"].as_u64().is_some_and(|bytes| bytes <= 256 << 10), "{report}");
    site.broken(at("allowed.test", "/bytes/300000"), "HttpResponseBodySize", Some("limit"));
}

/// Heads without end.
fn g12(site: &Site) {
    for path in ["/heads/1000", "/head/100000"] {
        let (report, _) = site.reached(&at("allowed.test", path));
        let error = report["error"].as_str().unwrap_or_default();
        assert!(["HttpResponseHeaderSectionSize", "HttpProtocolError"].contains(&error), "{path}: {report}");
        assert_eq!(site.records(1)[0].field("reason"), "limit", "{path}");
        site.assert_alive();
    }
}

/// One byte at a time.
fn g13(site: &Site) {
    site.broken(at("allowed.test", "/drip"), "ConnectionReadTimeout", None);
    // A pause of no length is no pause, and no reason to fall over.
    let seen = site.call(&with(at("allowed.test", "/ok"), json!({"betweenBytesMillis": 0})));
    assert!(seen.answer.code() == 200, "{}", seen.answer.text());
    site.records(1);
    assert!(seen.arrivals().len() <= 1);
    site.assert_alive();
}

/// A server that says nothing, and a request that never ends.
fn g14(site: &Site) {
    site.broken(at("allowed.test", "/hold"), "ConnectionReadTimeout", None);
    let unfinished = with(at("allowed.test", "/hold"), json!({"method": "POST", "body": "x", "unfinished": true}));
    site.broken(unfinished, "ConnectionReadTimeout", None);
}

/// More upload than allowed, announced or not; more connections at once than allowed.
fn g15(site: &Site) {
    let post = json!({"method": "POST", "bodyBytes": 1 << 20});
    let seen = site.call(&with(at("allowed.test", "/hold"), post));
    assert_eq!(seen.report()["error"], "HttpRequestBodySize", "{}", seen.answer.text());
    assert_eq!(site.records(1)[0].field("reason"), "limit");
    assert_eq!(seen.arrivals().len(), 1);
    site.assert_alive();
    let attempt = with(at("allowed.test", "/hold"), json!({"act": "http-many", "count": 30, "together": true}));
    let seen = site.call(&attempt);
    let report = seen.report();
    assert!(seen.wire.opened <= 20, "{:?}: {report}", seen.wire);
    assert!(report["ConnectionLimitReached"].as_u64().is_some_and(|refused| refused >= 10), "{report}");
    site.records(30);
    assert_eq!(seen.arrivals().len() as u64, seen.wire.opened);
    site.assert_alive();
}

/// What is compressed stays so: the host unpacks nothing for a guest.
fn g16(site: &Site) {
    let (report, arrival) = site.allowed(&at("allowed.test", "/gzip"));
    assert_eq!((report["bytes"].as_u64(), arrival.header("accept-encoding")), (Some(12), vec![]));
}

/// More log than allowed, by every way there is to it.
fn g17(site: &Site) {
    for stream in ["stdout", "stderr"] {
        let seen = site.call(&json!({"act": "log", "stream": stream, "lines": 4096}));
        let report = seen.report();
        assert!(report["at"] == "log" && report["lines"].as_u64().is_some_and(|lines| lines <= 16), "{report}");
    }
    let before = site.house.log().len();
    site.call(&json!({"act": "log", "stream": "host", "lines": 4096})).report();
    assert!(site.house.log().len() - before < 256 << 10, "the log has grown by {}", site.house.log().len() - before);
    site.assert_alive();
}

/// More requests a minute than allowed.
fn g18(site: &Site) {
    let attempt = with(at("allowed.test", "/ok"), json!({"act": "http-many", "count": 12}));
    let seen = site.call(&attempt);
    assert_eq!(seen.report(), json!({"200": 5, "ConnectionLimitReached": 7}));
    assert_eq!(canary::take(5).len(), 5);
    let limited = site.records(12).iter().filter(|r| r.field("reason") == "limit").count();
    assert_eq!(limited, 7);
    site.assert_alive();
}

/// A storm of calls: some run, some wait, the rest is told to come back later; a neighbour does not notice.
fn g21(site: &Site) {
    RUNTIME.block_on(async {
        let client = site.house.client;
        let storm: Vec<_> = (0..12)
            .map(|_| {
                tokio::spawn(
                    async move { client.call("g21", "attempt", r#"{"act":"sleep","millis":1000}"#).await.code() },
                )
            })
            .collect();
        for _ in 0..5 {
            assert_eq!(client.call("g21-good", "attempt", r#"{"act":"count"}"#).await.json(), json!({"calls": 1}));
        }
        let mut codes = Vec::new();
        for call in storm {
            codes.push(call.await.unwrap());
        }
        let count = |code| codes.iter().filter(|c| **c == code).count();
        assert_eq!((count(200), count(429)), (2, 10), "{codes:?}");
    });
    site.assert_alive();
}

/// One app that takes all the pool has to give, and all of the processor: its share is less than the whole, and others
/// are served meanwhile.
fn g22_g23(_: &Site) {
    let dir = tempfile::tempdir().unwrap();
    let manifest = package(&dir.path().join("corpus"), "entrypoint: {artifactPath: corpus.wasm}\nspec: {}\n", &[]);
    std::fs::copy(corpus(), manifest.with_file_name("corpus.wasm")).unwrap();
    let greedy = "greedy: {concurrency: 100, queue: 0, cpuTime: 3s, timeout: 20s, standby: 0}";
    let runtime = format!("pool: {{instances: 16, share: 50}}, maxConcurrency: 8, templates: {{{greedy}}}");
    let greedy = app("greedy", &manifest, "runtime: {provider: wasm, template: greedy}");
    let served = serve(&format!(
        "runtime: {{providers: {{wasm: {{config: {{{runtime}}}}}}}}}\napps:\n{greedy}{}",
        app("modest", &manifest, "")
    ));
    RUNTIME.block_on(async {
        let client = served.listening().await;
        for act in [r#"{"act":"sleep","millis":2000}"#, r#"{"act":"loop"}"#] {
            let storm: Vec<_> = (0..12)
                .map(|_| tokio::spawn(async move { client.call("greedy", "attempt", act).await.code() }))
                .collect();
            for _ in 0..3 {
                assert_eq!(client.call("modest", "attempt", r#"{"act":"count"}"#).await.json(), json!({"calls": 1}));
                assert_eq!(client.get("/health").await.code(), 200);
            }
            let under_way = storm.iter().filter(|call| !call.is_finished()).count();
            assert_eq!(under_way, 4, "{act}: its share of the calls, all of them still going on");
            for call in storm {
                assert!([200, 429, 502].contains(&call.await.unwrap()), "{act}");
            }
        }
    });
}

/// An answer of another app that is larger than what this one may be handed.
fn g30(site: &Site) {
    let call = |bytes: usize| {
        let huge = json!({"act": "answer", "kind": "huge", "bytes": bytes});
        site.call(&json!({"act": "invoke", "app": "g30-wide", "operation": "attempt", "params": huge}))
    };
    let seen = call(2 << 20);
    assert_eq!(seen.report(), json!({"at": "service", "error": "ResourceExhausted"}));
    // Its own answer has a bound as well, so the status is all that is looked at.
    assert_eq!(call(1 << 10).report()["status"], 200);
    site.assert_alive();
}

/// Callers who say nothing: thousands of them cost neither the app's own requests nor anybody's health.
fn g31(site: &Site) {
    let silent = RUNTIME.block_on(async {
        let mut silent = Vec::new();
        for _ in 0..5_000 {
            silent.push(site.house.client.open([127, 66, 0, 1].into()).await.unwrap());
        }
        silent
    });
    site.allowed(&at("allowed.test", "/ok"));
    site.assert_alive();
    drop(silent);
}

/// A trap in every call is that call's, however often.
fn g26(site: &Site) {
    for _ in 0..4 {
        let seen = site.call(&json!({"act": "panic"}));
        assert_eq!(seen.answer.json(), json!({"error": "operation failed"}));
    }
    site.assert_alive();
}
