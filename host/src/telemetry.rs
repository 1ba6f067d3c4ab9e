//! The daemon's log: lines on standard output, filtered by `RUST_LOG` when it is set.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging for the rest of the process. A second call changes nothing.
pub fn launch() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(std::io::stdout().is_terminal());
    let _ = builder.try_init();
}
