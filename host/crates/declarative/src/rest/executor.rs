use super::catalog;
use super::plan::{Plan, check_base, check_headers, is_connection_header};
use super::request::Built;
use super::surface::RestSurface;
use crate::DeclarativeError;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use gestalt_core::egress::{Attribution, Body, EgressError, FollowError, Outbound, SendOptions, follow};
use gestalt_core::limits::ByteSize;
use gestalt_core::{AppName, Call, Catalog, Credential, ExecError, Executor, Headers, Reply};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, SET_COOKIE};
use http_body_util::BodyExt;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A manifest's `surfaces.rest`, ready to be called.
pub struct RestExecutor {
    app: AppName,
    plans: HashMap<String, Plan>,
    catalog: Arc<Catalog>,
    outbound: Arc<dyn Outbound>,
    limits: RestLimits,
}

/// Bounds on one upstream request, on top of those the app's [`Outbound`] has anyway.
#[derive(Clone, Debug)]
pub struct RestLimits {
    /// From sending the request to the end of the answer. Below the API's own deadline of 60 s, so that a slow
    /// upstream is reported as one.
    pub timeout: Duration,
    /// Body of an answer, which is held in memory.
    pub response: ByteSize,
}

impl Default for RestLimits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), response: ByteSize(50_000_000) }
    }
}

impl RestExecutor {
    /// Compiles `surface` for `app`; its requests leave through `outbound`.
    ///
    /// # Errors
    /// When the manifest asks for something that cannot be sent.
    pub fn build(
        app: AppName,
        surface: &RestSurface,
        outbound: Arc<dyn Outbound>,
        limits: RestLimits,
    ) -> Result<Self, DeclarativeError> {
        let base = check_base(&surface.base_url)?;
        let headers = check_headers(surface)?;
        let mut plans = HashMap::new();
        let mut operations = Vec::with_capacity(surface.operations.len());
        for source in &surface.operations {
            let plan = Plan::compile(&base, &headers, source)?;
            operations.push(catalog::operation(source, plan.method.as_str(), &plan.path));
            if plans.insert(source.name.clone(), plan).is_some() {
                return Err(DeclarativeError::DuplicateOperation(source.name.clone()));
            }
        }
        Ok(Self { app, plans, catalog: Arc::new(Catalog::new(operations)), outbound, limits })
    }

    /// An upstream that moved is followed, as far as the app's own policy reaches; where it does not, the call fails
    /// instead of handing its caller a place to go.
    async fn exchange(&self, request: http::Request<Bytes>, options: SendOptions) -> Result<Reply, ExecError> {
        let response = follow(&*self.outbound, request, &options).await.map_err(not_followed)?;
        let (head, body) = response.into_parts();
        let body = read(body, self.limits.response).await?;
        Ok(Reply { status: head.status.as_u16(), headers: passed_on(&head.headers), body })
    }
}

#[async_trait]
impl Executor for RestExecutor {
    async fn catalog(&self, _credential: Option<&Credential>) -> Result<Arc<Catalog>, ExecError> {
        Ok(Arc::clone(&self.catalog))
    }

    async fn execute(&self, call: Call) -> Result<Reply, ExecError> {
        let plan = self
            .plans
            .get(&*call.operation)
            .ok_or_else(|| ExecError::UnknownOperation { operation: call.operation.to_string() })?;
        let mut built = plan.request(&call.params)?;
        let credential = call.credential.as_ref().map(|c| c.token.expose()).filter(|token| !token.is_empty());
        if let Some(token) = credential {
            built.headers.insert(AUTHORIZATION, bearer(token)?);
        }
        let options = SendOptions {
            attribution: Attribution {
                invocation_id: Arc::clone(&call.context.invocation_id),
                subject: call.context.principal.subject.as_str().into(),
            },
            ..SendOptions::default()
        };

        let deadline = Instant::from_std(call.deadline);
        let timeout = Instant::now() + self.limits.timeout;
        let reply = match timeout_at(deadline.min(timeout), self.exchange(message(built), options)).await {
            Ok(reply) => reply?,
            Err(_) if deadline <= timeout => return Err(ExecError::Deadline),
            Err(_) => return Err(ExecError::UpstreamTimeout),
        };
        if reply.status == 401 && credential.is_some() {
            tracing::info!(app = %self.app, operation = %call.operation, "upstream rejected the credential");
            return Err(ExecError::CredentialRejected);
        }
        Ok(reply)
    }

    /// Nothing to release: a request lives as long as its call, and the connections are the [`Outbound`]'s.
    async fn shutdown(&self) {}
}

fn message(built: Built) -> http::Request<Bytes> {
    let mut request = http::Request::new(built.body.map_or_else(Bytes::new, Bytes::from));
    *request.method_mut() = built.method;
    *request.uri_mut() = built.uri;
    *request.headers_mut() = built.headers;
    request
}

fn bearer(token: &str) -> Result<HeaderValue, ExecError> {
    // A stored token that no header can carry is as good as a rejected one: connecting again is what helps.
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| ExecError::CredentialRejected)?;
    value.set_sensitive(true);
    Ok(value)
}

async fn read(mut body: Body, limit: ByteSize) -> Result<Bytes, ExecError> {
    let too_large = || exec_error(EgressError::ResponseTooLarge(limit));
    if http_body::Body::size_hint(&body).lower() > limit.0 {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(exec_error)?.into_data() else { continue };
        if bytes.len() + data.len() > limit.as_usize() {
            return Err(too_large());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

/// The end-to-end headers of an answer. Cookies stay here: they would be the upstream's session with the daemon, not
/// with the caller.
fn passed_on(headers: &HeaderMap) -> Headers {
    headers
        .iter()
        .filter(|(name, _)| !is_connection_header(name.as_str()) && *name != SET_COOKIE)
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect()
}

fn not_followed(error: FollowError) -> ExecError {
    told(error.to_string(), &error.source)
}

fn exec_error(error: EgressError) -> ExecError {
    told(error.to_string(), &error)
}

fn told(text: String, error: &EgressError) -> ExecError {
    match error {
        EgressError::Denied(_)
        | EgressError::UriInvalid
        | EgressError::MethodInvalid
        | EgressError::AddressProhibited => ExecError::EgressDenied(text),
        EgressError::DnsTimeout | EgressError::ConnectTimeout | EgressError::ReadTimeout => ExecError::UpstreamTimeout,
        EgressError::ConnectionLimit => ExecError::Busy { what: "outgoing connection" },
        EgressError::Dns | EgressError::Connect(_) | EgressError::TlsCertificate(_) | EgressError::Tls(_) => {
            ExecError::UpstreamUnreachable(text)
        }
        EgressError::RequestTooLarge(_) | EgressError::RequestHeadTooLarge => ExecError::InvalidInput(text),
        EgressError::ResponseTooLarge(_)
        | EgressError::ResponseHeadTooLarge
        | EgressError::Upgrade
        | EgressError::Protocol(_)
        | EgressError::Closed(_) => ExecError::UpstreamUnreadable(text),
    }
}
