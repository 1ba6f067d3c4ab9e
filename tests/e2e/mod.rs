//! The daemon as its operator meets it: `serve` is the process, `failing` what goes wrong after the start, `command` the
//! rest of the command line.

mod command;
mod failing;
mod serve;
