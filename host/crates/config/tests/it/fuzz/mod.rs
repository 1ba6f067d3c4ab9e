//! What holds for every text: no panic, no hang, the same answer twice, every problem at a place that is there, no value
//! of the environment in any message; and what expansion and merging promise, against models of a few lines.
//!
//! Each property runs a few dozen cases, always the same. `GESTALT_FUZZ_SECONDS=60` runs new ones for so long.
//! What it finds becomes a fixture named after it.

mod models;

use crate::fixture::{Fixture, Vars};
use gestalt_config::{Deployment, Manifest, Mode, Problems, load, read_catalog};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longer than this is a hang: a case is a few kilobytes, and takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// What no message may say.
const CANARY: &str = "canary-4f1d9e";

/// Pieces of text that mean something to one of the readers.
const PIECES: [&str; 64] = [
    "${A}",
    "$A",
    "${NONE}",
    "${NONE:-}",
    "${CANARY}",
    "${CANARY:-}",
    "${}",
    "${",
    "$",
    "$$",
    "}",
    "${A:-x}",
    "${:-}",
    "{",
    "[",
    "]",
    "{}",
    "[]",
    "'",
    "\"",
    "\n",
    "\n  ",
    "\n- ",
    "  ",
    "\t",
    "\r\n",
    ": ",
    ":",
    "? ",
    "- ",
    "# ",
    "|\n",
    ">-\n",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "!x ",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "\u{feff}",
    "\u{e9}",
    "\u{1f980}",
    "\u{85}",
    "\0",
    "~",
    "null",
    "true",
    "0",
    "-1",
    "1e999",
    ".inf",
    "0x1F",
    "18446744073709551616",
    "config",
    "apps",
    "server",
    "spec",
    "auth",
    "secret: {provider: p, name: n}",
    "kind: app\n",
    "{raw_body}",
    "../",
];

fn fuzz<S: Strategy>(strategy: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases: 48, failure_persistence: None, max_shrink_time: 20_000, ..Config::default() };
    let seconds = std::env::var("GESTALT_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let Some(seconds) = seconds else {
        let mut runner =
            TestRunner::new_with_rng(config, proptest::test_runner::TestRng::deterministic_rng(Default::default()));
        return runner.run(&strategy, &test).unwrap_or_else(|error| panic!("{error}"));
    };
    let (start, mut cases) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(seconds) {
        TestRunner::new(config.clone()).run(&strategy, &test).unwrap_or_else(|error| panic!("{error}"));
        cases += config.cases;
    }
    eprintln!("{cases} cases in {:?}", start.elapsed());
}

/// One change of a text.
#[derive(Clone, Debug)]
enum Edit {
    Insert(Index, &'static str),
    Delete(Index, usize),
    Copy(Index, Index, usize),
    Cut(Index),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit = prop_oneof![
        4 => (any::<Index>(), select(&PIECES[..])).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        2 => (any::<Index>(), 1..12_usize).prop_map(|(at, len)| Edit::Delete(at, len)),
        1 => (any::<Index>(), any::<Index>(), 1..80_usize).prop_map(|(from, to, len)| Edit::Copy(from, to, len)),
        1 => any::<Index>().prop_map(Edit::Cut),
    ];
    vec(edit, 0..8)
}

fn edited(text: &str, edits: &[Edit]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for edit in edits {
        let end = chars.len();
        let at = |index: &Index| index.index(end + 1);
        match edit {
            Edit::Insert(index, piece) => {
                chars.splice(at(index)..at(index), piece.chars());
            }
            Edit::Delete(index, len) => {
                chars.drain(at(index)..(at(index) + len).min(end));
            }
            Edit::Copy(from, to, len) => {
                let piece = chars[at(from)..(at(from) + len).min(end)].to_vec();
                chars.splice(at(to)..at(to), piece);
            }
            Edit::Cut(index) => chars.truncate(at(index)),
        }
    }
    chars.into_iter().collect()
}

/// Every fixture of these kinds.
fn fixtures(kinds: &[&str]) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut all: Vec<PathBuf> = Vec::new();
    for kind in kinds {
        all.extend(fs::read_dir(root.join(kind)).unwrap().map(|entry| entry.unwrap().path()));
    }
    all.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    all.sort();
    all
}

/// A fixture laid out, with one of its files changed.
fn changed(fixture: &Path, which: &Index, edits: &[Edit]) -> Fixture {
    let mut fixture = Fixture::lay_out(&fs::read_to_string(fixture).unwrap());
    fixture.env.vars.insert("CANARY".to_owned(), CANARY.to_owned());
    fixture.env.vars.entry("A".to_owned()).or_insert_with(|| "one".to_owned());
    let mut files: Vec<PathBuf> = Vec::new();
    let mut open = vec![fixture.env.dir.clone()];
    while let Some(dir) = open.pop() {
        for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { open.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    if !files.is_empty() {
        let file = &files[which.index(files.len())];
        fs::write(file, edited(&fs::read_to_string(file).unwrap(), edits)).unwrap();
    }
    fixture
}

/// Every problem is at a place that is there, and says nothing it must not say.
fn sound(problems: &Problems) -> Result<(), TestCaseError> {
    let text = format!("{problems}\n{}", serde_json::to_string(problems).unwrap());
    prop_assert!(!text.contains(CANARY), "a value of the environment is shown:\n{text}");
    prop_assert!(!text.contains("gestaltmissing"), "a marker is shown:\n{text}");
    for problem in problems.iter() {
        let at = &problem.at;
        prop_assert!(!problem.message.is_empty());
        prop_assert_eq!(at.line == 0, at.column == 0, "{}", problem);
        let Ok(text) = fs::read_to_string(&at.file) else {
            prop_assert_eq!(at.line, 0, "there is no such file: {}", problem);
            continue;
        };
        let Some(line) = text.split('\n').nth((at.line as usize).saturating_sub(1)) else {
            return Err(TestCaseError::fail(format!("there is no such line: {problem}")));
        };
        let width = line.chars().count();
        prop_assert!(at.column as usize <= width + 1, "there is no such column: {}", problem);
    }
    Ok(())
}

/// Runs `read` twice; it must take no time and say the same.
fn twice<T>(read: impl Fn() -> Result<T, Problems>, render: impl Fn(&T) -> String) -> Result<Option<T>, TestCaseError> {
    let start = Instant::now();
    let (first, second) = (read(), read());
    prop_assert!(start.elapsed() < PATIENCE, "took {:?}", start.elapsed());
    match (first, second) {
        (Ok(first), Ok(second)) => {
            prop_assert_eq!(render(&first), render(&second));
            Ok(Some(first))
        }
        (Err(first), Err(second)) => {
            prop_assert!(!first.is_empty(), "refused for no reason");
            prop_assert_eq!(&first, &second);
            sound(&first)?;
            Ok(None)
        }
        _ => Err(TestCaseError::fail("accepted once, and refused once")),
    }
}

fn read_deployment(files: &[PathBuf], mode: Mode, env: &Vars) -> Result<Option<Deployment>, TestCaseError> {
    let absolute: Vec<PathBuf> = files.iter().map(|file| env.dir.join(file)).collect();
    let render = |d: &Deployment| format!("{:#?}\n{:#?}\n{:#?}\n{}", d.server, d.runtimes, d.apps, d.warnings);
    let deployment = twice(|| load(&absolute, mode, env), render)?;
    if let Some(deployment) = &deployment {
        sound(&deployment.warnings)?;
    }
    Ok(deployment)
}

#[test]
fn configs_with_changes() {
    let all = fixtures(&["config", "config_schema"]);
    fuzz((select(all), any::<Index>(), edits(), any::<bool>()), |(fixture, which, edits, strict)| {
        let fixture = changed(&fixture, &which, &edits);
        let mode = if strict { Mode::Strict } else { Mode::Lenient };
        let Some(deployment) = read_deployment(&fixture.files, mode, &fixture.env)? else { return Ok(()) };
        for app in deployment.apps.values() {
            let Some(Ok(manifest)) = app.source.manifest().map(Manifest::load) else { continue };
            twice(|| deployment.check_config(app, &manifest), |()| String::new())?;
        }
        Ok(())
    });
}

#[test]
fn manifests_with_changes() {
    let all = fixtures(&["manifest"]);
    fuzz((select(all), any::<Index>(), edits(), any::<bool>()), |(fixture, which, edits, released)| {
        let fixture = changed(&fixture, &which, &edits);
        let main = fixture.env.dir.join("main.yaml");
        let path = if main.exists() { &main } else { &fixture.env.dir };
        let load = if released { Manifest::load_released } else { Manifest::load };
        let Some(manifest) = twice(|| load(path), |manifest| format!("{manifest:#?}"))? else { return Ok(()) };
        sound(&manifest.warnings)?;
        sound(&manifest.unenforced)?;
        twice(|| manifest.catalog(), |catalog| format!("{catalog:#?}"))?;
        Ok(())
    });
}

#[test]
fn catalogs_with_changes() {
    let all = fixtures(&["catalog"]);
    fuzz((select(all), edits()), |(fixture, edits)| {
        let dir = tempfile::tempdir().unwrap();
        let text = edited(&fs::read_to_string(fixture).unwrap(), &edits);
        let file = dir.path().join("catalog.yaml");
        fs::write(&file, &text).unwrap();
        twice(|| read_catalog(&text, &file), |catalog| format!("{catalog:#?}")).map(drop)
    });
}

#[test]
fn texts_of_pieces() {
    fuzz(vec(select(&PIECES[..]), 0..40), |pieces| {
        let text = pieces.concat();
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let file = dir.path().join(name);
            fs::write(&file, text).unwrap();
            file
        };
        let env = Vars { vars: HashMap::from([("CANARY".to_owned(), CANARY.to_owned())]), dir: dir.path().to_owned() };
        let config = file("c.yaml", &format!("apiVersion: gestaltd.config/v6\n{text}"));
        read_deployment(&[config], Mode::Strict, &env)?;
        let manifest = file("m.yaml", &text);
        twice(|| Manifest::load(&manifest), |manifest| format!("{manifest:#?}"))?;
        twice(|| read_catalog(&text, &manifest), |catalog| format!("{catalog:#?}")).map(drop)
    });
}
