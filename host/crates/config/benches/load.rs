//! How long a start waits for its configuration: a thousand apps, each with about all that an app can be given.

use criterion::{Criterion, criterion_group, criterion_main};
use gestalt_config::{Env, Mode, load};
use std::fmt::Write;
use std::hint::black_box;
use std::path::PathBuf;

const APPS: usize = 1000;

struct Vars(PathBuf);

impl Env for Vars {
    fn var(&self, name: &str) -> Option<String> {
        (name == "HOME").then(|| "/home".to_owned())
    }
    fn current_dir(&self) -> PathBuf {
        self.0.clone()
    }
}

/// The text of a config with [`APPS`] apps and what they refer to.
fn config() -> String {
    let mut text = "apiVersion: gestaltd.config/v6\n\
        server: {encryptionKey: k}\n\
        authorization: {policies: {staff: {default: deny, members: [{subjectID: 'user:a', role: viewer}]}}}\n\
        connections: {shared: {mode: subject, auth: {type: bearer}}}\n\
        apps:\n"
        .to_owned();
    for i in 0..APPS {
        let _ = write!(
            text,
            "  app{i}:\n    displayName: App {i}\n    description: The app with number {i}\n    source: ./manifest.yaml\n    \
             authorizationPolicy: staff\n    config: {{n: {i}, list: [1, 2, 3], deep: {{a: b, c: d}}}}\n    \
             env: {{A: ${{HOME}}, B: b}}\n    egress:\n      allowedHosts: [api.example.com, '*.example.com']\n    \
             connections:\n      default: {{ref: shared}}\n    allowedOperations:\n      get: {{alias: fetch, allowedRoles: [viewer]}}\n      \
             list: null\n    runtime: {{provider: wasm}}\n"
        );
    }
    text
}

fn a_thousand_apps(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("a directory: {error}"));
    let written = std::fs::write(dir.path().join("manifest.yaml"), "")
        .and_then(|()| std::fs::write(dir.path().join("gestalt.yaml"), config()));
    written.unwrap_or_else(|error| panic!("files: {error}"));
    let (files, env) = ([dir.path().join("gestalt.yaml")], Vars(dir.path().to_owned()));
    let mut group = criterion.benchmark_group("load");
    group.sample_size(20);
    group.bench_function("a thousand apps", |bench| {
        bench.iter(|| match load(black_box(&files), Mode::Strict, &env) {
            Ok(deployment) => assert_eq!(deployment.apps.len(), APPS),
            Err(problems) => panic!("{problems}"),
        });
    });
    group.finish();
}

criterion_group!(benches, a_thousand_apps);
criterion_main!(benches);
