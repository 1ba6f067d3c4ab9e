use crate::{Call, Catalog, Credential, ExecError, Headers, Metadata, Reply, SubjectRef};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;

/// Runs one app's operations, whatever the app is made of.
///
/// One value per app, alive from a successful launch until [`shutdown`](Self::shutdown). Callers share it freely:
/// every method may run any number of times at once.
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    /// The operations the app offers: the static ones, and with a credential those of that connection too.
    ///
    /// Called for every list and every invocation without a cached answer; keep the static part ready.
    ///
    /// # Errors
    /// When a session catalog was asked for and could not be had.
    async fn catalog(&self, credential: Option<&Credential>) -> Result<Arc<Catalog>, ExecError>;

    /// Runs one operation. Dropping the future abandons the call: nothing of it may go on on the app's behalf.
    ///
    /// # Errors
    /// When there is no answer. An answer with status 400 or above is `Ok`.
    async fn execute(&self, call: Call) -> Result<Reply, ExecError>;

    /// Lets the app look at a connection that was just made, and add to what is stored about it.
    ///
    /// Called once per new connection. Apps without such a hook answer nothing.
    ///
    /// # Errors
    /// When the app refuses the connection.
    async fn post_connect(&self, _credential: &Credential) -> Result<Metadata, ExecError> {
        Ok(Metadata::new())
    }

    /// Who an inbound webhook acts as; `None` leaves it to the binding's own system subject.
    ///
    /// Called after the request's signature was verified.
    ///
    /// # Errors
    /// When the app fails, or rejects the request.
    async fn http_subject(&self, _request: &HttpSubjectRequest) -> Result<Option<SubjectRef>, ExecError> {
        Ok(None)
    }

    /// Finishes calls in flight, then releases everything. Called once, after which nothing else is.
    async fn shutdown(&self);
}

/// A webhook request whose subject is asked for.
#[derive(Clone, Debug, Default)]
pub struct HttpSubjectRequest {
    /// Binding key in the manifest.
    pub binding: String,
    /// HTTP method, upper case.
    pub method: String,
    /// Path below the app's own prefix.
    pub path: String,
    /// Media type of the body, or empty.
    pub content_type: String,
    /// Request headers.
    pub headers: Headers,
    /// Query pairs in order.
    pub query: Headers,
    /// The unparsed body, for signature schemes of the app's own.
    pub raw_body: Bytes,
    /// Name of the security scheme that verified the request.
    pub security_scheme: String,
    /// Subject that scheme established, or empty.
    pub verified_subject: String,
    /// Claims that scheme established.
    pub verified_claims: Metadata,
}
