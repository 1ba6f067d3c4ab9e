//! The harness: a fixture is several files in one, parted by `#--- path` lines; `#--- env NAME=value` sets a variable,
//! `#--- missing path` names a config file that is not there, `#--- lenient` reads without strictness, `#--- released`
//! reads a manifest as that of a released package.
//! Run with `UPDATE=1` to write what comes out, and read the difference before committing it.

use gestalt_config::Env;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A fixture, laid out in a directory of its own.
pub(crate) struct Fixture {
    _dir: tempfile::TempDir,
    pub(crate) env: Vars,
    /// Files named `*.config.yaml`, or `main.yaml` for a fixture that is one file.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) lenient: bool,
    pub(crate) released: bool,
}

pub(crate) struct Vars {
    pub(crate) vars: HashMap<String, String>,
    pub(crate) dir: PathBuf,
}

impl Env for Vars {
    fn var(&self, name: &str) -> Option<String> {
        self.vars.get(name).cloned()
    }
    fn current_dir(&self) -> PathBuf {
        self.dir.clone()
    }
}

impl Fixture {
    pub(crate) fn lay_out(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let env = Vars { vars: HashMap::new(), dir: root.clone() };
        let mut fixture = Self { _dir: dir, env, files: Vec::new(), lenient: false, released: false };
        let mut current: Option<(PathBuf, String)> = None;
        let mut parts = Vec::new();
        for line in text.split_inclusive('\n') {
            match line.strip_prefix("#--- ").map(str::trim_end) {
                Some("lenient") => fixture.lenient = true,
                Some("released") => fixture.released = true,
                Some(part) if part.starts_with("missing ") => fixture.files.push(part["missing ".len()..].into()),
                Some(part) => match part.strip_prefix("env ").and_then(|p| p.split_once('=')) {
                    Some((name, value)) => {
                        let value = value.replace("<dir>", root.to_str().unwrap()).replace("\\n", "\n");
                        fixture.env.vars.insert(name.to_owned(), value);
                    }
                    None => parts.extend(current.replace((part.into(), String::new()))),
                },
                None => current.get_or_insert_with(|| ("main.yaml".into(), String::new())).1.push_str(line),
            }
        }
        parts.extend(current.or_else(|| parts.is_empty().then(|| ("main.yaml".into(), String::new()))));
        for (path, content) in parts {
            let file = root.join(&path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, content).unwrap();
            let name = path.to_str().unwrap();
            if name == "main.yaml" || name.ends_with(".config.yaml") {
                fixture.files.push(path);
            }
        }
        fixture
    }
}

/// Runs `render` on every fixture of a directory and compares what it says with the file beside the fixture.
pub(crate) fn check(kind: &str, render: impl Fn(&Fixture) -> Result<String, String>) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(kind);
    let mut inputs: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    inputs.retain(|path| path.extension().is_some_and(|e| e == "yaml" || e == "json"));
    inputs.sort();
    assert!(!inputs.is_empty());
    let mut wrong = Vec::new();
    for input in inputs {
        let fixture = Fixture::lay_out(&fs::read_to_string(&input).unwrap());
        let (extension, other, text) = match render(&fixture) {
            Ok(text) => ("snap", "err", text),
            Err(text) => ("err", "snap", text),
        };
        let root = fixture.env.dir.to_str().unwrap().to_owned();
        let text = format!("{}\n", text.replace(&root, "<dir>").trim_end());
        let (expected, unexpected) = (input.with_extension(extension), input.with_extension(other));
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &text).unwrap();
            let _ = fs::remove_file(unexpected);
        } else if fs::read_to_string(&expected).ok().as_ref() != Some(&text) {
            wrong.push(format!("{}:\n{text}", expected.display()));
        }
    }
    assert!(wrong.is_empty(), "differ (UPDATE=1 rewrites them):\n{}", wrong.join("\n"));
}
