use crate::fixture::{Fixture, Vars, check};
use gestalt_config::{Deployment, Manifest, Mode, Runtime, WASM, WasmRuntime, load};
use std::collections::HashMap;
use std::fmt::Write;
use std::path::PathBuf;

fn read(fixture: &Fixture) -> Result<Deployment, String> {
    let mode = if fixture.lenient { Mode::Lenient } else { Mode::Strict };
    let files: Vec<PathBuf> = fixture.files.iter().map(|file| fixture.env.dir.join(file)).collect();
    load(&files, mode, &fixture.env).map_err(|problems| problems.to_string())
}

/// Everything but the built-in runtime with nothing but defaults.
fn render(deployment: &Deployment) -> String {
    let mut out = format!("server: {:#?}\n", deployment.server);
    for (name, runtime) in &deployment.runtimes {
        match runtime {
            Runtime::Wasm(wasm) if name == WASM && **wasm == WasmRuntime::default() => {}
            _ => writeln!(out, "runtime {name}: {runtime:#?}").unwrap(),
        }
    }
    for (name, app) in &deployment.apps {
        writeln!(out, "app {name}: {app:#?}").unwrap();
    }
    writeln!(out, "components run in: {}", deployment.component_runtime()).unwrap();
    if !deployment.warnings.is_empty() {
        writeln!(out, "warnings:\n{}", deployment.warnings).unwrap();
    }
    out
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

/// `config` against the package's own schema: the first app's config in each fixture.
#[test]
fn config_schemas() {
    check("config_schema", |fixture| {
        let deployment = read(fixture)?;
        let app = deployment.apps.values().next().unwrap();
        let manifest = Manifest::load(&app.manifest).map_err(|problems| problems.to_string())?;
        deployment.check_config(app, &manifest).map_err(|problems| problems.to_string())?;
        Ok("fits".to_owned())
    });
}
