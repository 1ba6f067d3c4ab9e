//! From a request's method and URI to the one destination they name, or to a refusal.

use crate::refusal::Refusal;
use gestalt_core::egress::{DenyReason, EgressError, parse_port};
use gestalt_core::host::Host;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderValue, Method};

/// Where a request goes, spelled one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Canonical host: what the policy decides on, what is resolved, and what Host, SNI and certificate must name.
    pub host: Host,
    /// Port, from the authority or the scheme.
    pub port: u16,
    /// Whether the scheme is `https`.
    pub tls: bool,
    path: PathAndQuery,
}

impl Target {
    /// Reads the destination of a request.
    ///
    /// # Errors
    /// [`EgressError::MethodInvalid`], [`EgressError::UriInvalid`], or `Denied(SchemeInvalid)` for an absolute URI of a
    /// scheme other than `http` and `https`.
    pub fn parse(method: &Method, uri: &Uri) -> Result<Self, EgressError> {
        Self::read(method, uri).map_err(|refusal| refusal.error)
    }

    pub(crate) fn read(method: &Method, uri: &Uri) -> Result<Self, Refusal> {
        if !method_allowed(method) {
            return Err(EgressError::MethodInvalid.into());
        }
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) => return Err(EgressError::Denied(DenyReason::SchemeInvalid).into()),
            None => return Err(EgressError::UriInvalid.into()),
        };
        let (host, port) = read_authority(uri).ok_or(EgressError::UriInvalid)?;
        let path = read_path(uri).ok_or(EgressError::UriInvalid)?;
        Ok(Self { host, port: port.unwrap_or(if tls { 443 } else { 80 }), tls, path })
    }

    /// Reads the destination of a tunnel: `host:port`, both of them.
    pub(crate) fn of_tunnel(uri: &Uri) -> Result<Self, Refusal> {
        if uri.scheme().is_some() || uri.path_and_query().is_some() {
            return Err(EgressError::UriInvalid.into());
        }
        let (host, port) = read_authority(uri).ok_or(EgressError::UriInvalid)?;
        let port = port.ok_or(EgressError::UriInvalid)?;
        Ok(Self { host, port, tls: true, path: PathAndQuery::from_static("/") })
    }

    /// The URI of the request line: path and query, nothing else.
    pub(crate) fn origin_form(&self) -> Uri {
        Uri::from(self.path.clone())
    }

    /// The `Host` header: canonical, with the port only where it is not the scheme's own.
    pub(crate) fn host_header(&self) -> Result<HeaderValue, EgressError> {
        let text = match (self.tls, self.port) {
            (true, 443) | (false, 80) => self.host.to_string(),
            (_, port) => format!("{}:{port}", self.host),
        };
        HeaderValue::try_from(text).map_err(|_| EgressError::UriInvalid)
    }
}

/// CONNECT opens tunnels, TRACE reflects credentials, and a made-up method may mean either to somebody.
fn method_allowed(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::DELETE | Method::PATCH | Method::OPTIONS
    )
}

/// `http` reads `h:`, `h:+80` and `h:65536` as "no port", so the port is read from the text behind the host.
fn read_authority(uri: &Uri) -> Option<(Host, Option<u16>)> {
    let authority = uri.authority()?;
    if authority.as_str().contains('@') {
        return None;
    }
    let rest = authority.as_str().strip_prefix(authority.host())?;
    let port = match rest {
        "" => None,
        _ => Some(parse_port(rest.strip_prefix(':')?)?),
    };
    Some((Host::parse(authority.host()).ok()?, port))
}

/// A path that does not start with `/` would end up inside the authority when somebody prints the URI.
fn read_path(uri: &Uri) -> Option<PathAndQuery> {
    let Some(path) = uri.path_and_query() else { return Some(PathAndQuery::from_static("/")) };
    let text = path.as_str();
    if text.bytes().any(|b| b <= b' ' || b == 0x7f) {
        return None;
    }
    match text.as_bytes().first() {
        Some(b'/') => Some(path.clone()),
        Some(b'?') => format!("/{text}").try_into().ok(),
        None => Some(PathAndQuery::from_static("/")),
        Some(_) => None,
    }
}
