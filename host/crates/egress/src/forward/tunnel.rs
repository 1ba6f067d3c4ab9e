//! `CONNECT`: a way to one host that was allowed, for TLS with that host.

use super::{hello, relay};
use crate::active::Active;
use crate::attempt::Attempt;
use crate::client::Client;
use crate::refusal::Refusal;
use crate::traffic::Metered;
use crate::uri::Target;
use gestalt_core::egress::{Attribution, DenyReason, EgressError};
use http::{Method, Uri};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout, timeout_at};

/// A tunnel whose far end stands, and into which nothing was written yet. Dropping it closes the socket, returns the
/// permit and writes the record.
pub(super) struct Tunnel {
    /// The rules it began with, and ends under.
    active: Arc<Active>,
    target: Target,
    far: Metered<TcpStream>,
    deadline: Instant,
    client: Arc<Client>,
    replacements: watch::Receiver<()>,
    _permit: OwnedSemaphorePermit,
    attempt: Attempt,
}

impl Tunnel {
    /// Takes a request for a tunnel through everything a request passes before it is written.
    ///
    /// # Errors
    /// As [`Outbound::send`](gestalt_core::egress::Outbound::send).
    pub(super) async fn open(client: &Arc<Client>, uri: &Uri) -> Result<Self, EgressError> {
        // Before the rules are looked at: what replaces them later is noticed.
        let replacements = client.replacements();
        let active = client.active();
        let deadline = Instant::now() + active.common.connect.total_timeout;
        let mut attempt =
            Attempt::open(Arc::clone(client.ledger()), Attribution::default(), Method::CONNECT, uri.clone());
        match reach(client, &active, uri, &mut attempt).await {
            Ok((target, stream, permit)) => {
                let far = Metered::new(stream, Arc::clone(attempt.traffic()));
                let client = Arc::clone(client);
                Ok(Self { active, target, far, deadline, client, replacements, _permit: permit, attempt })
            }
            Err(refusal) => Err(attempt.fail(refusal)),
        }
    }

    /// Carries bytes until either end has enough, a bound is reached, or other rules do not allow it. Nothing is carried before the app has begun a
    /// TLS handshake with the host the tunnel was opened for.
    pub(super) async fn run(mut self, mut near: impl AsyncRead + AsyncWrite + Unpin) {
        let end = self.carry(&mut near).await;
        if let Err(refusal) = end {
            self.attempt.fail(refusal);
        }
    }

    async fn carry(&mut self, near: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<(), Refusal> {
        let Self { active, target, far, deadline, client, replacements, attempt, .. } = self;
        let settings = &active.common.connect;
        let bounds =
            relay::Bounds { idle: settings.idle_timeout, sent: settings.max_sent.0, received: settings.max_received.0 };
        let carried = async {
            let first = hello::read(near, &target.host).await?;
            let carried = async {
                far.write_all(&first).await.map_err(|_| relay::End::Closed)?;
                relay::run(near, far, bounds, attempt.traffic()).await
            };
            Ok(timeout_at(*deadline, carried).await.unwrap_or(Err(relay::End::Total)))
        };
        let end = tokio::select! {
            carried = carried => carried,
            refusal = revocation(client, target, replacements) => Err(refusal),
        }?;
        match end {
            Ok(()) | Err(relay::End::Closed) => Ok(()),
            Err(relay::End::Idle) => Err(late("egress.connect.idleTimeout")),
            Err(relay::End::Total) => Err(late("egress.connect.totalTimeout")),
            Err(relay::End::Sent) => Err(EgressError::RequestTooLarge(settings.max_sent).into())
                .map_err(|refusal: Refusal| refusal.with_limit("egress.connect.maxSent")),
            Err(relay::End::Received) => Err(EgressError::ResponseTooLarge(settings.max_received).into())
                .map_err(|refusal: Refusal| refusal.with_limit("egress.connect.maxReceived")),
        }
    }
}

/// Ends with the refusal of the first rules in place of the tunnel's that do not allow its target.
async fn revocation(client: &Client, target: &Target, replacements: &mut watch::Receiver<()>) -> Refusal {
    loop {
        // The sender is the client's, and there as long as it is.
        if replacements.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        let active = client.active();
        if let Err(refusal) = active.admit(target)
            && !active.observes()
        {
            return refusal;
        }
    }
}

fn late(limit: &'static str) -> Refusal {
    Refusal::from(EgressError::ReadTimeout).with_limit(limit)
}

/// Policy, limits, resolution, guard and connection: [`Client`]'s own, in its order.
async fn reach(
    client: &Client,
    active: &Active,
    uri: &Uri,
    attempt: &mut Attempt,
) -> Result<(Target, TcpStream, OwnedSemaphorePermit), Refusal> {
    let target = Target::of_tunnel(uri)?;
    let grant = client.admit_target(&target, active, attempt)?;
    let ports = &active.common.connect.ports;
    if !ports.contains(&target.port) {
        let remedy = format!("server.egress.connect.ports: a list with {}", target.port);
        return Err(Refusal::from(EgressError::Denied(DenyReason::PortBlocked)).with_remedy(remedy));
    }
    let patience = client.limits().connect_timeout;
    let permit = client.permit(patience).await?;
    let reached = timeout(patience, client.reach(&target, grant, active, attempt)).await;
    let stream = reached.map_err(|_| EgressError::ConnectTimeout)??;
    Ok((target, stream, permit))
}
