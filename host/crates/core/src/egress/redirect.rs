//! Following redirects, for requests that the daemon itself makes on an app's behalf: declared surfaces, OAuth,
//! discovery. A component's requests are never redirected for it.

use super::{Body, DenyReason, EgressError, Outbound, SendOptions};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderMap, LOCATION};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use url::Url;

/// Redirects that are followed for one request. Against servers that send a client round in a circle.
pub const MAX_REDIRECTS: usize = 5;

/// Sends `request` and follows redirects, each of which is judged by the policy like a request of its own.
///
/// `Authorization`, `Cookie` and what `secret_headers` names go to the first host, port and scheme only. A 303 becomes a
/// `GET` without body, a 301 or 302 does when it was a `POST`; the others repeat method and body.
///
/// # Errors
/// As [`Outbound::send`]; `Denied(SchemeInvalid)` for a redirect from https to http, and
/// [`EgressError::Protocol`] for one that leads nowhere or is the sixth.
pub async fn follow(
    outbound: &dyn Outbound,
    request: Request<Bytes>,
    options: &SendOptions,
    secret_headers: &[http::HeaderName],
) -> Result<Response<Body>, EgressError> {
    let (mut head, mut body) = request.into_parts();
    for _ in 0..=MAX_REDIRECTS {
        let mut hop = Request::new(Full::new(body.clone()).map_err(|never| match never {}).boxed_unsync());
        *hop.method_mut() = head.method.clone();
        *hop.uri_mut() = head.uri.clone();
        *hop.headers_mut() = head.headers.clone();
        let response = outbound.send(hop, options.clone()).await?;
        let Some(next) = target(&head.uri, &response)? else { return Ok(response) };
        if head.uri.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
            return Err(EgressError::Denied(DenyReason::SchemeInvalid));
        }
        let post = head.method == Method::POST;
        match response.status() {
            StatusCode::SEE_OTHER if head.method != Method::HEAD => drop_body(&mut head, &mut body),
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND if post => drop_body(&mut head, &mut body),
            _ => {}
        }
        if !same_origin(&head.uri, &next) {
            drop_secrets(&mut head.headers, secret_headers);
        }
        head.uri = next;
    }
    Err(EgressError::Protocol(format!("more than {MAX_REDIRECTS} redirects")))
}

/// Where an answer redirects to; `None` when it does not.
fn target(from: &Uri, response: &Response<Body>) -> Result<Option<Uri>, EgressError> {
    let redirects = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let Some(location) = response.headers().get(LOCATION).filter(|_| redirects) else { return Ok(None) };
    let nowhere = || EgressError::Protocol("redirect without a usable location".to_owned());
    let base = Url::parse(&from.to_string()).map_err(|_| nowhere())?;
    let mut next = location.to_str().ok().and_then(|text| base.join(text).ok()).ok_or_else(nowhere)?;
    next.set_fragment(None);
    next.as_str().parse().map(Some).map_err(|_| nowhere())
}

fn drop_body(head: &mut http::request::Parts, body: &mut Bytes) {
    head.method = Method::GET;
    *body = Bytes::new();
    for name in [CONTENT_LENGTH, CONTENT_TYPE, CONTENT_ENCODING] {
        head.headers.remove(name);
    }
}

fn drop_secrets(headers: &mut HeaderMap, more: &[http::HeaderName]) {
    for name in [AUTHORIZATION, COOKIE].iter().chain(more) {
        headers.remove(name);
    }
}

fn same_origin(one: &Uri, other: &Uri) -> bool {
    let origin = |uri: &Uri| Url::parse(&uri.to_string()).ok().map(|url| url.origin());
    let (one, other) = (origin(one), origin(other));
    one.is_some() && one == other
}
