//! What providers that are no apps reach.

use super::Comparison;
use super::hosts::Reach;
use crate::deployment::{Audit, Database, Deployment, Provider, Runtime, Secrets, Telemetry};
use crate::path::KeyPath;
use std::collections::BTreeMap;

impl Comparison<'_> {
    /// Every provider that both deployments have.
    pub(super) fn providers(&mut self) {
        let (earlier, later) = (packages(self.before), packages(self.after));
        for (at, after) in later {
            let Some(before) = earlier.get(&at) else { continue };
            let (section, name) = at;
            let at = KeyPath::default().dotted(section).key(name);
            let list = at.dotted("egress.allowedHosts");
            let was = Reach::of(self.before, &before.allowed_hosts, &list, None);
            let is = Reach::of(self.after, &after.allowed_hosts, &list, None);
            self.hosts(&at.to_string(), &list, &was, &is);
        }
    }
}

/// The providers that come from packages, by section and name.
fn packages(deployment: &Deployment) -> BTreeMap<(&'static str, &str), &Provider> {
    let providers = &deployment.providers;
    let mut found = BTreeMap::new();
    let plain = [
        ("providers.authentication", &providers.authentication),
        ("providers.authorization", &providers.authorization),
        ("providers.cache", &providers.cache),
        ("providers.externalCredentials", &providers.external_credentials),
        ("providers.s3", &providers.s3),
    ];
    for (section, entries) in plain {
        found.extend(entries.iter().map(|(name, provider)| ((section, name.as_str()), provider)));
    }
    let mut add = |section, name, provider| {
        found.insert((section, name), provider);
    };
    providers.agent.iter().for_each(|(name, agent)| add("providers.agent", name.as_str(), &agent.provider));
    providers.workflow.iter().for_each(|(name, of)| add("providers.workflow", name.as_str(), &of.provider));
    providers.ui.iter().for_each(|(name, bundle)| add("providers.ui", name.as_str(), &bundle.provider));
    for (name, audit) in providers.audit.iter() {
        if let Audit::Package(provider) = audit {
            add("providers.audit", name.as_str(), provider);
        }
    }
    for (name, database) in providers.indexeddb.iter() {
        if let Database::Package(provider) = database {
            add("providers.indexeddb", name.as_str(), provider);
        }
    }
    for (name, secrets) in providers.secrets.iter() {
        if let Secrets::Package(provider) = secrets {
            add("providers.secrets", name.as_str(), provider);
        }
    }
    for (name, telemetry) in providers.telemetry.iter() {
        if let Telemetry::Package(provider) = telemetry {
            add("providers.telemetry", name.as_str(), provider);
        }
    }
    for (name, runtime) in &deployment.runtimes {
        if let Runtime::Hosted(provider) = runtime {
            add("runtime.providers", name.as_str(), provider);
        }
    }
    found
}
