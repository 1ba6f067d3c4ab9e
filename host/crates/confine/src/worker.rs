//! Work of this binary's own on what somebody else wrote, such as compiling a component: a process that has given up
//! everything but memory, threads and its standard streams before it reads a byte.

use crate::limits::{self, WorkLimits};
use nix::sched::{CloneFlags, unshare};
use nix::sys::{prctl::set_pdeathsig, signal::Signal};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

/// A kind of work that this binary does confined.
#[derive(Clone, Copy)]
pub struct Work {
    /// What the daemon calls it.
    pub name: &'static str,
    /// Does it: reads standard input, where the order has been taken off, and writes to standard output. What it needs of
    /// the machine it gets before it closes the doors, and what others wrote it reads after.
    pub run: fn(Doors) -> Result<(), String>,
}

/// The doors of a worker, still open.
pub struct Doors {
    limits: WorkLimits,
    parent: u32,
}

impl Doors {
    pub(crate) fn new(limits: WorkLimits, parent: u32) -> Self {
        Self { limits, parent }
    }

    /// Closes them, for good. To be called while the process has one thread.
    ///
    /// # Errors
    /// When a limit or the filter cannot be set: then the work must not go on.
    pub fn close(self) -> Result<(), String> {
        die_with(self.parent)?;
        limits::set_for_work(&self.limits)?;
        // Not everywhere may an ordinary user make a namespace. The filter, which refuses sockets, holds everywhere.
        let _ = unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC);
        filter()
    }
}

fn die_with(parent: u32) -> Result<(), String> {
    set_pdeathsig(Signal::SIGKILL).map_err(|error| format!("PR_SET_PDEATHSIG: {error}"))?;
    // It may have died before that was said.
    if nix::unistd::getppid().as_raw().cast_unsigned() == parent { Ok(()) } else { Err("the daemon is gone".into()) }
}

/// What memory, threads, locks and the standard streams come down to. Everything else answers EPERM, which the C
/// library and Rust's take as they take a machine that lacks the feature.
const ALLOWED: &[i64] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_membarrier,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    // How a process ends itself: by abort, which is a signal to its own thread, or in good order.
    libc::SYS_tgkill,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Refused by the other filter, with the error that makes the C library use the older call.
    libc::SYS_clone3,
];

/// Lets this thread, and those it starts, do what [`ALLOWED`] lists, and nothing else.
fn filter() -> Result<(), String> {
    let filters = filters().map_err(|error| format!("system call filter: {error}"))?;
    filters.iter().try_for_each(|filter| apply_filter(filter)).map_err(|error| format!("system call filter: {error}"))
}

fn filters() -> Result<[BpfProgram; 2], seccompiler::BackendError> {
    let arch = std::env::consts::ARCH.try_into()?;
    let filter = |rules, otherwise, then| SeccompFilter::new(rules, otherwise, then, arch)?.try_into();
    // The flags of clone3 are in memory, where no filter can look at them.
    let absent = [(libc::SYS_clone3, Vec::new())].into();
    let absent = filter(absent, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS.cast_unsigned()))?;
    let thread = libc::CLONE_THREAD.cast_unsigned().into();
    let a_thread = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(thread), thread)?;
    let mut rules: std::collections::BTreeMap<_, _> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![a_thread])?]);
    let allowed = filter(rules, SeccompAction::Errno(libc::EPERM.cast_unsigned()), SeccompAction::Allow)?;
    Ok([absent, allowed])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::process::Command;

    /// A filter belongs to a thread: one of the tests' own can be confined without the others.
    fn confined<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let confined = move || {
            filter().unwrap();
            work()
        };
        std::thread::spawn(confined).join().unwrap()
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "to see that they fail")]
    fn a_worker_reaches_no_network_no_file_and_no_program() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::net::TcpStream::connect(address).unwrap();
        let kinds = confined(move || {
            [
                std::net::TcpStream::connect(address).err(),
                std::net::TcpListener::bind("127.0.0.1:0").err(),
                std::net::UdpSocket::bind("127.0.0.1:0").err(),
                std::os::unix::net::UnixDatagram::unbound().err(),
                std::os::unix::net::UnixStream::pair().err(),
                std::fs::read("/proc/self/status").err(),
                std::fs::write("/tmp/never", "x").err(),
                Command::new("/bin/true").spawn().err(),
                unshare(CloneFlags::CLONE_NEWNS).err().map(Into::into),
                nix::sys::signal::kill(nix::unistd::Pid::parent(), None).err().map(Into::into),
            ]
            .map(|error: Option<std::io::Error>| error.map(|e| e.kind()))
        });
        assert_eq!(kinds, [Some(ErrorKind::PermissionDenied); 10]);
    }

    #[test]
    fn a_worker_has_memory_and_threads() {
        let sum = confined(|| {
            let parts = (0..4_u64).map(|n| std::thread::spawn(move || vec![n; 1 << 20].iter().sum::<u64>()));
            parts.collect::<Vec<_>>().into_iter().map(|t| t.join().unwrap()).sum::<u64>()
        });
        assert_eq!(sum, 6 << 20);
    }
}
