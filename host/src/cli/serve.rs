//! `gestaltd serve`: run until told to stop.

use super::Sources;
use crate::bootstrap::{Daemon, Options};
use anyhow::Context;
use gestalt_config::Mode;
use tokio::signal::unix::{SignalKind, signal};

/// Loads the configuration, starts the daemon and drains it on SIGINT or SIGTERM.
pub(super) fn run(sources: &Sources) -> anyhow::Result<()> {
    let deployment =
        sources.load(Mode::Strict).map_err(|problems| anyhow::anyhow!("configuration refused\n{problems}"))?;
    crate::telemetry::launch();
    // The one TLS implementation of the process; a second installation attempt can only come from a test.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let daemon = Daemon::start(deployment, Options::default()).await?;
        tokio::select! {
            _ = interrupt.recv() => tracing::info!("SIGINT: shutting down"),
            _ = terminate.recv() => tracing::info!("SIGTERM: shutting down"),
        }
        daemon.shutdown().await;
        tracing::info!("stopped");
        Ok(())
    })
}
