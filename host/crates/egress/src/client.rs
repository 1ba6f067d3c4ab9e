//! One app's way out.

use crate::active::Active;
use crate::attempt::Attempt;
use crate::body::{Pace, RequestBody, ResponseBody, ScrubbedBody, cover};
use crate::connect;
use crate::daemon::{Common, Shared};
use crate::exchange::{Exchange, Io, Patience};
use crate::headers;
use crate::ledger::Ledger;
use crate::policy::Grant;
use crate::proxy;
use crate::rate::Rate;
use crate::refusal::Refusal;
use crate::resolve::Lane;
use crate::scrub::Scrubber;
use crate::sidestep;
use crate::tls;
use crate::uri::Target;
use crate::withheld::Withheld;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use gestalt_core::AppName;
use gestalt_core::egress::{Attribution, Body, DenyReason, EgressError, Outbound, Rules, SendOptions, Sidestep};
use gestalt_core::limits::EgressLimits;
use http::header::{CONNECTION, CONTENT_ENCODING, HOST, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

/// Requests that wait for a connection, per connection there may be. Each holds a request in memory; an app that has
/// more outstanding than this is not going to get to them within its timeouts.
const WAITERS_PER_CONNECTION: usize = 4;

/// One app's client: nothing in it is shared with another app but what [`Shared`] holds, which remembers nothing.
pub(crate) struct Client {
    app: AppName,
    shared: Arc<Shared>,
    active: ArcSwap<Active>,
    /// Says that there are other rules now, to those whom they may end.
    replaced: watch::Sender<()>,
    limits: EgressLimits,
    tls: TlsConnector,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    requests: Mutex<Rate>,
    lane: Lane,
    ledger: Arc<Ledger>,
    withheld: Withheld,
}

impl Client {
    pub(crate) fn new(
        app: AppName,
        rules: Option<Rules>,
        limits: EgressLimits,
        common: Arc<Common>,
        shared: Arc<Shared>,
        ledger: Arc<Ledger>,
    ) -> Self {
        let now = (shared.clock)();
        let lane = common.lookup.lane(now);
        Self {
            active: ArcSwap::from_pointee(Active::new(app.clone(), rules, common, &shared.mint, 1)),
            tls: tls::for_app(&shared.tls),
            permits: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
            replaced: watch::Sender::new(()),
            requests: Mutex::new(Rate::new(limits.requests_per_minute, now)),
            lane,
            app,
            limits,
            shared,
            ledger,
            withheld: Withheld::default(),
        }
    }

    /// Puts other rules in place, or none. They hold for the next request; one under way ends under those it began with,
    /// and a tunnel, which may last, ends if they do not allow it.
    pub(crate) fn replace(&self, common: Arc<Common>, rules: Option<Rules>) {
        let version = self.active.load().version + 1;
        let (app, closed) = (self.app.clone(), rules.is_none());
        self.active.store(Arc::new(Active::new(app, rules, common, &self.shared.mint, version)));
        self.replaced.send_replace(());
        tracing::info!(target: "gestalt::egress", app = %self.app, version, closed, "egress rules replaced");
    }

    /// Changes whenever the rules do.
    pub(crate) fn replacements(&self) -> watch::Receiver<()> {
        self.replaced.subscribe()
    }

    pub(crate) fn active(&self) -> Arc<Active> {
        self.active.load_full()
    }

    pub(crate) fn limits(&self) -> &EgressLimits {
        &self.limits
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// What covers up the app's held credentials.
    pub(crate) fn scrubber(&self) -> Arc<Scrubber> {
        Arc::clone(self.active.load().vault.scrubber())
    }

    /// The request, as far as it can be judged without asking or touching anybody.
    fn admit(
        &self,
        request: &Request<Body>,
        active: &Active,
        attempt: &mut Attempt,
    ) -> Result<(Target, Grant), Refusal> {
        let target = Target::read(request.method(), request.uri())?;
        let grant = self.admit_target(&target, active, attempt)?;
        Ok((target, grant))
    }

    /// The destination, as far as it can be judged without asking or touching anybody. Counts against the rate.
    pub(crate) fn admit_target(
        &self,
        target: &Target,
        active: &Active,
        attempt: &mut Attempt,
    ) -> Result<Grant, Refusal> {
        attempt.aim(target.clone());
        let grant = match active.admit(target) {
            Ok(grant) => grant,
            Err(refusal) if active.observes() => {
                attempt.observe(refusal);
                active.grant(&target.host)
            }
            Err(refusal) => return Err(refusal),
        };
        if active.common.blocked_ports.blocks(target.port) {
            return Err(Refusal::from(EgressError::Denied(DenyReason::PortBlocked))
                .with_remedy(format!("server.egress.blockedPorts: none, or a list without {}", target.port)));
        }
        let now = (self.shared.clock)();
        if !self.requests.lock().unwrap_or_else(PoisonError::into_inner).admit(now) {
            let limit = self.limits.requests_per_minute;
            return Err(self.over_limit("egress.requestsPerMinute", limit as usize));
        }
        Ok(grant)
    }

    fn over_limit(&self, key: &'static str, limit: usize) -> Refusal {
        let remedy = format!("{key}: above {limit} (in the limits of the runtime of apps.{})", self.app);
        Refusal::from(EgressError::ConnectionLimit).with_limit(key).with_remedy(remedy)
    }

    /// A connection's permit; waits for one while not too many others do.
    pub(crate) async fn permit(&self, patience: Duration) -> Result<OwnedSemaphorePermit, Refusal> {
        let refused = || self.over_limit("egress.connections", self.limits.connections);
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let max = self.limits.connections.saturating_mul(WAITERS_PER_CONNECTION);
        let _place = Place::take(&self.waiting, max).ok_or_else(refused)?;
        match timeout(patience, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(refused()),
        }
    }

    /// [`Client::reach`], and TLS if the target has it.
    async fn connect(
        &self,
        target: &Target,
        grant: Grant,
        active: &Active,
        attempt: &mut Attempt,
    ) -> Result<Box<dyn Io>, Refusal> {
        let stream = self.reach(target, grant, active, attempt).await?;
        if target.tls {
            Ok(Box::new(tls::handshake(&self.tls, &target.host, stream).await?))
        } else {
            Ok(Box::new(stream))
        }
    }

    /// Resolves once, judges the answer, and connects to it and to nothing else.
    pub(crate) async fn reach(
        &self,
        target: &Target,
        grant: Grant,
        active: &Active,
        attempt: &mut Attempt,
    ) -> Result<TcpStream, Refusal> {
        let Common { lookup, guard, .. } = &*active.common;
        let answer = lookup.addresses(&target.host, &self.lane, (self.shared.clock)()).await?;
        if let Err(refusal) = guard.judge_all(&target.host, grant, &answer, target.port) {
            if !active.observes() {
                return Err(refusal);
            }
            guard.judge_all(&target.host, Grant::Open, &answer, target.port)?;
            attempt.observe(refusal);
        }
        let vetted: Vec<SocketAddr> = connect::order(&answer, target.port, lookup.max_addresses());
        Ok(dial(&active.common, &vetted).await.map_err(connect_error)?)
    }

    async fn exchange(
        &self,
        request: Request<Body>,
        options: &SendOptions,
        mut attempt: Attempt,
        active: &Active,
        deadline: Instant,
    ) -> Result<Response<Body>, EgressError> {
        let prepared = match self.prepare(request, options, active, &mut attempt).await {
            Ok(prepared) => prepared,
            Err(refusal) => return Err(attempt.fail(refusal)),
        };
        let first_byte = shorter(self.limits.first_byte_timeout, options.first_byte_timeout);
        let patience = Patience { first_byte, deadline };
        let Prepared { request, io, permit, guarded } = prepared;
        let (response, exchange) = Exchange::start(io, request, &self.limits, patience, permit, attempt).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(exchange.fail(EgressError::Upgrade));
        }
        if let Err(error) = headers::check_framing(response.headers()) {
            return Err(exchange.fail(error));
        }
        let (mut head, body) = response.into_parts();
        headers::filter_response(&mut head.headers);
        if guarded && is_encoded(&head.headers) {
            let text = "an encoded answer from a host that gets a held credential".to_owned();
            return Err(exchange.fail(EgressError::Protocol(text)));
        }
        head.extensions.clear();
        let scrubber = active.vault.scrubber();
        scrubber.headers(&mut head.headers);
        let pace = Pace { idle: shorter(self.limits.idle_timeout, options.idle_timeout), deadline };
        let body = ResponseBody::new(body, exchange, self.limits.max_response_body, pace)?;
        let body = match scrubber.is_idle() {
            true => body.boxed_unsync(),
            false => ScrubbedBody::new(body, Arc::clone(scrubber)).boxed_unsync(),
        };
        Ok(Response::from_parts(head, body))
    }

    /// Everything up to an open connection and a request fit to be written to it.
    async fn prepare(
        &self,
        request: Request<Body>,
        options: &SendOptions,
        active: &Active,
        attempt: &mut Attempt,
    ) -> Result<Prepared, Refusal> {
        let (target, grant) = self.admit(&request, active, attempt)?;
        let request = self.rewrite(request, &target, active, attempt)?;
        let patience = shorter(self.limits.connect_timeout, options.connect_timeout);
        let permit = self.permit(patience).await?;
        let connect = self.connect(&target, grant, active, attempt);
        let io = timeout(patience, connect).await.map_err(|_| EgressError::ConnectTimeout)??;
        Ok(Prepared { request, io, permit, guarded: active.vault.concerns(&target.host) })
    }

    /// The request as it goes over the wire: origin form, our Host, no field that is not the app's to send.
    fn rewrite(
        &self,
        request: Request<Body>,
        target: &Target,
        active: &Active,
        attempt: &mut Attempt,
    ) -> Result<Request<RequestBody>, Refusal> {
        let (head, body) = request.into_parts();
        headers::check_size(target, &head.headers, &self.limits)?;
        let declared = headers::declared_length(&head.headers)?;
        let limit = self.limits.max_request_body;
        let body = RequestBody::new(body, declared, limit, Arc::clone(attempt.upload()))?;
        let mut rewritten = Request::new(body);
        *rewritten.method_mut() = head.method;
        *rewritten.uri_mut() = target.origin_form();
        *rewritten.version_mut() = Version::HTTP_11;
        let mut fields = head.headers;
        headers::filter_request(&mut fields, active.common.forwarded, |name, why| {
            self.withheld.tell(&self.app, name, why)
        });
        attempt.note_credential(active.vault.fill(target, &mut fields));
        fields.insert(HOST, target.host_header()?);
        // One connection per request: no server needs to keep it open.
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
        *rewritten.headers_mut() = fields;
        Ok(rewritten)
    }
}

struct Prepared {
    request: Request<RequestBody>,
    io: Box<dyn Io>,
    permit: OwnedSemaphorePermit,
    /// Whether the host may be sent a held credential.
    guarded: bool,
}

#[async_trait]
impl Outbound for Client {
    async fn send(&self, request: Request<Body>, options: SendOptions) -> Result<Response<Body>, EgressError> {
        let deadline = Instant::now() + self.limits.total_timeout;
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let attempt = Attempt::open(Arc::clone(&self.ledger), options.attribution.clone(), method, uri);
        let active = self.active.load_full();
        let exchange = self.exchange(request, &options, attempt, &active, deadline);
        match timeout_at(deadline, exchange).await {
            Ok(Err(error)) => Err(cover(error, active.vault.scrubber())),
            Ok(response) => response,
            Err(_) => {
                self.ledger.count_limit("egress.totalTimeout");
                Err(EgressError::ReadTimeout)
            }
        }
    }

    fn sidestepped(&self, sidestep: Sidestep, attribution: Attribution) {
        self.ledger.note(sidestep::record(self.app.clone(), sidestep, attribution), None);
    }
}

/// A connection to one of `vetted`: of our own, or through the operator's proxy.
async fn dial(common: &Common, vetted: &[SocketAddr]) -> io::Result<TcpStream> {
    let Some(proxy) = &common.proxy else { return connect::dial(vetted).await };
    let addresses = common.lookup.trusted(&proxy.host).await?;
    let proxies = connect::order(&addresses, proxy.port, addresses.len());
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for destination in vetted {
        match proxy::tunnel(connect::dial(&proxies).await?, proxy, *destination).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A place among those who wait for a permit.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, max: usize) -> Option<Self> {
        let place = Self(waiting);
        // The place is given back by the drop if it was one too many.
        (waiting.fetch_add(1, Ordering::Relaxed) < max).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An app may be less patient than the operator, never more.
fn shorter(bound: Duration, asked: Option<Duration>) -> Duration {
    asked.map_or(bound, |asked| asked.min(bound))
}

/// An app learns what kind of failure it was; what a proxy said is for the operator alone.
fn connect_error(error: io::Error) -> EgressError {
    if error.get_ref().is_some() {
        tracing::warn!(target: "gestalt::egress", %error, "connection not made");
    }
    EgressError::Connect(error.kind().to_string())
}

/// Whether an answer's body is something else than what it says, so that nothing can be found in it.
fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}
