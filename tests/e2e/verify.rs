use gestalt_tests::examples::{File, app, manifest, package};
use gestalt_tests::{root, run};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;

const TAIL: &str = "entrypoint: {artifactPath: app.wasm}\nspec: {}\n";

/// A package around these bytes, and a configuration with it as `guest`, whose entry has `egress` besides.
fn configured(dir: &Path, bytes: &[u8], server: &str, egress: &str) -> String {
    let manifest = package(&dir.join("guest"), TAIL, &[]);
    std::fs::write(manifest.with_file_name("app.wasm"), bytes).unwrap();
    let entry = app("guest", &manifest, egress);
    let key = "5e".repeat(32);
    let config = dir.join("config.yaml");
    let text = format!("apiVersion: gestaltd.config/v6\nserver: {{encryptionKey: {key}{server}}}\napps:\n{entry}");
    std::fs::write(&config, text).unwrap();
    config.to_str().unwrap().to_owned()
}

fn corpus() -> Vec<u8> {
    std::fs::read(root().join("host/src/verify/corpus.component")).unwrap()
}

async fn verify(arguments: &[&str]) -> Output {
    run(&[&["provider", "verify-egress"], arguments].concat()).await
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn report(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Attempts that did not end as they should.
fn broken(report: &Value) -> Vec<&Value> {
    report["attempts"].as_array().unwrap().iter().filter(|attempt| attempt["holds"] != true).collect()
}

/// A component by itself: what it imports, and every attempt under a sample of rules.
#[tokio::test]
async fn a_component_is_verified_under_a_sample() {
    let file = manifest("fetch").with_file_name(".gestalt/build/fetch.wasm");
    let output = verify(&[file.to_str().unwrap(), "--json"]).await;
    let report = report(&output);
    assert_eq!((code(&output), &report["holds"], broken(&report)), (0, &json!(true), vec![]));
    assert!(report["attempts"].as_array().unwrap().len() > 50);
    assert_eq!(report["rules"]["allowedHosts"], json!(["allowed.test", "*.wild.test"]));
    let component = &report["component"];
    assert_eq!(component["digest"].as_str().map(str::len), Some("sha256:".len() + 64));
    let kinds: Vec<_> = ["wasi:http/outgoing-handler", "wasi:cli/environment"]
        .map(|name| {
            let imports = component["imports"].as_array().unwrap();
            let import = imports.iter().find(|i| i["interface"].as_str().unwrap().starts_with(name));
            import.map(|import| import["kind"].as_str().unwrap())
        })
        .into();
    assert_eq!(kinds, [Some("live"), Some("inert")], "{component:#}");

    let output = verify(&[file.to_str().unwrap()]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("A02  held") && text.contains("The boundary holds"), "{text}");
}

/// An app under its own rules, by name or by its package; and with nothing listed, either way.
#[tokio::test]
async fn an_app_is_verified_under_its_own_rules() {
    for (server, egress, reaches) in [
        ("", "egress: {allowedHosts: ['*.example.org', api.example.com, 10.1.2.3]}", "what is listed"),
        (", egress: {defaultAction: deny}", "", "nothing"),
        (", egress: {defaultAction: allow}", "", "every public and private host"),
        (", egress: {privateNetworks: allow}", "egress: {allowedHosts: [api.example.com]}", "what is listed"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let config = configured(dir.path(), &corpus(), server, egress);
        let output = verify(&["guest", "--config", &config, "--json"]).await;
        let report = report(&output);
        assert_eq!((code(&output), broken(&report)), (0, vec![]));
        assert!(report["rules"]["reaches"].as_str().unwrap().starts_with(reaches), "{report:#}");
        if server.is_empty() {
            let package = dir.path().join("guest");
            let by_package = verify(&[package.to_str().unwrap(), "--config", &config, "--json"]).await;
            assert_eq!(self::report(&by_package)["rules"], report["rules"]);
        }
    }
}

/// Where nothing is enforced, nothing holds.
#[tokio::test]
async fn an_observed_app_has_no_boundary() {
    let dir = tempfile::tempdir().unwrap();
    let egress = "egress: {allowedHosts: [api.example.com], mode: observe}";
    let config = configured(dir.path(), &corpus(), "", egress);
    let output = verify(&["guest", "--config", &config, "--json"]).await;
    let report = report(&output);
    assert_eq!((code(&output), &report["holds"], &report["rules"]["mode"]), (1, &json!(false), &json!("observe")));
    let text = String::from_utf8(verify(&["guest", "--config", &config]).await.stdout).unwrap();
    assert!(text.contains("There is no boundary") && text.contains("observe"), "{text}");
}

/// A process of the machine is not confined, and that is said.
#[tokio::test]
async fn a_native_app_has_no_boundary() {
    let dir = tempfile::tempdir().unwrap();
    let files = [File { name: "run.sh", text: "sleep 1" }];
    let native = package(&dir.path().join("native"), "run: {command: [sh, run.sh]}\nspec: {}\n", &files);
    let output = verify(&[native.to_str().unwrap()]).await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(code(&output), 1, "{text}");
    assert!(text.contains("There is no boundary") && text.contains("process of this machine"), "{text}");
}

/// A component that asks for what no app may have is not started, and the report says for what.
#[tokio::test]
async fn foreign_imports_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("foreign.bin");
    let text =
        r#"(component (import "acme:secrets/vault@1.0.0" (instance)) (import "wasi:tls/types@0.2.0" (instance)))"#;
    std::fs::write(&file, wat::parse_str(text).unwrap()).unwrap();
    let report = report(&verify(&[file.to_str().unwrap(), "--json"]).await);
    let imports: Vec<_> = report["component"]["imports"].as_array().unwrap().iter().map(|i| &i["kind"]).collect();
    assert_eq!(imports, ["refused", "refused"], "{report:#}");
}

/// No verdict is another exit code than either verdict.
#[tokio::test]
async fn no_verdict_without_a_subject() {
    let dir = tempfile::tempdir().unwrap();
    let config = configured(dir.path(), &corpus(), "", "");
    let text = dir.path().join("text.yaml");
    std::fs::write(&text, "kind: nothing\n").unwrap();
    let half = dir.path().join("half.wasm");
    std::fs::write(&half, &corpus()[..4096]).unwrap();
    for (arguments, expect) in [
        (vec![], "TARGET"),
        (vec!["guest", "--what"], "--what"),
        (vec!["nowhere", "--config", &config], "nowhere"),
        (vec!["guest", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (vec![text.to_str().unwrap()], "manifest refused"),
        (vec![half.to_str().unwrap()], "component"),
    ] {
        let output = verify(&arguments).await;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((code(&output), output.stdout.as_slice()), (2, &b""[..]), "{arguments:?}: {text}");
        assert!(text.contains(expect), "{arguments:?}: {text}");
    }
}
