//! The circuit breaker: an app that does nothing but trap is turned away for a while.

use gestalt_core::ExecError;
use gestalt_core::limits::BreakerLimits;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One app's breaker. See [`BreakerLimits`] for when it opens.
pub(crate) struct Breaker {
    limits: BreakerLimits,
    state: Mutex<State>,
}

enum State {
    /// Calls pass, and are counted within a window that begins with the first of them.
    Closed { since: Instant, ended: u64, trapped: u64 },
    /// Calls are turned away.
    Open { until: Instant },
    /// One call has been let in to try; what becomes of it decides.
    Trying,
}

impl State {
    fn closed(since: Instant) -> Self {
        Self::Closed { since, ended: 0, trapped: 0 }
    }
}

/// What the end of a call did to the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Opened,
    Closed,
}

/// A call the breaker has let in.
///
/// One that is dropped without having [ended](Self::end) says nothing about the app; if it was the one that tries, the
/// next may try instead.
pub(crate) struct Pass<'a> {
    breaker: &'a Breaker,
    is_trial: bool,
}

impl Breaker {
    pub(crate) fn new(limits: BreakerLimits, now: Instant) -> Self {
        Self { limits, state: Mutex::new(State::closed(now)) }
    }

    /// Lets a call in, or says why not.
    pub(crate) fn admit(&self, now: Instant) -> Result<Pass<'_>, ExecError> {
        let mut state = self.lock();
        let retry_after = match *state {
            State::Closed { .. } => return Ok(Pass { breaker: self, is_trial: false }),
            State::Open { until } if until <= now => {
                *state = State::Trying;
                return Ok(Pass { breaker: self, is_trial: true });
            }
            State::Open { until } => until - now,
            State::Trying => Duration::ZERO,
        };
        Err(ExecError::Breaker { retry_after })
    }

    fn count(&self, trapped: bool, now: Instant) -> Option<Change> {
        let BreakerLimits { traps, window, cooldown } = self.limits;
        let mut state = self.lock();
        // A call let in before it opened changes nothing any more.
        let State::Closed { since, ended, trapped: so_far } = &mut *state else { return None };
        if now.saturating_duration_since(*since) > window {
            (*since, *ended, *so_far) = (now, 0, 0);
        }
        *ended += 1;
        *so_far += u64::from(trapped);
        let opens = trapped && traps > 0 && *so_far >= traps.into() && *so_far * 2 > *ended;
        opens.then(|| {
            *state = State::Open { until: now + cooldown };
            Change::Opened
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// Counts how the call ended.
    pub(crate) fn end(mut self, trapped: bool, now: Instant) -> Option<Change> {
        if !std::mem::take(&mut self.is_trial) {
            return self.breaker.count(trapped, now);
        }
        let mut state = self.breaker.lock();
        if trapped {
            // Still open, as it has been.
            *state = State::Open { until: now + self.breaker.limits.cooldown };
            return None;
        }
        *state = State::closed(now);
        Some(Change::Closed)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.is_trial {
            *self.breaker.lock() = State::Open { until: Instant::now() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);
    const COOLDOWN: Duration = Duration::from_secs(30);

    fn breaker(now: Instant) -> Breaker {
        Breaker::new(BreakerLimits { traps: 3, window: WINDOW, cooldown: COOLDOWN }, now)
    }

    /// Calls one after the other, `x` for a trap; what the last of them did.
    fn run(breaker: &Breaker, calls: &str, now: Instant) -> Option<Change> {
        calls.chars().map(|c| breaker.admit(now).unwrap().end(c == 'x', now)).last().flatten()
    }

    fn is_open(breaker: &Breaker, now: Instant) -> bool {
        matches!(breaker.admit(now), Err(ExecError::Breaker { .. }))
    }

    #[test]
    fn opens_when_most_of_what_ends_are_traps() {
        let now = Instant::now();
        for (calls, expect) in [
            ("xxx", Some(Change::Opened)),
            ("xx", None),
            ("x.x.x", Some(Change::Opened)),
            (".x.x.x", None),
            ("....x.xxxxx", Some(Change::Opened)),
        ] {
            assert_eq!(run(&breaker(now), calls, now), expect, "{calls}");
        }
        let never = Breaker::new(BreakerLimits { traps: 0, ..BreakerLimits::default() }, now);
        assert_eq!(run(&never, "xxxxxxxxxxxx", now), None);
    }

    #[test]
    fn traps_count_within_their_window() {
        let now = Instant::now();
        let breaker = breaker(now);
        assert_eq!(run(&breaker, "xx", now), None);
        let later = now + WINDOW + Duration::from_secs(1);
        assert_eq!(run(&breaker, "xx", later), None);
        assert_eq!(run(&breaker, "x", later), Some(Change::Opened));
    }

    #[test]
    fn after_the_cooldown_one_call_tries_and_decides() {
        let now = Instant::now();
        let breaker = breaker(now);
        run(&breaker, "xxx", now);
        assert!(is_open(&breaker, now + COOLDOWN / 2));
        let later = now + COOLDOWN;
        let trial = breaker.admit(later).unwrap();
        assert!(is_open(&breaker, later), "one at a time");
        assert_eq!(trial.end(true, later), None);
        assert!(is_open(&breaker, later + COOLDOWN / 2));
        let later = later + COOLDOWN;
        assert_eq!(breaker.admit(later).unwrap().end(false, later), Some(Change::Closed));
        assert!(!is_open(&breaker, later));
    }

    #[test]
    fn a_trial_nobody_waits_for_leaves_the_trial_to_the_next() {
        let now = Instant::now();
        let breaker = breaker(now);
        run(&breaker, "xxx", now);
        drop(breaker.admit(now + COOLDOWN).unwrap());
        let later = Instant::now() + COOLDOWN;
        assert_eq!(breaker.admit(later).unwrap().end(false, later), Some(Change::Closed));
    }

    #[test]
    fn calls_that_were_in_when_it_opened_do_not_count() {
        let now = Instant::now();
        let breaker = breaker(now);
        let before = breaker.admit(now).unwrap();
        run(&breaker, "xxx", now);
        assert_eq!(before.end(false, now), None);
        assert!(is_open(&breaker, now));
    }
}
