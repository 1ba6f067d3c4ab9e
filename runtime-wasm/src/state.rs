//! What belongs to one instance, and what all instances of an app share.

use crate::host::held::FULL_COLLECTIONS;
use crate::host::http::Hooks;
use crate::host::stdio::LogPipe;
use crate::limits::{CpuClock, Gauge};
use crate::log::{AppLog, CallLog};
use gestalt_core::egress::Outbound;
use gestalt_core::limits::Limits;
use gestalt_core::metrics::Meter;
use gestalt_core::service::{HostServices, LogStream};
use gestalt_core::{AppName, CallContext};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, Trap, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// What the host side of every instance of one app refers to.
pub(crate) struct AppHost {
    pub(crate) name: AppName,
    /// `apps.<name>.env`: all a guest sees of any environment.
    pub(crate) env: Vec<(String, String)>,
    pub(crate) limits: Limits,
    pub(crate) outbound: Arc<dyn Outbound>,
    pub(crate) services: HostServices,
    pub(crate) log: Arc<AppLog>,
    pub(crate) meter: Arc<dyn Meter>,
    /// The runtime's `epochInterval`.
    pub(crate) tick: Duration,
    pub(crate) public_base_url: Arc<str>,
}

/// One instance's host side.
pub(crate) struct State {
    pub(crate) app: Arc<AppHost>,
    /// Host objects the guest holds handles of.
    pub(crate) table: ResourceTable,
    pub(crate) log: Arc<CallLog>,
    pub(crate) cpu: Arc<CpuClock>,
    pub(crate) gauge: Gauge,
    /// Which call of the instance this is. A context of an earlier one is worth nothing any more.
    pub(crate) turn: u64,
    /// Bytes the call may still put into header collections and requests.
    pub(crate) held: usize,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    pub(crate) hooks: Hooks,
}

impl State {
    /// A store for one instance of `app`, with every bound set.
    pub(crate) fn store(engine: &Engine, app: Arc<AppHost>) -> Store<Self> {
        let limits = &app.limits;
        let log = Arc::new(CallLog::new(app.log.clone()));
        let cpu = Arc::new(CpuClock::new(limits.cpu_time));
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits.field_bytes.as_usize());
        let wasi = WasiCtx::builder()
            .stdout(LogPipe { log: log.clone(), stream: LogStream::Stdout })
            .stderr(LogPipe { log: log.clone(), stream: LogStream::Stderr })
            .max_random_size(limits.random_bytes.0)
            .build();
        let gauge = Gauge::new(limits);
        let (hooks, held) = (Hooks::new(app.outbound.clone()), account(limits));
        let (handles, hostcall_bytes) = (limits.handles, limits.hostcall_bytes.as_usize());
        let mut store = Store::new(engine, Self { app, table, log, cpu, gauge, turn: 0, held, wasi, http, hooks });
        store.limiter(|state| &mut state.gauge);
        store.set_max_component_handles(handles);
        store.set_hostcall_fuel(hostcall_bytes);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| {
            if store.data().cpu.is_spent() {
                return Err(Trap::Interrupt.into());
            }
            // A tick ends some call that has only just begun.
            if !store.data().cpu.is_long(store.data().app.tick) {
                return Ok(UpdateDeadline::Continue(1));
            }
            crate::lane::tick();
            // Let others have the thread, so that a busy guest delays them by a tick and no more.
            Ok(UpdateDeadline::Yield(1))
        });
        store
    }

    /// What follows is done for this call, until its answer is due.
    pub(crate) fn begin(&mut self, call: Option<Arc<CallContext>>, due: Instant) {
        self.log.begin(call.as_ref().map_or_else(|| "".into(), |call| call.invocation_id.clone()));
        self.cpu.reset(self.app.limits.cpu_time);
        self.hooks.begin(call, due);
        self.held = account(&self.app.limits);
        self.turn += 1;
    }

    /// The call in progress; empty during start-up.
    pub(crate) fn invocation_id(&self) -> Arc<str> {
        self.log.invocation_id()
    }
}

fn account(limits: &Limits) -> usize {
    limits.field_bytes.as_usize().saturating_mul(FULL_COLLECTIONS)
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}
