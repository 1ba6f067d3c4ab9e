//! The catalog a provider writes about itself.

use super::phase;
use crate::environment::inherited;
use crate::error::ProcessError;
use crate::spec::AppCommand;
use gestalt_core::AppName;
use std::collections::BTreeMap;
use std::path::Path;
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
/// environment what it would see if it served, and the entry's `env`.
///
/// # Errors
/// When the command fails, takes longer than a minute, or writes no file, or one larger than 16 MiB or not text.
pub async fn export(
    command: &AppCommand,
    app: &AppName,
    env: &BTreeMap<String, String>,
    path: &Path,
) -> Result<String, ProcessError> {
    let fail = |error: std::io::Error| ProcessError::Package { path: path.to_owned(), reason: error.to_string() };
    // A place of this export's own: another daemon on the same directory may be asking at the same time.
    let beside = path.parent().unwrap_or(Path::new("."));
    let private = tempfile::Builder::new().prefix(".catalog-").tempdir_in(beside).map_err(fail)?;
    let written = private.path().join("catalog.yaml");
    let mut builder = Command::new(&command.program);
    builder
        .args(&command.args)
        .current_dir(&command.workdir)
        .env_clear()
        .envs(inherited(|name| std::env::var_os(name)))
        .envs(&command.env)
        .envs(env)
        .envs([("GESTALT_APP_NAME", app.as_str()), ("GESTALT_PLUGIN_NAME", app.as_str())])
        .envs([("GESTALT_APP_WRITE_CATALOG", &written), ("GESTALT_PLUGIN_WRITE_CATALOG", &written)]);
    phase::run("catalog", builder, TIMEOUT).await?;
    let mut text = String::new();
    let file = tokio::fs::File::open(&written).await.map_err(fail)?;
    let read = file.take(MAX_CATALOG + 1).read_to_string(&mut text).await.map_err(fail)?;
    if read as u64 > MAX_CATALOG {
        return Err(fail(std::io::Error::other("catalog is larger than 16 MiB")));
    }
    tokio::fs::rename(&written, path).await.map_err(fail)?;
    Ok(text)
}
