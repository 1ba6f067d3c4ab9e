//! Requests through the whole client, against servers on loopback and a resolver that records what it is asked.
//!
//! Every address of 127.0.0.0/8 is a host of its own. Tests are named after the attack they make, with its row id.

mod addresses;
mod ledger;
mod limits;
mod spelling;
mod support;
mod tls;
mod wire;
