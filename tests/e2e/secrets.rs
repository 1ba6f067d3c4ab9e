use gestalt_tests::examples::{app, manifest};
use gestalt_tests::{Served, TestHost};
use serde_json::json;
use std::path::Path;

/// A directory with one file for each secret, and the provider that reads it.
fn vault(dir: &Path, secrets: &[(&str, &str)]) -> String {
    for (name, value) in secrets {
        std::fs::write(dir.join(name), value).unwrap();
    }
    format!(
        "providers:\n  secrets:\n    vault: {{source: file, config: {{dir: {dir:?}}}}}\n    vars: {{source: env}}\n"
    )
}

/// From files and from the environment into a component's environment, its configuration and the daemon's own key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_reach_the_running_app() {
    let dir = tempfile::tempdir().unwrap();
    let key = "ab".repeat(32);
    let config = [
        vault(dir.path(), &[("token", "s3cret\n"), ("key", &key), ("order", "error")]),
        "server: {encryptionKey: {secret: {provider: vault, name: key}}}\napps:\n".to_owned(),
        app(
            "told",
            &manifest("hostile"),
            "env: {TOKEN: {secret: {provider: vault, name: token}}, SEARCH: {secret: {provider: vars, name: path}}, \
             PLAIN: here}",
        ),
        app("ordered", &manifest("hostile"), "config: {start: {secret: {provider: vault, name: order}}}"),
    ];
    let host = TestHost::start(&config.concat()).await;
    let vars = host.call("told", "env", "{}").await.json()["vars"].clone();
    assert_eq!(vars, json!({"TOKEN": "s3cret", "SEARCH": std::env::var("PATH").unwrap(), "PLAIN": "here"}));
    // The app does as its configuration says: it refuses to start.
    assert_eq!(host.call("ordered", "env", "{}").await.code(), 503);
}

/// A secret that cannot be had stops the start, and is told by the place that needs it; all of them at once.
#[tokio::test]
async fn a_missing_secret_is_located() {
    let dir = tempfile::tempdir().unwrap();
    let config = [
        vault(dir.path(), &[("blank", "\n")]),
        "apps:\n".to_owned(),
        app("one", &manifest("hostile"), "env: {A: {secret: {provider: vault, name: gone}}}"),
        app("two", &manifest("hostile"), "env: {A: {secret: {provider: vault, name: ../blank}}}"),
        app("three", &manifest("hostile"), "env: {A: {secret: {provider: vault, name: blank}}}"),
        app("four", &manifest("hostile"), "env: {A: {secret: {provider: vars, name: no-such-variable}}}"),
    ];
    let exit = Served::start(&config.concat()).exit().await;
    assert_eq!(exit.status.code(), Some(1));
    for (place, why) in [
        ("apps.one.env.A", "has no file of that name"),
        ("apps.two.env.A", "leads out of"),
        ("apps.three.env.A", "is empty"),
        ("apps.four.env.A", "NO_SUCH_VARIABLE is not set"),
    ] {
        let told =
            exit.log.lines().any(|line| line.contains("config.yaml:") && line.contains(place) && line.contains(why));
        assert!(told, "{place}: {why}\n{}", exit.log);
    }
}
