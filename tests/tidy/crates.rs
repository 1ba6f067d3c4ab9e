use super::{assert_none, root};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::process::Command;

/// What each crate may see of the others, and does: dependencies point one way (design: workspace).
const EDGES: [(&str, &[&str]); 11] = [
    ("gestalt-config", &["gestalt-core"]),
    ("gestalt-confine", &[]),
    ("gestalt-core", &[]),
    ("gestalt-declarative", &["gestalt-core"]),
    ("gestalt-egress", &["gestalt-core"]),
    ("gestalt-invoke", &["gestalt-core"]),
    ("gestalt-proto", &[]),
    ("gestalt-runtime-process", &["gestalt-confine", "gestalt-core", "gestalt-proto"]),
    ("gestalt-runtime-wasm", &["gestalt-confine", "gestalt-core"]),
    ("gestalt-services", &["gestalt-core"]),
    (
        "gestaltd",
        &[
            "gestalt-config",
            "gestalt-confine",
            "gestalt-core",
            "gestalt-declarative",
            "gestalt-egress",
            "gestalt-invoke",
            "gestalt-runtime-process",
            "gestalt-runtime-wasm",
            "gestalt-services",
        ],
    ),
];

/// Crates whose types must not travel: the name, or a name that starts with it and `-`, and who may depend on it.
const CONFINED: [(&str, &[&str]); 12] = [
    ("wasmtime", &["gestalt-runtime-wasm"]),
    // What walls are made of: there is one place that builds them.
    ("caps", &["gestalt-confine"]),
    ("landlock", &["gestalt-confine"]),
    ("libc", &["gestalt-confine"]),
    ("seccompiler", &["gestalt-confine"]),
    ("tonic", &["gestalt-proto", "gestalt-runtime-process"]),
    ("prost", &["gestalt-proto", "gestalt-runtime-process"]),
    ("axum", &["gestaltd"]),
    ("clap", &["gestaltd"]),
    ("anyhow", &["gestaltd"]),
    ("rustls", &["gestalt-egress", "gestaltd"]),
    ("serde_yaml", &[]),
];

/// This package sees everything and ships nothing.
pub(super) const TESTS: &str = "gestalt-tests";

pub(super) fn metadata() -> Metadata {
    // Without a platform, cargo would fetch the dependencies of every other one.
    let rustc = Command::new("rustc").arg("-vV").output().unwrap();
    let version = String::from_utf8(rustc.stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let options = ["--filter-platform", host, "--locked"].map(str::to_owned);
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).other_options(options).exec().unwrap()
}

#[test]
fn dependencies_point_one_way() {
    let metadata = metadata();
    let members: HashSet<_> = metadata.workspace_packages().iter().map(|p| p.name.to_string()).collect();
    let mut edges = BTreeMap::new();
    for package in metadata.workspace_packages().iter().filter(|p| *p.name != TESTS) {
        let shipped = package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development);
        let seen: BTreeSet<_> = shipped.filter(|d| members.contains(&d.name)).map(|d| d.name.clone()).collect();
        edges.insert(package.name.to_string(), seen);
    }
    let expect = EDGES.map(|(name, seen)| (name.to_owned(), seen.iter().map(|s| (*s).to_owned()).collect()));
    assert_eq!(edges, BTreeMap::from(expect));
}

#[test]
fn a_transport_stays_in_its_crate() {
    let mut findings = Vec::new();
    for package in metadata().workspace_packages().iter().filter(|p| *p.name != TESTS) {
        for dependency in package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development) {
            for (name, owners) in CONFINED {
                let below = dependency.name.strip_prefix(name).is_some_and(|r| r.is_empty() || r.starts_with('-'));
                if below && !owners.contains(&package.name.as_str()) {
                    findings.push(format!("{} depends on {}", package.name, dependency.name));
                }
            }
        }
    }
    assert_none("these dependencies belong to another crate", findings);
}

/// One TLS provider, and no way for a component's request past the egress policy, not even an unused one.
#[test]
fn nothing_banned_is_in_the_binary() {
    // Not from the metadata: its graph also has what a disabled feature would bring in.
    let arguments = ["tree", "--locked", "-p", "gestaltd", "-e", "normal,build", "--prefix", "none", "-f", "{p} {f}"];
    let cargo = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let tree = String::from_utf8(cargo.stdout).unwrap();
    assert!(tree.contains("\nwasmtime-wasi-http v"), "the whole tree is listed");
    let banned = tree.lines().filter(|line| {
        let name = line.split(' ').next().unwrap_or_default();
        ["ring", "openssl-sys", "native-tls"].contains(&name) || line.contains("default-send-request")
    });
    assert_none("gestaltd is built with", banned.map(str::to_owned).collect());
}

#[test]
fn versions_stand_in_one_table() {
    let mut findings = Vec::new();
    for package in metadata().workspace_packages() {
        let mut in_table = false;
        let text = std::fs::read_to_string(&package.manifest_path).unwrap();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(section) = line.strip_prefix('[') {
                in_table = section.trim_end_matches(']').ends_with("dependencies");
            } else if in_table && !line.contains("workspace = true") {
                findings.push(format!("{}: {line}", package.name));
            }
        }
    }
    assert_none("dependencies with a version of their own", findings);
}

#[test]
fn no_dependency_lies_outside_of_the_repository() {
    let metadata = metadata();
    let root = root();
    let paths = metadata.packages.iter().filter(|p| p.source.is_none()).map(|p| p.manifest_path.clone());
    let outside = paths.filter(|path| !path.canonicalize().unwrap().starts_with(&root)).map(|p| p.to_string());
    assert_none("packages outside of the repository", outside.collect());
}

#[test]
fn every_crate_says_what_it_is() {
    let mut findings = Vec::new();
    for package in metadata().workspace_packages() {
        for target in package.targets.iter().filter(|t| t.is_lib() || t.is_bin() || t.is_test()) {
            let text = std::fs::read_to_string(&target.src_path).unwrap();
            if !text.starts_with("//! ") {
                findings.push(format!("{} has no doc", target.src_path));
            }
            let shipped_lib = target.is_lib() && *package.name != TESTS;
            if shipped_lib && !text.contains("//! **Invariant:** ") {
                findings.push(format!("{} states no invariant", target.src_path));
            }
        }
    }
    assert_none("crate docs", findings);
}
