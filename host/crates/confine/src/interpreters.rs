//! The installations of interpreters that every cell shows besides the system's own: those the operator's `PATH` leads to,
//! and those in the places where the usual version managers put them.
//!
//! A package has no say in it. What it needs beyond these, the operator names: `egress.sandboxPaths`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// What is looked for in `PATH`.
const NAMES: [&str; 8] = ["python3", "python", "node", "deno", "bun", "ruby", "java", "dotnet"];

/// Where version managers keep installations, below the home of the daemon's user: each directory there is one.
const MANAGED: [&str; 8] = [
    ".asdf/installs/nodejs",
    ".asdf/installs/python",
    ".local/share/fnm/node-versions",
    ".local/share/mise/installs/node",
    ".local/share/mise/installs/python",
    ".local/share/uv/python",
    ".nvm/versions/node",
    ".pyenv/versions",
];

/// What of an installation is shown. Not all of it: a prefix such as `~/.local` holds much else.
const PARTS: [&str; 5] = ["bin", "include", "lib", "lib64", "libexec"];

/// Installations at most. A home with more has its newest ones missing in the list, which an operator can add by name.
const MOST: usize = 64;

/// The real paths to be shown, none of them the system's own.
pub fn installed(path: Option<&OsStr>, home: Option<&Path>) -> Vec<PathBuf> {
    let mut roots = Vec::new();
    for dir in path.map(std::env::split_paths).into_iter().flatten().filter(|dir| dir.is_absolute()) {
        // A shim is a script that looks for the real one beside its own directory.
        if dir.file_name() == Some(OsStr::new("shims")) {
            roots.extend(dir.parent().into_iter().flat_map(|root| children(&root.join("versions"))));
        }
        let found = NAMES.iter().filter_map(|name| dir.join(name).canonicalize().ok());
        roots.extend(found.filter_map(|program| Some(program.parent()?.parent()?.to_owned())));
    }
    for place in home.into_iter().flat_map(|home| MANAGED.map(|place| home.join(place))) {
        roots.extend(children(&place));
    }
    let mut roots: Vec<PathBuf> = roots.iter().filter_map(|root| root.canonicalize().ok()).collect();
    roots.sort();
    roots.dedup();
    roots.retain(|root| !crate::is_system(root) && is_installation(root));
    roots.truncate(MOST);
    roots.iter().flat_map(|root| shown(root)).collect()
}

/// The real paths of one installation, or virtual environment, that an operator named by the path of a program in it.
/// Only the program where it is neither.
pub fn named(program: &Path) -> Vec<PathBuf> {
    let root = program.parent().filter(|dir| dir.file_name() == Some(OsStr::new("bin"))).and_then(Path::parent);
    let root = root.and_then(|root| root.canonicalize().ok());
    match root.filter(|root| !crate::is_system(root)) {
        Some(root) if root.join("pyvenv.cfg").is_file() => {
            shown(&root).into_iter().chain([root.join("pyvenv.cfg")]).collect()
        }
        Some(root) if is_installation(&root) => shown(&root),
        _ => program.canonicalize().ok().filter(|program| !crate::is_system(program)).into_iter().collect(),
    }
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let mut children: Vec<PathBuf> = fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    children.sort();
    children.truncate(MOST);
    children
}

/// Whether a directory is the prefix of an interpreter: it has the interpreter's own library in it, not merely something
/// that was installed for it.
fn is_installation(root: &Path) -> bool {
    let python = || {
        let libraries = fs::read_dir(root.join("lib")).into_iter().flatten().flatten();
        libraries.map(|entry| entry.path().join("os.py")).any(|file| file.is_file())
    };
    root.parent().is_some()
        && (root.join("bin/node").is_file()
            || root.join("lib/modules").is_file()
            || root.join("lib/ruby").is_dir()
            || root.join("bin/deno").is_file()
            || root.join("bin/bun").is_file()
            || python())
}

fn shown(root: &Path) -> Vec<PathBuf> {
    let parts = PARTS.iter().filter_map(|part| root.join(part).canonicalize().ok());
    // A part may itself be a link elsewhere.
    let mut parts: Vec<PathBuf> = parts.filter(|part| part.starts_with(root)).collect();
    parts.sort();
    parts.dedup();
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn write(path: PathBuf) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    #[test]
    fn installations_are_found_by_path_and_by_place_and_nothing_beside_them() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let root = dir.path().canonicalize().unwrap();
        let python = |prefix: &str| {
            write(root.join(prefix).join("bin/python3"));
            write(root.join(prefix).join("lib/python3.11/os.py"));
            write(root.join(prefix).join("share/secret"));
        };
        python("opt/py");
        python("home/.pyenv/versions/3.12.1");
        python("home/.local/share/uv/python/cpython-3.13");
        // Packages for an interpreter are not an interpreter.
        write(root.join("home/.local/bin/python3"));
        write(root.join("home/.local/lib/python3.11/site-packages/x.py"));
        fs::create_dir_all(root.join("links")).unwrap();
        symlink(root.join("opt/py/bin/python3"), root.join("links/python3")).unwrap();
        let path = std::env::join_paths([root.join("links"), root.join("home/.local/bin")]).unwrap();
        let found = installed(Some(&path), Some(&root.join("home")));
        let expect = ["home/.local/share/uv/python/cpython-3.13", "home/.pyenv/versions/3.12.1", "opt/py"];
        let expect: Vec<_> = expect.iter().flat_map(|p| ["bin", "lib"].map(|part| root.join(p).join(part))).collect();
        assert_eq!(found, expect);
        // The same installation by a shim.
        fs::create_dir_all(root.join("home/.pyenv/shims")).unwrap();
        let path = std::env::join_paths([root.join("home/.pyenv/shims")]).unwrap();
        assert_eq!(
            installed(Some(&path), None),
            [root.join("home/.pyenv/versions/3.12.1")].map(|p| shown(&p)).concat()
        );
    }

    #[test]
    fn an_environment_that_is_named_is_shown_and_what_it_was_made_from_is_not() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let root = dir.path().canonicalize().unwrap();
        write(root.join("venv/lib/python3.11/site-packages/x.py"));
        write(root.join("other/lib/python3.11/os.py"));
        write(root.join("other/bin/python3"));
        fs::write(root.join("venv/pyvenv.cfg"), format!("home = {}/other/bin\n", root.display())).unwrap();
        fs::create_dir_all(root.join("venv/bin")).unwrap();
        symlink(root.join("other/bin/python3"), root.join("venv/bin/python")).unwrap();
        let venv = root.join("venv");
        assert_eq!(named(&venv.join("bin/python")), ["bin", "lib", "pyvenv.cfg"].map(|part| venv.join(part)));
        write(root.join("tool"));
        assert_eq!(named(&root.join("tool")), [root.join("tool")]);
    }
}
