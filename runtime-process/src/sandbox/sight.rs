//! What of the file system a command needs to run: itself, the installation it belongs to, and who interprets it.
//!
//! A package says what its command is, so that what it names is shown to it. That much is its own: the program, and a
//! Python installation as a whole where the program is part of one. Nothing else around it is.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Symbolic links that are followed from a program to the file it is. As many as the kernel follows.
const LINKS: usize = 40;

/// Variables of the operator's, each a file or a list of directories, that say where further code and trusted roots are.
const NAMED: [&str; 8] = [
    "CURL_CA_BUNDLE",
    "GESTALT_HOST_SERVICE_TLS_CA_FILE",
    "GESTALT_PYTHON_SDK_DIR",
    "NODE_EXTRA_CA_CERTS",
    "PYTHONPATH",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
];

/// A program as a path: what has no slash is looked up in `PATH`, as executing it would. Its directory is the real one:
/// links on the way there may lead by places that are not seen. The program itself may well be a link, and by that know
/// what it is to be.
pub(super) fn find(program: &Path, workdir: &Path, env: &BTreeMap<OsString, OsString>) -> PathBuf {
    let spelled = look_up(program, workdir, env);
    let real = spelled.parent().and_then(|dir| dir.canonicalize().ok()).zip(spelled.file_name());
    real.map_or_else(|| spelled.clone(), |(dir, name)| dir.join(name))
}

fn look_up(program: &Path, workdir: &Path, env: &BTreeMap<OsString, OsString>) -> PathBuf {
    if program.components().count() > 1 || program.is_absolute() {
        return workdir.join(program);
    }
    let path = env.get(OsStr::new("PATH")).cloned().unwrap_or_else(|| "/usr/bin:/bin".into());
    let found = std::env::split_paths(&path).map(|dir| workdir.join(dir).join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| program.to_owned())
}

/// What has to be seen so that `program` can be executed.
pub(super) fn of_program(program: &Path) -> Vec<PathBuf> {
    let mut seen = Vec::new();
    follow(program, &mut seen);
    if let Some(interpreter) = interpreter(program) {
        follow(&interpreter, &mut seen);
    }
    seen
}

/// What the operator's variables name.
pub(super) fn of_variables(value: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let values = NAMED.into_iter().filter_map(value);
    let paths = values.flat_map(|value| std::env::split_paths(&value).collect::<Vec<_>>());
    paths.filter(|path| path.is_absolute() && path.parent().is_some() && path.exists()).collect()
}

/// The program, and every file on the way of links that leads to it; with their installations.
fn follow(program: &Path, seen: &mut Vec<PathBuf>) {
    let mut file = program.to_owned();
    for _ in 0..LINKS {
        // As it is spelled and as it really is: either may be what somebody looks for.
        let real = file.parent().and_then(|dir| dir.canonicalize().ok()).zip(file.file_name());
        let real = real.map(|(dir, name)| dir.join(name));
        for spelling in real.iter().chain([&file]) {
            match installation(spelling) {
                Some(root) => {
                    seen.extend(base(&root));
                    seen.push(root);
                }
                None => seen.push(spelling.clone()),
            }
        }
        let Some(real) = real else { return };
        match fs::read_link(&real) {
            Ok(link) => file = real.parent().unwrap_or(&real).join(link),
            Err(_) => return,
        }
    }
}

/// The Python installation, or environment, that a program in its `bin` belongs to.
fn installation(program: &Path) -> Option<PathBuf> {
    let bin = program.parent().filter(|dir| dir.file_name() == Some(OsStr::new("bin")))?;
    let root = bin.parent().filter(|root| root.parent().is_some())?;
    let is_python = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("python3");
    let has_library = || fs::read_dir(root.join("lib")).is_ok_and(|lib| lib.flatten().any(is_python));
    (root.join("pyvenv.cfg").is_file() || has_library()).then(|| root.to_owned())
}

/// The installation that an environment was made from.
fn base(environment: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(environment.join("pyvenv.cfg")).ok()?;
    let home = text.lines().find_map(|line| line.split_once('=').filter(|(key, _)| key.trim() == "home"))?.1;
    installation(&Path::new(home.trim()).join("python"))
}

/// Who runs a script: the path behind its `#!`.
fn interpreter(program: &Path) -> Option<PathBuf> {
    let mut head = Vec::new();
    fs::File::open(program).ok()?.take(256).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let path = std::str::from_utf8(line).ok()?.split_whitespace().next()?;
    Some(PathBuf::from(path)).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn an_environment_is_seen_with_what_it_was_made_from() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (home, venv) = (root.join("home"), root.join("venvs/one"));
        write(&home.join("py/bin/python3.11"), "");
        write(&home.join("py/lib/python3.11/os.py"), "");
        write(&home.join("secret"), "");
        write(&venv.join("pyvenv.cfg"), &format!("home = {}/py/bin\nversion = 3.11.7\n", home.display()));
        fs::create_dir_all(venv.join("bin")).unwrap();
        symlink(home.join("py/bin/python3.11"), venv.join("bin/python3.11")).unwrap();
        symlink("python3.11", venv.join("bin/python")).unwrap();
        let package = root.join("package");
        fs::create_dir_all(&package).unwrap();
        symlink(&venv, package.join(".venv")).unwrap();

        let mut seen = of_program(&package.join(".venv/bin/python"));
        seen.sort();
        seen.dedup();
        assert_eq!(seen, [home.join("py"), package.join(".venv"), venv]);
    }

    #[test]
    fn of_other_programs_nothing_but_the_file_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        write(&root.join("bin/tool"), "");
        write(&root.join("lib/private/key"), "");
        write(&root.join("script"), "#!/usr/bin/env python3\n");
        let seen = |name: &str| {
            let mut seen = of_program(&root.join(name));
            seen.dedup();
            seen
        };
        assert_eq!(seen("bin/tool"), [root.join("bin/tool")]);
        let script = seen("script");
        assert_eq!(script[0], root.join("script"));
        assert!(script[1..].iter().all(|path| path.starts_with("/usr") || path.starts_with("/bin")), "{script:?}");
    }

    #[test]
    fn programs_are_looked_up_where_executing_would() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        write(&root.join("bin/tool"), "");
        symlink("bin", root.join("link")).unwrap();
        let env = BTreeMap::from([("PATH".into(), "/nowhere:bin:/usr/bin".into())]);
        assert_eq!(find(Path::new("tool"), &root, &env), root.join("bin/tool"));
        assert_eq!(find(Path::new("./tool"), &root, &env), root.join("tool"));
        assert_eq!(find(Path::new("link/tool"), &root, &env), root.join("bin/tool"));
        assert_eq!(find(Path::new("/x/tool"), dir.path(), &env), Path::new("/x/tool"));
        assert_eq!(find(Path::new("gone"), dir.path(), &env), Path::new("gone"));
    }
}
