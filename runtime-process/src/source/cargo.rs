//! A Cargo package built on the Rust SDK.
//!
//! Its `export_provider!` makes functions, and in later releases a `main`. A package with a binary of its own is built and
//! run as it is; a library gets a generated crate around it whose `main` calls those functions, which all releases have.

use super::SourcePackage;
use super::phase::{self, Site};
use crate::error::ProcessError;
use crate::spec::AppCommand;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A release build of an SDK and its dependencies from scratch, on a slow machine.
const BUILD_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Reading a manifest; cargo may wait for another cargo.
const METADATA_TIMEOUT: Duration = Duration::from_secs(60);

const WRAPPER_MAIN: &str = r#"fn main() {
    let name = std::env::var("GESTALT_APP_NAME").unwrap_or_else(|_| "provider".to_string());
    let result = match std::env::var("GESTALT_APP_WRITE_CATALOG") {
        Ok(path) if !path.is_empty() => provider::__gestalt_write_catalog(&name, &path),
        _ => provider::__gestalt_serve(&name),
    };
    if let Err(error) = result {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}
"#;

/// What a package can be built to.
enum Target {
    Binary(String),
    Library { package: String },
}

/// Builds the package, and says which program that made; `None` when it is not a Cargo package. In a cell, `wrapper` is
/// where a crate around it is to be made: nothing is there yet, and nothing that has run could have put anything there.
pub(super) async fn build_package(
    package: &SourcePackage,
    site: Option<&Site>,
    wrapper: Option<&Path>,
) -> Result<Option<PathBuf>, ProcessError> {
    let manifest = package.root.join("Cargo.toml");
    if !manifest.is_file() {
        return Ok(None);
    }
    let (cache, wrapper) = match (site, wrapper) {
        (Some(site), Some(wrapper)) => (&site.cache, wrapper.to_owned()),
        _ => (&package.cache, package.cache.join("wrapper")),
    };
    let own_target = cache.join("target");
    let made = match target(package, &manifest, site).await? {
        // In a cell the package's own target directory would have to be built anew with every change.
        Target::Binary(name) => build(package, &manifest, &name, site.map(|_| own_target.as_path()), site).await?,
        Target::Library { package: name } => {
            let manifest = write_wrapper(package, &name, &wrapper, site.is_some())?;
            // Only from now on may the cell write there.
            let site = site.map(|site| Site { write: [&site.write[..], &[wrapper]].concat(), ..site.clone() });
            build(package, &manifest, "provider-main", Some(&own_target), site.as_ref()).await?
        }
    };
    Ok(Some(made))
}

/// Asks cargo what the package consists of: targets may be declared or discovered, which is cargo's own business.
async fn target(package: &SourcePackage, manifest: &Path, site: Option<&Site>) -> Result<Target, ProcessError> {
    let mut command = cargo(package);
    let words = ["metadata", "--no-deps", "--format-version", "1", "--manifest-path"];
    command.args.extend(words.map(Into::into));
    command.args.push(manifest.into());
    let mut text = String::new();
    phase::read("build", &command, site, METADATA_TIMEOUT, |line| text.push_str(line)).await?;
    let metadata: Value = serde_json::from_str(&text).unwrap_or_default();
    choose(&metadata, manifest).map_err(|reason| ProcessError::Package { path: manifest.to_owned(), reason })
}

fn choose(metadata: &Value, manifest: &Path) -> Result<Target, String> {
    let manifest = manifest.canonicalize().map_err(|error| error.to_string())?;
    let package = list(&metadata["packages"])
        .find(|p| p["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest))
        .ok_or("has no [package]")?;
    let name = package["name"].as_str().unwrap_or_default();
    let of_kind = |kinds: &[&str]| {
        list(&package["targets"])
            .filter(|t| list(&t["kind"]).any(|k| k.as_str().is_some_and(|k| kinds.contains(&k))))
            .filter_map(|t| t["name"].as_str())
            .collect::<Vec<_>>()
    };
    let binaries = of_kind(&["bin"]);
    let preferred = package["default_run"].as_str().unwrap_or(name);
    match binaries.as_slice() {
        [] if !of_kind(&["lib", "rlib"]).is_empty() => Ok(Target::Library { package: name.to_owned() }),
        [] => Err("has neither a binary nor a library".into()),
        [one] => Ok(Target::Binary((*one).to_owned())),
        many if many.contains(&preferred) => Ok(Target::Binary(preferred.to_owned())),
        _ => Err(format!("has several binaries, and none is called {preferred:?}: set `default-run`")),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Builds one binary and learns from cargo where it lies.
async fn build(
    package: &SourcePackage,
    manifest: &Path,
    name: &str,
    target_dir: Option<&Path>,
    site: Option<&Site>,
) -> Result<PathBuf, ProcessError> {
    let mut command = cargo(package);
    let words = ["build", "--release", "--message-format=json-render-diagnostics", "--bin", name, "--manifest-path"];
    command.args.extend(words.map(Into::into));
    command.args.push(manifest.into());
    if let Some(dir) = target_dir {
        command.args.extend(["--target-dir".into(), dir.into()]);
    }
    let mut executable = None;
    phase::read("build", &command, site, BUILD_TIMEOUT, |line| {
        let message: Value = serde_json::from_str(line).unwrap_or_default();
        if message["reason"] == "compiler-artifact" && message["target"]["name"] == name {
            executable = message["executable"].as_str().map(PathBuf::from).or(executable.take());
        }
    })
    .await?;
    let reason = || format!("cargo built no executable {name:?}");
    executable.ok_or_else(|| ProcessError::Package { path: manifest.to_owned(), reason: reason() })
}

/// Writes the crate around a library into `dir`, outside of every workspace. Where builds are confined (`confined`), one
/// may have put anything into the package by now.
fn write_wrapper(package: &SourcePackage, name: &str, dir: &Path, confined: bool) -> Result<PathBuf, ProcessError> {
    let manifest = dir.join("Cargo.toml");
    // A debug-formatted string is a valid TOML basic string for every path that is text.
    let text = format!(
        "[package]\nname = \"provider-main\"\nversion = \"0.0.0\"\nedition = \"2021\"\npublish = false\n\n\
         [dependencies]\nprovider = {{ package = {name:?}, path = {:?} }}\n\n[workspace]\n",
        package.root.to_string_lossy()
    );
    let (lock, own_lock) = (Path::new("Cargo.lock"), dir.join("Cargo.lock"));
    let opened = match confined {
        true => gestalt_confine::lookup::open_beneath(&package.root, lock),
        false => std::fs::File::open(package.root.join(lock)),
    };
    let write = || {
        std::fs::create_dir_all(dir.join("src"))?;
        write_if_changed(&manifest, &text)?;
        write_if_changed(&dir.join("src/main.rs"), WRAPPER_MAIN)?;
        match opened {
            Ok(mut lock) if !own_lock.exists() => {
                std::io::copy(&mut lock, &mut std::fs::File::create_new(&own_lock)?).map(drop)
            }
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(std::io::Error::other(format!("Cargo.lock: {error}")))
            }
            _ => Ok(()),
        }
    };
    write()
        .map_err(|error: std::io::Error| ProcessError::Package { path: dir.to_owned(), reason: error.to_string() })?;
    Ok(manifest)
}

/// An unchanged file keeps its time, so that cargo does not build again.
fn write_if_changed(path: &Path, text: &str) -> std::io::Result<()> {
    match std::fs::read_to_string(path) {
        Ok(old) if old == text => Ok(()),
        _ => std::fs::write(path, text),
    }
}

fn cargo(package: &SourcePackage) -> AppCommand {
    let program = package.var("CARGO").unwrap_or_else(|| "cargo".into());
    let workdir = package.root.clone();
    AppCommand { program: program.into(), args: Vec::new(), workdir, env: BTreeMap::new(), direct: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_binary_is_preferred_to_a_library() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = dir.path().canonicalize().unwrap().join("Cargo.toml");
        std::fs::write(&manifest, "").unwrap();
        let check = |targets: Value, default_run: Option<&str>| {
            let package =
                json!({"name": "p", "manifest_path": manifest, "targets": targets, "default_run": default_run});
            match choose(&json!({"packages": [package]}), &manifest) {
                Ok(Target::Binary(name)) => name,
                Ok(Target::Library { package }) => format!("lib {package}"),
                Err(error) => error,
            }
        };
        let bin = |name: &str| json!({"name": name, "kind": ["bin"]});
        let lib = json!({"name": "p", "kind": ["lib"]});
        assert_eq!(check(json!([lib]), None), "lib p");
        assert_eq!(check(json!([lib, bin("x")]), None), "x");
        assert_eq!(check(json!([bin("x"), bin("p")]), None), "p");
        assert_eq!(check(json!([bin("x"), bin("p")]), Some("x")), "x");
        assert!(check(json!([bin("x"), bin("y")]), None).contains("several binaries"));
        assert!(check(json!([]), None).contains("neither"));
    }
}
