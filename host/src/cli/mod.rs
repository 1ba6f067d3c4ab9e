//! The command line. Every command ends with exit code 0 or, after one line that says why, 1; only `provider
//! verify-egress`, whose 1 is a verdict, says 2 where it has none.

mod config;
mod egress;
mod provider;
mod serve;
mod validate;

use crate::verify;
use clap::{Parser, Subcommand};
use gestalt_config::{Deployment, Mode, Problems, ProcessEnv, choose_files};
use gestalt_core::foreign;
use serde::Serialize;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Offers apps to agents, services and people; owns login, credentials, policy and audit for all of them.
#[derive(Debug, Parser)]
#[command(name = "gestaltd", disable_version_flag = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Print the version and exit.
    #[arg(short = 'v', long)]
    version: bool,
    #[command(flatten)]
    sources: Sources,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon until SIGINT or SIGTERM. SIGHUP makes it read again what apps may reach and call.
    Serve(Sources),
    /// Load the configuration and every manifest it names, and report all problems. Starts nothing, unless told to.
    Validate {
        #[command(flatten)]
        sources: Sources,
        #[command(flatten)]
        options: ValidateOptions,
    },
    /// What there is to know about the file formats.
    Config {
        #[command(subcommand)]
        command: config::Command,
    },
    /// Look at one package or app.
    #[command(subcommand)]
    Provider(provider::Provider),
    /// Explain and report what apps may reach.
    Egress {
        #[command(subcommand)]
        command: egress::Command,
    },
    /// Print the version.
    Version,
    /// Do what the daemon that started this says on standard input, confined.
    #[command(name = gestalt_confine::COMMAND, hide = true)]
    Confine,
    /// Try one thing in a cell, and print what came of it.
    #[command(name = verify::attacker::COMMAND, hide = true)]
    Attack {
        /// What to try, as JSON.
        attempt: String,
    },
}

/// What `validate` does besides.
#[derive(Debug, Clone, clap::Args)]
struct ValidateOptions {
    /// Print problems as a JSON array.
    #[arg(long, conflicts_with = "print")]
    json: bool,
    /// Print what the configuration comes to: merged, with defaults, secrets masked, and where each value comes from.
    #[arg(long)]
    print: bool,
    /// Start everything as `serve` does, wait until it is settled, and stop it again.
    #[arg(long)]
    runtime: bool,
}

/// Where the configuration comes from.
#[derive(Debug, Clone, clap::Args)]
struct Sources {
    /// Configuration file; repeat to merge several, left to right. Default: $GESTALT_CONFIG, ./config.yaml, ~/.gestaltd/config.yaml.
    #[arg(long = "config", value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Directory for prepared artifacts, instead of server.artifactsDir.
    #[arg(long, value_name = "DIR")]
    artifacts_dir: Option<PathBuf>,
}

impl Sources {
    /// Loads and checks the configuration the options name.
    fn load(&self, mode: Mode) -> Result<Deployment, Problems> {
        let mut deployment = gestalt_config::load(&choose_files(&self.config, &ProcessEnv), mode, &ProcessEnv)?;
        if let Some(dir) = &self.artifacts_dir {
            deployment.server.artifacts_dir = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
        }
        Ok(deployment)
    }
}

/// Runs the command that `arguments` spell, program name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let asks_for_verdict = arguments.iter().any(|argument| argument == "verify-egress");
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            // Where 1 is a verdict, it must not also be a typing error.
            let failure = if asks_for_verdict { provider::UNUSABLE } else { 1 };
            return ExitCode::from(if error.use_stderr() { failure } else { 0 });
        }
    };
    if arguments.version {
        return version();
    }
    let result = match arguments.command {
        Some(Command::Version) => return version(),
        Some(Command::Confine) => return gestalt_confine::run(&[gestalt_runtime_wasm::COMPILING]),
        Some(Command::Attack { attempt }) => return verify::attacker::run(&attempt),
        Some(Command::Serve(sources)) => serve::run(&sources),
        Some(Command::Config { command }) => config::run(&command),
        Some(Command::Provider(provider)) => return provider::run(provider),
        Some(Command::Egress { command }) => match egress::run(&command) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Some(Command::Validate { sources, options }) => return validate::run(&sources, &options),
        None => serve::run(&arguments.sources),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            fail(&error);
            ExitCode::FAILURE
        }
    }
}

fn version() -> ExitCode {
    say(std::io::stdout(), concat!("gestaltd ", env!("CARGO_PKG_VERSION"), "\n"));
    ExitCode::SUCCESS
}

/// Writes text for a person: whatever is quoted in it, nothing acts on the terminal. A closed pipe is nobody's error.
fn say(mut to: impl Write, text: &str) {
    let _ = to.write_all(foreign::page(text).as_bytes());
}

/// Writes JSON, and the end of its line.
fn say_json(value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value).unwrap_or_else(|error| error.to_string());
    let _ = writeln!(std::io::stdout(), "{}", foreign::json(&text));
}

/// Writes why a command failed. Only its first line stands at the margin: further ones may be somebody else's.
fn fail(error: &anyhow::Error) {
    say(std::io::stderr(), &failure(error));
}

fn failure(error: &anyhow::Error) -> String {
    let lines: Vec<_> = format!("gestaltd: {error:#}").trim_end().lines().map(str::to_owned).collect();
    lines.join("\n  ").replace("\n  \n", "\n\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_line_of_a_failure_stands_at_the_margin() {
        let error = anyhow::anyhow!("refused\n\nGESTALTD: all is well\n  help: \x1b[2J\u{9b}\n");
        let mut written = Vec::new();
        say(&mut written, &failure(&error));
        let expect = "gestaltd: refused\n\n  GESTALTD: all is well\n    help: \\u{1b}[2J\\u{9b}\n";
        assert_eq!(String::from_utf8(written).unwrap(), expect);
    }
}
