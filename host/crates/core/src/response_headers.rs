use std::collections::BTreeSet;

/// The headers an app may set on its answers, which are sent from the daemon's own origin.
///
/// It is a list of what passes, because browsers and proxies learn new headers every year: those that describe the answer
/// itself, and those that the app's manifest names in `spec.responseHeaders`. What acts on the origin, on the browser or on
/// a proxy never passes, whatever is listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHeaders(BTreeSet<String>);

/// Why a name cannot be in `spec.responseHeaders`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseHeaderError {
    /// No HTTP header can be called so.
    #[error("is not a header name: use letters, digits and `-`")]
    Name,
    /// It acts on more than the answer that carries it.
    #[error("never passes: it acts on the daemon's origin, on the browser or on a proxy, and not on this answer alone")]
    Withheld,
    /// The list is longer than [`ResponseHeaders::MAX`].
    #[error("is one name too many: a list has at most 32")]
    TooMany,
}

/// Headers that describe the answer that carries them, and nothing else.
const DESCRIPTIVE: [&str; 9] = [
    "accept-ranges",
    "cache-control",
    "content-disposition",
    "content-language",
    "content-range",
    "content-type",
    "etag",
    "last-modified",
    "retry-after",
];

/// Headers that never pass.
const WITHHELD: [&str; 66] = [
    // They frame the message, or belong to one connection (RFC 9110 §7.6.1).
    "alt-used",
    "connection",
    "content-length",
    "date",
    "early-data",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    // They keep state in the browser, ask for a password in the daemon's name, or take part in a login.
    "authentication-control",
    "authentication-info",
    "clear-site-data",
    "idp-signin-status",
    "login-status",
    "set-cookie",
    "set-cookie2",
    "set-login",
    "www-authenticate",
    "activate-storage-access",
    // They move the browser, or make it fetch or run something.
    "link",
    "location",
    "refresh",
    "service-worker-allowed",
    "service-worker-navigation-preload",
    "sourcemap",
    "speculation-rules",
    "supports-loading-mode",
    "use-as-dictionary",
    "available-dictionary",
    "x-sourcemap",
    "content-location",
    // They send reports about the origin's users to somebody.
    "document-policy",
    "document-policy-report-only",
    "expect-ct",
    "nel",
    "observe-browsing-topics",
    "public-key-pins",
    "public-key-pins-report-only",
    "report-to",
    "reporting-endpoints",
    "require-document-policy",
    // They are promises of the origin, which the daemon makes.
    "accept-ch",
    "alt-svc",
    "critical-ch",
    "feature-policy",
    "integrity-policy",
    "integrity-policy-report-only",
    "origin-agent-cluster",
    "origin-trial",
    "permissions-policy",
    "permissions-policy-report-only",
    "referrer-policy",
    "server",
    "strict-transport-security",
    "timing-allow-origin",
    "via",
    "x-content-type-options",
    "x-dns-prefetch-control",
    "x-frame-options",
    "x-permitted-cross-domain-policies",
    "x-powered-by",
    "x-ua-compatible",
    "x-xss-protection",
];

/// Families that never pass: cross-origin rights, content security, attribution, and commands to proxies (`X-Sendfile`,
/// `X-Accel-Redirect` and their kin make some of them send a file of theirs instead).
const WITHHELD_FAMILIES: [&str; 13] = [
    "access-control-",
    "attribution-reporting-",
    "cdn-",
    "content-security-policy",
    "cross-origin-",
    "proxy-",
    "sec-",
    "surrogate-",
    "x-accel-",
    "x-content-security-policy",
    "x-lighttpd-",
    "x-reproxy-",
    "x-sendfile",
];

impl ResponseHeaders {
    /// Names in one list. A manifest needs a handful; every one is compared with every header of every answer.
    pub const MAX: usize = 32;

    /// Adds a name of `spec.responseHeaders`, written in any case.
    ///
    /// # Errors
    /// When it is no header name, is withheld, or is one too many.
    pub fn add(&mut self, name: &str) -> Result<(), ResponseHeaderError> {
        let name = http::HeaderName::try_from(name).map_err(|_| ResponseHeaderError::Name)?;
        if is_withheld(name.as_str()) {
            return Err(ResponseHeaderError::Withheld);
        }
        if self.0.len() == Self::MAX {
            return Err(ResponseHeaderError::TooMany);
        }
        self.0.insert(name.as_str().to_owned());
        Ok(())
    }

    /// Whether a header of this name is sent on. `name` is in lower case.
    pub fn passes(&self, name: &str) -> bool {
        (DESCRIPTIVE.contains(&name) || self.0.contains(name)) && !is_withheld(name)
    }

    /// The names the manifest listed, in lower case.
    pub fn listed(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// Some proxies read `_` and `.` as `-`, so a name is judged as they would read it.
fn is_withheld(name: &str) -> bool {
    let name = name.replace(['_', '.'], "-");
    WITHHELD.contains(&name.as_str()) || WITHHELD_FAMILIES.iter().any(|family| name.starts_with(family))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_listed() {
        for (name, expect) in [
            ("X-Cost", Ok(())),
            ("Vary", Ok(())),
            ("Content-Encoding", Ok(())),
            ("ETag", Ok(())),
            ("", Err(ResponseHeaderError::Name)),
            ("X Cost", Err(ResponseHeaderError::Name)),
            ("X-Cost:", Err(ResponseHeaderError::Name)),
            ("Set-Cookie", Err(ResponseHeaderError::Withheld)),
            ("set_cookie", Err(ResponseHeaderError::Withheld)),
            ("Set.Cookie", Err(ResponseHeaderError::Withheld)),
            ("Service-Worker-Allowed", Err(ResponseHeaderError::Withheld)),
            ("Link", Err(ResponseHeaderError::Withheld)),
            ("NEL", Err(ResponseHeaderError::Withheld)),
            ("Report-To", Err(ResponseHeaderError::Withheld)),
            ("Reporting-Endpoints", Err(ResponseHeaderError::Withheld)),
            ("Refresh", Err(ResponseHeaderError::Withheld)),
            ("Clear-Site-Data", Err(ResponseHeaderError::Withheld)),
            ("Access-Control-Allow-Origin", Err(ResponseHeaderError::Withheld)),
            ("Content-Security-Policy-Report-Only", Err(ResponseHeaderError::Withheld)),
            ("Cross-Origin-Resource-Policy", Err(ResponseHeaderError::Withheld)),
            ("Connection", Err(ResponseHeaderError::Withheld)),
            ("Transfer-Encoding", Err(ResponseHeaderError::Withheld)),
            ("WWW-Authenticate", Err(ResponseHeaderError::Withheld)),
            ("X-Accel-Redirect", Err(ResponseHeaderError::Withheld)),
            ("X-Sendfile", Err(ResponseHeaderError::Withheld)),
        ] {
            assert_eq!(ResponseHeaders::default().add(name), expect, "{name}");
        }
        let mut full = ResponseHeaders::default();
        for i in 0..ResponseHeaders::MAX {
            full.add(&format!("x-{i}")).unwrap();
        }
        assert_eq!(full.add("x-more"), Err(ResponseHeaderError::TooMany));
    }

    #[test]
    fn what_passes() {
        let mut headers = ResponseHeaders::default();
        assert!(headers.passes("etag") && !headers.passes("x-cost"));
        headers.add("X-Cost").unwrap();
        assert!(headers.passes("x-cost"));
        // Even a list that was made in another way does not let it through.
        headers.0.insert("set-cookie".to_owned());
        assert!(!headers.passes("set-cookie"));
    }
}
