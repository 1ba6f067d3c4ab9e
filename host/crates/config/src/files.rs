//! Which files a deployment is read from, and what the relative paths in them start from.

use crate::check::providers::BUILTINS;
use crate::check::source::{Text, kind_of_source};
use crate::env::Env;
use crate::path::KeyPath;
use crate::tree::{Node, Patterns, Tree};
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

/// The files to load: those named by `--config`, in their order; else `$GESTALT_CONFIG`; else `./config.yaml`; else
/// `~/.gestaltd/config.yaml`. Empty when none is named and neither of the last two exists.
pub fn choose_files(flags: &[PathBuf], env: &dyn Env) -> Vec<PathBuf> {
    if !flags.is_empty() {
        return flags.to_vec();
    }
    if let Some(file) = env.var("GESTALT_CONFIG").filter(|file| !file.is_empty()) {
        return vec![file.into()];
    }
    let home = env.var("HOME").filter(|home| !home.is_empty());
    let candidates = [Some(PathBuf::from("config.yaml")), home.map(|h| Path::new(&h).join(".gestaltd/config.yaml"))];
    candidates.into_iter().flatten().find(|file| env.current_dir().join(file).exists()).into_iter().collect()
}

/// `path` seen from `dir`, without `.` and `..`.
pub(crate) fn resolve(dir: &Path, path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in dir.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

/// Keys whose values are paths.
const PATHS: [&str; 6] = [
    "server.artifactsDir",
    "server.egress.caFile",
    "apps.*.iconFile",
    "providers.*.*.iconFile",
    "providers.agent.*.harnesses.*.workingDirectory",
    "runtime.providers.*.iconFile",
];
/// Keys whose values are sources, which may be paths.
const SOURCES: [&str; 3] = ["apps.*.source", "providers.*.*.source", "runtime.providers.*.source"];

static PLAIN: LazyLock<Patterns> = LazyLock::new(|| Patterns::new(PATHS));
static SOURCE: LazyLock<Patterns> = LazyLock::new(|| Patterns::new(SOURCES));

/// Makes the relative paths of one config file absolute. What stands inside a `config` is never touched.
pub(crate) fn anchor(root: &mut Node, dir: &Path) {
    let mut paths: Vec<KeyPath> = Vec::new();
    PLAIN.visit(root, &mut |_, path, _, _| paths.push(path.clone()));
    SOURCE.visit(root, &mut |_, path, _, node| match &node.tree {
        Tree::Text(text) if !is_builtin(path, text) => {
            if matches!(kind_of_source(text.trim()), Text::Manifest | Text::Release) {
                paths.push(path.clone());
            }
        }
        Tree::Map(_) => {
            let text = node.get("path").and_then(Node::text).unwrap_or_default();
            if matches!(kind_of_source(text.trim()), Text::Manifest | Text::Release) {
                paths.push(path.key("path"));
            }
        }
        _ => {}
    });
    for path in paths {
        anchor_text(root.at_mut(&path.0), dir);
    }
}

/// Whether `text` names something built in for the kind of provider at `path`.
fn is_builtin(path: &KeyPath, text: &str) -> bool {
    BUILTINS.iter().any(|(kind, names)| {
        path.0.get(1) == Some(&crate::path::Step::Key((*kind).to_owned())) && names.contains(&text.trim())
    })
}

fn anchor_text(node: Option<&mut Node>, dir: &Path) {
    if let Some(Tree::Text(text)) = node.map(|node| &mut node.tree)
        && !text.trim().is_empty()
        && !text.contains("${")
        && let Some(path) = resolve(dir, Path::new(text.trim())).to_str()
    {
        *text = path.to_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    struct Fake(HashMap<&'static str, String>, PathBuf);
    impl Env for Fake {
        fn var(&self, name: &str) -> Option<String> {
            self.0.get(name).cloned()
        }
        fn current_dir(&self) -> PathBuf {
            self.1.clone()
        }
    }

    #[test]
    fn the_first_place_that_has_one() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        std::fs::create_dir_all(home.join(".gestaltd")).unwrap();
        let mut env = Fake(HashMap::from([("HOME", home.display().to_string())]), dir.path().to_owned());
        assert_eq!(choose_files(&[], &env), Vec::<PathBuf>::new());
        std::fs::write(home.join(".gestaltd/config.yaml"), "").unwrap();
        assert_eq!(choose_files(&[], &env), [home.join(".gestaltd/config.yaml")]);
        std::fs::write(dir.path().join("config.yaml"), "").unwrap();
        assert_eq!(choose_files(&[], &env), [PathBuf::from("config.yaml")]);
        env.0.insert("GESTALT_CONFIG", "named.yaml".to_owned());
        assert_eq!(choose_files(&[], &env), [PathBuf::from("named.yaml")]);
        let flags = ["b.yaml".into(), "a.yaml".into()];
        assert_eq!(choose_files(&flags, &env), flags);
    }

    #[test]
    fn paths_are_cleaned() {
        for (dir, path, expect) in
            [("/a/b", "./c", "/a/b/c"), ("/a/b", "../c/./d", "/a/c/d"), ("/a/b", "/x/../y", "/y"), ("/", "../..", "/")]
        {
            assert_eq!(resolve(Path::new(dir), Path::new(path)), Path::new(expect));
        }
    }
}
