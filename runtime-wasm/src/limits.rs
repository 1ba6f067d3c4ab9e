//! What keeps one instance within its app's bounds: memory as it grows, CPU time as it passes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use wasmtime::ResourceLimiter;

/// Core instances, memories and tables in one store. The pool's own caps per component are lower; these also hold for
/// whatever a component makes while it runs.
const INSTANCES: usize = 64;
const MEMORIES: usize = 8;
const TABLES: usize = 32;

/// The memory bound of one instance, over all of its linear memories together.
#[derive(Debug)]
pub(crate) struct Meter {
    most: usize,
    used: usize,
    /// Total the guest wanted when it was refused, if it ever was.
    refused: Option<usize>,
}

impl Meter {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, used: 0, refused: None }
    }

    /// The bound, and what was asked for beyond it.
    ///
    /// A refused growth is not an end by itself: a guest may cope. Most abort, and this says why.
    pub(crate) fn refused(&self) -> Option<(usize, usize)> {
        self.refused.map(|wanted| (self.most, wanted))
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.used.saturating_add(desired.saturating_sub(current));
        if total > self.most {
            self.refused = Some(total);
            return Ok(false);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        // Stays charged even if the growth then fails: wasmtime also reports failures of growths it never asked about, and
        // taking those back would let a guest talk its account down to nothing.
        self.used = total;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= crate::engine::TABLE_ELEMENTS && maximum.is_none_or(|maximum| desired <= maximum))
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }

    fn tables(&self) -> usize {
        TABLES
    }
}

/// How long an instance has been running on a thread. Time in which it waits for a host call does not count.
///
/// Shared by the epoch callback, which asks, and the future around the guest's ([`Metered`]), which keeps the time. They
/// never run at the same moment: the callback runs inside the future's poll. Atomics only because a store may move to
/// another thread between two polls.
///
/// Exact, where counting ticks is not: a guest that sleeps over each tick would never be counted, and one that wakes
/// up from many short waits would be counted for time it did not use.
#[derive(Debug)]
pub(crate) struct CpuClock {
    start: Instant,
    /// Nanoseconds used before the present poll.
    used: AtomicU64,
    /// Nanoseconds from `start` to the beginning of the present poll.
    resumed: AtomicU64,
    budget: AtomicU64,
}

impl CpuClock {
    pub(crate) fn new(budget: Duration) -> Self {
        let clock = Self {
            start: Instant::now(),
            used: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            budget: AtomicU64::new(0),
        };
        clock.reset(budget);
        clock
    }

    /// Starts counting anew.
    pub(crate) fn reset(&self, budget: Duration) {
        self.budget.store(nanos(budget), Ordering::Relaxed);
        self.used.store(0, Ordering::Relaxed);
        self.resume();
    }

    /// Whether the budget is used up. To be asked from within the guest's future.
    pub(crate) fn is_spent(&self) -> bool {
        self.used.load(Ordering::Relaxed) + self.in_this_poll() > self.budget.load(Ordering::Relaxed)
    }

    /// The budget, for the message.
    pub(crate) fn budget(&self) -> Duration {
        Duration::from_nanos(self.budget.load(Ordering::Relaxed))
    }

    fn resume(&self) {
        self.resumed.store(nanos(self.start.elapsed()), Ordering::Relaxed);
    }

    fn suspend(&self) {
        self.used.fetch_add(self.in_this_poll(), Ordering::Relaxed);
    }

    fn in_this_poll(&self) -> u64 {
        nanos(self.start.elapsed()).saturating_sub(self.resumed.load(Ordering::Relaxed))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A guest's future, timed by its [`CpuClock`].
pub(crate) struct Metered<F> {
    clock: Arc<CpuClock>,
    guest: Pin<Box<F>>,
}

impl<F: Future> Metered<F> {
    pub(crate) fn new(clock: Arc<CpuClock>, guest: F) -> Self {
        Self { clock, guest: Box::pin(guest) }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.clock.resume();
        let polled = self.guest.as_mut().poll(cx);
        self.clock.suspend();
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_over_all_memories_of_an_instance() {
        let mut meter = Meter::new(100);
        assert!(meter.memory_growing(0, 60, None).unwrap());
        assert!(!meter.memory_growing(0, 60, None).unwrap());
        assert_eq!(meter.refused(), Some((100, 120)));
        assert!(meter.memory_growing(60, 100, None).unwrap());
        // Not by a failure it is told of, whatever it was that failed.
        meter.memory_grow_failed(wasmtime::Error::msg("no memory")).unwrap();
        assert!(!meter.memory_growing(100, 101, None).unwrap());
        assert!(!meter.memory_growing(usize::MAX - 1, usize::MAX, None).unwrap());
    }

    #[test]
    fn a_growth_past_the_declared_maximum_is_not_charged() {
        let mut meter = Meter::new(100);
        assert!(!meter.memory_growing(0, 50, Some(10)).unwrap());
        assert_eq!((meter.used, meter.refused()), (0, None));
        assert!(!meter.table_growing(0, crate::engine::TABLE_ELEMENTS + 1, None).unwrap());
        assert!(!meter.table_growing(0, 11, Some(10)).unwrap());
        assert!(meter.table_growing(0, 10, Some(10)).unwrap());
    }

    #[tokio::test]
    async fn only_time_within_polls_counts() {
        let clock = Arc::new(CpuClock::new(Duration::from_secs(60)));
        let busy = |for_: Duration| {
            let end = Instant::now() + for_;
            while Instant::now() < end {
                std::hint::spin_loop();
            }
        };
        let (wake, woken) = tokio::sync::oneshot::channel::<()>();
        let guest = tokio::spawn(Metered::new(clock.clone(), async move {
            busy(Duration::from_millis(2));
            woken.await.unwrap();
        }));
        tokio::task::yield_now().await;
        busy(Duration::from_millis(40));
        wake.send(()).unwrap();
        guest.await.unwrap();
        let used = clock.used.load(Ordering::Relaxed);
        assert!((2_000_000..40_000_000).contains(&used), "{used}");

        clock.reset(Duration::ZERO);
        Metered::new(clock.clone(), async {
            busy(Duration::from_micros(10));
            assert!(clock.is_spent());
        })
        .await;
    }
}
