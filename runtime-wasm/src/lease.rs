//! An instance while one call uses it.

use crate::bindings::exports::gestalt::provider::app_provider::{
    Catalog, ExecuteRequest, HttpSubject, HttpSubjectRequest as WitSubjectRequest, SessionCatalogRequest,
};
use crate::bindings::gestalt::provider::common::{OperationResult, RpcError};
use crate::convert;
use crate::executor::Instances;
use crate::host::context::Context;
use crate::instance::{Instance, Maker};
use crate::limits::Metered;
use gestalt_core::{Call, CallContext, Credential, ExecError, HttpSubjectRequest, Metadata};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::MutexGuard;
use wasmtime::component::Resource;

/// How a call of an export ends: by a trap, with the guest's error, or with its answer.
pub(crate) type Outcome<T> = wasmtime::Result<Result<T, RpcError>>;

/// The right to one instance, for one call. Dropped in the middle of it, the instance is gone.
pub(crate) struct Lease<'a> {
    instance: Instance,
    /// Where to put it back.
    kept: Option<MutexGuard<'a, Option<Instance>>>,
}

impl<'a> Lease<'a> {
    pub(crate) async fn take(instances: &'a Instances, maker: &Maker) -> Result<Self, ExecError> {
        match instances {
            Instances::Fresh(standby) => Ok(Self { instance: standby.take().await?, kept: None }),
            Instances::Kept { instance, .. } => {
                let mut kept = instance.lock().await;
                // Taken out, so that a call that does not come back leaves nothing behind.
                let instance = match kept.take() {
                    Some(instance) => instance,
                    None => maker.started().await?,
                };
                Ok(Self { instance, kept: Some(kept) })
            }
        }
    }

    /// Puts a kept instance back if the guest came to a regular end, and says what the call came to.
    pub(crate) fn finish<T>(self, outcome: Outcome<T>) -> Result<T, ExecError> {
        let is_sound = outcome.is_ok();
        let settled = self.instance.settle(outcome);
        if let (Some(mut kept), true) = (self.kept, is_sound) {
            self.instance.store.data().log.end();
            *kept = Some(self.instance);
        }
        settled
    }

    /// Starts the bounds of a call anew, and mints the context it acts on.
    fn begin(&mut self, call: Option<Arc<CallContext>>, deadline: Instant) -> wasmtime::Result<Resource<Context>> {
        self.instance.store.set_epoch_deadline(1);
        let state = self.instance.store.data_mut();
        state.begin(call.clone(), deadline);
        let turn = state.turn;
        Ok(state.table.push(Context { call, deadline, turn })?)
    }

    pub(crate) async fn execute(&mut self, call: &Call, until: Instant) -> Outcome<OperationResult> {
        let context = self.begin(Some(call.context.clone()), until)?;
        let params = credential_params(call.credential.as_ref());
        let request = ExecuteRequest {
            operation: &call.operation,
            params: (!call.params.is_empty()).then(|| call.params.as_str()),
            token: call.credential.as_ref().map_or("", |c| c.token.expose()),
            connection_params: &params,
            invocation_id: &call.context.invocation_id,
            idempotency_key: &call.idempotency_key,
        };
        let cpu = self.instance.cpu();
        let Instance { store, guest } = &mut self.instance;
        let provider = guest.gestalt_provider_app_provider();
        Metered::new(cpu, provider.call_execute(store, context, request)).await
    }

    pub(crate) async fn session_catalog(&mut self, credential: &Credential, until: Instant) -> Outcome<Catalog> {
        let context = self.begin(None, until)?;
        let params = credential_params(Some(credential));
        let request =
            SessionCatalogRequest { token: credential.token.expose(), connection_params: &params, invocation_id: "" };
        let cpu = self.instance.cpu();
        let Instance { store, guest } = &mut self.instance;
        let provider = guest.gestalt_provider_app_provider();
        Metered::new(cpu, provider.call_get_session_catalog(store, context, request)).await
    }

    pub(crate) async fn http_subject(&mut self, request: &HttpSubjectRequest, until: Instant) -> Outcome<HttpSubject> {
        let context = self.begin(None, until)?;
        let (headers, query) = (convert::grouped(request.headers.clone()), convert::grouped(request.query.clone()));
        let (headers, query) = (borrowed(&headers), borrowed(&query));
        let (headers, query) = (lists(&headers), lists(&query));
        let claims = pairs(&request.verified_claims);
        let request = WitSubjectRequest {
            binding: &request.binding,
            method: &request.method,
            path: &request.path,
            content_type: &request.content_type,
            headers: &headers,
            query: &query,
            params: None,
            raw_body: &request.raw_body,
            security_scheme: &request.security_scheme,
            verified_subject: &request.verified_subject,
            verified_claims: &claims,
        };
        let cpu = self.instance.cpu();
        let Instance { store, guest } = &mut self.instance;
        let provider = guest.gestalt_provider_app_provider();
        Metered::new(cpu, provider.call_resolve_http_subject(store, context, request)).await
    }
}

fn credential_params(credential: Option<&Credential>) -> Vec<(&str, &str)> {
    credential.map(|c| pairs(&c.params)).unwrap_or_default()
}

fn pairs(map: &Metadata) -> Vec<(&str, &str)> {
    map.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn borrowed(map: &[(String, Vec<String>)]) -> Vec<(&str, Vec<&str>)> {
    map.iter().map(|(name, values)| (name.as_str(), values.iter().map(String::as_str).collect())).collect()
}

fn lists<'a>(map: &'a [(&'a str, Vec<&'a str>)]) -> Vec<(&'a str, &'a [&'a str])> {
    map.iter().map(|(name, values)| (*name, values.as_slice())).collect()
}
