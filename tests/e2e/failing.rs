use gestalt_tests::TestHost;
use gestalt_tests::examples::{File, app, manifest, package};
use serde_json::json;
use std::path::Path;

/// A package with this component.
fn component(dir: &Path, name: &str, bytes: &[u8]) -> String {
    let own = dir.join(name);
    let file = package(&own, "entrypoint: {artifactPath: app.wasm}\nspec: {}\n", &[]);
    std::fs::write(own.join("app.wasm"), bytes).unwrap();
    app(name, &file, "")
}

/// A package that is run by this shell script.
fn script(dir: &Path, name: &str, text: &str) -> String {
    let catalog = format!("name: {name}\noperations: [{{id: op, method: POST}}]\n");
    let files = [File { name: "run.sh", text }, File { name: "catalog.yaml", text: &catalog }];
    app(name, &package(&dir.join(name), "run: {command: [sh, run.sh]}\nspec: {}\n", &files), "")
}

/// Whatever is wrong with an app, the others run, its operations answer 503, and the daemon stays well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_app_stops_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read(manifest("echo").with_file_name(".gestalt/build/echo.wasm")).unwrap();
    let foreign = wat::parse_str(r#"(component (import "acme:secrets/vault@1.0.0" (instance)))"#).unwrap();
    let worldless = wat::parse_str("(component)").unwrap();
    let config = [
        "apps:\n".to_owned(),
        app("echo", &manifest("echo"), ""),
        component(dir.path(), "truncated", &whole[..whole.len() / 2]),
        component(dir.path(), "foreign", &foreign),
        component(dir.path(), "worldless", &worldless),
        component(dir.path(), "text", b"#!/bin/nowhere"),
        script(dir.path(), "exits", "echo gone >&2; exit 7"),
        app("starts-badly", &manifest("hostile"), "config: {start: panic}"),
        app("misplaced", &manifest("echo"), "runtime: {provider: local-runtime}"),
        "runtime: {providers: {local-runtime: {driver: local}}}\n".to_owned(),
    ];
    let host = TestHost::start(&config.concat()).await;
    for name in ["truncated", "foreign", "worldless", "text", "exits", "starts-badly", "misplaced"] {
        let answer = host.call(name, "op", "{}").await;
        let expect = json!({"error": format!("integration \"{name}\" is not available")});
        assert_eq!((answer.code(), answer.json()), (503, expect), "{name}");
    }
    assert_eq!(host.call("echo", "echo", "{}").await.code(), 200);
    assert_eq!(host.get("/ready").await.code(), 200);
    let apps = host.get("/api/v1/apps").await.json();
    let up = apps.as_array().unwrap().iter().filter(|app| app["status"] == "ready").count();
    assert_eq!((up, apps.as_array().unwrap().len()), (1, 8));
}
