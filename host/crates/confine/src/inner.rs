//! The second of the two processes: the first of its process namespace, and the program's parent.

use crate::cell::Cell;
use crate::failure::{Failure, Part};
use crate::means::Means;
use crate::message::{self, Collected, Job, Report};
use crate::{calls, handover, limits, mounts, walls};
use nix::sys::prctl::{set_dumpable, set_no_new_privs, set_pdeathsig};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::dup2_stdin;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstat, openat2};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode};

/// The largest file that is handed back. The catalogs of all published SDKs are smaller by far.
pub(crate) const MAX_COLLECTED: u64 = 16 << 20;

/// How much more patient than the daemon's own threads a cell is, where no control group says how much it may run.
const PATIENCE: i32 = 5;

/// Confines this process, runs the program, and ends with it. `outer` is the first process' socket.
pub(crate) fn run(job: &Job, outer: OwnedFd) -> Result<ExitCode, String> {
    let cell = &job.cell;
    let mut outer = UnixStream::from(outer);
    let daemon = handover::receive(&outer).map_err(|error| format!("handover: {error}"))?;
    let mut daemon = UnixStream::from(daemon.ok_or("handover: no socket came")?);
    let started = confine(cell, &job.means).and_then(|()| {
        outer.write_all(&[0]).map_err(|error| Failure::of("first process", error))?;
        if job.dry { Ok(None) } else { start(cell).map(Some) }
    });
    let (failure, pid) = match started {
        Ok(pid) => (None, pid),
        Err(failure) => (Some(failure), None),
    };
    report(&mut daemon, failure)?;
    let Some(pid) = pid else { return Ok(ExitCode::FAILURE) };
    let code = reap(pid);
    if let Some(path) = cell.collect.as_ref().filter(|_| code == 0) {
        hand_back(&mut daemon, path)?;
    }
    Ok(ExitCode::from(code))
}

/// Tells the daemon that the program runs, or why it will not.
pub(crate) fn report(daemon: &mut UnixStream, failure: Option<Failure>) -> Result<(), String> {
    let report = message::encode(&Report { failure })?;
    daemon.write_all(&report).map_err(|error| format!("report: {error}"))
}

/// Everything, in the order in which each step can still be taken. What the machine was found to be able to do is done,
/// or nothing is started.
fn confine(cell: &Cell, means: &Means) -> Result<(), Failure> {
    // What is above dies with the daemon, and this with what is above.
    set_pdeathsig(Signal::SIGKILL).map_err(|error| Failure::of("PR_SET_PDEATHSIG", error))?;
    // For the kernel, should it run out of memory: this before the daemon. It has no file of its own where `/proc` is
    // hidden, which is no reason not to run.
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");
    let own_files = means.has_namespaces();
    if own_files {
        let made = mounts::prepare();
        let made = made.and_then(|()| mounts::enter(&cell.view, &cell.limits, means.processes.is_none()));
        made.map_err(|failure| match failure.part {
            Part::Rest => failure.of_part(Part::Namespaces),
            _ => failure,
        })?;
    }
    if means.groups.is_some() {
        let patience = rustix::process::setpriority_process(None, PATIENCE);
        patience.map_err(|error| Failure::of("priority", error))?;
    }
    limits::set(&cell.limits)?;
    // Nobody in the cell looks into this process, or at the descriptors it holds.
    set_dumpable(false).map_err(|error| Failure::of("PR_SET_DUMPABLE", error))?;
    set_no_new_privs().map_err(|error| Failure::of("PR_SET_NO_NEW_PRIVS", error))?;
    if own_files {
        let dropped = drop_privileges().map_err(|error| Failure::from(format!("privileges: {error}")));
        dropped.map_err(|failure| failure.of_part(Part::Namespaces))?;
    }
    if means.landlock.is_none() {
        walls::put_up(&cell.view, own_files).map_err(|failure| failure.of_part(Part::Landlock))?;
    }
    if means.filter.is_none() {
        let filtered = calls::filter(own_files, means.groups.is_none());
        filtered.map_err(|failure| failure.of_part(Part::Filter))?;
    }
    Ok(())
}

/// For good: out of the bounding set as well, from which a process of root's would have them again once it executes
/// something.
fn drop_privileges() -> Result<(), caps::errors::CapsError> {
    for capability in caps::runtime::thread_all_supported() {
        if caps::has_cap(None, caps::CapSet::Bounding, capability)? {
            caps::drop(None, caps::CapSet::Bounding, capability)?;
        }
    }
    use caps::CapSet::{Ambient, Effective, Inheritable, Permitted};
    for set in [Ambient, Inheritable, Effective, Permitted] {
        caps::clear(None, set)?;
    }
    Ok(())
}

/// Starts the program, with its environment. Its id is the one in this namespace.
fn start(cell: &Cell) -> Result<u32, Failure> {
    let failed = |error: std::io::Error| Failure::of(format_args!("cannot run {}", cell.program.display()), error);
    dup2_stdin(File::open("/dev/null").map_err(failed)?).map_err(|error| failed(error.into()))?;
    SigSet::all().thread_unblock().map_err(|error| failed(error.into()))?;
    let mut command = Command::new(&cell.program);
    command.args(&cell.args).env_clear().envs(&cell.env);
    // A directory that is not there is told apart from a program that is not.
    std::env::set_current_dir(&cell.workdir)
        .map_err(|error| Failure::of(format_args!("cannot run in {}", cell.workdir.display()), error))?;
    command.spawn().map(|child| child.id()).map_err(failed)
}

/// Waits until the program has ended, and takes leave of all others that do.
fn reap(program: u32) -> u8 {
    let is_program = |pid: nix::unistd::Pid| u32::try_from(pid.as_raw()) == Ok(program);
    loop {
        let code = match wait() {
            Ok(WaitStatus::Exited(pid, code)) if is_program(pid) => code,
            Ok(WaitStatus::Signaled(pid, signal, _)) if is_program(pid) => 128 + signal as i32,
            Ok(_) | Err(nix::Error::EINTR) => continue,
            Err(_) => return 1,
        };
        return u8::try_from(code).unwrap_or(u8::MAX);
    }
}

/// Sends the file at `path` to the daemon. Nothing in it is trusted, and neither is the path: others in the cell may
/// still run, and have put a link or a pipe there.
fn hand_back(daemon: &mut UnixStream, path: &Path) -> Result<(), String> {
    let (answer, file) = match open_regular(path) {
        Ok((file, length)) => (Collected::Bytes(length), Some(file)),
        Err(why) => (Collected::Refused(why), None),
    };
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    daemon.write_all(&message::encode(&answer)?).map_err(failed)?;
    if let (Some(file), Collected::Bytes(length)) = (file, answer) {
        // What is written meanwhile is not sent, and what is cut off is missed by the daemon.
        std::io::copy(&mut file.take(length), daemon).map_err(failed)?;
    }
    Ok(())
}

fn open_regular(path: &Path) -> Result<(File, u64), String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let links = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let failed = |error: rustix::io::Errno| match error {
        rustix::io::Errno::NOENT => "it was not written".to_owned(),
        rustix::io::Errno::LOOP => "it is a link, or behind one".to_owned(),
        error => error.to_string(),
    };
    let file = openat2(CWD, path, flags, Mode::empty(), links).map_err(failed)?;
    let stat = fstat(&file).map_err(failed)?;
    let length = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
        rustix::fs::FileType::RegularFile if length <= MAX_COLLECTED => Ok((File::from(file), length)),
        rustix::fs::FileType::RegularFile => Err(format!("it has {length} bytes, and may have {MAX_COLLECTED}")),
        _ => Err("it is not a regular file".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_of_some_size_is_handed_back() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().canonicalize().unwrap().join(name);
        std::fs::write(at("file"), "text").unwrap();
        std::fs::create_dir(at("dir")).unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        std::os::unix::fs::symlink(".", at("around")).unwrap();
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        File::create(at("large")).unwrap().set_len(MAX_COLLECTED + 1).unwrap();
        assert_eq!(open_regular(&at("file")).unwrap().1, 4);
        for (name, why) in [
            ("gone", "it was not written"),
            ("dir", "not a regular file"),
            ("pipe", "not a regular file"),
            ("link", "it is a link"),
            ("around/file", "it is a link"),
            ("large", "and may have"),
        ] {
            let refused = open_regular(&at(name)).unwrap_err();
            assert!(refused.contains(why), "{name}: {refused}");
        }
        assert!(open_regular(&at("socket")).is_err());
        drop(socket);
    }
}
