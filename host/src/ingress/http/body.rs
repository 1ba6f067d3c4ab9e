//! Bodies that keep time: a request's that has to be there in time, and an answer's that tells when it is gone.

use super::pace::UnderWay;
use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as Stream, Frame, SizeHint};
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// A request's body that was not there in time.
#[derive(Debug, thiserror::Error)]
#[error("the body took longer than {0:?}")]
pub(super) struct TooSlow(Duration);

impl TooSlow {
    /// Whether `error` comes of one.
    pub(super) fn caused(error: &(dyn Error + 'static)) -> bool {
        std::iter::successors(Some(error), |error| (*error).source()).any(|error| error.is::<Self>())
    }
}

/// A request's body that has to be there in time.
pub(super) struct InTime<B> {
    body: B,
    time: Duration,
    until: Instant,
    /// Armed when the body is first waited for, which most are never.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> InTime<B> {
    /// `body`, all of which has to come within `time` from now.
    pub(super) fn new(body: B, time: Duration) -> Self {
        Self { body, time, until: Instant::now() + time, timer: None }
    }
}

impl<B: Stream<Data = Bytes, Error: Into<BoxError>> + Unpin> Stream for InTime<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context)
            // Bytes that come one by one are always there, and never all.
            && (frame.is_none() || Instant::now() < self.until)
        {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let until = self.until;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        timer.as_mut().poll(context).map(|()| Some(Err(TooSlow(self.time).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body, with what waits for it to be gone.
pub(super) struct Answering {
    body: Body,
    /// The longest piece it is given away in, and what is left of one that was longer.
    piece: usize,
    rest: Bytes,
    _until_gone: UnderWay,
}

/// What of an answer on HTTP/2 is given to a stream at once. A stream takes whole what it is given, however little of it
/// its client takes, so that an answer given away whole would count as gone.
const PIECE: usize = 16 << 10;

impl Answering {
    /// `body`, the answer to the request that is under way.
    pub(super) fn new(body: Body, under_way: UnderWay, framed: bool) -> Self {
        // One of unknown length is being made while it is sent, and takes as long as that takes.
        if let Some(bytes) = body.size_hint().exact() {
            under_way.answered(bytes);
        }
        let piece = if framed { PIECE } else { usize::MAX };
        Self { body, piece, rest: Bytes::new(), _until_gone: under_way }
    }

    fn next_piece(&mut self, mut bytes: Bytes) -> Bytes {
        self.rest = bytes.split_off(bytes.len().min(self.piece));
        bytes
    }
}

impl Stream for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(self.next_piece(rest)))));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(|bytes| self.next_piece(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper + rest);
        }
        whole
    }
}
