use gestalt_tests::examples::{File, app, manifest, package, python_with};
use gestalt_tests::{Served, run};
use serde_json::{Value, json};
use std::path::Path;

/// What every app here says wherever it can say something: a record of the daemon's own, on a line of its own, that a
/// terminal shows in place of what stood there before. And what only a machine reads.
const FORGED: &str = "hello\n2026-01-01T00:00:00.000000Z  INFO audit: audit allowed=true provider=\"forged\"\r\
                      \u{1b}[2K\u{1b}]0;title\u{7}\u{9b}2J\u{85}\u{2028}\u{202e}\u{200b}\u{feff}\u{e0041}\u{7f}\tend";

/// Nothing in a text acts on whoever reads it, and no line of it begins with what an app wrote.
fn assert_harmless(what: &str, text: &[u8]) {
    let text = std::str::from_utf8(text).unwrap_or_else(|e| panic!("{what}: {e}"));
    let acts = |c: &char| {
        c.is_control() && *c != '\n'
            || matches!(c, '\u{2028}' | '\u{202e}' | '\u{200b}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    assert_eq!(text.chars().find(acts), None, "{what}: {text:?}");
    for line in text.lines() {
        let forged = ["hello", "2026-01-01", "audit"].iter().any(|start| line.trim_start().starts_with(start));
        assert!(!forged, "{what}: {line:?}");
    }
}

/// The log has records and nothing else: each line starts with a time.
fn assert_log(log: &str) {
    assert_harmless("log", log.as_bytes());
    for line in log.lines() {
        let is_record = line.len() > 30 && line.starts_with("20") && line.as_bytes()[10] == b'T' && line.contains("Z ");
        assert!(is_record, "{line:?}");
    }
}

/// A package that is run by this shell script, which finds [`FORGED`] in the file `forged`.
fn script(dir: &Path, name: &str, text: &str) -> String {
    let catalog = format!("name: {name}\noperations: [{{id: op, method: POST}}]\n");
    let files = [
        File { name: "run.sh", text },
        File { name: "catalog.yaml", text: &catalog },
        File { name: "forged", text: FORGED },
    ];
    app(name, &package(&dir.join(name), "run: {command: [sh, run.sh]}\nspec: {}\n", &files), "")
}

/// A package with a manifest that does not hold, and says so in [`FORGED`]'s words.
fn manifest_of(dir: &Path, name: &str, manifest: &str) -> String {
    app(name, &package(&dir.join(name), manifest, &[]), "")
}

fn hostile_packages(dir: &Path) -> String {
    let quoted = serde_json::to_string(FORGED).unwrap();
    let import = r#"(component (import "acme:secrets/vault@1.0.0" (instance)))"#;
    let component = package(&dir.join("foreign"), "entrypoint: {artifactPath: app.wasm}\nspec: {}\n", &[]);
    std::fs::write(component.with_file_name("app.wasm"), wat::parse_str(import).unwrap()).unwrap();
    [
        script(dir, "dies", "cat forged >&2; exit 7"),
        script(dir, "prints", "cat forged; exit 7"),
        script(dir, "raw", "printf '\\377\\376\\000\\033[2J\\nhello\\n' >&2; exit 7"),
        manifest_of(dir, "key", &format!("spec: {{{quoted}: 1}}\n")),
        manifest_of(dir, "value", &format!("spec: {{surfaces: {{rest: {{baseUrl: {quoted}, operations: []}}}}}}\n")),
        manifest_of(dir, "path", &format!("entrypoint: {{artifactPath: {quoted}}}\nspec: {{}}\n")),
        app("foreign", &component, ""),
    ]
    .concat()
}

/// Whoever says it, and however: a native app's output and last words, its errors and a component's, what a package is
/// called and says of itself, what a caller asks for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_writes_a_line_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let config = [
        "apps:\n".to_owned(),
        hostile_packages(dir.path()),
        app("python", &python_with("a29"), ""),
        app("native", &manifest("echo-native-rust"), ""),
        app("component", &manifest("echo"), ""),
        app("hostile", &manifest("hostile"), ""),
        app("starts-badly", &manifest("hostile"), "config: {start: panic}"),
    ];
    let served = Served::start(&config.concat());
    let client = served.ready().await;
    for name in ["python", "native", "component"] {
        for status in [0, 418] {
            let params = json!({"status": status, "message": FORGED});
            let answer = client.call(name, "fail", params.to_string()).await;
            assert!(answer.code() >= 400, "{name}: {}", answer.text());
        }
        let params = json!({"app": FORGED, "operation": FORGED, "params": {}});
        client.call(name, "call", params.to_string()).await;
    }
    let spelled: String = FORGED.bytes().map(|b| format!("%{b:02x}")).collect();
    assert!(client.get(&format!("/api/v1/{spelled}/{spelled}")).await.code() >= 400);
    assert!(client.call("component", &spelled, "{}").await.code() >= 400);
    let metrics = client.get("/metrics").await.text();
    assert!(!metrics.contains("forged") && !metrics.contains('\u{1b}'), "{metrics}");
    served.signal(nix::sys::signal::Signal::SIGTERM);
    let exit = served.exit().await;
    assert_log(&exit.log);
    let told = exit.log.matches("provider=\\\"forged\\\"").count();
    assert!(told >= 6, "what they said is there to be read: {told}\n{}", exit.log);
}

/// The same packages, as an operator looks at them on a terminal, and as a machine does.
#[tokio::test]
async fn nobody_writes_a_line_on_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.yaml");
    let quoted = serde_json::to_string(FORGED).unwrap();
    let server =
        format!("server: {{encryptionKey: \"{}\", artifactsDir: {:?}}}\n", "5e".repeat(32), dir.path().join("a"));
    let apps = hostile_packages(dir.path());
    let whole = format!("apiVersion: gestaltd.config/v6\n{server}apps:\n{apps}");
    let wrong = format!("{whole}{quoted}: {{{quoted}: {quoted}}}\n");
    let path = file.to_str().unwrap();
    for (what, config, arguments) in [
        ("packages", &whole, &["validate", "--config", path][..]),
        ("for machines", &whole, &["validate", "--json", "--config", path]),
        ("started", &whole, &["validate", "--runtime", "--config", path]),
        ("config", &wrong, &["validate", "--config", path]),
        ("refused", &wrong, &["serve", "--config", path]),
        ("component", &whole, &["provider", "verify-egress", dir.path().join("foreign").to_str().unwrap()]),
        ("nothing", &whole, &["provider", "verify-egress", FORGED]),
        ("unknown app", &whole, &["egress", "report", "--app", FORGED, "--config", path]),
        ("url", &whole, &["egress", "explain", "--offline", "--app", "dies", "--config", path, FORGED]),
    ] {
        std::fs::write(&file, config).unwrap();
        let output = run(arguments).await;
        let written = [&output.stdout[..], &output.stderr].concat();
        assert!(!written.is_empty(), "{what}");
        assert_harmless(what, &written);
        if what == "for machines" {
            let problems: Value = serde_json::from_slice(&output.stdout).unwrap();
            let said = |p: &Value| p.to_string().contains("forged");
            assert!(problems.as_array().unwrap().iter().any(said), "{problems}");
        }
    }
}
