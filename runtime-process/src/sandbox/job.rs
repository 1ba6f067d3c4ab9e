//! What is to be confined, and how: written by the daemon, read by what it starts.

use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::PathBuf;

/// The argument after [`COMMAND`](super::COMMAND), as JSON. Holds no secret: those are in the environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Job {
    /// Whether this is for the second of the two processes.
    pub(super) inner: bool,
    /// Whether this is only to find out if namespaces are of any use here.
    pub(super) probe: bool,
    /// Whether what cannot be done is an error.
    pub(super) required: bool,
    /// Whether there are namespaces. The first process's word to the second.
    pub(super) namespaces: bool,
    /// What the first process did without.
    pub(super) missing: Vec<String>,
    /// The files there are.
    pub(super) view: View,
    /// The provider.
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
    pub(super) workdir: PathBuf,
}

impl Job {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|_| "not called by the daemon".to_owned())
    }

    /// The job on a command line.
    ///
    /// # Errors
    /// When a path is not text, which JSON cannot say.
    pub(super) fn print(&self) -> Result<String, String> {
        serde_json::to_string(self).map_err(|error| error.to_string())
    }
}

/// The files a confined process sees besides those of the system. All paths are absolute.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct View {
    /// Seen as they are, and not to be changed.
    pub(crate) read: Vec<PathBuf>,
    /// The directory of its sockets, seen at [`SOCKETS`](super::SOCKETS): nothing else can be made in it.
    pub(crate) sockets: Option<PathBuf>,
    /// Directories in which it may make files.
    pub(crate) write: Vec<PathBuf>,
    /// Empty directories of its own.
    pub(crate) private: Vec<PathBuf>,
    /// Not seen, wherever they lie.
    pub(crate) hide: Vec<PathBuf>,
}

/// What the second process says once the provider runs, or will not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Report {
    /// Why nothing was started.
    pub(super) error: Option<String>,
    /// What the provider runs without.
    pub(super) missing: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_read_as_it_is_written() {
        let job = Job {
            inner: true,
            probe: false,
            required: false,
            namespaces: true,
            missing: vec!["x".into()],
            view: View { read: vec!["/a b".into()], ..View::default() },
            program: "/bin/x".into(),
            args: vec!["-\u{fc}".into()],
            workdir: "/".into(),
        };
        let text = job.print().unwrap();
        assert_eq!(format!("{:?}", Job::parse(&text).unwrap()), format!("{job:?}"));
        assert!(Job::parse("{}").is_err());
    }
}
