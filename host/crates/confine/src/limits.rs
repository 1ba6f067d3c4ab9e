//! What a cell may use up.
//!
//! Memory, processes and processor time are bounded for all of the cell together by a control group where the daemon has
//! one to give ([`groups`](crate::groups)). Elsewhere they are bounded by other means: the number of processes by their
//! namespace, memory by whoever stands at the gate and adds up (`watch`), processor time by priority. Whatever can only be
//! bounded for one process at a time is bounded so in either case.

use serde::{Deserialize, Serialize};
use std::time::Duration;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Bounds of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of memory of all processes together, shared memory included.
    pub memory: u64,
    /// Processes and threads of all of the cell. Against fork bombs.
    pub processes: u64,
    /// Bytes of memory that one process can write. Not its address space, of which Go, Node and Java reserve many times
    /// what they use.
    pub process_memory: u64,
    /// Descriptors of one process. Against using up the machine's.
    pub descriptors: u64,
    /// Bytes of one file. Against filling the disk behind a directory of the machine's.
    pub file: u64,
    /// Bytes in each of the two places of its own, `/tmp` and `$HOME`, which are memory.
    pub scratch: u64,
    /// Files in each of them.
    pub scratch_files: u64,
}

impl Limits {
    /// A provider, which serves calls for as long as the daemon runs.
    pub const fn provider() -> Self {
        Self {
            memory: 4 * GIB,
            processes: 1024,
            process_memory: 4 * GIB,
            descriptors: 1024,
            file: 64 * MIB,
            scratch: 64 * MIB,
            scratch_files: 64 << 10,
        }
    }

    /// A command of a build. Compilers and linkers need more of everything, and end.
    pub const fn build() -> Self {
        Self {
            memory: 8 * GIB,
            processes: 2048,
            process_memory: 8 * GIB,
            descriptors: 4096,
            file: 4 * GIB,
            scratch: GIB,
            scratch_files: 256 << 10,
        }
    }
}

/// A worker: this binary itself, with everything taken from it that its work does not need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkLimits {
    /// Bytes of address space.
    pub memory: u64,
    /// Processor time of all its threads together.
    pub processor: Duration,
}

pub(crate) use set::{set, set_for_work};

mod set {
    use super::{Limits, WorkLimits};
    use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

    /// Sets what can be set for one process, for this one and all it starts.
    pub(crate) fn set(limits: &Limits) -> Result<(), String> {
        lower(&[
            (Resource::RLIMIT_NOFILE, limits.descriptors),
            (Resource::RLIMIT_NPROC, limits.processes),
            (Resource::RLIMIT_DATA, limits.process_memory),
            (Resource::RLIMIT_FSIZE, limits.file),
            (Resource::RLIMIT_CORE, 0),
            (Resource::RLIMIT_MSGQUEUE, 0),
            // Of memory that cannot be given back, what io buffers of ordinary runtimes take.
            (Resource::RLIMIT_MEMLOCK, 8 << 20),
            (Resource::RLIMIT_SIGPENDING, 4096),
            // No way back up from the priority it was given.
            (Resource::RLIMIT_NICE, 0),
            (Resource::RLIMIT_RTPRIO, 0),
        ])
    }

    /// The same for a worker, which opens nothing: it has its three streams.
    pub(crate) fn set_for_work(limits: &WorkLimits) -> Result<(), String> {
        lower(&[
            (Resource::RLIMIT_AS, limits.memory),
            (Resource::RLIMIT_CPU, limits.processor.as_secs().max(1)),
            (Resource::RLIMIT_CORE, 0),
            (Resource::RLIMIT_FSIZE, 0),
            (Resource::RLIMIT_NOFILE, 3),
        ])
    }

    fn lower(bounds: &[(Resource, rlim_t)]) -> Result<(), String> {
        for &(resource, most) in bounds {
            let failed = |error| format!("{resource:?}: {error}");
            let (_, hard) = getrlimit(resource).map_err(failed)?;
            let most = most.min(hard);
            setrlimit(resource, most, most).map_err(failed)?;
        }
        Ok(())
    }
}
