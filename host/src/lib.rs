//! gestaltd: one daemon that offers apps over HTTP and owns what each of them would otherwise re-solve.
//!
//! * [`cli`] parses the command line and loads the configuration.
//! * [`bootstrap`] turns a checked configuration into a running [`Daemon`](bootstrap::Daemon), one file per stage.
//! * [`ingress`] is the doors: decoding requests, rendering answers. The path between is `gestalt-invoke`'s.
//! * [`audit`], [`metrics`] and [`telemetry`] say where records, counts and log lines go; [`sandboxes`], how native apps are
//!   confined.
//!
//! **Invariant:** `bootstrap` parses no file format and `ingress` sees no executor.

pub mod audit;
pub mod bootstrap;
pub mod cli;
pub mod ingress;
pub mod metrics;
pub mod sandboxes;
pub mod telemetry;
pub mod verify;
