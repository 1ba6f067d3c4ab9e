//! The runtime with real components: what it runs, what it bounds, what it refuses.

#![allow(clippy::unwrap_used, reason = "a helper of tests may do what a test may")]

mod boundary;
mod bounds;
mod calls;
mod compiling;
mod endless;
mod examples;
mod fixture;
mod handmade;
mod hoards;
mod lies;
mod loading;
mod residue;
mod rows;
mod services;
mod unrest;
