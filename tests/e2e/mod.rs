//! The daemon as its operator meets it: `serve` is the process, `failing` what goes wrong after the start, `secrets` what
//! it is given at the start, `requires` which app waits for which, `reload` what it takes over while it runs, `egress`
//! what apps may reach and hold, `validate`, `verify` and `command` the rest of the command line, `confined` and `gates` the
//! sandbox of native providers by itself, `machines` machines that cannot confine, `door` clients who mean no good,
//! `readme` what the newcomer's page shows, `words` what apps make it print.

mod command;
mod confined;
mod door;
mod egress;
mod failing;
mod gates;
mod machines;
mod readme;
mod reload;
mod requires;
mod secrets;
mod serve;
mod validate;
mod verify;
mod words;
