//! `runtime.providers.<name>.config` of a `driver: wasm` runtime. Names and defaults: `gestalt_core::limits`.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A wasm runtime: what its apps share, the bounds of each, and named profiles of other bounds.
// serde cannot refuse unknown keys beside a flattened struct; the schema can, and is asked first.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(crate) struct RawWasm {
    /// Largest component file.
    pub(crate) max_component_size: Option<String>,
    /// Compilation.
    pub(crate) compile: Option<RawCompile>,
    /// Instance slots.
    pub(crate) pool: Option<RawPool>,
    /// Stack of wasm frames.
    pub(crate) stack: Option<String>,
    /// Frames in the backtrace of a trap.
    pub(crate) backtrace_frames: Option<i64>,
    /// Tick of the CPU clock.
    pub(crate) epoch_interval: Option<String>,
    /// Calls at once, all apps together.
    pub(crate) max_concurrency: Option<i64>,
    /// The longest `timeout` of an app.
    pub(crate) max_timeout: Option<String>,
    /// Profiles an app chooses with `runtime.template`, each laid over the bounds given here.
    pub(crate) templates: Option<BTreeMap<String, Option<RawProfile>>>,
    /// The bounds of each app.
    #[serde(flatten)]
    pub(crate) profile: RawProfile,
}

/// Bounds on one app.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawProfile {
    /// Memory of an instance.
    pub(crate) memory: Option<String>,
    /// Linear memories of an instance.
    pub(crate) memories: Option<i64>,
    /// Tables of an instance.
    pub(crate) tables: Option<i64>,
    /// Entries of a table.
    pub(crate) table_elements: Option<i64>,
    /// Core instances of a component.
    pub(crate) instances: Option<i64>,
    /// Wall time of a call.
    pub(crate) timeout: Option<String>,
    /// CPU time of a call.
    pub(crate) cpu_time: Option<String>,
    /// Wall time of instantiation and start.
    pub(crate) startup_timeout: Option<String>,
    /// Calls at once.
    pub(crate) concurrency: Option<i64>,
    /// Calls waiting.
    pub(crate) queue: Option<i64>,
    /// How long a call waits.
    pub(crate) queue_timeout: Option<String>,
    /// Resource handles of an instance.
    pub(crate) handles: Option<i64>,
    /// Bytes passed to the host in one call of an import.
    pub(crate) hostcall_bytes: Option<String>,
    /// Bytes of one collection of header fields.
    pub(crate) field_bytes: Option<String>,
    /// Random bytes in one call.
    pub(crate) random_bytes: Option<String>,
    /// Started instances standing by.
    pub(crate) standby: Option<i64>,
    /// `invocation`: an instance per call. `app`: one for all calls.
    pub(crate) isolation: Option<RawIsolation>,
    /// Size of an answer.
    pub(crate) result: Option<String>,
    /// Nesting of an answer.
    pub(crate) result_depth: Option<i64>,
    /// Log output.
    pub(crate) logs: Option<RawLogs>,
    /// When an app that keeps trapping is turned away.
    pub(crate) breaker: Option<RawBreaker>,
    /// Outgoing HTTP.
    pub(crate) egress: Option<RawEgressLimits>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawIsolation {
    Invocation,
    App,
}

/// Compilation.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawCompile {
    /// For one component, from the start of its compilation.
    pub(crate) timeout: Option<String>,
    /// Address space for one component.
    pub(crate) memory: Option<String>,
    /// Components at once.
    pub(crate) workers: Option<i64>,
}

/// Instance slots.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawPool {
    /// How many.
    pub(crate) instances: Option<i64>,
    /// Largest memory of one.
    pub(crate) memory: Option<String>,
    /// Linear memory slots.
    pub(crate) memories: Option<i64>,
    /// Table slots.
    pub(crate) tables: Option<i64>,
    /// Entries of a table slot.
    pub(crate) table_elements: Option<i64>,
    /// Stacks for calls.
    pub(crate) stacks: Option<i64>,
    /// Unused slots that stay ready for the component they held.
    pub(crate) warm_slots: Option<i64>,
    /// Percentage one app may have.
    pub(crate) share: Option<i64>,
    /// First bytes of a linear memory that are written over and kept when its slot is cleared; the rest is given back to
    /// the system.
    pub(crate) keep_memory: Option<String>,
    /// The same for a table.
    pub(crate) keep_table: Option<String>,
    /// Of no effect, for configurations that have it: `auto` and `off` are how slots are cleared in any case, and `on` is
    /// refused. The scan of the kernel's page tables leaves out pages that are swapped out or being moved, and what they
    /// hold would be seen by the next call, of another app perhaps.
    pub(crate) pagemap_scan: Option<RawPagemapScan>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawPagemapScan {
    Auto,
    On,
    Off,
}

/// When an app that keeps trapping is turned away.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawBreaker {
    /// Traps that open it; 0 for never.
    pub(crate) traps: Option<i64>,
    /// The time within which they count.
    pub(crate) window: Option<String>,
    /// How long calls are turned away.
    pub(crate) cooldown: Option<String>,
}

/// Log output.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawLogs {
    /// Bytes one call may write.
    pub(crate) per_call: Option<String>,
    /// Bytes all calls may write within a minute.
    pub(crate) per_minute: Option<String>,
}

/// Outgoing HTTP.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawEgressLimits {
    /// At once.
    pub(crate) connections: Option<i64>,
    /// Up to a finished TLS handshake.
    pub(crate) connect_timeout: Option<String>,
    /// From the request to the answer's head.
    pub(crate) first_byte_timeout: Option<String>,
    /// Between two chunks of a body.
    pub(crate) idle_timeout: Option<String>,
    /// The whole exchange.
    pub(crate) total_timeout: Option<String>,
    /// Bytes.
    pub(crate) max_request_body: Option<String>,
    /// Bytes.
    pub(crate) max_response_body: Option<String>,
    /// Bytes of a response head.
    pub(crate) max_header_bytes: Option<String>,
    /// Lines of a response head.
    pub(crate) max_headers: Option<i64>,
    /// Within any minute.
    pub(crate) requests_per_minute: Option<i64>,
}
