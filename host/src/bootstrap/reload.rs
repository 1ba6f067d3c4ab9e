//! What a running daemon takes over from a later reading of its configuration.

use super::{Daemon, secrets, stop};
use gestalt_config::Deployment;
use gestalt_invoke::Grants;
use std::sync::PoisonError;

impl Daemon {
    /// Takes over from `deployment` what every app may reach and call from its next request on, and stops the apps that
    /// it does not have. What else is different waits for the next start, and the log says so key by key.
    ///
    /// # Errors
    /// When a secret cannot be had. Nothing has changed then.
    pub async fn reload(&self, deployment: Deployment) -> anyhow::Result<()> {
        for warning in deployment.warnings.iter() {
            tracing::warn!("{warning}");
        }
        let newer = secrets::supply(deployment).await?;
        let rules = newer.apps.iter().map(|(name, app)| (name.clone(), app.egress.clone()));
        self.egress.reload(newer.server.egress.clone(), rules.collect());
        self.invoker.grant(grants(&newer));
        self.stop_what_is_gone(&newer);
        for key in self.deployment.waits_for_restart(&newer) {
            tracing::warn!(%key, "changed, and takes effect at the next start only");
        }
        tracing::info!("configuration reloaded");
        Ok(())
    }

    /// Stops the apps that `newer` does not have. One that was taken out before stays out until the next start.
    fn stop_what_is_gone(&self, newer: &Deployment) {
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        for name in self.deployment.apps.keys() {
            if newer.apps.contains_key(name) {
                if gone.contains(name) {
                    tracing::warn!(app = %name, "app was taken out of the configuration; it comes back at the next start only");
                }
            } else if gone.insert(name.clone()) {
                tracing::info!(app = %name, "app is taken out of the configuration; stopping it");
                if let Some(executor) = self.invoker.apps().stop(name, "taken out of the configuration") {
                    self.running.spawn(stop(name.clone(), executor));
                }
            }
        }
    }
}

/// Which apps may call which.
pub(super) fn grants(deployment: &Deployment) -> Grants {
    let mut grants = Grants::default();
    for app in deployment.apps.values() {
        for granted in &app.invokes {
            let Some(operation) = &granted.operation else { continue };
            grants.add(app.name.clone(), granted.app.clone(), operation.clone());
        }
    }
    grants
}
