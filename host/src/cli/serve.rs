//! `gestaltd serve`: run until told to stop.

use super::Sources;
use crate::bootstrap::{Daemon, Options};
use anyhow::{Context, anyhow};
use gestalt_config::{Deployment, Mode};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How long files may take that are being read or written when everything else has ended.
const LAST_FILES: Duration = Duration::from_secs(2);

/// Loads the configuration, starts the daemon, reads again what can be reloaded on SIGHUP, and drains it on SIGINT or
/// SIGTERM.
pub(super) fn run(sources: &Sources) -> anyhow::Result<()> {
    let deployment = load(sources)?;
    crate::telemetry::launch();
    // The one TLS implementation of the process; a second installation attempt can only come from a test.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    let served = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let daemon = Daemon::start(deployment, Options::default()).await?;
        loop {
            tokio::select! {
                _ = interrupt.recv() => break tracing::info!("SIGINT: shutting down"),
                _ = terminate.recv() => break tracing::info!("SIGTERM: shutting down"),
                _ = hangup.recv() => {
                    tracing::info!("SIGHUP: reading the configuration again");
                    if let Err(error) = reload(&daemon, sources).await {
                        tracing::error!("not reloaded, all stays as it was: {error:#}");
                    }
                }
            }
        }
        daemon.shutdown().await;
        tracing::info!("stopped");
        Ok(())
    });
    // A thread may still wait for a file, or for another daemon's build: that is no reason to stay.
    runtime.shutdown_timeout(LAST_FILES);
    served
}

fn load(sources: &Sources) -> anyhow::Result<Deployment> {
    sources.load(Mode::Strict).map_err(|problems| anyhow!("configuration refused\n{problems}"))
}

async fn reload(daemon: &Daemon, sources: &Sources) -> anyhow::Result<()> {
    let sources = sources.clone();
    daemon.reload(tokio::task::spawn_blocking(move || load(&sources)).await??).await
}
