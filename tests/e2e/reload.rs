use gestalt_tests::examples::{app, manifest};
use gestalt_tests::{Served, eventually};
use serde_json::{Value, json};

async fn reload(served: &Served, config: &str) {
    let said = || served.log().matches("configuration reloaded").count();
    let known = said();
    served.reload(config);
    eventually("the reload", || async { (said() > known).then_some(()) }).await;
}

/// Who may call whom is taken over; so is what apps may reach, also by a native one, which is stopped where it cannot be
/// held to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_and_native_processes_after_a_reload() {
    let config = |caller: &str, native: &str| {
        let echo = app("echo", &manifest("echo"), "");
        let apps = [
            ("caller", "caller", caller),
            ("native", "echo-native-python", native),
            ("other", "echo-native-python", ""),
        ];
        let entries = apps.map(|(name, example, more)| app(name, &manifest(example), more));
        format!("apps:\n{echo}{}", entries.concat())
    };
    let granted = "invokes: [{app: echo, operation: echo}]";
    let served = Served::start(&config(granted, ""));
    let client = served.ready().await;
    let nested = async || {
        let params = json!({"app": "echo", "operation": "echo", "params": {}}).to_string();
        let answer: Value = client.call("caller", "call", params).await.json();
        answer["refused"]["code"].as_str().unwrap_or("none").to_owned()
    };
    let native = async |name: &str| client.call(name, "echo", "{}").await.code();
    assert_eq!((nested().await.as_str(), native("native").await, native("other").await), ("none", 200, 200));
    reload(&served, &config("", "")).await;
    assert_eq!((nested().await.as_str(), native("native").await), ("permission-denied", 200));
    reload(&served, &config(granted, "egress: {allowedHosts: [h.test]}")).await;
    assert_eq!((nested().await.as_str(), native("native").await, native("other").await), ("none", 503, 200));
    assert!(served.log().contains("its process runs unconfined"), "{}", served.log());
}
