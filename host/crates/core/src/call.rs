use crate::{AppName, Credential, Params, Principal};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Instant;

/// One authorized call of one operation, as an [`Executor`](crate::Executor) gets it.
#[derive(Clone, Debug)]
pub struct Call {
    /// Operation id.
    pub operation: Arc<str>,
    /// Parameters, exactly as the caller wrote them.
    pub params: Params,
    /// Upstream credential, when the connection has one.
    pub credential: Option<Credential>,
    /// Caller's idempotency key, trimmed; empty when there is none.
    pub idempotency_key: String,
    /// Who calls, for whom, and through whom.
    pub context: Arc<CallContext>,
    /// When the answer is worth nothing any more.
    pub deadline: Instant,
}

/// What the called app may know of its caller, and what a nested call inherits.
///
/// Made by the host alone. A component holds it as an opaque handle; a native child gets a copy of its contents and
/// names it by [`invocation_id`](Self::invocation_id) when it calls back.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// Unique per invocation (UUID v4): request id in logs and audit, key of the authority table.
    pub invocation_id: Arc<str>,
    /// The app being called.
    pub app: AppName,
    /// On whose authority.
    pub principal: Arc<Principal>,
    /// Policy and role that let the caller in; empty without a policy.
    pub policy: String,
    /// See [`policy`](Self::policy).
    pub role: String,
    /// Which credential was chosen.
    pub credential: CredentialChoice,
    /// The network side of the outermost request.
    pub request: Arc<RequestMeta>,
    /// Where the outermost request came in.
    pub origin: Origin,
    /// Calls from the outermost one down to this one, this one last. Its length is the depth plus one.
    pub chain: Vec<CallLink>,
    /// `server.baseUrl`, or empty.
    pub public_base_url: Arc<str>,
}

impl CallContext {
    /// How deep this call is nested: 0 for a call that came from outside.
    pub fn depth(&self) -> usize {
        self.chain.len().saturating_sub(1)
    }
}

/// One call in a chain of nested calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallLink {
    /// The app that was called.
    pub app: AppName,
    /// The operation that was called.
    pub operation: Arc<str>,
    /// The credential instance it was called with; empty when none.
    pub instance: String,
}

/// Which upstream credential an invocation uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialChoice {
    /// `none` or `subject`; empty when the app has no connection.
    pub mode: String,
    /// Whose credential.
    pub subject_id: String,
    /// Connection name within the app.
    pub connection: String,
    /// Instance of that connection.
    pub instance: String,
}

/// The network side of a request, for audit only. Both addresses are kept: who is believed to have asked, and who connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestMeta {
    /// Who is believed to have asked: the peer's address, or what `X-Forwarded-For` says where every hop up to there is one
    /// of `server.trustedProxies`.
    pub client_ip: String,
    /// Who connected: the peer's `ip:port`.
    pub remote_addr: String,
    /// `User-Agent`, cut to 256 bytes.
    pub user_agent: String,
}

/// Through which door an invocation came in; `source` in audit, `surface` in the provider protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `/api/v1/{app}/{operation}`.
    Http,
    /// An MCP tool call.
    Mcp,
    /// A webhook bound by the app's manifest.
    HttpBinding,
    /// A workflow step.
    Workflow,
    /// An agent's tool call.
    Agent,
}

impl Origin {
    /// The spelling used in audit records and on the provider wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Mcp => "mcp",
            Self::HttpBinding => "http_binding",
            Self::Workflow => "workflow",
            Self::Agent => "agent",
        }
    }
}

/// Header names and values in the order the app gave them; a name may repeat.
pub type Headers = Vec<(String, String)>;

/// What the operation answered. A status of 400 or above is still an answer, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status, 100 to 599.
    pub status: u16,
    /// Response headers as the app set them. Which ones pass to a caller, [`ResponseHeaders`](crate::ResponseHeaders) says.
    pub headers: Headers,
    /// The bytes of the answer, JSON unless a `Content-Type` says otherwise.
    pub body: Bytes,
}

impl Reply {
    /// A JSON answer.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".into(), "application/json".into())],
            body: body.to_string().into(),
        }
    }

    /// First value of a header, name compared without case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}
