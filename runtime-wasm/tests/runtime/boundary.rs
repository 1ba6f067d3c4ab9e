//! What a guest cannot reach.

use crate::fixture::{Setup, call};
use crate::handmade::Handmade;
use gestalt_core::egress::Sidestep;
use serde_json::json;
use std::collections::HashSet;

#[tokio::test]
async fn f01_there_are_no_sockets_and_no_names() {
    let app = Setup::probe().launch().await;
    let denied = "PermissionDenied";
    let expect = json!({"connect": denied, "listen": denied, "udp": denied, "resolve": true});
    assert_eq!(app.ask("sockets", json!({})).await, expect);
    // Each attempt is on record.
    let tried = app.host.sidestepped.lock().unwrap();
    let count = |wanted: fn(&Sidestep) -> bool| tried.iter().filter(|s| wanted(s)).count();
    assert_eq!((count(|s| matches!(s, Sidestep::Tcp)), count(|s| matches!(s, Sidestep::Udp))), (2, 1), "{tried:?}");
    assert_eq!(count(|s| matches!(s, Sidestep::Lookup(name) if name == "example.test")), 1, "{tried:?}");
}

#[tokio::test]
async fn f03_there_are_no_files() {
    let app = Setup::probe().launch().await;
    let files = app.ask("files", json!({})).await;
    for (what, outcome) in files.as_object().unwrap() {
        assert_ne!(outcome, "ok", "{what}");
    }
    assert!(!std::path::Path::new("/tmp/probe").exists());
}

#[tokio::test]
async fn f04_the_environment_is_the_configs_and_nothing_else() {
    assert!(std::env::vars().next().is_some());
    let app = Setup::probe().launch().await;
    assert_eq!(app.ask("env", json!({})).await, json!([]));
    assert_eq!(app.ask("args", json!({})).await, json!([]));
    let app = Setup::probe().env("REGION", "eu").env("A", "=").launch().await;
    assert_eq!(app.ask("env", json!({})).await, json!([["A", "="], ["REGION", "eu"]]));
}

#[tokio::test]
async fn f05_standard_input_is_closed() {
    let app = Setup::probe().launch().await;
    assert_eq!(app.ask("stdin", json!({})).await, "");
}

/// No two instances get the same chance, from any source of it: a seed that came out of the image would be everybody's.
#[tokio::test]
async fn f08_each_instance_has_a_chance_of_its_own() {
    for (interface, function, result) in
        [("random", "get-random-u64", "(result i64)"), ("insecure", "get-insecure-random-u64", "(result i64)")]
    {
        let import = format!(r#"(import "wasi:random/{interface}@0.2.12" "{function}" (func $random {result}))"#);
        // As many different answers as a status can be.
        let body = "(call $answer (i32.add (i32.const 200) (i32.and (i32.wrap_i64 (call $random)) (i32.const 255))))";
        let app = Handmade::new(&[("execute", body)]).importing(import.leak()).setup().launch().await;
        let mut seen = HashSet::new();
        for _ in 0..20 {
            seen.insert(app.executor.execute(call("x", "{}")).await.unwrap().status);
        }
        assert!(seen.len() > 10, "{interface}: {seen:?}");
    }
}
