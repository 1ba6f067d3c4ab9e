//! Commands of a package.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// One command of a phase. No shell is involved. `Debug` shows the names of its variables, not their values.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments; not empty, and no element is.
    pub argv: Vec<String>,
    /// Directory below the package's root; empty is the root itself.
    pub workdir: PathBuf,
    /// Environment variables on top of the daemon's own choice.
    pub env: BTreeMap<String, String>,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { argv, workdir, env } = self;
        let names: Vec<&String> = env.keys().collect();
        f.debug_struct("Command").field("argv", argv).field("workdir", workdir).field("env", &names).finish()
    }
}

/// How the executable is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// One after the other.
    pub commands: Vec<Command>,
    /// Files and directories whose content decides whether the output is stale. Empty: it cannot be told.
    pub inputs: Vec<PathBuf>,
    /// Whether it was written as one object, which promises to make the entrypoint's artifact; the other forms only
    /// prepare the source tree.
    pub makes_artifact: bool,
}

/// How the package is run from its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What is started.
    pub command: Command,
    /// How long it may take to answer, when the package knows better than the daemon.
    pub ready_timeout: Option<Duration>,
    /// Whether it serves the app's UI.
    pub serves_ui: bool,
}
