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

/// A reload that lets an app do more says so in the log, once for each change, compared with the reading before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_widens_is_told() {
    let config = |more: &str| format!("apps:\n{}", app("echo", &manifest("echo"), more));
    let served = Served::start(&config("egress: {allowedHosts: [h.test], mode: enforce}"));
    served.ready().await;
    // Not what the files say of each other, which is told at the start as well.
    let told = || {
        served
            .log()
            .lines()
            .filter(|line| line.contains("more is allowed than before"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let start = told().len();
    reload(&served, &config("egress: {allowedHosts: [h.test], mode: observe}")).await;
    let lines = told();
    assert_eq!(lines.len(), start + 1, "{lines:?}");
    let place = format!("{}:", served.dir().join("config.yaml").display());
    for part in
        ["apps=\"apps.echo\"", "key=\"apps.echo.egress.mode\"", "before=\"`enforce`\"", "after=\"`observe`\"", &place]
    {
        assert!(lines[start].contains(part), "{part} is not in {}", lines[start]);
    }
    // Narrower again, then without the section: the second is compared with the first, not with the start.
    reload(&served, &config("egress: {allowedHosts: [h.test]}")).await;
    assert_eq!(told().len(), start + 1);
    reload(&served, &config("")).await;
    let lines = told();
    assert_eq!(lines.len(), start + 2, "{lines:?}");
    assert!(lines[start + 1].contains("key=\"apps.echo.egress.allowedHosts\""), "{lines:?}");
}
