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
}

impl Refusal {
    /// The refusal with the line that would lift it.
    pub(crate) fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl From<EgressError> for Refusal {
    fn from(error: EgressError) -> Self {
        Self { reason: reason_of(&error), error, remedy: None }
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
