use crate::Start;
use crate::bindings::exports::gestalt::provider::app_provider::ExecuteRequest;
use crate::bindings::gestalt::provider::app::{self, InvokeRequest};
use crate::bindings::gestalt::provider::common::{ContextInfo, RpcError, StatusCode};
use crate::bindings::gestalt::provider::request_context::Context as Authority;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::OnceCell;
use std::fmt;

/// One call of one operation.
pub struct Request {
    parts: ExecuteRequest,
    /// Absent outside of a host, where handlers are tested.
    authority: Option<Authority>,
    start: Start,
    context: OnceCell<Context>,
}

/// Who calls, for whom and through whom.
pub type Context = ContextInfo;

impl Request {
    /// A request outside of any host, to test an app with [`App::call`](crate::App::call). `params` is a JSON object.
    pub fn new(operation: impl Into<String>, params: impl Into<String>) -> Self {
        Self {
            parts: ExecuteRequest {
                operation: operation.into(),
                params: Some(params.into()),
                token: String::new(),
                connection_params: Vec::new(),
                invocation_id: String::new(),
                idempotency_key: String::new(),
            },
            authority: None,
            start: Start::default(),
            context: OnceCell::new(),
        }
    }

    pub(crate) fn from_host(parts: ExecuteRequest, authority: Authority, start: Start) -> Self {
        Self { parts, authority: Some(authority), start, context: OnceCell::new() }
    }

    /// The operation's id.
    pub fn operation(&self) -> &str {
        &self.parts.operation
    }

    /// The parameters as the caller wrote them: the text of a JSON object.
    pub fn params(&self) -> &str {
        self.parts.params.as_deref().unwrap_or("{}")
    }

    /// The upstream credential: an access token, or a JSON object a user filled in. Empty when there is none.
    pub fn token(&self) -> &str {
        &self.parts.token
    }

    /// What is known about the connection.
    pub fn connection_params(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parts.connection_params.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// One thing that is known about the connection.
    pub fn connection_param(&self, name: &str) -> Option<&str> {
        self.connection_params().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// Unique per call; the id in logs and audit records.
    pub fn invocation_id(&self) -> &str {
        &self.parts.invocation_id
    }

    /// The caller's idempotency key; empty when there is none.
    pub fn idempotency_key(&self) -> &str {
        &self.parts.idempotency_key
    }

    /// The app's name in the configuration.
    pub fn app_name(&self) -> &str {
        self.start.name()
    }

    /// The app's `config`, read as `T`.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        self.start.config()
    }

    /// Who calls, for whom and through whom. Asks the host the first time.
    pub fn context(&self) -> &Context {
        self.context.get_or_init(|| self.authority.as_ref().map_or_else(nobody, Authority::info))
    }

    /// Who calls: `kind:id`, such as `user:42`. Empty outside of a host.
    pub fn subject(&self) -> &str {
        self.context().subject.as_ref().map_or("", |subject| &subject.id)
    }

    /// The authority of this call, for the [bindings](crate::bindings) this crate does not wrap. Absent outside of a host.
    pub fn authority(&self) -> Option<&Authority> {
        self.authority.as_ref()
    }

    /// Calls an operation of another app on the authority of this call.
    ///
    /// # Errors
    /// When the call was not made. A failure of the other app, and a missing credential (412), are replies.
    pub fn invoke(&self, app: &str, operation: &str, params: &impl Serialize) -> Result<Reply, CallError> {
        let params = serde_json::to_string(params)
            .map_err(|error| CallError(RpcError { code: StatusCode::InvalidArgument, message: error.to_string() }))?;
        self.invoke_with(&InvokeRequest {
            app: app.into(),
            operation: operation.into(),
            params: Some(params),
            connection: String::new(),
            instance: String::new(),
            idempotency_key: String::new(),
            credential_mode: String::new(),
            run_as: None,
        })
    }

    /// Does the same with every choice there is.
    ///
    /// # Errors
    /// As [`invoke`](Self::invoke).
    pub fn invoke_with(&self, request: &InvokeRequest) -> Result<Reply, CallError> {
        let Some(authority) = &self.authority else {
            return Err(CallError(RpcError { code: StatusCode::Unavailable, message: "there is no host".into() }));
        };
        let result = app::invoke(authority, request).map_err(CallError)?;
        Ok(Reply { status: result.status, headers: result.headers, body: result.body })
    }
}

fn nobody() -> Context {
    Context {
        subject: None,
        credential: None,
        access: None,
        workflow: None,
        public_base_url: String::new(),
        agent_subject: None,
        caller: None,
        invocation: None,
        tool_refs: None,
        request_meta: None,
        agent: None,
    }
}

/// What another app answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: i32,
    /// Header names with all their values.
    pub headers: Vec<(String, Vec<String>)>,
    /// JSON, unless a `Content-Type` says otherwise.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body, read as `T`.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}

/// Why a call to another app was not made.
#[derive(Clone, Debug)]
pub struct CallError(RpcError);

impl CallError {
    /// What kind of failure.
    pub fn code(&self) -> StatusCode {
        self.0.code
    }

    /// The kind in the spelling of the contract, such as `permission-denied`.
    pub fn code_name(&self) -> &'static str {
        match self.0.code {
            StatusCode::Cancelled => "cancelled",
            StatusCode::Unknown => "unknown",
            StatusCode::InvalidArgument => "invalid-argument",
            StatusCode::DeadlineExceeded => "deadline-exceeded",
            StatusCode::NotFound => "not-found",
            StatusCode::AlreadyExists => "already-exists",
            StatusCode::PermissionDenied => "permission-denied",
            StatusCode::ResourceExhausted => "resource-exhausted",
            StatusCode::FailedPrecondition => "failed-precondition",
            StatusCode::Aborted => "aborted",
            StatusCode::OutOfRange => "out-of-range",
            StatusCode::Unimplemented => "unimplemented",
            StatusCode::Internal => "internal",
            StatusCode::Unavailable => "unavailable",
            StatusCode::DataLoss => "data-loss",
            StatusCode::Unauthenticated => "unauthenticated",
            StatusCode::Other(_) => "other",
        }
    }

    /// For the developer.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code_name(), self.message())
    }
}

impl std::error::Error for CallError {}
