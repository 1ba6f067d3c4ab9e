//! The private directory that holds an app's two sockets.

use crate::error::ProcessError;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Longest socket path the kernel takes (`sun_path` less its final zero).
const SUN_PATH: usize = 107;

/// A `gstp-*` directory of mode 0700, removed with everything in it when dropped.
#[derive(Debug)]
pub(crate) struct SocketDir {
    path: PathBuf,
}

impl SocketDir {
    /// Makes one under the first base that is short, plain and writable.
    pub(crate) fn new() -> Result<Self, ProcessError> {
        let bases: Vec<PathBuf> = [Some("/tmp".into()), std::env::var_os("TMPDIR").map(PathBuf::from)]
            .into_iter()
            .flatten()
            .chain(["/var/tmp".into(), "/dev/shm".into()])
            .chain(std::env::current_dir())
            .collect();
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for base in bases.iter().filter(|base| is_usable(base)) {
            match Self::new_in(base) {
                Ok(dir) => return Ok(dir),
                Err(error) => last = error,
            }
        }
        let tried = bases.iter().map(|b| b.display().to_string()).collect::<Vec<_>>().join(", ");
        Err(ProcessError::SocketDir { tried, source: last })
    }

    fn new_in(base: &Path) -> io::Result<Self> {
        let mut random = [0_u8; 8];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let suffix: String =
            random.iter().map(|b| char::from(b"abcdefghijklmnopqrstuvwxyz012345"[usize::from(b % 32)])).collect();
        let path = base.join(format!("gstp-{suffix}"));
        // Fails when the name exists: a directory somebody else prepared is never used.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    /// The directory's own name: unique among those alive, and good enough as a session id.
    pub(crate) fn id(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the app listens.
    pub(crate) fn app_socket(&self) -> PathBuf {
        self.path.join("app.sock")
    }

    /// Where the host listens.
    pub(crate) fn host_socket(&self) -> PathBuf {
        self.path.join("host.sock")
    }
}

impl Drop for SocketDir {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "socket directory not removed");
        }
    }
}

/// Absolute, short enough for a socket below it, and free of bytes that a client would have to escape.
fn is_usable(base: &Path) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'/' | b'-');
    let bytes = base.as_os_str().as_encoded_bytes();
    base.is_absolute() && bytes.iter().all(|&b| plain(b)) && bytes.len() + "/gstp-xxxxxxxx/host.sock".len() <= SUN_PATH
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_is_private_and_goes_away() {
        let dir = SocketDir::new().unwrap();
        let path = dir.path().to_owned();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(dir.id().starts_with("gstp-") && dir.app_socket().as_os_str().len() <= SUN_PATH);
        std::fs::write(dir.app_socket(), "").unwrap();
        drop(dir);
        assert!(!path.exists());
    }

    #[test]
    fn bases_are_plain_and_short() {
        for (base, usable) in [("/tmp", true), ("tmp", false), ("/tmp/a b", false), ("/tmp/ü", false), ("/a%b", false)]
        {
            assert_eq!(is_usable(Path::new(base)), usable, "{base}");
        }
        assert!(!is_usable(Path::new(&format!("/{}", "x".repeat(90)))));
    }
}
