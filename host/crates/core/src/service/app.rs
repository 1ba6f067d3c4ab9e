use crate::{CallContext, Params, Reply, RpcError};
use async_trait::async_trait;

/// `App.Invoke`: one app calls an operation of another (or of itself) on its caller's authority.
#[async_trait]
pub trait AppInvoker: Send + Sync + 'static {
    /// Runs the operation as a call nested in `caller`, with everything a call from outside goes through.
    ///
    /// A missing credential comes back as a reply of status 412, and the callee's own 4xx and 5xx as replies too.
    ///
    /// # Errors
    /// `NotFound` for an unknown app or operation, `PermissionDenied`, `InvalidArgument`, `ResourceExhausted` past
    /// the depth limit, `FailedPrecondition` for a recursion, `DeadlineExceeded`, `Unavailable`, else `Unknown`.
    async fn invoke(&self, caller: &CallContext, call: AppCall) -> Result<Reply, RpcError>;
}

/// The arguments of [`AppInvoker::invoke`]. Empty texts mean "not given".
#[derive(Clone, Debug)]
pub struct AppCall {
    /// Target app.
    pub app: String,
    /// Target operation.
    pub operation: String,
    /// Its parameters.
    pub params: Params,
    /// Connection override.
    pub connection: String,
    /// Instance override.
    pub instance: String,
    /// Handed to the target as is.
    pub idempotency_key: String,
    /// `none` or `subject`, or empty for the target's own rule.
    pub credential_mode: String,
    /// When the calling call's own answer is due: the nested call gets no longer.
    pub deadline: std::time::Instant,
}
