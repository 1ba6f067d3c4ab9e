//! Following redirects, for requests that the daemon itself makes on an app's behalf: declared surfaces, OAuth,
//! discovery. A component's requests are never redirected for it.

use super::{Body, DenyReason, EgressError, Outbound, SendOptions};
use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_LANGUAGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName,
    LOCATION, USER_AGENT,
};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use std::fmt;
use url::Url;

/// Redirects that are followed for one request. Against servers that send a client round in a circle.
pub const MAX_REDIRECTS: usize = 5;

/// Bytes of a host name in an error. As many as a name has; a server may write more.
const LONGEST_NAME: usize = 253;

/// What goes with a request also to where another host sends it. Of every other field only whoever set it knows whether
/// it is a secret: not `Authorization` and `Cookie` alone, also a key in a field of its own.
const TRAVELS: [HeaderName; 6] =
    [ACCEPT, ACCEPT_LANGUAGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, USER_AGENT];

/// Why a request got no answer, after redirects or before the first.
#[derive(Clone, Debug, thiserror::Error)]
pub struct FollowError {
    /// The host a redirect led to, if that is where it went wrong.
    pub to: Option<String>,
    /// What went wrong.
    pub source: EgressError,
}

impl fmt::Display for FollowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            Some(host) => write!(f, "redirected to {host}: {}", self.source),
            None => self.source.fmt(f),
        }
    }
}

/// Sends `request` and follows redirects, each of which is judged by the policy like a request of its own.
///
/// A 303 becomes a `GET` without body, a 301 or 302 does when it was a `POST`; the others repeat method and body. To
/// another host, port or scheme go the type and language of the content, what is accepted and the user agent; no other
/// header field does.
///
/// # Errors
/// As [`Outbound::send`]; `Denied(SchemeInvalid)` for a redirect from https to http, and
/// [`EgressError::Protocol`] for one that leads nowhere or is the sixth.
pub async fn follow(
    outbound: &dyn Outbound,
    request: Request<Bytes>,
    options: &SendOptions,
) -> Result<Response<Body>, FollowError> {
    let (mut head, mut body) = request.into_parts();
    let mut to = None;
    for _ in 0..=MAX_REDIRECTS {
        let mut hop = Request::new(Full::new(body.clone()).map_err(|never| match never {}).boxed_unsync());
        *hop.method_mut() = head.method.clone();
        *hop.uri_mut() = head.uri.clone();
        *hop.headers_mut() = head.headers.clone();
        let failed = |source| FollowError { to: to.clone(), source };
        let response = outbound.send(hop, options.clone()).await.map_err(failed)?;
        let Some(next) = target(&head.uri, &response).map_err(failed)? else { return Ok(response) };
        to = next.host().map(|host| host.chars().take(LONGEST_NAME).collect());
        if head.uri.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
            return Err(FollowError { to, source: EgressError::Denied(DenyReason::SchemeInvalid) });
        }
        let post = head.method == Method::POST;
        match response.status() {
            StatusCode::SEE_OTHER if head.method != Method::HEAD => drop_body(&mut head, &mut body),
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND if post => drop_body(&mut head, &mut body),
            _ => {}
        }
        if !same_origin(&head.uri, &next) {
            head.headers = for_another(&head.headers);
        }
        head.uri = next;
    }
    Err(FollowError { to, source: EgressError::Protocol(format!("more than {MAX_REDIRECTS} redirects")) })
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

/// What of a request's head may be told to another host.
fn for_another(headers: &HeaderMap) -> HeaderMap {
    headers
        .iter()
        .filter(|(name, _)| TRAVELS.contains(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn same_origin(one: &Uri, other: &Uri) -> bool {
    let origin = |uri: &Uri| Url::parse(&uri.to_string()).ok().map(|url| url.origin());
    let (one, other) = (origin(one), origin(other));
    one.is_some() && one == other
}
