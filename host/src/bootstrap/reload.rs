//! What a running daemon takes over from a later reading of its configuration.

use super::{Daemon, secrets, stop};
use gestalt_config::{Deployment, Widened};
use gestalt_invoke::Grants;
use std::sync::{Arc, PoisonError};

impl Daemon {
    /// Takes over from `deployment` what every app may reach and call from its next request on, and stops the apps that
    /// it does not have, or that cannot be held to it. What else is different waits for the next start, and the log says so key by key.
    ///
    /// # Errors
    /// When a secret cannot be had. Nothing has changed then.
    pub async fn reload(&self, deployment: Deployment) -> anyhow::Result<()> {
        for warning in deployment.warnings.iter() {
            tracing::warn!("{warning}");
        }
        let newer = Arc::new(secrets::supply(deployment).await?);
        self.tell_what_is_wider(&newer);
        let rules = newer.apps.iter().map(|(name, app)| (name.clone(), app.egress.clone()));
        self.egress.reload(newer.server.egress.clone(), rules.collect());
        self.invoker.grant(grants(&newer));
        self.stop_what_may_not_run(&newer);
        for key in self.deployment.waits_for_restart(&newer) {
            tracing::warn!(%key, "changed, and takes effect at the next start only");
        }
        tracing::info!("configuration reloaded");
        Ok(())
    }

    /// Says what apps may do under `newer`, now or from the next start on, and might not under what was read before it.
    fn tell_what_is_wider(&self, newer: &Arc<Deployment>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for Widened { who, key, before, after, at } in newer.widened_since(&told) {
            let apps = if who.is_empty() { "any that does not say otherwise".to_owned() } else { who.join(", ") };
            tracing::warn!(apps, key, before, after, at = %at, "POLICY_WIDENED: more is allowed than before");
        }
        *told = newer.clone();
    }

    /// Stops the apps that `newer` does not have, and native ones that it restricts and that run unconfined: a process that
    /// was started with the machine's network cannot be held to a list. Whatever was stopped stays so until the next start.
    fn stop_what_may_not_run(&self, newer: &Arc<Deployment>) {
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        let unconfined = self.unconfined.lock().unwrap_or_else(PoisonError::into_inner).update(newer.clone());
        for name in self.deployment.apps.keys() {
            let why = match newer.apps.get(name) {
                None => "taken out of the configuration",
                Some(_) if unconfined.contains(name) => "its egress is restricted now, and its process runs unconfined",
                Some(_) if gone.contains(name) => {
                    tracing::warn!(app = %name, "app was stopped by an earlier reload; it comes back at the next start only");
                    continue;
                }
                Some(_) => continue,
            };
            if gone.insert(name.clone()) {
                tracing::warn!(app = %name, why, "app is stopped until the next start");
                if let Some(executor) = self.invoker.apps().stop(name, why) {
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
