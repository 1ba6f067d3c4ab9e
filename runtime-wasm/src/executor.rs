//! One app's operations, each call on an instance of its own.

use crate::bindings::exports::gestalt::provider::app_provider::{Catalog as WitCatalog, HttpSubject};
use crate::bindings::gestalt::provider::common::{OperationResult, RpcError, StatusCode};
use crate::breaker::{Breaker, Change};
use crate::gate::Gate;
use crate::instance::{Instance, Maker, Standby};
use crate::lane::{Lane, Laned};
use crate::lease::{Lease, Outcome};
use crate::{catalog, convert};
use async_trait::async_trait;
use gestalt_core::limits::Limits;
use gestalt_core::metrics::Event;
use gestalt_core::{AppName, Call, Catalog, Credential, ExecError, Executor, HttpSubjectRequest, Reply, SubjectRef};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use tokio::sync::{Mutex, OwnedSemaphorePermit};

/// An app that is a component.
pub(crate) struct WasmExecutor {
    pub(crate) callee: Arc<Callee>,
    pub(crate) breaker: Breaker,
    pub(crate) gate: Gate,
    pub(crate) lane: Arc<Lane>,
    /// Whether the last call had to go to the slow lane.
    pub(crate) is_slow: Arc<AtomicBool>,
    pub(crate) catalog: Arc<Catalog>,
    /// Whether the static catalog is all there is, so that an operation it lacks need not be tried.
    pub(crate) is_catalog_complete: bool,
    pub(crate) has_session_catalog: bool,
}

/// What a call is made on.
pub(crate) struct Callee {
    pub(crate) maker: Arc<Maker>,
    pub(crate) instances: Instances,
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
        let answered = self.run(call.deadline, |until| self.callee.clone().execute_until(call, until)).await;
        self.counted(answered.and_then(|result| convert::reply(result, self.limits())))
    }

    async fn http_subject(&self, request: &HttpSubjectRequest) -> Result<Option<SubjectRef>, ExecError> {
        let due = Instant::now() + self.limits().timeout;
        let asked = self.run(due, |until| self.callee.clone().resolve_subject(request.clone(), until)).await;
        match self.counted(asked)? {
            None | Some(HttpSubject::Unresolved) => Ok(None),
            Some(HttpSubject::Subject(subject)) => match SubjectRef::parse(&subject.id) {
                Ok(subject) => Ok(Some(subject)),
                Err(e) => Err(ExecError::Failed(format!("the app names {:?}: {e}", convert::shortened(&subject.id)))),
            },
            Some(HttpSubject::Reject(rejection)) => Err(ExecError::rejected(rejection.status, &rejection.message)),
        }
    }

    async fn shutdown(&self) {
        self.gate.close().await;
        match &self.callee.instances {
            Instances::Fresh(standby) => standby.close(),
            Instances::Kept { instance, .. } => drop(instance.lock().await.take()),
        }
    }
}

impl WasmExecutor {
    fn limits(&self) -> &Limits {
        &self.callee.maker.host.limits
    }

    /// Makes one call: through the breaker and the gate, until it is due at the latest. The instance is owned by `call`'s
    /// future, and goes with it when it is given up.
    async fn run<T, F>(&self, due: Instant, call: impl FnOnce(Instant) -> F) -> Result<T, ExecError>
    where
        F: Future<Output = Ended<T>> + Send + 'static,
        T: Send + 'static,
    {
        let pass = self.breaker.admit(Instant::now())?;
        let place = self.gate.enter(due).await?;
        let until = due.min(Instant::now() + self.limits().timeout);
        let call = call(until);
        let call = async move {
            let ended = call.await;
            drop(place);
            ended
        };
        let call = Laned::new(self.lane.clone(), self.is_slow.clone(), call);
        let ended = tokio::time::timeout_at(until.into(), call).await;
        self.refill();
        let Ended { trapped, answer } = match ended {
            Ok(Some(ended)) => ended,
            Ok(None) => return Err(ExecError::Failed("the call was lost".into())),
            Err(_) => return Err(ExecError::Deadline),
        };
        if trapped {
            self.callee.maker.host.meter.record(Event::Trap { app: self.name() });
        }
        if let Some(change) = pass.end(trapped, Instant::now()) {
            let open = change == Change::Opened;
            tracing::warn!(app = %self.callee.maker.host.name, open, "circuit breaker");
            self.callee.maker.host.meter.record(Event::Breaker { app: self.name(), open });
        }
        answer
    }

    /// Reports the bound a call ran into.
    fn counted<T>(&self, answer: Result<T, ExecError>) -> Result<T, ExecError> {
        answer.inspect_err(|error| {
            if let Some(limit) = error.limit() {
                self.callee.maker.host.meter.record(Event::Limit { app: self.name(), limit });
            }
        })
    }

    fn name(&self) -> AppName {
        self.callee.maker.host.name.clone()
    }

    /// Has instances made for the calls to come, unless there are calls that wait: those need the processor more.
    fn refill(&self) {
        if let Instances::Fresh(standby) = &self.callee.instances
            && !self.gate.is_crowded()
        {
            standby.fill();
        }
    }

    /// The static catalog with what one connection adds. An id in both is the connection's.
    async fn session_catalog(&self, credential: &Credential) -> Result<Arc<Catalog>, ExecError> {
        let due = Instant::now() + self.limits().timeout;
        let asked = self.run(due, |until| self.callee.clone().session_catalog(credential.clone(), until));
        let asked = self.counted(asked.await)?;
        let Some(wit) = asked else { return Ok(self.catalog.clone()) };
        let session = catalog::checked(wit).map_err(|e| ExecError::Failed(format!("session catalog: {e}")))?;
        let ids: HashSet<_> = session.operations().iter().map(|o| o.id.as_str()).collect();
        let kept = self.catalog.operations().iter().filter(|o| !ids.contains(o.id.as_str()));
        let operations = kept.chain(session.operations()).map(|o| o.as_ref().clone()).collect();
        let mut merged = Catalog::new(operations);
        merged.display_name.clone_from(&self.catalog.display_name);
        merged.description.clone_from(&self.catalog.description);
        merged.icon_svg.clone_from(&self.catalog.icon_svg);
        Ok(Arc::new(merged))
    }
}

impl Callee {
    async fn execute_until(self: Arc<Self>, call: Call, until: Instant) -> Ended<OperationResult> {
        match Lease::take(&self.instances, &self.maker).await {
            Err(error) => Ended::before(error),
            Ok(mut lease) => {
                let outcome = lease.execute(&call, until).await;
                Ended::after(lease, outcome)
            }
        }
    }

    async fn session_catalog(self: Arc<Self>, credential: Credential, until: Instant) -> Ended<Option<WitCatalog>> {
        match Lease::take(&self.instances, &self.maker).await {
            Err(error) => Ended::before(error),
            Ok(mut lease) => {
                let outcome = lease.session_catalog(&credential, until).await;
                Ended::after(lease, optional(outcome))
            }
        }
    }

    async fn resolve_subject(
        self: Arc<Self>,
        request: HttpSubjectRequest,
        until: Instant,
    ) -> Ended<Option<HttpSubject>> {
        match Lease::take(&self.instances, &self.maker).await {
            Err(error) => Ended::before(error),
            Ok(mut lease) => {
                let outcome = lease.http_subject(&request, until).await;
                Ended::after(lease, optional(outcome))
            }
        }
    }
}

/// How a call came to its end.
struct Ended<T> {
    /// Whether the guest was what ended it, otherwise than by an answer.
    trapped: bool,
    answer: Result<T, ExecError>,
}

impl<T> Ended<T> {
    /// There was no instance to call: the app did not start this time, or there was no room.
    fn before(error: ExecError) -> Self {
        Self { trapped: !matches!(error, ExecError::Busy { .. }), answer: Err(error) }
    }

    fn after(lease: Lease<'_>, outcome: Outcome<T>) -> Self {
        Self { trapped: outcome.is_err(), answer: lease.finish(outcome) }
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
