//! Size is no excuse, and nothing a file holds makes us panic.

use crate::fixture::Vars;
use gestalt_config::{Mode, load, read_catalog};
use proptest::prelude::*;
use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

#[test]
fn a_thousand_apps() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("manifest.yaml"), "").unwrap();
    let mut text = "apiVersion: gestaltd.config/v6\nserver: {encryptionKey: k}\napps:\n".to_owned();
    for i in 0..1000 {
        write!(
            text,
            "  app{i}:\n    displayName: App {i}\n    source: ./manifest.yaml\n    config: {{n: {i}, list: [1, 2, 3]}}\n    \
             env: {{A: ${{HOME}}, B: b}}\n    egress:\n      allowedHosts: [api.example.com, '*.example.com']\n    \
             runtime: {{provider: wasm}}\n"
        )
        .unwrap();
    }
    let file = dir.path().join("gestalt.yaml");
    std::fs::write(&file, text).unwrap();
    let env = Vars { vars: HashMap::from([("HOME".to_owned(), "/".to_owned())]), dir: dir.path().to_owned() };
    let start = Instant::now();
    let deployment = load(&[file], Mode::Strict, &env).unwrap();
    eprintln!("1,000 apps in {:?}", start.elapsed());
    assert_eq!(deployment.apps.len(), 1000);
}

proptest! {
    #[test]
    fn nothing_in_a_file_makes_us_panic(text in "[a-z0-9:{}\\[\\]\\-$&*!|>'\"# \n\t\u{e9}]{0,200}") {
        let _ = read_catalog(&text, Path::new("catalog.yaml"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c.yaml");
        std::fs::write(&file, format!("apiVersion: gestaltd.config/v6\n{text}")).unwrap();
        let env = Vars { vars: HashMap::new(), dir: dir.path().to_owned() };
        if let Err(problems) = load(&[file], Mode::Lenient, &env) {
            prop_assert!(!problems.to_string().is_empty());
        }
    }
}
