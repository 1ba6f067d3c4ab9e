//! Apps as gRPC child processes: providers built with the published SDKs, unchanged.
//!
//! * [`launch`] starts a [`ProcessSpec`] and gives a [`ProcessExecutor`], which is an
//!   [`Executor`](gestalt_core::Executor) like any other. A supervisor keeps the process running from then on.
//! * [`source`] finds out how the package of a local source is started, builds it if need be, and gets its catalog.
//!
//! A process gets an environment of its own with nothing of the daemon's but a few harmless variables, a private socket
//! directory, and a process group. It listens on one socket, where `protocol` speaks to it in version 3, 4 or 5; the
//! daemon listens on the other, where `host` answers what the process asks of it.
//!
//! Where an app is to reach only what it is allowed to, its process runs in a cell of `gestalt-confine` ([`Confine`]),
//! whose one way out the daemon serves.
//!
//! **Invariant:** prost and tonic types stay inside. What goes in and out are gestalt-core's words.
//! **Invariant:** a process acts on the authority that the host itself wrote down when it made the call, never on what
//! the process says. Its echo of the request context is a key into that table and nothing else.
//! **Invariant:** nothing a process sends or writes is held without a bound.
//! **Invariant:** however a start, a run or the daemon itself ends, no process and no socket directory is left behind.

mod authority;
mod backoff;
mod child;
mod confined;
mod environment;
mod error;
mod executor;
mod host;
mod instance;
mod orphan;
mod output;
mod protocol;
mod socket;
pub mod source;
mod spec;

pub use confined::Confine;
pub use error::{Output, ProcessError};
pub use executor::{ProcessExecutor, launch};
pub use spec::{AppCommand, ProcessSpec, Timeouts};
