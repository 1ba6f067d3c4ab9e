use crate::fixture::{Fixture, check};
use gestalt_config::{Deployment, Mode, Runtime, WASM, WasmRuntime, load};
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
