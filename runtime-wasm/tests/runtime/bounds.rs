//! Every bound of an app, hit on purpose. After each the app answers the next call.

use crate::fixture::{Setup, call, runtime_limits, settings, until};
use crate::handmade::Handmade;
use gestalt_core::ExecError;
use gestalt_core::limits::{ByteSize, Limits, PoolLimits, RuntimeLimits};
use gestalt_runtime_wasm::{Runtime, WasmError};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Runs an operation into a bound.
async fn check(change: fn(&mut Limits), operation: &str, params: Value, expect: &str) {
    let app = Setup::probe().limits(change).launch().await;
    let error = app.failure(operation, params).await;
    assert!(error.contains(expect), "{operation}: {error}");
    assert_eq!(app.ask("count", json!({})).await, 1, "after {operation}");
}

#[tokio::test]
async fn g01_cpu_time_ends_a_loop() {
    let begun = Instant::now();
    check(|l| l.cpu_time = Duration::from_millis(50), "loop", json!({}), "cpuTime limit exceeded: more than 50ms")
        .await;
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn cpu_time_is_not_used_while_a_guest_waits() {
    let app = Setup::probe().limits(|l| l.cpu_time = Duration::from_millis(100)).launch().await;
    app.ask("naps", json!({"times": 30, "ms": 11})).await;
}

#[tokio::test]
async fn g23_a_busy_guest_lets_others_have_the_thread() {
    // One thread for all: the loop and the call beside it.
    let app = Setup::probe().limits(|l| l.cpu_time = Duration::from_millis(500)).launch().await;
    // From before the loop begins: it has the thread first.
    let begun = Instant::now();
    let busy = app.call("loop", json!({}));
    let quick = async {
        app.ask("count", json!({})).await;
        begun.elapsed()
    };
    let (busy, quick) = futures::join!(busy, quick);
    assert!(busy.is_err());
    assert!(quick < Duration::from_millis(400), "{quick:?}");
}

#[tokio::test]
async fn g09_wall_time_ends_a_sleeper() {
    check(|l| l.timeout = Duration::from_millis(50), "sleep", json!({"ms": 3_600_000}), "deadline exceeded").await;
}

#[tokio::test]
async fn g03_memory_ends_a_hog_and_a_careful_guest_copes() {
    let change: fn(&mut Limits) = |l| l.memory = ByteSize::mib(8);
    check(change, "allocate", json!({"bytes": 64 << 20}), "memory limit exceeded").await;
    let app = Setup::probe().limits(change).launch().await;
    assert_eq!(app.ask("try-allocate", json!({"bytes": 64 << 20})).await, true);
    assert_eq!(app.ask("allocate", json!({"bytes": 1 << 20})).await, 1 << 20);
}

#[tokio::test]
async fn g05_a_recursion_without_end_is_a_trap() {
    let app = Setup::probe().launch().await;
    // Rust's stack is in linear memory: it runs out there before, or on the machine's stack as this one.
    let error = app.failure("recurse", json!({"seed": 1})).await;
    assert!(error.contains("stack limit exceeded") || error.contains("out of bounds memory access"), "{error}");
    assert_eq!(app.ask("count", json!({})).await, 1);
}

#[tokio::test]
async fn g07_handles_and_host_objects_are_counted() {
    let change: fn(&mut Limits) = |l| l.handles = 100;
    check(change, "handles", json!({"times": 200}), "handles limit exceeded").await;
    check(change, "retain", json!({"times": 200}), "handles limit exceeded").await;
    // What the host keeps behind a handle counts as well: a pollable stands for two objects.
    let app = Setup::probe().limits(change).launch().await;
    let error = app.failure("handles", json!({"times": 70})).await;
    assert_eq!(error, "handles limit exceeded: more than 100 host objects");
}

#[tokio::test]
async fn g08_one_import_takes_only_so_many_bytes() {
    check(
        |l| (l.hostcall_bytes, l.log_per_call) = (ByteSize::mib(1), ByteSize::mib(64)),
        "log",
        json!({"bytes": 4 << 20}),
        "hostcallBytes limit exceeded",
    )
    .await;
}

#[tokio::test]
async fn c16_header_fields_take_only_so_much_memory() {
    check(|_| {}, "fields", json!({"times": 100}), "fieldBytes limit exceeded: more than 64KiB").await;
}

#[tokio::test]
async fn h12_answers_are_bounded_in_size_and_depth() {
    check(
        |l| l.result = ByteSize::kib(64),
        "answer",
        json!({"body": "xxxxxxxx", "times": 9000}),
        "result limit exceeded",
    )
    .await;
    check(|_| {}, "answer", json!({"body": "[", "times": 65}), "resultDepth limit exceeded").await;
    let app = Setup::probe().launch().await;
    let text = json!({"type": "text/plain", "body": "[", "times": 100_000});
    assert_eq!(app.call("answer", text).await.unwrap().body.len(), 100_000);
}

#[tokio::test]
async fn g17_a_log_flood_is_cut_off_and_said_once() {
    let app = Setup::probe().limits(|l| l.log_per_call = ByteSize::kib(16)).launch().await;
    for to in ["stdout", "stderr"] {
        let written = app.ask("print", json!({"bytes": 1 << 20, "to": to})).await;
        assert_eq!(written, "BrokenPipe", "{to}");
    }
    assert_eq!(app.ask("log", json!({"bytes": 17 << 10})).await, "StatusCode::ResourceExhausted");
    let lines = app.host.lines();
    let said = lines.iter().filter(|l| l.ends_with("log cut off: more than 16KiB in one call")).count();
    assert_eq!(said, 3, "once per call");
    let written: usize = lines.iter().map(String::len).sum();
    assert!(written < 3 * (17 << 10), "{written}");
}

#[tokio::test]
async fn a_start_that_never_ends_is_given_up() {
    let setup = Setup::probe().config(json!({"sleep": true})).limits(|l| l.startup_timeout = Duration::from_millis(50));
    let error = setup.failure().await.to_string();
    assert_eq!(error, "app did not start: startupTimeout limit exceeded: not started after 50ms");
    let setup = Setup::probe().env("CATALOG", "loop").limits(|l| l.cpu_time = Duration::from_millis(30));
    let error = setup.failure().await.to_string();
    assert_eq!(error, "app did not start: cpuTime limit exceeded: more than 30ms");
}

#[tokio::test]
async fn g21_calls_at_once_are_bounded_then_queued_then_turned_away() {
    let app = Setup::probe().limits(|l| (l.concurrency, l.queue, l.queue_timeout) = (2, 1, Duration::from_millis(50)));
    let app = app.launch().await;
    let silent = || app.executor.execute(call("invoke", r#"{"app":"silent","operation":"x"}"#));
    let running = [app.clone(), app.clone()].map(|app| {
        tokio::spawn(async move { app.call("invoke", json!({"app": "silent", "operation": "x"})).await.map(drop) })
    });
    until("running", || app.host.invoked.lock().unwrap().len() == 2).await;
    let mut third = silent();
    assert!(futures::poll!(&mut third).is_pending());
    assert!(matches!(silent().await, Err(ExecError::Busy { what: "queue" })));
    assert!(matches!(third.await, Err(ExecError::Busy { what: "queueTimeout" })));
    let mut waiting = app.executor.execute(call("count", "{}"));
    assert!(futures::poll!(&mut waiting).is_pending());
    running[0].abort();
    assert_eq!(waiting.await.unwrap().body, "1");
}

#[tokio::test]
async fn g22_one_apps_storm_leaves_room_for_another() {
    let storm = Setup::probe().limits(|l| (l.concurrency, l.queue) = (4, 100)).launch().await;
    let quiet = Setup::probe().launch().await;
    let mut flights: Vec<_> =
        (0..50).map(|_| storm.executor.execute(call("invoke", r#"{"app":"silent","operation":"x"}"#))).collect();
    for flight in &mut flights {
        assert!(futures::poll!(flight).is_pending());
    }
    assert_eq!(quiet.ask("count", json!({})).await, 1);
}

#[tokio::test]
async fn a_small_pool_serves_many_apps_and_never_runs_dry() {
    let dir = tempfile::tempdir().unwrap();
    let pool = PoolLimits { instances: 8, ..PoolLimits::default() };
    let limits = RuntimeLimits { pool, max_concurrency: 3, ..runtime_limits() };
    let runtime = Runtime::build(settings(limits, dir.path().into())).unwrap();
    let mut apps = Vec::new();
    for _ in 0..12 {
        apps.push(Setup::probe().limits(|l| l.standby = 4).launch_on(&runtime).await.unwrap());
    }
    for round in 0..3 {
        let counts = futures::future::join_all(apps.iter().map(|app| app.ask("count", json!({})))).await;
        assert!(counts.iter().all(|n| *n == 1), "round {round}: {counts:?}");
    }
}

/// A pool that has less of one kind than of instances: calls wait for each other, and none fails.
#[tokio::test]
async fn a_pool_short_of_memories_tables_or_stacks_makes_calls_wait() {
    for change in [(|pool| pool.memories = 8) as fn(&mut PoolLimits), |pool| pool.tables = 24, |pool| pool.stacks = 16]
    {
        let dir = tempfile::tempdir().unwrap();
        let mut pool = PoolLimits { instances: 32, ..PoolLimits::default() };
        change(&mut pool);
        let limits = RuntimeLimits { pool, max_concurrency: 16, ..runtime_limits() };
        let runtime = Runtime::build(settings(limits, dir.path().into())).unwrap();
        let greedy: fn(&mut Limits) = |l| (l.concurrency, l.standby) = (100, 100);
        let mut apps = Vec::new();
        for _ in 0..3 {
            apps.push(Setup::probe().limits(greedy).launch_on(&runtime).await.unwrap());
        }
        for round in 0..4 {
            let calls = apps.iter().flat_map(|app| (0..12).map(move |_| app.ask("count", json!({}))));
            let counts = futures::future::join_all(calls).await;
            assert!(counts.iter().all(|n| *n == 1), "round {round}: {counts:?}");
        }
    }
}

/// Between two ticks nobody looks at the clock: a coarse one lets a short overdraft pass that a fine one stops.
#[tokio::test]
async fn cpu_time_is_as_exact_as_the_clock_ticks() {
    let dir = tempfile::tempdir().unwrap();
    let work = "(local $i i32)
        (loop (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if 0 (i32.lt_u (local.get $i) (i32.const 1200000000))))
        (call $answer (i32.const 200))";
    let working = Handmade::new(&[("execute", work)]);
    let ended = async |tick: Duration| {
        let limits = RuntimeLimits { epoch_interval: tick, ..runtime_limits() };
        let runtime = Runtime::build(settings(limits, dir.path().into())).unwrap();
        let setup = working.setup().limits(|l| (l.cpu_time, l.breaker.traps) = (Duration::from_millis(100), 0));
        let app = setup.launch_on(&runtime).await.unwrap();
        let mut ended = Vec::new();
        for _ in 0..3 {
            ended.push(app.executor.execute(call("x", "{}")).await.map_err(|e| e.limit()).err());
        }
        ended
    };
    assert_eq!(ended(Duration::from_millis(1)).await, [Some(Some("cpuTime")); 3]);
    assert!(ended(Duration::from_secs(5)).await.contains(&None));
}

#[tokio::test]
async fn an_app_cannot_ask_for_more_memory_than_the_pool_has() {
    let error = Setup::probe().limits(|l| l.memory = ByteSize::mib(513)).failure().await;
    assert!(matches!(error, WasmError::Limits { .. }));
    assert_eq!(error.to_string(), "memory of 513MiB is more than the runtime's pool.memory of 512MiB");
}

#[tokio::test]
async fn an_instance_that_does_not_fit_into_its_memory_does_not_start() {
    let error = Setup::probe().limits(|l| l.memory = ByteSize::kib(64)).failure().await.to_string();
    assert!(error.starts_with("app did not start: memory limit exceeded"), "{error}");
}
