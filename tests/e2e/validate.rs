use gestalt_tests::examples::{File, app, manifest, package};
use gestalt_tests::run;
use serde_json::Value;
use std::path::Path;

/// Exit code, standard output and standard error of `validate` with these arguments and this config.
async fn validate(dir: &Path, arguments: &[&str], config: &str) -> (Option<i32>, String, String) {
    let file = dir.join("config.yaml");
    let artifacts = dir.join("artifacts");
    let server = format!("server: {{encryptionKey: \"{}\", artifactsDir: {artifacts:?}}}\n", "5e".repeat(32));
    std::fs::write(&file, format!("apiVersion: gestaltd.config/v6\n{server}{config}")).unwrap();
    let all: Vec<&str> =
        ["validate", "--config", file.to_str().unwrap()].into_iter().chain(arguments.iter().copied()).collect();
    let output = run(&all).await;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// `--runtime` starts what `serve` would, and its exit code says whether all of it came up.
#[tokio::test]
async fn runtime_tells_whether_all_apps_come_up() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = "name: x\noperations: [{id: op, method: POST}]\n";
    let files = [File { name: "run.sh", text: "echo gone >&2; exit 7" }, File { name: "catalog.yaml", text: catalog }];
    let ends = package(&dir.path().join("ends"), "run: {command: [sh, run.sh]}\nspec: {}\n", &files);
    let good = format!("apps:\n{}", app("native", &manifest("echo-native-rust"), ""));
    let (code, stdout, stderr) = validate(dir.path(), &["--runtime"], &good).await;
    assert_eq!((code, stdout.contains("config ok: 1 app(s)")), (Some(0), true), "{stdout}{stderr}");
    let bad = format!("{good}{}", app("ends", &ends, ""));
    let (code, _, stderr) = validate(dir.path(), &["--runtime"], &bad).await;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("1 app(s) did not come up") && stderr.contains("app ends:"), "{stderr}");
    // A look does not start it.
    assert_eq!(validate(dir.path(), &[], &bad).await.0, Some(0));
}

/// What is configured and not available yet is a warning, with its place; machines can tell it from an error.
#[tokio::test]
async fn what_is_not_available_yet_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let policy = "authorization: {policies: {staff: {default: deny}}}\napps:\n";
    let config = format!("{policy}{}", app("echo", &manifest("echo"), "authorizationPolicy: staff"));
    let (code, _, stderr) = validate(dir.path(), &[], &config).await;
    assert_eq!(code, Some(0), "{stderr}");
    for part in [
        "warning: ",
        "config.yaml:3:",
        "authorization.policies.staff",
        "apps.echo.authorizationPolicy",
        "not available yet",
    ] {
        assert!(stderr.contains(part), "{part} is not in\n{stderr}");
    }
    let (code, stdout, _) = validate(dir.path(), &["--json"], &config).await;
    let lines: Vec<Value> = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, lines.len()), (Some(0), 2), "{stdout}");
    assert!(lines.iter().all(|line| line["severity"] == "warning" && line["line"].is_u64()), "{stdout}");
    // The app is not let in without its policy.
    let (code, _, stderr) = validate(dir.path(), &["--runtime"], &config).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("the app is not started without it"), "{stderr}");
}

/// `--print` shows the whole: defaults, the place of each value, and no secret.
#[tokio::test]
async fn print_shows_where_values_come_from() {
    let dir = tempfile::tempdir().unwrap();
    let config = format!("apps:\n{}", app("echo", &manifest("echo"), "env: {TOKEN: hunter2}, displayName: Echo"));
    let (code, stdout, stderr) = validate(dir.path(), &["--print"], &config).await;
    assert_eq!(code, Some(0), "{stderr}");
    let file = dir.path().join("config.yaml");
    for line in [
        format!("    displayName: Echo  # {}:4", file.display()),
        format!("      TOKEN: \"********\"  # {}:4", file.display()),
        format!("  encryptionKey: \"********\"  # {}:2", file.display()),
        "    port: 8080  # default".to_owned(),
    ] {
        assert!(stdout.lines().any(|printed| printed == line), "{line} is not in\n{stdout}");
    }
    assert!(!stdout.contains("hunter2") && !stdout.contains(&"5e".repeat(32)), "{stdout}");
}

/// What an overlay lets apps do beyond the file it is laid over is a warning, whatever form takes a restriction away; with
/// the app, the key, both values and the place of the later one.
#[tokio::test]
async fn an_overlay_that_widens_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = dir.path().join(name);
        std::fs::write(&file, format!("apiVersion: gestaltd.config/v6\n{text}")).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let key = "5e".repeat(32);
    let entry = app("echo", &manifest("echo"), "egress: {allowedHosts: [h.test], requireTls: true}");
    let base = format!("server: {{encryptionKey: \"{key}\", egress: {{sandbox: required}}}}\napps:\n{entry}");
    let base = write("base.yaml", &base);
    let over = write("over.yaml", "server: {egress: {sandbox: null}}\napps:\n  echo:\n    egress: null\n");
    let output = run(&["validate", "--config", &base, "--config", &over]).await;
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    for line in [
        format!(
            "warning: {over}:2:28: server.egress.sandbox: POLICY_WIDENED for apps.echo: before: `required`; now: `best-effort`"
        ),
        format!(
            "warning: {over}:5:13: apps.echo.egress.allowedHosts: POLICY_WIDENED for apps.echo: before: `h.test`; now: nothing, and the default to allow all"
        ),
        format!(
            "warning: {over}:5:13: apps.echo.egress.requireTls: POLICY_WIDENED for apps.echo: before: `true`; now: `false`"
        ),
    ] {
        assert!(told.contains(&line), "{line}\nis not in\n{told}");
    }
    let output = run(&["validate", "--json", "--config", &base, "--config", &over]).await;
    let lines: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let paths: Vec<&str> = lines.iter().map(|line| line["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["server.egress.sandbox", "apps.echo.egress.allowedHosts", "apps.echo.egress.requireTls"]);
    // The other way round it narrows, and so does the first file by itself.
    let output = run(&["validate", "--config", &base, "--config", &write("none.yaml", "")]).await;
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
}
