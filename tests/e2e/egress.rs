//! What an app may reach, as its operator sets it, watches it and asks about it; and credentials it never holds.

use gestalt_core::audit::HeldUse;
use gestalt_core::egress::DenyReason;
use gestalt_tests::examples::{app, manifest};
use gestalt_tests::{TestHost, Upstream, eventually, run};
use serde_json::{Value, json};

async fn start(egress: &str) -> TestHost {
    TestHost::start(&["apps:\n", &app("fetch", &manifest("fetch"), &format!("egress: {egress}"))].concat()).await
}

/// Runs a command of `gestaltd egress` over the same files.
async fn ask(host: &TestHost, arguments: &[&str]) -> (Option<i32>, String) {
    let files = host.files();
    let configs = files.iter().flat_map(|file| ["--config", file.to_str().unwrap()]);
    let all: Vec<&str> = ["egress"].into_iter().chain(arguments.iter().copied()).chain(configs).collect();
    let output = run(&all).await;
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

async fn fetch(host: &TestHost, params: Value) -> Value {
    let answer = host.call("fetch", "get", params.to_string()).await;
    assert_eq!(answer.code(), 200, "{}", answer.text());
    answer.json()
}

/// The report, once the journal has `hosts` rows of what was reached.
async fn report(host: &TestHost, hosts: usize) -> Value {
    eventually("the journal", || async {
        let (code, text) = ask(host, &["report", "--json"]).await;
        assert_eq!(code, Some(0));
        let mut reports: Value = serde_json::from_str(&text).unwrap();
        (reports[0]["reached"].as_array().unwrap().len() == hosts).then(|| reports[0].take())
    })
    .await
}

/// Observe, propose, enforce: what an observed app reached is the list it is proposed, and that list is enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observed_app_gets_the_list_it_needs() {
    let upstream = Upstream::start().await;
    let url = format!("http://{}/x?secret=1", upstream.address());
    let observed = start("{mode: observe, allowedHosts: [unused.test, '*.wide.test']}").await;
    assert_eq!(fetch(&observed, json!({"url": url})).await["status"], 200);
    let metadata = fetch(&observed, json!({"url": "http://169.254.169.254/"})).await;
    assert_eq!(metadata["error"], "destination-ip-prohibited", "observing opens no metadata service");

    let seen = report(&observed, 1).await;
    assert_eq!((&seen["app"], &seen["mode"]), (&json!("fetch"), &json!("observe")));
    let row = &seen["reached"][0];
    assert_eq!((&row["host"], &row["observed"], &row["allowed"]), (&json!("127.0.0.1"), &json!(1), &json!(0)));
    assert_eq!(row["reason"], "host_not_allowed");
    let proposal = json!({"keep": [], "remove": ["unused.test", "*.wide.test"], "add": ["127.0.0.1"]});
    assert_eq!(seen["proposal"], proposal);
    let (_, text) = ask(&observed, &["report", "--app", "fetch"]).await;
    for line in
        ["-        - \"unused.test\"", "+        - \"127.0.0.1\"", "observed (host_not_allowed)", "config.yaml:3:"]
    {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("secret"), "{text}");

    let (code, text) = ask(&observed, &["explain", "--app", "fetch", &url]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("observed") && text.contains("not enforced"), "{text}");
    let metrics = observed.get("/metrics").await.text().to_owned();
    assert!(metrics.lines().any(|line| line.contains("observed") && line.contains("host_not_allowed")), "{metrics}");
    let records = observed.shutdown().await.egress();
    let kinds: Vec<_> = records.iter().map(|record| (record.denied, record.observed)).collect();
    assert_eq!(kinds, [(Some(DenyReason::HostNotAllowed), true), (Some(DenyReason::AddressProhibited), false)]);

    let enforced = start("{allowedHosts: ['127.0.0.1']}").await;
    assert_eq!(fetch(&enforced, json!({"url": url})).await["status"], 200);
    assert_eq!(report(&enforced, 1).await["proposal"], json!({"keep": ["127.0.0.1"], "remove": [], "add": []}));
}

/// Each kind of answer, with the line of the config that decides and the exit code.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_names_the_line_that_decides() {
    let host = start("{allowedHosts: ['*.wild.test', localhost, '127.0.0.1']}").await;
    let own = host.files()[0].clone();
    let port = std::fs::read_to_string(own).unwrap();
    assert!(port.contains("port: 8080"), "{port}");
    for (url, code, parts) in [
        (
            "https://evil.test/",
            1,
            &["[host_not_allowed]", "config.yaml:3:", r#"apps.fetch.egress.allowedHosts: ["evil.test"]"#][..],
        ),
        ("http://[::ffff:127.0.0.1]/", 1, &["[uri_invalid]"]),
        ("http://localhost:25/", 1, &["[port_blocked]", "server.egress.blockedPorts"]),
        ("http://127.0.0.1:9999/", 0, &["`127.0.0.1` (", "config.yaml:3:", "allowedHosts[2]", "special"]),
        ("http://LOCALHOST./", 0, &["host localhost, port 80", "`localhost`", "never asked for"]),
        ("https://a.wild.test/", 3, &["`*.wild.test`", "not resolved"]),
    ] {
        let offline: &[&str] = if code == 3 { &["--offline"] } else { &[] };
        let (seen, text) = ask(&host, &[&["explain", "--app", "fetch", url], offline].concat()).await;
        assert_eq!(seen, Some(code), "{url}\n{text}");
        for part in parts {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
    let (code, text) = ask(&host, &["explain", "--app", "fetch", "--json", "http://evil.test/"]).await;
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &told["verdict"], &told["steps"][1]["step"]), (Some(1), &json!("deny"), &json!("host")));
}

const TOKEN: &str = "upstream-credential/1+2";
const OTHER: &str = "another-credential-3";

/// The app holds a placeholder; the upstream gets the credential; echoes of it come back covered up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_that_the_app_never_holds() {
    let upstream = Upstream::start().await;
    let held = format!(
        "{{header: Authorization, hosts: ['127.0.0.1'], value: '{TOKEN}', env: API_TOKEN}}, \
         {{header: Authorization, hosts: [localhost], value: '{OTHER}', format: 'Token {{}}', token: true}}"
    );
    let host = start(&format!("{{allowedHosts: ['127.0.0.1', localhost], credentials: [{held}]}}")).await;
    let url = |host: &str| format!("http://{host}:{}/headers", upstream.port());
    let sent = || upstream.asked().pop().unwrap().headers["authorization"].to_str().unwrap().to_owned();

    let answer = fetch(&host, json!({"url": url("127.0.0.1"), "bearer": "API_TOKEN"})).await;
    assert_eq!(sent(), format!("Bearer {TOKEN}"));
    let body = answer["body"].as_str().unwrap();
    assert!(body.contains("authorization") && body.contains(&"*".repeat(TOKEN.len())), "{body}");
    assert!(!answer.to_string().contains(TOKEN), "{answer}");
    let echo = answer["headers"].as_array().unwrap().iter().find(|pair| pair[0] == "x-echo").unwrap();
    assert_eq!(echo[1], format!("Bearer {}", "*".repeat(TOKEN.len())));

    let answer = fetch(&host, json!({"url": url("localhost"), "bearer": "token"})).await;
    assert_eq!(sent(), format!("Token {OTHER}"));
    assert!(!answer.to_string().contains(OTHER), "{answer}");

    // To a host that it is not for, the placeholder goes as it is.
    fetch(&host, json!({"url": url("localhost"), "bearer": "API_TOKEN"})).await;
    let placeholder = sent();
    assert!(placeholder.starts_with("Bearer gst_held_"), "{placeholder}");
    // In another header of the right host, too; and nothing that is not asked for is added.
    let word = placeholder.trim_start_matches("Bearer ");
    fetch(&host, json!({"url": url("127.0.0.1"), "headers": {"x-other": word}})).await;
    let asked = upstream.asked().pop().unwrap();
    assert_eq!(asked.headers["x-other"], word);
    assert!(!asked.headers.contains_key("authorization"));

    let uses: Vec<_> = host.shutdown().await.egress().iter().map(|record| record.credential).collect();
    assert!(uses.contains(&HeldUse::Injected) && uses.contains(&HeldUse::Withheld), "{uses:?}");
}

/// A credential cannot be kept from a process that sends its requests itself: such an app is not started.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_is_not_entrusted_to_a_process() {
    let held = "{header: Authorization, hosts: [h.test], value: long-enough, env: TOKEN}";
    let entry = app("native", &manifest("echo-native-rust"), &format!("egress: {{credentials: [{held}]}}"));
    let host = TestHost::start(&format!("apps:\n{entry}")).await;
    assert_eq!(host.call("native", "echo", "{}").await.code(), 503);
}
