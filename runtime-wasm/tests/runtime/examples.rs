//! The example apps, as their authors wrote them: what a component made with the guest SDK does on this runtime.

use crate::fixture::{App, Setup, call, example};
use gestalt_core::ExecError;
use gestalt_core::limits::{ByteSize, Limits};
use serde_json::{Value, json};
use std::time::Duration;

async fn launch(name: &str) -> App {
    Setup::of(example(name)).launch().await
}

#[tokio::test]
async fn echo_answers_what_it_is_asked() {
    let app = launch("echo").await;
    let text = r#"{"n":9007199254740993,"nested":{"list":[1,2.50,-0],"text":"grüße\n"}}"#;
    let reply = app.executor.execute(call("echo", text)).await.unwrap();
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    assert_eq!(reply.body, text.as_bytes());

    let reply = app.call("fail", json!({"status": 403, "message": "nope"})).await.unwrap();
    assert_eq!((reply.status, reply.body.as_ref()), (403, br#"{"error":"nope"}"#.as_slice()));
    assert_eq!(app.ask("slow", json!({"millis": 1})).await, json!({"slept": 1}));
    let headers = json!({"status": 201, "headers": {"X-Two": ["a", "b"]}, "body": {"ok": true}});
    let reply = app.call("respond", headers).await.unwrap();
    let two: Vec<_> = reply.headers.iter().filter(|(n, _)| n == "X-Two").map(|(_, v)| v.as_str()).collect();
    assert_eq!((reply.status, two), (201, vec!["a", "b"]));

    assert!(matches!(app.call("nonsense", json!({})).await, Err(ExecError::UnknownOperation { .. })));
    assert!(matches!(app.call("crash", json!({})).await, Err(ExecError::Failed(_))));
    assert_eq!(app.call("echo", json!({})).await.unwrap().status, 200);
}

#[tokio::test]
async fn echo_describes_its_operations() {
    let catalog = launch("echo").await.executor.catalog(None).await.unwrap();
    assert_eq!(catalog.display_name, "Echo");
    let fail = catalog.find("fail").unwrap();
    assert_eq!((fail.method.as_str(), fail.title.as_str()), ("POST", "Fail"));
    assert_eq!(fail.input_schema.as_ref().unwrap()["properties"]["status"]["type"], "integer");
    assert!(catalog.find("echo").unwrap().read_only);
}

#[tokio::test]
async fn caller_calls_and_hears_refusals() {
    let app = launch("caller").await;
    let answer = app.ask("call", json!({"app": "other", "operation": "x", "params": {"a": 1}})).await;
    assert_eq!((&answer["status"], &answer["body"]), (&json!(207), &json!({"a": 1})));
    let answer = app.ask("call", json!({"app": "gone", "operation": "x"})).await;
    assert_eq!(answer["refused"], json!({"code": "not-found", "message": "no such app"}));
    let whoami = app.ask("whoami", json!({})).await;
    assert_eq!((&whoami["subject"], &whoami["callChain"]), (&json!("user:anonymous"), &json!(["probe/whoami"])));
}

#[tokio::test]
async fn fetch_reaches_what_its_outbound_reaches() {
    let app = launch("fetch").await;
    let answer = app.ask("get", json!({"url": "http://echo.test/x", "method": "POST", "body": "hi"})).await;
    assert_eq!((&answer["status"], &answer["body"]), (&json!(201), &json!("hi")));
    let answer = app.ask("get", json!({"url": "https://denied.error/"})).await;
    assert_eq!(answer["error"], "http-request-denied");
}

#[tokio::test]
async fn hostile_reaches_nothing() {
    let app = launch("hostile").await;
    let address = json!({"address": "127.0.0.1:80"});
    for (operation, params) in [
        ("tcp", address.clone()),
        ("udp", address),
        ("resolve", json!({"address": "localhost:80"})),
        ("files", json!({"path": "/etc/passwd"})),
    ] {
        let attempts = app.ask(operation, params).await;
        for (what, outcome) in attempts.as_object().unwrap() {
            assert_ne!(outcome, "ok", "{operation}: {what}");
        }
    }
    let env = app.ask("env", json!({})).await;
    assert_eq!(env, json!({"vars": {}, "args": [], "stdin": "0 bytes"}));
}

#[tokio::test]
async fn hostile_is_contained() {
    let bound = |l: &mut Limits| {
        l.memory = ByteSize::mib(64);
        l.cpu_time = Duration::from_secs(3);
        l.timeout = Duration::from_secs(10);
        l.handles = 1000;
        l.log_per_call = ByteSize::kib(8);
        // It does nothing but trap here.
        l.breaker.traps = 0;
    };
    let app = Setup::of(example("hostile")).limits(bound).launch().await;
    for (operation, params, expect) in [
        ("loop", json!({}), "cpuTime limit"),
        ("loop", json!({"hostcalls": true}), "cpuTime limit"),
        ("allocate", json!({"bytes": 1 << 30, "insist": true}), "memory limit"),
        ("recurse", json!({}), "stack limit"),
        ("recurse", json!({"buffers": true}), "app failed: wasm trap"),
        ("sleep", json!({"millis": 3_600_000}), "deadline"),
        ("handles", json!({"kind": "contexts", "count": 2000}), "handles limit"),
        ("handles", json!({"kind": "fields", "count": 2000}), "handles limit"),
        ("handles", json!({"kind": "pollables", "count": 2000}), "handles limit"),
        ("requests", json!({"authority": "silent.test", "count": 2}), "deadline"),
        ("panic", json!({}), "app failed"),
        ("exit", json!({"code": 3}), "app failed: the app called exit"),
        ("huge", json!({"bytes": 9 << 20}), "result limit"),
        ("deep", json!({"levels": 100_000}), "resultDepth limit"),
        ("headers", json!({}), "is not valid"),
    ] {
        let error = app.failure(operation, params.clone()).await;
        // What loops runs when nothing else wants the processor: on a busy machine the wall clock may come first.
        let in_time = operation == "loop" && error.contains("deadline");
        assert!(error.contains(expect) || in_time, "{operation} {params}: {error}");
        assert_eq!(app.ask("count", json!({})).await, json!({"calls": 1}), "after {operation}");
    }
    assert_eq!(app.ask("allocate", json!({"bytes": 1 << 30})).await["refused"], true);
    for stream in ["stdout", "stderr"] {
        let flood: Value = app.ask("log", json!({"stream": stream, "lines": 1000})).await;
        assert!(flood["lines"].as_u64().unwrap() <= 8, "{flood}");
    }
}

#[tokio::test]
async fn hostile_cannot_hold_up_its_launch() {
    for (start, expect) in [
        ("panic", "app failed"),
        ("loop", "cpuTime limit"),
        ("sleep", "startupTimeout limit"),
        ("exit", "exit"),
        ("error", "refuses to start on purpose"),
    ] {
        let setup = Setup::of(example("hostile")).config(json!({"start": start})).limits(|l| {
            l.startup_timeout = Duration::from_millis(500);
            l.cpu_time = Duration::from_millis(100);
        });
        let error = setup.failure().await.to_string();
        assert!(error.starts_with("app did not start:") && error.contains(expect), "{start}: {error}");
    }
}
