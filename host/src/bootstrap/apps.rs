//! Stage 4: the apps.

use super::confine::Unconfined;
use super::launch;
use super::patience::{PAUSE, patiently};
use super::runtimes::Runtimes;
use crate::sandboxes::Sandboxes;
use anyhow::Context;
use gestalt_config::{App, Deployment};
use gestalt_confine::Confiner;
use gestalt_core::service::HostServices;
use gestalt_egress::Egress;
use gestalt_invoke::{AppInfo, AppState, Apps};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

/// What starting an app needs.
pub(super) struct Stage {
    pub(super) deployment: Arc<Deployment>,
    pub(super) egress: Arc<Egress>,
    pub(super) runtimes: Arc<Runtimes>,
    pub(super) services: HostServices,
    pub(super) base_url: Arc<str>,
    /// The binary that confines native processes.
    pub(super) worker: PathBuf,
    pub(super) unconfined: Arc<Mutex<Unconfined>>,
    /// How each is confined, for operators.
    pub(super) sandboxes: Arc<Sandboxes>,
    /// Made when the first process is to be confined.
    pub(super) confiner: OnceCell<Arc<Confiner>>,
}

impl Stage {
    /// A directory of this app's own for what is generated for it. Made if missing.
    ///
    /// # Errors
    /// When it cannot be made, as on a disk that is full or sealed.
    pub(super) fn cache(&self, app: &App) -> anyhow::Result<PathBuf> {
        let dir = self.deployment.server.artifacts_dir.join("cache").join("apps").join(app.name.as_str());
        std::fs::create_dir_all(&dir)
            .with_context(|| format!("cannot make {} (below server.artifactsDir)", dir.display()))?;
        Ok(dir)
    }
}

/// The deployment's apps, none of them started yet.
pub(super) fn registry(deployment: &Deployment) -> Apps {
    let describe = |app: &App| AppInfo {
        display_name: app.display_name.clone().unwrap_or_default(),
        description: app.description.clone().unwrap_or_default(),
        ..AppInfo::default()
    };
    let add = |builder: gestalt_invoke::AppsBuilder, app: &App| builder.app(app.name.clone(), describe(app));
    deployment.apps.values().fold(Apps::builder(), add).build()
}

/// Starts every app at once, each in a task of its own.
///
/// What an app costs to start is bounded where it is spent: compilations by the wasm runtime, builds by their tools.
pub(super) fn launch(stage: Stage, apps: Arc<Apps>) -> JoinSet<()> {
    let stage = Arc::new(stage);
    let mut tasks = JoinSet::new();
    for app in stage.deployment.apps.values() {
        let (stage, apps, app) = (stage.clone(), apps.clone(), app.clone());
        tasks.spawn(async move {
            let started = Instant::now();
            let state = match patiently(&app.name, PAUSE, || launch::app(&stage, &apps, &app)).await {
                Ok(executor) => {
                    tracing::info!(app = %app.name, elapsed = ?started.elapsed(), "app is up");
                    AppState::Up(executor)
                }
                Err(error) => {
                    let reason = format!("{error:#}");
                    tracing::error!(app = %app.name, at = %app.at, %reason, "app failed to start; its operations answer 503");
                    AppState::Failed(reason.into())
                }
            };
            if let Err(AppState::Up(unwanted)) = apps.settle(&app.name, state) {
                unwanted.shutdown().await;
            }
        });
    }
    tasks
}
