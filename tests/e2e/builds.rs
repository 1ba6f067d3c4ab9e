//! Builds of packages: what they see, what they may change, and what starts.

use gestalt_tests::Served;
use gestalt_tests::examples::{File, app, manifest, package};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Tells what it finds, changes what it can, and makes the component. Its first two arguments are directories it has no
/// business in.
const BUILD: &str = r#"
env | cut -d= -f1 >seen
cat "$1/secret" "/proc/$PPID/environ" >stolen 2>/dev/null
touch "$1/outside" "$2/outside" ../outside ../complete ../../outside 2>/dev/null
mkdir -p out "$CARGO_HOME"
echo once >>"$CARGO_HOME/count"
cp given.wasm out/app.wasm
"#;

/// What a build has of the environment: its own variables, those of its cell, and what the shell sets.
const VARIABLES: [&str; 30] = [
    "CARGO_HOME",
    "GESTALT_TARGET_ARCH",
    "GESTALT_TARGET_OS",
    "GESTALT_TARGET_PLATFORM",
    "GOARCH",
    "GOCACHE",
    "GOOS",
    "GOPATH",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "NODE_USE_ENV_PROXY",
    "NO_PROXY",
    "OLDPWD",
    "PATH",
    "PIP_CACHE_DIR",
    "PWD",
    "RUSTUP_HOME",
    "SHLVL",
    "STEP",
    "TMPDIR",
    "UV_CACHE_DIR",
    "_",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "npm_config_cache",
    "TZ",
    "LC_ALL",
];

/// A package whose component is made by [`BUILD`], in `dir`.
fn built(dir: &Path) -> PathBuf {
    let own = dir.join("package");
    let arguments = format!("{:?}, {:?}", dir.display().to_string(), own.display().to_string());
    let build = format!("build: {{command: [sh, build.sh, {arguments}], env: {{STEP: '1'}}, inputs: [build.sh]}}\n");
    let entrypoint = "entrypoint: {artifactPath: out/app.wasm}\nspec: {}\n";
    let file = package(&own, &(build + entrypoint), &[File { name: "build.sh", text: BUILD }]);
    std::fs::copy(manifest("echo").with_file_name(".gestalt/build/echo.wasm"), own.join("given.wasm")).unwrap();
    file
}

/// Everything below a directory, without what it begins with.
fn listed(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A start of the daemon with artifacts of an earlier one, and one call.
async fn serve(config: &str) -> (u16, String) {
    let served = Served::start(config);
    let code = served.ready().await.call("built", "echo", "{}").await.code();
    (code, served.log())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_runs_in_a_cell_on_a_copy() {
    // Not below /tmp, of which a cell sees nothing in any case.
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let (manifest, artifacts) = (built(dir.path()), dir.path().join("artifacts"));
    std::fs::write(dir.path().join("secret"), "secret").unwrap();
    let config = format!("server: {{artifactsDir: {artifacts:?}}}\napps:\n{}", app("built", &manifest, ""));
    let before = listed(&dir.path().join("package"));
    let (code, log) = serve(&config).await;
    assert_eq!(code, 200, "{log}");

    let own = artifacts.join("builds");
    let copies = |own: &Path| -> Vec<PathBuf> {
        let all = std::fs::read_dir(own).unwrap().map(|entry| entry.unwrap().path());
        all.filter(|path| path.is_dir()).collect()
    };
    let copy = copies(&own).remove(0);
    let read = |name: &str| std::fs::read_to_string(copy.join("package").join(name)).unwrap();
    let known = BTreeSet::from(VARIABLES);
    let seen = read("seen");
    let foreign: Vec<_> = seen.lines().filter(|name| !known.contains(name)).collect();
    assert!(foreign.is_empty() && seen.contains("STEP"), "{foreign:?}: {seen}");
    assert_eq!(read("stolen"), "", "what the build read");
    // It changed its copy and its cache, and nothing beside them.
    assert_eq!(listed(&dir.path().join("package")), before);
    assert_eq!(listed(dir.path()), ["artifacts", "package", "secret"]);
    assert_eq!(listed(&copy), ["complete", "package", "wrapper"]);
    let count = || std::fs::read_to_string(artifacts.join("cache/apps/built/build/cargo/count")).unwrap();
    assert_eq!(count(), "once\n");

    // Once for each content.
    assert_eq!(serve(&config).await.0, 200);
    assert_eq!((count().as_str(), copies(&own).len()), ("once\n", 1));
    std::fs::write(dir.path().join("package/build.sh"), BUILD.to_owned() + "true\n").unwrap();
    assert_eq!(serve(&config).await.0, 200);
    assert_eq!((count().as_str(), copies(&own).len()), ("once\nonce\n", 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_is_not_built_where_that_is_denied() {
    let dir = tempfile::tempdir().unwrap();
    let entry = app("built", &built(dir.path()), "");
    let (code, log) = serve(&format!("server: {{packages: {{build: deny}}}}\napps:\n{entry}")).await;
    assert_eq!(code, 503, "{log}");
    assert!(log.contains("server.packages.build is `deny`"), "{log}");
    assert!(!dir.path().join("package/seen").exists(), "it was built");
}
