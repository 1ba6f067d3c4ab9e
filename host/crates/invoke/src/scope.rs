//! One audit record and one metric event per invocation, whatever becomes of it.

use crate::{Invocation, InvokeError, Problem};
use gestalt_core::audit::{self, Outcome, Record};
use gestalt_core::metrics::{Event, Meter};
use gestalt_core::{AppName, CredentialChoice, ExecError, Reply, Transport};
use std::sync::Arc;
use std::time::Instant;

/// Where what happened is told.
#[derive(Clone)]
pub(crate) struct Observers {
    pub(crate) audit: Arc<dyn audit::Sink>,
    pub(crate) meter: Arc<dyn Meter>,
}

/// Holds the record of an invocation and writes it when dropped: exactly once, on every way out.
pub(crate) struct Scope {
    observers: Observers,
    started: Instant,
    record: Option<audit::Invocation>,
    request_id: Arc<str>,
    /// What the caller's words were found to mean. Only these become labels: the words themselves have no bound.
    app: Option<AppName>,
    operation: Option<(Arc<str>, Transport)>,
    status: u16,
}

/// What proxies log for a caller that has left; there is no registered code.
const CLIENT_CLOSED_REQUEST: u16 = 499;

impl Scope {
    /// Opens the record with a fresh request id. Until [`close`](Self::close) its outcome is [`Outcome::Abandoned`].
    pub(crate) fn open(observers: Observers, invocation: &Invocation) -> Self {
        let request_id: Arc<str> = uuid::Uuid::new_v4().to_string().into();
        let record = audit::Invocation {
            request_id: request_id.clone(),
            source: invocation.origin,
            app: bounded(&invocation.app),
            operation: bounded(&invocation.operation),
            depth: invocation.parent.as_ref().map_or(0, |parent| parent.chain.len()),
            subject: invocation.principal.subject.clone(),
            auth_source: invocation.principal.auth_source,
            caller_app: invocation.parent.as_ref().map(|parent| parent.app.clone()),
            caller_chain: invocation.parent.as_ref().map(|parent| parent.chain.clone()).unwrap_or_default(),
            credential: CredentialChoice::default(),
            request: invocation.request.clone(),
            duration: std::time::Duration::ZERO,
            outcome: Outcome::Abandoned,
            limit: None,
        };
        Self {
            observers,
            started: Instant::now(),
            record: Some(record),
            request_id,
            app: None,
            operation: None,
            status: CLIENT_CLOSED_REQUEST,
        }
    }

    pub(crate) fn request_id(&self) -> Arc<str> {
        self.request_id.clone()
    }

    /// Notes that the app exists.
    pub(crate) fn app(&mut self, app: &AppName) {
        self.app = Some(app.clone());
    }

    /// Notes that the app has the operation.
    pub(crate) fn operation(&mut self, id: &Arc<str>, transport: Transport) {
        self.operation = Some((id.clone(), transport));
    }

    /// Notes which credential was chosen.
    pub(crate) fn credential(&mut self, choice: &CredentialChoice) {
        if let Some(record) = &mut self.record {
            record.credential = choice.clone();
        }
    }

    /// Notes the outcome and writes the record.
    pub(crate) fn close(mut self, result: &Result<Reply, InvokeError>) {
        self.status = match result {
            Ok(reply) => reply.status,
            Err(error) => Problem::from(error).status,
        };
        if let Some(record) = &mut self.record {
            record.limit = match result {
                Err(InvokeError::Exec { source, .. }) => source.limit(),
                _ => None,
            };
            record.outcome = match result {
                Ok(reply) => Outcome::Answered(reply.status),
                Err(InvokeError::Denied(denial)) => Outcome::Denied(denial.as_str()),
                Err(InvokeError::Exec { source: ExecError::EgressDenied(reason), .. }) => {
                    Outcome::Failed(format!("egress denied: {reason}"))
                }
                Err(error) => Outcome::Failed(error.to_string()),
            };
        }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if let Some(mut record) = self.record.take() {
            record.duration = self.started.elapsed();
            let (operation, transport) = self.operation.take().unzip();
            self.observers.meter.record(Event::Operation {
                app: self.app.take(),
                operation,
                transport,
                source: record.source,
                status: self.status,
                duration: record.duration,
            });
            self.observers.audit.record(Record::Invocation(record));
        }
    }
}

/// Names in a record come from the caller: at most 256 bytes of them are kept.
fn bounded(text: &str) -> String {
    text[..text.floor_char_boundary(256)].to_owned()
}
