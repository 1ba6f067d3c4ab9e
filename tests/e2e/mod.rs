//! The daemon as its operator meets it: `serve` is the process, `failing` what goes wrong after the start, `command` the
//! rest of the command line, `egress` what apps may reach and hold, `readme` what the newcomer's page shows.

mod command;
mod egress;
mod failing;
mod readme;
mod serve;
mod verify;
