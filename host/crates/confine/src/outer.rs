//! The first of the two processes: new namespaces, and what has to be done from their edge.

use crate::failure::{Failure, Part};
use crate::means::Means;
use crate::message::{self, Job, Order};
use crate::watch::Memory;
use crate::{COMMAND, handover, inner, loopback};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{getgid, getuid};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

/// After the daemon is gone without having ended its apps: how long their processes have to end by themselves.
const GRACE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// How often the memory of a cell is added up, where no control group bounds it. In this time two processors fill a few
/// hundred megabytes; reading a few small files as often costs next to nothing.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Runs the cell in namespaces of its own. `daemon` is the daemon's socket.
pub(crate) fn run(job: Box<Job>, daemon: OwnedFd) -> Result<ExitCode, String> {
    let (means, most) = (job.means.clone(), job.cell.limits.memory);
    let edge = edge(&means).map_err(|failure| failure.of_part(Part::Namespaces));
    let listener = edge.as_ref().ok().and_then(|listener| listener.as_ref().map(AsFd::as_fd));
    handover::send(daemon.as_fd(), listener).map_err(|error| format!("handover: {error}"))?;
    let second = edge.and_then(|_| launch(job, daemon.as_fd()));
    let (mut child, mut inside) = match second {
        Ok(second) => second,
        Err(failure) => return inner::report(&mut UnixStream::from(daemon), Some(failure)).map(|()| ExitCode::FAILURE),
    };
    // A byte says that the second process is in its own files, and this one with it. Before that, `/proc` may still be
    // the machine's.
    let is_inside = inside.read_exact(&mut [0]).is_ok();
    let counts = is_inside && means.has_namespaces() && means.processes.is_none() && means.groups.is_some();
    let memory = counts.then(|| Memory::new(most));
    let status = wait(&mut child, daemon.as_fd(), memory).map_err(|error| format!("second process: {error}"))?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}

/// Goes into new namespaces where the machine has them, and makes the one listener there is.
fn edge(means: &Means) -> Result<Option<TcpListener>, Failure> {
    // For the program, which gets them as part of the same process group. This process ends when that has.
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    signals.thread_block().map_err(|error| Failure::of("signal mask", error))?;
    if !means.has_namespaces() {
        return Ok(None);
    }
    enter()?;
    loopback::set_up().map_err(|error| Failure::of("loopback interface", error))?;
    loopback::listen().map(Some).map_err(|error| Failure::of("listener", error))
}

/// New namespaces of every kind, with the same user in them as outside.
fn enter() -> Result<(), Failure> {
    let spaces = CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWPID;
    let (uid, gid) = (getuid(), getgid());
    match unshare(CloneFlags::CLONE_NEWUSER | spaces) {
        Ok(()) => {
            let map = [
                ("setgroups", "deny".to_owned()),
                ("uid_map", format!("{uid} {uid} 1")),
                ("gid_map", format!("{gid} {gid} 1")),
            ];
            for (file, text) in map {
                fs::write(format!("/proc/self/{file}"), text)
                    .map_err(|error| Failure::of(format_args!("/proc/self/{file}"), error))?;
            }
            Ok(())
        }
        // A container may forbid new users and still let its root have the rest.
        Err(_) if uid.is_root() && unshare(spaces).is_ok() => Ok(()),
        Err(error) => {
            let mut failure = Failure::of("new namespaces", error);
            failure.what.push_str(
                "; see /proc/sys/user/max_*_namespaces, kernel.unprivileged_userns_clone and \
                 kernel.apparmor_restrict_unprivileged_userns, or the container's seccomp profile",
            );
            Err(failure)
        }
    }
}

/// Starts the second process, and gives it its order and the daemon's socket.
fn launch(job: Box<Job>, daemon: BorrowedFd<'_>) -> Result<(Child, UnixStream), Failure> {
    if job.means.has_namespaces() {
        let kept = keep_privileges().map_err(|error| Failure::from(format!("privileges: {error}")));
        kept.map_err(|failure| failure.of_part(Part::Namespaces))?;
    }
    let failed = |error: std::io::Error| Failure::of("second process", error);
    let (mut near, far) = UnixStream::pair().map_err(failed)?;
    let mut child = Command::new("/proc/self/exe")
        .arg0("gestaltd")
        .arg(COMMAND)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(far)))
        .spawn()
        .map_err(failed)?;
    let order = message::encode(&Order::Inside(job))?;
    let told = near.write_all(&order).and_then(|()| handover::send(near.as_fd(), Some(daemon)));
    if let Err(error) = told {
        let _ = child.kill();
        return Err(failed(error));
    }
    Ok((child, near))
}

/// Sees to it that the second process has the privileges that this one has in its new namespaces: executing something
/// takes them from everybody but root. It gives them up by itself, once it has done what takes them.
fn keep_privileges() -> Result<(), caps::errors::CapsError> {
    for capability in caps::read(None, caps::CapSet::Permitted)? {
        caps::raise(None, caps::CapSet::Inheritable, capability)?;
        caps::raise(None, caps::CapSet::Ambient, capability)?;
    }
    Ok(())
}

/// Waits for the end of the second process. Ends it when the cell holds more memory than it may, and some time after the
/// daemon has gone.
fn wait(child: &mut Child, daemon: BorrowedFd<'_>, mut memory: Option<Memory>) -> std::io::Result<ExitStatus> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let Some(handle) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else { return child.wait() };
    loop {
        let mut both = [PollFd::new(&handle, PollFlags::IN), PollFd::from_borrowed_fd(daemon, PollFlags::RDHUP)];
        let woken = match poll(&mut both, memory.as_ref().map(|_| &LOOK)) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        if woken == 0 {
            if let Some(excess) = memory.as_mut().and_then(Memory::excess) {
                let _ = writeln!(std::io::stderr(), "sandbox: ended: {excess}");
                child.kill()?;
                return child.wait();
            }
            continue;
        }
        if both[0].revents().is_empty() {
            let _ = poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&GRACE));
            child.kill()?;
        }
        return child.wait();
    }
}
