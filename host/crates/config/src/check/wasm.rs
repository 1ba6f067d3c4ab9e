//! The typed `config` of a `driver: wasm` runtime.

use super::Report;
use crate::deployment::WasmRuntime;
use crate::path::KeyPath;
use crate::raw::wasm::{
    RawBreaker, RawCompile, RawEgressLimits, RawIsolation, RawPagemapScan, RawPool, RawProfile, RawWasm,
};
use gestalt_core::limits::{
    BreakerLimits, ByteSize, CompileLimits, EgressLimits, Isolation, Limits, PoolLimits, RuntimeLimits,
};

/// More than any machine this runs on could serve; keeps a slip of the finger from reserving all address space.
const MANY: i64 = 1_000_000;

pub(crate) fn runtime(report: &mut Report<'_>, at: &KeyPath, raw: RawWasm) -> WasmRuntime {
    let limits = shared(report, at, &raw);
    let defaults = profile(report, at, &raw.profile, &Limits::default());
    check_fit(report, at, None, &defaults, &limits);
    let mut templates = std::collections::BTreeMap::new();
    for (name, raw) in raw.templates.unwrap_or_default() {
        let at = at.key("templates").key(&name);
        let raw = raw.unwrap_or_default();
        let template = profile(report, &at, &raw, &defaults);
        check_fit(report, &at, Some(&raw), &template, &limits);
        templates.insert(name, template);
    }
    WasmRuntime { limits, defaults, templates }
}

fn shared(report: &mut Report<'_>, at: &KeyPath, raw: &RawWasm) -> RuntimeLimits {
    let base = RuntimeLimits::default();
    let compile = raw.compile.as_ref();
    RuntimeLimits {
        max_component_size: report.size(
            &at.key("maxComponentSize"),
            raw.max_component_size.as_deref(),
            base.max_component_size,
        ),
        compile: compile.map_or(base.compile.clone(), |raw| compilation(report, &at.key("compile"), raw)),
        pool: raw.pool.as_ref().map_or(base.pool, |raw| pool(report, &at.key("pool"), raw)),
        stack: stack(report, &at.key("stack"), raw.stack.as_deref(), base.stack),
        backtrace_frames: report.count(
            &at.key("backtraceFrames"),
            raw.backtrace_frames,
            1..=1_000,
            base.backtrace_frames,
        ),
        epoch_interval: report.duration(&at.key("epochInterval"), raw.epoch_interval.as_deref(), base.epoch_interval),
        max_concurrency: report.count(&at.key("maxConcurrency"), raw.max_concurrency, 1..=MANY, base.max_concurrency),
        max_timeout: report.duration(&at.key("maxTimeout"), raw.max_timeout.as_deref(), base.max_timeout),
    }
}

/// Stacks are mapped whole for each call in progress, and a few kilobytes hold no call at all.
fn stack(report: &mut Report<'_>, at: &KeyPath, raw: Option<&str>, default: ByteSize) -> ByteSize {
    let stack = report.size(at, raw, default);
    if (ByteSize::kib(64)..=ByteSize::mib(64)).contains(&stack) {
        return stack;
    }
    report.problem(at, "must be between 64KiB and 64MiB");
    default
}

fn compilation(report: &mut Report<'_>, at: &KeyPath, raw: &RawCompile) -> CompileLimits {
    let base = CompileLimits::default();
    CompileLimits {
        timeout: report.duration(&at.key("timeout"), raw.timeout.as_deref(), base.timeout),
        memory: report.size(&at.key("memory"), raw.memory.as_deref(), base.memory),
        workers: report.count(&at.key("workers"), raw.workers, 1..=1_000, base.workers),
    }
}

fn pool(report: &mut Report<'_>, at: &KeyPath, raw: &RawPool) -> PoolLimits {
    let base = PoolLimits::default();
    if matches!(raw.pagemap_scan, Some(RawPagemapScan::On)) {
        let what = "the pagemap scan misses pages that the kernel swaps out or moves, and the next call, of another app \
                    perhaps, would read what they hold: leave the key out";
        report.problem(&at.key("pagemapScan"), what);
    }
    let slots = 1..=100_000;
    let instances = report.count(&at.key("instances"), raw.instances, slots.clone(), base.instances);
    // What an instance needs on average, unless it is said.
    let each = |default: u32| u32::try_from(u64::from(default) * u64::from(instances) / u64::from(base.instances));
    let each = |default: u32| each(default).unwrap_or(u32::MAX).max(1);
    PoolLimits {
        instances,
        memory: report.size(&at.key("memory"), raw.memory.as_deref(), base.memory),
        memories: report.count(&at.key("memories"), raw.memories, slots, each(base.memories)),
        tables: report.count(&at.key("tables"), raw.tables, 1..=MANY, each(base.tables)),
        table_elements: report.count(&at.key("tableElements"), raw.table_elements, 1..=MANY, base.table_elements),
        stacks: report.count(&at.key("stacks"), raw.stacks, 1..=MANY, each(base.stacks)),
        warm_slots: report.count(&at.key("warmSlots"), raw.warm_slots, 0..=100_000, base.warm_slots),
        share: report.count(&at.key("share"), raw.share, 1..=100, base.share),
        keep_memory: report.size(&at.key("keepMemory"), raw.keep_memory.as_deref(), base.keep_memory),
        keep_table: report.size(&at.key("keepTable"), raw.keep_table.as_deref(), base.keep_table),
    }
}

/// `raw` laid over `base`.
fn profile(report: &mut Report<'_>, at: &KeyPath, raw: &RawProfile, base: &Limits) -> Limits {
    let log_per_call = raw.logs.as_ref().and_then(|l| l.per_call.as_deref());
    let log_per_minute = raw.logs.as_ref().and_then(|l| l.per_minute.as_deref());
    Limits {
        memory: report.size(&at.key("memory"), raw.memory.as_deref(), base.memory),
        memories: report.count(&at.key("memories"), raw.memories, 1..=1_000, base.memories),
        tables: report.count(&at.key("tables"), raw.tables, 1..=1_000, base.tables),
        table_elements: report.count(&at.key("tableElements"), raw.table_elements, 1..=MANY, base.table_elements),
        instances: report.count(&at.key("instances"), raw.instances, 1..=10_000, base.instances),
        timeout: report.duration(&at.key("timeout"), raw.timeout.as_deref(), base.timeout),
        cpu_time: report.duration(&at.key("cpuTime"), raw.cpu_time.as_deref(), base.cpu_time),
        startup_timeout: report.duration(
            &at.key("startupTimeout"),
            raw.startup_timeout.as_deref(),
            base.startup_timeout,
        ),
        concurrency: report.count(&at.key("concurrency"), raw.concurrency, 1..=MANY, base.concurrency),
        queue: report.count(&at.key("queue"), raw.queue, 0..=MANY, base.queue),
        queue_timeout: report.duration(&at.key("queueTimeout"), raw.queue_timeout.as_deref(), base.queue_timeout),
        handles: report.count(&at.key("handles"), raw.handles, 16..=MANY, base.handles),
        hostcall_bytes: report.size(&at.key("hostcallBytes"), raw.hostcall_bytes.as_deref(), base.hostcall_bytes),
        field_bytes: report.size(&at.key("fieldBytes"), raw.field_bytes.as_deref(), base.field_bytes),
        random_bytes: report.size(&at.key("randomBytes"), raw.random_bytes.as_deref(), base.random_bytes),
        standby: report.count(&at.key("standby"), raw.standby, 0..=10_000, base.standby),
        isolation: match raw.isolation {
            None => base.isolation,
            Some(RawIsolation::Invocation) => Isolation::Invocation,
            Some(RawIsolation::App) => Isolation::App,
        },
        result: report.size(&at.key("result"), raw.result.as_deref(), base.result),
        result_depth: report.count(&at.key("resultDepth"), raw.result_depth, 1..=1_000, base.result_depth),
        log_per_call: report.size(&at.dotted("logs.perCall"), log_per_call, base.log_per_call),
        log_per_minute: report.size(&at.dotted("logs.perMinute"), log_per_minute, base.log_per_minute),
        breaker: match &raw.breaker {
            Some(raw) => breaker(report, &at.key("breaker"), raw, &base.breaker),
            None => base.breaker.clone(),
        },
        egress: match &raw.egress {
            Some(raw) => egress(report, &at.key("egress"), raw, &base.egress),
            None => base.egress.clone(),
        },
    }
}

fn breaker(report: &mut Report<'_>, at: &KeyPath, raw: &RawBreaker, base: &BreakerLimits) -> BreakerLimits {
    BreakerLimits {
        traps: report.count(&at.key("traps"), raw.traps, 0..=MANY, base.traps),
        window: report.duration(&at.key("window"), raw.window.as_deref(), base.window),
        cooldown: report.duration(&at.key("cooldown"), raw.cooldown.as_deref(), base.cooldown),
    }
}

fn egress(report: &mut Report<'_>, at: &KeyPath, raw: &RawEgressLimits, base: &EgressLimits) -> EgressLimits {
    let duration = |report: &mut Report<'_>, key: &str, raw: &Option<String>, default| {
        report.duration(&at.key(key), raw.as_deref(), default)
    };
    let size = |report: &mut Report<'_>, key: &str, raw: &Option<String>, default| {
        report.size(&at.key(key), raw.as_deref(), default)
    };
    EgressLimits {
        connections: report.count(&at.key("connections"), raw.connections, 1..=10_000, base.connections),
        connect_timeout: duration(report, "connectTimeout", &raw.connect_timeout, base.connect_timeout),
        first_byte_timeout: duration(report, "firstByteTimeout", &raw.first_byte_timeout, base.first_byte_timeout),
        idle_timeout: duration(report, "idleTimeout", &raw.idle_timeout, base.idle_timeout),
        total_timeout: duration(report, "totalTimeout", &raw.total_timeout, base.total_timeout),
        max_request_body: size(report, "maxRequestBody", &raw.max_request_body, base.max_request_body),
        max_response_body: size(report, "maxResponseBody", &raw.max_response_body, base.max_response_body),
        max_header_bytes: size(report, "maxHeaderBytes", &raw.max_header_bytes, base.max_header_bytes),
        max_headers: report.count(&at.key("maxHeaders"), raw.max_headers, 1..=10_000, base.max_headers),
        requests_per_minute: report.count(
            &at.key("requestsPerMinute"),
            raw.requests_per_minute,
            1..=MANY,
            base.requests_per_minute,
        ),
    }
}

/// What an instance takes of the pool must fit into a slot, and a call must end while the runtime lets calls run.
///
/// Reported where it was written: of what a `template` does not say itself, its base has been told.
fn check_fit(
    report: &mut Report<'_>,
    at: &KeyPath,
    template: Option<&RawProfile>,
    limits: &Limits,
    shared: &RuntimeLimits,
) {
    let says = |key: fn(&RawProfile) -> bool| template.is_none_or(key);
    if limits.memory > shared.pool.memory && says(|raw| raw.memory.is_some()) {
        let message = format!("{} is more than a slot of the pool holds ({})", limits.memory, shared.pool.memory);
        let hint = "raise `config.pool.memory`, or ask for less".to_owned();
        report.hinted(&at.key("memory"), message, Some(hint));
    }
    let (elements, most) = (limits.table_elements, shared.pool.table_elements);
    if elements > most && says(|raw| raw.table_elements.is_some()) {
        let message = format!("{elements} is more than a table of the pool holds ({most})");
        let hint = "raise `config.pool.tableElements`, or ask for less".to_owned();
        report.hinted(&at.key("tableElements"), message, Some(hint));
    }
    if limits.timeout > shared.max_timeout && says(|raw| raw.timeout.is_some()) {
        let message = format!("{:?} is more than a call may take ({:?})", limits.timeout, shared.max_timeout);
        let hint = "raise `config.maxTimeout`, or ask for less".to_owned();
        report.hinted(&at.key("timeout"), message, Some(hint));
    }
}
