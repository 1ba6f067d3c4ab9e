//! Finds a program, and says what of it a cell would not show.
//!
//! Nothing here adds a place to a view. A package's links, `#!` lines and `pyvenv.cfg` are read only to tell an operator
//! what is missing, and read as what a stranger wrote: nothing but regular files, no more than a bound of each.

use crate::view::View;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Symbolic links that are followed from a program to the file it is. As many as the kernel follows.
const LINKS: usize = 40;

/// Scripts that are run by scripts. As many as the kernel goes through.
const SCRIPTS: usize = 5;

/// What the kernel reads of a program to learn how it is run.
const HEAD: u64 = 256;

/// Of `pyvenv.cfg`, which has a few lines.
const SETTINGS: u64 = 16 << 10;

/// A program as a path: what has no slash is looked up in `search`, as executing it would. Its directory is the real one:
/// links on the way there may lead by places that are not seen. The program itself may well be a link, and by that know
/// what it is to be.
pub fn find(program: &Path, workdir: &Path, search: Option<&OsStr>) -> PathBuf {
    let spelled = look_up(program, workdir, search);
    let real = spelled.parent().and_then(|dir| dir.canonicalize().ok()).zip(spelled.file_name());
    real.map_or_else(|| spelled.clone(), |(dir, name)| dir.join(name))
}

fn look_up(program: &Path, workdir: &Path, search: Option<&OsStr>) -> PathBuf {
    if program.components().count() > 1 || program.is_absolute() {
        return workdir.join(program);
    }
    let search = search.unwrap_or(OsStr::new("/usr/bin:/bin"));
    let found = std::env::split_paths(search).map(|dir| workdir.join(dir).join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| program.to_owned())
}

/// What a program needs and a cell does not show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}, and the sandbox does not show {}; {}", place.display(), remedy(place))]
pub struct Hidden {
    /// How the program comes to need it.
    pub why: String,
    /// The place.
    pub place: PathBuf,
}

/// What to do about a place that is not shown.
fn remedy(place: &Path) -> String {
    let whole = place.parent().filter(|dir| dir.file_name() == Some(OsStr::new("bin"))).and_then(Path::parent);
    let named = whole.or(Some(place)).filter(|place| crate::may_be_shown(place));
    match named {
        Some(place) => {
            format!("if the app may read it, add {:?} to egress.sandboxPaths of its entry", place.display().to_string())
        }
        None => "nothing there is ever shown".to_owned(),
    }
}

/// Whether a cell with this view shows all that the program is known to need: every link on the way to it, who interprets
/// it, and the Python installation that its environment was made from.
///
/// # Errors
/// The first place that would be missing.
pub fn check(program: &Path, view: &View) -> Result<(), Hidden> {
    let mut program = program.to_owned();
    for _ in 0..SCRIPTS {
        let file = follow(&program, view)?;
        let Some(interpreter) = read(&file, HEAD).as_deref().and_then(interpreter) else { return Ok(()) };
        if !interpreter.is_absolute() {
            return Ok(());
        }
        shown(&interpreter, view, || format!("{} is run by {}", file.display(), interpreter.display()))?;
        program = interpreter;
    }
    Ok(())
}

/// The file that a program is in the end.
fn follow(program: &Path, view: &View) -> Result<PathBuf, Hidden> {
    let mut file = program.to_owned();
    for _ in 0..LINKS {
        let Some(real) = file.parent().and_then(|dir| dir.canonicalize().ok()).zip(file.file_name()) else { break };
        let real = real.0.join(real.1);
        shown(&real, view, || format!("{} leads to {}", program.display(), real.display()))?;
        if let Some(home) = made_from(&real) {
            let why = || format!("the environment of {} was made from {}", real.display(), home.display());
            shown(&home, view, why)?;
        }
        match fs::read_link(&real) {
            Ok(link) => file = real.parent().unwrap_or(&real).join(link),
            Err(_) => return Ok(real),
        }
    }
    Ok(file)
}

fn shown(place: &Path, view: &View, why: impl FnOnce() -> String) -> Result<(), Hidden> {
    let real = place.parent().and_then(|dir| dir.canonicalize().ok()).zip(place.file_name());
    let real = real.map_or_else(|| place.to_owned(), |(dir, name)| dir.join(name));
    if view.shows(place) || view.shows(&real) { Ok(()) } else { Err(Hidden { why: why(), place: real }) }
}

/// Where the interpreter is that a virtual environment was made from.
fn made_from(program: &Path) -> Option<PathBuf> {
    let text = read(&program.parent()?.parent()?.join("pyvenv.cfg"), SETTINGS)?;
    let text = String::from_utf8_lossy(&text);
    let home = text.lines().find_map(|line| line.split_once('=').filter(|(key, _)| key.trim() == "home"))?.1;
    Some(PathBuf::from(home.trim())).filter(|home| home.is_absolute())
}

/// Who runs a script, by the kernel's rules: up to a blank, and no further than the kernel reads.
fn interpreter(head: &[u8]) -> Option<PathBuf> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let line = head.strip_prefix(b"#!")?;
    let start = line.iter().position(|byte| !is_blank(byte))?;
    let line = &line[start..];
    let end = line.iter().position(|byte| is_blank(byte) || matches!(byte, b'\n' | 0))?;
    (end > 0).then(|| PathBuf::from(OsStr::from_bytes(&line[..end])))
}

/// The beginning of a regular file. `None` where there is none: a pipe is not waited for, a device not opened, and a link
/// not followed, for what is read here is quoted.
fn read(path: &Path, most: u64) -> Option<Vec<u8>> {
    let place = openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let kind = FileType::from_raw_mode(fstat(&place).ok()?.st_mode);
    if kind != FileType::RegularFile {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(format!("/proc/self/fd/{}", place.as_raw_fd())).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Opens `relative`, below `root`, if it is a regular file and no link on the way leads out. Who wrote it may have put
/// anything there: a pipe is not waited for.
///
/// # Errors
/// Why it is not opened, in words. [`NotFound`](std::io::ErrorKind::NotFound) where nothing is.
pub fn open_beneath(root: &Path, relative: &Path) -> std::io::Result<File> {
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = openat(CWD, root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).and_then(|root| {
        // What it is is looked at first: to open a device may do something.
        let place = openat2(&root, relative, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), beneath)?;
        let kind = FileType::from_raw_mode(fstat(&place)?.st_mode);
        let file = (kind == FileType::RegularFile).then(|| openat2(&root, relative, flags, Mode::empty(), beneath));
        file.transpose()
    });
    let other = || std::io::Error::other("it is not a regular file");
    let file = File::from(opened.map_err(explained)?.ok_or_else(other)?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(other()) }
}

fn explained(error: rustix::io::Errno) -> std::io::Error {
    match error {
        rustix::io::Errno::XDEV | rustix::io::Errno::LOOP => {
            std::io::Error::other("a link leads out of the directory it has to be in")
        }
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Place;
    use std::os::unix::fs::symlink;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn programs_are_looked_up_where_executing_would() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        write(&root.join("bin/tool"), "");
        symlink("bin", root.join("link")).unwrap();
        let find = |program: &str, workdir: &Path| {
            find(Path::new(program), workdir, Some(OsStr::new("/nowhere:bin:/usr/bin")))
        };
        assert_eq!(find("tool", &root), root.join("bin/tool"));
        assert_eq!(find("./tool", &root), root.join("tool"));
        assert_eq!(find("link/tool", &root), root.join("bin/tool"));
        assert_eq!(find("/x/tool", dir.path()), Path::new("/x/tool"));
        assert_eq!(find("gone", dir.path()), Path::new("gone"));
    }

    #[test]
    fn lines_are_read_as_the_kernel_reads_them() {
        let long = format!("#!/{}", "x".repeat(300));
        for (head, expect) in [
            ("#!/bin/sh\n", Some("/bin/sh")),
            ("#! \t/bin/sh -e\n", Some("/bin/sh")),
            ("#!/opt/a\u{a0}b c\n", Some("/opt/a\u{a0}b")),
            ("#!/bin/sh\r\n", Some("/bin/sh\r")),
            ("#!/bin/sh", None),
            ("#!\n", None),
            ("#!   \n", None),
            (" #!/bin/sh\n", None),
            ("", None),
            (&long[..256], None),
        ] {
            assert_eq!(interpreter(head.as_bytes()), expect.map(PathBuf::from), "{head:?}");
        }
    }

    #[test]
    fn what_a_package_names_beyond_its_own_is_told_and_not_shown() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let root = dir.path().canonicalize().unwrap();
        let package = root.join("package");
        write(&root.join("house/secret"), "");
        write(&root.join("house/bin/ruby"), "");
        write(&root.join("other/bin/python3"), "");
        write(&package.join("own"), "");
        write(&package.join("script"), &format!("#!{}/house/bin/ruby\n", root.display()));
        write(&package.join("twice"), &format!("#! {}/script\n", package.display()));
        write(&package.join("shell"), "#!/bin/sh\n");
        write(&package.join("env"), "#!/usr/bin/env ruby\n");
        symlink(root.join("house/secret"), package.join("link")).unwrap();
        symlink("../house/../house/secret", package.join("dots")).unwrap();
        symlink("own", package.join("inside")).unwrap();
        symlink("loop", package.join("loop")).unwrap();
        write(&package.join("venv/pyvenv.cfg"), &format!("version = 3\nhome = {}/other/bin\n", root.display()));
        write(&package.join("venv/bin/python"), "");
        nix::unistd::mkfifo(&package.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Settings that are somebody else's file: what is in it would be quoted.
        write(&root.join("home/settings"), "home = /hunter2\n");
        write(&package.join("linked/bin/python"), "");
        symlink(root.join("home/settings"), package.join("linked/pyvenv.cfg")).unwrap();
        let view = View { read: vec![Place::same(package.clone())], ..View::default() };
        let place = |name: &str| check(&package.join(name), &view).err().map(|hidden| hidden.place);
        for name in ["own", "shell", "env", "inside", "loop", "gone", "pipe", "linked/bin/python"] {
            assert_eq!(place(name), None, "{name}");
        }
        for (name, expect) in [
            ("script", "house/bin/ruby"),
            ("twice", "house/bin/ruby"),
            ("link", "house/secret"),
            ("dots", "house/secret"),
            ("venv/bin/python", "other/bin"),
        ] {
            assert_eq!(place(name), Some(root.join(expect)), "{name}");
        }
        let told = check(&package.join("script"), &view).unwrap_err().to_string();
        assert!(told.contains("is run by") && told.contains("add") && told.contains("egress.sandboxPaths"), "{told}");
        assert!(told.contains(&format!("{:?}", root.join("house").display().to_string())), "{told}");
    }

    #[test]
    fn only_regular_files_below_a_directory_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        write(&dir.path().join("secret"), "hunter2");
        write(&root.join("a/file"), "text");
        for (to, link) in [
            ("../secret", "up"),
            ("a/file", "inside"),
            ("/proc/self/environ", "magic"),
            ("..", "dir"),
            ("loop", "loop"),
        ] {
            symlink(to, root.join(link)).unwrap();
        }
        nix::unistd::mkfifo(&root.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for (path, opens) in [
            ("a/file", true),
            ("inside", true),
            ("a/../a/file", true),
            ("a", false),
            ("pipe", false),
            ("up", false),
            ("dir/secret", false),
            ("../secret", false),
            ("magic", false),
            ("loop", false),
            ("", false),
            ("/etc/passwd", false),
        ] {
            assert_eq!(open_beneath(&root, Path::new(path)).is_ok(), opens, "{path}");
        }
        let gone = open_beneath(&root, Path::new("gone")).unwrap_err();
        assert_eq!(gone.kind(), std::io::ErrorKind::NotFound);
    }
}
