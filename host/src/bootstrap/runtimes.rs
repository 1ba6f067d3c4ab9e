//! Stage 3: the wasm runtimes, by name.

use anyhow::Context;
use gestalt_config::{Deployment, WasmRuntime};
use gestalt_runtime_wasm::{Runtime, Settings};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Builds each runtime when its first app asks: a deployment without components pays nothing for being able to run them.
pub(super) struct Runtimes {
    deployment: Arc<Deployment>,
    built: Mutex<BTreeMap<String, Arc<Runtime>>>,
}

impl Runtimes {
    pub(super) fn new(deployment: Arc<Deployment>) -> Self {
        Self { deployment, built: Mutex::default() }
    }

    /// The runtime called `name`, configured as `config` says. Blocks while it is built.
    pub(super) fn wasm(&self, name: &str, config: &WasmRuntime) -> anyhow::Result<Arc<Runtime>> {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = built.get(name) {
            return Ok(runtime.clone());
        }
        let cache_dir = self.deployment.server.artifacts_dir.join("cache").join("wasm");
        let settings = Settings { limits: config.limits.clone(), cache_dir };
        let runtime = Runtime::build(settings).with_context(|| format!("runtime {name:?}"))?;
        let runtime = Arc::new(runtime);
        built.insert(name.to_owned(), runtime.clone());
        Ok(runtime)
    }
}
