//! How each native app is confined, as operators are told: in `/metrics`, and in the list of apps that is theirs.

use crate::metrics::Metrics;
use gestalt_confine::Means;
use gestalt_core::AppName;
use gestalt_core::foreign::Foreign;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What stands around an app's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sandbox {
    /// How far it goes.
    pub state: State,
    /// The walls that do not stand, each with the reason.
    pub missing: Vec<Missing>,
    /// How its use of memory, processes and processor is bounded; empty where it is not.
    pub bounds: &'static str,
}

/// How far a sandbox goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Every wall stands.
    Whole,
    /// Some do not: see [`Sandbox::missing`].
    Partial,
    /// The configuration says that there be none.
    Off,
    /// There is nothing that the app may not reach.
    None,
}

/// A wall that does not stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Which.
    pub wall: &'static str,
    /// Why not.
    pub reason: String,
}

impl State {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Whole, Self::Partial, Self::Off, Self::None];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Partial => "partial",
            Self::Off => "off",
            Self::None => "none",
        }
    }
}

impl Sandbox {
    /// What a cell on this machine is.
    pub fn of(means: &Means) -> Self {
        let reason = |why: &str| Foreign::phrase(why).to_string();
        let missing: Vec<Missing> =
            means.walls_missing().into_iter().map(|(wall, why)| Missing { wall, reason: reason(why) }).collect();
        let state = if missing.is_empty() { State::Whole } else { State::Partial };
        Self { state, missing, bounds: means.bounds() }
    }

    /// No sandbox, since the configuration turns it off (`off`), or leaves nothing to keep the app from.
    pub fn without(off: bool) -> Self {
        Self { state: if off { State::Off } else { State::None }, missing: Vec::new(), bounds: "" }
    }
}

/// The sandboxes of a daemon's native apps.
pub struct Sandboxes {
    metrics: Arc<Metrics>,
    known: Mutex<BTreeMap<AppName, Sandbox>>,
}

impl Sandboxes {
    /// None known yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, known: Mutex::default() }
    }

    /// Takes note of an app's, which is about to be started in it.
    pub fn note(&self, app: &AppName, sandbox: Sandbox) {
        self.metrics.sandbox(app, &sandbox);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(app.clone(), sandbox);
    }

    /// An app's, if it is native and has come so far.
    pub fn get(&self, app: &AppName) -> Option<Sandbox> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(app).cloned()
    }
}
