//! The daemon's side: what it starts in a program's place, and what it hears of it.

use crate::cell::Cell;
use crate::failure::{Failure, Part};
use crate::groups::{Group, Groups};
use crate::limits::{Limits, WorkLimits};
use crate::means::Means;
use crate::message::{self, Collected, HEAD, Job, Order, Report};
use crate::view::View;
use crate::{COMMAND, fixed_environment, handover};
use serde::de::DeserializeOwned;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::time::timeout;

/// How long the walls of a cell with nothing in it may take. It is a matter of milliseconds.
const TRIAL: Duration = Duration::from_secs(10);

/// Trials that fail for what the machine is short of at the moment, before nothing is confined for want of knowledge.
const TRIES: u32 = 5;

/// Why a program is not run confined.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConfineError {
    /// The machine lacks a wall without which the program must not run.
    #[error("this machine lacks what `sandbox: required` asks for: {0}")]
    Lacking(String),
    /// The cell makes no sense, or needs what is not there.
    #[error("{0}")]
    Cell(String),
    /// A step failed, and would again.
    #[error("{0}")]
    Failed(String),
    /// A step failed since the machine was short of something. It may work later.
    #[error("{0} (may pass; it is tried again)")]
    Passing(String),
}

impl ConfineError {
    /// Whether it is worth trying again.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Passing(_))
    }
}

impl From<Failure> for ConfineError {
    fn from(failure: Failure) -> Self {
        if failure.passing { Self::Passing(failure.what) } else { Self::Failed(failure.what) }
    }
}

/// Confines programs. There is one in a daemon, for what the machine can do is found out once.
#[derive(Debug)]
pub struct Confiner {
    /// The binary that confines: the daemon's own.
    worker: PathBuf,
    means: Means,
    groups: Option<Groups>,
}

/// A program that is to be confined, before it runs.
pub struct Gate {
    order: Vec<u8>,
    near: UnixStream,
    group: Option<Group>,
}

/// A program that runs confined. When it is dropped, the gate takes that for the daemon's end, and ends the program.
pub struct Passage {
    near: UnixStream,
    listener: Option<TcpListener>,
    _group: Option<Group>,
}

impl Confiner {
    /// Finds out what the machine can do, by doing it.
    ///
    /// # Errors
    /// When that cannot be found out: then nothing is run confined, and nothing that has to be confined is run.
    pub async fn find_out(worker: &Path) -> Result<Self, ConfineError> {
        let groups = Groups::find();
        let means = Means { groups: groups.as_ref().err().cloned(), ..Means::all() };
        let mut confiner = Self { worker: worker.to_owned(), means, groups: groups.ok() };
        let mut tries = 0;
        loop {
            let Err(failure) = confiner.trial().await else { return Ok(confiner) };
            let means = &mut confiner.means;
            let wall = match failure.part {
                _ if failure.passing => {
                    tries += 1;
                    if tries == TRIES {
                        return Err(failure.into());
                    }
                    tokio::time::sleep(Duration::from_millis(50) * tries * tries).await;
                    continue;
                }
                Part::Namespaces => &mut means.namespaces,
                Part::Processes => &mut means.processes,
                Part::Landlock => &mut means.landlock,
                Part::Filter => &mut means.filter,
                Part::Rest => return Err(failure.into()),
            };
            // The same wall cannot be missing twice: it was not put up the second time.
            if wall.replace(failure.what.clone()).is_some() {
                return Err(failure.into());
            }
        }
    }

    /// What the machine can do.
    pub fn means(&self) -> &Means {
        &self.means
    }

    /// Puts up all walls there are, around nothing.
    async fn trial(&self) -> Result<(), Failure> {
        let cell = Cell {
            program: "/".into(),
            args: Vec::new(),
            workdir: "/".into(),
            env: fixed_environment(),
            view: View::default(),
            limits: Limits::provider(),
            required: false,
            collect: None,
        };
        let gate = self.open(cell, true);
        let (mut command, gate) = gate.map_err(|error| Failure::from(error.to_string()))?;
        command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().map_err(|error| Failure::of("starting the sandbox", error))?;
        drop(command);
        let passed = timeout(TRIAL, gate.cross(child.id())).await;
        passed.map_err(|_| Failure::from("the sandbox was not up in time"))?.map(drop)
    }

    /// What to start in the place of the cell's program, and the gate before it. The caller decides about standard output
    /// and error, which the program will have, and drops the command once it is started: it holds the other end of the
    /// gate's socket, whose closing says that nobody is there any more.
    ///
    /// # Errors
    /// When the cell makes no sense, or the machine lacks a wall that is required.
    pub fn gate(&self, cell: Cell) -> Result<(Command, Gate), ConfineError> {
        let missing = self.means.missing();
        if cell.required && !missing.is_empty() {
            return Err(ConfineError::Lacking(missing.join("; ")));
        }
        self.open(cell, false)
    }

    fn open(&self, mut cell: Cell, dry: bool) -> Result<(Command, Gate), ConfineError> {
        if self.means.has_namespaces() {
            cell.env.extend(fixed_environment());
        }
        cell.check().map_err(ConfineError::Cell)?;
        let failed = |error: std::io::Error| ConfineError::from(Failure::of("socket of the sandbox", error));
        let group = match &self.groups {
            Some(groups) => Some(groups.make(&cell.limits).map_err(|error| Failure::of("control group", error))?),
            None => None,
        };
        let job = Job { cell, means: self.means.clone(), dry };
        let order = message::encode(&Order::Enter(Box::new(job))).map_err(ConfineError::Cell)?;
        let (near, far) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        near.set_nonblocking(true).map_err(failed)?;
        let near = UnixStream::from_std(near).map_err(failed)?;
        let mut command = command(&self.worker);
        command.stdin(Stdio::from(OwnedFd::from(far)));
        Ok((command, Gate { order, near, group }))
    }
}

impl Gate {
    /// Waits until the program runs confined. `pid` is that of the process that was started in its place.
    ///
    /// # Errors
    /// When it will not run.
    pub async fn pass(self, pid: Option<u32>) -> Result<Passage, ConfineError> {
        Ok(self.cross(pid).await?)
    }

    async fn cross(self, pid: Option<u32>) -> Result<Passage, Failure> {
        let ended = |_: std::io::Error| Failure::from("the sandbox ended before it was up");
        let Self { order, mut near, group } = self;
        // Before it has its order: nothing it starts is outside.
        if let (Some(group), Some(pid)) = (&group, pid) {
            group.admit(pid).map_err(|error| Failure::of("control group", error))?;
        }
        near.write_all(&order).await.map_err(ended)?;
        let listener = near.async_io(Interest::READABLE, || handover::receive(near.as_fd())).await.map_err(ended)?;
        let report: Report = receive(&mut near).await?;
        match report.failure {
            Some(failure) => Err(failure),
            None => Ok(Passage { near, listener: listener.map(TcpListener::from), _group: group }),
        }
    }
}

impl Passage {
    /// The listener of the program's way out, once. There is none where the program has the machine's network.
    pub fn listener(&mut self) -> Option<TcpListener> {
        self.listener.take()
    }

    /// Waits until the program has ended, and hands over the file it was to leave: see [`Cell::collect`].
    ///
    /// # Errors
    /// When the program did not end well, or left no such file.
    pub async fn collected(&mut self) -> Result<Vec<u8>, String> {
        match receive(&mut self.near).await.map_err(|_| "it ended without one".to_owned())? {
            Collected::Refused(why) => Err(why),
            // The gate has a bound of its own; this is the one that counts, for it is here that memory is taken.
            Collected::Bytes(length) if length <= crate::inner::MAX_COLLECTED => {
                let mut bytes = Vec::new();
                let read = (&mut self.near).take(length).read_to_end(&mut bytes).await;
                match read {
                    Ok(read) if read as u64 == length => Ok(bytes),
                    _ => Err("it was cut short".to_owned()),
                }
            }
            Collected::Bytes(length) => Err(format!("it has {length} bytes")),
        }
    }
}

async fn receive<T: DeserializeOwned>(near: &mut UnixStream) -> Result<T, Failure> {
    let ended = |_: std::io::Error| Failure::from("the sandbox ended before it was up");
    let mut head = [0; HEAD];
    near.read_exact(&mut head).await.map_err(ended)?;
    let mut body = vec![0; message::length(head)?];
    near.read_exact(&mut body).await.map_err(ended)?;
    Ok(message::decode(&body)?)
}

/// The daemon's own binary, with nothing of the daemon's around it.
fn command(worker: &Path) -> Command {
    let mut command = Command::new(worker);
    command.arg0("gestaltd").arg(COMMAND).env_clear().current_dir("/");
    command
}

/// What to start for a piece of confined work, and what to write to its standard input before anything else.
///
/// # Errors
/// When the order cannot be written.
pub fn work(worker: &Path, name: &str, limits: WorkLimits) -> Result<(Command, Vec<u8>), ConfineError> {
    let order = Order::Work { name: name.to_owned(), limits, parent: std::process::id() };
    let order = message::encode(&order).map_err(ConfineError::Cell)?;
    Ok((command(worker), order))
}
