//! The audit trail of one app's attempts: one record each, until there are too many; then one for many alike.

use crate::journal::{DELAY, Journal};
use gestalt_core::AppName;
use gestalt_core::audit::{self, HeldUse, Record, Sink};
use gestalt_core::egress::{AuditAllowed, AuditSettings, DenyReason};
use gestalt_core::metrics::{Event, Meter};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Tells the time. Injected, so that what happens after a minute can be tested in none.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

const WINDOW: Duration = Duration::from_secs(60);

/// One app's records.
///
/// Attempts are written as they come until the minute's records are used up. From then on those that are alike (same
/// outcome, same host, port and scheme) share one, written when the minute is over and counted against the next. Shared records are half
/// as many as a minute has; further hosts share one per outcome, without a name. So an app that makes a thousand
/// attempts in a blink costs a minute's worth of records, and every attempt is in the count of one.
pub(crate) struct Ledger {
    app: AppName,
    sink: Arc<dyn Sink>,
    meter: Arc<dyn Meter>,
    clock: Clock,
    per_minute: usize,
    allowed: AuditAllowed,
    journal: Option<Arc<Journal>>,
    state: Mutex<State>,
}

struct State {
    opened: Instant,
    written: usize,
    shared: HashMap<Kind, Entry>,
    /// Hosts that have had their own record of a request that was allowed. As many as there are records, at most.
    sampled: HashSet<String>,
    /// Whether a task will close the window.
    timer: bool,
}

/// What makes attempts alike.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Kind {
    denied: Option<DenyReason>,
    observed: bool,
    credential: HeldUse,
    host: String,
    port: u16,
    scheme: String,
}

struct Entry {
    record: audit::Egress,
    remedy: Option<String>,
}

impl Ledger {
    pub(crate) fn new(
        app: AppName,
        sink: Arc<dyn Sink>,
        meter: Arc<dyn Meter>,
        clock: Clock,
        settings: AuditSettings,
        journal: Option<Journal>,
    ) -> Self {
        let opened = clock();
        let state = State { opened, written: 0, shared: HashMap::new(), sampled: HashSet::new(), timer: false };
        let per_minute = settings.max_records_per_minute.max(1) as usize;
        let (allowed, journal) = (settings.allowed, journal.map(Arc::new));
        Self { app, sink, meter, clock, per_minute, allowed, journal, state: Mutex::new(state) }
    }

    pub(crate) fn app(&self) -> &AppName {
        &self.app
    }

    /// Takes note of one attempt.
    pub(crate) fn note(self: &Arc<Self>, record: audit::Egress, remedy: Option<String>) {
        let (denied, observed) = (record.denied, record.observed);
        self.meter.record(Event::Egress { app: self.app.clone(), denied, observed });
        self.journal(&record);
        let allowed = denied.is_none() && record.credential != HeldUse::Withheld;
        if allowed && self.allowed == AuditAllowed::None {
            return;
        }
        let mut state = self.lock();
        let mut due = state.close_if_over((self.clock)());
        let sampled = allowed && self.allowed == AuditAllowed::Sampled;
        let mut has_place = state.written < self.per_minute;
        if has_place && sampled {
            has_place = state.sampled.insert(record.host.clone());
        }
        if has_place {
            state.written += 1;
            due.push(Entry { record, remedy });
        } else {
            state.share(record, remedy, (self.per_minute / 2).max(1));
            self.arm(&mut state);
        }
        drop(state);
        self.write(due);
    }

    /// Counts that the app reached one of its bounds.
    pub(crate) fn count_limit(&self, limit: &'static str) {
        self.meter.record(Event::Limit { app: self.app.clone(), limit });
    }

    /// Writes every shared record now, and the journal.
    pub(crate) fn flush(&self) {
        let due = self.lock().drain();
        self.write(due);
        if let Some(journal) = &self.journal {
            write(journal);
        }
    }

    /// Takes note in the journal, which is written a little later, or with the last record.
    fn journal(&self, record: &audit::Egress) {
        let Some(journal) = &self.journal else { return };
        if !journal.note(record) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let journal = Arc::clone(journal);
        runtime.spawn(async move {
            tokio::time::sleep(DELAY).await;
            let _ = tokio::task::spawn_blocking(move || write(&journal)).await;
        });
    }

    /// Sees to it that shared records are written also if no further attempt comes. Without a runtime, the next attempt,
    /// [`Ledger::flush`] or the drop does it.
    fn arm(self: &Arc<Self>, state: &mut State) {
        if state.timer {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        state.timer = true;
        let (ledger, mut rest) = (Arc::downgrade(self), WINDOW);
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(rest).await;
                let Some(ledger) = ledger.upgrade() else { return };
                match ledger.tick() {
                    Some(left) => rest = left,
                    None => return,
                }
            }
        });
    }

    /// Closes the window if it is over; otherwise says how long it still lasts.
    fn tick(&self) -> Option<Duration> {
        let mut state = self.lock();
        let now = (self.clock)();
        let left = WINDOW.saturating_sub(now.saturating_duration_since(state.opened));
        if !left.is_zero() && !state.shared.is_empty() {
            return Some(left);
        }
        state.timer = false;
        let due = state.close_if_over(now);
        drop(state);
        self.write(due);
        None
    }

    /// Outside of the lock: a sink is somebody else's code.
    fn write(&self, due: Vec<Entry>) {
        for Entry { record, remedy } in due {
            if let Some(reason) = record.denied {
                log_denial(&record, reason, remedy.as_deref());
            }
            self.sink.record(Record::Egress(record));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close_if_over(&mut self, now: Instant) -> Vec<Entry> {
        if now.saturating_duration_since(self.opened) < WINDOW {
            return Vec::new();
        }
        let due = self.drain();
        self.opened = now;
        self.sampled.clear();
        self.written = due.len();
        due
    }

    fn drain(&mut self) -> Vec<Entry> {
        self.shared.drain().map(|(_, entry)| entry).collect()
    }

    fn share(&mut self, mut record: audit::Egress, mut remedy: Option<String>, max: usize) {
        let (denied, observed, credential) = (record.denied, record.observed, record.credential);
        let (host, port, scheme) = (record.host.clone(), record.port, record.scheme.clone());
        let mut key = Kind { denied, observed, credential, host, port, scheme };
        if !self.shared.contains_key(&key) && self.shared.len() >= max {
            // Says of no one of them what holds for one alone.
            key = Kind { host: String::new(), port: 0, scheme: String::new(), ..key };
            remedy = None;
            record = audit::Egress {
                host: String::new(),
                raw_host: String::new(),
                port: 0,
                scheme: String::new(),
                method: String::new(),
                ..record
            };
        }
        match self.shared.entry(key) {
            std::collections::hash_map::Entry::Occupied(mut entry) => {
                let shared = &mut entry.get_mut().record;
                shared.count += record.count;
                shared.sent += record.sent;
                shared.received += record.received;
            }
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(Entry { record, remedy });
            }
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.flush();
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("app", &self.app).finish_non_exhaustive()
    }
}

fn write(journal: &Journal) {
    if let Err(error) = journal.write() {
        tracing::warn!(target: "gestalt::egress", %error, "the journal of reached hosts cannot be written");
    }
}

/// Tells the operator which line of the config would have let it pass; the app is not told.
fn log_denial(record: &audit::Egress, reason: DenyReason, remedy: Option<&str>) {
    tracing::warn!(
        target: "gestalt::egress",
        app = %record.app,
        reason = reason.as_str(),
        host = record.host,
        raw_host = record.raw_host,
        port = record.port,
        scheme = record.scheme,
        method = record.method,
        count = record.count,
        observed = record.observed,
        invocation = &*record.invocation_id,
        config = remedy.unwrap_or_default(),
        "{}",
        if record.observed { "outgoing request sent that enforcing would deny" } else { "outgoing request denied" }
    );
}

#[cfg(test)]
mod tests;
