//! A Python package with `[tool.gestalt]`.

use super::{SourcePackage, platform};
use crate::error::ProcessError;
use crate::spec::AppCommand;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest project file read.
const MAX_PROJECT: u64 = 1 << 20;

/// The command of a Python package; `None` when it is not one.
///
/// The SDK's runtime takes the kind as a third argument. It is left out: what every SDK from protocol 3 to 5 assumes then
/// is an app, while the word for it is another in some.
pub(super) fn find(package: &SourcePackage) -> Result<Option<AppCommand>, ProcessError> {
    let path = package.root.join("pyproject.toml");
    let fail = |reason: String| ProcessError::Package { path: path.clone(), reason };
    let text = match read(&package.root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| fail(error.to_string()))?,
    };
    let project: toml::Table = text.parse().map_err(|error: toml::de::Error| fail(error.to_string()))?;
    let Some(section) = project.get("tool").and_then(|tool| tool.get("gestalt")) else { return Ok(None) };
    let target = section
        .get("provider")
        .or_else(|| section.get("app"))
        .and_then(toml::Value::as_str)
        .ok_or_else(|| fail("[tool.gestalt] has no `provider = \"module:attribute\"`".into()))?;
    if !is_target(target) {
        return Err(fail(format!("[tool.gestalt] provider {target:?} is not `module` or `module:attribute`")));
    }
    let interpreter = interpreter(package)
        .ok_or_else(|| fail("no Python interpreter: no .venv, no GESTALT_PYTHON, none in PATH".into()))?;
    let mut env = BTreeMap::from([("PYTHONUNBUFFERED".to_owned(), "1".to_owned())]);
    if let Some(path) = python_path(package) {
        env.insert("PYTHONPATH".into(), path);
    }
    Ok(Some(AppCommand {
        program: interpreter,
        args: ["-m".into(), "gestalt._runtime".into(), package.root.clone().into(), target.into()].into(),
        workdir: package.root.clone(),
        env,
        direct: true,
    }))
}

/// The project file. A build may have left anything in its place: what is wrong in it is quoted, so that it must not be
/// somebody else's.
fn read(root: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = gestalt_confine::lookup::open_beneath(root, Path::new("pyproject.toml"))?;
    if file.take(MAX_PROJECT + 1).read_to_string(&mut text)? as u64 > MAX_PROJECT {
        return Err(std::io::Error::other(format!("it is larger than {} MiB", MAX_PROJECT >> 20)));
    }
    Ok(text)
}

/// `dotted.module` or `dotted.module:attribute`.
fn is_target(text: &str) -> bool {
    let identifier = |s: &str| {
        !s.starts_with(|c: char| c.is_ascii_digit())
            && !s.is_empty()
            && s.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    let (module, attribute) = text.split_once(':').unwrap_or((text, "_"));
    module.split('.').all(identifier) && identifier(attribute)
}

/// The package's interpreter: one meant for this platform, then one named, then the package's own, then any.
fn interpreter(package: &SourcePackage) -> Option<PathBuf> {
    let (os, arch) = platform();
    let named = |name: &str| package.var(name).map(PathBuf::from);
    let own = |venv: &str| Some(package.root.join(venv).join("bin/python")).filter(|p| p.is_file());
    named(&format!("GESTALT_PYTHON_{}_{}", os.to_uppercase(), arch.to_uppercase()))
        .or_else(|| own(&format!(".venv-{os}-{arch}")))
        .or_else(|| named("GESTALT_PYTHON"))
        .or_else(|| own(".venv"))
        .or_else(|| own("venv"))
        .or_else(|| ["python3", "python"].iter().find_map(|name| in_path(name, package.var("PATH")?)))
}

fn in_path(name: &str, path: OsString) -> Option<PathBuf> {
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|p| p.is_file())
}

/// `PYTHONPATH` with the directory of an SDK checkout in front, when one is named.
fn python_path(package: &SourcePackage) -> Option<String> {
    let sdk = package.var("GESTALT_PYTHON_SDK_DIR")?;
    let rest = package.var("PYTHONPATH");
    let all = std::iter::once(PathBuf::from(sdk)).chain(rest.iter().flat_map(std::env::split_paths));
    std::env::join_paths(all).ok()?.into_string().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_identifiers() {
        for (text, expect) in [
            ("provider", true),
            ("pkg.provider:app", true),
            ("_x:y_1", true),
            ("", false),
            ("a:", false),
            (":a", false),
            ("a..b", false),
            ("1a", false),
            ("a;b", false),
            ("a:b:c", false),
            ("-m", false),
        ] {
            assert_eq!(is_target(text), expect, "{text:?}");
        }
    }

    #[test]
    fn the_named_interpreter_wins_over_the_packages_own() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join(".venv/bin")).unwrap();
        std::fs::write(dir.path().join(".venv/bin/python"), "").unwrap();
        let mut package = SourcePackage { root: dir.path().into(), ..SourcePackage::default() };
        package.env.insert("GESTALT_PYTHON".into(), "".into());
        assert_eq!(interpreter(&package), Some(dir.path().join(".venv/bin/python")));
        package.env.insert("GESTALT_PYTHON".into(), "/opt/python".into());
        assert_eq!(interpreter(&package), Some("/opt/python".into()));
        let (os, arch) = platform();
        let name = format!("GESTALT_PYTHON_{}_{}", os.to_uppercase(), arch.to_uppercase());
        package.env.insert(name, "/opt/exact".into());
        assert_eq!(interpreter(&package), Some("/opt/exact".into()));
    }

    #[test]
    fn a_section_without_a_target_is_an_error_and_no_section_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let package = SourcePackage { root: dir.path().into(), ..SourcePackage::default() };
        for (text, ok) in [
            ("[project]\nname = \"x\"\n", true),
            ("[tool.gestalt]\n", false),
            ("[tool.gestalt]\nprovider = \"a b\"\n", false),
            ("[tool", false),
        ] {
            std::fs::write(dir.path().join("pyproject.toml"), text).unwrap();
            assert_eq!(matches!(find(&package), Ok(None)), ok, "{text:?}");
        }
    }

    #[test]
    fn what_a_build_left_in_its_place_is_neither_quoted_nor_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let package = SourcePackage { root: dir.path().join("package"), ..SourcePackage::default() };
        let path = package.root.join("pyproject.toml");
        std::fs::create_dir(&package.root).unwrap();
        std::fs::write(dir.path().join("secret"), "key = hunter2\n").unwrap();
        std::os::unix::fs::symlink("../secret", &path).unwrap();
        let refused = || find(&package).unwrap_err().to_string();
        assert!(refused().contains("leads out") && !refused().contains("hunter2"), "{}", refused());
        std::fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(refused().contains("not a regular file"), "{}", refused());
        std::fs::remove_file(&path).unwrap();
        std::fs::File::create(&path).unwrap().set_len(MAX_PROJECT + 1).unwrap();
        assert!(refused().contains("larger than 1 MiB"), "{}", refused());
    }
}
