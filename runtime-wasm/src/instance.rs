//! Instances of one app: how they are made, and those that stand by.

use crate::bindings::exports::gestalt::provider::app_provider::Metadata;
use crate::bindings::gestalt::provider::common::RpcError;
use crate::bindings::{Guest, GuestPre};
use crate::components::Loaded;
use crate::lane::{Lane, Laned};
use crate::limits::{CpuClock, Metered};
use crate::state::{AppHost, State};
use crate::{convert, trap};
use gestalt_core::ExecError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::{Engine, Store};

/// One instance of an app.
///
/// **Invariant:** its store has run nothing but this app, and is never used again once a call on it has trapped, timed
/// out or been given up: such a call owns the instance, and drops it.
pub(crate) struct Instance {
    pub(crate) store: Store<State>,
    pub(crate) guest: Guest,
}

impl Instance {
    /// The clock to run a call of it under.
    pub(crate) fn cpu(&self) -> Arc<CpuClock> {
        self.store.data().cpu.clone()
    }

    /// What a call came to, in the executor's words.
    pub(crate) fn settle<T>(&self, outcome: wasmtime::Result<Result<T, RpcError>>) -> Result<T, ExecError> {
        match outcome {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(ExecError::Failed(convert::guest_error(&error))),
            Err(error) => Err(trap::explain(&error, self.store.data())),
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // The last words of a guest that was stopped are in a line it could not end.
        self.store.data().log.end();
    }
}

/// Makes instances of one app.
pub(crate) struct Maker {
    pub(crate) engine: Engine,
    /// Held so that other apps of the same component find it.
    pub(crate) _component: Loaded,
    pub(crate) pre: GuestPre<State>,
    pub(crate) host: Arc<AppHost>,
    /// `apps.<name>.config` as JSON text.
    pub(crate) config: Option<String>,
}

impl Maker {
    /// A new instance that has run `start-provider`.
    pub(crate) async fn started(&self) -> Result<Instance, ExecError> {
        self.in_time(async {
            let mut instance = self.instantiate().await?;
            self.start(&mut instance).await?;
            Ok(instance)
        })
        .await
    }

    /// A new started instance, and how the app describes itself.
    pub(crate) async fn introduced(&self) -> Result<(Instance, Metadata), ExecError> {
        self.in_time(async {
            let mut instance = self.instantiate().await?;
            let provider = instance.guest.gestalt_provider_app_provider().clone();
            let asked = Metered::new(instance.cpu(), provider.call_get_metadata(&mut instance.store)).await;
            let metadata = instance.settle(asked)?;
            self.start(&mut instance).await?;
            Ok((instance, metadata))
        })
        .await
    }

    async fn instantiate(&self) -> Result<Instance, ExecError> {
        let mut store = State::store(&self.engine, self.host.clone());
        let cpu = store.data().cpu.clone();
        match Metered::new(cpu, self.pre.instantiate_async(&mut store)).await {
            Ok(guest) => Ok(Instance { store, guest }),
            Err(error) => Err(trap::explain(&error, store.data())),
        }
    }

    async fn start(&self, instance: &mut Instance) -> Result<(), ExecError> {
        let provider = instance.guest.gestalt_provider_app_provider().clone();
        let (name, cpu) = (self.host.name.as_str(), instance.cpu());
        let started = provider.call_start_provider(&mut instance.store, name, self.config.as_deref());
        let started = Metered::new(cpu, started).await;
        instance.settle(started)
    }

    async fn in_time<T>(&self, making: impl Future<Output = Result<T, ExecError>>) -> Result<T, ExecError> {
        let most = self.host.limits.startup_timeout;
        match tokio::time::timeout(most, making).await {
            Ok(made) => made,
            Err(_) => Err(ExecError::Limit { what: "startupTimeout", detail: format!("not started after {most:?}") }),
        }
    }
}

/// Instances that have started and wait for their one call.
///
/// Filled up in the background when a call has ended and none waits, one at a time: while calls wait, an instance made
/// ahead makes no call faster, and its maker takes the processor from those in progress. In the lanes that calls go
/// through: an app that works hard to start would otherwise hold the daemon's threads behind its calls' back.
pub(crate) struct Standby {
    maker: Arc<Maker>,
    lane: Arc<Lane>,
    /// Whether the last start had to go to the slow lane.
    is_slow: Arc<AtomicBool>,
    ready: Mutex<Vec<Ready>>,
    target: usize,
    /// Places for waiting instances, of the whole runtime: those of the pool that calls in progress cannot need.
    slots: Arc<Semaphore>,
    /// How many of them one instance takes.
    weight: u32,
    is_filling: AtomicBool,
    is_closed: AtomicBool,
}

struct Ready {
    instance: Instance,
    _slot: OwnedSemaphorePermit,
}

impl Standby {
    /// At most `target` instances of `maker`, which take `weight` of the `slots` each.
    pub(crate) fn new(
        maker: Arc<Maker>,
        lane: Arc<Lane>,
        target: usize,
        slots: Arc<Semaphore>,
        weight: u32,
    ) -> Arc<Self> {
        let (is_filling, is_closed) = (AtomicBool::new(false), AtomicBool::new(false));
        let (ready, is_slow) = Default::default();
        Arc::new(Self { maker, lane, is_slow, ready, target, slots, weight, is_filling, is_closed })
    }

    /// An instance for one call: one that waits, else a new one.
    pub(crate) async fn take(&self) -> Result<Instance, ExecError> {
        let ready = self.lock().pop();
        match ready {
            Some(ready) => Ok(ready.instance),
            None => self.maker.started().await,
        }
    }

    /// Lets a started instance wait, if there is room.
    pub(crate) fn put(&self, instance: Instance) {
        if let Ok(slot) = self.slots.clone().try_acquire_many_owned(self.weight) {
            self.push(Ready { instance, _slot: slot });
        }
    }

    /// Drops all waiting instances, for good.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        let all = std::mem::take(&mut *self.lock());
        drop(all);
    }

    /// Has waiting instances made until there are enough. At most one task per app does so.
    pub(crate) fn fill(self: &Arc<Self>) {
        if self.wants_more() && !self.is_filling.swap(true, Ordering::SeqCst) {
            tokio::spawn(self.clone().filling());
        }
    }

    async fn filling(self: Arc<Self>) {
        loop {
            let filled = self.fill_one().await;
            if !filled || !self.wants_more() {
                self.is_filling.store(false, Ordering::SeqCst);
                // A take between the two lines above has seen a filler and started none.
                if !filled || !self.wants_more() || self.is_filling.swap(true, Ordering::SeqCst) {
                    return;
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Makes one more. `false` when there is no slot, or the app does not start; then the next call will tell.
    async fn fill_one(&self) -> bool {
        let Ok(slot) = self.slots.clone().try_acquire_many_owned(self.weight) else { return false };
        let maker = self.maker.clone();
        let start = async move { maker.started().await };
        let started = Laned::new(self.lane.clone(), self.is_slow.clone(), start).await;
        match started.unwrap_or_else(|| Err(ExecError::Failed("the start was lost".into()))) {
            Ok(instance) => {
                self.push(Ready { instance, _slot: slot });
                true
            }
            Err(error) => {
                tracing::warn!(app = %self.maker.host.name, %error, "no standby instance");
                false
            }
        }
    }

    fn push(&self, ready: Ready) {
        let mut all = self.lock();
        if all.len() < self.target && !self.is_closed.load(Ordering::SeqCst) {
            all.push(ready);
        }
    }

    fn wants_more(&self) -> bool {
        self.lock().len() < self.target && !self.is_closed.load(Ordering::SeqCst)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Ready>> {
        // Only ever pushed to and popped from.
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
