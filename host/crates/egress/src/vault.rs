//! Credentials that are put into requests on their way out, so that the app never holds them.

use crate::scrub::Scrubber;
use crate::uri::Target;
use gestalt_core::AppName;
use gestalt_core::audit::HeldUse;
use gestalt_core::egress::HeldCredential;
use gestalt_core::host::Host;
use http::HeaderName;
use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, IF_RANGE, RANGE};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;
use zeroize::Zeroizing;

/// One app's held credentials, under their placeholders, and what covers up their echoes.
#[derive(Debug, Default)]
pub(crate) struct Vault {
    held: Vec<Held>,
    scrubber: Arc<Scrubber>,
}

#[derive(Debug)]
struct Held {
    placeholder: String,
    spec: HeldCredential,
}

/// Makes placeholders: words that nobody outside this process can guess, the same for the same credential while the
/// daemon runs, whatever else of an app's rules changes.
pub(crate) struct Mint([u8; 32]);

impl Mint {
    /// A mint whose words no other process makes.
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self(key))
    }

    pub(crate) fn placeholder(&self, app: &AppName, held: &HeldCredential) -> String {
        let place = held.env.as_deref().unwrap_or_default();
        let mut hash = Sha256::new();
        hash.update(self.0);
        for part in [app.as_str(), held.header.as_str(), place] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut word = "gst_held_".to_owned();
        for byte in &hash.finalize()[..16] {
            let _ = write!(word, "{byte:02x}");
        }
        word
    }
}

impl Vault {
    pub(crate) fn new(mint: &Mint, app: &AppName, held: &[HeldCredential]) -> Self {
        let held: Vec<Held> =
            held.iter().map(|spec| Held { placeholder: mint.placeholder(app, spec), spec: spec.clone() }).collect();
        let scrubber = Arc::new(Scrubber::new(held.iter().map(|held| held.spec.value.expose().as_str())));
        Self { held, scrubber }
    }

    pub(crate) fn scrubber(&self) -> &Arc<Scrubber> {
        &self.scrubber
    }

    /// Whether `host` may be sent one of the credentials, and so may send it back.
    pub(crate) fn concerns(&self, host: &Host) -> bool {
        self.held.iter().any(|held| held.spec.is_for(host))
    }

    /// Replaces placeholders where that is declared: in fields, and not in what the request line says.
    ///
    /// A host that may get a credential is asked for plain and whole answers: a compressed echo, or half of one, could
    /// not be covered up.
    pub(crate) fn fill(&self, target: &Target, headers: &mut HeaderMap) -> HeldUse {
        let mut used = HeldUse::None;
        for held in &self.held {
            if held.spec.is_for(&target.host) && is_private(target) && held.fill(headers) {
                used = HeldUse::Injected;
            }
        }
        if self.concerns(&target.host) {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            headers.remove(RANGE);
            headers.remove(IF_RANGE);
        }
        // Whatever is left of a placeholder stands where it must not be replaced.
        if self.held.iter().any(|held| held.is_in(target, headers)) { HeldUse::Withheld } else { used }
    }
}

/// Nobody on the way reads it: encrypted, or it does not leave the machine.
pub(crate) fn is_private(target: &Target) -> bool {
    target.tls
        || target.host.is_localhost()
        || matches!(target.host, Host::Ip(IpAddr::V4(ip)) if ip.is_loopback())
        || matches!(target.host, Host::Ip(IpAddr::V6(ip)) if ip.is_loopback())
}

impl Held {
    /// Replaces the placeholder in the declared header, if it is there.
    fn fill(&self, headers: &mut HeaderMap) -> bool {
        let name: &HeaderName = &self.spec.header;
        let credential = self.spec.value.expose();
        let mut any = false;
        let mut fill = |value: &HeaderValue| {
            let text = value.to_str().ok().filter(|text| text.contains(&self.placeholder))?;
            let filled = Zeroizing::new(match &self.spec.format {
                Some(format) => format.replacen("{}", credential, 1),
                None => text.replace(&self.placeholder, credential),
            });
            let mut value = HeaderValue::from_str(&filled).ok()?;
            value.set_sensitive(true);
            any = true;
            Some(value)
        };
        let values: Vec<HeaderValue> =
            headers.get_all(name).iter().map(|value| fill(value).unwrap_or_else(|| value.clone())).collect();
        if any {
            headers.remove(name);
            for value in values {
                headers.append(name, value);
            }
        }
        any
    }

    fn is_in(&self, target: &Target, headers: &HeaderMap) -> bool {
        let word = self.placeholder.as_bytes();
        let within = |bytes: &[u8]| bytes.windows(word.len()).any(|window| window == word);
        within(target.text().as_bytes()) || headers.values().any(|value| within(value.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Method, Uri};

    #[test]
    fn what_nobody_on_the_way_reads() {
        for (uri, expect) in [
            ("https://a.test/", true),
            ("http://a.test/", false),
            ("http://localhost/", true),
            ("http://x.localhost/", true),
            ("http://127.9.9.9/", true),
            ("http://128.0.0.1/", false),
            ("http://[::1]/", true),
            ("http://[2a00::1]/", false),
        ] {
            let target = Target::parse(&Method::GET, &Uri::from_static(uri)).unwrap();
            assert_eq!(is_private(&target), expect, "{uri}");
        }
    }
}
