//! Whether a native provider is confined, and what of the machine it sees then.

use super::apps::Stage;
use gestalt_config::deployment::Secrets;
use gestalt_config::{App, Manifest};
use gestalt_core::egress::{Action, Sandbox};
use gestalt_core::limits::EgressLimits;
use gestalt_runtime_process::sandbox::Confine;
use std::path::{Path, PathBuf};

/// What confines the app's process. Nothing does where everything is allowed, or the config says so.
pub(super) fn check(stage: &Stage, app: &App, manifest: &Manifest) -> Option<Confine> {
    let rules = &app.egress;
    let is_restricted = !rules.allowed.is_empty() || stage.deployment.server.egress.default_action == Action::Deny;
    if !is_restricted {
        return None;
    }
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
        hide: hidden(stage, app, &manifest.root),
    })
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
