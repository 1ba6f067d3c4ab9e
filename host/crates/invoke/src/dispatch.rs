//! Stage 5: run it.

use crate::ready::{Parts, Ready};
use crate::{InvokeError, Settings};
use gestalt_core::{Call, CallContext, ExecError, Reply};
use std::sync::Arc;
use tracing::Instrument;

/// Hands the call to the app's executor and waits for the answer, no longer than the deadline.
pub(crate) async fn dispatch(ready: Ready, request_id: Arc<str>, settings: &Settings) -> Result<Reply, InvokeError> {
    let Parts { invocation, app, operation, chain, executor, choice, credential } = ready.into_parts();
    let span = tracing::debug_span!("invoke", %app, %operation, invocation = %request_id);
    let context = Arc::new(CallContext {
        invocation_id: request_id,
        app: app.clone(),
        principal: invocation.principal,
        policy: String::new(),
        role: String::new(),
        credential: choice,
        request: invocation.request,
        origin: invocation.origin,
        chain,
        public_base_url: settings.public_base_url.clone(),
    });
    let deadline = invocation.deadline;
    let call = Call {
        operation,
        params: invocation.params,
        credential,
        idempotency_key: invocation.idempotency_key,
        context,
        deadline,
    };
    let running = executor.execute(call).instrument(span);
    let result = tokio::time::timeout_at(deadline.into(), running).await.unwrap_or(Err(ExecError::Deadline));
    result.map_err(|source| InvokeError::Exec { app: app.to_string(), source })
}
