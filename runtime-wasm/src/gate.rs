//! How many calls run at once, and how many may wait.

use gestalt_core::ExecError;
use gestalt_core::limits::Limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

/// The way into an app: its own places, then one of the whole runtime's.
///
/// In this order, so that an app in a storm waits for itself and holds at most its own number of the common places.
pub(crate) struct Gate {
    own: Arc<Semaphore>,
    places: u32,
    common: Arc<Semaphore>,
    /// Common places one call takes: more than one where an instance has more than its even share of the pool's slots.
    weight: u32,
    waiting: AtomicUsize,
    queue: usize,
    patience: Duration,
    is_closing: AtomicBool,
}

/// A call's right to run.
///
/// Held by the call itself: one that is given up has its place until its instance is gone.
pub(crate) struct Place {
    _own: OwnedSemaphorePermit,
    _common: OwnedSemaphorePermit,
}

impl Gate {
    /// A gate with `places`, in front of the runtime's `common` ones, of which each call takes `weight`.
    pub(crate) fn new(places: usize, limits: &Limits, common: Arc<Semaphore>, weight: u32) -> Self {
        let places = u32::try_from(places).unwrap_or(u32::MAX).clamp(1, Semaphore::MAX_PERMITS as u32);
        Self {
            own: Arc::new(Semaphore::new(places as usize)),
            places,
            common,
            weight,
            waiting: AtomicUsize::new(0),
            queue: limits.queue,
            patience: limits.queue_timeout,
            is_closing: AtomicBool::new(false),
        }
    }

    /// Waits for a place, if there is room to wait.
    pub(crate) async fn enter(&self, deadline: Instant) -> Result<Place, ExecError> {
        if self.is_closing.load(Ordering::Acquire) {
            return Err(closed());
        }
        if deadline <= Instant::now() {
            return Err(ExecError::Deadline);
        }
        if let Ok(own) = self.own.clone().try_acquire_owned()
            && let Ok(common) = self.common.clone().try_acquire_many_owned(self.weight)
        {
            return Ok(Place { _own: own, _common: common });
        }
        let _waiting = Waiting::join(&self.waiting, self.queue)?;
        let patience = Instant::now() + self.patience;
        let place = async {
            let own = self.own.clone().acquire_owned().await.map_err(|_| closed())?;
            let common = self.common.clone().acquire_many_owned(self.weight).await.map_err(|_| closed())?;
            Ok(Place { _own: own, _common: common })
        };
        match timeout_at(patience.min(deadline).into(), place).await {
            Ok(place) => place,
            Err(_) if deadline <= patience => Err(ExecError::Deadline),
            Err(_) => Err(ExecError::Busy { what: "queueTimeout" }),
        }
    }

    /// Whether calls wait.
    pub(crate) fn is_crowded(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Turns everybody away from now on, and waits until those inside are done.
    pub(crate) async fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        // Whoever gets all places knows that nobody is inside. The queue is fair: those who wait already go first.
        if let Ok(all) = self.own.acquire_many(self.places).await {
            all.forget();
        }
        self.own.close();
    }
}

fn closed() -> ExecError {
    ExecError::NotUp("shutting down".into())
}

/// One in the queue, for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn join(waiting: &'a AtomicUsize, most: usize) -> Result<Self, ExecError> {
        let joined = Self(waiting);
        if waiting.fetch_add(1, Ordering::Relaxed) < most { Ok(joined) } else { Err(ExecError::Busy { what: "queue" }) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a test waits for to pass; nothing waits for it not to.
    const PATIENCE: Duration = Duration::from_millis(20);

    fn gate(places: usize, queue: usize, common: usize) -> Gate {
        let limits = Limits { queue, queue_timeout: PATIENCE, ..Limits::default() };
        Gate::new(places, &limits, Arc::new(Semaphore::new(common)), 1)
    }

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    #[tokio::test]
    async fn the_queue_is_bounded_in_length_and_time() {
        let gate = gate(1, 1, 10);
        let inside = gate.enter(far()).await.unwrap();
        let waits = gate.enter(far());
        tokio::pin!(waits);
        assert!(futures::poll!(waits.as_mut()).is_pending());
        assert!(matches!(gate.enter(far()).await, Err(ExecError::Busy { what: "queue" })));
        assert!(matches!(waits.await, Err(ExecError::Busy { what: "queueTimeout" })));
        assert!(matches!(gate.enter(Instant::now()).await, Err(ExecError::Deadline)));
        drop(inside);
        assert!(gate.enter(far()).await.is_ok());
    }

    #[tokio::test]
    async fn a_place_of_the_runtime_is_needed_too() {
        let common = Arc::new(Semaphore::new(1));
        let limits = Limits { queue_timeout: PATIENCE, ..Limits::default() };
        let (a, b) = (Gate::new(8, &limits, common.clone(), 1), Gate::new(8, &limits, common, 1));
        let inside = a.enter(far()).await.unwrap();
        assert!(matches!(b.enter(far()).await, Err(ExecError::Busy { .. })));
        drop(inside);
        assert!(b.enter(far()).await.is_ok());
    }

    #[tokio::test]
    async fn a_heavy_call_takes_more_of_the_runtimes_places() {
        let common = Arc::new(Semaphore::new(4));
        let limits = Limits { queue_timeout: PATIENCE, ..Limits::default() };
        let (heavy, light) = (Gate::new(8, &limits, common.clone(), 3), Gate::new(8, &limits, common, 1));
        let inside = heavy.enter(far()).await.unwrap();
        assert!(matches!(heavy.enter(far()).await, Err(ExecError::Busy { .. })));
        let beside = light.enter(far()).await.unwrap();
        drop((inside, beside));
        assert!(heavy.enter(far()).await.is_ok());
    }

    #[tokio::test]
    async fn closing_waits_for_those_inside_and_turns_others_away() {
        let gate = gate(2, 8, 10);
        let inside = gate.enter(far()).await.unwrap();
        let closing = gate.close();
        tokio::pin!(closing);
        assert!(futures::poll!(closing.as_mut()).is_pending());
        assert!(matches!(gate.enter(far()).await, Err(ExecError::NotUp(_))));
        drop(inside);
        closing.await;
        assert!(matches!(gate.enter(far()).await, Err(ExecError::NotUp(_))));
    }
}
