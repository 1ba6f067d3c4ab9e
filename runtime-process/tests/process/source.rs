//! From a package to a command.

use crate::kit::{self, Fixture, V3, V4, V5};
use gestalt_core::{AppName, Executor};
use gestalt_runtime_process::AppCommand;
use gestalt_runtime_process::source::{Entrypoint, SourcePackage, Step, export_catalog, prepare};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tokio::task::JoinSet;

fn step(argv: &[&str]) -> Step {
    Step { argv: argv.iter().map(|&a| a.to_owned()).collect(), ..Step::default() }
}

fn package(root: &Path, cache: &Path) -> SourcePackage {
    SourcePackage { root: root.into(), cache: cache.into(), ..SourcePackage::default() }
}

async fn command(package: &SourcePackage) -> AppCommand {
    prepare(package).await.unwrap().command
}

async fn refused(package: &SourcePackage) -> String {
    prepare(package).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_python_package_starts_and_writes_its_catalog() {
    for release in [V3, V4, V5] {
        let cache = tempfile::tempdir().unwrap();
        let mut package = package(&kit::fixture(), cache.path());
        let interpreter = kit::python(release).to_str().unwrap().to_owned();
        package.env = BTreeMap::from([("GESTALT_PYTHON".into(), interpreter)]);
        let mut served = command(&package).await;
        served.env.insert("PYTHONDONTWRITEBYTECODE".into(), "1".into());

        let app = AppName::parse("fixture").unwrap();
        let text = export_catalog(&served, &app, &BTreeMap::new(), cache.path(), None).await.unwrap();
        assert!(text.contains("id: echo") && text.contains("id: created"), "{release}: {text}");

        let fixture = Fixture::launch_with(release, |spec| spec.command = served).await.unwrap();
        assert_eq!(fixture.json("text", json!({})).await, "plain");
        fixture.app.shutdown().await;
    }
}

#[tokio::test]
async fn a_build_runs_when_its_output_is_missing_or_older_than_its_inputs() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("package");
    std::fs::create_dir_all(root.join("src")).unwrap();
    std::fs::write(root.join("src/input"), "1").unwrap();
    let mut package = package(&root, &dir.path().join("cache"));
    package.entrypoint = Some(Entrypoint { artifact_path: "bin/serve".into(), args: vec!["--fast".into()] });
    package.build = vec![
        step(&["mkdir", "-p", "bin"]),
        step(&["cp", "src/input", "bin/serve"]),
        step(&["sh", "-c", "echo built >> ../log"]),
    ];
    let built = || std::fs::read_to_string(dir.path().join("log")).unwrap().lines().count();
    let age = |path: &str, seconds: u64| {
        let at = SystemTime::now() - Duration::from_secs(seconds);
        File::options().write(true).open(root.join(path)).unwrap().set_modified(at).unwrap();
    };

    let first = command(&package).await;
    assert_eq!((first.program, first.args), (root.join("bin/serve"), vec!["--fast".into()]));
    assert!(first.direct);
    age("src/input", 60);
    command(&package).await;
    assert_eq!(built(), 1, "an output younger than its inputs is taken as it is");
    age("bin/serve", 120);
    command(&package).await;
    assert_eq!(built(), 2);

    package.build[0].inputs = vec!["other".into()];
    std::fs::write(root.join("other"), "").unwrap();
    age("other", 60);
    std::fs::write(root.join("src/input"), "2").unwrap();
    age("bin/serve", 0);
    command(&package).await;
    assert_eq!(built(), 2, "only declared inputs count");
}

#[tokio::test]
async fn dependencies_are_installed_once_until_they_change() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("package");
    std::fs::create_dir_all(&root).unwrap();
    std::fs::write(root.join("uv.lock"), "").unwrap();
    let mut package = package(&root, &dir.path().join("cache"));
    package.install = vec![step(&["sh", "-c", "echo installed >> ../log"])];
    package.run = vec![step(&["./serve", "now"])];
    let installed = || std::fs::read_to_string(dir.path().join("log")).unwrap().lines().count();

    let first = command(&package).await;
    assert_eq!((first.program, first.direct), (root.join("./serve"), false));
    command(&package).await;
    assert_eq!(installed(), 1);
    let later = SystemTime::now() + Duration::from_secs(60);
    File::options().write(true).open(root.join("uv.lock")).unwrap().set_modified(later).unwrap();
    command(&package).await;
    assert_eq!(installed(), 2);
}

#[tokio::test]
async fn a_library_crate_gets_a_main_around_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/library");
    let made = command(&package(&root, dir.path())).await;
    let app = AppName::parse("lib").unwrap();
    let text = export_catalog(&made, &app, &BTreeMap::new(), dir.path(), None).await.unwrap();
    assert_eq!(text, "name: lib\n");
}

#[tokio::test]
async fn catalogs_asked_for_at_the_same_time_do_not_meet() {
    let dir = tempfile::tempdir().unwrap();
    // Writes in two halves, and fails where it has not written them alone.
    let script = r#"f="$GESTALT_APP_WRITE_CATALOG"
        [ ! -e "$f" ] || exit 1
        printf 'name: ' >> "$f"; ls -R . >/dev/null; printf 'x\n' >> "$f""#;
    let package = SourcePackage { run: vec![step(&["sh", "-c", script])], ..package(dir.path(), dir.path()) };
    let (command, app) = (command(&package).await, AppName::parse("x").unwrap());
    let path = dir.path().to_owned();
    let mut exports = JoinSet::new();
    for _ in 0..8 {
        let (command, app, path) = (command.clone(), app.clone(), path.clone());
        exports.spawn(async move { export_catalog(&command, &app, &BTreeMap::new(), &path, None).await.unwrap() });
    }
    assert_eq!(exports.join_all().await, ["name: x\n"; 8]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "something is left");
}

#[tokio::test]
async fn what_fails_says_where_and_why() {
    let dir = tempfile::tempdir().unwrap();
    let base = package(dir.path(), &dir.path().join("cache"));
    assert!(refused(&base).await.starts_with("nothing to start in"));

    let mut broken = base.clone();
    broken.build = vec![step(&["sh", "-c", "echo no such compiler >&2; exit 2"])];
    let error = refused(&broken).await;
    assert!(error.starts_with("build failed") && error.contains("exit status: 2"), "{error}");
    assert!(error.contains("no such compiler"), "{error}");

    let mut missing = base.clone();
    missing.build = vec![step(&["no-such-program"])];
    assert!(refused(&missing).await.contains("no-such-program"));

    let mut idle = base.clone();
    idle.build = vec![step(&["true"])];
    idle.entrypoint = Some(Entrypoint { artifact_path: "bin/serve".into(), args: vec![] });
    assert!(refused(&idle).await.contains("did not make the entrypoint"));

    for path in ["../serve", "/bin/sh", ""] {
        let mut outside = base.clone();
        outside.entrypoint = Some(Entrypoint { artifact_path: path.into(), args: vec![] });
        assert!(refused(&outside).await.contains("inside the package"), "{path}");
    }
    let mut outside = base.clone();
    outside.run = vec![Step { workdir: Some("..".into()), ..step(&["true"]) }];
    assert!(refused(&outside).await.contains("inside the package"));
}
