//! Accepting connections, and letting them go.

use super::body::{Answering, InTime};
use super::door::{Admitted, Door, DoorSettings};
use super::pace::Paced;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Version};
use gestalt_core::metrics::Meter;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Longest request head. Cookies and tokens are a few KiB; this is what the original API accepts.
const MAX_HEADER: usize = 1 << 20;
/// The same on HTTP/2, where it is counted unpacked and for every stream.
const MAX_HEADER_LIST: u32 = 64 << 10;
/// How often an idle HTTP/2 connection is probed, so that a vanished client gives its place back, and how long it may take
/// to answer.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));
/// Requests at once on one HTTP/2 connection. Against one client that queues without end.
const MAX_STREAMS: u32 = 128;
/// Streams a client may take back before they were looked at, and ones that were wrong, before the connection is closed.
/// Against opening and resetting streams without end, which costs the client nothing.
const MAX_RESETS: usize = 20;
/// What is kept of one HTTP/2 answer until the client opens its window.
const MAX_SEND_BUFFER: usize = 64 << 10;
/// How often the log is told of clients that reached a bound.
const TELL: Duration = Duration::from_secs(60);
/// How long open requests may take to finish after the daemon was told to stop.
const DRAIN: Duration = Duration::from_secs(15);

/// One listener and the routes it serves.
pub struct Server {
    listener: TcpListener,
    router: Router,
    /// For connections that there is no place for.
    refusing: Router,
    door: Arc<Door>,
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

    /// A server of `router` on `listener`, and of `refusing` for connections beyond the bounds in `settings`.
    pub fn new(
        listener: TcpListener,
        [router, refusing]: [Router; 2],
        settings: DoorSettings,
        meter: Arc<dyn Meter>,
    ) -> Self {
        Self { listener, router, refusing, door: Arc::new(Door::new(settings, meter)) }
    }

    /// Serves until `shutdown`, then stops accepting and waits for open requests, at most 15 seconds.
    pub async fn run(self, shutdown: CancellationToken) {
        let graceful = GracefulShutdown::new();
        let mut tell = tokio::time::interval(TELL);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = shutdown.cancelled() => break,
                _ = tell.tick() => {
                    self.door.tell();
                    continue;
                }
            };
            match accepted {
                Ok((stream, peer)) => {
                    let Some(admitted) = self.door.admit(peer) else { continue };
                    let router = if admitted.refused.is_none() { &self.router } else { &self.refusing };
                    let (router, door, watcher) = (router.clone(), self.door.clone(), graceful.watcher());
                    tokio::spawn(async move { serve(stream, peer, admitted, router, &door, watcher).await });
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
        self.door.tell();
    }
}

/// Serves one connection, HTTP/1.1 or cleartext HTTP/2, until it ends, is too slow, or `watcher` says to finish.
async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    admitted: Admitted,
    router: Router,
    door: &Arc<Door>,
    watcher: Watcher,
) {
    let Admitted { pace, held: _held, refused } = admitted;
    // Answers are one small write; waiting to fill a segment would only add the delay of the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request: Request<Incoming>| {
        let framed = request.version() == Version::HTTP_2;
        let under_way = pace.begin(framed);
        let client = door.client(peer, request.headers());
        let mut request = request.map(|body| Body::new(InTime::new(body, door.times().body)));
        request.extensions_mut().insert(client);
        request.extensions_mut().insert(door.clone());
        if let Some(bound) = refused {
            request.extensions_mut().insert(bound);
        }
        let answer = router.clone().oneshot(request);
        async move { answer.await.map(|answer| answer.map(|body| Answering::new(body, under_way, framed))) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // How long a head may take is the pace's business, which counts from the first moment on: hyper's own clock starts
    // when the protocol is known.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_HEADER);
    builder.http1().keep_alive(refused.is_none());
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).keep_alive_interval(KEEP_ALIVE.0).keep_alive_timeout(KEEP_ALIVE.1);
    http2.max_concurrent_streams(MAX_STREAMS).max_header_list_size(MAX_HEADER_LIST).max_send_buf_size(MAX_SEND_BUFFER);
    http2.max_pending_accept_reset_streams(MAX_RESETS).max_local_error_reset_streams(MAX_RESETS);
    let stream = TokioIo::new(Paced { stream, pace: pace.clone() });
    let connection = watcher.watch(builder.serve_connection(stream, service).into_owned());
    match pace.watch(connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%peer, %error, "connection ended"),
        Err(ended) => {
            tracing::debug!(%peer, ?ended, "connection closed");
            door.ended(ended, peer);
        }
    }
}
