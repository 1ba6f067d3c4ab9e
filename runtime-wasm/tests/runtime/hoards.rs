//! Guests that make the host keep, copy or write more than their own memory may hold.

use crate::fixture::{App, Setup, call, runtime_limits, settings};
use crate::handmade::Handmade;
use gestalt_core::limits::{Limits, PoolLimits, RuntimeLimits};
use gestalt_runtime_wasm::Runtime;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn patient(limits: &mut Limits) {
    limits.breaker.traps = 0;
    (limits.cpu_time, limits.timeout) = (Duration::from_secs(60), Duration::from_secs(60));
}

async fn launched(handmade: Handmade) -> App {
    handmade.setup().limits(patient).launch().await
}

async fn status(app: &App) -> Result<u16, String> {
    app.executor.execute(call("operation", "{}")).await.map(|reply| reply.status).map_err(|error| error.to_string())
}

/// Memory of this process, in bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

const HTTP: &str = r#"
    (import "wasi:http/types@0.2.12" "[constructor]fields" (func $fields (result i32)))
    (import "wasi:http/types@0.2.12" "[method]fields.append" (func $append (param i32 i32 i32 i32 i32 i32)))
    (import "wasi:http/types@0.2.12" "[method]fields.clone" (func $clone (param i32) (result i32)))
    (import "wasi:http/types@0.2.12" "[constructor]outgoing-request" (func $request (param i32) (result i32)))
    (import "wasi:http/types@0.2.12" "[method]outgoing-request.set-method"
        (func $method (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types@0.2.12" "[method]outgoing-request.set-path-with-query"
        (func $path (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types@0.2.12" "[method]outgoing-request.body" (func $body (param i32 i32)))
    (import "wasi:http/types@0.2.12" "[method]outgoing-body.write" (func $write (param i32 i32)))
    (import "wasi:io/streams@0.2.12" "[method]output-stream.check-write" (func $room (param i32 i32)))
    (import "wasi:io/streams@0.2.12" "[method]output-stream.write" (func $put (param i32 i32 i32 i32)))
    (import "wasi:io/streams@0.2.12" "[method]output-stream.write-zeroes" (func $zeroes (param i32 i64 i32)))
    (import "wasi:io/streams@0.2.12" "[resource-drop]output-stream" (func $close (param i32)))"#;

/// Requests that are never sent, each with something large in it.
#[tokio::test]
async fn g10_requests_hold_no_more_than_one_account() {
    let before = resident();
    // A method of a mebibyte of `X`: refused, each time.
    let method = Handmade::new(&[(
        "execute",
        "(local $n i32) (memory.fill (i32.const 65536) (i32.const 88) (i32.const 900000))
         (loop
            (if (i32.eqz (call $method (call $request (call $fields)) (i32.const 9) (i32.const 65536) (i32.const 900000)))
                (then (return (call $answer (i32.const 500)))))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $n) (i32.const 1000))))
         (call $answer (i32.const 200))",
    )]);
    assert_eq!(status(&launched(method.importing(HTTP)).await).await, Ok(200));
    // Paths as long as a path may be.
    let path = Handmade::new(&[(
        "execute",
        "(memory.fill (i32.const 65536) (i32.const 47) (i32.const 60000))
         (loop
            (drop (call $path (call $request (call $fields)) (i32.const 1) (i32.const 65536) (i32.const 60000)))
            (br 0)) (unreachable)",
    )]);
    // Collections filled to the brim.
    let fields = Handmade::new(&[(
        "execute",
        "(memory.fill (i32.const 65536) (i32.const 88) (i32.const 60000))
         (loop
            (call $append (call $fields) (i32.const 65536) (i32.const 1) (i32.const 65536) (i32.const 60000) (i32.const 2048))
            (br 0)) (unreachable)",
    )]);
    // And clones, of which each becomes a copy by the first change.
    let clones = Handmade::new(&[(
        "execute",
        "(local $first i32) (local.set $first (call $fields))
         (memory.fill (i32.const 65536) (i32.const 88) (i32.const 60000))
         (call $append (local.get $first) (i32.const 65536) (i32.const 1) (i32.const 65536) (i32.const 60000) (i32.const 2048))
         (loop
            (call $append (call $clone (local.get $first)) (i32.const 65536) (i32.const 1) (i32.const 65536) (i32.const 1)
                (i32.const 2048))
            (br 0)) (unreachable)",
    )]);
    for handmade in [path, fields, clones] {
        let app = launched(handmade.importing(HTTP)).await;
        let expect = "fieldBytes limit exceeded: more than 256 times 64KiB in one call";
        assert_eq!(status(&app).await, Err(expect.to_owned()));
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 256 << 20, "{grown}");
}

/// Bodies that nobody sends keep what was written to them. All but the first take little.
#[tokio::test]
async fn g10_bodies_that_are_never_sent_take_little() {
    let hoard = Handmade::new(&[(
        "execute",
        "(local $n i32) (local $total i64)
         (loop
            (call $body (call $request (call $fields)) (i32.const 2048))
            (call $write (i32.load (i32.const 2052)) (i32.const 2048))
            (loop
                (call $room (i32.load (i32.const 2052)) (i32.const 2064))
                (if (i64.ne (i64.load (i32.const 2072)) (i64.const 0))
                    (then
                        (local.set $total (i64.add (local.get $total) (i64.load (i32.const 2072))))
                        (call $put (i32.load (i32.const 2052)) (i32.const 65536)
                            (i32.wrap_i64 (i64.load (i32.const 2072))) (i32.const 2096))
                        (br 1))))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $n) (i32.const 1300))))
         ;; In mebibytes, behind the status.
         (call $answer (i32.add (i32.const 200) (i32.wrap_i64 (i64.shr_u (local.get $total) (i64.const 20)))))",
    )]);
    // 64 bodies of twice 64 KiB, and 1,236 of twice 4 KiB, are 17.6 MiB.
    assert_eq!(status(&launched(hoard.importing(HTTP)).await).await, Ok(217));
}

/// Zeroes are written by number, and not by what the guest has of them.
#[tokio::test]
async fn g06_zeroes_are_not_made_beyond_what_may_be_written() {
    for count in ["0x7fffffffffffffff", "0x100000000", "65537"] {
        let body = format!(
            "(call $body (call $request (call $fields)) (i32.const 2048))
             (call $write (i32.load (i32.const 2052)) (i32.const 2048))
             (call $zeroes (i32.load (i32.const 2052)) (i64.const {count}) (i32.const 2048))
             (call $answer (i32.const 200))"
        );
        let app = launched(Handmade::new(&[("execute", body.leak())]).importing(HTTP)).await;
        let error = status(&app).await.unwrap_err();
        assert!(error.starts_with("app failed: cannot write more zeroes"), "{count}: {error}");
    }
    let stdout = r#"
        (import "wasi:cli/stdout@0.2.12" "get-stdout" (func $stdout (result i32)))
        (import "wasi:io/streams@0.2.12" "[method]output-stream.write-zeroes" (func $zeroes (param i32 i64 i32)))
        (import "wasi:io/streams@0.2.12" "[method]output-stream.blocking-write-zeroes-and-flush"
            (func $slowly (param i32 i64 i32)))"#;
    for (function, count) in [("$zeroes", "0x4000000000"), ("$slowly", "0x4000000000")] {
        let body = format!(
            "(call {function} (call $stdout) (i64.const {count}) (i32.const 2048)) (call $answer (i32.const 200))"
        );
        let app = launched(Handmade::new(&[("execute", body.leak())]).importing(stdout)).await;
        assert!(status(&app).await.unwrap_err().starts_with("app failed: "), "{function}");
    }
}

#[tokio::test]
async fn g08_a_list_of_very_many_pollables_is_too_much_for_one_call() {
    let imports = r#"
        (import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $pollable (param i64) (result i32)))
        (import "wasi:io/poll@0.2.12" "poll" (func $poll (param i32 i32 i32)))"#;
    let polling = |count: u32, pages: u32| {
        let body = format!(
            "(local $n i32) (local $p i32) (local.set $p (call $pollable (i64.const -1)))
             (loop
                (i32.store (i32.add (i32.const 65536) (i32.shl (local.get $n) (i32.const 2))) (local.get $p))
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br_if 0 (i32.lt_u (local.get $n) (i32.const {count}))))
             (call $poll (i32.const 65536) (i32.const {count}) (i32.const 2048))
             (call $answer (i32.const 200))"
        );
        Handmade { pages, ..Handmade::new(&[("execute", body.leak())]).importing(imports) }
    };
    // Each entry of the list is lent for the call, and counts as a handle.
    let error = status(&launched(polling(50_000, 16)).await).await.unwrap_err();
    assert_eq!(error, "handles limit exceeded: more than 4096 handles");
    // As many as may be passed wait as one does.
    let short = |l: &mut Limits| (l.timeout, l.cpu_time) = (Duration::from_secs(2), Duration::from_secs(2));
    let begun = Instant::now();
    let app = polling(4_000, 16).setup().limits(short).launch().await;
    assert_eq!(status(&app).await, Err("deadline exceeded".into()));
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert!(status(&launched(polling(1, 16).nothing()).await).await.unwrap_err().contains("empty poll list"));
}

impl Handmade {
    /// Polls no pollable at all.
    fn nothing(mut self) -> Self {
        let body = "(call $poll (i32.const 65536) (i32.const 0) (i32.const 2048)) (call $answer (i32.const 200))";
        self.bodies = vec![("execute", body)];
        self
    }
}

/// A service that is not there is asked through values of no type, of which each takes far more than it says.
#[tokio::test]
async fn g10_what_nobody_answers_is_not_taken_in_without_end() {
    let import =
        r#"(import "gestalt:provider/authorization@0.4.0" "check-access-many" (func $check (param i32 i32 i32)))"#;
    let asking = |checks: u32| {
        let body = format!(
            "(call $check (i32.const 1048576) (i32.const {checks}) (i32.const 2048)) (call $answer (i32.const 200))"
        );
        Handmade { pages: 300, ..Handmade::new(&[("execute", body.leak())]).importing(import) }
    };
    assert_eq!(status(&launched(asking(1_000)).await).await, Ok(200));
    let error = status(&launched(asking(200_000)).await).await.unwrap_err();
    assert_eq!(error, "hostcallBytes limit exceeded: more than 16MiB in one call of an import");
}

#[tokio::test]
async fn g10_random_bytes_are_counted_before_they_are_made() {
    for (interface, function) in [("random", "get-random-bytes"), ("insecure", "get-insecure-random-bytes")] {
        let import = format!(r#"(import "wasi:random/{interface}@0.2.12" "{function}" (func $bytes (param i64 i32)))"#);
        let body = "(call $bytes (i64.const -1) (i32.const 2048)) (call $answer (i32.const 200))";
        let app = launched(Handmade::new(&[("execute", body)]).importing(import.leak())).await;
        let error = status(&app).await.unwrap_err();
        assert_eq!(error, "randomBytes limit exceeded: more than 1MiB at once", "{function}");
    }
}

/// An error may be as long as an answer; a log line, an audit record and a trace may not.
#[tokio::test]
async fn g18_what_a_guest_says_in_an_error_is_shortened() {
    let long = Handmade::new(&[(
        "execute",
        "(memory.fill (i32.const 65536) (i32.const 88) (i32.const 900000))
         (i32.store8 (i32.const 1024) (i32.const 1))
         (i32.store (i32.const 1036) (i32.const 65536)) (i32.store (i32.const 1040) (i32.const 900000))
         (i32.const 1024)",
    )]);
    let error = status(&launched(long).await).await.unwrap_err();
    assert!(error.starts_with("app failed: StatusCode::Cancelled: XXX") && error.len() < 5_000, "{}", error.len());
}

/// An operation is a hundred bytes in a guest's memory and more in the host's.
#[tokio::test]
async fn h15_a_catalog_of_very_many_operations_is_refused() {
    for (count, expect) in [
        (10_001, "app's catalog is invalid: 10001 operations, at most 10000 are allowed"),
        (1_000_000, "app did not start: hostcallBytes limit exceeded"),
    ] {
        let body = format!(
            "(i32.store8 (i32.const 1072) (i32.const 1)) (i32.store (i32.const 1108) (i32.const 65536))
             (i32.store (i32.const 1112) (i32.const {count})) (i32.const 1024)"
        );
        let app = Handmade { pages: 1_700, ..Handmade::new(&[("get-metadata", body.leak())]) };
        let error = app.setup().failure().await.to_string();
        assert!(error.starts_with(expect), "{count}: {error}");
    }
}

#[tokio::test]
async fn h15_an_app_does_not_introduce_itself_at_length() {
    let body = "(memory.fill (i32.const 65536) (i32.const 120) (i32.const 100000))
        (i32.store (i32.const 1044) (i32.const 65536)) (i32.store (i32.const 1048) (i32.const 100000)) (i32.const 1024)";
    let error = Handmade::new(&[("get-metadata", body)]).setup().failure().await.to_string();
    assert_eq!(error, "app's catalog is invalid: its name and description have 100000 bytes");
}

/// What an app is, its first instance says: what a later one would say is not asked.
#[tokio::test]
async fn h15_a_catalog_is_asked_for_once() {
    // Its one operation is there, and called `a`, in every other instance.
    let body = "(if (i64.eqz (i64.and (call $random) (i64.const 1))) (then
            (i32.store8 (i32.const 1072) (i32.const 1)) (i32.store (i32.const 1108) (i32.const 4096))
            (i32.store (i32.const 1112) (i32.const 1)) (i32.store8 (i32.const 3000) (i32.const 97))
            (i32.store (i32.const 4096) (i32.const 3000)) (i32.store (i32.const 4100) (i32.const 1))))
        (i32.const 1024)";
    let fickle = Handmade::new(&[("get-metadata", body)])
        .importing(r#"(import "wasi:random/random@0.2.12" "get-random-u64" (func $random (result i64)))"#);
    let mut kinds = [0, 0];
    while kinds.contains(&0) {
        let app = launched(Handmade { bodies: fickle.bodies.clone(), ..fickle }).await;
        let catalog = app.executor.catalog(None).await.unwrap();
        kinds[catalog.operations().len()] += 1;
        for _ in 0..5 {
            let called = app.executor.execute(call("a", "{}")).await;
            assert!(called.is_ok(), "{called:?}");
            let missing = app.executor.execute(call("b", "{}")).await;
            assert_eq!(missing.is_err(), catalog.find("a").is_some(), "{missing:?}");
            assert!(Arc::ptr_eq(&catalog, &app.executor.catalog(None).await.unwrap()));
        }
    }
}

/// One instance of four memories takes as much of the pool as four instances: its app gets no more calls for it, and the
/// apps beside it find their memories.
#[tokio::test]
async fn g22_an_app_of_many_memories_leaves_the_others_theirs() {
    let pool = PoolLimits { instances: 32, memories: 32, ..PoolLimits::default() };
    let dir = tempfile::tempdir().unwrap();
    let limits = RuntimeLimits { pool, max_concurrency: 16, ..runtime_limits() };
    let runtime = Runtime::build(settings(limits, dir.path().join("cache"))).unwrap();
    let greedy = Handmade::new(&[(
        "execute",
        "(local $p i32) (call $wait (call $pollable (i64.const -1))) (call $answer (i32.const 200))",
    )])
    .importing(
        r#"(import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $pollable (param i64) (result i32)))
           (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $wait (param i32)))"#,
    );
    let greedy = Handmade { beside: 3, ..greedy };
    let setup = greedy.setup().limits(|l| (l.concurrency, l.standby, l.queue) = (1_000, 1_000, 1_000));
    let storm = setup.launch_on(&runtime).await.unwrap();
    let quiet = Setup::probe().launch_on(&runtime).await.unwrap();
    let mut flights: Vec<_> = (0..30).map(|_| storm.executor.execute(call("x", "{}"))).collect();
    for _ in 0..3 {
        for flight in &mut flights {
            assert!(futures::poll!(flight).is_pending());
        }
        // Eight at once: as many as it may have beside the storm.
        let eight = futures::future::join_all((0..8).map(|_| quiet.ask("count", serde_json::json!({})))).await;
        assert!(eight.iter().all(|count| *count == 1), "{eight:?}");
    }
}
