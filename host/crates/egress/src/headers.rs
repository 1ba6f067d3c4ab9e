//! Which header fields pass, in either direction.

use gestalt_core::egress::{EgressError, ForwardedHeaders};
use gestalt_core::limits::EgressLimits;
use http::Uri;
use http::header::{self, HeaderMap, HeaderName};

/// Removes from a request what is the connection's business or could speak for the daemon: the app does neither.
///
/// Servers that hand fields on as variables (CGI, WSGI) take `_` for `-`: `X_Forwarded_For` arrives as the real one does.
/// So a name is judged as they read it.
pub(crate) fn filter_request(headers: &mut HeaderMap, forwarded: ForwardedHeaders) {
    remove_hop_by_hop(headers);
    let ours = |name: &str| matches!(name, "host" | "expect");
    remove_matching(headers, |name| {
        let dashed = name.replace('_', "-");
        ours(&dashed)
            || forwarded == ForwardedHeaders::Strip && speaks_for_proxy(&dashed)
            || dashed != name && (dashed == "content-length" || is_hop_by_hop(&dashed))
    });
}

/// Refuses an answer whose end can be read in two ways, or whose body is not what its head says it is.
///
/// The app is told a length and not how it was transferred. With both, one of its readings would be another than that
/// of whoever stood in between; with a coding other than `chunked`, it would get bytes that no field explains.
///
/// # Errors
/// [`EgressError::Protocol`].
pub(crate) fn check_framing(headers: &HeaderMap) -> Result<(), EgressError> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
    if !chunked || headers.contains_key(header::CONTENT_LENGTH) {
        return Err(EgressError::Protocol("ambiguous transfer-encoding".to_owned()));
    }
    Ok(())
}

/// Removes from an answer what was said to this end of the connection only.
pub(crate) fn filter_response(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
}

/// Removes from a trailer section everything that would have been removed from the head, and what frames or routes a
/// message, which is too late to say there (RFC 9110, 6.5.1).
pub(crate) fn filter_trailers(trailers: &mut HeaderMap) {
    filter_request(trailers, ForwardedHeaders::Strip);
    trailers.remove(header::CONTENT_LENGTH);
    trailers.remove(header::AUTHORIZATION);
    trailers.remove(header::CONTENT_ENCODING);
    trailers.remove(header::CONTENT_TYPE);
}

/// Holds a request's head to the bounds that an answer's has: a server may take much more, and believe it is served.
///
/// # Errors
/// [`EgressError::RequestHeadTooLarge`].
pub(crate) fn check_size(uri: &Uri, headers: &HeaderMap, limits: &EgressLimits) -> Result<(), EgressError> {
    // `name: value\r\n`
    let fields: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    if headers.len() > limits.max_headers || fields + path > limits.max_header_bytes.as_usize() {
        return Err(EgressError::RequestHeadTooLarge);
    }
    Ok(())
}

/// The length a request declares.
///
/// # Errors
/// [`EgressError::Protocol`] unless there is none, or one of decimal digits alone: two readings of a length are two
/// readings of where the message ends.
pub(crate) fn declared_length(headers: &HeaderMap) -> Result<Option<u64>, EgressError> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    match (text.and_then(|text| text.parse().ok()), values.next()) {
        (Some(length), None) => Ok(Some(length)),
        _ => Err(EgressError::Protocol("invalid content-length".to_owned())),
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        // Naming it here would take the length away from a message that keeps its body.
        .filter(|name| *name != header::CONTENT_LENGTH)
        .collect();
    for name in named {
        headers.remove(name);
    }
    remove_matching(headers, is_hop_by_hop);
}

fn remove_matching(headers: &mut HeaderMap, matches: impl Fn(&str) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| matches(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "te" | "transfer-encoding" | "upgrade" | "http2-settings")
        || name.starts_with("proxy-")
}

/// `server.egress.forwardedHeaders: strip`: upstreams believe these about their client's origin.
fn speaks_for_proxy(name: &str) -> bool {
    name == "forwarded" || name == "via" || name == "x-real-ip" || name.starts_with("x-forwarded-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn map(names: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in names {
            headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
        }
        headers
    }

    #[test]
    fn request_heads_keep_only_what_is_for_the_server() {
        let mut headers = map(&[
            ("host", "evil.test"),
            ("host", "evil2.test"),
            ("connection", "x-one, Keep-Alive, content-length"),
            ("connection", "x-two"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("keep-alive", "1"),
            ("proxy-authorization", "secret"),
            ("proxy-connection", "keep-alive"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("http2-settings", "x"),
            ("forwarded", "for=1.2.3.4"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-host", "evil.test"),
            ("content-length", "3"),
            ("authorization", "Bearer t"),
            ("x-forward", "kept"),
            ("x_kept", "1"),
            ("expect", "100-continue"),
            ("content_length", "5"),
            ("transfer_encoding", "chunked"),
            ("x_forwarded_for", "1.2.3.4"),
            ("proxy_authorization", "secret"),
        ]);
        let all = headers.clone();
        filter_request(&mut headers, ForwardedHeaders::Strip);
        let kept = [("content-length", "3"), ("authorization", "Bearer t"), ("x-forward", "kept"), ("x_kept", "1")];
        assert_eq!(headers, map(&kept));
        headers = all;
        filter_request(&mut headers, ForwardedHeaders::Pass);
        for name in ["forwarded", "x-forwarded-for", "x-forwarded-host", "x_forwarded_for"] {
            assert!(headers.remove(name).is_some(), "{name}");
        }
        assert_eq!(headers, map(&kept));
    }

    #[test]
    fn c16_a_head_may_be_as_large_as_allowed_and_no_larger() {
        let check = |uri: &'static str, names: &[(&str, &str)], headers: usize, bytes: u64| {
            let limits = EgressLimits {
                max_headers: headers,
                max_header_bytes: gestalt_core::limits::ByteSize(bytes),
                ..EgressLimits::default()
            };
            check_size(&Uri::from_static(uri), &map(names), &limits).is_ok()
        };
        // `/path` and `ab: c\r\n`
        let fields = &[("ab", "c"), ("ab", "c")];
        assert!(check("http://a.test/path", fields, 2, 19));
        assert!(!check("http://a.test/path", fields, 2, 18));
        assert!(!check("http://a.test/path", fields, 1, 19));
        assert!(check("http://a.test/path?query", &[], 0, 11) && !check("http://a.test/path?query", &[], 0, 10));
    }

    #[test]
    fn c13_trailers_carry_no_framing() {
        let mut trailers =
            map(&[("host", "evil.test"), ("content-length", "1"), ("x-checksum", "ok"), ("x-forwarded-for", "1")]);
        filter_trailers(&mut trailers);
        assert_eq!(trailers, map(&[("x-checksum", "ok")]));
    }

    #[test]
    fn c04_one_reading_of_a_length() {
        for (values, expect) in [
            (&[][..], Some(None)),
            (&["5"], Some(Some(5))),
            (&["0"], Some(Some(0))),
            (&["5", "5"], None),
            (&["+5"], None),
            (&["5, 5"], None),
            (&[""], None),
            (&["-1"], None),
            (&["99999999999999999999"], None),
        ] {
            let headers = map(&values.iter().map(|value| ("content-length", *value)).collect::<Vec<_>>());
            assert_eq!(declared_length(&headers).ok(), expect, "{values:?}");
        }
    }
}
