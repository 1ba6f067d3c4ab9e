//! Rows of the threat model's catalogue (`egress.md` §2) that no other test here bears the id of.

use crate::fixture::{Events, Setup, call, runtime_limits, settings, until};
use crate::handmade::Handmade;
use gestalt_core::ExecError;
use gestalt_core::limits::{ByteSize, Isolation, Limits, PoolLimits, RuntimeLimits};
use gestalt_core::metrics::Event;
use gestalt_runtime_wasm::{Runtime, Settings, WasmError};
use serde_json::json;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A runtime of a test's own, and what it counts.
fn counting(limits: RuntimeLimits) -> (Runtime, Arc<Events>, tempfile::TempDir) {
    let (dir, events) = (tempfile::tempdir().unwrap(), Arc::new(Events::default()));
    let settings = Settings { meter: events.clone(), ..settings(limits, dir.path().join("cache")) };
    (Runtime::build(settings).unwrap(), events, dir)
}

async fn verdict(wat: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.wasm");
    fs::write(&path, wat::parse_str(wat).unwrap()).unwrap();
    Setup::of(path).failure().await.to_string()
}

/// An app by its world alone, around more of the component.
fn app_around(more: &str) -> String {
    format!(r#"(component {more} (instance $i) (export "gestalt:provider/app-provider@0.4.0" (instance $i)))"#)
}

#[tokio::test]
async fn e07_no_cookie_and_no_credential_carries_over() {
    let app = Setup::probe().limits(|l| l.isolation = Isolation::App).launch().await;
    for _ in 0..2 {
        let answer = app.ask("fetch", json!({"host": "cookies.test", "path": "/", "body": "x"})).await;
        assert_eq!(answer, json!([201, "x"]));
    }
    for sent in app.host.sent.lock().unwrap().iter() {
        assert!(!sent.head.headers.contains_key("cookie") && !sent.head.headers.contains_key("authorization"));
    }
}

#[tokio::test]
async fn f07_exit_ends_its_call_only() {
    let app = Setup::probe().launch().await;
    for code in [0, 3] {
        assert!(app.failure("exit", json!({"code": code})).await.contains("the app called exit"));
        assert_eq!(app.ask("count", json!({})).await, 1);
    }
}

#[tokio::test]
async fn g04_a_component_of_too_many_parts_does_not_start() {
    for (change, expect) in [
        ((|l| l.instances = 2) as fn(&mut Limits), "app did not start: instances limit exceeded"),
        (|l| l.memories = 0, "app did not start: memories limit exceeded"),
        (|l| l.tables = 0, "app did not start: tables limit exceeded"),
        (|l| l.table_elements = 1, "app did not start: tableElements limit exceeded"),
    ] {
        let error = Setup::probe().limits(change).failure().await.to_string();
        assert!(error.starts_with(expect), "{error}");
    }
    // More than any slot of the pool holds is found out before anything starts.
    let memories = "(core module $m (memory 1)) ".to_owned() + &"(core instance (instantiate $m)) ".repeat(5);
    let error = verdict(&app_around(&memories)).await;
    assert!(error.contains("5 Wasm linear memories, which exceeds the configured maximum of 4"), "{error}");
    let error = verdict(&app_around("(core module $m (table 20001 funcref)) (core instance (instantiate $m))")).await;
    assert!(error.contains("20001"), "{error}");
}

#[tokio::test]
async fn g17_a_minute_of_logs_is_shared_by_all_calls() {
    let (runtime, events, _dir) = counting(runtime_limits());
    let setup = Setup::probe().limits(|l| l.log_per_minute = ByteSize::kib(64));
    let app = setup.launch_on(&runtime).await.unwrap();
    for _ in 0..20 {
        // No failure: many a guest would end by it.
        assert_eq!(app.ask("print", json!({"bytes": 10 << 10})).await, json!(null));
    }
    let written: usize = app.host.lines().iter().map(String::len).sum();
    assert!(written < 70 << 10, "{written}");
    let said = app.host.lines().iter().filter(|l| l.ends_with("log cut off: more than 64KiB within a minute")).count();
    assert_eq!((said, events.limits()), (1, vec!["logs.perMinute"]));
}

#[tokio::test]
async fn g22_one_app_has_its_share_of_the_pool_and_no_more() {
    let pool = PoolLimits { instances: 40, share: 25, ..PoolLimits::default() };
    let (runtime, _, _dir) = counting(RuntimeLimits { pool, max_concurrency: 20, ..runtime_limits() });
    let greedy: fn(&mut Limits) = |l| (l.concurrency, l.standby, l.queue) = (1_000, 1_000, 0);
    let storm = Setup::probe().limits(greedy).launch_on(&runtime).await.unwrap();
    let quiet = Setup::probe().launch_on(&runtime).await.unwrap();
    let flights: Vec<_> = (0..30)
        .map(|_| {
            let executor = storm.executor.clone();
            tokio::spawn(async move { executor.execute(call("invoke", r#"{"app":"silent","operation":"x"}"#)).await })
        })
        .collect();
    until("in flight", || storm.host.invoked.lock().unwrap().len() == 5).await;
    let mut turned_away = 0;
    for flight in flights {
        if flight.is_finished() {
            assert!(matches!(flight.await.unwrap(), Err(ExecError::Busy { what: "queue" })));
            turned_away += 1;
        } else {
            assert_eq!(quiet.ask("count", json!({})).await, 1);
            flight.abort();
        }
    }
    assert_eq!(turned_away, 25);
}

#[tokio::test]
async fn g25_there_are_no_streams_futures_and_subtasks() {
    for part in ["(type (stream u8))", "(type (future u8))", "(core func (canon subtask.drop))"] {
        let error = verdict(&app_around(part)).await;
        assert!(error.starts_with("component is invalid"), "{part}: {error}");
    }
}

#[tokio::test]
async fn g26_an_app_that_traps_every_time_is_turned_away() {
    let (runtime, events, _dir) = counting(runtime_limits());
    let setup = Setup::probe().limits(|l| l.breaker.cooldown = Duration::from_millis(300));
    let app = setup.launch_on(&runtime).await.unwrap();
    let beside = Setup::probe().launch_on(&runtime).await.unwrap();
    for _ in 0..5 {
        assert!(app.failure("panic", json!({})).await.starts_with("app failed"));
    }
    let refused = app.call("count", json!({})).await.err().unwrap();
    assert!(matches!(refused, ExecError::Breaker { .. }) && refused.limit() == Some("breaker"), "{refused}");
    assert_eq!(beside.ask("count", json!({})).await, 1);
    // After the cooldown one call tries, and lets the others in.
    let mut answer = None;
    until("let in", || {
        let reply = futures::FutureExt::now_or_never(app.call("echo", json!({"a": 1})));
        answer = reply.and_then(Result::ok);
        answer.is_some()
    })
    .await;
    assert_eq!(app.ask("count", json!({})).await, 1);
    let seen: Vec<_> = events
        .all()
        .iter()
        .filter_map(|event| match event {
            Event::Trap { .. } => Some("trap"),
            Event::Breaker { open: true, .. } => Some("open"),
            Event::Breaker { open: false, .. } => Some("closed"),
            _ => None,
        })
        .collect();
    assert_eq!(seen, ["trap", "trap", "trap", "trap", "trap", "open", "closed"]);
    assert!(events.limits().iter().all(|limit| *limit == "breaker"));
}

#[tokio::test]
async fn g29_shared_and_wide_memories_are_refused() {
    for (memory, expect) in [("1 1 shared", "threads"), ("i64 1", "memory64")] {
        let error = verdict(&app_around(&format!("(core module (memory {memory}))"))).await;
        assert!(error.starts_with("component is invalid") && error.contains(expect), "{memory}: {error}");
    }
}

/// What is linked from a component's own description is bounded: to tell its resources apart is work for each pair of them.
#[tokio::test]
async fn h14_interfaces_of_very_many_resources_are_refused() {
    let many: String = (0..50_000).map(|i| format!("(export \"r{i}\" (type (sub resource)))")).collect();
    let import = format!("(import \"wasi:sockets/tcp@0.2.0\" (instance {many}))");
    let begun = Instant::now();
    let error = verdict(&app_around(&import)).await;
    assert!(error.contains("wasi:sockets/tcp@0.2.0 has more resources than there are"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(60));
}

/// Proposals that no toolchain for apps emits: each refused by its own name where it has one, whatever the engine could do.
#[tokio::test]
async fn g28_what_no_app_is_written_in_is_refused() {
    for (part, expect) in [
        ("(core module (type (struct (field i32))))", "gc"),
        ("(core module (type (array i8)))", "gc"),
        ("(core module (func (param (ref null any))))", ""),
        ("(core module (type $f (func)) (func (param (ref $f))))", "function references"),
        ("(core module (tag))", "exceptions"),
        ("(core module (func try_table end))", "exceptions"),
        ("(core module (type $f (func)) (type (cont $f)))", "stack"),
        ("(core module (memory 1 (pagesize 1)))", "custom page sizes"),
        (
            "(core module (func (param i64 i64 i64 i64) (result i64 i64)
                (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3))))",
            "wide arithmetic",
        ),
        ("(core module (memory 1) (func (drop (i32.atomic.load (i32.const 0)))))", "threads"),
        ("(core module (table i64 1 funcref))", "memory64"),
        ("(type (list u8 4))", "fixed-length lists"),
        ("(core func (canon context.get i32 0))", "async"),
        ("(core func (canon thread.yield))", ""),
        ("(core func (canon error-context.drop))", "error-context"),
    ] {
        let error = verdict(&app_around(part)).await;
        assert!(error.starts_with("component is invalid") && error.contains(expect), "{part}: {error}");
    }
}

#[tokio::test]
async fn g30_what_the_host_hands_over_is_bounded() {
    let app = Setup::probe().launch().await;
    let answer = app.ask("invoke", json!({"app": "large", "operation": "x"})).await;
    assert!(answer.as_str().unwrap().starts_with("StatusCode::ResourceExhausted"), "{answer}");
    let change: fn(&mut Limits) = |l| l.random_bytes = ByteSize(100);
    let app = Setup::probe().limits(change).launch().await;
    assert_eq!(app.ask("random", json!({"bytes": 100})).await, 100);
    let error = app.failure("random", json!({"bytes": 101})).await;
    assert_eq!(error, "randomBytes limit exceeded: more than 100B at once");
}

#[tokio::test]
async fn h07_h09_a_context_ends_with_its_call() {
    let app = Setup::probe().limits(|l| l.isolation = Isolation::App).launch().await;
    app.ask("keep", json!({})).await;
    let answer = app.ask("use-kept", json!({"app": "other", "operation": "x"})).await;
    assert_eq!(answer, "StatusCode::DeadlineExceeded: the call this context belongs to is over");
    assert!(app.host.invoked.lock().unwrap().is_empty());
    assert_eq!(app.ask("invoke", json!({"app": "other", "operation": "x"})).await["status"], 207);
}

#[tokio::test]
async fn each_limit_is_counted_under_its_name() {
    let (runtime, events, _dir) = counting(runtime_limits());
    let setup = Setup::probe().limits(|l| {
        (l.memory, l.result, l.handles, l.random_bytes) = (ByteSize::mib(8), ByteSize::kib(4), 100, ByteSize(10));
        (l.timeout, l.cpu_time) = (Duration::from_secs(5), Duration::from_millis(50));
        (l.log_per_call, l.breaker.traps) = (ByteSize::kib(1), 0);
    });
    let app = setup.launch_on(&runtime).await.unwrap();
    for (operation, params, limit) in [
        ("loop", json!({}), "cpuTime"),
        ("sleep", json!({"ms": 60_000}), "timeout"),
        ("allocate", json!({"bytes": 64 << 20}), "memory"),
        ("handles", json!({"times": 200}), "handles"),
        ("random", json!({"bytes": 11}), "randomBytes"),
        ("blob", json!({"bytes": 5 << 10}), "result"),
        ("answer", json!({"body": "[", "times": 65}), "resultDepth"),
        ("fields", json!({"times": 100}), "fieldBytes"),
    ] {
        let error = app.call(operation, params).await.err().unwrap();
        assert_eq!(error.limit(), Some(limit), "{operation}: {error}");
        assert_eq!(events.limits().pop(), Some(limit));
    }
    app.ask("print", json!({"bytes": 2 << 10})).await;
    assert_eq!(events.limits().pop(), Some("logs.perCall"));
}

#[tokio::test]
async fn what_the_runtime_cannot_give_is_refused_at_launch() {
    for (change, expect) in [
        (
            (|l| l.table_elements = 20_001) as fn(&mut Limits),
            "tableElements of 20001 is more than the runtime's pool.tableElements of 20000",
        ),
        (|l| l.timeout = Duration::from_secs(301), "timeout of 301s is more than the runtime's maxTimeout of 300s"),
    ] {
        let error = Setup::probe().limits(change).failure().await;
        assert!(matches!(error, WasmError::Limits { .. }));
        assert_eq!(error.to_string(), expect);
    }
}

/// Five thousand calls in each other fit into the stack there usually is, and not into a smaller one.
#[tokio::test]
async fn a_smaller_stack_ends_a_recursion_earlier() {
    let nested = Handmade::new(&[("execute", "(call $down (i32.const 5000)) (call $answer (i32.const 200))")])
        .with("(func $down (param i32) (if (local.get 0) (then (call $down (i32.sub (local.get 0) (i32.const 1))))))");
    let app = nested.setup().launch().await;
    assert_eq!(app.executor.execute(call("x", "{}")).await.unwrap().status, 200);
    let (runtime, _, _dir) = counting(RuntimeLimits { stack: ByteSize::kib(64), ..runtime_limits() });
    let app = nested.setup().launch_on(&runtime).await.unwrap();
    let error = app.executor.execute(call("x", "{}")).await.err().unwrap();
    assert_eq!(error.limit(), Some("stack"), "{error}");
}
