//! One audit record per invocation, whatever becomes of it.

use crate::{Invocation, InvokeError};
use gestalt_core::audit::{self, Outcome, Record};
use gestalt_core::{CredentialChoice, ExecError, Reply};
use std::sync::Arc;
use std::time::Instant;

/// Holds the record of an invocation and writes it when dropped: exactly once, on every way out.
pub(crate) struct Scope {
    sink: Arc<dyn audit::Sink>,
    started: Instant,
    record: Option<audit::Invocation>,
    request_id: Arc<str>,
}

impl Scope {
    /// Opens the record with a fresh request id. Until [`close`](Self::close) its outcome is [`Outcome::Abandoned`].
    pub(crate) fn open(sink: Arc<dyn audit::Sink>, invocation: &Invocation) -> Self {
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
            credential: CredentialChoice::default(),
            request: invocation.request.clone(),
            duration: std::time::Duration::ZERO,
            outcome: Outcome::Abandoned,
        };
        Self { sink, started: Instant::now(), record: Some(record), request_id }
    }

    pub(crate) fn request_id(&self) -> Arc<str> {
        self.request_id.clone()
    }

    /// Notes which credential was chosen.
    pub(crate) fn credential(&mut self, choice: &CredentialChoice) {
        if let Some(record) = &mut self.record {
            record.credential = choice.clone();
        }
    }

    /// Notes the outcome and writes the record.
    pub(crate) fn close(mut self, result: &Result<Reply, InvokeError>) {
        if let Some(record) = &mut self.record {
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
            self.sink.record(Record::Invocation(record));
        }
    }
}

/// Names in a record come from the caller: at most 256 bytes of them are kept.
fn bounded(text: &str) -> String {
    text[..text.floor_char_boundary(256)].to_owned()
}
