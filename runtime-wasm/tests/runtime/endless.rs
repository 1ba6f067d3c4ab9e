//! Code that never ends, wherever the host runs code of a guest.

use crate::fixture::{App, call};
use crate::handmade::Handmade;
use gestalt_core::limits::Limits;
use gestalt_core::{Credential, ExecError, HttpSubjectRequest, Metadata, Secret};
use std::time::{Duration, Instant};

const SPIN: &str = "(loop (br 0)) (unreachable)";

/// Impatient, and unforgiving of nothing.
fn short(limits: &mut Limits) {
    (limits.cpu_time, limits.startup_timeout) = (Duration::from_millis(200), Duration::from_secs(20));
    limits.breaker.traps = 0;
}

async fn refused(handmade: Handmade) -> String {
    handmade.setup().limits(short).failure().await.to_string()
}

async fn launched(handmade: Handmade) -> App {
    handmade.setup().limits(short).launch().await
}

const SPENT: &str = "cpuTime limit exceeded: more than 200ms";

#[tokio::test]
async fn g02_a_start_function_is_bounded_as_a_call_is() {
    let error = refused(Handmade::default().with("(func $spin (loop (br 0))) (start $spin)")).await;
    assert_eq!(error, format!("app did not start: {SPENT}"));
    let trap = Handmade::default().with("(func $trap (unreachable)) (start $trap)");
    assert!(refused(trap).await.starts_with("app did not start: app failed: wasm trap"));
    let deep = Handmade::default().with("(func $deep (call $deep)) (start $deep)");
    assert!(refused(deep).await.starts_with("app did not start: stack limit"));
}

#[tokio::test]
async fn g02_each_export_is_bounded_and_its_end_is_its_calls() {
    for export in ["get-metadata", "start-provider"] {
        assert_eq!(refused(Handmade::new(&[(export, SPIN)])).await, format!("app did not start: {SPENT}"));
        let error = refused(Handmade::new(&[(export, "(unreachable)")])).await;
        assert!(error.starts_with("app did not start: app failed: wasm trap"), "{export}: {error}");
    }
    for (body, expect) in [(SPIN, SPENT), ("(unreachable)", "app failed: wasm trap: wasm `unreachable`")] {
        let others = [("get-session-catalog", body), ("resolve-http-subject", body), ("get-metadata", SESSIONS)];
        let app = launched(Handmade::new(&others)).await;
        let asked = app.executor.catalog(Some(&credential())).await.err().unwrap().to_string();
        let told = app.executor.http_subject(&HttpSubjectRequest::default()).await.err().unwrap().to_string();
        assert!(asked.starts_with(expect) && told.starts_with(expect), "{asked}; {told}");
        assert_eq!(app.executor.execute(call("x", "{}")).await.unwrap().status, 200);
        let app = launched(Handmade::new(&[("execute", body)])).await;
        assert!(failure(&app).await.starts_with(expect));
    }
}

/// Metadata that promises a catalog for each session.
const SESSIONS: &str = "(i32.store8 (i32.const 156) (i32.const 1)) (i32.const 64)";

fn credential() -> Credential {
    let none = String::new;
    Credential { connection: none(), instance: none(), token: Secret::new("t".into()), params: Metadata::new() }
}

async fn failure(app: &App) -> String {
    app.executor.execute(call("operation", r#"{"a":1}"#)).await.err().unwrap().to_string()
}

/// The host calls a guest to get room for what it hands over, and after it has taken the answer.
#[tokio::test]
async fn g06_what_surrounds_a_call_is_bounded_with_it() {
    // The first text that is handed over is the app's name at its start.
    for (realloc, expect) in [
        (SPIN, SPENT),
        ("(unreachable)", "app failed: wasm trap"),
        ("(call $deep) (unreachable)", "stack limit exceeded"),
    ] {
        let handmade = Handmade::new(&[("cabi_realloc", realloc)]).with("(func $deep (call $deep))");
        let error = refused(handmade).await;
        assert!(error.starts_with(&format!("app did not start: {expect}")), "{realloc}: {error}");
    }
    for (body, expect) in [("(loop (br 0))", SPENT), ("(unreachable)", "app failed: wasm trap")] {
        let app = launched(Handmade::new(&[("after execute", body)])).await;
        for _ in 0..2 {
            assert!(failure(&app).await.starts_with(expect), "{body}");
        }
    }
}

/// Waiting for nothing, again and again: each time the thread is given away, and all the same it ends.
#[tokio::test]
async fn g27_a_loop_that_waits_for_no_time_is_bounded() {
    let imports = r#"
        (import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $pollable (param i64) (result i32)))
        (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $wait (param i32)))
        (import "wasi:io/poll@0.2.12" "[resource-drop]pollable" (func $drop (param i32)))"#;
    let body = "(local $p i32)
        (loop
            (local.set $p (call $pollable (i64.const 0)))
            (call $wait (local.get $p))
            (call $drop (local.get $p))
            (br 0))
        (unreachable)";
    let patient = |l: &mut Limits| {
        short(l);
        l.timeout = Duration::from_secs(60);
    };
    let app = Handmade::new(&[("execute", body)]).importing(imports).setup().limits(patient).launch().await;
    assert_eq!(failure(&app).await, SPENT);
}

/// Instances that are to stand by start in the slow lane, as calls do: a start that works for a fifth of a second or more is
/// hardly seen on the one thread there is here.
#[tokio::test]
async fn g23_slow_starts_do_not_hold_the_daemons_threads() {
    let work = "(local $i i32) (loop (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if 0 (i32.lt_u (local.get $i) (i32.const 600000000)))) (i32.const 64)";
    let setup = Handmade::new(&[("start-provider", work)]).setup().limits(|l| {
        // With patience: what is in the slow lane stands aside for everything else on the machine.
        [l.cpu_time, l.startup_timeout, l.timeout] = [Duration::from_secs(300); 3];
        l.standby = 1;
    });
    let used = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let app = setup.launch().await;
    let before = used();
    for _ in 0..3 {
        // While a call starts an instance of its own, another is made to stand by.
        let mut late = call("x", "{}");
        late.deadline = Instant::now() + Duration::from_secs(300);
        app.executor.execute(late).await.unwrap();
    }
    let used = Duration::try_from(used() - before).unwrap();
    assert!(used < Duration::from_millis(150), "{used:?}");
}

/// Every other instance does not start: the calls that get one are answered, the others fail, and none waits.
#[tokio::test]
async fn h05_an_app_that_starts_only_sometimes_harms_its_own_calls_only() {
    let moody = Handmade::new(&[(
        "start-provider",
        "(if (i64.eqz (i64.and (call $random) (i64.const 1))) (then (unreachable))) (i32.const 64)",
    )])
    .importing(r#"(import "wasi:random/random@0.2.12" "get-random-u64" (func $random (result i64)))"#);
    // The first start decides whether there is an app at all.
    let app = loop {
        if let Ok(app) = moody.setup().limits(short).launch_on(crate::fixture::runtime()).await {
            break app;
        }
    };
    let (mut answered, mut failed) = (0, 0);
    while answered < 5 || failed < 5 {
        match app.executor.execute(call("x", "{}")).await {
            Ok(reply) => answered += usize::from(reply.status == 200),
            Err(ExecError::Failed(text)) if text.starts_with("wasm trap") => failed += 1,
            Err(other) => panic!("{other}"),
        }
    }
}
