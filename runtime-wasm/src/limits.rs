//! What keeps one instance within its app's bounds: memory as it grows, CPU time as it passes.

use crate::lane;
use gestalt_core::limits::Limits;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use wasmtime::ResourceLimiter;

/// The bounds of one instance that hold whatever it grows: its memories, all of them together, and its tables.
#[derive(Debug)]
pub(crate) struct Gauge {
    memory: usize,
    table_elements: usize,
    instances: usize,
    memories: usize,
    tables: usize,
    used: usize,
    refused: Option<Refused>,
}

/// What the guest wanted last when it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Bytes of linear memory, in total.
    Memory(usize),
    /// Entries of one table.
    Table(usize),
}

impl Gauge {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory: limits.memory.as_usize(),
            table_elements: limits.table_elements,
            instances: limits.instances,
            memories: limits.memories,
            tables: limits.tables,
            used: 0,
            refused: None,
        }
    }

    /// What was asked for beyond the bounds.
    ///
    /// A refused growth is not an end by itself: a guest may cope. Most abort, and this says why.
    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused
    }
}

impl ResourceLimiter for Gauge {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.used.saturating_add(desired.saturating_sub(current));
        if total > self.memory {
            self.refused = Some(Refused::Memory(total));
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
        if desired > self.table_elements {
            self.refused = Some(Refused::Table(desired));
            return Ok(false);
        }
        Ok(maximum.is_none_or(|maximum| desired <= maximum))
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn memories(&self) -> usize {
        self.memories
    }

    fn tables(&self) -> usize {
        self.tables
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

    /// Whether so much has been used that others should go first.
    pub(crate) fn is_long(&self, tick: Duration) -> bool {
        self.used.load(Ordering::Relaxed) + self.in_this_poll() > nanos(tick) / 2
    }

    fn resume(&self) {
        self.resumed.store(lane::clock(self.start), Ordering::Relaxed);
    }

    fn suspend(&self) {
        self.used.fetch_add(self.in_this_poll(), Ordering::Relaxed);
    }

    fn in_this_poll(&self) -> u64 {
        lane::clock(self.start).saturating_sub(self.resumed.load(Ordering::Relaxed))
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
    use gestalt_core::limits::ByteSize;

    fn gauge() -> Gauge {
        Gauge::new(&Limits { memory: ByteSize(100), table_elements: 10, ..Limits::default() })
    }

    #[test]
    fn memory_is_counted_over_all_memories_of_an_instance() {
        let mut gauge = gauge();
        assert!(gauge.memory_growing(0, 60, None).unwrap());
        assert!(!gauge.memory_growing(0, 60, None).unwrap());
        assert_eq!(gauge.refused(), Some(Refused::Memory(120)));
        assert!(gauge.memory_growing(60, 100, None).unwrap());
        // Not by a failure it is told of, whatever it was that failed.
        gauge.memory_grow_failed(wasmtime::Error::msg("no memory")).unwrap();
        assert!(!gauge.memory_growing(100, 101, None).unwrap());
        assert!(!gauge.memory_growing(usize::MAX - 1, usize::MAX, None).unwrap());
    }

    #[test]
    fn a_growth_past_the_declared_maximum_is_not_charged() {
        let mut gauge = gauge();
        assert!(!gauge.memory_growing(0, 50, Some(10)).unwrap());
        assert_eq!((gauge.used, gauge.refused()), (0, None));
        assert!(!gauge.table_growing(0, 9, Some(8)).unwrap());
        assert!(gauge.table_growing(0, 10, Some(10)).unwrap());
        assert_eq!(gauge.refused(), None);
        assert!(!gauge.table_growing(10, 11, None).unwrap());
        assert_eq!(gauge.refused(), Some(Refused::Table(11)));
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
