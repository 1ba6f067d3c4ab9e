use super::{assert_none, root};
use std::fs;
use std::path::{Path, PathBuf};

/// Directories that hold what tools make, or what others wrote.
const SKIPPED: [&str; 8] = [".git", "target", "node_modules", "__pycache__", ".gestalt", ".venv", "deps", "dist"];

/// Lines of one source file before its inline tests, and with them. More than that is two files.
const MAX_CODE: usize = 400;
const MAX_FILE: usize = 450;

/// Names that say nothing about what is inside.
const NO_NAMES: [&str; 10] =
    ["util", "utils", "common", "helper", "helpers", "manager", "misc", "shared", "types", "base"];

/// Ways in which wasmtime-wasi could hand a guest something of the host's own: its network, environment, files, or (row
/// G24) a thread for as long as a file system takes.
const HOST_LEAKS: [&str; 7] = [
    "allow_blocking_current_thread",
    "default_send_request",
    "inherit_network",
    "inherit_env",
    "inherit_stdio",
    "allow_ip_name_lookup",
    "preopened_dir",
];

/// Every file of the repository whose name ends so, as path below the root and text.
pub(super) fn files(ends: &[&str]) -> Vec<(String, String)> {
    let (root, mut open, mut found) = (root(), vec![root()], Vec::new());
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_symlink() || SKIPPED.iter().any(|skipped| name == *skipped || name.starts_with(".venv")) {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if ends.iter().any(|end| name.ends_with(end)) {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(&root).unwrap().to_string_lossy().into_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// Whether a file is compiled into tests only.
fn is_test(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "bench") || path.ends_with("tests.rs")
}

/// The Rust files that ship.
pub(super) fn shipped() -> impl Iterator<Item = (String, String)> {
    files(&[".rs"]).into_iter().filter(|(path, _)| !is_test(path))
}

/// The text of a file without the test module at its end.
pub(super) fn without_tests(text: &str) -> &str {
    let is_tests = |at: &usize| text[*at..].lines().nth(1).is_some_and(|line| line.trim() == "mod tests {");
    let end = text.match_indices("#[cfg(test)]\n").map(|(at, _)| at).find(is_tests);
    &text[..end.unwrap_or(text.len())]
}

#[test]
fn files_stay_readable() {
    let mut findings = Vec::new();
    for (path, text) in shipped() {
        let (code, all) = (without_tests(&text).lines().count(), text.lines().count());
        if code > MAX_CODE || all > MAX_FILE {
            findings.push(format!("{path}: {code} lines, {all} with its tests"));
        }
    }
    assert_none(&format!("files over {MAX_CODE} lines, or {MAX_FILE} with their tests"), findings);
}

#[test]
fn modules_are_named_after_what_they_do() {
    let named_nothing = |path: &String| {
        let path = Path::new(path);
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let name = if stem == "mod" { path.parent().unwrap().file_name().unwrap().to_str().unwrap() } else { stem };
        NO_NAMES.contains(&name)
    };
    assert_none("modules", shipped().map(|(path, _)| path).filter(named_nothing).collect());
}

#[test]
fn a_guest_inherits_nothing() {
    let mut findings = Vec::new();
    for (path, text) in shipped() {
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            findings.extend(
                HOST_LEAKS.iter().filter(|word| line.contains(**word)).map(|w| format!("{path}:{}: {w}", number + 1)),
            );
        }
    }
    assert_none("guests must not get the host's own network, environment, stdio or files", findings);
}

#[test]
fn no_file_names_a_home_directory() {
    let homes = ["/root/", "/home/", "/Users/"];
    // Where a path begins with it: a directory of that name below another is nobody's home.
    let begins = |line: &str, home: &str| {
        let before = |at: usize| line[..at].chars().next_back();
        line.match_indices(home).any(|(at, _)| before(at).is_none_or(|c| !(c.is_alphanumeric() || "._-}".contains(c))))
    };
    let mut findings = Vec::new();
    for (path, text) in
        files(&[".rs", ".toml", ".md", ".py", ".ts", ".json", ".yaml", ".sh", ".wit", "Makefile", "run"])
    {
        for (number, line) in text.lines().enumerate() {
            if homes.iter().any(|home| begins(line, home)) && !path.starts_with("tests/tidy/") {
                findings.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert_none("paths of somebody's machine", findings);
}
