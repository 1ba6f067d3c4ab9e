//! Cells: what confines a process that runs somebody else's code. Linux, and no privilege needed.
//!
//! A [`Cell`] says everything there is about such a process: its files ([`View`]), its network, which has nothing in it but
//! a proxy, its [`Limits`], its environment and its command. The daemon decides all of it, before anything of a package is
//! read, and hands it over as one message on an inherited descriptor: to its own binary, started as `gestaltd __confine`
//! with an empty environment. Two small processes of it stay above the program for as long as that runs:
//!
//! 1. `outer` goes into new namespaces, makes the one listener there is in them, and hands its descriptor to the daemon
//!    (`SCM_RIGHTS`). From then on whoever is accepted there is the program: there is nobody else who could connect, so
//!    there is no token that could be stolen.
//! 2. `inner` is the first process of the new process namespace. It makes the file system (`mounts`), sets limits, gives
//!    up its privileges, puts up a second wall (`walls`: Landlock) and the filter (`calls`), and only then starts the
//!    program, with the environment that is the program's. With it ends everything that was started inside.
//!
//! * [`Confiner`] is the daemon's side: it finds out once what the machine can do ([`Means`]), and opens gates.
//! * [`interpreters`] knows which installations of the operator's are shown to every cell; [`lookup`] finds a program, and
//!   says what of it a cell would not show.
//! * [`run`] is the subcommand. It also does the daemon's own confined work ([`Work`]): compiling components.
//!
//! **Invariant:** nothing that a package or a confined process chooses reaches the code that builds the walls, or adds a
//! place to what is shown or writable.
//! **Invariant:** whatever is confined here has been confined before a byte of its code runs.
//! **Invariant:** a step that the machine was found to be able to do is done, or nothing is started.
//! **Invariant:** no file a confined process can write is followed, waited on without a bound, or trusted.

#[cfg(not(target_os = "linux"))]
compile_error!("gestaltd confines what it runs by means of the Linux kernel, and is built for Linux only");

mod calls;
mod cell;
mod failure;
mod gate;
pub mod groups;
mod handover;
mod inner;
pub mod interpreters;
mod limits;
pub mod lookup;
mod loopback;
mod means;
mod message;
mod mounts;
mod outer;
mod proc;
mod seal;
mod tree;
mod view;
mod walls;
mod watch;
mod worker;

pub use cell::Cell;
pub use gate::{ConfineError, Confiner, Gate, Passage, work};
pub use limits::{Limits, WorkLimits};
pub use means::{Means, is_passing};
pub use view::{HOME, Place, SOCKETS, View, is_system, may_be_shown};
pub use worker::{Doors, Work};

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;

/// The argument that makes a binary confine what the order on its standard input says.
pub const COMMAND: &str = "__confine";

/// The proxy's port in a network where every port is free.
pub const PROXY_PORT: u16 = 3128;

/// The variables of every program that has a network and files of its own, whatever a package or an entry says of them.
pub fn fixed_environment() -> BTreeMap<OsString, OsString> {
    let proxy = format!("http://127.0.0.1:{PROXY_PORT}");
    // In both spellings, for there is no agreed one; and for all hosts, for none can be reached in another way.
    let proxies = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"].map(|name| (name, proxy.as_str()));
    let none = [("NO_PROXY", ""), ("no_proxy", "")];
    // Node reads the others only if it is told to.
    let rest = [("NODE_USE_ENV_PROXY", "1"), ("HOME", HOME), ("TMPDIR", "/tmp")];
    proxies.into_iter().chain(none).chain(rest).map(|(name, value)| (name.into(), value.into())).collect()
}

/// Does what the order on standard input says, in the process it is called in, which must have one thread, and ends it.
pub fn run(works: &[Work]) -> ExitCode {
    inside::run(works).unwrap_or_else(|error| {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "sandbox: {error}");
        ExitCode::FAILURE
    })
}

mod inside {
    use super::message::{self, Order};
    use super::worker::{Doors, Work};
    use super::{inner, outer};
    use nix::sys::stat::{Mode, umask};
    use std::fs::{self, File};
    use std::os::fd::{AsFd, OwnedFd};
    use std::process::ExitCode;

    pub(super) fn run(works: &[Work]) -> Result<ExitCode, String> {
        close_others();
        // What a daemon happens to be started with must not decide who may read what is made here.
        umask(Mode::S_IWGRP | Mode::S_IWOTH);
        std::env::set_current_dir("/").map_err(|error| format!("/: {error}"))?;
        // Read byte by byte from the descriptor: what comes behind the order is not this function's.
        let stdin = std::io::stdin().as_fd().try_clone_to_owned().map_err(|error| format!("stdin: {error}"))?;
        let mut stdin = File::from(stdin);
        let order: Order = message::receive(&mut stdin)?;
        let socket = OwnedFd::from(stdin);
        match order {
            Order::Enter(job) => job.cell.check().and_then(|()| outer::run(job, socket)),
            Order::Inside(job) => job.cell.check().and_then(|()| inner::run(&job, socket)),
            Order::Work { name, limits, parent } => {
                drop(socket);
                let work = works.iter().find(|work| work.name == name);
                let work = work.ok_or_else(|| format!("this binary does no work called {name:?}"))?;
                (work.run)(Doors::new(limits, parent)).map(|()| ExitCode::SUCCESS)
            }
        }
    }

    /// Closes all descriptors but the standard streams: whoever started the daemon may have left it some, and an open
    /// file is not subject to what can be seen. To be called while this process has opened none itself.
    fn close_others() {
        let listed = fs::read_dir("/proc/self/fd").map(|listed| {
            let numbers = listed.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
            numbers.collect::<Vec<_>>()
        });
        for descriptor in listed.unwrap_or_else(|_| (0..65536).collect()).into_iter().filter(|number| *number > 2) {
            // EBADF: that of the listing itself.
            let _ = nix::unistd::close(descriptor);
        }
    }
}
