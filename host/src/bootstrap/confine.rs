//! Whether a native provider is confined, and what of the machine it sees then.

use super::apps::Stage;
use gestalt_config::deployment::Secrets;
use gestalt_config::{App, Deployment, Manifest};
use gestalt_core::AppName;
use gestalt_core::egress::{Action, Sandbox};
use gestalt_core::limits::EgressLimits;
use gestalt_runtime_process::sandbox::Confine;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

/// Which native apps run unconfined since they may reach everything, and the configuration that says so: what a reload
/// changes while an app is still starting counts for that app as well.
pub(super) struct Unconfined {
    latest: Arc<Deployment>,
    apps: BTreeSet<AppName>,
}

impl Unconfined {
    pub(super) fn new(deployment: Arc<Deployment>) -> Self {
        Self { latest: deployment, apps: BTreeSet::new() }
    }

    /// Takes note of a later configuration, and says which apps run unconfined and would not under it.
    pub(super) fn update(&mut self, newer: Arc<Deployment>) -> BTreeSet<AppName> {
        self.latest = newer;
        let restricted = |name: &&AppName| {
            let app = self.latest.apps.get(*name);
            app.is_some_and(|app| app.egress.sandbox != Sandbox::Off && is_restricted(app, &self.latest))
        };
        self.apps.iter().filter(restricted).cloned().collect()
    }
}

/// What confines the app's process. Nothing does where everything is allowed, or the config says so.
pub(super) fn check(stage: &Stage, app: &App, manifest: &Manifest) -> Option<Confine> {
    let mut unconfined = stage.unconfined.lock().unwrap_or_else(PoisonError::into_inner);
    let app = unconfined.latest.apps.get(&app.name).unwrap_or(app).clone();
    if !is_restricted(&app, &unconfined.latest) {
        unconfined.apps.insert(app.name);
        return None;
    }
    let rules = &app.egress;
    if rules.sandbox == Sandbox::Off {
        tracing::warn!(
            app = %app.name,
            config = &*rules.at,
            "EGRESS IS NOT ENFORCED for this app (egress.sandbox: off): its process has the machine's network"
        );
        return None;
    }
    Some(Confine {
        required: rules.sandbox == Sandbox::Required,
        worker: stage.worker.clone(),
        forward: stage.egress.forward(app.name.clone(), rules.clone(), EgressLimits::default()),
        read: vec![manifest.root.clone()],
        hide: hidden(stage, &app, &manifest.root),
    })
}

/// Whether there is anything the app may not reach.
fn is_restricted(app: &App, deployment: &Deployment) -> bool {
    !app.egress.allowed.is_empty() || deployment.server.egress.default_action == Action::Deny
}

/// What the daemon keeps to itself, and what is another app's, should it lie in this one's package.
fn hidden(stage: &Stage, app: &App, root: &Path) -> Vec<PathBuf> {
    let deployment = &stage.deployment;
    let mut hidden = deployment.files();
    hidden.push(deployment.server.artifacts_dir.clone());
    hidden.extend(deployment.providers.secrets.entries.values().filter_map(|secrets| match secrets {
        Secrets::File { dir } => Some(dir.clone()),
        _ => None,
    }));
    let others = deployment.apps.values().filter(|other| other.name != app.name);
    let packages = others.filter_map(|other| other.source.manifest()?.parent().map(Path::to_owned));
    hidden.extend(packages.filter(|package| package.starts_with(root) && package != root));
    hidden
}
