use gestalt_core::{AppName, CallLink, Origin, Params, Principal, RequestMeta};
use std::sync::Arc;
use std::time::Instant;

/// A request to run one operation, decoded by an ingress and not yet checked against anything.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The authenticated caller.
    pub principal: Arc<Principal>,
    /// Target app, as the caller spelled it.
    pub app: String,
    /// Target operation, as the caller spelled it.
    pub operation: String,
    /// Connection the caller asks for.
    pub connection: Option<String>,
    /// Instance of the connection the caller asks for.
    pub instance: Option<String>,
    /// Parameters, selectors already taken out.
    pub params: Params,
    /// Caller's idempotency key, or empty.
    pub idempotency_key: String,
    /// Through which door it came.
    pub origin: Origin,
    /// Network side of the outermost request.
    pub request: Arc<RequestMeta>,
    /// When the answer is worth nothing any more.
    pub deadline: Instant,
    /// The call it is nested in; `None` for a call from outside.
    pub parent: Option<Parent>,
}

/// The call that a nested call is made by.
#[derive(Clone, Debug)]
pub struct Parent {
    /// The calling app.
    pub app: AppName,
    /// From the outermost call down to the calling one.
    pub chain: Vec<CallLink>,
}
