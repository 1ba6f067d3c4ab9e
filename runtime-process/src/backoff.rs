//! How long to wait before a process that died is started again.

use crate::spec::Timeouts;
use std::time::Duration;

/// Doubles from death to death, and starts over once a process has lived long enough to be called well.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    stable: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(timeouts: &Timeouts) -> Self {
        Self {
            min: timeouts.restart_min,
            max: timeouts.restart_max,
            stable: timeouts.stable,
            next: timeouts.restart_min,
        }
    }

    /// The pause after a process that lived for `uptime`; zero for one that never got up.
    pub(crate) fn pause(&mut self, uptime: Duration) -> Duration {
        if uptime >= self.stable {
            self.next = self.min;
        }
        let pause = self.next.min(self.max);
        self.next = pause.saturating_mul(2).min(self.max);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_the_bound_and_starts_over_after_a_stable_minute() {
        let mut backoff = Backoff::new(&Timeouts::default());
        let pauses: Vec<_> = (0..8).map(|_| backoff.pause(Duration::from_secs(1)).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        assert_eq!(backoff.pause(Duration::from_secs(60)).as_millis(), 500);
        assert_eq!(backoff.pause(Duration::ZERO).as_millis(), 1000);
    }
}
