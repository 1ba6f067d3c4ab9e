//! Attempts to get out by other ways than a request: refused before they come here, and on record like any other.

use crate::attempt::{RAW_HOST, escape};
use gestalt_core::AppName;
use gestalt_core::audit::{self, HeldUse};
use gestalt_core::egress::{Attribution, DenyReason, Sidestep};

/// The record of one.
pub(crate) fn record(app: AppName, sidestep: Sidestep, attribution: Attribution) -> audit::Egress {
    let (scheme, name) = match sidestep {
        Sidestep::Tcp => ("tcp", String::new()),
        Sidestep::Udp => ("udp", String::new()),
        Sidestep::Lookup(name) => ("dns", name),
    };
    audit::Egress {
        app,
        denied: Some(DenyReason::SchemeInvalid),
        observed: false,
        credential: HeldUse::None,
        invocation_id: attribution.invocation_id,
        subject: attribution.subject,
        host: String::new(),
        raw_host: escape(&name, RAW_HOST),
        port: 0,
        scheme: scheme.to_owned(),
        method: String::new(),
        count: 1,
        sent: 0,
        received: 0,
    }
}
