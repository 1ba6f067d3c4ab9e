//! Apps as WebAssembly components.
//!
//! A [`Runtime`] is one engine with its instance pool and compile cache. [`Runtime::launch`] makes an app of a component
//! file: compiled ahead of time, vetted, started. What comes back is an [`Executor`](gestalt_core::Executor); what runs
//! behind it is, for each call, an instance that has never seen another call.
//!
//! ```text
//!  file ─ size, header, sha256 ─► cache ─ hit: authenticated, mapped ─┐
//!                                   └ miss: worker ─► stored ─────────┤
//!                                                                     ▼
//!           vet (imports, world) ─► linker ─► first instance: get-metadata, start-provider
//!                                                                     │
//!  call ─► breaker ─► gate (places, queue) ─► instance standing by ─► execute ─► reply within bounds ─► instance dropped
//!                                       ▲ made in the background
//! ```
//!
//! * `components`, `compile`, `cache` (in its `room`), `engine`: from bytes to code. `worker`: the process that parses and
//!   compiles, confined by `gestalt-confine`. `vet`, `linker`, `host`: what that code can reach.
//! * `instance`, `lease`, `gate`, `breaker`, `lane`, `limits`, `log`: one call, and what bounds it. `catalog`, `convert`: what
//!   it answers.
//!
//! **Invariant:** no type of wasmtime leaves this crate, but for [`bench`].
//! **Invariant:** a guest reaches what `vet` lists. Its network is the app's `Outbound`, its authority the `context` handle
//! the host made for the call.
//! **Invariant:** every store is used for one app only, and never again after a trap, a timeout or a dropped call.
//! **Invariant:** the daemon parses no byte of a component. A worker does, a child process without files and network,
//! bounded in memory and time.
//! **Invariant:** native code is mapped in one place, `cache`, after its authentication. It is the only unsafe code.

mod bindings;
mod breaker;
mod cache;
mod catalog;
mod compile;
mod components;
mod convert;
mod engine;
mod error;
mod executor;
mod gate;
mod host;
mod inspect;
mod instance;
mod lane;
mod launch;
mod lease;
mod limits;
mod linker;
mod log;
mod room;
mod state;
mod trap;
mod vet;
mod worker;

pub use error::WasmError;
pub use inspect::{Import, Inspection, Reach};
pub use launch::AppSpec;
pub use worker::COMPILING;

use cache::Cache;
use compile::Compiler;
use components::Components;
use gestalt_core::limits::RuntimeLimits;
use gestalt_core::metrics::Meter;
use lane::Lane;
use state::State;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Linker;

/// Apps being launched at once. A launch is work for one thread, then for the compiler's; more would only take longer.
const LAUNCHES: usize = 4;

/// What a runtime is made from.
#[derive(Clone)]
pub struct Settings {
    /// Bounds its apps share.
    pub limits: RuntimeLimits,
    /// Directory of compiled components and of the key that authenticates them. Made if missing, private (0700).
    pub cache_dir: PathBuf,
    /// The binary that compiles: one that calls `gestalt_confine::run` with [`COMPILING`] when its first argument is
    /// `gestalt_confine::COMMAND`, and was built with this very crate.
    pub worker: PathBuf,
    /// Takes what happens to the apps.
    pub meter: Arc<dyn Meter>,
}

/// An engine, and what the apps on it share.
pub struct Runtime {
    engine: Engine,
    linker: Linker<State>,
    limits: RuntimeLimits,
    components: Components,
    meter: Arc<dyn Meter>,
    lane: Arc<Lane>,
    /// How many calls and how many waiting instances there can be, of all apps, if each has one even share of the pool.
    all_calls: usize,
    all_standbys: usize,
    /// Calls in progress, of all apps.
    calls: Arc<Semaphore>,
    /// Instances that wait for calls: what the pool has beyond those in use.
    standby_slots: Arc<Semaphore>,
    launches: Semaphore,
}

impl Runtime {
    /// Makes the engine, reserves the pool's address space, opens the cache.
    ///
    /// # Errors
    /// When the machine cannot give the address space, or the cache directory cannot be used.
    pub fn build(settings: Settings) -> Result<Self, WasmError> {
        let Settings { limits, cache_dir, worker, meter } = settings;
        let engine = engine::build(&limits)?;
        let linker = linker::shared(&engine).map_err(|e| WasmError::Engine(format!("{e:#}")))?;
        let cache = Cache::open(cache_dir, engine.clone())?;
        let compiler = Compiler::new(worker, limits.compile.clone());
        let components = Components::new(cache, compiler, meter.clone(), limits.max_component_size);
        let instances = limits.pool.instances as usize;
        let calls = limits.max_concurrency.min(instances.saturating_sub(LAUNCHES)).max(1);
        let spare = instances.saturating_sub(calls + LAUNCHES);
        Ok(Self {
            engine,
            linker,
            limits,
            components,
            meter,
            lane: Arc::default(),
            all_calls: calls,
            all_standbys: spare,
            calls: Arc::new(Semaphore::new(calls)),
            standby_slots: Arc::new(Semaphore::new(spare)),
            launches: Semaphore::new(LAUNCHES),
        })
    }
}

/// For measurements that need an engine like the runtime's own.
#[doc(hidden)]
pub mod bench {
    use gestalt_core::limits::RuntimeLimits;

    /// The settings of a runtime's engine. Its epoch clock is the caller's to drive.
    pub fn engine_config(limits: &RuntimeLimits) -> wasmtime::Config {
        crate::engine::config(limits)
    }
}
