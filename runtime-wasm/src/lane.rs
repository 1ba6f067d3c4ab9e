//! The slow lane: where calls go on that use a thread longer than a tick.
//!
//! Such a call yields at every tick, but a thread it has left it wants back at once, and a few of them would hold every
//! thread of the daemon half of the time. So they are moved to threads of their own, which the system runs when nothing
//! else wants the processor. An app whose last call had to be moved begins the next one there.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tracing::Instrument;

/// How far the system prefers other threads: as far as it goes.
const NICE: i32 = 19;

thread_local! {
    /// Whether a guest has used up a tick during the present poll.
    static TICKED: Cell<bool> = const { Cell::new(false) };
}

thread_local! {
    /// Whether this is a thread of the slow lane.
    static IS_SLOW: Cell<bool> = const { Cell::new(false) };
}

/// Time that passes while a guest is polled, in nanoseconds from some point of this thread's own; `since` is any point
/// in the past. A thread of the slow lane stands aside for others, which is not to be charged to its guest: there, time
/// is the processor's.
pub(crate) fn clock(since: Instant) -> u64 {
    let passed = if IS_SLOW.get() {
        Duration::try_from(rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime)).unwrap_or_default()
    } else {
        since.elapsed()
    };
    u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)
}

/// Notes that the guest being polled on this thread has used up a tick.
pub(crate) fn tick() {
    TICKED.set(true);
}

/// The threads of the slow lane, made when the first call needs them.
#[derive(Default)]
pub(crate) struct Lane {
    threads: OnceLock<Option<Runtime>>,
}

impl Lane {
    /// Moves a call there. Gives it back when there are no threads to be had.
    fn spawn<T: Send + 'static>(&self, call: Boxed<T>, is_slow: Arc<AtomicBool>) -> Result<JoinHandle<T>, Boxed<T>> {
        match self.threads.get_or_init(build) {
            Some(threads) => Ok(threads.spawn(Moved { call, ticked: false, is_slow }.in_current_span())),
            None => Err(call),
        }
    }
}

fn build() -> Option<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let lower = || {
        IS_SLOW.set(true);
        // On Linux this is about the thread that says it. Elsewhere the lane is only a lane.
        if cfg!(target_os = "linux") {
            let _ = rustix::process::nice(NICE);
        }
    };
    let threads = Builder::new_multi_thread()
        .worker_threads(cores)
        .thread_name("wasm-slow")
        .on_thread_start(lower)
        .enable_all()
        .build();
    threads.inspect_err(|error| tracing::warn!(%error, "no slow lane")).ok()
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take().flatten() {
            threads.shutdown_background();
        }
    }
}

/// A call in the slow lane. One that ends without having used a tick there has the app's next call begin elsewhere.
struct Moved<T> {
    call: Boxed<T>,
    ticked: bool,
    is_slow: Arc<AtomicBool>,
}

impl<T> Future for Moved<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        TICKED.set(false);
        let polled = self.call.as_mut().poll(cx);
        self.ticked |= TICKED.get();
        if polled.is_ready() {
            self.is_slow.store(self.ticked, Ordering::Relaxed);
        }
        polled
    }
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A call on its way through the lanes. Dropped, it is given up wherever it is.
pub(crate) struct Laned<T: Send + 'static> {
    lane: Arc<Lane>,
    /// Whether the app's last call was slow.
    is_slow: Arc<AtomicBool>,
    at: At<T>,
}

enum At<T> {
    Start(Boxed<T>),
    Here(Boxed<T>),
    There(JoinHandle<T>),
    Over,
}

impl<T: Send + 'static> Laned<T> {
    pub(crate) fn new(
        lane: Arc<Lane>,
        is_slow: Arc<AtomicBool>,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        Self { lane, is_slow, at: At::Start(Box::pin(call)) }
    }

    fn moved(&self, call: Boxed<T>) -> At<T> {
        match self.lane.spawn(call, self.is_slow.clone()) {
            Ok(call) => At::There(call),
            Err(call) => At::Here(call),
        }
    }
}

impl<T: Send + 'static> Future for Laned<T> {
    /// `None` when the call panicked there.
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if matches!(self.at, At::Start(_))
            && let At::Start(call) = std::mem::replace(&mut self.at, At::Over)
        {
            self.at = if self.is_slow.load(Ordering::Relaxed) { self.moved(call) } else { At::Here(call) };
        }
        if let At::Here(call) = &mut self.at {
            // A call within a call is timed for itself.
            let outer = TICKED.replace(false);
            let polled = call.as_mut().poll(cx);
            let ticked = TICKED.replace(outer);
            match polled {
                Poll::Ready(answer) => {
                    self.at = At::Over;
                    return Poll::Ready(Some(answer));
                }
                Poll::Pending if !ticked => return Poll::Pending,
                Poll::Pending => {}
            }
            self.is_slow.store(true, Ordering::Relaxed);
            if let At::Here(call) = std::mem::replace(&mut self.at, At::Over) {
                self.at = self.moved(call);
            }
        }
        match &mut self.at {
            At::There(call) => {
                let ended = ready!(Pin::new(call).poll(cx));
                self.at = At::Over;
                Poll::Ready(ended.ok())
            }
            // No threads to be had: it goes on here.
            At::Here(_) | At::Start(_) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            At::Over => Poll::Ready(None),
        }
    }
}

impl<T: Send + 'static> Drop for Laned<T> {
    fn drop(&mut self) {
        if let At::There(call) = &self.at {
            call.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> String {
        std::thread::current().name().unwrap_or_default().to_owned()
    }

    fn laned<T: Send + 'static>(
        lane: &Arc<Lane>,
        slow: &Arc<AtomicBool>,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Laned<T> {
        Laned::new(lane.clone(), slow.clone(), call)
    }

    #[tokio::test]
    async fn a_call_moves_when_it_has_used_a_tick_and_the_next_begins_there() {
        let (lane, slow) = (Arc::<Lane>::default(), Arc::<AtomicBool>::default());
        let quick = async { tokio::task::yield_now().await };
        laned(&lane, &slow, quick).await.unwrap();
        assert!(lane.threads.get().is_none() && !slow.load(Ordering::Relaxed));
        let busy = async {
            let before = name();
            tick();
            tokio::task::yield_now().await;
            tick();
            (before, name(), rustix::process::nice(0).unwrap())
        };
        let (before, after, nice) = laned(&lane, &slow, busy).await.unwrap();
        assert_ne!(before, "wasm-slow");
        assert_eq!((after.as_str(), nice), ("wasm-slow", NICE));
        assert!(slow.load(Ordering::Relaxed));
        assert_eq!(laned(&lane, &slow, async { name() }).await.unwrap(), "wasm-slow");
        // That one was quick: the next begins here again.
        assert_ne!(laned(&lane, &slow, async { name() }).await.unwrap(), "wasm-slow");
        assert_ne!(rustix::process::nice(0).unwrap(), NICE);
    }

    #[tokio::test]
    async fn a_call_that_is_dropped_is_gone_there_too() {
        let (lane, slow) = (Arc::<Lane>::default(), Arc::new(AtomicBool::new(true)));
        let (alive, gone) = tokio::sync::oneshot::channel::<()>();
        let mut call = Box::pin(laned(&lane, &slow, async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        }));
        assert!(futures::poll!(call.as_mut()).is_pending());
        drop(call);
        assert!(gone.await.is_err());
    }

    #[tokio::test]
    async fn a_nested_call_is_timed_for_itself() {
        let (lane, slow) = (Arc::<Lane>::default(), Arc::<AtomicBool>::default());
        let inner_slow = Arc::<AtomicBool>::default();
        let inner = laned(&lane, &inner_slow, async {
            tick();
            tokio::task::yield_now().await;
            tick();
        });
        laned(&lane, &slow, inner).await.unwrap().unwrap();
        assert!(inner_slow.load(Ordering::Relaxed) && !slow.load(Ordering::Relaxed));
    }
}
