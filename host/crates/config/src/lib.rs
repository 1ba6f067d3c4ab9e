//! Every file format the daemon reads: config v6, manifests, catalogs.
//!
//! ```text
//! text ──env──▶ text ──yaml──▶ tree ──shape──▶ tree ──merge──▶ tree ──decode──▶ Raw ──check──▶ Checked
//!      ${NAME}        spans          one file                all files                 Deployment, Manifest, Catalog
//! ```
//!
//! * [`choose_files`] and [`load()`] read a deployment; [`Manifest::load`] a package; [`read_catalog`] its operations.
//! * What is wrong comes back as [`Problems`]: all of it in one run, each with file, line, column and key, printed like a
//!   compiler's. What is right comes back as plain structs with every default filled in and every value parsed.
//! * [`schema`] tells editors what may be written, from the types that are read; `schema/*.json` holds what it says.
//! * A key that belongs to a format but has nothing behind it yet is read, checked and said (`unavailable`, `vocabulary`),
//!   never ignored; where it is a restriction, what it restricts is not started.
//! * Secrets are referred to, not held: [`Deployment::secret_refs`] says what is needed, [`Deployment::with_secrets`] takes
//!   it. [`Deployment::read_packages`] checks what deployment and packages must agree on.
//! * [`Deployment::waits_for_restart`] compares with a later reading, for a daemon that is told to read again;
//!   [`Deployment::widened_since`] says what apps may do under it that they could not do before.
//! * A new key goes into `raw` (what may be written), into a checked type, and into `check` (what it means).
//!
//! **Invariant:** nothing live comes out of here: no socket, no process, no task; files are read and closed.
//! **Invariant:** YAML is known to the module `yaml` only. Past `check` nothing is text that has to be parsed again.
//! **Invariant:** no message holds a secret or the value of an environment variable.

mod boundary;
mod catalog;
mod check;
mod config_schema;
pub mod deployment;
mod effective;
mod env;
mod files;
mod load;
pub mod manifest;
mod packages;
mod path;
mod problem;
mod raw;
mod reload;
mod requires;
pub mod schema;
mod secrets;
mod shape;
mod source;
mod tree;
mod typed;
mod unavailable;
mod violation;
mod vocabulary;
mod yaml;

pub use boundary::Widened;
pub use catalog::read_catalog;
pub use deployment::{
    App, Build, Deployment, Management, Placement, Runtime, Server, Source, SourceForm, WASM, WasmRuntime,
};
pub use env::{Env, Mode, ProcessEnv};
pub use files::choose_files;
pub use load::load;
pub use manifest::{Kind, Manifest, Spec};
pub use packages::{Findings, Package};
pub use problem::{Location, Problem, Problems};
pub use requires::{required, start_order};
pub use secrets::{SecretRef, SecretUse};
