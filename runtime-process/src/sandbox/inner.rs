//! The second of the two processes: the first of its process namespace, and the provider's parent.

use super::job::{Job, Report};
use super::{PROXY_PORT, SOCKETS, calls, limits, mounts, walls};
use nix::sys::prctl::{set_no_new_privs, set_pdeathsig};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::dup2_stdin;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Confines this process, starts the provider, and ends with it. Standard input is the daemon's socket.
pub(super) fn run(job: &Job) -> Result<ExitCode, String> {
    let daemon = std::io::stdin().as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
    let mut daemon = UnixStream::from(daemon);
    let mut missing = job.missing.clone();
    let started = confine(job, &mut missing).and_then(|own_files| start(job, own_files));
    let (error, pid) = match started {
        Ok(pid) => (None, Some(pid)),
        Err(error) => (Some(error), None),
    };
    let report = Report { error, missing };
    let mut line = serde_json::to_vec(&report).map_err(|error| error.to_string())?;
    line.push(b'\n');
    daemon.write_all(&line).map_err(|error| error.to_string())?;
    drop(daemon);
    Ok(pid.map_or(ExitCode::FAILURE, reap))
}

/// Everything, in the order in which each step can still be taken. What is missing is noted, unless nothing may be. Says
/// whether there are files of its own.
fn confine(job: &Job, missing: &mut Vec<String>) -> Result<bool, String> {
    // What is above dies with the daemon, and this with what is above.
    set_pdeathsig(Signal::SIGKILL).map_err(|error| format!("PR_SET_PDEATHSIG: {error}"))?;
    let mut own_files = false;
    if job.namespaces {
        match mounts::prepare(&job.view) {
            Ok(places) => {
                missing.extend(mounts::enter(&places).map_err(|error| format!("files: {error}"))?);
                own_files = true;
            }
            Err(error) => missing.push(format!("files: {error}")),
        }
    }
    limits::set().unwrap_or_else(|error| missing.push(format!("limits: {error}")));
    set_no_new_privs().map_err(|error| format!("PR_SET_NO_NEW_PRIVS: {error}"))?;
    if job.namespaces {
        drop_privileges().unwrap_or_else(|error| missing.push(format!("privileges: {error}")));
    }
    if job.required && !missing.is_empty() {
        return Err(missing.join("; "));
    }
    // A second wall behind the first ones: where the kernel has none, those stand all the same.
    let _ = walls::put_up(&job.view, own_files);
    calls::filter(job.namespaces).map(|()| own_files)
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

/// Starts the provider. Its id is the one in this namespace.
fn start(job: &Job, own_files: bool) -> Result<u32, String> {
    let failed = |error: std::io::Error| format!("cannot run {}: {error}", job.program.display());
    dup2_stdin(File::open("/dev/null").map_err(failed)?).map_err(|error| failed(error.into()))?;
    SigSet::all().thread_unblock().map_err(|error| failed(error.into()))?;
    let mut command = Command::new(&job.program);
    command.args(&job.args).current_dir(&job.workdir);
    if job.namespaces {
        let proxy = format!("http://127.0.0.1:{PROXY_PORT}");
        // In both spellings, for there is no agreed one; and for all hosts, for none can be reached in another way.
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
            command.env(name, &proxy);
        }
        command.env("NO_PROXY", "").env("no_proxy", "");
        // Node reads the others only if it is told to.
        command.env("NODE_USE_ENV_PROXY", "1");
    }
    if own_files {
        command.env("TMPDIR", "/tmp").envs(job.view.sockets.iter().flat_map(|dir| moved(dir)));
    }
    command.spawn().map(|child| child.id()).map_err(failed)
}

/// The variables that name something in the directory of sockets, with its place in here.
fn moved(dir: &Path) -> Vec<(OsString, PathBuf)> {
    let inside = |value: OsString| Some(Path::new(SOCKETS).join(Path::new(&value).strip_prefix(dir).ok()?));
    std::env::vars_os().filter_map(|(name, value)| Some((name, inside(value)?))).collect()
}

/// Waits until the provider has ended, and takes leave of all others that do.
fn reap(provider: u32) -> ExitCode {
    let is_provider = |pid: nix::unistd::Pid| u32::try_from(pid.as_raw()) == Ok(provider);
    loop {
        let code = match wait() {
            Ok(WaitStatus::Exited(pid, code)) if is_provider(pid) => code,
            Ok(WaitStatus::Signaled(pid, signal, _)) if is_provider(pid) => 128 + signal as i32,
            Ok(_) | Err(nix::Error::EINTR) => continue,
            Err(_) => return ExitCode::FAILURE,
        };
        return ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX));
    }
}
