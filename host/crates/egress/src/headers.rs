//! Which header fields pass, in either direction.

use crate::uri::Target;
use gestalt_core::egress::fields::{is_of_connection, speaks_for_proxy};
use gestalt_core::egress::{EgressError, ForwardedHeaders};
use gestalt_core::limits::EgressLimits;
use http::header::{self, HeaderMap, HeaderName};

/// Removes from a request what is the connection's business or could speak for a proxy: the app does neither. Tells of
/// what a server would have believed of a proxy, with the reason why it is withheld.
pub(crate) fn filter_request(
    headers: &mut HeaderMap,
    forwarded: ForwardedHeaders,
    mut withheld: impl FnMut(&HeaderName, &'static str),
) {
    remove_hop_by_hop(headers);
    if forwarded == ForwardedHeaders::Strip {
        remove_matching(headers, |name| {
            let why = speaks_for_proxy(name.as_str());
            why.iter().for_each(|why| withheld(name, why));
            why.is_some()
        });
    }
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

/// Removes from an answer's trailer section everything that would have been removed from a head, and what frames or routes
/// a message, which is too late to say there (RFC 9110, 6.5.1).
pub(crate) fn filter_trailers(trailers: &mut HeaderMap) {
    filter_request(trailers, ForwardedHeaders::Strip, |_, _| {});
    trailers.remove(header::CONTENT_LENGTH);
    trailers.remove(header::AUTHORIZATION);
    trailers.remove(header::CONTENT_ENCODING);
    trailers.remove(header::CONTENT_TYPE);
}

/// Holds a request's head to the bounds that an answer's has: a server may take much more, and believe it is served.
///
/// # Errors
/// [`EgressError::RequestHeadTooLarge`].
pub(crate) fn check_size(target: &Target, headers: &HeaderMap, limits: &EgressLimits) -> Result<(), EgressError> {
    // `name: value\r\n`
    let fields: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if headers.len() > limits.max_headers || fields + target.text().len() > limits.max_header_bytes.as_usize() {
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
    remove_matching(headers, |name| is_of_connection(name.as_str()));
}

fn remove_matching(headers: &mut HeaderMap, mut matches: impl FnMut(&HeaderName) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| matches(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, Method, Uri};

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
            ("trailer", "x-one"),
            ("max-forwards", "0"),
            ("proxy", "http://evil.test"),
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
            ("x-http-method-override", "DELETE"),
            ("x_original.url", "/admin"),
            ("te_", "kept"),
            ("t.e", "kept"),
            ("trailer", "x-two"),
            ("expect", "100-continue"),
            ("content_length", "5"),
            ("transfer_encoding", "chunked"),
            ("x_forwarded_for", "1.2.3.4"),
            ("proxy_authorization", "secret"),
        ]);
        let all = headers.clone();
        let mut told = Vec::new();
        filter_request(&mut headers, ForwardedHeaders::Strip, |name, _| told.push(name.to_string()));
        let kept = [
            ("content-length", "3"),
            ("authorization", "Bearer t"),
            ("x-forward", "kept"),
            ("x_kept", "1"),
            ("te_", "kept"),
            ("t.e", "kept"),
        ];
        assert_eq!(headers, map(&kept));
        headers = all;
        filter_request(&mut headers, ForwardedHeaders::Pass, |name, _| panic!("{name}"));
        let of_proxies = [
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x_forwarded_for",
            "x-http-method-override",
            "x_original.url",
        ];
        for name in of_proxies {
            assert!(headers.remove(name).is_some(), "{name}");
            assert!(told.iter().any(|told| told == name), "{name}: {told:?}");
        }
        assert_eq!((headers, told.len()), (map(&kept), of_proxies.len()));
    }

    #[test]
    fn c16_a_head_may_be_as_large_as_allowed_and_no_larger() {
        let check = |uri: &'static str, names: &[(&str, &str)], headers: usize, bytes: u64| {
            let limits = EgressLimits {
                max_headers: headers,
                max_header_bytes: gestalt_core::limits::ByteSize(bytes),
                ..EgressLimits::default()
            };
            let target = Target::parse(&Method::GET, &Uri::from_static(uri)).unwrap();
            check_size(&target, &map(names), &limits).is_ok()
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
