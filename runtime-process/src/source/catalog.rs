//! The catalog a provider writes about itself.

use super::phase;
use crate::environment::inherited;
use crate::error::{Output, ProcessError};
use crate::sandbox::{Confine, Gate, View};
use crate::spec::AppCommand;
use gestalt_core::AppName;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// From the start of the process to its end. One that ignores the request and serves instead is stopped by this.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Largest catalog read.
const MAX_CATALOG: u64 = 16 << 20;

/// Has the app's command write its static catalog, reads it, and leaves it at `path`, whose directory exists. The caller
/// parses it: it is YAML.
///
/// The variable that asks for it has two names, by the age of the SDK; both are set. The process sees of the daemon's
/// environment what it would see if it served, and the entry's `env`; and is confined as it would be.
///
/// # Errors
/// When the command fails, takes longer than a minute, or writes no file, or one larger than 16 MiB or not text.
pub async fn export(
    command: &AppCommand,
    app: &AppName,
    env: &BTreeMap<String, String>,
    path: &Path,
    confine: Option<&Confine>,
) -> Result<String, ProcessError> {
    let fail = |error: std::io::Error| ProcessError::Package { path: path.to_owned(), reason: error.to_string() };
    // A place of this export's own: another daemon on the same directory may be asking at the same time.
    let beside = path.parent().unwrap_or(Path::new("."));
    let private = tempfile::Builder::new().prefix(".catalog-").tempdir_in(beside).map_err(fail)?;
    let written = private.path().join("catalog.yaml");
    let mut all = inherited(|name| std::env::var_os(name));
    all.extend(command.env.iter().chain(env).map(|(name, value)| (name.into(), value.into())));
    for era in ["APP", "PLUGIN"] {
        all.insert(format!("GESTALT_{era}_NAME").into(), app.as_str().into());
        all.insert(format!("GESTALT_{era}_WRITE_CATALOG").into(), written.clone().into());
    }
    let unconfined = builder(command, all.clone());
    // Also where it is confined: how that is done is no operator's concern.
    let line = phase::command_line(&unconfined);
    match confine {
        None => phase::run("catalog", line, unconfined, Stdio::null(), TIMEOUT).await?,
        Some(confine) => {
            let view = View { write: vec![private.path().to_owned()], ..View::default() };
            let mut gate = Gate::build(confine, app, command, &all, env, view)?;
            let (builder, stdin) = (builder(&gate.command, all), gate.stdin());
            let passed = async {
                let passage = gate.pass().await?;
                // Its way out, for as long as it runs.
                std::future::pending::<()>().await;
                drop(passage);
                Ok::<(), String>(())
            };
            tokio::select! {
                biased;
                Err(reason) = passed => return Err(ProcessError::Sandbox { reason, output: Output::default() }),
                ran = phase::run("catalog", line, builder, stdin, TIMEOUT) => ran?,
            }
        }
    }
    let mut text = String::new();
    let file = tokio::fs::File::open(&written).await.map_err(fail)?;
    let read = file.take(MAX_CATALOG + 1).read_to_string(&mut text).await.map_err(fail)?;
    if read as u64 > MAX_CATALOG {
        return Err(fail(std::io::Error::other("catalog is larger than 16 MiB")));
    }
    tokio::fs::rename(&written, path).await.map_err(fail)?;
    Ok(text)
}

fn builder(command: &AppCommand, env: BTreeMap<OsString, OsString>) -> Command {
    let mut builder = Command::new(&command.program);
    builder.args(&command.args).current_dir(&command.workdir).env_clear().envs(env);
    builder
}
