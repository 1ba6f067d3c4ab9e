//! Outbound HTTP on an app's behalf: policy, resolve-and-pin, client.
//!
//! An app's `egress.allowedHosts` is a promise to the operator: for every packet that leaves the daemon for that app,
//! the name the app asked for is allowed, the peer's address came from the one resolution of that name and is a fit
//! place for it, and Host, SNI and certificate all say that name. A request passes these stations, in this order, and
//! each refuses rather than guesses:
//!
//! 1. [`Target`]: method, scheme, authority and path are brought into one spelling.
//! 2. [`Policy`]: the host is listed, or nothing is and the default is to allow; the port is not one of those where
//!    HTTP is misread. The result is a [`Grant`]. Up to here nobody was asked anything.
//! 3. Limits: requests per minute, length of the body, a connection's permit.
//! 4. [`Resolver`]: one lookup; `localhost` and the operator's `dns.hosts` are answered here.
//! 5. [`Guard`]: the whole answer is refused if one address of it is prohibited.
//! 6. Connection: to the judged addresses only; TLS with the canonical name; HTTP/1.1, one request, no pool.
//! 7. Bodies: counted, timed, never decoded. Redirects and errors of the server are the caller's.
//!
//! [`Egress`] is the daemon's part, built once; [`Egress::client`] makes an app's [`Outbound`](gestalt_core::egress::Outbound).
//! What happened is told twice: to the app as an error without particulars, to the operator as one audit record per
//! attempt (shared under flood) and, for a denial, a log line on target `gestalt::egress` with the line of the config
//! that would have allowed it.
//!
//! **Invariant:** this is the only crate that opens a socket or resolves a name for an app.
//! **Invariant:** no name server is asked about a name before the policy has allowed it.
//! **Invariant:** a name is resolved once per request, and never reaches the operating system again.
//! **Invariant:** no connection, TLS session, cookie or credential of one app is used by another; the proxy variables of
//! the environment are not read.
//! **Invariant:** dropping a send future or an answer's body closes its connection and writes its record.

mod address;
mod attempt;
mod body;
mod client;
mod connect;
mod daemon;
mod exchange;
mod headers;
mod ledger;
mod listeners;
mod policy;
mod rate;
mod refusal;
mod resolve;
mod tls;
mod uri;

pub use address::{Classes, Guard};
pub use daemon::{Egress, Parts};
pub use ledger::Clock;
pub use listeners::SelfListeners;
pub use policy::{Grant, Policy};
pub use resolve::{Resolver, SystemResolver};
pub use uri::Target;

use std::path::PathBuf;

/// Why [`Egress::build`] could not assemble the daemon's part.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// `server.egress.caFile` cannot be read, or is not all certificates.
    #[error("server.egress.caFile {}: {reason}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The TLS provider lacks what is asked of it.
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
}
