use super::{Error, Request, Response};
use crate::bindings::wasi::http::outgoing_handler;
use crate::bindings::wasi::http::types::{
    Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions, Scheme, http_error_code,
};
use crate::bindings::wasi::io::streams::StreamError;

/// What one write may carry without asking first; the bound is part of `blocking-write-and-flush`.
const WRITE_CHUNK: usize = 4096;
/// What one read asks for.
const READ_CHUNK: u64 = 64 << 10;

pub(super) fn send(request: Request) -> Result<Response, Error> {
    if let Some(problem) = request.problem {
        return Err(Error::Invalid(problem));
    }
    let outgoing = build(&request)?;
    let options = options(&request)?;
    let body = outgoing.body().map_err(|()| Error::Invalid("the body was taken".into()))?;
    let future = outgoing_handler::handle(outgoing, options)?;
    // A server may answer before it has read everything: its answer tells more than the broken pipe.
    let written = write(body, &request.body);
    future.subscribe().block();
    let response = match future.get() {
        Some(Ok(response)) => response?,
        Some(Err(())) | None => return Err(Error::Stream("the response is gone".into())),
    };
    let response = read(&response, request.max_body)?;
    if response.status < 400 {
        written?;
    }
    Ok(response)
}

fn build(request: &Request) -> Result<OutgoingRequest, Error> {
    let invalid = |what: &str| Error::Invalid(format!("{what} of `{} {}`", request.method, request.url));
    let (scheme, rest) = request.url.split_once("://").ok_or_else(|| invalid("scheme"))?;
    let (rest, _fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };

    let mut headers = request.headers.clone();
    if !request.body.is_empty() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        headers.push(("content-length".into(), request.body.len().to_string().into_bytes()));
    }
    let headers = Fields::from_list(&headers).map_err(|error| Error::Invalid(error.to_string()))?;
    let outgoing = OutgoingRequest::new(headers);
    outgoing.set_method(&method(&request.method)).map_err(|()| invalid("method"))?;
    outgoing.set_scheme(Some(&self::scheme(scheme))).map_err(|()| invalid("scheme"))?;
    outgoing.set_authority(Some(authority)).map_err(|()| invalid("authority"))?;
    outgoing.set_path_with_query(Some(&path)).map_err(|()| invalid("path"))?;
    Ok(outgoing)
}

fn options(request: &Request) -> Result<Option<RequestOptions>, Error> {
    let Some(timeout) = request.timeout else { return Ok(None) };
    let nanos = Some(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
    let options = RequestOptions::new();
    for set in [
        RequestOptions::set_connect_timeout,
        RequestOptions::set_first_byte_timeout,
        RequestOptions::set_between_bytes_timeout,
    ] {
        set(&options, nanos).map_err(|()| Error::Invalid("a time-out is not supported".into()))?;
    }
    Ok(Some(options))
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "CONNECT" => Method::Connect,
        "OPTIONS" => Method::Options,
        "TRACE" => Method::Trace,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn scheme(name: &str) -> Scheme {
    match name.to_ascii_lowercase().as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    }
}

fn write(body: OutgoingBody, bytes: &[u8]) -> Result<(), Error> {
    if !bytes.is_empty() {
        // In a scope of its own: the stream must be dropped before its body is finished.
        let stream = body.write().map_err(|()| Error::Stream("the body cannot be written".into()))?;
        for chunk in bytes.chunks(WRITE_CHUNK) {
            stream.blocking_write_and_flush(chunk).map_err(broken)?;
        }
    }
    Ok(OutgoingBody::finish(body, None)?)
}

fn read(response: &IncomingResponse, max: usize) -> Result<Response, Error> {
    let status = response.status();
    let headers = response.headers().entries();
    let incoming = response.consume().map_err(|()| Error::Stream("the body was taken".into()))?;
    let stream = incoming.stream().map_err(|()| Error::Stream("the body was taken".into()))?;
    let mut body = Vec::new();
    loop {
        match stream.blocking_read(READ_CHUNK) {
            Ok(chunk) if body.len() + chunk.len() > max => return Err(Error::TooLarge(max)),
            Ok(chunk) => body.extend_from_slice(&chunk),
            Err(StreamError::Closed) => break,
            Err(error) => return Err(broken(error)),
        }
    }
    let headers = headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    Ok(Response { status, headers, body })
}

fn broken(error: StreamError) -> Error {
    match error {
        StreamError::Closed => Error::Stream("closed".into()),
        StreamError::LastOperationFailed(error) => match http_error_code(&error) {
            Some(code) => code.into(),
            None => Error::Stream(error.to_debug_string()),
        },
    }
}
