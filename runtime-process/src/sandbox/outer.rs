//! The first of the two processes: new namespaces, and what has to be done from their edge.

use super::job::Job;
use super::{COMMAND, handover, loopback, mounts};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{getgid, getuid};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

/// After the daemon is gone without having ended its apps: what its guards get to end them in good order.
const GRACE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// Runs the job in namespaces of its own. Standard input is the daemon's socket.
pub(super) fn run(mut job: Job) -> Result<ExitCode, String> {
    close_others();
    // For the provider, which gets them as part of the same process group. This process ends when that has.
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    signals.thread_block().map_err(|error| format!("signal mask: {error}"))?;
    let stdin = std::io::stdin();
    let daemon = stdin.as_fd();
    // There is no way back out of a namespace. Where less will do, somebody else tries first.
    let usable = if job.required { Ok(()) } else { try_out(&job) };
    let listener = match usable.and_then(|()| enter()) {
        Ok(()) => {
            job.namespaces = true;
            loopback::set_up().map_err(|error| format!("loopback interface: {error}"))?;
            Some(loopback::listen().map_err(|error| format!("listener: {error}"))?)
        }
        Err(error) => {
            job.missing.push(format!("namespaces: {error}"));
            None
        }
    };
    handover::send(daemon, listener.as_ref().map(AsFd::as_fd)).map_err(|error| format!("handover: {error}"))?;
    drop(listener);
    job.inner = true;
    let own = daemon.try_clone_to_owned().map_err(|error| format!("handover: {error}"))?;
    if job.namespaces {
        keep_privileges().map_err(|error| format!("privileges: {error}"))?;
    }
    let mut child = Command::new("/proc/self/exe")
        .args([COMMAND, &job.print()?])
        .stdin(Stdio::from(own))
        .spawn()
        .map_err(|error| format!("second process: {error}"))?;
    let status = wait(&mut child, daemon).map_err(|error| format!("second process: {error}"))?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}

/// Finds out in a process apart whether namespaces can be had, and used once one is there: some systems let everybody
/// make them, and take every right in them away.
fn try_out(job: &Job) -> Result<(), String> {
    let job = Job { probe: true, ..job.clone() };
    let mut command = Command::new("/proc/self/exe");
    let tried = command.args([COMMAND, &job.print()?]).stdin(Stdio::null()).stderr(Stdio::piped()).output();
    let tried = tried.map_err(|error| format!("not tried: {error}"))?;
    if tried.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&tried.stderr).trim().to_owned()) }
}

/// What [`try_out`] starts: goes into namespaces, and does there what is done first.
pub(super) fn probe(job: &Job) -> Result<ExitCode, String> {
    enter()?;
    loopback::set_up().map_err(|error| format!("loopback interface: {error}"))?;
    mounts::prepare(&job.view).map(|_| ExitCode::SUCCESS)
}

/// Closes all descriptors but the standard streams: whoever started the daemon may have left it some, and an open file is
/// not subject to what can be seen. To be called while this process has opened none itself.
fn close_others() {
    let listed = fs::read_dir("/proc/self/fd").map(|listed| {
        let numbers = listed.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        numbers.collect::<Vec<_>>()
    });
    for descriptor in listed.unwrap_or_else(|_| (0..1024).collect()).into_iter().filter(|number| *number > 2) {
        // EBADF: that of the listing itself.
        let _ = nix::unistd::close(descriptor);
    }
}

/// New namespaces of every kind, with the same user in them as outside.
fn enter() -> Result<(), String> {
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
                fs::write(format!("/proc/self/{file}"), text).map_err(|error| format!("/proc/self/{file}: {error}"))?;
            }
            Ok(())
        }
        // A container may forbid new users and still let its root have the rest.
        Err(_) if uid.is_root() && unshare(spaces).is_ok() => Ok(()),
        Err(error) => Err(format!(
            "{error}; see /proc/sys/user/max_*_namespaces, kernel.unprivileged_userns_clone and \
             kernel.apparmor_restrict_unprivileged_userns, or the container's seccomp profile"
        )),
    }
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

/// Waits for the end of the second process, and ends this one, and it with it, some time after the daemon has gone.
fn wait(child: &mut Child, daemon: BorrowedFd<'_>) -> std::io::Result<ExitStatus> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let Some(handle) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else { return child.wait() };
    loop {
        let mut both = [PollFd::new(&handle, PollFlags::IN), PollFd::from_borrowed_fd(daemon, PollFlags::RDHUP)];
        match poll(&mut both, None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        if both[0].revents().is_empty() {
            let _ = poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&GRACE));
            child.kill()?;
        }
        return child.wait();
    }
}
