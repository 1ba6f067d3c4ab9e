//! Outbound HTTP on an app's behalf: policy, resolve-and-pin, client.
//!
//! An app's `egress.allowedHosts` is a promise to the operator: for every packet that leaves the daemon for that app,
//! the name the app asked for is allowed, the peer's address came from the one resolution of that name and is a fit
//! place for it, and Host, SNI and certificate all say that name. A request passes these stations, in this order, and
//! each refuses rather than guesses:
//!
//! 1. [`Target`]: method, scheme, authority and path are brought into one spelling.
//! 2. [`Policy`]: the host is listed, or nothing is and the default is to allow; TLS where it is required; the port is
//!    not one of those where HTTP is misread. The result is a [`Grant`]. Up to here nobody was asked anything.
//! 3. Limits: requests per minute, length of head and body, a connection's permit.
//! 4. Held credentials: a placeholder in its own header and toward its own hosts becomes the credential; anywhere else
//!    it stays what it is.
//! 5. [`Resolver`]: one lookup; `localhost` and the operator's `dns.hosts` are answered here.
//! 6. [`Guard`]: the whole answer is refused if one address of it is prohibited.
//! 7. Connection: to the judged addresses only, directly or through the operator's proxy, which is told an address and
//!    never a name; TLS with the canonical name; HTTP/1.1, one request, no pool.
//! 8. Bodies: counted, timed, never decoded; held credentials in answers are covered up. Redirects and errors of the
//!    server are the caller's; [`follow`](gestalt_core::egress::follow) sends each hop through all of this.
//!
//! [`Egress`] is the daemon's part, built once; [`Egress::client`] makes an app's [`Outbound`](gestalt_core::egress::Outbound),
//! and [`Egress::reload`] changes what it may do from its next request on. What happened is told four times: to the
//! app as an error without particulars; to the operator as one audit record per attempt (shared under flood), for a denial
//! as a log line on target `gestalt::egress` with the place in the config and the entry that would have allowed it, as
//! metric events, and in the journal of reached hosts, from which [`Proposal`] makes the list an app needs.
//! [`Question`] says which rule decides about a request that nobody sends.
//!
//! An app in [`Mode::Observe`](gestalt_core::egress::Mode) is judged like any other, and sent on all the same where an app
//! with an empty list under `defaultAction: allow` would be: its own list, `requireTls` and `privateNetworks` are
//! observed; spelling, ports, limits, link-local and metadata addresses and the daemon's own listeners are enforced.
//!
//! Code that sends its requests itself, a native process, gets the same way out as a proxy ([`Egress::forward`]): a request
//! in absolute form is sent like any other, a tunnel (`CONNECT`) passes stations 2, 3, 5, 6 and the first half of 7, and
//! then has to begin with a TLS handshake that asks for the host it was opened for. Of what goes through a tunnel nothing
//! more is seen: which `Host` it says, whether it tells the true name in an encrypted part of the handshake, held
//! credentials. So a tunnel's end is as sure as the host that was allowed, and not surer.
//!
//! Names are resolved as absolute ones, without search domains. The system's resolver does not find names that stand in
//! a hosts file in that form: such names belong in `server.egress.dns.hosts`.
//!
//! **Invariant:** this is the only crate that opens a socket or resolves a name for an app.
//! **Invariant:** no name server is asked about a name before the policy has allowed it.
//! **Invariant:** a name is resolved once per request, and never reaches the operating system again.
//! **Invariant:** no connection, TLS session, cookie or credential of one app is used by another; the proxy variables of
//! the environment are not read.
//! **Invariant:** dropping a send future or an answer's body closes its connection and writes its record.

mod active;
mod address;
mod attempt;
mod body;
mod client;
mod connect;
mod daemon;
mod exchange;
mod explain;
mod forward;
mod headers;
mod journal;
mod ledger;
mod listeners;
mod policy;
mod proposal;
mod proxy;
mod rate;
mod refusal;
mod resolve;
mod scrub;
mod sidestep;
mod tls;
mod traffic;
mod uri;
mod vault;
mod withheld;

pub use address::Guard;
pub use daemon::{Egress, Parts};
pub use explain::{Explanation, Question, Step, Verdict};
pub use gestalt_core::address::Classes;
pub use journal::{Reached, read_journal};
pub use ledger::Clock;
pub use listeners::SelfListeners;
pub use policy::{Grant, Policy};
pub use proposal::Proposal;
pub use resolve::{Resolver, SystemResolver};
pub use scrub::Scrubber;
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
    /// The system has no random numbers.
    #[error("no random numbers: {0}")]
    Random(String),
    /// The TLS provider lacks what is asked of it.
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
}
