//! What a confined process may use up.
//!
//! Bounds are per process, but for the number of processes; where the machine delegates a control group to the daemon,
//! bounds on all of an app together are the operator's to set there.

use nix::sys::resource::{Resource, rlim_t, setrlimit};

/// Descriptors. Against using up the machine's.
const FILES: rlim_t = 1024;

/// Processes and threads. Against fork bombs. Where the processes are those of the machine's root the kernel does not
/// count them; there [`mounts`](super::mounts) bounds the ids of the process namespace to the same number.
pub(super) const PROCESSES: rlim_t = 1024;

/// Memory that a process can write. Not its address space, of which Go, Node and Java reserve many times what they use.
const DATA: rlim_t = 4 << 30;

/// The longest file. Against filling the disk behind a directory it may write to.
const FILE: rlim_t = 64 << 20;

/// Sets them, for this process and all it starts.
pub(super) fn set() -> Result<(), String> {
    for (resource, most) in [
        (Resource::RLIMIT_NOFILE, FILES),
        (Resource::RLIMIT_NPROC, PROCESSES),
        (Resource::RLIMIT_DATA, DATA),
        (Resource::RLIMIT_FSIZE, FILE),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_MSGQUEUE, 0),
    ] {
        let (_, hard) = nix::sys::resource::getrlimit(resource).map_err(|error| format!("{resource:?}: {error}"))?;
        let most = most.min(hard);
        setrlimit(resource, most, most).map_err(|error| format!("{resource:?}: {error}"))?;
    }
    Ok(())
}
