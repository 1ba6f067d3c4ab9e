//! `gestaltd provider`: what concerns one package.

use super::{Sources, fail, say, say_json};
use crate::verify::{self, Subject, Target};
use clap::Subcommand;
use gestalt_config::Mode;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum Provider {
    /// Try to get past egress.allowedHosts, and report what came of it.
    ///
    /// Lists what the component can import and runs a corpus of attacks in this build under the app's own rules; for a
    /// native app, in the app's own cell. Nothing is sent to anybody, and the app's own code does not run. Exits with 0 when the boundary holds, with 1 when it does
    /// not, and with 2 when there was nothing to verify.
    VerifyEgress {
        /// A component, a manifest or its directory; or an app of the configuration.
        target: String,
        #[command(flatten)]
        sources: Sources,
        /// Print the report as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// The boundary does not hold.
const BROKEN: u8 = 1;
/// Nothing was verified.
pub(super) const UNUSABLE: u8 = 2;

/// Runs the command.
pub(super) fn run(provider: Provider) -> ExitCode {
    let Provider::VerifyEgress { target, sources, json } = provider;
    match verify(target, &sources) {
        Ok(report) => {
            match json {
                true => say_json(&report),
                false => say(std::io::stdout(), &report.to_string()),
            }
            if report.holds { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) }
        }
        Err(error) => {
            fail(&error);
            ExitCode::from(UNUSABLE)
        }
    }
}

fn verify(target: String, sources: &Sources) -> anyhow::Result<verify::Report> {
    // Without --config a file or package is verified under a sample; an app needs the configuration that has it.
    let deployment = if sources.config.is_empty() && std::path::Path::new(&target).exists() {
        None
    } else {
        let loaded = sources.load(Mode::Lenient);
        Some(loaded.map_err(|problems| anyhow::anyhow!("configuration refused\n{problems}"))?)
    };
    let subject = Subject::find(Target { name: target, deployment })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(verify::run(subject))
}
