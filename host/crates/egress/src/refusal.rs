//! An error on its way out: what the app sees, and what only the operator sees.

use gestalt_core::egress::{DenyReason, EgressError};

/// Why an attempt ended, in both views.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// For the app.
    pub(crate) error: EgressError,
    /// For the audit record; `None` when the request was allowed and failed all the same.
    pub(crate) reason: Option<DenyReason>,
    /// For the log: the config line that would have allowed it.
    pub(crate) remedy: Option<String>,
    /// For the metrics: the bound that was reached, as the config spells it.
    pub(crate) limit: Option<&'static str>,
}

impl Refusal {
    /// The refusal as one of this bound.
    pub(crate) fn with_limit(mut self, limit: &'static str) -> Self {
        self.limit = Some(limit);
        self
    }

    /// The refusal with the line that would lift it.
    pub(crate) fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl From<EgressError> for Refusal {
    fn from(error: EgressError) -> Self {
        Self { reason: reason_of(&error), limit: limit_of(&error), error, remedy: None }
    }
}

/// The audit reason behind an error. What happened to an allowed request on the wire is no denial.
fn reason_of(error: &EgressError) -> Option<DenyReason> {
    match error {
        EgressError::Denied(reason) => Some(*reason),
        EgressError::UriInvalid => Some(DenyReason::UriInvalid),
        EgressError::MethodInvalid => Some(DenyReason::MethodInvalid),
        EgressError::Dns | EgressError::DnsTimeout => Some(DenyReason::DnsError),
        EgressError::AddressProhibited => Some(DenyReason::AddressProhibited),
        EgressError::ConnectionLimit
        | EgressError::RequestTooLarge(_)
        | EgressError::RequestHeadTooLarge
        | EgressError::ResponseTooLarge(_)
        | EgressError::ResponseHeadTooLarge => Some(DenyReason::Limit),
        EgressError::TlsCertificate(_) | EgressError::Tls(_) => Some(DenyReason::Tls),
        EgressError::Upgrade => Some(DenyReason::Upgrade),
        EgressError::Connect(_)
        | EgressError::ConnectTimeout
        | EgressError::ReadTimeout
        | EgressError::Protocol(_)
        | EgressError::Closed(_) => None,
    }
}

/// The bound behind an error, where the error alone says it.
fn limit_of(error: &EgressError) -> Option<&'static str> {
    match error {
        EgressError::RequestTooLarge(_) => Some("egress.maxRequestBody"),
        EgressError::ResponseTooLarge(_) => Some("egress.maxResponseBody"),
        EgressError::RequestHeadTooLarge | EgressError::ResponseHeadTooLarge => Some("egress.maxHeaderBytes"),
        EgressError::ConnectTimeout => Some("egress.connectTimeout"),
        EgressError::DnsTimeout => Some("egress.dns.timeout"),
        _ => None,
    }
}
