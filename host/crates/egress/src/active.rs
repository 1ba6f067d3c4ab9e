//! An app's rules as they are at the moment: what a reload replaces, and a request looks at once.

use crate::daemon::Common;
use crate::policy::{Grant, Policy};
use crate::refusal::Refusal;
use crate::uri::Target;
use crate::vault::{Mint, Vault};
use gestalt_core::AppName;
use gestalt_core::egress::{Action, DenyReason, EgressError, Mode, Rules};
use gestalt_core::host::Host;
use std::sync::Arc;

/// One version of an app's rules, ready to decide.
#[derive(Debug)]
pub(crate) struct Active {
    app: AppName,
    /// Rises with every replacement, so that a log line can be told to speak of the rules before or after it.
    pub(crate) version: u64,
    pub(crate) common: Arc<Common>,
    policy: Policy,
    rules: Rules,
    pub(crate) vault: Vault,
}

impl Active {
    /// Without rules of its own an app reaches nothing, whatever the default is.
    pub(crate) fn new(app: AppName, rules: Option<Rules>, common: Arc<Common>, mint: &Mint, version: u64) -> Self {
        let default = if rules.is_some() { common.default_action } else { Action::Deny };
        let rules = rules.unwrap_or_default();
        let policy = Policy::new(&rules.allowed, default);
        let vault = Vault::new(mint, &app, &rules.credentials);
        Self { app, version, common, policy, rules, vault }
    }

    /// Whether what the app's own policy refuses is sent all the same.
    pub(crate) fn observes(&self) -> bool {
        self.rules.mode == Mode::Observe
    }

    /// Decides about the destination of a request by the app's own policy.
    pub(crate) fn admit(&self, target: &Target) -> Result<Grant, Refusal> {
        let grant = self.policy.check(&target.host).map_err(|reason| self.unlisted(&target.host, reason))?;
        if self.rules.require_tls && !target.tls {
            let remedy = format!("apps.{}.egress.requireTls: false, or server.egress.requireTls", self.app);
            return Err(Refusal::from(EgressError::Denied(DenyReason::SchemeInvalid)).with_remedy(self.place(remedy)));
        }
        Ok(grant)
    }

    /// What the list says of a host, for a request that goes out whatever it says.
    pub(crate) fn grant(&self, host: &Host) -> Grant {
        self.policy.check(host).unwrap_or(Grant::Open)
    }

    fn unlisted(&self, host: &Host, reason: DenyReason) -> Refusal {
        let line = format!("apps.{}.egress.allowedHosts: [\"{}\"]", self.app, bare(host));
        Refusal::from(EgressError::Denied(reason)).with_remedy(self.place(line))
    }

    /// The remedy, and where the app's list stands.
    fn place(&self, remedy: String) -> String {
        if self.rules.at.is_empty() { remedy } else { format!("{}: {remedy}", self.rules.at) }
    }
}

/// A host as an entry of `allowedHosts` spells it.
pub(crate) fn bare(host: &Host) -> String {
    match host {
        Host::Name(name) => name.to_string(),
        Host::Ip(ip) => ip.to_string(),
    }
}
