//! What the daemon counts, as typed events. Names and labels of the exposition are the daemon's business.

use crate::egress::DenyReason;
use crate::{AppName, Origin, Transport};
use std::sync::Arc;
use std::time::Duration;

/// Takes metric events. Must neither block nor fail.
pub trait Meter: Send + Sync + 'static {
    /// Takes one event.
    fn record(&self, event: Event);
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// An invocation ended.
    Operation {
        /// The app; `None` when there is none of that name.
        app: Option<AppName>,
        /// The operation; `None` when the app is not known to have it.
        operation: Option<Arc<str>>,
        /// Which kind of code answers, where that is known.
        transport: Option<Transport>,
        /// Through which door.
        source: Origin,
        /// What the caller was told, as an HTTP status; 499 when nobody waited for the answer.
        status: u16,
        /// From the guard to the answer.
        duration: Duration,
    },
    /// An app reached one of its bounds, and was stopped or turned away.
    Limit {
        /// Whose bound.
        app: AppName,
        /// Which, as the config spells it: `memory`, `cpuTime`, `queue`, …
        limit: &'static str,
    },
    /// A client reached a bound of a listener, and was turned away or cut off.
    ConnectionLimit {
        /// Which, as `server.connections` spells it where it is a key there.
        limit: &'static str,
    },
    /// An app's component trapped.
    Trap {
        /// Whose component.
        app: AppName,
    },
    /// An app's circuit breaker opened (after repeated traps) or closed again.
    Breaker {
        /// Whose breaker.
        app: AppName,
        /// Whether calls are turned away now.
        open: bool,
    },
    /// A component was made ready to run.
    Compile {
        /// Whether the cache had it.
        cached: bool,
        /// From bytes to module.
        duration: Duration,
    },
    /// An outgoing request of an app was allowed, or denied with this reason.
    Egress {
        /// Whose request.
        app: AppName,
        /// `None` when it was allowed.
        denied: Option<DenyReason>,
        /// Whether it was let through only because the app's egress is observed, not enforced.
        observed: bool,
    },
}
