//! `gestaltd validate`: everything that can be known without starting anything; with `--runtime`, whether all comes up.

use super::{Sources, ValidateOptions, fail, say, say_json};
use crate::bootstrap::{Daemon, Options};
use anyhow::{Context, bail};
use gestalt_config::{Deployment, Findings, Mode, Problem, Problems};
use gestalt_invoke::AppState;
use serde::Serialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

/// A problem for machines.
#[derive(Serialize)]
struct Line<'a> {
    severity: &'static str,
    #[serde(flatten)]
    problem: &'a Problem,
}

/// Reports all problems of the configuration and of every package it names on this machine.
pub(super) fn run(sources: &Sources, options: &ValidateOptions) -> ExitCode {
    // A start needs every variable; a look does not.
    let mode = if options.runtime { Mode::Strict } else { Mode::Lenient };
    let (deployment, found) = match sources.load(mode) {
        Ok(deployment) => check(deployment),
        Err(errors) => (None, Findings { errors, warnings: Problems::default() }),
    };
    tell(&found, options, deployment.as_ref());
    let Some(deployment) = deployment.filter(|_| found.errors.is_empty()) else { return ExitCode::FAILURE };
    if options.print {
        say(std::io::stdout(), &deployment.effective());
    }
    if options.runtime
        && let Err(error) = start(deployment)
    {
        fail(&error);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The deployment with its packages.
fn check(deployment: Deployment) -> (Option<Deployment>, Findings) {
    let (_, packages) = deployment.read_packages();
    let mut found = Findings { errors: packages.errors, warnings: deployment.warnings.clone() };
    found.warnings.extend(packages.warnings);
    (Some(deployment), found)
}

/// Errors and warnings, for people or for machines.
fn tell(found: &Findings, options: &ValidateOptions, deployment: Option<&Deployment>) {
    if options.json {
        let line = |severity| move |problem| Line { severity, problem };
        let (errors, warnings) = (found.errors.iter().map(line("error")), found.warnings.iter().map(line("warning")));
        let lines: Vec<_> = errors.chain(warnings).collect();
        return say_json(&lines);
    }
    for warning in found.warnings.iter() {
        say(std::io::stderr(), &format!("warning: {warning}\n\n"));
    }
    if !found.errors.is_empty() {
        say(std::io::stderr(), &format!("{}\n", found.errors));
    } else if !options.print {
        let apps = deployment.map_or(0, |d| d.apps.len());
        say(std::io::stdout(), &format!("config ok: {apps} app(s)\n"));
    }
}

/// Starts everything, waits until no app is starting any more, and stops it again. Nobody but this machine can reach it,
/// and it does not take the ports of a daemon that runs already.
///
/// # Errors
/// When the daemon does not start, or an app does not come up.
fn start(mut deployment: Deployment) -> anyhow::Result<()> {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    deployment.server.public = nobody;
    if let Some(management) = &mut deployment.server.management {
        management.address = nobody;
    }
    crate::telemetry::launch();
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    runtime.block_on(async {
        let daemon = Daemon::start(deployment, Options::default()).await?;
        daemon.ready().await;
        let states = daemon.invoker().apps().list().into_iter();
        let down: Vec<String> = states
            .filter_map(|(name, _, state)| match state {
                AppState::Failed(reason) => Some(format!("app {name}: {reason}")),
                _ => None,
            })
            .collect();
        daemon.shutdown().await;
        match down.as_slice() {
            [] => Ok(()),
            down => bail!("{} app(s) did not come up\n{}", down.len(), down.join("\n")),
        }
    })
}
