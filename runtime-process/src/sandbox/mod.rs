//! What an app's process is confined by: a network in which there is nothing but a proxy, files it needs and no others,
//! no sight of other processes, and a filter of system calls. Linux, and no privilege needed.
//!
//! The daemon does not start the provider. It starts itself, as `gestaltd __confine <job>`, and two small processes of it
//! stay above the provider for as long as it lives:
//!
//! 1. `outer` goes into new namespaces, makes the one listener there is in them, and hands its descriptor to the daemon
//!    (`SCM_RIGHTS`). From then on whoever is accepted there is the app: there is nobody else who could connect, so there
//!    is no token that could be stolen.
//! 2. `inner` is the first process of the new process namespace. It makes the file system (`mounts`), sets limits,
//!    gives up its privileges, puts up a second wall (`walls`: Landlock) and the filter (`calls`), starts the provider and
//!    reaps. With it ends everything that was started inside.
//!
//! What could not be done is reported. Under `required` it is an error, and nothing was started; otherwise the provider
//! runs with what there is, and the daemon's log says what is missing.
//!
//! **Invariant:** whatever is confined here has been confined before a byte of the provider's code runs.
//! **Invariant:** in a network of its own, the provider has no way out but the proxy.

#[cfg(target_os = "linux")]
mod calls;
mod gate;
#[cfg(target_os = "linux")]
mod handover;
#[cfg(target_os = "linux")]
mod inner;
mod job;
#[cfg(target_os = "linux")]
mod limits;
#[cfg(target_os = "linux")]
mod loopback;
#[cfg(target_os = "linux")]
mod mounts;
#[cfg(target_os = "linux")]
mod outer;
mod sight;
#[cfg(target_os = "linux")]
mod walls;

pub(crate) use gate::{Gate, Passage};
pub(crate) use job::View;

use gestalt_core::egress::Forward;
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// The argument that makes a binary confine what the one after it says.
pub const COMMAND: &str = "__confine";

/// The proxy's port in a network where every port is free.
const PROXY_PORT: u16 = 3128;

/// Where a process with files of its own finds the directory of its sockets. Away from those it may write to: what holds
/// for a directory holds for all below it.
pub(crate) const SOCKETS: &str = "/run/gestalt";

/// How an app's process is confined.
#[derive(Clone)]
pub struct Confine {
    /// Whether the app is not to be started with less than all of it.
    pub required: bool,
    /// The `gestaltd` that confines.
    pub worker: PathBuf,
    /// The app's way out.
    pub forward: Arc<dyn Forward>,
    /// Directories and files the app may read besides its command: its package.
    pub read: Vec<PathBuf>,
    /// What it must not see although it may lie there: the daemon's configuration, and its artifacts.
    pub hide: Vec<PathBuf>,
}

impl fmt::Debug for Confine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confine").field("required", &self.required).field("read", &self.read).finish_non_exhaustive()
    }
}

/// Does the work of the process it is called in, which must have one thread, and ends it with the provider.
#[cfg(target_os = "linux")]
pub fn run(job: &str) -> ExitCode {
    let ended = match job::Job::parse(job) {
        Ok(job) if job.probe => outer::probe(&job),
        Ok(job) if job.inner => inner::run(&job),
        Ok(job) => outer::run(job),
        Err(error) => Err(error),
    };
    ended.unwrap_or_else(|error| {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "{error}");
        ExitCode::FAILURE
    })
}

/// There is no sandbox on this system, and nobody asks for one.
#[cfg(not(target_os = "linux"))]
pub fn run(_job: &str) -> ExitCode {
    ExitCode::FAILURE
}
