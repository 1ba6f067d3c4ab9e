//! Who may be spoken for: the calls this host made to one app, and on whose authority.
//!
//! A native process echoes its request context when it calls back, and can write anything into the echo. So the echo
//! serves as a key and as nothing else: what counts is what the host itself wrote down when the request went out.

use gestalt_core::CallContext;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Calls of one app in flight at once. Against a storm of calls that never end; each holds a connection stream, a task
/// and an entry.
const MAX_IN_FLIGHT: usize = 4096;

/// Finished calls remembered. An app may go on working after it answered, and call back; beyond this many the oldest
/// lose that right before their time.
const MAX_FINISHED: usize = 4096;

/// How long an app may call back after it answered.
const GRACE: Duration = Duration::from_secs(15 * 60);

/// The authority table of one process. It dies with the process: a restarted one starts with nothing.
#[derive(Debug, Default)]
pub(crate) struct Authority(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    in_flight: HashMap<Arc<str>, Grant>,
    finished: HashMap<Arc<str>, Grant>,
    /// Keys of `finished` with their expiry, oldest first.
    order: VecDeque<(Instant, Arc<str>)>,
}

/// What an app may do on behalf of one call.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    /// The call.
    pub(crate) context: Arc<CallContext>,
    /// When the call's answer is due; `None` once it was given.
    pub(crate) deadline: Option<Instant>,
}

/// A call in flight. Dropped without [`finish`](Self::finish), it takes its authority along: an abandoned call must not
/// go on acting.
pub(crate) struct InFlight {
    authority: Arc<Authority>,
    id: Arc<str>,
}

impl Authority {
    /// Writes a call down. `None` when there are too many.
    pub(crate) fn open(self: &Arc<Self>, context: &Arc<CallContext>, deadline: Instant) -> Option<InFlight> {
        let id = Arc::clone(&context.invocation_id);
        let mut table = self.lock();
        if table.in_flight.len() >= MAX_IN_FLIGHT {
            return None;
        }
        table.in_flight.insert(Arc::clone(&id), Grant { context: Arc::clone(context), deadline: Some(deadline) });
        Some(InFlight { authority: Arc::clone(self), id })
    }

    /// What the app may do for the invocation of that id.
    pub(crate) fn find(&self, id: &str, now: Instant) -> Option<Grant> {
        let mut table = self.lock();
        table.expire(now);
        table.in_flight.get(id).or_else(|| table.finished.get(id)).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn expire(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(expiry, _)| *expiry <= now) || self.order.len() > MAX_FINISHED {
            if let Some((_, id)) = self.order.pop_front() {
                self.finished.remove(&id);
            }
        }
    }
}

impl InFlight {
    /// The app answered: it may still call back for a while.
    pub(crate) fn finish(self, now: Instant) {
        let mut table = self.authority.lock();
        if let Some(grant) = table.in_flight.remove(&self.id) {
            table.finished.insert(Arc::clone(&self.id), Grant { deadline: None, ..grant });
            table.order.push_back((now + GRACE, Arc::clone(&self.id)));
            table.expire(now);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.authority.lock().in_flight.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gestalt_core::{AppName, CredentialChoice, Origin, Principal, RequestMeta};

    fn context(id: &str) -> Arc<CallContext> {
        Arc::new(CallContext {
            invocation_id: id.into(),
            app: AppName::parse("a").unwrap(),
            principal: Arc::new(Principal::anonymous()),
            policy: String::new(),
            role: String::new(),
            credential: CredentialChoice::default(),
            request: Arc::new(RequestMeta::default()),
            origin: Origin::Http,
            chain: vec![],
            public_base_url: "".into(),
        })
    }

    #[test]
    fn authority_lives_for_the_call_and_a_grace_after_its_answer() {
        let (authority, now) = (Arc::new(Authority::default()), Instant::now());
        let call = authority.open(&context("x"), now).unwrap();
        assert_eq!(authority.find("x", now).unwrap().deadline, Some(now));
        call.finish(now);
        assert_eq!(authority.find("x", now + GRACE / 2).unwrap().deadline, None);
        assert!(authority.find("x", now + GRACE).is_none() && authority.find("y", now).is_none());
    }

    #[test]
    fn an_abandoned_call_has_no_authority() {
        let (authority, now) = (Arc::new(Authority::default()), Instant::now());
        drop(authority.open(&context("x"), now));
        assert!(authority.find("x", now).is_none());
    }

    #[test]
    fn both_halves_of_the_table_are_bounded() {
        let (authority, now) = (Arc::new(Authority::default()), Instant::now());
        for n in 0..=MAX_FINISHED {
            authority.open(&context(&n.to_string()), now).unwrap().finish(now);
        }
        assert!(authority.find("0", now).is_none() && authority.find("1", now).is_some());
        let held: Vec<_> =
            (0..MAX_IN_FLIGHT).map(|n| authority.open(&context(&format!("f{n}")), now).unwrap()).collect();
        assert!(authority.open(&context("more"), now).is_none());
        drop(held);
        assert!(authority.open(&context("more"), now).is_some());
    }
}
