//! The records that say what happened: one per invocation, and one per coalesced egress attempt.

use crate::egress::DenyReason;
use crate::{AppName, CallLink, Origin, RequestMeta, SubjectRef};
use std::sync::Arc;
use std::time::Duration;

/// Takes audit records. Must neither block nor fail.
pub trait Sink: Send + Sync + 'static {
    /// Takes one record.
    fn record(&self, record: Record);
}

/// One audit record.
#[derive(Clone, Debug)]
pub enum Record {
    /// An operation was called, or somebody tried to.
    Invocation(Invocation),
    /// An app's outgoing request was allowed or denied.
    Egress(Egress),
}

/// What became of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered, with this HTTP status.
    Answered(u16),
    /// Policy or token refused it; the text is the decision, such as `operation_access_denied`.
    Denied(&'static str),
    /// It failed before or while running; the text is for the operator.
    Failed(String),
    /// Its future was dropped before it ended.
    Abandoned,
}

/// One invocation, from the guard to the answer.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// UUID v4 of the invocation.
    pub request_id: Arc<str>,
    /// Through which door.
    pub source: Origin,
    /// Target app, as the caller spelled it.
    pub app: String,
    /// Target operation, as the caller spelled it.
    pub operation: String,
    /// 0 for a call from outside.
    pub depth: usize,
    /// Who.
    pub subject: SubjectRef,
    /// How the caller proved it.
    pub auth_source: &'static str,
    /// The app that made a nested call.
    pub caller_app: Option<AppName>,
    /// The calls it is nested in, from the outermost down to the one that made it. Empty for a call from outside.
    pub caller_chain: Vec<CallLink>,
    /// Credential that was used: mode, subject, connection, instance; empty parts were not decided.
    pub credential: crate::CredentialChoice,
    /// Network side of the outermost request.
    pub request: Arc<RequestMeta>,
    /// From guard to end.
    pub duration: Duration,
    /// What became of it.
    pub outcome: Outcome,
    /// The bound it ran into, as the config spells it.
    pub limit: Option<&'static str>,
}

/// One or more outgoing requests of one app to one host with one outcome.
#[derive(Clone, Debug)]
pub struct Egress {
    /// Whose request.
    pub app: AppName,
    /// `None` when it was allowed.
    pub denied: Option<DenyReason>,
    /// Whether it was sent all the same, because the app's egress is observed and not enforced.
    pub observed: bool,
    /// What became of credentials that are kept from the app.
    pub credential: HeldUse,
    /// The invocation of the first of them.
    pub invocation_id: Arc<str>,
    /// The subject of the first of them.
    pub subject: Arc<str>,
    /// Canonical host; empty when the request named none that has a canonical form, and in a record of so many
    /// destinations that none is named.
    pub host: String,
    /// Host as the app wrote it, in ASCII and cut at 256 bytes.
    pub raw_host: String,
    /// Port asked for; 0 where there is no one port.
    pub port: u16,
    /// `http` or `https`, or what the app wrote; `tcp`, `udp` or `dns` for a socket or a lookup, which no app has.
    pub scheme: String,
    /// HTTP method of the first of them.
    pub method: String,
    /// How many requests this record stands for.
    pub count: u64,
    /// Bytes that went to the server, heads and framing included, TLS not.
    pub sent: u64,
    /// Bytes that came from the server, counted alike.
    pub received: u64,
}

/// What became of the placeholder of a credential that is kept from an app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HeldUse {
    /// The request had none.
    #[default]
    None,
    /// It was replaced by the credential.
    Injected,
    /// It stood in another header or place, or the request went to another host: it was sent as it was.
    Withheld,
}

impl HeldUse {
    /// The record's spelling; `None` when there is nothing to say.
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Injected => Some("injected"),
            Self::Withheld => Some("withheld"),
        }
    }
}
