//! One request on one connection: the task that drives it, and the record that says what became of it.

use crate::attempt::Attempt;
use crate::body::{RequestBody, Upload};
use crate::refusal::Refusal;
use crate::traffic::Metered;
use gestalt_core::egress::EgressError;
use gestalt_core::limits::EgressLimits;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant};

/// A connection in the clear or in TLS.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// The smallest read buffer the HTTP implementation accepts. A smaller bound on heads holds all the same.
const MIN_BUFFER: usize = 8192;

/// A request on its connection. Dropping it closes the socket, returns the permit and writes the record.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// Declared first, so that the connection is told to end before the record is written.
    _driver: Driver,
    attempt: Attempt,
}

/// The task that reads and writes a connection.
#[derive(Debug)]
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// When an answer's head is late, and when the connection is closed whoever still holds it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) first_byte: Duration,
    pub(crate) deadline: Instant,
}

impl Exchange {
    /// Sends a request over a fresh connection and waits for the head of its answer.
    pub(crate) async fn start(
        io: Box<dyn Io>,
        request: Request<RequestBody>,
        limits: &EgressLimits,
        patience: Patience,
        permit: OwnedSemaphorePermit,
        attempt: Attempt,
    ) -> Result<(Response<Incoming>, Self), EgressError> {
        let io = Metered::new(io, Arc::clone(attempt.traffic()));
        let (mut sender, connection) = match builder(limits).handshake(TokioIo::new(io)).await {
            Ok(ready) => ready,
            Err(error) => {
                let error = head_error(&error, attempt.upload());
                return Err(attempt.fail(error.into()));
            }
        };
        // A task of its own: the request's body flows while nobody reads the answer, and the deadline holds while
        // nobody looks at it.
        let driver = Driver(tokio::spawn(async move {
            let _permit = permit;
            let _ = tokio::time::timeout_at(patience.deadline, connection).await;
        }));
        let exchange = Self { _driver: driver, attempt };
        let error = match tokio::time::timeout(patience.first_byte, sender.send_request(request)).await {
            Ok(Ok(response)) => return Ok((response, exchange)),
            Ok(Err(error)) if Instant::now() < patience.deadline => head_error(&error, exchange.attempt.upload()),
            Ok(Err(_)) => return Err(exchange.late("egress.totalTimeout")),
            Err(_) => return Err(exchange.late("egress.firstByteTimeout")),
        };
        Err(exchange.fail(error))
    }

    /// Ends the exchange with `error`, and hands it back.
    pub(crate) fn fail(self, error: EgressError) -> EgressError {
        self.attempt.fail(error.into())
    }

    /// Ends the exchange because this bound on time was reached.
    pub(crate) fn late(self, limit: &'static str) -> EgressError {
        self.attempt.fail(Refusal::from(EgressError::ReadTimeout).with_limit(limit))
    }

    /// What an error of the answer's body means. A request body that broke is the cause, whatever the symptom.
    pub(crate) fn body_error(&self, error: &hyper::Error) -> EgressError {
        match self.attempt.upload().error.get() {
            Some(cause) => cause.clone(),
            None if breaks_rules(error) => EgressError::Protocol(error.to_string()),
            None => EgressError::Closed(error.to_string()),
        }
    }
}

/// Whether a body was not what it should be, rather than not all of it.
fn breaks_rules(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
    matches!(cause, Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData))
}

fn builder(limits: &EgressLimits) -> http1::Builder {
    let head = limits.max_header_bytes.as_usize();
    let mut builder = http1::Builder::new();
    builder.max_headers(limits.max_headers).max_header_size(head).max_buf_size(head.max(MIN_BUFFER));
    builder
}

fn head_error(error: &hyper::Error, upload: &Upload) -> EgressError {
    match upload.error.get() {
        Some(cause) => cause.clone(),
        None if error.is_parse_too_large() => EgressError::ResponseHeadTooLarge,
        None if error.is_parse() || error.is_user() => EgressError::Protocol(error.to_string()),
        None => EgressError::Connect(error.to_string()),
    }
}
