//! Guests that break the rules by which values are handed over.

use crate::fixture::call;
use crate::handmade::Handmade;
use gestalt_core::limits::Limits;

fn forgiving(limits: &mut Limits) {
    limits.breaker.traps = 0;
}

/// Calls an app twice: both end with this error, and neither takes anything else down.
async fn check(what: &str, handmade: Handmade, expect: &str) {
    let app = handmade.setup().limits(forgiving).launch().await;
    for _ in 0..2 {
        let error = app.executor.execute(call("operation", r#"{"a":1}"#)).await.err().unwrap().to_string();
        assert!(error.starts_with("app failed: ") && error.contains(expect), "{what}: {error}");
    }
}

#[tokio::test]
async fn h06_room_that_is_not_there_is_a_trap() {
    // Past the end of memory, across it, beside the alignment, and, at last, wherever the module's own data is.
    for (body, expect) in [
        ("(i32.const -16)", "realloc return: beyond end of memory"),
        ("(i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 1))", "beyond end of memory"),
        ("(i32.const 0x7fffffff)", "beyond end of memory"),
    ] {
        let error = Handmade::new(&[("cabi_realloc", body)]).setup().limits(forgiving).failure().await.to_string();
        assert!(error.starts_with("app did not start: app failed: ") && error.contains(expect), "{body}: {error}");
    }
    let own = Handmade::new(&[("cabi_realloc", "(i32.const 8)")]);
    let app = own.setup().limits(forgiving).launch().await;
    assert_eq!(app.executor.execute(call("operation", r#"{"a":1}"#)).await.unwrap().status, 200);
}

#[tokio::test]
async fn h06_answers_that_are_none_are_traps() {
    for (what, body, expect) in [
        ("past the end", "(i32.const -4)", "out of bounds"),
        ("across the end", "(i32.const 1048572)", "out of bounds"),
        ("not aligned", "(i32.const 1025)", "not aligned"),
        ("no such case", "(i32.store8 (i32.const 1024) (i32.const 2)) (i32.const 1024)", "discriminant"),
        (
            "no such status",
            "(i32.store8 (i32.const 1024) (i32.const 1)) (i32.store8 (i32.const 1028) (i32.const 99)) (i32.const 1024)",
            "discriminant",
        ),
        (
            "a body past the end",
            "(i32.store (i32.const 1032) (i32.const 1000000)) (i32.store (i32.const 1036) (i32.const 1000000))
             (call $answer (i32.const 200))",
            "out of bounds",
        ),
        (
            "headers past the end",
            "(i32.store (i32.const 1044) (i32.const 0x10000001)) (call $answer (i32.const 200))",
            "out of bounds",
        ),
        (
            "an error that is no text",
            "(i32.store8 (i32.const 1024) (i32.const 1)) (i32.store (i32.const 1036) (i32.const 2048))
             (i32.store (i32.const 1040) (i32.const 2)) (i32.store16 (i32.const 2048) (i32.const 0xfffe))
             (i32.const 1024)",
            "utf-8",
        ),
        (
            "a header that is no text",
            "(i32.store (i32.const 1040) (i32.const 2048)) (i32.store (i32.const 1044) (i32.const 1))
             (i32.store (i32.const 2048) (i32.const 2080)) (i32.store (i32.const 2052) (i32.const 1))
             (i32.store8 (i32.const 2080) (i32.const 0xff)) (call $answer (i32.const 200))",
            "utf-8",
        ),
    ] {
        check(what, Handmade::new(&[("execute", body)]), expect).await;
    }
}

const CONTEXT: &str = r#"
    (import "gestalt:provider/request-context@0.4.0" "[method]context.retain" (func $retain (param i32) (result i32)))
    (import "gestalt:provider/request-context@0.4.0" "[method]context.info" (func $info (param i32 i32)))
    (import "gestalt:provider/request-context@0.4.0" "[resource-drop]context" (func $drop (param i32)))
    (import "wasi:clocks/monotonic-clock@0.2.12" "subscribe-duration" (func $pollable (param i64) (result i32)))
    (import "wasi:http/types@0.2.12" "[method]outgoing-request.body" (func $body (param i32 i32)))
    (import "wasi:http/types@0.2.12" "[constructor]outgoing-request" (func $request (param i32) (result i32)))
    (import "wasi:http/types@0.2.12" "[constructor]fields" (func $fields (result i32)))
    (import "wasi:http/types@0.2.12" "[resource-drop]outgoing-request" (func $drop-request (param i32)))
    (import "wasi:http/outgoing-handler@0.2.12" "handle" (func $handle (param i32 i32 i32 i32)))"#;

#[tokio::test]
async fn h08_handles_are_the_hosts_and_are_used_as_what_they_are() {
    for (what, body, expect) in [
        ("one nobody gave", "(drop (call $retain (i32.const 77)))", "unknown handle index 77"),
        ("none at all", "(drop (call $retain (i32.const 0)))", "unknown handle index 0"),
        ("given back", "(call $drop (local.get 0)) (drop (call $retain (local.get 0)))", "unknown handle index"),
        ("given back twice", "(call $drop (local.get 0)) (call $drop (local.get 0))", "unknown handle index"),
        ("of another kind", "(drop (call $retain (call $pollable (i64.const 1))))", "handle index"),
        ("taken for a request", "(call $body (local.get 0) (i32.const 2048))", "handle index"),
        (
            "fields that are a request's by now",
            "(local $fields i32) (local.set $fields (call $fields)) (drop (call $request (local.get $fields)))
             (drop (call $request (local.get $fields)))",
            "handle index 2",
        ),
        (
            "a request that is on its way",
            "(local $request i32) (local.set $request (call $request (call $fields)))
             (call $handle (local.get $request) (i32.const 0) (i32.const 0) (i32.const 2048))
             (call $handle (local.get $request) (i32.const 0) (i32.const 0) (i32.const 2048))",
            "unknown handle index",
        ),
    ] {
        // Told by a string, as bodies are.
        let body: &'static str = Box::leak(format!("{body} (call $answer (i32.const 200))").into_boxed_str());
        check(what, Handmade::new(&[("execute", body)]).importing(CONTEXT), expect).await;
    }
}

/// A guest that is asked for room may not use the moment to call the host, nor after its answer was taken.
#[tokio::test]
async fn h11_there_is_no_way_back_in_while_values_are_handed_over() {
    let clock = r#"(import "wasi:random/random@0.2.12" "get-random-u64" (func $random (result i64)))"#;
    let realloc = Handmade::new(&[("cabi_realloc", "(drop (call $random)) (i32.const 65536)")]).importing(clock);
    let error = realloc.setup().limits(forgiving).failure().await.to_string();
    assert!(error.starts_with("app did not start: app failed: ") && error.contains("cannot leave"), "{error}");
    let after = Handmade::new(&[("after execute", "(drop (call $random))")]).importing(clock);
    check("after the answer", after, "cannot leave").await;
}
