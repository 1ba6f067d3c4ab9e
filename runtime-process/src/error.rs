use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why an app's process could not be brought up, or its package not be turned into a command.
///
/// Texts are for the operator; those that quote output hold at most the last few kilobytes of it.
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
    #[error("cannot listen on {}: {source}", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The command could not be executed at all.
    #[error("cannot run {}: {source}", program.display())]
    Spawn {
        /// The program as it was looked up.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The process could not be confined as it is to be.
    #[error("not started: sandbox: {reason}{output}")]
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
    #[error("{call} failed: {message}{output}")]
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
    #[error("nothing to start in {}: {reason}", root.display())]
    NoSource {
        /// The package.
        root: PathBuf,
        /// What was looked for.
        reason: String,
    },
    /// A file of the package cannot be read or understood.
    #[error("{}: {reason}", path.display())]
    Package {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A command of the package failed.
    #[error("{phase} failed: {command}: {reason}{output}")]
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

/// The last of what a process wrote; displays as nothing when it wrote nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output(pub String);

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.trim_end() {
            "" => Ok(()),
            text => write!(f, "; its last output:\n{text}"),
        }
    }
}
