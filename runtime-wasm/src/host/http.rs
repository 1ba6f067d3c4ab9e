//! `wasi:http/outgoing-handler`: the only network a guest has, on its way to the app's [`Outbound`].

use gestalt_core::CallContext;
use gestalt_core::egress::fields::is_of_connection;
use gestalt_core::egress::{Attribution, Body, EgressError, Outbound, SendOptions};
use http_body_util::BodyExt;
use std::sync::{Arc, LazyLock};
use std::time::Instant;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, Result, WasiBody, WasiHttpHooks,
};

/// Bytes of one write to a request body. Two writes wait in the host's memory until somebody takes them, so this is also
/// what a body costs that nobody ever sends.
const BODY_CHUNK: usize = 64 << 10;

/// Bodies of one call that are written in chunks of that size. A call with more of them than fit on the app's
/// connections is either done with the first ones or piles them up; the others get small chunks.
const ROOMY_BODIES: usize = 64;
const SMALL_CHUNK: usize = 4 << 10;

/// Headers a guest may neither set nor, in a trailer, pass on: those of every other way out, and wasmtime's. Named through
/// the filter and not only through `is_forbidden_header`, as the check of trailers has no store to ask.
static FORBIDDEN: LazyLock<ForbiddenHeaderFilter> =
    LazyLock::new(|| Arc::new(|name| DEFAULT_FORBIDDEN_HEADERS.contains(name) || is_of_connection(name.as_str())));

/// One instance's way out.
pub(crate) struct Hooks {
    pub(crate) outbound: Arc<dyn Outbound>,
    /// The call in progress; `None` during start-up.
    call: Option<Arc<CallContext>>,
    /// When its answer is due; `None` during start-up, which ends with its instance.
    due: Option<Instant>,
    /// Bodies it has begun.
    bodies: usize,
}

impl Hooks {
    pub(crate) fn new(outbound: Arc<dyn Outbound>) -> Self {
        Self { outbound, call: None, due: None, bodies: 0 }
    }

    /// What follows is sent for this call, until its answer is due.
    pub(crate) fn begin(&mut self, call: Option<Arc<CallContext>>, due: Instant) {
        (self.call, self.due, self.bodies) = (call, Some(due), 0);
    }

    /// On whose behalf.
    pub(crate) fn attribution(&self) -> Attribution {
        match &self.call {
            Some(call) => Attribution {
                invocation_id: call.invocation_id.clone(),
                subject: call.principal.subject.as_str().into(),
            },
            None => Attribution::default(),
        }
    }
}

type Sent = (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for Hooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        FORBIDDEN.clone()
    }

    /// The egress client sets it, from the canonical host; the guest's spelling never becomes a header.
    fn set_host_header(&mut self) -> bool {
        false
    }

    /// Asked once for each body.
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        self.bodies += 1;
        if self.bodies <= ROOMY_BODIES { BODY_CHUNK } else { SMALL_CHUNK }
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _response_errors: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent>> + Send> {
        if self.due.is_some_and(|due| due <= Instant::now()) {
            // A guest that is given up runs until it yields, which can be a tick later.
            return Box::new(async { Err(Error::ConnectionTimeout) });
        }
        let outbound = self.outbound.clone();
        let options = options.unwrap_or_default();
        let options = SendOptions {
            attribution: self.attribution(),
            connect_timeout: options.connect_timeout,
            first_byte_timeout: options.first_byte_timeout,
            idle_timeout: options.between_bytes_timeout,
        };
        Box::new(async move {
            let request = request.map(|body| -> Body { body.map_err(of_request).boxed_unsync() });
            let response = outbound.send(request, options).await.map_err(to_guest)?;
            let response = response.map(|body| -> WasiBody { body.map_err(to_guest).boxed_unsync() });
            // The response's body owns the connection: there is nothing left to drive beside it.
            let nothing: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(async { Ok(()) });
            Ok((response, nothing))
        })
    }
}

/// What can become of a body.
pub(crate) fn body_error_code(error: &Error) -> ErrorCode {
    match error {
        Error::HttpRequestBodySize(size) => ErrorCode::HttpRequestBodySize(*size),
        Error::HttpResponseBodySize(size) => ErrorCode::HttpResponseBodySize(*size),
        Error::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
        Error::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        Error::TlsProtocolError => ErrorCode::TlsProtocolError,
        _ => ErrorCode::HttpProtocolError,
    }
}

/// What a guest did wrong with its own request body.
fn of_request(error: Error) -> EgressError {
    EgressError::Protocol(error.to_string())
}

/// What the guest is told. The codes carry no text: names, addresses and reasons stay in the audit log.
fn to_guest(error: EgressError) -> Error {
    match error {
        EgressError::Denied(_) => Error::HttpRequestDenied,
        EgressError::UriInvalid => Error::HttpRequestUriInvalid,
        EgressError::MethodInvalid => Error::HttpRequestMethodInvalid,
        EgressError::Dns => Error::DnsError { rcode: None, info_code: None },
        EgressError::DnsTimeout => Error::DnsTimeout,
        EgressError::AddressProhibited => Error::DestinationIpProhibited,
        EgressError::ConnectionLimit => Error::ConnectionLimitReached,
        EgressError::Connect(_) => Error::ConnectionRefused,
        EgressError::ConnectTimeout => Error::ConnectionTimeout,
        EgressError::TlsCertificate(_) => Error::TlsCertificateError,
        EgressError::Tls(_) => Error::TlsProtocolError,
        EgressError::ReadTimeout => Error::ConnectionReadTimeout,
        EgressError::RequestTooLarge(size) => Error::HttpRequestBodySize(Some(size.0)),
        EgressError::ResponseTooLarge(size) => Error::HttpResponseBodySize(Some(size.0)),
        EgressError::RequestHeadTooLarge => Error::HttpRequestHeaderSectionSize(None),
        EgressError::ResponseHeadTooLarge => Error::HttpResponseHeaderSectionSize(None),
        EgressError::Upgrade => Error::HttpUpgradeFailed,
        EgressError::Protocol(_) => Error::HttpProtocolError,
        EgressError::Closed(_) => Error::ConnectionTerminated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use http_body_util::Empty;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    #[async_trait]
    impl Outbound for Counted {
        async fn send(
            &self,
            _: http::Request<Body>,
            _: SendOptions,
        ) -> std::result::Result<http::Response<Body>, EgressError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Err(EgressError::Dns)
        }
    }

    #[tokio::test]
    async fn h07_a_call_whose_answer_is_due_sends_nothing_more() {
        let outbound = Arc::new(Counted::default());
        let mut hooks = Hooks::new(outbound.clone());
        let send = async |hooks: &mut Hooks| {
            let body = Empty::new().map_err(|e| match e {}).boxed_unsync();
            let sent = hooks.send_request(http::Request::new(body), None, Box::new(async { Ok(()) }));
            Box::into_pin(sent).await.err().unwrap()
        };
        // While an app starts there is no call.
        assert!(matches!(send(&mut hooks).await, Error::DnsError { .. }));
        hooks.begin(None, Instant::now() + Duration::from_secs(60));
        assert!(matches!(send(&mut hooks).await, Error::DnsError { .. }));
        hooks.begin(None, Instant::now());
        assert!(matches!(send(&mut hooks).await, Error::ConnectionTimeout));
        assert_eq!(outbound.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn the_first_bodies_of_each_call_get_large_chunks() {
        let mut hooks = Hooks::new(Arc::new(Counted::default()));
        for _ in 0..2 {
            hooks.begin(None, Instant::now());
            let sizes: Vec<_> = (0..ROOMY_BODIES + 2).map(|_| hooks.p2_outgoing_body_chunk_size()).collect();
            assert_eq!(sizes, [vec![BODY_CHUNK; ROOMY_BODIES], vec![SMALL_CHUNK; 2]].concat());
        }
    }
}
