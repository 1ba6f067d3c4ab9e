//! Who gets in, and what becomes of whoever does not.

use super::client::{Client, Counted, TrustedProxies};
use super::pace::{Ended, Held, Pace, Times};
use super::places::{Bound, Place, Places};
use axum::http::HeaderMap;
use gestalt_core::metrics::{Event, Meter};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How many connections one listener takes, of whom, and how slow they may be.
#[derive(Clone, Debug)]
pub struct DoorSettings {
    /// Whose `X-Forwarded-For` is believed.
    pub trusted: TrustedProxies,
    /// Connections at once.
    pub max: usize,
    /// Connections at once of one address, and its requests under way.
    pub max_per_address: usize,
    /// Connections above either that are told so, or asked after the daemon's health.
    pub reserve: usize,
    /// To the end of a request's head.
    pub head_timeout: Duration,
    /// To the end of its body.
    pub body_timeout: Duration,
    /// To the next request.
    pub idle_timeout: Duration,
    /// For a client that takes nothing of an answer.
    pub write_timeout: Duration,
}

/// One listener's bounds, and what they hold at the moment.
pub(super) struct Door {
    settings: DoorSettings,
    places: Arc<Places<Pace>>,
    reserve: Arc<Places<Pace>>,
    large_heads: Arc<Semaphore>,
    requests: Mutex<HashMap<Counted, usize>>,
    meter: Arc<dyn Meter>,
    /// How often each of [`LIMITS`] was reached since the log was told of it.
    reached: [AtomicU64; LIMITS.len()],
}

/// A connection that got in.
pub(super) struct Admitted {
    pub(super) pace: Arc<Pace>,
    pub(super) held: Held,
    /// Why it gets nothing but told so, and the daemon's health.
    pub(super) refused: Option<Bound>,
}

/// Heads above the usual size that are read at once: 64 MiB of them.
const LARGE_HEADS: usize = 64;
/// How long somebody who is to be refused may take to say what for.
const REFUSED: Duration = Duration::from_secs(2);
/// The part of the reserve that one address may take.
const RESERVE_SHARE: usize = 4;

/// Everything that a client can run into, as metrics and the log call it: a key of `server.connections` where there is one.
const LIMITS: [&str; 7] =
    ["max", "maxPerAddress", "requestsPerAddress", "headTimeout", "bodyTimeout", "writeTimeout", "largeHeads"];

impl Door {
    pub(super) fn new(settings: DoorSettings, meter: Arc<dyn Meter>) -> Self {
        Self {
            places: Places::new(settings.max, settings.max_per_address),
            reserve: Places::new(settings.reserve, settings.reserve.div_ceil(RESERVE_SHARE)),
            large_heads: Arc::new(Semaphore::new(LARGE_HEADS)),
            requests: Mutex::default(),
            reached: Default::default(),
            settings,
            meter,
        }
    }

    /// Takes in who connects from `peer`; `None` when there is not even room to refuse it.
    pub(super) fn admit(&self, peer: SocketAddr) -> Option<Admitted> {
        let address = self.counted(peer.ip());
        let pace = Pace::new(self.times(), self.large_heads.clone());
        let admitted = |pace: Arc<Pace>, place: Place<Pace>, refused| {
            let held = pace.hold(place);
            Admitted { pace, held, refused }
        };
        let bound = match self.places.take(address, pace.clone()) {
            Ok(place) => return Some(admitted(pace, place, None)),
            Err(bound) => bound,
        };
        self.reached(bound.name(), peer.ip());
        let times = self.times();
        let times = Times { head: times.head.min(REFUSED), idle: REFUSED, write: times.write.min(REFUSED), ..times };
        let pace = Pace::new(times, self.large_heads.clone());
        let place = self.reserve.take(address, pace.clone()).ok()?;
        Some(admitted(pace, place, Some(bound)))
    }

    /// Who asks, when `peer` sent these headers.
    pub(super) fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> Client {
        Client { peer, believed: self.settings.trusted.believe(peer.ip(), headers) }
    }

    /// Counts a request of `client`, until what is returned is dropped; `None` when it has too many under way.
    pub(super) fn request(self: &Arc<Self>, client: Client) -> Option<Request> {
        let address = self.counted(client.believed);
        if let Some(address) = address {
            let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
            let count = requests.entry(address).or_default();
            if *count >= self.settings.max_per_address {
                drop(requests);
                self.reached("requestsPerAddress", client.believed);
                return None;
            }
            *count += 1;
        }
        Some(Request { door: self.clone(), address })
    }

    /// Says why a connection of `peer` was ended.
    pub(super) fn ended(&self, ended: Ended, peer: SocketAddr) {
        match ended {
            Ended::Slow(limit) => self.reached(limit, peer.ip()),
            Ended::GaveWay(bound) => self.reached(bound.name(), peer.ip()),
            Ended::Idle => {}
        }
    }

    /// Says that a client has reached a bound: at once when it is the first in a while, as a count later otherwise.
    pub(super) fn reached(&self, limit: &'static str, client: IpAddr) {
        self.meter.record(Event::ConnectionLimit { limit });
        let Some(i) = LIMITS.iter().position(|known| *known == limit) else { return };
        if self.reached[i].fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(limit, %client, "a client reached a bound of `server.connections`; more of that are counted");
        }
    }

    /// Tells the log what has been counted. Called once a minute.
    pub(super) fn tell(&self) {
        for (limit, reached) in LIMITS.iter().zip(&self.reached) {
            let count = reached.swap(0, Ordering::Relaxed);
            if count > 1 {
                tracing::warn!(limit, count, "clients reached a bound of `server.connections`");
            }
        }
    }

    pub(super) fn times(&self) -> Times {
        let DoorSettings { head_timeout, body_timeout, idle_timeout, write_timeout, .. } = self.settings;
        Times { head: head_timeout, body: body_timeout, idle: idle_timeout, write: write_timeout }
    }

    /// As whom an address is counted; trusted proxies are not, as they speak for many.
    fn counted(&self, address: IpAddr) -> Option<Counted> {
        (!self.settings.trusted.has(address)).then(|| Counted::new(address))
    }
}

impl Bound {
    /// As metrics, log and clients are told.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Max => "max",
            Self::MaxPerAddress => "maxPerAddress",
        }
    }
}

/// A request that counts for its client.
pub(super) struct Request {
    door: Arc<Door>,
    address: Option<Counted>,
}

impl Drop for Request {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut requests = self.door.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = requests.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                requests.remove(&address);
            }
        }
    }
}
