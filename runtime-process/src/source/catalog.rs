//! The catalog a provider writes about itself.

use super::phase;
use crate::confined::{Confine, Extent};
use crate::environment::inherited;
use crate::error::ProcessError;
use crate::spec::AppCommand;
use gestalt_core::AppName;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// From the start of the process to its end. One that ignores the request and serves instead is stopped by this.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Largest catalog read.
const MAX_CATALOG: u64 = 16 << 20;

/// Where a catalog is written in a cell. It is read there as well, by what confines, and comes out over a socket.
const IN_CELL: &str = "/tmp/catalog.yaml";

/// Has the app's command write its static catalog, and reads it. The caller parses it: it is YAML.
///
/// The variable that asks for it has two names, by the age of the SDK; both are set. The process sees of the daemon's
/// environment what it would see if it served, and the entry's `env`; and is confined as it would be. `scratch` is a
/// directory of the daemon's own.
///
/// # Errors
/// When the command fails, takes longer than a minute, or writes no regular file, or one larger than 16 MiB or not text.
pub async fn export(
    command: &AppCommand,
    app: &AppName,
    env: &BTreeMap<String, String>,
    scratch: &Path,
    confine: Option<&Confine>,
) -> Result<String, ProcessError> {
    // A place of this export's own: another daemon on the same directory may be asking at the same time.
    let private = tempfile::Builder::new().prefix(".catalog-").tempdir_in(scratch);
    let private = private.map_err(|error| refused(scratch, &error.to_string()))?;
    let written = match confine {
        Some(_) => PathBuf::from(IN_CELL),
        None => private.path().join("catalog.yaml"),
    };
    let mut all = inherited(|name| std::env::var_os(name));
    all.extend(command.env.iter().chain(env).map(|(name, value)| (name.into(), value.into())));
    for era in ["APP", "PLUGIN"] {
        all.insert(format!("GESTALT_{era}_NAME").into(), app.as_str().into());
        all.insert(format!("GESTALT_{era}_WRITE_CATALOG").into(), written.clone().into());
    }
    // Also where it is confined: how that is done is no operator's concern.
    let line = phase::command_line(&command.builder(BTreeMap::new()));
    let bytes = match confine {
        None => {
            phase::run("catalog", line, command.builder(all), TIMEOUT).await?;
            super::read_regular(&written, MAX_CATALOG).map_err(|why| refused(&written, &why))?
        }
        Some(confine) => {
            let extent = Extent { collect: Some(written.clone()), ..Extent::default() };
            let (builder, threshold) = confine.prepare(app, command, all, extent)?;
            let left = phase::run_confined("catalog", line, builder, threshold, TIMEOUT).await?;
            left.map_err(|why| refused(&written, &why))?
        }
    };
    String::from_utf8(bytes).map_err(|_| refused(&written, "it is not text"))
}

fn refused(path: &Path, why: &str) -> ProcessError {
    ProcessError::Package { path: path.to_owned(), reason: why.to_owned() }
}
