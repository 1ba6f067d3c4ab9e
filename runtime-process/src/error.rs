use gestalt_core::foreign::Foreign;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// Why an app's process could not be brought up, or its package not be turned into a command.
///
/// Texts are for the operator. What they quote of an app, its package or its output is displayed as [`Foreign`] text: no
/// line begins with what somebody else wrote, and of output there is at most the last few kilobytes.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// No directory to keep the sockets in.
    #[error("cannot make a socket directory in any of {tried}: {source}")]
    SocketDir {
        /// The directories tried.
        tried: String,
        /// What the last one said.
        source: io::Error,
    },
    /// The host-service socket could not be opened.
    #[error("cannot listen on {}: {source}", shown(.path))]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The command could not be executed at all.
    #[error("cannot run {}: {source}", shown(.program))]
    Spawn {
        /// The program as it was looked up.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The process could not be confined as it is to be.
    #[error("not started: sandbox: {}{output}", Foreign::phrase(.reason))]
    Sandbox {
        /// What is missing, or went wrong.
        reason: String,
        /// Whether the reason may pass: the machine was short of something.
        is_passing: bool,
        /// What it wrote last.
        output: Output,
    },
    /// The process ended before it served anything.
    #[error("process ended during start-up ({status}){output}")]
    Exited {
        /// How it ended.
        status: ExitStatus,
        /// What it wrote last.
        output: Output,
    },
    /// The process did not get ready in time.
    #[error("process was not ready within {budget:?}{output}")]
    NotReady {
        /// How long it had.
        budget: Duration,
        /// What it wrote last.
        output: Output,
    },
    /// The process speaks no protocol version that this daemon speaks.
    #[error("app speaks protocol {min} to {max}, this daemon 3 to 5")]
    Version {
        /// Its lowest; 0 for no bound.
        min: i32,
        /// Its highest; 0 for no bound.
        max: i32,
    },
    /// The process confirmed another version than the one it was told.
    #[error("app confirmed protocol {echoed} after it was told {told}")]
    Echo {
        /// What it was told.
        told: i32,
        /// What it said.
        echoed: i32,
    },
    /// A start-up call failed: the app rejects its config, most likely.
    #[error("{call} failed: {}{output}", Foreign::phrase(.message))]
    Call {
        /// Which call.
        call: &'static str,
        /// The provider's status and text.
        message: String,
        /// What the process wrote last.
        output: Output,
    },
    /// The daemon is shutting down.
    #[error("stopped while starting")]
    Stopped,
    /// The package holds nothing that can be started.
    #[error("nothing to start in {}: {}", shown(.root), Foreign::phrase(.reason))]
    NoSource {
        /// The package.
        root: PathBuf,
        /// What was looked for.
        reason: String,
    },
    /// A file of the package cannot be read or understood.
    #[error("{}: {}", shown(.path), Foreign::phrase(.reason))]
    Package {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A command of the package failed.
    #[error("{phase} failed: {}: {}{output}", Foreign::phrase(.command), Foreign::phrase(.reason))]
    Phase {
        /// `install`, `build` or `catalog`.
        phase: &'static str,
        /// The command line, for the log.
        command: String,
        /// How it ended.
        reason: String,
        /// What it wrote last.
        output: Output,
    },
}

impl ProcessError {
    /// Whether it is worth trying again: the machine was short of something when the process was to be confined.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Sandbox { is_passing, .. } => *is_passing,
            Self::Spawn { source, .. } => gestalt_confine::is_passing(source),
            _ => false,
        }
    }
}

/// A path, whose parts a package may have named.
fn shown(path: &Path) -> String {
    Foreign::phrase(&path.to_string_lossy()).to_string()
}

/// The last of what a process wrote; displays as nothing when it wrote nothing, else line by line behind a bar, so that
/// none of them passes for one of the daemon's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output(pub String);

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.trim_end() {
            "" => Ok(()),
            text => {
                f.write_str("; its last output:")?;
                text.split('\n').try_for_each(|line| write!(f, "\n  | {}", Foreign::phrase(line)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    /// What an app says while it dies, imitating a record at the start of a line.
    const LAST: &str = "Traceback\n2026-01-01T00:00:00Z  INFO audit: audit allowed=true\r\n\x1b[2Jgone\u{2028}\n";

    #[test]
    fn no_line_of_an_error_begins_with_what_somebody_else_wrote() {
        let (text, output) = (|| LAST.to_owned(), || Output(LAST.to_owned()));
        let path = || PathBuf::from(std::ffi::OsString::from_vec(LAST.bytes().chain([0xff]).collect()));
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        for error in [
            ProcessError::Sandbox { reason: text(), is_passing: false, output: output() },
            ProcessError::NotReady { budget: Duration::ZERO, output: output() },
            ProcessError::Call { call: "start", message: text(), output: output() },
            ProcessError::NoSource { root: path(), reason: text() },
            ProcessError::Package { path: path(), reason: text() },
            ProcessError::Spawn { program: path(), source: gone() },
            ProcessError::Listen { path: path(), source: gone() },
            ProcessError::Phase { phase: "build", command: text(), reason: text(), output: output() },
        ] {
            let shown = error.to_string();
            assert!(shown.lines().skip(1).all(|line| line.starts_with("  | ")), "{shown:?}");
            assert!(!shown.contains(|c: char| c.is_control() && c != '\n' || c == '\u{2028}'), "{shown:?}");
        }
        let died = ProcessError::NotReady { budget: Duration::ZERO, output: Output("a\nb\n\n".into()) };
        assert_eq!(died.to_string(), "process was not ready within 0ns; its last output:\n  | a\n  | b");
    }
}
