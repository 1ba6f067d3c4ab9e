//! Counting what an app does within a minute.

use std::time::{Duration, Instant};

/// One second each: the 60 before the current one, and the current one, cover any minute that ends now.
const SLOTS: usize = 61;

/// At most so many events within any 60 seconds, not only within a calendar minute: two bursts around its edge count as
/// one. Its size does not depend on the bound.
#[derive(Debug)]
pub(crate) struct Rate {
    per_minute: u32,
    origin: Instant,
    second: u64,
    slots: [u32; SLOTS],
}

impl Rate {
    pub(crate) fn new(per_minute: u32, now: Instant) -> Self {
        Self { per_minute, origin: now, second: 0, slots: [0; SLOTS] }
    }

    /// Counts one event, unless that would be one too many.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        self.advance(now.saturating_duration_since(self.origin));
        let total: u64 = self.slots.iter().copied().map(u64::from).sum();
        let admitted = total < u64::from(self.per_minute);
        if admitted {
            self.slots[slot(self.second)] += 1;
        }
        admitted
    }

    fn advance(&mut self, since: Duration) {
        let second = since.as_secs().max(self.second);
        let passed = (second - self.second).min(SLOTS as u64);
        for step in 0..passed {
            self.slots[slot(second - step)] = 0;
        }
        self.second = second;
    }
}

fn slot(second: u64) -> usize {
    (second % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_every_minute_and_not_only_calendar_ones() {
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut rate = Rate::new(3, start);
        for (seconds, expect) in [
            (59.0, true),
            (59.1, true),
            (61.0, true),
            (62.0, false),
            (118.9, false),
            (120.0, true),
            (120.1, true),
            (121.0, false),
            (122.0, true),
            (1000.0, true),
            (1000.0, true),
            (1000.5, true),
            (1000.9, false),
        ] {
            assert_eq!(rate.admit(at(seconds)), expect, "{seconds}");
        }
        assert!(!Rate::new(0, start).admit(start));
    }
}
