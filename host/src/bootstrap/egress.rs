//! Stage 2: the way out.

use gestalt_core::audit;
use gestalt_core::egress::Settings;
use gestalt_core::metrics::{Event, Meter};
use gestalt_egress::{Egress, Parts, Resolver, SelfListeners};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// Builds the daemon's part. `own` are the listeners no app may reach.
pub(super) fn build(
    settings: &Settings,
    resolver: Arc<dyn Resolver>,
    sink: Arc<dyn audit::Sink>,
    own: Vec<SocketAddr>,
) -> anyhow::Result<Egress> {
    let listeners = Arc::new(SelfListeners::default());
    for address in own {
        listeners.add(address);
    }
    let parts = Parts { resolver, sink, meter: Arc::new(Unmetered), listeners, clock: Arc::new(Instant::now) };
    Ok(Egress::build(settings.clone(), parts)?)
}

/// Counts nothing.
struct Unmetered;

impl Meter for Unmetered {
    fn record(&self, _: Event) {}
}
