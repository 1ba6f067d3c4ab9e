use gestalt_tests::examples::{File, package};
use gestalt_tests::run;
use std::process::Output;

fn texts(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn version() {
    let expect = format!("gestaltd {}\n", env!("CARGO_PKG_VERSION"));
    for arguments in [["version"], ["--version"]] {
        assert_eq!(texts(&run(&arguments).await), (Some(0), expect.clone(), String::new()));
    }
}

/// Writes `config.yaml` and validates it.
async fn validate(config: &str) -> (Option<i32>, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let rest = "spec:\n  surfaces:\n    rest:\n      baseUrl: http://h.test\n      operations: [{name: a, method: GET, path: /a}]\n";
    package(&dir.path().join("good"), rest, &[]);
    package(&dir.path().join("bad"), "spec: {surfacs: {}}\n", &[File { name: "readme", text: "" }]);
    let file = dir.path().join("config.yaml");
    std::fs::write(&file, format!("apiVersion: gestaltd.config/v6\n{config}")).unwrap();
    texts(&run(&["validate", "--config", file.to_str().unwrap()]).await)
}

const KEY: &str = "server:\n  encryptionKey: 5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e\n";

#[tokio::test]
async fn validate_accepts_what_can_be_served() {
    let config = format!("{KEY}apps:\n  tickets: {{source: {{path: ./good/manifest.yaml}}}}\n");
    assert_eq!(validate(&config).await, (Some(0), "config ok: 1 app(s)\n".into(), String::new()));
}

/// Each fault is told with its file, line and key, and what the value would have to be.
#[tokio::test]
async fn validate_locates_every_fault() {
    let app = "apps:\n  tickets: {source: {path: ./good/manifest.yaml}";
    for (config, expect) in [
        (format!("{KEY}  pubic: {{}}\n"), ["config.yaml:4", "server.pubic"]),
        (format!("{KEY}  public: {{port: eighty}}\n"), ["config.yaml:4", "server.public.port"]),
        (format!("{KEY}{app}, egress: {{allowedHosts: ['*com']}}}}\n"), ["config.yaml:5", "allowedHosts[0]"]),
        (
            format!("{KEY}apps:\n  tickets: {{source: {{path: ./nowhere.yaml}}}}\n"),
            ["config.yaml:5", "apps.tickets.source"],
        ),
        (
            format!("{KEY}apps:\n  tickets: {{source: {{path: ./bad/manifest.yaml}}}}\n"),
            ["manifest.yaml:4", "spec.surfacs"],
        ),
        (format!("{KEY}  - x\n"), ["config.yaml:", ""]),
    ] {
        let (code, stdout, stderr) = validate(&config).await;
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{config}");
        for part in expect {
            assert!(stderr.contains(part), "{part} is not in\n{stderr}");
        }
    }
}

#[tokio::test]
async fn a_missing_config_file_is_named() {
    let (code, _, stderr) = texts(&run(&["serve", "--config", "nowhere.yaml"]).await);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("nowhere.yaml"), "{stderr}");
}

#[tokio::test]
async fn config_schema_prints_what_an_editor_needs() {
    for (arguments, title) in [
        (&["config", "schema"][..], "gestaltd.config/v6"),
        (&["config", "schema", "manifest"], "Manifest"),
        (&["config", "schema", "manifest:plugin"], "Manifest of kind app"),
    ] {
        let (code, stdout, stderr) = texts(&run(arguments).await);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{arguments:?}");
        let schema: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!(schema["title"], title, "{arguments:?}");
    }
    let (code, stdout, stderr) = texts(&run(&["config", "schema", "manifest:plug"]).await);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("manifest:app"), "{stderr}");
}
