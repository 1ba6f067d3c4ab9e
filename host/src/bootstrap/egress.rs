//! Stage 2: the way out.

use gestalt_config::Server;
use gestalt_core::audit;
use gestalt_core::metrics::Meter;
use gestalt_egress::{Egress, Parts, Resolver, SelfListeners};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// Builds the daemon's part. `own` are the listeners no app may reach.
pub(crate) fn build(
    server: &Server,
    resolver: Arc<dyn Resolver>,
    sink: Arc<dyn audit::Sink>,
    meter: Arc<dyn Meter>,
    own: Vec<SocketAddr>,
) -> anyhow::Result<Egress> {
    let listeners = Arc::new(SelfListeners::default());
    for address in own {
        listeners.add(address);
    }
    let artifacts = Some(server.artifacts_dir.clone());
    let parts = Parts { resolver, sink, meter, listeners, clock: Arc::new(Instant::now), artifacts };
    Ok(Egress::build(server.egress.clone(), parts)?)
}
