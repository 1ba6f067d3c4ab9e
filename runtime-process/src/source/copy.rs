//! The copy of a package in which it is built, so that a build changes nothing else: `builds/<digest>` below the daemon's
//! artifacts. What is built there starts there.
//!
//! ```text
//! builds/<digest>/package    the copy; writable while it is built
//! builds/<digest>/wrapper    a crate around a library, made by the daemon; writable from then on until it is built
//! builds/<digest>/program    what cargo made, put there by the daemon
//! builds/<digest>/complete   there when the build has ended well; never writable by it
//! builds/<digest>.lock       held by the daemon that builds
//! ```

use crate::error::ProcessError;
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// What tools make anew, and what is no part of a package.
const SKIPPED: [&str; 3] = [".git", "__pycache__", "target"];

/// Files and directories of a package at most, and bytes. Against copying a whole disk that somebody put a manifest into.
const MAX_ENTRIES: usize = 50_000;
const MAX_BYTES: u64 = 4 << 30;

/// A copy, which nobody else builds in meanwhile.
pub(super) struct Copy {
    dir: PathBuf,
    /// Whether it has been built already.
    pub(super) is_complete: bool,
    _lock: Flock<File>,
}

/// A copy that can be made: what the package consists of, and the name of all that.
pub(super) struct Plan {
    root: PathBuf,
    builds: PathBuf,
    entries: Vec<PathBuf>,
    digest: String,
}

impl Plan {
    /// Reads the package in `root`. What lies at one of `hidden` is left out.
    pub(super) fn read(root: &Path, builds: &Path, hidden: &[PathBuf]) -> Result<Self, ProcessError> {
        let fail = |error: io::Error| refused(root, &error.to_string());
        // What is hidden is said by its real path.
        let root = root.canonicalize().map_err(fail)?;
        let entries = list(&root, hidden)?;
        let digest = digest(&root, &entries).map_err(fail)?;
        Ok(Self { root, builds: builds.to_owned(), entries, digest })
    }

    /// The copy, made if it is not there. `None` while somebody else builds the same.
    pub(super) fn make(&self) -> Result<Option<Copy>, ProcessError> {
        let fail = |error: io::Error| refused(&self.builds, &error.to_string());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.builds).map_err(fail)?;
        let builds = self.builds.canonicalize().map_err(fail)?;
        let lock = builds.join(format!("{}.lock", self.digest));
        let lock = File::options().create(true).append(true).open(lock).map_err(fail)?;
        let lock = match Flock::lock(lock, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, nix::Error::EWOULDBLOCK)) => return Ok(None),
            Err((_, error)) => return Err(fail(error.into())),
        };
        let dir = builds.join(&self.digest);
        let is_complete = dir.join("complete").is_file();
        let copy = Copy { dir, is_complete, _lock: lock };
        if !is_complete {
            // Half a build of an earlier time, perhaps. Links in it are removed and not followed.
            match fs::remove_dir_all(&copy.dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
                _ => {}
            }
            let made = fs::create_dir(&copy.dir).and_then(|()| fill(&self.root, &copy.package(), &self.entries));
            made.map_err(fail)?;
        }
        Ok(Some(copy))
    }
}

impl Copy {
    /// All of it.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The package.
    pub(super) fn package(&self) -> PathBuf {
        self.dir.join("package")
    }

    /// Where a crate around a library is made. Not there before, and not writable before.
    pub(super) fn wrapper(&self) -> PathBuf {
        self.dir.join("wrapper")
    }

    /// What cargo made.
    pub(super) fn program(&self) -> PathBuf {
        self.dir.join("program")
    }

    /// Says that it has been built.
    pub(super) fn complete(&self) -> Result<(), ProcessError> {
        let path = self.dir.join("complete");
        File::create(&path).map(drop).map_err(|error| refused(&path, &error.to_string()))
    }
}

fn refused(path: &Path, why: &str) -> ProcessError {
    ProcessError::Package { path: path.to_owned(), reason: why.to_owned() }
}

/// What a package consists of: paths below its root, in order.
fn list(root: &Path, hidden: &[PathBuf]) -> Result<Vec<PathBuf>, ProcessError> {
    let mut found = Vec::new();
    let mut bytes = 0_u64;
    let mut open = vec![PathBuf::new()];
    while let Some(dir) = open.pop() {
        let at = root.join(&dir);
        for entry in fs::read_dir(&at).map_err(|error| refused(&at, &error.to_string()))?.flatten() {
            let (name, path) = (entry.file_name(), dir.join(entry.file_name()));
            let is_skipped = SKIPPED.iter().any(|skipped| name == *skipped) || hidden.contains(&root.join(&path));
            let Some(meta) = entry.metadata().ok().filter(|_| !is_skipped) else { continue };
            // Sockets, pipes and devices are no part of a package.
            if !(meta.is_dir() || meta.is_file() || meta.is_symlink()) {
                continue;
            }
            bytes = bytes.saturating_add(if meta.is_file() { meta.len() } else { 0 });
            if meta.is_dir() {
                open.push(path.clone());
            }
            found.push(path);
            if found.len() > MAX_ENTRIES || bytes > MAX_BYTES {
                let why = format!(
                    "it is too large to be built in a copy, which may have {MAX_ENTRIES} files and {} GiB; \
                     build it beforehand, or set server.packages.build to `allow`",
                    MAX_BYTES >> 30
                );
                return Err(refused(root, &why));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The digest of all there is: names, modes, links and contents.
fn digest(root: &Path, entries: &[PathBuf]) -> io::Result<String> {
    let mut hash = Sha256::new();
    let part = |bytes: &[u8], hash: &mut Sha256| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    for path in entries {
        let at = root.join(path);
        let meta = fs::symlink_metadata(&at)?;
        part(path.as_os_str().as_bytes(), &mut hash);
        hash.update((meta.permissions().mode() & 0o111).to_be_bytes());
        if meta.is_symlink() {
            part(fs::read_link(&at)?.as_os_str().as_bytes(), &mut hash);
        } else if meta.is_file() {
            let mut own = Sha256::new();
            let mut file = open_regular(&at)?;
            let mut block = vec![0; 64 << 10];
            loop {
                match file.read(&mut block)? {
                    0 => break,
                    read => own.update(&block[..read]),
                }
            }
            hash.update(own.finalize());
        }
    }
    let digest = hash.finalize();
    let mut text = String::with_capacity(64);
    for byte in digest {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

fn fill(root: &Path, copy: &Path, entries: &[PathBuf]) -> io::Result<()> {
    fs::create_dir(copy)?;
    for path in entries {
        let (from, to) = (root.join(path), copy.join(path));
        let meta = fs::symlink_metadata(&from)?;
        if meta.is_dir() {
            fs::create_dir(&to)?;
        } else if meta.is_symlink() {
            symlink(fs::read_link(&from)?, &to)?;
        } else {
            let mut file = File::options().write(true).create_new(true).open(&to)?;
            io::copy(&mut open_regular(&from)?, &mut file)?;
            file.flush()?;
            // Neither more than its owner may, nor set-user-ID.
            file.set_permissions(fs::Permissions::from_mode(meta.permissions().mode() & 0o755 | 0o600))?;
            // Tools tell what is stale by times.
            file.set_modified(meta.modified()?)?;
        }
    }
    Ok(())
}

/// Opens what is a regular file, and neither follows a link nor waits for a pipe that has come in its place.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = (nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK).bits();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_named_by_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let (root, builds) = (dir.path().join("package"), dir.path().join("builds"));
        fs::create_dir_all(root.join("src")).unwrap();
        for hidden in ["target", ".git", "state"] {
            fs::create_dir_all(root.join(hidden)).unwrap();
            fs::write(root.join(hidden).join("x"), "x").unwrap();
        }
        fs::write(root.join("src/a"), "1").unwrap();
        symlink("/etc/passwd", root.join("link")).unwrap();
        nix::unistd::mkfifo(&root.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        symlink(&root, dir.path().join("spelled")).unwrap();
        let hidden = [root.canonicalize().unwrap().join("state")];
        let plan = || Plan::read(&dir.path().join("spelled"), &builds, &hidden).unwrap();
        let make = || plan().make().unwrap().unwrap();
        let copy = make();
        let package = copy.package();
        let first = copy.dir().to_owned();
        assert!(!copy.is_complete);
        assert!(plan().make().unwrap().is_none(), "somebody builds it");
        assert_eq!(fs::read_to_string(package.join("src/a")).unwrap(), "1");
        assert_eq!(fs::read_link(package.join("link")).unwrap(), Path::new("/etc/passwd"));
        for absent in ["target", ".git", "state", "pipe"] {
            assert!(package.join(absent).symlink_metadata().is_err(), "{absent}");
        }
        fs::write(package.join("made"), "").unwrap();
        drop(copy);
        // Without its mark it is half a build.
        let copy = make();
        assert!(!copy.is_complete && !package.join("made").exists());
        copy.complete().unwrap();
        drop(copy);
        assert!(make().is_complete);
        fs::write(root.join("target/x"), "y").unwrap();
        assert!(make().is_complete);
        fs::write(root.join("src/a"), "2").unwrap();
        let other = make();
        assert!(!other.is_complete && other.dir() != first);
    }
}
