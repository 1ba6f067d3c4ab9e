use gestalt_tests::TestHost;
use gestalt_tests::examples::{app, package};
use std::path::{Path, PathBuf};

/// A package of its own address, with more of its `spec`.
fn declared(dir: &Path, name: &str, spec: &str) -> PathBuf {
    let rest = "rest: {baseUrl: http://h.test, operations: [{name: op, method: GET, path: /a}]}";
    let file = package(&dir.join(name), &format!("spec: {{surfaces: {{{rest}}}{spec}}}\n"), &[]);
    let text = std::fs::read_to_string(&file).unwrap();
    let own = text.replace("github.com/gestaltd/tests/package", &format!("github.com/gestaltd/tests/{name}"));
    assert_ne!(text, own);
    std::fs::write(&file, own).unwrap();
    file
}

/// An app comes after those its package requires, stays down without them, and no circle waits for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_waits_for_those_it_requires() {
    let dir = tempfile::tempdir().unwrap();
    let needs = |name: &str| format!(", requires: [github.com/gestaltd/tests/{name}]");
    let config = [
        "apps:\n".to_owned(),
        app("first", &declared(dir.path(), "first", ""), ""),
        app("after", &declared(dir.path(), "after", &needs("first")), ""),
        app("broken", &declared(dir.path(), "broken", ""), "runtime: {provider: wasm}"),
        app("orphan", &declared(dir.path(), "orphan", &needs("broken")), ""),
        app("left", &declared(dir.path(), "left", &needs("right")), ""),
        app("right", &declared(dir.path(), "right", &needs("left")), ""),
    ];
    let host = TestHost::start(&config.concat()).await;
    let apps = host.get("/api/v1/apps").await.json();
    let up: Vec<_> = apps.as_array().unwrap().iter().filter(|app| app["status"] == "ready").collect();
    let names: Vec<_> = up.iter().map(|app| app["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["after", "first"], "{apps}");
}
