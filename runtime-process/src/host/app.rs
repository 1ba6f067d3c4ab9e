use super::Caller;
use crate::protocol::{json, reply};
use gestalt_core::service::AppCall;
use gestalt_core::{Params, RpcError};
use gestalt_proto::v1::app_server::App;
use gestalt_proto::v1::{AppInvokeGraphQlRequest, AppInvokeRequest, OperationResult, RequestContext};
use std::sync::Arc;
use std::time::Instant;
use tonic::{Code, Request, Response, Status};

/// `App`: calls of other apps on the authority of a call in progress.
pub(super) struct AppHost(pub(super) Arc<Caller>);

#[tonic::async_trait]
impl App for AppHost {
    async fn invoke(&self, request: Request<AppInvokeRequest>) -> Result<Response<OperationResult>, Status> {
        let request = request.into_inner();
        for (field, value) in [("app", &request.app), ("operation", &request.operation)] {
            if value.trim().is_empty() {
                return Err(Status::invalid_argument(format!("{field} is required")));
            }
        }
        if !matches!(request.credential_mode.as_str(), "" | "none" | "subject") {
            return Err(Status::invalid_argument("credential_mode must be empty, \"none\" or \"subject\""));
        }
        let grant = self.0.grant(request.context.as_ref())?;
        let _permit = self.0.calls.try_acquire().map_err(|_| Status::resource_exhausted("too many calls in flight"))?;
        let call = AppCall {
            app: request.app,
            operation: request.operation,
            params: request.params.map_or_else(Params::empty, |params| Params::from(json::object(params))),
            connection: request.connection,
            instance: request.instance,
            idempotency_key: request.idempotency_key.trim().to_owned(),
            credential_mode: request.credential_mode,
            deadline: grant.deadline.unwrap_or_else(|| Instant::now() + self.0.rpc_timeout),
        };
        let answer = self.0.services.apps.invoke(&grant.context, call).await.map_err(status)?;
        reply::encode(answer, self.0.version.get().copied().unwrap_or_default()).map(Response::new)
    }

    async fn invoke_graph_ql(
        &self,
        _request: Request<AppInvokeGraphQlRequest>,
    ) -> Result<Response<OperationResult>, Status> {
        Err(Status::unavailable("App.InvokeGraphQL is not available"))
    }
}

impl Caller {
    /// The authority behind an echoed context. Nothing in it is believed but the id, and that only as a key.
    fn grant(&self, context: Option<&RequestContext>) -> Result<crate::authority::Grant, Status> {
        let Some(context) = context else {
            return Err(Status::failed_precondition("request context is required"));
        };
        let caller = context.caller.as_ref().map(|c| (c.kind.as_str(), c.name.as_str()));
        if caller != Some(("app", self.app.as_str())) {
            return Err(Status::permission_denied("request context belongs to another provider"));
        }
        let id = context.invocation.as_ref().map_or("", |i| i.request_id.as_str());
        self.authority
            .find(id, Instant::now())
            .ok_or_else(|| Status::permission_denied("request context names no invocation of this app"))
    }
}

fn status(error: RpcError) -> Status {
    Status::new(Code::from_i32(i32::from(error.code as u8)), error.message)
}
