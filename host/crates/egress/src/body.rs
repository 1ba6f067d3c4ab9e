//! Bodies with bounds, in either direction. Nothing here decodes: what is counted is what was on the wire.

use crate::exchange::Exchange;
use crate::headers::filter_trailers;
use crate::scrub::{Scrubber, Stream};
use bytes::Bytes;
use gestalt_core::egress::{Body as CoreBody, EgressError};
use gestalt_core::limits::ByteSize;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// What a request's body tells the one who waits for the answer, past the HTTP machinery between them.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    /// Why the body ended badly.
    pub(crate) error: OnceLock<EgressError>,
}

/// A request's body: at most as long as allowed, exactly as long as declared.
pub(crate) struct RequestBody {
    inner: CoreBody,
    limit: ByteSize,
    declared: Option<u64>,
    sent: u64,
    upload: Arc<Upload>,
}

impl RequestBody {
    /// Wraps a body whose head declares `declared` bytes.
    ///
    /// # Errors
    /// When the head already says that it cannot end well: too long, or another length than the body knows to have.
    pub(crate) fn new(
        inner: CoreBody,
        declared: Option<u64>,
        limit: ByteSize,
        upload: Arc<Upload>,
    ) -> Result<Self, EgressError> {
        let hint = inner.size_hint();
        let known = if inner.is_end_stream() { Some(0) } else { hint.exact() };
        if declared.is_some_and(|declared| known.is_some_and(|known| known != declared)) {
            return Err(wrong_length());
        }
        if declared.unwrap_or(0).max(hint.lower()) > limit.0 {
            return Err(EgressError::RequestTooLarge(limit));
        }
        Ok(Self { inner, limit, declared, sent: 0, upload })
    }

    fn count(&mut self, length: usize) -> Result<(), EgressError> {
        self.sent += length as u64;
        if self.sent > self.limit.0 {
            return Err(EgressError::RequestTooLarge(self.limit));
        }
        if self.declared.is_some_and(|declared| self.sent > declared) {
            return Err(wrong_length());
        }
        Ok(())
    }

    fn fail<T>(&self, error: EgressError) -> Poll<Option<Result<T, EgressError>>> {
        let _ = self.upload.error.set(error.clone());
        Poll::Ready(Some(Err(error)))
    }

    fn complete(&self) -> bool {
        self.declared.is_none_or(|declared| declared == self.sent)
    }
}

fn wrong_length() -> EgressError {
    EgressError::Protocol("request body is not as long as its content-length".to_owned())
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => match self.count(data.len()) {
                    Ok(()) => Poll::Ready(Some(Ok(Frame::data(data)))),
                    Err(error) => self.fail(error),
                },
                // No `Trailer` announces them, and no server waits for them.
                Err(_) if self.complete() => Poll::Ready(None),
                Err(_) => self.fail(wrong_length()),
            },
            Some(Err(error)) => self.fail(error),
            None if self.complete() => Poll::Ready(None),
            None => self.fail(wrong_length()),
        }
    }

    /// A body that ended too early is not at its end: the error is still to come.
    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream() && self.complete()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn clean_trailers(frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
    let mut trailers = frame.into_trailers().ok()?;
    filter_trailers(&mut trailers);
    Some(Frame::trailers(trailers))
}

/// When an answer's body is late.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Between two chunks, while somebody waits for the next.
    pub(crate) idle: Duration,
    /// All of it.
    pub(crate) deadline: Instant,
}

/// An answer's body. Owns the exchange, and with it connection and permit, until it ends, fails or is dropped.
pub(crate) struct ResponseBody {
    inner: Incoming,
    /// `None` once the body has ended.
    exchange: Option<Exchange>,
    limit: ByteSize,
    received: u64,
    idle: Duration,
    idle_timer: Option<Pin<Box<Sleep>>>,
    total_timer: Pin<Box<Sleep>>,
}

impl ResponseBody {
    /// Wraps a body; one that is known to be empty gives the connection back at once.
    ///
    /// # Errors
    /// When its head already declares more than `limit`.
    pub(crate) fn new(inner: Incoming, exchange: Exchange, limit: ByteSize, pace: Pace) -> Result<Self, EgressError> {
        if inner.size_hint().lower() > limit.0 {
            return Err(exchange.fail(EgressError::ResponseTooLarge(limit)));
        }
        let exchange = (!inner.is_end_stream()).then_some(exchange);
        let total_timer = Box::pin(tokio::time::sleep_until(pace.deadline));
        Ok(Self { inner, exchange, limit, received: 0, idle: pace.idle, idle_timer: None, total_timer })
    }

    /// Ends the exchange with an error, which closes the connection.
    fn fail(&mut self, error: EgressError) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let error = match self.exchange.take() {
            Some(exchange) => exchange.fail(error),
            None => error,
        };
        Poll::Ready(Some(Err(error)))
    }

    /// Ends the exchange because this bound on time was reached.
    fn late(&mut self, limit: &'static str) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let error = match self.exchange.take() {
            Some(exchange) => exchange.late(limit),
            None => EgressError::ReadTimeout,
        };
        Poll::Ready(Some(Err(error)))
    }

    fn is_idle(&mut self, cx: &mut Context<'_>) -> bool {
        let idle = self.idle;
        let timer = self.idle_timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        timer.as_mut().poll(cx).is_ready()
    }

    fn take(&mut self, data: Bytes) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        self.received += data.len() as u64;
        if self.received > self.limit.0 {
            return self.fail(EgressError::ResponseTooLarge(self.limit));
        }
        if self.inner.is_end_stream() {
            self.exchange = None;
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        if self.exchange.is_none() {
            return Poll::Ready(None);
        }
        if self.total_timer.as_mut().poll(cx).is_ready() {
            return self.late("egress.totalTimeout");
        }
        let Poll::Ready(next) = Pin::new(&mut self.inner).poll_frame(cx) else {
            return if self.is_idle(cx) { self.late("egress.idleTimeout") } else { Poll::Pending };
        };
        self.idle_timer = None;
        match next {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => self.take(data),
                Err(frame) => Poll::Ready(clean_trailers(frame).map(Ok)),
            },
            Some(Err(error)) => {
                let error =
                    self.exchange.as_ref().map_or(EgressError::ReadTimeout, |exchange| exchange.body_error(&error));
                self.fail(error)
            }
            None => {
                self.exchange = None;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.exchange.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.exchange.is_none() { SizeHint::with_exact(0) } else { self.inner.size_hint() }
    }
}

/// An answer's body in which the app's held credentials are covered up.
pub(crate) struct ScrubbedBody {
    inner: ResponseBody,
    scrubber: Arc<Scrubber>,
    stream: Stream,
    /// What comes after the bytes held back.
    last: Option<Option<Result<Frame<Bytes>, EgressError>>>,
}

impl ScrubbedBody {
    /// Wraps a body.
    pub(crate) fn new(inner: ResponseBody, scrubber: Arc<Scrubber>) -> Self {
        Self { inner, scrubber, stream: Stream::default(), last: None }
    }

    /// What ends the bytes: before it goes what was held back. After an error nothing does: it may be half a credential.
    fn end(&mut self, last: Option<Result<Frame<Bytes>, EgressError>>) -> Option<Result<Frame<Bytes>, EgressError>> {
        let last = match last {
            Some(Ok(frame)) => Some(Ok(frame)),
            Some(Err(error)) => return Some(Err(cover(error, &self.scrubber))),
            None => None,
        };
        let rest = self.stream.finish();
        if rest.is_empty() {
            return last;
        }
        self.last = Some(last);
        Some(Ok(Frame::data(rest)))
    }
}

impl Body for ScrubbedBody {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        loop {
            if let Some(last) = self.last.take() {
                return Poll::Ready(last);
            }
            let next = ready!(Pin::new(&mut self.inner).poll_frame(cx));
            let frame = match next {
                Some(Ok(frame)) => frame,
                last => return Poll::Ready(self.end(last)),
            };
            let this = &mut *self;
            match frame.into_data() {
                Ok(data) => {
                    let data = this.stream.push(&this.scrubber, data);
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                Err(frame) => {
                    let mut trailers = frame.into_trailers().unwrap_or_default();
                    this.scrubber.headers(&mut trailers);
                    return Poll::Ready(this.end(Some(Ok(Frame::trailers(trailers)))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.last.is_none() && self.stream.is_empty() && self.inner.is_end_stream()
    }

    /// Covering up keeps lengths.
    fn size_hint(&self) -> SizeHint {
        let held = self.stream.len() as u64;
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + held);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + held);
        }
        hint
    }
}

/// The error with every held credential covered up: some repeat what the server said.
pub(crate) fn cover(error: EgressError, scrubber: &Scrubber) -> EgressError {
    let cover = |text: String| scrubber.text(&text).into_owned();
    match error {
        EgressError::Connect(text) => EgressError::Connect(cover(text)),
        EgressError::TlsCertificate(text) => EgressError::TlsCertificate(cover(text)),
        EgressError::Tls(text) => EgressError::Tls(cover(text)),
        EgressError::Protocol(text) => EgressError::Protocol(cover(text)),
        EgressError::Closed(text) => EgressError::Closed(cover(text)),
        other => other,
    }
}
