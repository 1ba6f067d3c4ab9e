//! How an app's outgoing HTTP leaves the daemon: [`Outbound`], and what it can answer.
//!
//! What the operator says about it is [`Settings`] for all apps and [`Rules`] for one, as `gestalt-config` reads them.
//! The policy that comes of it, and the sockets, are `gestalt-egress`'s.

use crate::foreign::Foreign;
use crate::limits::ByteSize;
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use std::sync::Arc;
use std::time::Duration;

pub mod fields;
mod native;
mod ports;
mod redirect;
mod rules;
mod settings;

pub use native::{ConnectSettings, Sandbox, SandboxPath};
pub use ports::BlockedPorts;
pub use redirect::{FollowError, MAX_REDIRECTS, follow};
pub use rules::{Entry, HeldCredential, Rules};
pub use settings::{
    Action, AllowedNetwork, AuditAllowed, AuditSettings, DnsSettings, ForwardedHeaders, Mode, NetworkError, Proxy,
    Settings, parse_port,
};

/// A streamed body in either direction.
pub type Body = UnsyncBoxBody<Bytes, EgressError>;

/// One app's way out: its policy, its connections, its bounds. Made once per app.
#[async_trait]
pub trait Outbound: Send + Sync + 'static {
    /// Sends one request and returns its answer as it is: redirects are the caller's business.
    ///
    /// The URI must be absolute. Host, SNI and certificate name are taken from it; a `Host` header is ignored.
    /// The answer's body keeps the connection, and counts against the app's bounds until it is dropped.
    ///
    /// # Errors
    /// See [`EgressError`]. A denied request has asked no name server and touched no socket.
    async fn send(
        &self,
        request: http::Request<Body>,
        options: SendOptions,
    ) -> Result<http::Response<Body>, EgressError>;

    /// Takes note of an attempt to get out by another way, which whoever calls this has refused. Without effect where no
    /// records are kept.
    fn sidestepped(&self, _sidestep: Sidestep, _attribution: Attribution) {}
}

/// One app's way out for code that sends its requests itself: a proxy under the app's rules.
#[async_trait]
pub trait Forward: Send + Sync + 'static {
    /// Serves whoever connects to `listener`, as the app: nobody else can be let near it. Plain requests and tunnels pass
    /// the same policy as [`Outbound::send`].
    ///
    /// Loops until it is dropped, which ends every connection.
    ///
    /// # Errors
    /// When the listener cannot be used at all.
    async fn run(&self, listener: std::net::TcpListener) -> std::io::Result<()>;
}

/// A way out other than a request. None of them leads anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sidestep {
    /// A TCP socket; for whom, is not known when it is asked for.
    Tcp,
    /// A UDP socket.
    Udp,
    /// A lookup of this name, as the app wrote it.
    Lookup(String),
}

/// Per-request part of [`Outbound::send`].
#[derive(Clone, Debug, Default)]
pub struct SendOptions {
    /// On whose behalf, for the audit record.
    pub attribution: Attribution,
    /// Time to connect, if shorter than the app's own bound.
    pub connect_timeout: Option<Duration>,
    /// Time from sending to the answer's head, if shorter than the app's own bound.
    pub first_byte_timeout: Option<Duration>,
    /// Time between two chunks of the answer's body, if shorter than the app's own bound.
    pub idle_timeout: Option<Duration>,
}

/// What an egress record says about who caused it.
#[derive(Clone, Debug, Default)]
pub struct Attribution {
    /// The invocation; empty outside of one (start-up, discovery).
    pub invocation_id: Arc<str>,
    /// The subject on whose authority; empty outside of an invocation.
    pub subject: Arc<str>,
}

/// Why a request was refused before anything was sent; the spelling is the audit record's `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each name is the reason")]
pub enum DenyReason {
    HostNotAllowed,
    DefaultDeny,
    UriInvalid,
    MethodInvalid,
    SchemeInvalid,
    PortBlocked,
    AddressProhibited,
    SelfListener,
    DnsError,
    Limit,
    Tls,
    Upgrade,
}

impl DenyReason {
    /// The audit record's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HostNotAllowed => "host_not_allowed",
            Self::DefaultDeny => "default_deny",
            Self::UriInvalid => "uri_invalid",
            Self::MethodInvalid => "method_invalid",
            Self::SchemeInvalid => "scheme_invalid",
            Self::PortBlocked => "port_blocked",
            Self::AddressProhibited => "address_prohibited",
            Self::SelfListener => "self_listener",
            Self::DnsError => "dns_error",
            Self::Limit => "limit",
            Self::Tls => "tls",
            Self::Upgrade => "upgrade",
        }
    }
}

/// What went wrong with an outgoing request. Each variant has one counterpart among wasi:http's error codes.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EgressError {
    /// The policy does not allow this host, or this port.
    #[error("request denied: {}", .0.as_str())]
    Denied(DenyReason),
    /// The URI has no canonical form, or is not absolute.
    #[error("request URI is invalid")]
    UriInvalid,
    /// A method outside GET, HEAD, POST, PUT, DELETE, PATCH and OPTIONS.
    #[error("request method is not allowed")]
    MethodInvalid,
    /// The name did not resolve.
    #[error("name resolution failed")]
    Dns,
    /// The name server took too long.
    #[error("name resolution timed out")]
    DnsTimeout,
    /// The name resolved to an address that must not be reached.
    #[error("destination address is prohibited")]
    AddressProhibited,
    /// The app has as many connections or requests under way as it may.
    #[error("connection limit reached")]
    ConnectionLimit,
    /// Nobody listens, or the connection broke before the answer's head.
    #[error("connection failed: {}", Foreign::phrase(.0))]
    Connect(String),
    /// Connecting took too long.
    #[error("connection timed out")]
    ConnectTimeout,
    /// The certificate does not fit the name, or no trusted root signed it.
    #[error("certificate rejected: {}", Foreign::phrase(.0))]
    TlsCertificate(String),
    /// The TLS handshake failed otherwise.
    #[error("TLS failed: {}", Foreign::phrase(.0))]
    Tls(String),
    /// The answer's head took too long, or a pause in its body was too long, or the whole took too long.
    #[error("response timed out")]
    ReadTimeout,
    /// The request body grew over the bound.
    #[error("request body is larger than {0}")]
    RequestTooLarge(ByteSize),
    /// The request's head is over the bounds.
    #[error("request head is too large")]
    RequestHeadTooLarge,
    /// The response body grew over the bound.
    #[error("response body is larger than {0}")]
    ResponseTooLarge(ByteSize),
    /// The response head is over its bounds.
    #[error("response head is too large")]
    ResponseHeadTooLarge,
    /// The server asked to switch protocols.
    #[error("protocol upgrade refused")]
    Upgrade,
    /// The server, or the request body, broke HTTP's rules.
    #[error("HTTP protocol error: {}", Foreign::phrase(.0))]
    Protocol(String),
    /// The other side went away in the middle.
    #[error("connection closed: {}", Foreign::phrase(.0))]
    Closed(String),
}
