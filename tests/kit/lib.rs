//! What tests and benches boot a daemon with.
//!
//! * [`TestHost`]: the real daemon in this process, on an address of its own, from the text of a config file.
//! * [`Served`]: the real binary as a process, for what only a process can show: signals, exit codes, children.
//! * [`Client`]: calls either over HTTP. [`Upstream`]: a server for apps to call, which remembers what it was asked.
//! * [`Names`]: a resolver that knows what it is told and remembers what it was asked. [`Audit`]: the records taken.
//! * [`examples`]: the example apps as configuration. [`eventually`]: waiting for what nobody announces.
//!
//! Everything panics on failure: a kit is there to fail tests.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step of a test is a failed test")]

mod audit;
mod client;
pub mod examples;
mod host;
mod names;
mod served;
mod upstream;

pub use audit::Audit;
pub use client::{Answer, Client, Connection};
pub use host::TestHost;
pub use names::Names;
pub use served::{Exit, Served, is_alive, run};
pub use upstream::{Asked, Upstream};

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The longest anything in a test may take: compiling a 20 MB component without optimisation on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().canonicalize().unwrap()
}

/// Cargo's target directory, found from where the running test or bench lies: `<target>/<profile>/deps/<binary>`.
pub fn target_dir() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}

/// The `gestaltd` binary of the same profile as the running test or bench.
pub fn gestaltd() -> PathBuf {
    let binary = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("gestaltd");
    assert!(binary.exists(), "{} is missing; `make test` builds it first", binary.display());
    binary
}

/// What tests keep from run to run. Compiled components, above all: they are looked up by content, so a stale one
/// cannot be found, and compiling the one in Python takes longer than most tests together.
pub fn artifacts_dir() -> PathBuf {
    let dir = target_dir().join("gestalt-tests");
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// Waits until `probe` finds something, by asking again and again: for what cannot be subscribed to, such as another
/// process. Fails after [`PATIENCE`].
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut probe: impl FnMut() -> F) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited for {what} for {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
