//! What a guest cannot reach.

use crate::fixture::Setup;
use serde_json::json;

#[tokio::test]
async fn f01_there_are_no_sockets_and_no_names() {
    let app = Setup::probe().launch().await;
    let denied = "PermissionDenied";
    let expect = json!({"connect": denied, "listen": denied, "udp": denied, "resolve": true});
    assert_eq!(app.ask("sockets", json!({})).await, expect);
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
