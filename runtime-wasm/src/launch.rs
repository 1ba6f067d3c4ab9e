//! From a component file to an executor.

use crate::bindings::GuestPre;
use crate::breaker::Breaker;
use crate::executor::{Callee, Instances, WasmExecutor};
use crate::gate::Gate;
use crate::instance::{Instance, Maker, Standby};
use crate::log::AppLog;
use crate::state::AppHost;
use crate::{LAUNCHES, Runtime, WasmError, catalog, linker, vet};
use gestalt_core::egress::Outbound;
use gestalt_core::limits::{Isolation, Limits};
use gestalt_core::service::HostServices;
use gestalt_core::{AppName, Catalog, ExecError, Executor};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Mutex, SemaphorePermit};
use wasmtime::component::Component;

/// Stacks of one instance: a call's, and a second for the moment a refused import gives back what it was lent.
const STACKS: u32 = 2;

/// One app to be launched.
pub struct AppSpec {
    /// Its name in the config; what the component is told it is called.
    pub app: AppName,
    /// The component file.
    pub component: PathBuf,
    /// `apps.<name>.config`, handed to the component as JSON text when it starts.
    pub config: Option<Value>,
    /// `apps.<name>.env`: the whole environment the component sees.
    pub env: BTreeMap<String, String>,
    /// Its bounds.
    pub limits: Limits,
    /// Its way out. The component has no other.
    pub outbound: Arc<dyn Outbound>,
    /// What it may ask of the host.
    pub services: HostServices,
    /// `server.baseUrl`, or empty: told to the component when it is asked something outside of a call. In a call, the
    /// call's own context says it.
    pub public_base_url: Arc<str>,
}

impl Runtime {
    /// Loads, checks and starts an app.
    ///
    /// Reads the component, compiles it unless the cache has it, vets its imports and exports, and starts a first
    /// instance: an app that cannot start is found out here, not by its first caller.
    ///
    /// # Errors
    /// [`WasmError`] says at which of these steps, and why.
    pub async fn launch(&self, spec: AppSpec) -> Result<Arc<dyn Executor>, WasmError> {
        self.check(&spec.limits)?;
        let component = self.components.load(spec.component.clone()).await?;
        let weight = self.weight(&component);
        // Until it stands by, a first instance needs slots of the pool besides those of calls and standbys.
        let _place = self.place(weight).await?;
        let has_stubs = vet::check(&self.engine, &component)?;
        let mismatch = |e: wasmtime::Error| WasmError::Mismatch(format!("{e:#}"));
        let pre = linker::resolve(&self.linker, &component, has_stubs).map_err(mismatch)?;
        let pre = GuestPre::new(pre).map_err(mismatch)?;
        let log = AppLog::new(spec.app.clone(), spec.services.logs.clone(), self.meter.clone(), &spec.limits);
        let host = AppHost {
            log: Arc::new(log),
            meter: self.meter.clone(),
            tick: self.limits.epoch_interval,
            name: spec.app,
            env: spec.env.into_iter().collect(),
            limits: spec.limits,
            outbound: spec.outbound,
            services: spec.services,
            public_base_url: spec.public_base_url,
        };
        let config = spec.config.map(|config| config.to_string());
        let maker = Maker { engine: self.engine.clone(), _component: component, pre, host: Arc::new(host), config };
        self.start(Arc::new(maker), weight).await
    }

    /// The bounds of an app that the runtime's own must cover.
    fn check(&self, limits: &Limits) -> Result<(), WasmError> {
        let (pool, most) = (&self.limits.pool, self.limits.max_timeout);
        let fits = |fits: bool, what, asked: String, most_name, most: String| {
            if fits { Ok(()) } else { Err(WasmError::Limits { what, asked, most_name, most }) }
        };
        let (memory, elements) = (limits.memory, limits.table_elements);
        fits(memory <= pool.memory, "memory", memory.to_string(), "pool.memory", pool.memory.to_string())?;
        let (asked, slot) = (elements.to_string(), pool.table_elements.to_string());
        fits(elements <= pool.table_elements, "tableElements", asked, "pool.tableElements", slot)?;
        let (asked, longest) = (format!("{:?}", limits.timeout), format!("{most:?}"));
        fits(limits.timeout <= most, "timeout", asked, "maxTimeout", longest)
    }

    /// How many even shares of the pool one instance of a component takes.
    ///
    /// The pool has slots for instances, memories, tables and stacks, and places are counted in instances: without this,
    /// an app of four memories would leave the others without any long before it has its number of calls.
    fn weight(&self, component: &Component) -> u32 {
        let pool = &self.limits.pool;
        let shares = |needed: u32, slots: u32| {
            u64::from(needed).saturating_mul(pool.instances.into()).div_ceil(u64::from(slots.max(1)))
        };
        let needed = component.resources_required();
        let (memories, tables) = needed.map_or((1, 1), |needed| (needed.num_memories, needed.num_tables));
        let weight = shares(memories, pool.memories).max(shares(tables, pool.tables)).max(shares(STACKS, pool.stacks));
        u32::try_from(weight).unwrap_or(u32::MAX).clamp(1, u32::try_from(self.all_calls).unwrap_or(u32::MAX))
    }

    async fn place(&self, weight: u32) -> Result<SemaphorePermit<'_>, WasmError> {
        let places = weight.min(LAUNCHES as u32);
        self.launches.acquire_many(places).await.map_err(|e| WasmError::Engine(e.to_string()))
    }

    /// Starts the first instance, which becomes the first to stand by.
    async fn start(&self, maker: Arc<Maker>, weight: u32) -> Result<Arc<dyn Executor>, WasmError> {
        let (instance, metadata) = maker.introduced().await.map_err(|e: ExecError| WasmError::Start(e.to_string()))?;
        catalog::presentation(&metadata).map_err(WasmError::Catalog)?;
        let limits = &maker.host.limits;
        let has_session_catalog = metadata.supports_session_catalog;
        let mut catalog = Catalog::default();
        let mut is_catalog_complete = false;
        if let Some(wit) = metadata.static_catalog {
            catalog = catalog::checked(wit).map_err(WasmError::Catalog)?;
            is_catalog_complete = !has_session_catalog;
        }
        if catalog.display_name.is_empty() {
            catalog.display_name = metadata.display_name;
        }
        if catalog.description.is_empty() {
            catalog.description = metadata.description;
        }
        let (places, instances) = match limits.isolation {
            Isolation::Invocation => {
                let share = self.share(self.all_calls, weight);
                (limits.concurrency.min(share), self.standing_by(&maker, instance, weight))
            }
            Isolation::App => (1, self.kept(instance, weight)?),
        };
        let gate = Gate::new(places, limits, self.calls.clone(), weight);
        let breaker = Breaker::new(limits.breaker.clone(), Instant::now());
        let catalog = Arc::new(catalog);
        Ok(Arc::new(WasmExecutor {
            callee: Arc::new(Callee { maker, instances }),
            breaker,
            gate,
            lane: self.lane.clone(),
            is_slow: Arc::default(),
            catalog,
            is_catalog_complete,
            has_session_catalog,
        }))
    }

    /// What one app may have of what all share, in instances, at least one.
    fn share(&self, all: usize, weight: u32) -> usize {
        (all * self.limits.pool.share as usize / 100 / weight as usize).max(1)
    }

    /// One that has started is enough until the app is called: an app nobody calls should cost no more.
    fn standing_by(&self, maker: &Arc<Maker>, first: Instance, weight: u32) -> Instances {
        let target = maker.host.limits.standby.min(self.share(self.all_standbys, weight));
        let slots = self.standby_slots.clone();
        let standby = Standby::new(maker.clone(), self.lane.clone(), target, slots, weight);
        standby.put(first);
        Instances::Fresh(standby)
    }

    fn kept(&self, first: Instance, weight: u32) -> Result<Instances, WasmError> {
        match self.standby_slots.clone().try_acquire_many_owned(weight) {
            Ok(slot) => Ok(Instances::Kept { instance: Mutex::new(Some(first)), _slot: slot }),
            Err(_) => Err(WasmError::Start("no place is left in pool.instances for an instance of its own".into())),
        }
    }
}
