//! The way out as a proxy, for code that sends its requests itself.
//!
//! One listener belongs to one app: who connects is not asked who it is. A request in absolute form goes the way of
//! every other request; `CONNECT` opens a [`tunnel`]. Both are told apart here, and nothing is decided here.

mod hello;
mod relay;
mod tunnel;

use crate::client::Client;
use async_trait::async_trait;
use bytes::Bytes;
use gestalt_core::egress::{Body, EgressError, Forward, Outbound, SendOptions};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tunnel::Tunnel;

/// Connections of an app to its proxy, for each it may have to the world. Clients keep some open between requests; what
/// is more than this waits to be accepted.
const KEPT_PER_CONNECTION: usize = 4;

/// The head of a request, and the pause before it on a connection that is kept. Against connections that are opened and
/// not used.
const HEAD: Duration = Duration::from_secs(30);

/// The longest head of a request, and the smallest buffer the HTTP implementation accepts. Fields are held to the
/// client's own bounds; this is what is read before they can be counted.
const HEAD_BYTES: usize = 64 << 10;

/// After a connection could not be accepted, which means that the process has no descriptor left.
const BREATH: Duration = Duration::from_millis(100);

/// One app's proxy.
pub(crate) struct Forwarder {
    client: Arc<Client>,
    connections: Arc<Semaphore>,
}

impl Forwarder {
    pub(crate) fn new(client: Arc<Client>) -> Self {
        let most = client.limits().connections.saturating_mul(KEPT_PER_CONNECTION).min(Semaphore::MAX_PERMITS);
        Self { client, connections: Arc::new(Semaphore::new(most)) }
    }
}

#[async_trait]
impl Forward for Forwarder {
    async fn run(&self, listener: std::net::TcpListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let mut connections = JoinSet::new();
        loop {
            let permit = Arc::clone(&self.connections).acquire_owned().await.map_err(io::Error::other)?;
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            match accepted {
                Ok((stream, _)) => {
                    let client = Arc::clone(&self.client);
                    connections.spawn(async move {
                        let _permit = permit;
                        serve(client, stream).await;
                    });
                }
                Err(error) => {
                    tracing::debug!(target: "gestalt::egress", %error, "a connection to an app's proxy was not accepted");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }
}

/// One connection: requests one after the other, or requests and then a tunnel.
async fn serve(client: Arc<Client>, stream: TcpStream) {
    // Answers are written in a few small pieces; waiting to join them only costs time.
    let _ = stream.set_nodelay(true);
    let opened: Mutex<Option<(OnUpgrade, Tunnel)>> = Mutex::new(None);
    let service = service_fn(|request| async {
        let (response, tunnel) = answer(&client, request).await;
        if tunnel.is_some() {
            *opened.lock().unwrap_or_else(PoisonError::into_inner) = tunnel;
        }
        Ok::<_, Infallible>(response)
    });
    let limits = client.limits();
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_headers(limits.max_headers).max_buf_size(HEAD_BYTES);
    let served = builder.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
    let Some((upgrade, tunnel)) = opened.into_inner().unwrap_or_else(PoisonError::into_inner) else { return };
    if served.is_ok()
        && let Ok(upgraded) = upgrade.await
    {
        tunnel.run(TokioIo::new(upgraded)).await;
    }
}

/// The answer to one request; with the tunnel that follows it, if it opened one.
async fn answer(client: &Arc<Client>, mut request: Request<Incoming>) -> (Response<Body>, Option<(OnUpgrade, Tunnel)>) {
    if request.method() == Method::CONNECT {
        return match Tunnel::open(client, request.uri()).await {
            Ok(tunnel) => {
                let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
                (Response::new(body), Some((hyper::upgrade::on(&mut request), tunnel)))
            }
            Err(error) => (refusal(&error), None),
        };
    }
    let request = request.map(|body| body.map_err(|error| EgressError::Closed(error.to_string())).boxed_unsync());
    let response = client.send(request, SendOptions::default()).await;
    (response.unwrap_or_else(|error| refusal(&error)), None)
}

/// An error as an answer: the app's error, and nothing else.
fn refusal(error: &EgressError) -> Response<Body> {
    let body = Full::new(Bytes::from(format!("{error}\n"))).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status(error);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn status(error: &EgressError) -> StatusCode {
    match error {
        EgressError::Denied(_) | EgressError::AddressProhibited => StatusCode::FORBIDDEN,
        EgressError::UriInvalid | EgressError::MethodInvalid => StatusCode::BAD_REQUEST,
        EgressError::RequestHeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        EgressError::RequestTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        EgressError::ConnectionLimit => StatusCode::SERVICE_UNAVAILABLE,
        EgressError::DnsTimeout | EgressError::ConnectTimeout | EgressError::ReadTimeout => StatusCode::GATEWAY_TIMEOUT,
        EgressError::Dns
        | EgressError::Connect(_)
        | EgressError::TlsCertificate(_)
        | EgressError::Tls(_)
        | EgressError::ResponseTooLarge(_)
        | EgressError::ResponseHeadTooLarge
        | EgressError::Upgrade
        | EgressError::Protocol(_)
        | EgressError::Closed(_) => StatusCode::BAD_GATEWAY,
    }
}
