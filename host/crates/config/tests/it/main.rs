//! Every rule of every format, as files: `x.yaml` and what comes out of it, `x.snap` or `x.err`.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod catalogs;
mod configs;
mod fixture;
mod fuzz;
mod large;
mod manifests;
mod modes;
mod reload;
mod widened;
