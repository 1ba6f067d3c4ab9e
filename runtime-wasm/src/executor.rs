//! One app's operations, each call on an instance of its own.

use crate::bindings::exports::gestalt::provider::app_provider::HttpSubject;
use crate::bindings::gestalt::provider::common::{OperationResult, RpcError, StatusCode};
use crate::convert;
use crate::gate::Gate;
use crate::instance::{Instance, Maker, Standby};
use crate::lease::{Lease, Outcome};
use async_trait::async_trait;
use gestalt_core::limits::Limits;
use gestalt_core::{Call, Catalog, Credential, ExecError, Executor, HttpSubjectRequest, Reply, SubjectRef};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Mutex, OwnedSemaphorePermit};

/// An app that is a component.
pub(crate) struct WasmExecutor {
    pub(crate) maker: Arc<Maker>,
    pub(crate) gate: Gate,
    pub(crate) instances: Instances,
    pub(crate) catalog: Arc<Catalog>,
    /// Whether the static catalog is all there is, so that an operation it lacks need not be tried.
    pub(crate) is_catalog_complete: bool,
    pub(crate) has_session_catalog: bool,
}

/// Where a call's instance comes from.
pub(crate) enum Instances {
    /// `isolation: invocation`: a new one each time.
    Fresh(Arc<Standby>),
    /// `isolation: app`: always the same one, until a call on it goes wrong.
    Kept { instance: Mutex<Option<Instance>>, _slot: OwnedSemaphorePermit },
}

#[async_trait]
impl Executor for WasmExecutor {
    async fn catalog(&self, credential: Option<&Credential>) -> Result<Arc<Catalog>, ExecError> {
        match credential {
            Some(credential) if self.has_session_catalog => self.session_catalog(credential).await,
            _ => Ok(self.catalog.clone()),
        }
    }

    async fn execute(&self, call: Call) -> Result<Reply, ExecError> {
        if self.is_catalog_complete && self.catalog.find(&call.operation).is_none() {
            return Err(ExecError::UnknownOperation { operation: call.operation.to_string() });
        }
        let _place = self.gate.enter(call.deadline).await?;
        let until = call.deadline.min(Instant::now() + self.limits().timeout);
        let result = self.in_time(until, self.execute_until(&call, until)).await?;
        convert::reply(result, self.limits())
    }

    async fn http_subject(&self, request: &HttpSubjectRequest) -> Result<Option<SubjectRef>, ExecError> {
        let until = Instant::now() + self.limits().timeout;
        let _place = self.gate.enter(until).await?;
        match self.in_time(until, self.resolve_subject(request, until)).await? {
            None | Some(HttpSubject::Unresolved) => Ok(None),
            Some(HttpSubject::Subject(subject)) => match SubjectRef::parse(&subject.id) {
                Ok(subject) => Ok(Some(subject)),
                Err(e) => Err(ExecError::Failed(format!("the app names {:?}: {e}", subject.id))),
            },
            Some(HttpSubject::Reject(rejection)) => Err(ExecError::rejected(rejection.status, rejection.message)),
        }
    }

    async fn shutdown(&self) {
        self.gate.close().await;
        match &self.instances {
            Instances::Fresh(standby) => standby.close(),
            Instances::Kept { instance, .. } => drop(instance.lock().await.take()),
        }
    }
}

impl WasmExecutor {
    fn limits(&self) -> &Limits {
        &self.maker.host.limits
    }

    async fn execute_until(&self, call: &Call, until: Instant) -> Result<OperationResult, ExecError> {
        let mut lease = Lease::take(&self.instances, &self.maker).await?;
        let outcome = lease.execute(call, until).await;
        lease.finish(outcome)
    }

    /// The static catalog with what one connection adds. An id in both is the connection's.
    async fn session_catalog(&self, credential: &Credential) -> Result<Arc<Catalog>, ExecError> {
        let until = Instant::now() + self.limits().timeout;
        let _place = self.gate.enter(until).await?;
        let asked = self
            .in_time(until, async {
                let mut lease = Lease::take(&self.instances, &self.maker).await?;
                let outcome = lease.session_catalog(credential, until).await;
                lease.finish(optional(outcome))
            })
            .await?;
        let Some(wit) = asked else { return Ok(self.catalog.clone()) };
        let session = convert::catalog(wit).map_err(|e| ExecError::Failed(format!("session catalog: {e}")))?;
        let ids: HashSet<_> = session.operations().iter().map(|o| o.id.as_str()).collect();
        let kept = self.catalog.operations().iter().filter(|o| !ids.contains(o.id.as_str()));
        let operations = kept.chain(session.operations()).map(|o| o.as_ref().clone()).collect();
        let mut merged = Catalog::new(operations);
        merged.display_name.clone_from(&self.catalog.display_name);
        merged.description.clone_from(&self.catalog.description);
        merged.icon_svg.clone_from(&self.catalog.icon_svg);
        Ok(Arc::new(merged))
    }

    async fn resolve_subject(
        &self,
        request: &HttpSubjectRequest,
        until: Instant,
    ) -> Result<Option<HttpSubject>, ExecError> {
        let mut lease = Lease::take(&self.instances, &self.maker).await?;
        let outcome = lease.http_subject(request, until).await;
        lease.finish(optional(outcome))
    }

    /// Gives a call up at `until`. Its instance, owned by the future, goes with it.
    async fn in_time<T>(
        &self,
        until: Instant,
        call: impl Future<Output = Result<T, ExecError>>,
    ) -> Result<T, ExecError> {
        match tokio::time::timeout_at(until.into(), call).await {
            Ok(done) => done,
            Err(_) => Err(ExecError::Deadline),
        }
    }
}

/// `unimplemented` is how an app says that it has no such thing.
fn optional<T>(outcome: Outcome<T>) -> Outcome<Option<T>> {
    outcome.map(|answer| match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(RpcError { code: StatusCode::Unimplemented, .. }) => Ok(None),
        Err(error) => Err(error),
    })
}
