//! The `gestaltd` binary: everything is in the library, so that tests boot what users run.

use std::process::ExitCode;

fn main() -> ExitCode {
    gestaltd::cli::run(std::env::args_os())
}
