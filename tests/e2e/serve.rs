use gestalt_tests::examples::{File, app, manifest, package};
use gestalt_tests::{Served, Upstream, eventually, is_alive};
use nix::sys::signal::Signal;
use serde_json::json;
use std::time::Duration;

/// A provider that starts when it is told to, by a file, and then fails.
fn waiting(dir: &std::path::Path) -> std::path::PathBuf {
    let script = "while [ ! -e go ]; do sleep 0.05; done\nexit 3\n";
    let catalog = "name: waiting\noperations: [{id: op, method: POST}]\n";
    let files = [File { name: "run.sh", text: script }, File { name: "catalog.yaml", text: catalog }];
    package(dir, "run: {command: [sh, run.sh]}\nspec: {}\n", &files)
}

/// Boots, is ready when no app is starting any more, answers, and on SIGTERM finishes what is under way and leaves
/// nothing behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serves_until_told_to_stop() {
    let (upstream, dir) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let config = [
        "apps:\n".to_owned(),
        app("echo", &manifest("echo"), ""),
        app("native", &manifest("echo-native-rust"), ""),
        app("python", &manifest("echo-native-python"), "invokes: [{app: fetch, operation: get}]"),
        app("fetch", &manifest("fetch"), "egress: {allowedHosts: [127.0.0.1]}"),
        app("waiting", &waiting(dir.path()), ""),
    ];
    let served = Served::start(&config.concat());
    let client = served.listening().await;
    assert_eq!(client.get("/health").await.json(), json!({"status": "ok"}));
    let ready = client.get("/ready").await;
    assert_eq!((ready.code(), ready.json()), (503, json!({"status": "providers loading"})));
    std::fs::write(dir.path().join("go"), "").unwrap();
    let client = served.ready().await;
    assert_eq!(client.call("waiting", "op", "{}").await.code(), 503);

    for name in ["echo", "native", "python"] {
        let answer = client.call(name, "echo", r#"{"hello":"world"}"#).await;
        assert_eq!((answer.code(), answer.json()), (200, json!({"hello": "world"})), "{name}");
    }
    let metrics = client.get("/metrics").await.text();
    for (name, status) in [("echo", 200), ("native", 200), ("waiting", 503)] {
        let counted = |line: &str| {
            let labels = [format!("provider=\"{name}\""), format!("result_status=\"{status}\"")];
            line.starts_with("gestaltd_operation_count_total{")
                && labels.iter().all(|l| line.contains(l))
                && line.ends_with(" 1")
        };
        assert!(metrics.lines().any(counted), "{name}: {metrics}");
    }
    let apps = client.get("/api/v1/apps").await.json();
    let states: Vec<_> = apps.as_array().unwrap().iter().map(|a| (a["name"].clone(), a["status"].clone())).collect();
    let expect = ["echo", "fetch", "native", "python", "waiting"]
        .map(|name| (json!(name), json!(if name == "waiting" { "unavailable" } else { "ready" })));
    assert_eq!(states, expect);
    let operations = client.get("/api/v1/apps/echo/operations").await.json();
    let ids: Vec<_> = operations.as_array().unwrap().iter().map(|op| op["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["call", "crash", "echo", "fail", "respond", "slow"]);

    let children = served.children();
    assert!(children.len() >= 2, "two native providers run: {children:?}");
    let get = |target: &str| json!({"url": format!("http://{}{target}", upstream.address())});
    let params = get("/hold").to_string();
    let in_flight = tokio::spawn(async move { client.call("fetch", "get", params).await });
    // The native provider waits for what it calls, so that this too is known to be under way.
    let params = json!({"app": "fetch", "operation": "get", "params": get("/hold?python")}).to_string();
    let native = tokio::spawn(async move { client.call("python", "call", params).await });
    upstream.asked_for("/hold").await;
    upstream.asked_for("/hold?python").await;
    served.signal(Signal::SIGTERM);
    eventually("the door to close", || async { client.connect().await.is_err().then_some(()) }).await;
    assert!(!in_flight.is_finished());
    upstream.release();
    let answer = in_flight.await.unwrap();
    assert_eq!((answer.code(), answer.json()["status"].clone()), (200, json!(200)), "{}", answer.text());
    let answer = native.await.unwrap();
    assert_eq!((answer.code(), answer.json()["status"].clone()), (200, json!(200)), "{}", answer.text());

    let exit = served.exit().await;
    assert_eq!(exit.status.code(), Some(0), "{}", exit.log);
    let left: Vec<_> = children.into_iter().filter(|pid| is_alive(*pid)).collect();
    assert!(left.is_empty(), "children {left:?} outlived the daemon");
}

/// Providers do not outlive a daemon that had no chance to stop them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_notice_a_killed_daemon() {
    let confined = "egress: {allowedHosts: [allowed.test], sandbox: required}";
    let entries =
        [("native", ""), ("confined", confined)].map(|(name, more)| app(name, &manifest("echo-native-rust"), more));
    let served = Served::start(&format!("apps:\n{}", entries.concat()));
    let client = served.ready().await;
    assert_eq!(client.call("confined", "echo", "{}").await.code(), 200, "{}", served.log());
    let children = served.children();
    // A guard each, and two processes above the one that is confined.
    assert_eq!(children.len(), 6);
    served.signal(Signal::SIGKILL);
    served.exit().await;
    for pid in children {
        let gone = eventually("the provider to end", || async { (!is_alive(pid)).then_some(()) });
        tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap();
    }
}

/// What one app asks of another and cannot have is said at its place; it stops nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apps_that_disagree_are_told() {
    let invokes = "invokes: [{app: fetch, operation: put}]";
    let config = ["apps:\n".to_owned(), app("echo", &manifest("echo"), invokes)];
    let dir = tempfile::tempdir().unwrap();
    let rest = "spec: {surfaces: {rest: {baseUrl: http://h.test, operations: [{name: get, method: GET, path: /}]}}}\n";
    let served = Served::start(&(config.concat() + &app("fetch", &package(dir.path(), rest, &[]), "")));
    let client = served.ready().await;
    assert_eq!(client.call("echo", "echo", "{}").await.code(), 200);
    served.signal(Signal::SIGTERM);
    let exit = served.exit().await;
    assert_eq!(exit.status.code(), Some(0), "{}", exit.log);
    assert!(exit.log.contains("apps.echo.invokes[0].operation: is no operation of the app"), "{}", exit.log);
}

/// A configuration that is refused starts nothing.
#[tokio::test]
async fn a_bad_config_is_located() {
    let exit = Served::start("server:\n  pubic: {port: 1}\n").exit().await;
    assert_eq!(exit.status.code(), Some(1));
    assert!(exit.log.contains("config.yaml:3:3"), "{}", exit.log);
    assert!(exit.log.contains("server.pubic"), "{}", exit.log);
}

/// Who asked for a login does not get an open door.
#[tokio::test]
async fn a_login_that_cannot_be_had_starts_nothing() {
    let exit =
        Served::start("providers: {authentication: {sso: {source: {path: ./sso/manifest.yaml}}}}\n").exit().await;
    assert_eq!(exit.status.code(), Some(1));
    assert!(exit.log.contains("config.yaml:") && exit.log.contains("providers.authentication.sso"), "{}", exit.log);
}

/// A port in use is said, and nothing is left running.
#[tokio::test]
async fn a_port_in_use_is_an_error() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let exit = Served::start(&format!("server: {{public: {{host: 127.0.0.1, port: {port}}}}}\n")).exit().await;
    assert_eq!(exit.status.code(), Some(1));
    assert!(exit.log.contains(&format!("127.0.0.1:{port}")), "{}", exit.log);
}
