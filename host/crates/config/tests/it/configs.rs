use crate::fixture::{Fixture, Vars, check};
use gestalt_config::deployment::{Authorization, Connections, Entries, Providers, Workflows};
use gestalt_config::{Deployment, Manifest, Mode, Runtime, WASM, WasmRuntime, load, start_order};
use gestalt_core::AppName;
use std::collections::{BTreeMap, HashMap};
use std::fmt::{Debug, Write};
use std::path::{Path, PathBuf};

fn read(fixture: &Fixture) -> Result<Deployment, String> {
    let mode = if fixture.lenient { Mode::Lenient } else { Mode::Strict };
    let files: Vec<PathBuf> = fixture.files.iter().map(|file| fixture.env.dir.join(file)).collect();
    load(&files, mode, &fixture.env).map_err(|problems| problems.to_string())
}

/// Everything but the built-in runtime with nothing but defaults.
fn render(deployment: &Deployment) -> String {
    let usual = format!("connections: {:#?},", Connections::default());
    let usual: String = usual.lines().map(|line| format!("    {line}\n")).collect();
    let mut out = format!("server: {:#?}\n", deployment.server).replace(&usual, "");
    section(&mut out, "authorization", &deployment.authorization, Authorization::default());
    section(&mut out, "connections", &deployment.connections, BTreeMap::new());
    section(&mut out, "provider repositories", &deployment.provider_repositories, BTreeMap::new());
    section(&mut out, "snapshot repositories", &deployment.snapshot_repositories, BTreeMap::new());
    providers(&mut out, &deployment.providers);
    for (name, runtime) in &deployment.runtimes {
        match runtime {
            Runtime::Wasm(wasm) if name == WASM && **wasm == WasmRuntime::default() => {}
            _ => writeln!(out, "runtime {name}: {runtime:#?}").unwrap(),
        }
    }
    section(&mut out, "workflows", &deployment.workflows, Workflows::default());
    for (name, app) in &deployment.apps {
        let mut app = app.clone();
        let unenforced = std::mem::take(&mut app.unenforced);
        writeln!(out, "app {name}: {app:#?}").unwrap();
        for missing in unenforced.iter() {
            writeln!(out, "app {name} is not started without {}", missing.path).unwrap();
        }
    }
    writeln!(out, "components run in: {}", deployment.component_runtime()).unwrap();
    for needed in deployment.secret_refs() {
        writeln!(
            out,
            "secret {} of {} at {} for {}",
            needed.secret.name, needed.secret.provider, needed.at, needed.path
        )
        .unwrap();
    }
    if !deployment.secrets_order().is_empty() {
        writeln!(out, "secrets come from: {}", deployment.secrets_order().join(", ")).unwrap();
    }
    if !deployment.warnings.is_empty() {
        writeln!(out, "warnings:\n{}", deployment.warnings).unwrap();
    }
    concise(&out)
}

/// Without the fields that say nothing, so that what was configured can be seen.
fn concise(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines() {
        let opened = lines
            .last()
            .is_some_and(|last| last.starts_with(' ') && last.contains(": ") && last.ends_with(['{', '(', '[']));
        if opened && ["},", "),", "],"].contains(&line.trim()) {
            lines.pop();
        } else if ![": None,", ": [],", ": {},", " [],", "package_build: Confined,"]
            .iter()
            .any(|nothing| line.starts_with(' ') && line.ends_with(nothing))
        {
            lines.push(line);
        }
    }
    lines.join("\n") + "\n"
}

/// What is not as it is when nothing is written.
fn section<T: Debug + PartialEq>(out: &mut String, name: &str, given: &T, nothing: T) {
    if *given != nothing {
        writeln!(out, "{name}: {given:#?}").unwrap();
    }
}

fn kind<T: Debug>(out: &mut String, name: &str, kind: &Entries<T>) {
    let is_default = kind.selected.as_deref() == Some("default") && kind.len() == 1;
    if !(kind.is_empty() || is_default && ["secrets", "telemetry", "audit"].contains(&name)) {
        writeln!(out, "providers.{name}, selected {:?}: {:#?}", kind.selected, kind.entries).unwrap();
    }
}

fn providers(out: &mut String, providers: &Providers) {
    kind(out, "agent", &providers.agent);
    kind(out, "audit", &providers.audit);
    kind(out, "authentication", &providers.authentication);
    kind(out, "authorization", &providers.authorization);
    kind(out, "cache", &providers.cache);
    kind(out, "externalCredentials", &providers.external_credentials);
    kind(out, "indexeddb", &providers.indexeddb);
    kind(out, "s3", &providers.s3);
    kind(out, "secrets", &providers.secrets);
    kind(out, "telemetry", &providers.telemetry);
    kind(out, "ui", &providers.ui);
    kind(out, "workflow", &providers.workflow);
}

#[test]
fn configs() {
    check("config", |fixture| read(fixture).map(|deployment| render(&deployment)));
}

#[test]
fn a_problem_as_json() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("c.yaml"),
        "apiVersion: gestaltd.config/v6\nserver: {public: {port: 0}, x: hunter2}\n",
    )
    .unwrap();
    let env = Vars { vars: HashMap::new(), dir: dir.path().to_owned() };
    let problems = load(&["c.yaml".into()], Mode::Lenient, &env).unwrap_err();
    let expect = serde_json::json!([
        {"file": "c.yaml", "line": 2, "column": 25, "path": "server.public.port", "value": "0",
         "message": "must be between 1 and 65535"},
        {"file": "c.yaml", "line": 2, "column": 29, "path": "server.x", "message": "unknown key"},
    ]);
    assert_eq!(serde_json::to_value(&problems).unwrap(), expect);
}

#[test]
fn no_file_at_all() {
    let env = Vars { vars: HashMap::new(), dir: "/".into() };
    let problems = load(&[], Mode::Strict, &env).unwrap_err();
    assert!(problems.to_string().contains("there is no config file"), "{problems}");
}

/// A deployment and its packages together: in which order they start, or what is wrong.
#[test]
fn packages() {
    check("packages", |fixture| {
        let deployment = read(fixture)?;
        let (packages, found) = deployment.read_packages();
        if !found.errors.is_empty() {
            return Err(found.errors.to_string());
        }
        let (order, _) = start_order(&packages);
        let order: Vec<_> = order.iter().map(AppName::as_str).collect();
        let told = found.warnings.iter().filter(|warning| !warning.message.contains("not available yet"));
        let warnings: String = told.map(|warning| format!("warning: {warning}\n")).collect();
        Ok(format!("start: {}\n{warnings}", order.join(", ")))
    });
}

/// What is printed says the same as what was read, but for the secrets it hides.
#[test]
fn the_effective_deployment_reads_the_same() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config");
    let accepted = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut compared = 0;
    for snap in accepted.filter(|path| path.extension().is_some_and(|e| e == "snap")) {
        let fixture = Fixture::lay_out(&std::fs::read_to_string(snap.with_extension("yaml")).unwrap());
        let deployment = read(&fixture).unwrap_or_else(|problems| panic!("{}: {problems}", snap.display()));
        let printed = deployment.effective();
        if printed.contains("imagePullAuth") {
            // Its mask is not what must stand there.
            continue;
        }
        let file = fixture.env.dir.join("effective.yaml");
        std::fs::write(&file, &printed).unwrap();
        let again = load(&[file], Mode::Lenient, &fixture.env);
        let again = again.unwrap_or_else(|problems| panic!("{}: {problems}\n{printed}", snap.display()));
        let text = |deployment: &Deployment| -> Vec<String> {
            let rendered = render(deployment);
            let body = rendered.split("\nwarnings:").next().unwrap().lines();
            body.filter(|line| !line.contains(".yaml") && !line.starts_with("secret ")).map(str::to_owned).collect()
        };
        assert_eq!(text(&deployment), text(&again), "{}\n{printed}", snap.display());
        compared += 1;
    }
    assert!(compared > 50, "{compared}");
}

/// `config` against the package's own schema: the first app's config in each fixture.
#[test]
fn config_schemas() {
    check("config_schema", |fixture| {
        let deployment = read(fixture)?;
        let app = deployment.apps.values().next().unwrap();
        let manifest = Manifest::load(app.source.manifest().unwrap()).map_err(|problems| problems.to_string())?;
        deployment.check_config(app, &manifest).map_err(|problems| problems.to_string())?;
        Ok("fits".to_owned())
    });
}
