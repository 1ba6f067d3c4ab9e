//! How fast a connection has to be.

use super::places::{Bound, Guest, Place};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until};

/// `server.connections.*Timeout`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// To the end of a request's head, from the first moment of a connection or the first byte of a later request.
    pub(super) head: Duration,
    /// From there to the end of its body. A total and no rate: a body is 1 MiB at most, which in the default minute is
    /// 17 KiB/s, slower than any line that agents, services or people call from.
    pub(super) body: Duration,
    /// From an answer to the next request.
    pub(super) idle: Duration,
    /// For a client that takes nothing of an answer.
    pub(super) write: Duration,
}

/// How much a client must take of an answer for each second it asks for beyond `writeTimeout`. An answer may be larger
/// than any body, so a total would be either too short for the largest or too long for the smallest.
const MIN_RATE: u64 = 16 << 10;
/// Heads longer than this are rare. They are read for a few connections at once only, because what is allowed of one
/// (1 MiB) is too much for all.
const LARGE_HEAD: usize = 64 << 10;

/// Why a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// A bound of [`Times`], or of how many large heads are read at once.
    Slow(&'static str),
    /// It sent nothing for so long after an answer that it is of no use: nothing is wrong with that.
    Idle,
    /// Others needed its place.
    GaveWay(Bound),
}

/// What one connection is doing, and until when it may.
pub(super) struct Pace {
    times: Times,
    large_heads: Arc<Semaphore>,
    state: Mutex<State>,
}

struct State {
    place: Option<Place<Pace>>,
    /// Whether `place` knows that it waits.
    waits: bool,
    /// Requests whose answers have not been handed over whole.
    under_way: usize,
    /// When it began to wait: for its first request, or for another.
    since: Instant,
    /// Whether it has had a request, and whether that was HTTP/2, where bytes that come need not be a request.
    served: bool,
    framed: bool,
    /// The head that is being read: its first byte, and bytes so far.
    head: Option<(Instant, usize)>,
    large: Option<OwnedSemaphorePermit>,
    /// When the client stopped taking what is sent to it, and what it took since.
    blocked: Option<(Instant, u64)>,
    /// Until when answers of known length must be handed over whole. On HTTP/2 they may wait without the stream being
    /// blocked, for a window that the client does not open.
    answers: Vec<(u64, Instant)>,
    next_answer: u64,
    ended: Option<Ended>,
    /// Whoever watches; `None` while the connection is at work, as it is looked at after that anyhow.
    watcher: Option<Waker>,
}

impl Guest for Pace {
    fn leave(&self, bound: Bound) {
        self.change(|state| state.ended = Some(Ended::GaveWay(bound)));
    }
}

impl Pace {
    /// Of a connection that begins now. `large_heads` are shared by all.
    pub(super) fn new(times: Times, large_heads: Arc<Semaphore>) -> Arc<Self> {
        let state = State {
            place: None,
            waits: true,
            under_way: 0,
            since: Instant::now(),
            served: false,
            framed: false,
            head: None,
            large: None,
            blocked: None,
            answers: Vec::new(),
            next_answer: 0,
            ended: None,
            watcher: None,
        };
        Arc::new(Self { times, large_heads, state: Mutex::new(state) })
    }

    /// Gives it the place it has, until what is returned is dropped.
    pub(super) fn hold(self: &Arc<Self>, place: Place<Self>) -> Held {
        self.state().place = Some(place);
        Held(self.clone())
    }

    /// A request is there, head and all.
    pub(super) fn begin(self: &Arc<Self>, framed: bool) -> UnderWay {
        let mut answer = 0;
        self.change(|state| {
            answer = state.next_answer;
            state.next_answer += 1;
            state.under_way += 1;
            (state.served, state.framed) = (true, framed);
            (state.head, state.large) = (None, None);
        });
        UnderWay { pace: self.clone(), answer }
    }

    /// Runs `connection` until it ends by itself, or has to.
    pub(super) async fn watch<T>(&self, connection: impl Future<Output = T>) -> Result<T, Ended> {
        let mut connection = std::pin::pin!(connection);
        // Armed late and never moved back: most deadlines are replaced before they come.
        let mut timer: Option<Pin<Box<Sleep>>> = None;
        std::future::poll_fn(move |context| {
            self.state().watcher = None;
            if let Poll::Ready(result) = connection.as_mut().poll(context) {
                return Poll::Ready(Ok(result));
            }
            let mut state = self.state();
            state.watcher = Some(context.waker().clone());
            loop {
                let (until, ended) = match state.due(&self.times) {
                    Ok(Some(due)) => due,
                    Ok(None) => return Poll::Pending,
                    Err(ended) => return Poll::Ready(Err(ended)),
                };
                if until <= Instant::now() {
                    return Poll::Ready(Err(ended));
                }
                let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
                if until < timer.deadline() || timer.is_elapsed() {
                    timer.as_mut().reset(until);
                }
                ready!(timer.as_mut().poll(context));
            }
        })
        .await
    }

    fn received(&self, bytes: usize) {
        let mut doomed = false;
        self.change(|state| {
            if state.under_way > 0 || state.framed {
                return;
            }
            let (_, so_far) = state.head.get_or_insert_with(|| (Instant::now(), 0));
            // One read may bring a request whole, with its body behind it.
            if *so_far > LARGE_HEAD && state.large.is_none() {
                state.large = self.large_heads.clone().try_acquire_owned().ok();
                doomed = state.large.is_none();
            }
            *so_far += bytes;
            if doomed {
                state.ended = Some(Ended::Slow("largeHeads"));
            }
        });
    }

    /// `taken` bytes of `asked` were taken, or none could be.
    fn sent(&self, asked: usize, taken: Option<usize>) {
        self.change(|state| match (taken, &mut state.blocked) {
            (None, None) => state.blocked = Some((Instant::now(), 0)),
            (Some(taken), blocked) if taken >= asked => *blocked = None,
            (Some(taken), Some((_, so_far))) => *so_far += taken as u64,
            (None, Some(_)) | (Some(_), None) => {}
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let waits = state.under_way == 0 && state.blocked.is_none();
        if waits != state.waits {
            state.waits = waits;
            if let Some(place) = &state.place {
                place.waits(waits);
            }
        }
        if let Some(watcher) = state.watcher.take() {
            drop(state);
            watcher.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The next moment at which it has to end unless something happens, and why; an error when it has to end now.
    fn due(&self, times: &Times) -> Result<Option<(Instant, Ended)>, Ended> {
        if let Some(ended) = self.ended {
            return Err(ended);
        }
        let waiting = (self.under_way == 0).then(|| match self.head {
            _ if !self.served => (self.since + times.head, Ended::Slow("headTimeout")),
            Some((first, _)) => (first + times.head, Ended::Slow("headTimeout")),
            None => (self.since + times.idle, Ended::Idle),
        });
        let blocked = self.blocked.map(|(since, taken)| since + times.for_writing(taken));
        let writing = blocked.into_iter().chain(self.answers.iter().map(|(_, until)| *until)).min();
        let writing = writing.map(|until| (until, Ended::Slow("writeTimeout")));
        Ok(waiting.into_iter().chain(writing).min_by_key(|(until, _)| *until))
    }
}

impl Times {
    /// How long a client may take for `bytes`.
    fn for_writing(self, bytes: u64) -> Duration {
        self.write + Duration::from_secs(bytes / MIN_RATE)
    }
}

/// The place of a connection, given back when dropped.
pub(super) struct Held(Arc<Pace>);

impl Drop for Held {
    fn drop(&mut self) {
        // In a statement of its own: giving it back takes another lock.
        let place = self.0.state().place.take();
        drop(place);
    }
}

/// A request whose answer has not been handed over whole.
pub(super) struct UnderWay {
    pace: Arc<Pace>,
    answer: u64,
}

impl UnderWay {
    /// The answer is there, and is so long.
    pub(super) fn answered(&self, bytes: u64) {
        let until = Instant::now() + self.pace.times.for_writing(bytes);
        self.pace.change(|state| {
            state.answers.push((self.answer, until));
        });
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.pace.change(|state| {
            state.answers.retain(|(answer, _)| *answer != self.answer);
            state.under_way -= 1;
            if state.under_way == 0 {
                state.since = Instant::now();
            }
        });
    }
}

/// A connection's stream, which tells its pace what passes.
pub(super) struct Paced<S> {
    pub(super) stream: S,
    pub(super) pace: Arc<Pace>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            self.pace.received(bytes);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Paced<S> {
    fn tell(&self, asked: usize, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &result {
            Poll::Ready(Ok(taken)) => self.pace.sent(asked, Some(*taken)),
            Poll::Pending => self.pace.sent(asked, None),
            Poll::Ready(Err(_)) => {}
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.tell(bytes.len(), result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.tell(parts.iter().map(|part| part.len()).sum(), result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
