//! The typed `config` of a `driver: wasm` runtime.

use super::Report;
use crate::deployment::WasmRuntime;
use crate::path::KeyPath;
use crate::raw::wasm::{RawEgressLimits, RawIsolation, RawProfile, RawWasm};
use gestalt_core::limits::{EgressLimits, Isolation, Limits, RuntimeLimits};

/// More than any machine this runs on could serve; keeps a slip of the finger from reserving all address space.
const MANY: i64 = 1_000_000;

pub(crate) fn runtime(report: &mut Report<'_>, at: &KeyPath, raw: RawWasm) -> WasmRuntime {
    let limits = shared(report, at, &raw);
    let defaults = profile(report, at, &raw.profile, &Limits::default());
    check_memory(report, at, &defaults, &limits);
    let mut templates = std::collections::BTreeMap::new();
    for (name, raw) in raw.templates.unwrap_or_default() {
        let at = at.key("templates").key(&name);
        let raw = raw.unwrap_or_default();
        let template = profile(report, &at, &raw, &defaults);
        if raw.memory.is_some() {
            check_memory(report, &at, &template, &limits);
        }
        templates.insert(name, template);
    }
    WasmRuntime { limits, defaults, templates }
}

fn shared(report: &mut Report<'_>, at: &KeyPath, raw: &RawWasm) -> RuntimeLimits {
    let base = RuntimeLimits::default();
    let compile_timeout = raw.compile.as_ref().and_then(|c| c.timeout.as_deref());
    let pool = raw.pool.as_ref();
    RuntimeLimits {
        max_component_size: report.size(
            &at.key("maxComponentSize"),
            raw.max_component_size.as_deref(),
            base.max_component_size,
        ),
        compile_timeout: report.duration(&at.dotted("compile.timeout"), compile_timeout, base.compile_timeout),
        pool_instances: report.count(
            &at.dotted("pool.instances"),
            pool.and_then(|p| p.instances),
            1..=100_000,
            base.pool_instances,
        ),
        pool_memory: report.size(&at.dotted("pool.memory"), pool.and_then(|p| p.memory.as_deref()), base.pool_memory),
        epoch_interval: report.duration(&at.key("epochInterval"), raw.epoch_interval.as_deref(), base.epoch_interval),
        max_concurrency: report.count(&at.key("maxConcurrency"), raw.max_concurrency, 1..=MANY, base.max_concurrency),
    }
}

/// `raw` laid over `base`.
fn profile(report: &mut Report<'_>, at: &KeyPath, raw: &RawProfile, base: &Limits) -> Limits {
    let log_per_call = raw.logs.as_ref().and_then(|l| l.per_call.as_deref());
    Limits {
        memory: report.size(&at.key("memory"), raw.memory.as_deref(), base.memory),
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
        standby: report.count(&at.key("standby"), raw.standby, 0..=10_000, base.standby),
        isolation: match raw.isolation {
            None => base.isolation,
            Some(RawIsolation::Invocation) => Isolation::Invocation,
            Some(RawIsolation::App) => Isolation::App,
        },
        result: report.size(&at.key("result"), raw.result.as_deref(), base.result),
        result_depth: report.count(&at.key("resultDepth"), raw.result_depth, 1..=1_000, base.result_depth),
        log_per_call: report.size(&at.dotted("logs.perCall"), log_per_call, base.log_per_call),
        egress: match &raw.egress {
            Some(raw) => egress(report, &at.key("egress"), raw, &base.egress),
            None => base.egress.clone(),
        },
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

/// An instance's memory lives in a slot of the pool, and must fit.
fn check_memory(report: &mut Report<'_>, at: &KeyPath, limits: &Limits, shared: &RuntimeLimits) {
    if limits.memory > shared.pool_memory {
        let message = format!("{} is more than a slot of the pool holds ({})", limits.memory, shared.pool_memory);
        let at = at.key("memory");
        report.hinted(&at, message, Some("raise `config.pool.memory`, or ask for less".to_owned()));
    }
}
