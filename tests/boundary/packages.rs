//! What a package brings along: addresses, archives, more code and more operations than anybody needs. Each row has a
//! daemon of its own, with a good app beside the bad ones.

use crate::canary;
use crate::house::{self, RUNTIME, corpus, serve};
use crate::names;
use crate::network::Counters;
use crate::row::{Site, UNLISTED, catalogue};
use gestalt_tests::examples::{File, app, package};
use gestalt_tests::{Answer, Served};
use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

catalogue! {
    Strict UNLISTED => e04 g19 g20 g25 g29 h01 h15;
}

/// The manifest of a package with these bytes for a component.
fn component(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let own = dir.path().join(name);
    let manifest = package(&own, "entrypoint: {artifactPath: app.wasm}\nspec: {}\n", &[]);
    std::fs::write(own.join("app.wasm"), bytes).unwrap();
    manifest
}

/// The entry of an app that is well.
fn good(dir: &TempDir) -> String {
    app("good", &component(dir, "good", &std::fs::read(corpus()).unwrap()), "")
}

/// The bad apps answer 503, the good one answers, and the daemon is well.
pub(crate) fn assert_contained(served: &Served, bad: &[&str]) {
    RUNTIME.block_on(async {
        let client = served.listening().await;
        for name in bad {
            assert_eq!(client.call(name, "attempt", "{}").await.code(), 503, "{name}");
        }
        assert_eq!(client.call("good", "attempt", r#"{"act":"count"}"#).await.json(), json!({"calls": 1}));
        assert_eq!(client.get("/ready").await.code(), 200);
    });
    // Of the daemon itself: what a guest says is a line of its app's.
    assert!(
        !served.log().lines().any(|line| line.starts_with("thread ") || line.contains("gestaltd: panic")),
        "{}",
        served.log()
    );
}

/// A daemon with these components and a good one, all contained.
fn contained(bad: &[(&str, Vec<u8>)]) -> Served {
    let dir = tempfile::tempdir().unwrap();
    let entries = bad.iter().map(|(name, bytes)| app(name, &component(&dir, name, bytes), ""));
    let served = serve(&format!("apps:\n{}{}", good(&dir), entries.collect::<String>()));
    assert_contained(&served, &bad.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    served
}

/// A call of which nobody outside of the daemon hears.
fn unheard(served: &Served, app: &str) -> Answer {
    let before = Counters::read();
    let answer = RUNTIME.block_on(async { served.listening().await.call(app, "get", "{}").await });
    assert_eq!(Counters::read().opened - before.opened, 1, "somebody was connected to for {app}");
    assert_eq!((names::take_asked(), canary::take(0).len()), (vec![], 0), "somebody heard of {app}");
    answer
}

/// Every place of a manifest that takes a URL, with one of a host that the app's entry does not list: nothing is fetched,
/// at start or in a call. What is reached is what a listed host answers, and not where it sends on to.
fn e04(_: &Site) {
    let dir = tempfile::tempdir().unwrap();
    let login = "connections: {default: {mode: subject, \
        auth: {type: oauth2, authorizationUrl: 'https://evil.test/authorize', tokenUrl: 'http://169.254.169.254/token', \
        clientId: c, clientSecret: s}, params: {site: {from: discovery}}, \
        discovery: {url: 'http://169.254.169.254/sites', idPath: id, namePath: name, metadata: {site: id}}}}";
    let get = "operations: [{name: get, method: GET, path: /latest/meta-data/}]";
    let packages = [
        ("rest", format!("{{surfaces: {{rest: {{baseUrl: 'http://evil.test', {get}}}}}}}")),
        ("metadata", format!("{{surfaces: {{rest: {{baseUrl: 'http://169.254.169.254', {get}}}}}}}")),
        ("daemon", format!("{{surfaces: {{rest: {{baseUrl: 'http://127.0.0.1:8080', {get}}}}}}}")),
        (
            "login",
            format!("{{{login}, surfaces: {{rest: {{baseUrl: 'http://evil.test', connection: default, {get}}}}}}}"),
        ),
        ("document", "{surfaces: {openapi: {document: 'https://evil.test/openapi.yaml'}}}".to_owned()),
        ("graphql", "{surfaces: {graphql: {url: 'http://169.254.169.254/graphql'}}}".to_owned()),
        ("tools", "{surfaces: {mcp: {url: 'http://evil.test/mcp'}}}".to_owned()),
        (
            "sent-on",
            "{surfaces: {rest: {baseUrl: 'http://allowed.test', operations: \
             [{name: get, method: GET, path: /redirect/evil.test/}]}}}"
                .to_owned(),
        ),
    ];
    let mut config =
        format!("server: {{egress: {{defaultAction: deny, audit: {{allowed: all}}}}}}\napps:\n{}", good(&dir));
    for (name, spec) in &packages {
        let manifest = package(&dir.path().join(name), &format!("spec: {spec}\n"), &[]);
        config += &app(name, &manifest, "egress: {allowedHosts: [allowed.test]}");
    }
    let served = serve(&config);
    assert_eq!((names::take_asked(), canary::take(0).len()), (vec![], 0), "somebody was asked at the start");
    for (name, _) in packages.iter().filter(|(name, _)| *name != "sent-on") {
        let answer = unheard(&served, name);
        let called = matches!(*name, "rest" | "metadata" | "daemon" | "login");
        assert!(matches!((called, answer.code()), (true, 502) | (_, 503)), "{name}: {}", answer.text());
        let records = house::records(&served.log(), name);
        assert!(records.iter().all(|record| record.field("reason") == "host_not_allowed"), "{name}: {records:?}");
        assert!(answer.code() == 503 || records.len() == 1, "{name}: {records:?}");
    }
    let answer = RUNTIME.block_on(async { served.listening().await.call("sent-on", "get", "{}").await });
    assert_eq!(answer.code(), 502, "{}", answer.text());
    let came = canary::take(1);
    assert_eq!((came.len(), came[0].header("host")), (1, vec!["allowed.test"]), "{came:?}");
    assert_eq!(names::take_asked(), crate::row::lookup("allowed.test"));
    let reasons: Vec<_> =
        house::records(&served.log(), "sent-on").iter().map(|r| r.field("reason").to_owned()).collect();
    assert_eq!(reasons, ["", "host_not_allowed"]);
}

/// A component that takes longer, or more memory, to compile than anybody will wait or give.
fn g19(_: &Site) {
    let dir = tempfile::tempdir().unwrap();
    let mut steps = String::new();
    for step in 0..150_000 {
        let (a, b, to) = (step % 6, (step * 5) % 6, (step * 7) % 6);
        let test = format!("(br_if 0 (i32.lt_u (local.get {a}) (i32.const {})))", step % 64);
        let _ = write!(
            steps,
            "(block {test} (local.set {to} (i32.rotl (i32.mul (local.get {a}) (local.get {b})) (i32.const 3))))"
        );
    }
    let text = format!("(component (core module (func (param i32 i32) (local i32 i32 i32 i32) {steps})))");
    let bomb = component(&dir, "bomb", &wat::parse_str(text).unwrap());
    for (limit, told) in [
        ("timeout: 1s", "component compile timed out after 1s"),
        ("memory: 200MiB", "component compile needs more than 200MiB"),
    ] {
        let runtime = format!("runtime: {{providers: {{wasm: {{config: {{compile: {{{limit}}}}}}}}}}}\n");
        // The good one has been compiled before, by other daemons: what is left is the bomb.
        let served = serve(&format!("{runtime}apps:\n{}{}", good(&dir), app("bomb", &bomb, "")));
        assert_contained(&served, &["bomb"]);
        assert!(served.log().contains(told), "{told} is not in\n{}", served.log());
        assert_eq!(served.children(), Vec::<i32>::new(), "{limit}");
    }
}

/// The most memory the daemon has ever had, in KiB.
fn peak(served: &Served) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A quarter of a GiB of nothing, as a few hundred KiB.
fn bomb(at: &Path) {
    let made = Command::new("sh").arg("-c").arg(format!("head -c 268435456 /dev/zero | gzip -1 > {at:?}")).status();
    assert!(made.unwrap().success());
}

/// Archives in the place of a package, of a component and of its data: none is unpacked.
fn g20(_: &Site) {
    let dir = tempfile::tempdir().unwrap();
    bomb(&dir.path().join("bomb.tar.gz"));
    let component = component(&dir, "component", &std::fs::read(dir.path().join("bomb.tar.gz")).unwrap());
    let catalog = package(&dir.path().join("catalog"), "run: {command: [sh]}\nspec: {}\n", &[]);
    std::fs::copy(dir.path().join("bomb.tar.gz"), catalog.with_file_name("catalog.yaml")).unwrap();
    let own = dir.path().join("archive");
    std::fs::create_dir(&own).unwrap();
    std::fs::rename(dir.path().join("bomb.tar.gz"), own.join("manifest.yaml")).unwrap();
    let bad = [("component", component), ("catalog", catalog), ("archive", own.join("manifest.yaml"))];
    let entries: String = bad.iter().map(|(name, manifest)| app(name, manifest, "")).collect();
    let served = serve(&format!("apps:\n{}{entries}", good(&dir)));
    assert_contained(&served, &bad.each_ref().map(|(name, _)| *name));
    assert!(peak(&served) < 200 << 10, "{} KiB", peak(&served));
    let unpacked = Command::new("find").arg(dir.path()).args(["-size", "+32M"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&unpacked.stdout), "");
}

/// An app by its world alone, around more of the component.
fn around(more: &str) -> Vec<u8> {
    let app = r#"(instance $i) (export "gestalt:provider/app-provider@0.4.0" (instance $i))"#;
    wat::parse_str(format!("(component {more} {app})")).unwrap()
}

/// How many apps did not start because of what their components are made of.
fn invalid(served: &Served) -> usize {
    let told = |line: &&str| line.contains("app failed to start") && line.contains("reason=\"component is invalid");
    served.log().lines().filter(told).count()
}

/// Streams, futures and subtasks: there are none to exhaust.
fn g25(_: &Site) {
    let parts = ["(type (stream u8))", "(type (future u8))", "(core func (canon subtask.drop))"];
    let served =
        contained(&[("stream", around(parts[0])), ("future", around(parts[1])), ("subtask", around(parts[2]))]);
    assert_eq!(invalid(&served), 3);
}

/// Threads, memories they share, and memories without a bound.
fn g29(_: &Site) {
    let served = contained(&[
        ("shared", around("(core module (memory 1 1 shared))")),
        ("atomic", around("(core module (memory 1 1 shared) (func (drop (i32.atomic.load (i32.const 0)))))")),
        ("wide", around("(core module (memory i64 1))")),
    ]);
    assert_eq!(invalid(&served), 3);
}

/// Bytes that are no component, or stop being one.
fn h01(_: &Site) {
    let whole = std::fs::read(corpus()).unwrap();
    let mut garbled = whole.clone();
    garbled.iter_mut().skip(4096).step_by(97).for_each(|byte| *byte ^= 0x55);
    contained(&[
        ("truncated", whole[..whole.len() / 2].to_vec()),
        ("garbled", garbled),
        ("module", wat::parse_str("(module)").unwrap()),
        ("worldless", wat::parse_str("(component)").unwrap()),
        ("random", (0..65536_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
        ("headed", [b"\0asm\x0d\0\x01\0".as_slice(), &[0xff; 4096]].concat()),
        ("empty", Vec::new()),
    ]);
}

/// More operations than anybody can read, and one twice.
fn h15(_: &Site) {
    let dir = tempfile::tempdir().unwrap();
    let list = |ids: &mut dyn Iterator<Item = String>| {
        let operations: String = ids.map(|id| format!("  - {{id: {id}, method: POST}}\n")).collect();
        format!("name: listed\noperations:\n{operations}")
    };
    let many = list(&mut (0..20_000).map(|i| format!("op-{i}")));
    let twice = list(&mut ["a", "b", "a"].into_iter().map(str::to_owned));
    let odd = list(&mut std::iter::once("'../a'".to_owned()));
    let mut config = format!("apps:\n{}", good(&dir));
    for (name, text) in [("many", &many), ("twice", &twice), ("odd", &odd)] {
        let files = [File { name: "catalog.yaml", text }];
        config += &app(name, &package(&dir.path().join(name), "run: {command: [sh]}\nspec: {}\n", &files), "");
    }
    let served = serve(&config);
    assert_contained(&served, &["many", "twice", "odd"]);
}
