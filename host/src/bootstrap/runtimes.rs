//! Stage 3: the wasm runtimes, by name.

use anyhow::Context;
use gestalt_config::{Deployment, WasmRuntime};
use gestalt_core::metrics::Meter;
use gestalt_runtime_wasm::{Runtime, Settings};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Builds each runtime when its first app asks: a deployment without components pays nothing for being able to run them.
pub(super) struct Runtimes {
    deployment: Arc<Deployment>,
    /// The binary that compiles components.
    worker: PathBuf,
    meter: Arc<dyn Meter>,
    built: Mutex<BTreeMap<String, Arc<Runtime>>>,
}

impl Runtimes {
    pub(super) fn new(deployment: Arc<Deployment>, worker: PathBuf, meter: Arc<dyn Meter>) -> Self {
        Self { deployment, worker, meter, built: Mutex::default() }
    }

    /// The runtime called `name`, configured as `config` says. Blocks while it is built.
    pub(super) fn wasm(&self, name: &str, config: &WasmRuntime) -> anyhow::Result<Arc<Runtime>> {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = built.get(name) {
            return Ok(runtime.clone());
        }
        let cache_dir = self.deployment.server.artifacts_dir.join("cache").join("wasm");
        let (limits, worker, meter) = (config.limits.clone(), self.worker.clone(), self.meter.clone());
        let settings = Settings { limits, cache_dir, worker, meter };
        let runtime = Runtime::build(settings).with_context(|| format!("runtime {name:?}"))?;
        let runtime = Arc::new(runtime);
        built.insert(name.to_owned(), runtime.clone());
        Ok(runtime)
    }
}

/// The binary this process runs, under the one name that still leads to it when the file was replaced by an upgrade.
pub(crate) fn this_binary() -> PathBuf {
    let own = PathBuf::from("/proc/self/exe");
    if own.exists() { own } else { std::env::current_exe().unwrap_or(own) }
}
