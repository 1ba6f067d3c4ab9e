//! What the compile worker gives up before it reads a byte of a component.
//!
//! A compiler needs memory, threads and its standard streams. All else is taken from it: by the kernel's resource limits,
//! by a network namespace without interfaces where the system lets an ordinary user make one, and by a filter of system
//! calls, which is not optional.

use crate::worker::Job;
use nix::sys::resource::{Resource, rlim_t, setrlimit};

/// Files it may have open: the three it was started with.
const FILES: rlim_t = 3;

/// Descriptors that are closed where the system does not list those that are open.
const UNLISTED: i32 = 1024;

/// Closes every descriptor but the standard streams. The daemon opens none that a program it starts would inherit, but it
/// may itself have been handed some, and a limit on their number closes none that is open.
pub(crate) fn close_the_rest() {
    // The listing's own is among them, and closed by then.
    let listed: Option<Vec<i32>> = std::fs::read_dir("/dev/fd")
        .ok()
        .map(|open| open.flatten().filter_map(|fd| fd.file_name().to_str()?.parse().ok()).collect());
    for fd in listed.unwrap_or_else(|| (0..UNLISTED).collect()) {
        if fd > 2 {
            let _ = nix::unistd::close(fd);
        }
    }
}

/// Confines this process, for good. To be called while it has one thread.
///
/// # Errors
/// When a limit or the filter cannot be set: then the worker must not go on.
pub(crate) fn confine(job: &Job) -> Result<(), String> {
    die_with(job.parent)?;
    for (resource, most) in [
        (Resource::RLIMIT_AS, job.memory.0),
        (Resource::RLIMIT_CPU, job.cpu_seconds),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_NOFILE, FILES),
    ] {
        setrlimit(resource, most, most).map_err(|e| format!("{resource:?}: {e}"))?;
    }
    #[cfg(target_os = "linux")]
    linux::leave_the_network();
    #[cfg(target_os = "linux")]
    linux::filter_system_calls()?;
    Ok(())
}

#[cfg(target_os = "linux")]
fn die_with(parent: u32) -> Result<(), String> {
    use nix::sys::{prctl::set_pdeathsig, signal::Signal};
    set_pdeathsig(Signal::SIGKILL).map_err(|e| format!("PR_SET_PDEATHSIG: {e}"))?;
    // It may have died before that was said.
    if nix::unistd::getppid().as_raw().cast_unsigned() == parent { Ok(()) } else { Err("the daemon is gone".into()) }
}

#[cfg(not(target_os = "linux"))]
fn die_with(_parent: u32) -> Result<(), String> {
    Ok(())
}

#[cfg(target_os = "linux")]
mod linux {
    use nix::sched::{CloneFlags, unshare};
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
        apply_filter,
    };

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

    /// Goes where there is no network, if the system lets it. Not everywhere may an ordinary user make a namespace; the
    /// filter holds everywhere.
    pub(super) fn leave_the_network() {
        let _ = unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC);
    }

    /// Lets this thread, and those it starts, do what [`ALLOWED`] lists, and nothing else.
    pub(super) fn filter_system_calls() -> Result<(), String> {
        let filters = filters().map_err(|e| format!("system call filter: {e}"))?;
        filters.iter().try_for_each(|filter| apply_filter(filter)).map_err(|e| format!("system call filter: {e}"))
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
                filter_system_calls().unwrap();
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
}
