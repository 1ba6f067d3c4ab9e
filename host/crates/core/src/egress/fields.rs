//! Header fields that are not an app's to send, whichever way its request goes out.
//!
//! Servers that hand fields on as variables (CGI, WSGI, PHP) know no difference between `-`, `_`, `.` and other marks:
//! `X_Forwarded.For` arrives as the real one does. So a name is judged as they read it: in small letters, with `-` for
//! every mark.

use std::borrow::Cow;

/// Fields that say how one connection is used, where a message ends, or that are made from the request itself. They are
/// never an app's, in a head or in a trailer, and do not pass from one connection to the next.
///
/// `trailer` and `te` belong together: a request that announces no trailers has none, and who cannot say `te` is sent none.
/// `proxy` alone is no field of HTTP; CGI makes the variable of it that names a proxy.
const CONNECTION: [&str; 11] = [
    "connection",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "proxy",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Names that intermediaries give to one purpose, and why an app must not use them: a server behind one believes them as
/// its proxy's own words.
struct Family {
    /// What they do, for the operator who wonders where a field is.
    why: &'static str,
    exact: &'static [&'static str],
    begins: &'static [&'static str],
    ends: &'static [&'static str],
}

/// What `server.egress.forwardedHeaders: strip` withholds.
const FAMILIES: [Family; 8] = [
    Family {
        why: "name who asked, by which name and how: RFC 7239, and what was in use before it",
        exact: &["forwarded", "x-forwarded", "x-forward-for", "x-nginx-proxy", "front-end-https", "x-scheme"],
        begins: &["forwarded-", "x-forwarded-", "x-real-", "x-cluster-", "wl-proxy-", "x-proxy-", "x-proxyuser-"],
        ends: &["-forwarded-for", "-forwarded-host", "-forwarded-proto", "-url-scheme"],
    },
    Family {
        why: "name the caller's address, as each CDN and balancer spells it: limits and lists of addresses go by them",
        exact: &["client-ip", "clientip", "x-clientip", "remote-addr", "x-azure-clientip", "x-custom-ip-authorization"],
        begins: &[],
        ends: &[
            "-client-ip",
            "-connecting-ip",
            "-connecting-ipv6",
            "-originating-ip",
            "-peer-ip",
            "-real-ip",
            "-remote-addr",
            "-remote-ip",
            "-socketip",
            "-source-ip",
            "-user-ip",
        ],
    },
    Family {
        why: "name another target than the one that was checked: routers and frameworks put it in place of path or host",
        exact: &["x-host", "x-request-uri", "x-request-url", "x-override-url", "x-override-uri", "alt-used"],
        begins: &["x-original-", "x-rewrite-", "x-backend-", "x-http-host", "x-host-"],
        ends: &["-host-override", "-original-path", "-original-url", "-original-host"],
    },
    Family {
        why: "name another method than the one that was checked",
        exact: &["x-http-method", "x-method"],
        begins: &[],
        ends: &["-method-override"],
    },
    Family {
        why: "say that somebody was authenticated on the way, and as whom",
        exact: &["client-cert", "client-cert-chain", "remote-user", "x-anonymous-consumer", "x-client-cert"],
        begins: &[
            "remote-",
            "ssl-client-",
            "tailscale-",
            "x-amzn-oidc-",
            "x-auth-request-",
            "x-authenticated-",
            "x-authentik-",
            "x-client-cert-",
            "x-consumer-",
            "x-credential-",
            "x-goog-authenticated-",
            "x-goog-iap-",
            "x-ms-client-principal",
            "x-ms-token-",
            "x-pomerium-",
            "x-remote-",
            "x-ssl-",
            "x-webauth-",
        ],
        ends: &[],
    },
    Family {
        why: "steer a mesh or balancer: where it sends the request, how often, what it skips, whom it takes for its own",
        exact: &["x-decorator-operation"],
        begins: &["x-envoy-", "x-istio-", "l5d-", "x-arr-", "x-azure-", "x-appengine-", "x-fd-", "x-nginx-"],
        ends: &[],
    },
    Family {
        why: "are what a CDN tells the server behind it. Logins for those CDNs' own services (`Cf-Access-Client-Id` and \
              `-Secret`, `Fastly-Key`, `X-Amz-*`, `X-Akamai-*`) are sent by clients, and pass",
        exact: &["akamai-origin-hop", "fastly-ff", "fastly-ssl", "fastly-temp-xff", "x-akamai-edgescape"],
        begins: &["cf-", "fastly-client", "fastly-orig-", "incap-", "surrogate-"],
        ends: &[],
    },
    Family {
        why: "name proxies on the way, by which loops are found and files are handed out",
        exact: &["via", "cdn-loop", "early-data", "x-lighttpd-send-file", "x-litespeed-location"],
        begins: &["x-accel-", "x-sendfile"],
        ends: &[],
    },
];

/// Fields of clients, and nobody else's, that begin as a family does.
const OF_CLIENTS: [&str; 2] = ["cf-access-client-id", "cf-access-client-secret"];

/// A name as the most liberal of servers reads it.
fn read(name: &str) -> Cow<'_, str> {
    match name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        true => Cow::Borrowed(name),
        false => {
            let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
            Cow::Owned(name.chars().map(letter).collect())
        }
    }
}

/// Whether a field belongs to a connection, or is made from the request itself: no app sets it. The length of a body is,
/// unless it is misspelled, the app's to declare.
pub fn is_of_connection(name: &str) -> bool {
    let read = read(name);
    CONNECTION.contains(&&*read)
        || read.starts_with("proxy-")
        || read == "content-length" && !name.eq_ignore_ascii_case("content-length")
}

/// Whether a server believes the field of a proxy, and what the likes of it do: `server.egress.forwardedHeaders` decides
/// about it.
pub fn speaks_for_proxy(name: &str) -> Option<&'static str> {
    let name = read(name);
    let belongs = |family: &Family| {
        family.exact.contains(&&*name)
            || family.begins.iter().any(|begin| name.starts_with(begin))
            || family.ends.iter().any(|end| name.ends_with(end))
    };
    FAMILIES.iter().find(|family| belongs(family)).filter(|_| !OF_CLIENTS.contains(&&*name)).map(|family| family.why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every spelling of a name that some server reads as this one.
    fn spellings(name: &str) -> Vec<String> {
        let marks = ["_", ".", "~", "!"].map(|mark| name.replace('-', mark));
        let first = name.replacen('-', "_", 1);
        [name.to_owned(), name.to_ascii_uppercase(), first].into_iter().chain(marks).collect()
    }

    #[test]
    fn families_are_withheld_in_every_spelling() {
        for name in [
            "forwarded",
            "x-forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-prefix",
            "x-forwarded-client-cert",
            "x-original-forwarded-for",
            "x-original-url",
            "x-original-uri",
            "x-original-host",
            "x-rewrite-url",
            "x-override-url",
            "x-host",
            "x-http-host-override",
            "x-host-override",
            "x-real-ip",
            "x-real-host",
            "client-ip",
            "x-client-ip",
            "true-client-ip",
            "cf-connecting-ip",
            "cf-connecting-ipv6",
            "cf-access-jwt-assertion",
            "cf-visitor",
            "fastly-client-ip",
            "fastly-ff",
            "x-cluster-client-ip",
            "x-cluster-ip",
            "x-proxyuser-ip",
            "x-originating-ip",
            "x-remote-ip",
            "x-remote-addr",
            "x-remote-user",
            "x-appengine-user-ip",
            "x-azure-clientip",
            "x-azure-socketip",
            "x-http-method",
            "x-http-method-override",
            "x-method-override",
            "x-envoy-original-path",
            "x-envoy-external-address",
            "x-envoy-upstream-rq-timeout-ms",
            "l5d-dst-override",
            "x-arr-clientcert",
            "x-amzn-oidc-identity",
            "x-goog-iap-jwt-assertion",
            "x-goog-authenticated-user-email",
            "x-ms-client-principal",
            "x-auth-request-user",
            "x-webauth-user",
            "x-consumer-username",
            "tailscale-user-login",
            "ssl-client-verify",
            "x-ssl-client-dn",
            "client-cert",
            "via",
            "cdn-loop",
            "x-backend-server",
            "x-accel-redirect",
            "x-sendfile",
            "x-sendfile-type",
            "front-end-https",
            "wl-proxy-client-ip",
        ] {
            for spelling in spellings(name) {
                assert!(speaks_for_proxy(&spelling).is_some(), "{spelling}");
            }
        }
    }

    #[test]
    fn fields_of_connections_are_nobodys_in_every_spelling() {
        for name in CONNECTION.into_iter().chain(["proxy-authorization", "proxy-connection", "proxy-x"]) {
            for spelling in spellings(name) {
                assert!(is_of_connection(&spelling), "{spelling}");
            }
        }
        assert!(!is_of_connection("content-length") && !is_of_connection("Content-Length"));
        assert!(is_of_connection("content_length") && is_of_connection("Content.Length"));
    }

    /// What clients of public interfaces send.
    #[test]
    fn what_clients_send_passes() {
        for name in [
            "accept",
            "authorization",
            "content-type",
            "cookie",
            "origin",
            "referer",
            "range",
            "if-none-match",
            "idempotency-key",
            "traceparent",
            "x-b3-traceid",
            "x-request-id",
            "x-api-key",
            "x-auth-token",
            "x-auth-key",
            "x-auth-email",
            "x-amz-date",
            "x-amz-content-sha256",
            "x-amz-security-token",
            "x-amzn-trace-id",
            "x-goog-api-key",
            "x-goog-user-project",
            "x-ms-version",
            "x-ms-date",
            "x-github-api-version",
            "x-forward",
            "x-requested-with",
            "x-csrf-token",
            "x-client-version",
            "x-user-id",
            "cf-access-client-id",
            "cf-access-client-secret",
            "fastly-key",
            "anthropic-version",
            "openai-organization",
            "notion-version",
            "dropbox-api-arg",
        ] {
            assert!(speaks_for_proxy(name).is_none() && !is_of_connection(name), "{name}");
        }
    }

    #[test]
    fn every_family_says_why() {
        assert!(FAMILIES.iter().all(|family| family.why.len() > 20));
        let names = FAMILIES.iter().flat_map(|f| [f.exact, f.begins, f.ends].concat());
        let odd = |name: &&str| name.is_empty() || read(name) != *name;
        assert_eq!(names.filter(odd).collect::<Vec<_>>(), Vec::<&str>::new());
    }
}
