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
    line: RequestTarget,
}

/// What stands between method and version in the line a server reads: a path and a query of printable ASCII.
///
/// **Invariant:** it is made by the check, from the text that was checked, and it is what the wire prints. No other form
/// of a URI prints the way it is read: a path that is empty prints as nothing, one without a slash as part of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RequestTarget(PathAndQuery);

impl RequestTarget {
    fn of_tunnel() -> Self {
        Self(PathAndQuery::from_static("/"))
    }

    /// Of a request in absolute form, whose fragment is gone. What is no ASCII is percent-encoded, byte by byte, as a
    /// browser does: raw, each server reads it in a character set of its own.
    fn read(uri: &Uri) -> Option<Self> {
        // Empty when the URI has a query alone, or nothing.
        let path = uri.path_and_query().map_or("", PathAndQuery::as_str);
        let mut text = String::with_capacity(path.len() + 1);
        if !path.starts_with('/') {
            text.push('/');
        }
        if !path.is_empty() && !path.starts_with(['/', '?']) {
            // `*`, an authority, another URI: printed behind a host, it would be something else.
            return None;
        }
        for byte in path.bytes() {
            match byte {
                b'!'..=b'~' if byte != b'#' => text.push(char::from(byte)),
                0x80.. => text.extend(percent(byte)),
                _ => return None,
            }
        }
        let parsed = PathAndQuery::try_from(text.as_str()).ok()?;
        (parsed.as_str() == text).then_some(Self(parsed))
    }
}

/// `%E2`
fn percent(byte: u8) -> [char; 3] {
    let digit = |value: u8| char::from_digit(value.into(), 16).map_or('0', |digit| digit.to_ascii_uppercase());
    ['%', digit(byte >> 4), digit(byte & 15)]
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
        let line = RequestTarget::read(uri).ok_or(EgressError::UriInvalid)?;
        Ok(Self { host, port: port.unwrap_or(if tls { 443 } else { 80 }), tls, line })
    }

    /// Reads the destination of a tunnel: `host:port`, both of them.
    pub(crate) fn of_tunnel(uri: &Uri) -> Result<Self, Refusal> {
        if uri.scheme().is_some() || uri.path_and_query().is_some() {
            return Err(EgressError::UriInvalid.into());
        }
        let (host, port) = read_authority(uri).ok_or(EgressError::UriInvalid)?;
        let port = port.ok_or(EgressError::UriInvalid)?;
        Ok(Self { host, port, tls: true, line: RequestTarget::of_tunnel() })
    }

    /// What the request line says: path and query, and nothing else.
    pub fn text(&self) -> &str {
        self.line.0.as_str()
    }

    /// The URI that prints as [`Target::text`].
    pub(crate) fn origin_form(&self) -> Uri {
        Uri::from(self.line.0.clone())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The line's text for a URI that a component puts together from parts.
    fn line(path: &str) -> Option<String> {
        let uri = Uri::builder().scheme("http").authority("a.test").path_and_query(path).build().ok()?;
        let target = Target::parse(&Method::GET, &uri).ok()?;
        assert_eq!(target.origin_form().to_string(), target.text(), "{path:?}");
        Some(target.text().to_owned())
    }

    #[test]
    fn what_is_checked_is_what_is_printed() {
        for (path, expect) in [
            ("", Some("/")),
            ("/", Some("/")),
            ("?", Some("/?")),
            ("?q=1", Some("/?q=1")),
            ("/?", Some("/?")),
            ("/a?b?c", Some("/a?b?c")),
            ("#f", Some("/")),
            ("/a#f", Some("/a")),
            ("/a?b#f", Some("/a?b")),
            ("//evil.test/x", Some("//evil.test/x")),
            ("/../a/./b", Some("/../a/./b")),
            ("/%2e%2e/%00", Some("/%2e%2e/%00")),
            ("/\u{fc}?\u{20ac}", Some("/%C3%BC?%E2%82%AC")),
            ("/\\evil.test", Some("/\\evil.test")),
            ("/http://evil.test/", Some("/http://evil.test/")),
            ("*", None),
            ("@evil.test/", None),
            (":80/", None),
            ("a", None),
            ("http://evil.test/", None),
            ("/a b", None),
            ("/a\tb", None),
            ("/a\r\nb", None),
            ("/a\0", None),
            ("/a\x7f", None),
        ] {
            assert_eq!(line(path).as_deref(), expect, "{path:?}");
        }
    }

    #[test]
    fn a_uri_that_is_text_prints_the_same() {
        for (text, expect) in [
            ("http://a.test", "/"),
            ("http://a.test/", "/"),
            ("http://a.test?", "/?"),
            ("http://a.test?q", "/?q"),
            ("http://a.test#f", "/"),
            ("http://a.test//b", "//b"),
        ] {
            let target = Target::parse(&Method::GET, &text.parse().unwrap()).unwrap();
            assert_eq!((target.text(), target.origin_form().to_string().as_str()), (expect, expect), "{text}");
        }
    }
}
