//! One app's way out.

use crate::attempt::Attempt;
use crate::body::{Pace, RequestBody, ResponseBody};
use crate::connect;
use crate::daemon::Shared;
use crate::exchange::{Exchange, Io, Patience};
use crate::headers;
use crate::ledger::Ledger;
use crate::policy::{Grant, Policy, blocks};
use crate::rate::Rate;
use crate::refusal::Refusal;
use crate::resolve::Lane;
use crate::tls;
use crate::uri::Target;
use async_trait::async_trait;
use gestalt_core::AppName;
use gestalt_core::egress::{Body, DenyReason, EgressError, Outbound, Rules, SendOptions};
use gestalt_core::host::Host;
use gestalt_core::limits::EgressLimits;
use http::header::{CONNECTION, HOST, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

/// Requests that wait for a connection, per connection there may be. Each holds a request in memory; an app that has
/// more outstanding than this is not going to get to them within its timeouts.
const WAITERS_PER_CONNECTION: usize = 4;

/// One app's client: nothing in it is shared with another app but what [`Shared`] holds, which remembers nothing.
pub(crate) struct Client {
    app: AppName,
    shared: Arc<Shared>,
    policy: Policy,
    limits: EgressLimits,
    tls: TlsConnector,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    requests: Mutex<Rate>,
    lane: Lane,
    ledger: Arc<Ledger>,
}

impl Client {
    pub(crate) fn new(
        app: AppName,
        rules: Rules,
        limits: EgressLimits,
        shared: Arc<Shared>,
        ledger: Arc<Ledger>,
    ) -> Self {
        let now = (shared.clock)();
        Self {
            policy: Policy::new(rules.allowed.into_iter().map(|entry| entry.pattern), shared.default_action),
            tls: tls::for_app(&shared.tls),
            permits: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
            requests: Mutex::new(Rate::new(limits.requests_per_minute, now)),
            lane: shared.lookup.lane(now),
            app,
            limits,
            shared,
            ledger,
        }
    }

    /// The request, as far as it can be judged without asking or touching anybody.
    fn admit(&self, request: &Request<Body>, attempt: &mut Attempt) -> Result<(Target, Grant), Refusal> {
        let target = Target::read(request.method(), request.uri())?;
        attempt.aim(target.clone());
        let grant = self.policy.check(&target.host).map_err(|reason| {
            Refusal::from(EgressError::Denied(reason)).with_remedy(format!(
                "apps.{}.egress.allowedHosts: [\"{}\"]",
                self.app,
                bare(&target.host)
            ))
        })?;
        if blocks(&self.shared.blocked_ports, target.port) {
            return Err(Refusal::from(EgressError::Denied(DenyReason::PortBlocked))
                .with_remedy(format!("server.egress.blockedPorts: none, or a list without {}", target.port)));
        }
        let now = (self.shared.clock)();
        if !self.requests.lock().unwrap_or_else(PoisonError::into_inner).admit(now) {
            let limit = self.limits.requests_per_minute;
            return Err(self.over_limit(EgressError::ConnectionLimit, &format!("requestsPerMinute: above {limit}")));
        }
        Ok((target, grant))
    }

    fn over_limit(&self, error: EgressError, key: &str) -> Refusal {
        Refusal::from(error).with_remedy(format!("egress.{key} (in the limits of the runtime of apps.{})", self.app))
    }

    /// A connection's permit; waits for one while not too many others do.
    async fn permit(&self, patience: Duration) -> Result<OwnedSemaphorePermit, Refusal> {
        let refused = || {
            self.over_limit(EgressError::ConnectionLimit, &format!("connections: above {}", self.limits.connections))
        };
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

    /// Resolves once, judges the answer, connects to it and to nothing else, and shakes hands.
    async fn connect(&self, target: &Target, grant: Grant) -> Result<Box<dyn Io>, Refusal> {
        let lookup = &self.shared.lookup;
        let answer = lookup.addresses(&target.host, &self.lane, (self.shared.clock)()).await?;
        self.shared.guard.judge_all(&target.host, grant, &answer, target.port)?;
        let vetted: Vec<SocketAddr> = connect::order(&answer, target.port, lookup.max_addresses());
        let stream = connect::dial(&vetted).await.map_err(|error| EgressError::Connect(error.kind().to_string()))?;
        if target.tls {
            Ok(Box::new(tls::handshake(&self.tls, &target.host, stream).await?))
        } else {
            Ok(Box::new(stream))
        }
    }

    async fn exchange(
        &self,
        request: Request<Body>,
        options: &SendOptions,
        mut attempt: Attempt,
        deadline: Instant,
    ) -> Result<Response<Body>, EgressError> {
        let prepared = match self.prepare(request, options, &mut attempt).await {
            Ok(prepared) => prepared,
            Err(refusal) => return Err(attempt.fail(refusal)),
        };
        let first_byte = shorter(self.limits.first_byte_timeout, options.first_byte_timeout);
        let patience = Patience { first_byte, deadline };
        let Prepared { request, io, permit } = prepared;
        let (response, exchange) = Exchange::start(io, request, &self.limits, patience, permit, attempt).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(exchange.fail(EgressError::Upgrade));
        }
        let (mut head, body) = response.into_parts();
        headers::filter_response(&mut head.headers);
        head.extensions.clear();
        let pace = Pace { idle: shorter(self.limits.idle_timeout, options.idle_timeout), deadline };
        let body = ResponseBody::new(body, exchange, self.limits.max_response_body, pace)?;
        Ok(Response::from_parts(head, body.boxed_unsync()))
    }

    /// Everything up to an open connection and a request fit to be written to it.
    async fn prepare(
        &self,
        request: Request<Body>,
        options: &SendOptions,
        attempt: &mut Attempt,
    ) -> Result<Prepared, Refusal> {
        let (target, grant) = self.admit(&request, attempt)?;
        let request = self.rewrite(request, &target, attempt)?;
        let patience = shorter(self.limits.connect_timeout, options.connect_timeout);
        let permit = self.permit(patience).await?;
        let io = timeout(patience, self.connect(&target, grant)).await.map_err(|_| EgressError::ConnectTimeout)??;
        Ok(Prepared { request, io, permit })
    }

    /// The request as it goes over the wire: origin form, our Host, no field that is not the app's to send.
    fn rewrite(
        &self,
        request: Request<Body>,
        target: &Target,
        attempt: &Attempt,
    ) -> Result<Request<RequestBody>, Refusal> {
        let (head, body) = request.into_parts();
        let declared = headers::declared_length(&head.headers)?;
        let limit = self.limits.max_request_body;
        let body = RequestBody::new(body, declared, limit, Arc::clone(attempt.upload()))?;
        let mut rewritten = Request::new(body);
        *rewritten.method_mut() = head.method;
        *rewritten.uri_mut() = target.origin_form();
        *rewritten.version_mut() = Version::HTTP_11;
        let mut fields = head.headers;
        headers::filter_request(&mut fields);
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
}

#[async_trait]
impl Outbound for Client {
    async fn send(&self, request: Request<Body>, options: SendOptions) -> Result<Response<Body>, EgressError> {
        let deadline = Instant::now() + self.limits.total_timeout;
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let attempt = Attempt::open(Arc::clone(&self.ledger), options.attribution.clone(), method, uri);
        let exchange = self.exchange(request, &options, attempt, deadline);
        timeout_at(deadline, exchange).await.unwrap_or(Err(EgressError::ReadTimeout))
    }
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

/// A host as an entry of `allowedHosts` spells it.
fn bare(host: &Host) -> String {
    match host {
        Host::Name(name) => name.to_string(),
        Host::Ip(ip) => ip.to_string(),
    }
}
