use crate::{Invocation, InvokeError, Invoker, Parent, Problem};
use async_trait::async_trait;
use gestalt_core::service::{AppCall, AppInvoker};
use gestalt_core::{CallContext, Code, Reply, RpcError};
use std::sync::{Arc, OnceLock};

/// `App.Invoke`: the request path, entered by an app instead of an ingress.
///
/// Executors are given this before the [`Invoker`] exists, because the invoker serves those executors; bootstrap
/// connects the two once, before the first app is started.
#[derive(Default)]
pub struct NestedInvoker {
    invoker: OnceLock<Invoker>,
}

impl NestedInvoker {
    /// A nested invoker not yet connected: every call answers `Unavailable`.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Connects it. Later calls change nothing.
    pub fn connect(&self, invoker: Invoker) {
        let _ = self.invoker.set(invoker);
    }
}

#[async_trait]
impl AppInvoker for NestedInvoker {
    async fn invoke(&self, caller: &CallContext, call: AppCall) -> Result<Reply, RpcError> {
        let invoker = self.invoker.get().ok_or_else(|| RpcError::new(Code::Unavailable, "the host is starting"))?;
        let invocation = nested(caller, call)?;
        match invoker.invoke(invocation).await {
            Ok(reply) => Ok(reply),
            Err(error) => answer(&error),
        }
    }
}

fn nested(caller: &CallContext, call: AppCall) -> Result<Invocation, RpcError> {
    let refuse = |message: &str| Err(RpcError::new(Code::InvalidArgument, message));
    if call.app.is_empty() {
        return refuse("app is required");
    }
    if call.operation.is_empty() {
        return refuse("operation is required");
    }
    if !matches!(call.credential_mode.as_str(), "" | "none" | "subject") {
        return refuse("credential_mode must be \"none\" or \"subject\"");
    }
    if !call.credential_mode.is_empty() {
        return Err(RpcError::new(Code::PermissionDenied, "no invoke profile lets this app choose a credential mode"));
    }
    let given = |text: String| (!text.is_empty()).then_some(text);
    Ok(Invocation {
        principal: caller.principal.clone(),
        app: call.app,
        operation: call.operation,
        connection: given(call.connection),
        instance: given(call.instance),
        params: call.params,
        idempotency_key: call.idempotency_key,
        origin: caller.origin,
        request: caller.request.clone(),
        deadline: call.deadline,
        parent: Some(Parent { app: caller.app.clone(), chain: caller.chain.clone() }),
    })
}

/// A missing credential is an answer of status 412, as apps expect; everything else is an RPC error.
fn answer(error: &InvokeError) -> Result<Reply, RpcError> {
    let problem = Problem::from(error);
    if problem.status == 412 {
        return Ok(Reply { status: 412, headers: Vec::new(), body: problem.message.into() });
    }
    Err(RpcError::new(problem.rpc, problem.message))
}
