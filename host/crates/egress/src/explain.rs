//! Which rule decides about a request, told step by step to whoever wrote the rules. Sends nothing; may ask a name
//! server, if it is given one.

use crate::active::bare;
use crate::address::Guard;
use crate::listeners::SelfListeners;
use crate::policy::{Grant, Policy};
use crate::refusal::Refusal;
use crate::resolve::{Lookup, Resolver};
use crate::uri::Target;
use gestalt_core::AppName;
use gestalt_core::egress::{DenyReason, EgressError, Mode, Rules, Settings};
use gestalt_core::host::Host;
use http::{Method, Uri};
use serde::Serialize;
use std::net::IpAddr;
use std::sync::Arc;

/// What became of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It lets the request pass.
    Pass,
    /// It refuses the request.
    Deny,
    /// It would refuse the request if the app were not observed.
    Observe,
    /// It cannot be said from here.
    Unknown,
}

/// One step of the decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// `request`, `host`, `scheme`, `port`, `addresses` or `credential`.
    pub step: &'static str,
    /// What became of it.
    pub verdict: Verdict,
    /// The audit reason, for a step that does not simply pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// What was looked at, and what decided.
    pub detail: String,
}

/// The decision about one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The gravest of the steps' verdicts.
    pub verdict: Verdict,
    /// The steps in order; those after a refusal are not taken.
    pub steps: Vec<Step>,
    /// The line of the config that would change the verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// What a decision depends on.
pub struct Question<'a> {
    /// `server.egress`.
    pub settings: &'a Settings,
    /// The app.
    pub app: &'a AppName,
    /// `apps.<app>.egress`.
    pub rules: &'a Rules,
    /// The daemon's listeners.
    pub listeners: Arc<SelfListeners>,
    /// Who is asked for addresses; nobody when `None`.
    pub resolver: Option<Arc<dyn Resolver>>,
}

impl Question<'_> {
    /// Decides about a request without sending it.
    pub async fn explain(&self, method: &Method, url: &str) -> Explanation {
        let mut told = Explanation { verdict: Verdict::Pass, steps: Vec::new(), remedy: None };
        // A refusal has been told; there is nothing to add to it.
        let _ = self.walk(&mut told, method, url).await;
        told
    }

    async fn walk(&self, told: &mut Explanation, method: &Method, url: &str) -> Result<(), ()> {
        let target = match url.parse::<Uri>() {
            Ok(uri) => Target::read(method, &uri),
            Err(_) => Err(EgressError::UriInvalid.into()),
        };
        let target = target.map_err(|refusal| {
            let detail = format!("{method} {url} is refused as it is spelled: there is no one host it could mean");
            let _ = told.refuse("request", Verdict::Deny, detail, refusal);
        })?;
        let scheme = if target.tls { "https" } else { "http" };
        told.pass("request", format!("{method} to host {}, port {}, {scheme}", target.host, target.port));
        let grant = self.host(told, &target)?;
        self.scheme(told, &target)?;
        self.port(told, &target)?;
        self.addresses(told, &target, grant).await?;
        self.credentials(told, &target);
        Ok(())
    }

    fn observed(&self) -> Verdict {
        if self.rules.mode == Mode::Observe { Verdict::Observe } else { Verdict::Deny }
    }

    fn host(&self, told: &mut Explanation, target: &Target) -> Result<Grant, ()> {
        let policy = Policy::new(&self.rules.allowed, self.settings.default_action);
        match policy.decide(&target.host) {
            Ok((grant, Some(i))) => {
                let detail = self.rules.allowed.get(i).map_or_else(String::new, |entry| {
                    format!("`{}` ({}, apps.{}.egress.allowedHosts[{i}]) allows it", entry.text, entry.at, self.app)
                });
                told.pass("host", detail);
                Ok(grant)
            }
            Ok((grant, None)) => {
                told.pass("host", "allowedHosts is empty, and server.egress.defaultAction is allow".to_owned());
                Ok(grant)
            }
            Err(reason) => {
                let detail = match (reason, self.rules.allowed.len()) {
                    (DenyReason::DefaultDeny, _) => {
                        "allowedHosts is empty, and server.egress.defaultAction is deny".to_owned()
                    }
                    (_, 1) => format!("the one entry of allowedHosts ({}) is not it", self.rules.at),
                    (_, entries) => format!("none of the {entries} entries of allowedHosts ({}) is it", self.rules.at),
                };
                let line = format!("apps.{}.egress.allowedHosts: [\"{}\"]", self.app, bare(&target.host));
                let refusal = Refusal::from(EgressError::Denied(reason)).with_remedy(self.place(&line));
                told.refuse("host", self.observed(), detail, refusal).map(|()| Grant::Open)
            }
        }
    }

    fn scheme(&self, told: &mut Explanation, target: &Target) -> Result<(), ()> {
        if !self.rules.require_tls || target.tls {
            return Ok(());
        }
        let line = self.place(&format!("apps.{}.egress.requireTls: false", self.app));
        let refusal = Refusal::from(EgressError::Denied(DenyReason::SchemeInvalid)).with_remedy(line);
        told.refuse("scheme", self.observed(), "http, and requireTls is set".to_owned(), refusal)
    }

    fn port(&self, told: &mut Explanation, target: &Target) -> Result<(), ()> {
        let port = target.port;
        if !self.settings.blocked_ports.blocks(port) {
            told.pass("port", format!("{port} is not in server.egress.blockedPorts"));
            return Ok(());
        }
        let line = format!("server.egress.blockedPorts: none, or a list without {port}");
        let refusal = Refusal::from(EgressError::Denied(DenyReason::PortBlocked)).with_remedy(line);
        told.refuse("port", Verdict::Deny, format!("server.egress.blockedPorts has {port}"), refusal)
    }

    async fn addresses(&self, told: &mut Explanation, target: &Target, grant: Grant) -> Result<(), ()> {
        let (source, addresses) = self.resolve(&target.host).await;
        let Some(addresses) = addresses else {
            told.verdict = told.verdict.max(Verdict::Unknown);
            told.steps.push(Step { step: "addresses", verdict: Verdict::Unknown, reason: None, detail: source });
            return Ok(());
        };
        let guard = Guard::new(
            self.settings.private_networks,
            self.settings.allowed_networks.clone(),
            self.settings.nat64,
            Arc::clone(&self.listeners),
        );
        for ip in addresses {
            let detail = format!("{ip} ({source}) is {}", guard.classes(ip));
            match guard.judge(&target.host, grant, ip, target.port) {
                Ok(()) => told.pass("addresses", detail),
                Err(refusal) => {
                    let open = guard.judge(&target.host, Grant::Open, ip, target.port).is_ok();
                    let verdict = if open { self.observed() } else { Verdict::Deny };
                    told.refuse("addresses", verdict, detail, refusal)?;
                }
            }
        }
        Ok(())
    }

    async fn resolve(&self, host: &Host) -> (String, Option<Vec<IpAddr>>) {
        let source = match host {
            Host::Ip(_) => "as written",
            Host::Name(_) if host.is_localhost() => "localhost, never asked for",
            Host::Name(_) if self.settings.dns.hosts.contains_key(host) => "from server.egress.dns.hosts",
            Host::Name(_) => "from the name server",
        };
        let Some(resolver) = self.resolver.clone() else {
            return ("not resolved".to_owned(), None);
        };
        let lookup = Lookup::new(resolver, self.settings.dns.clone());
        match tokio::time::timeout(self.settings.dns.timeout, lookup.trusted(host)).await {
            Ok(Ok(addresses)) if !addresses.is_empty() => (source.to_owned(), Some(addresses)),
            Ok(Ok(_)) => (format!("{host} has no address"), None),
            Ok(Err(error)) => (format!("{host} does not resolve here: {error}"), None),
            Err(_) => (format!("{host} does not resolve within {:?}", self.settings.dns.timeout), None),
        }
    }

    fn credentials(&self, told: &mut Explanation, target: &Target) {
        for held in self.rules.credentials.iter().filter(|held| held.is_for(&target.host)) {
            let detail = match crate::vault::is_private(target) {
                true => format!("the placeholder in `{}` is replaced by the credential", held.header),
                false => format!("the credential for `{}` is not sent in the clear", held.header),
            };
            told.pass("credential", detail);
        }
    }

    fn place(&self, line: &str) -> String {
        if self.rules.at.is_empty() { line.to_owned() } else { format!("{}: {line}", self.rules.at) }
    }
}

impl Explanation {
    fn pass(&mut self, step: &'static str, detail: String) {
        self.steps.push(Step { step, verdict: Verdict::Pass, reason: None, detail });
    }

    /// `Err` when it ends here.
    fn refuse(&mut self, step: &'static str, verdict: Verdict, detail: String, refusal: Refusal) -> Result<(), ()> {
        self.verdict = self.verdict.max(verdict);
        self.remedy = self.remedy.take().or(refusal.remedy);
        let reason = refusal.reason.map(DenyReason::as_str);
        self.steps.push(Step { step, verdict, reason, detail });
        if verdict == Verdict::Deny { Err(()) } else { Ok(()) }
    }
}

impl Verdict {
    fn max(self, other: Self) -> Self {
        let rank = |verdict| match verdict {
            Self::Pass => 0,
            Self::Observe => 1,
            Self::Unknown => 2,
            Self::Deny => 3,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}
