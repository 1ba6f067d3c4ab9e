//! Requests through the whole client, against servers on loopback and a resolver that records what it is asked.
//!
//! Every address of 127.0.0.0/8 is a host of its own. Tests are named after the attack they make, with its row id.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken fixture should end the test")]

mod addresses;
mod explain;
mod forward;
mod gaps;
mod ledger;
mod limits;
mod proxy;
mod rules;
mod spelling;
mod support;
mod tls;
mod wire;
