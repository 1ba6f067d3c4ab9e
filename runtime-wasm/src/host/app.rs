//! `gestalt:provider/app`: calls of other apps.

use crate::bindings::gestalt::provider::app::{GraphqlRequest, Host, InvokeRequest};
use crate::bindings::gestalt::provider::common::{OperationResult, RpcError};
use crate::convert;
use crate::host::context::Context;
use crate::state::State;
use gestalt_core::service::AppCall;
use gestalt_core::{Code, Params};
use std::time::Instant;
use wasmtime::component::Resource;

/// Bytes of each name in a call. They are written to the audit log, whether or not anything is called so.
const NAME: usize = 256;

impl Host for State {
    async fn invoke(
        &mut self,
        context: Resource<Context>,
        request: InvokeRequest,
    ) -> wasmtime::Result<Result<OperationResult, RpcError>> {
        let context = self.table.get(&context)?.clone();
        Ok(self.call_app(context, request).await.map_err(convert::rpc_error))
    }

    fn invoke_graphql(
        &mut self,
        _context: Resource<Context>,
        _request: GraphqlRequest,
    ) -> wasmtime::Result<Result<OperationResult, RpcError>> {
        let error = gestalt_core::RpcError::new(Code::Unavailable, "no GraphQL surface can be called");
        Ok(Err(convert::rpc_error(error)))
    }
}

impl State {
    async fn call_app(
        &mut self,
        context: Context,
        request: InvokeRequest,
    ) -> Result<OperationResult, gestalt_core::RpcError> {
        let refuse = |code, message: &str| Err(gestalt_core::RpcError::new(code, message));
        let Some(caller) = context.call else {
            return refuse(Code::PermissionDenied, "this context carries nobody's authority");
        };
        if context.turn != self.turn || context.deadline <= Instant::now() {
            return refuse(Code::DeadlineExceeded, "the call this context belongs to is over");
        }
        if request.app.is_empty() || request.operation.is_empty() {
            return refuse(Code::InvalidArgument, "app and operation are required");
        }
        let names =
            [&request.app, &request.operation, &request.connection, &request.instance, &request.idempotency_key];
        if names.iter().any(|name| name.len() > NAME) {
            return refuse(Code::InvalidArgument, "a name is longer than 256 bytes");
        }
        if !matches!(request.credential_mode.as_str(), "" | "none" | "subject") {
            return refuse(Code::InvalidArgument, "credential-mode is neither empty nor `none` nor `subject`");
        }
        if request.run_as.is_some() {
            return refuse(Code::PermissionDenied, "no configuration lets this app act as another subject");
        }
        let params = match request.params.as_deref() {
            None => Params::empty(),
            Some(text) => Params::parse(text)
                .map_err(|e| gestalt_core::RpcError::new(Code::InvalidArgument, format!("params: {e}")))?,
        };
        let call = AppCall {
            app: request.app,
            operation: request.operation,
            params,
            connection: request.connection,
            instance: request.instance,
            idempotency_key: request.idempotency_key,
            credential_mode: request.credential_mode,
            deadline: context.deadline,
        };
        let reply = self.app.services.apps.invoke(&caller, call).await?;
        // What the host hands to a guest is not bounded by the guest's memory until it is there.
        if reply.body.len() > self.app.limits.hostcall_bytes.as_usize() {
            return refuse(Code::ResourceExhausted, "the answer is larger than this app's hostcallBytes");
        }
        Ok(convert::operation_result(reply))
    }
}
