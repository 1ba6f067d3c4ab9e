//! One attempt to send a request, from the first look at it to its end: exactly one note in the ledger.

use crate::body::Upload;
use crate::ledger::Ledger;
use crate::refusal::Refusal;
use crate::traffic::Traffic;
use crate::uri::Target;
use gestalt_core::audit::{self, HeldUse};
use gestalt_core::egress::{Attribution, DenyReason, EgressError};
use gestalt_core::foreign::Foreign;
use http::{Method, Uri};
use std::sync::Arc;

/// Longest piece of a host, scheme or method that an app wrote and a record repeats, in bytes.
pub(crate) const RAW_HOST: usize = 256;
const RAW_WORD: usize = 32;

/// An attempt under way. Writes its note when dropped, however it came to that.
#[derive(Debug)]
pub(crate) struct Attempt {
    ledger: Arc<Ledger>,
    attribution: Attribution,
    method: Method,
    uri: Uri,
    /// `None` until the URI was understood.
    target: Option<Target>,
    upload: Arc<Upload>,
    traffic: Arc<Traffic>,
    denied: Option<DenyReason>,
    /// Sent all the same.
    observed: bool,
    credential: HeldUse,
    remedy: Option<String>,
}

impl Attempt {
    /// Opens the attempt to send a request.
    pub(crate) fn open(ledger: Arc<Ledger>, attribution: Attribution, method: Method, uri: Uri) -> Self {
        Self {
            ledger,
            attribution,
            method,
            uri,
            target: None,
            upload: Arc::default(),
            traffic: Arc::default(),
            denied: None,
            observed: false,
            credential: HeldUse::None,
            remedy: None,
        }
    }

    /// Notes where the request goes.
    pub(crate) fn aim(&mut self, target: Target) {
        self.target = Some(target);
    }

    /// Notes that the app's own policy would have refused it. The first reason counts.
    pub(crate) fn observe(&mut self, refusal: Refusal) {
        if !self.observed {
            (self.observed, self.denied, self.remedy) = (true, refusal.reason, refusal.remedy);
        }
    }

    /// Notes what became of held credentials.
    pub(crate) fn note_credential(&mut self, used: HeldUse) {
        self.credential = used;
    }

    /// Ends the attempt with a refusal, and hands back what of it the app may see.
    pub(crate) fn fail(mut self, refusal: Refusal) -> EgressError {
        if let Some(limit) = refusal.limit {
            self.ledger.count_limit(limit);
        }
        // What went wrong on the way is no refusal, and leaves what was observed as it is.
        if refusal.reason.is_some() {
            (self.observed, self.denied, self.remedy) = (false, refusal.reason, refusal.remedy);
        }
        refusal.error
    }

    pub(crate) fn upload(&self) -> &Arc<Upload> {
        &self.upload
    }

    /// What it moves is counted here.
    pub(crate) fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    fn record(&self) -> audit::Egress {
        let raw_host = self.uri.host().unwrap_or_default();
        let raw_scheme = self.uri.scheme_str().unwrap_or_default();
        let (host, port, scheme) = match &self.target {
            Some(target) => {
                (target.host.to_string(), target.port, if target.tls { "https" } else { "http" }.to_owned())
            }
            None => (String::new(), self.uri.port_u16().unwrap_or(0), escape(raw_scheme, RAW_WORD)),
        };
        audit::Egress {
            app: self.ledger.app().clone(),
            denied: self.denied,
            observed: self.observed,
            credential: self.credential,
            invocation_id: Arc::clone(&self.attribution.invocation_id),
            subject: Arc::clone(&self.attribution.subject),
            host,
            raw_host: escape(raw_host, RAW_HOST),
            port,
            scheme,
            method: escape(self.method.as_str(), RAW_WORD),
            count: 1,
            sent: self.traffic.sent(),
            received: self.traffic.received(),
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let record = self.record();
        self.ledger.note(record, self.remedy.take());
    }
}

/// What an app wrote in ASCII, cut at `max` bytes: in a name that nobody checked, one letter may be made to look like
/// another.
pub(crate) fn escape(text: &str, max: usize) -> String {
    Foreign::name(text).ascii().within(max).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_text_is_short_and_printable() {
        assert_eq!(escape("a.test", 256), "a.test");
        assert_eq!(escape("a\n\u{0430}\"", 256), "a\\n\\u{430}\"");
        assert_eq!(escape(&"x".repeat(300), 256), "x".repeat(256) + "... (44 more bytes)");
        assert_eq!(escape("ab\n", 3), "ab... (1 more bytes)");
    }
}
