//! Accepting connections, and letting them go.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// How long a client may take to send a request's head. Against clients that hold connections open with nothing.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest request head. Cookies and tokens are a few KiB; this is what the original API accepts.
const MAX_HEADER: usize = 1 << 20;
/// Open connections of one listener. Below the usual limit of descriptors, so that accepting never starves the rest.
const MAX_CONNECTIONS: usize = 8192;
/// How often an idle HTTP/2 connection is probed, so that a vanished client gives its slot back.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// Requests at once on one HTTP/2 connection. Against one client that queues without end.
const MAX_STREAMS: u32 = 256;
/// How long open requests may take to finish after the daemon was told to stop.
const DRAIN: Duration = Duration::from_secs(15);

/// One listener and the routes it serves.
pub struct Server {
    listener: TcpListener,
    router: Router,
}

/// A listener that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ServerError {
    address: SocketAddr,
    source: std::io::Error,
}

impl Server {
    /// Binds `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(address: SocketAddr) -> Result<TcpListener, ServerError> {
        TcpListener::bind(address).await.map_err(|source| ServerError { address, source })
    }

    /// A server of `router` on `listener`.
    pub fn new(listener: TcpListener, router: Router) -> Self {
        Self { listener, router }
    }

    /// Serves until `shutdown`, then stops accepting and waits for open requests, at most 15 seconds.
    pub async fn run(self, shutdown: CancellationToken) {
        let (graceful, slots) = (GracefulShutdown::new(), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
        loop {
            let slot = tokio::select! {
                slot = slots.clone().acquire_owned() => slot,
                () = shutdown.cancelled() => break,
            };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = shutdown.cancelled() => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let watcher = graceful.watcher();
                    let serving = serve(stream, peer, self.router.clone(), watcher);
                    tokio::spawn(async move {
                        let _slot = slot;
                        serving.await;
                    });
                }
                // Out of descriptors or memory: accepting again at once would spin.
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(self.listener);
        if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests still open after {DRAIN:?}; closing them");
        }
    }
}

/// Serves one connection, HTTP/1.1 or cleartext HTTP/2, until it ends or `watcher` says to finish.
async fn serve(stream: TcpStream, peer: SocketAddr, router: Router, watcher: Watcher) {
    // Answers are one small write; waiting to fill a segment would only add the delay of the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request.map(Body::new))
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(MAX_HEADER);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(KEEP_ALIVE).max_concurrent_streams(MAX_STREAMS);
    if let Err(error) = watcher.watch(builder.serve_connection(TokioIo::new(stream), service)).await {
        tracing::debug!(%peer, %error, "connection ended");
    }
}
