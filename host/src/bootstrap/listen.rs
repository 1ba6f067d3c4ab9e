//! Stage 1: the listeners.

use crate::ingress::http::Server;
use gestalt_config::Server as Settings;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Bound listeners and the addresses they got.
pub(super) struct Listeners {
    pub(super) public: TcpListener,
    pub(super) public_address: SocketAddr,
    pub(super) management: Option<TcpListener>,
    pub(super) management_address: Option<SocketAddr>,
}

impl Listeners {
    /// Every address the daemon listens on.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        std::iter::once(self.public_address).chain(self.management_address).collect()
    }
}

/// Binds what the configuration asks for.
pub(super) async fn bind(settings: &Settings) -> anyhow::Result<Listeners> {
    let public = Server::bind(settings.public).await?;
    let management = match &settings.management {
        Some(management) => Some(Server::bind(management.address).await?),
        None => None,
    };
    Ok(Listeners {
        public_address: public.local_addr()?,
        management_address: management.as_ref().map(TcpListener::local_addr).transpose()?,
        public,
        management,
    })
}
