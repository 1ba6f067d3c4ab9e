use gestalt_tests::examples::{File, app, manifest, package};
use gestalt_tests::{gestaltd, root, run};
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

/// A native package in `dir` away from the places that a cell makes itself, and a configuration with it as `native`, another
/// app, and what else there is in `server` and the entry.
fn native(dir: &Path, server: &str, egress: &str) -> String {
    let files = [File { name: "run.sh", text: "sleep 1" }];
    let packages =
        ["native", "other"].map(|name| package(&dir.join(name), "run: {command: [sh, run.sh]}\nspec: {}\n", &files));
    let (own, other) = (app("native", &packages[0], egress), app("other", &packages[1], ""));
    let (key, config) = ("5e".repeat(32), dir.join("config.yaml"));
    let text = format!("apiVersion: gestaltd.config/v6\nserver: {{encryptionKey: {key}{server}}}\napps:\n{own}{other}");
    std::fs::write(&config, text).unwrap();
    config.to_str().unwrap().to_owned()
}

/// A native app is attacked from inside of its own cell, under its own rules or a sample of some.
#[tokio::test]
async fn a_native_app_is_attacked_in_its_own_cell() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    for (server, egress) in [
        ("", "egress: {allowedHosts: ['*.example.org', api.example.com], sandbox: required}"),
        (", egress: {defaultAction: deny}", ""),
    ] {
        let config = native(dir.path(), server, egress);
        let output = verify(&["native", "--config", &config, "--json"]).await;
        let report = report(&output);
        assert_eq!((code(&output), &report["holds"], broken(&report)), (0, &json!(true), vec![]));
        let attempts = report["attempts"].as_array().unwrap();
        let ids: std::collections::BTreeSet<_> = attempts.iter().map(|a| a["id"].as_str().unwrap()).collect();
        for id in ["N01", "N02", "N05", "N06", "N07", "N14", "N15", "N16", "N17", "N19", "A02", "D01", "N12"] {
            assert!(ids.contains(id), "{id}: {ids:?}");
        }
        let reached = attempts.iter().filter(|a| a["seen"].as_str().unwrap().contains("connected to")).count();
        assert_eq!(reached > 0, server.is_empty(), "{report:#}");
        assert!(attempts.len() >= if server.is_empty() { 65 } else { 45 }, "{}", attempts.len());
    }
    let package = dir.path().join("native");
    let by_itself = report(&verify(&[package.to_str().unwrap(), "--json"]).await);
    assert_eq!((&by_itself["holds"], broken(&by_itself)), (&json!(true), vec![]));
}

/// What is shown to an app on purpose it can read, and so nothing holds that is said of it: the trial tells a wall from none.
#[tokio::test]
async fn an_attempt_that_works_is_told() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let config = native(dir.path(), "", "egress: {allowedHosts: [api.example.com], mode: observe}");
    let output = verify(&["native", "--config", &config, "--json"]).await;
    let report = report(&output);
    assert_eq!((code(&output), &report["holds"]), (1, &json!(false)));
    let broken: Vec<_> = broken(&report).iter().map(|attempt| attempt["id"].as_str().unwrap().to_owned()).collect();
    assert!(broken.contains(&"A02".to_owned()) && !broken.iter().any(|id| id == "N16"), "{report:#}");
}

/// Where nothing confines a process, nothing holds, and the report says why.
#[tokio::test]
async fn a_native_app_without_a_sandbox_has_no_boundary() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let poor = "echo 0 > /proc/sys/user/max_net_namespaces";
    for (egress, script, why) in [
        ("egress: {allowedHosts: [api.example.com], sandbox: 'off'}", "", "egress.sandbox is off"),
        ("egress: {sandbox: required}", "", "the default is to allow"),
        (
            "egress: {allowedHosts: [api.example.com], sandbox: required}",
            poor,
            "would not be started: this machine lacks",
        ),
        ("egress: {allowedHosts: [api.example.com]}", poor, "the machine's network: this machine lacks namespaces"),
    ] {
        let config = native(dir.path(), "", egress);
        let mut command = std::process::Command::new("unshare");
        command.args(["-Ur", "sh", "-c", &format!("{script}\nexec \"$@\""), "sh"]).arg(gestaltd());
        let output = command.args(["provider", "verify-egress", "native", "--config", &config]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(code(&output), 1, "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("There is no boundary") && text.contains(why), "{egress}: {text}");
    }
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
