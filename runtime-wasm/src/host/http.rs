//! `wasi:http/outgoing-handler`: the only network a guest has, on its way to the app's [`Outbound`].

use crate::state::State;
use gestalt_core::CallContext;
use gestalt_core::egress::{Attribution, Body, EgressError, Outbound, SendOptions};
use http_body_util::BodyExt;
use std::sync::{Arc, LazyLock};
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::IoError;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, Result, WasiBody, WasiHttpHooks,
};

/// Bytes of one write to a request body, and with one write buffered the memory a request body holds.
const BODY_CHUNK: usize = 64 << 10;

/// Headers a guest may neither set nor, in a trailer, pass on. Named through the filter and not only through
/// `is_forbidden_header`, as the check of trailers has no store to ask.
static FORBIDDEN: LazyLock<ForbiddenHeaderFilter> = LazyLock::new(|| {
    Arc::new(|name| {
        DEFAULT_FORBIDDEN_HEADERS.contains(name) || *name == http::header::TE || *name == http::header::TRAILER
    })
});

/// One instance's way out.
pub(crate) struct Hooks {
    pub(crate) outbound: Arc<dyn Outbound>,
    /// The call in progress; `None` during start-up.
    pub(crate) call: Option<Arc<CallContext>>,
}

impl Hooks {
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

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _response_errors: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent>> + Send> {
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

/// Replaces `http-error-code`, by which a guest asks what broke a body off.
///
/// wasmtime-wasi-http 48.0.8 looks for its wire type in the stream's error, where its body puts its own: a guest would
/// always hear that it was no HTTP error.
pub(crate) fn add_error_code(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance("wasi:http/types@0.2.12")?;
    types.func_wrap("http-error-code", |store, (error,): (Resource<IoError>,)| {
        let error = store.data().table.get(&error)?;
        let code = error.downcast_ref::<ErrorCode>().cloned();
        Ok((code.or_else(|| error.downcast_ref().map(body_error_code)),))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

/// What can become of a body.
fn body_error_code(error: &Error) -> ErrorCode {
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
