//! The bounds an operator can set on an app, with their defaults.
//!
//! Parsed by `gestalt-config`, enforced by `gestalt-runtime-wasm` and `gestalt-egress`. Each field names its unit and
//! the attack it answers; the numbers are argued where they are set.

use std::fmt;
use std::time::Duration;

/// A number of bytes. Written `512`, `64KiB`, `16MiB`, `1GiB`, or with decimal `kB`, `MB`, `GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// `n` × 1024 bytes.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// `n` × 1024² bytes.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// As a length in memory; sizes beyond the address space saturate.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Reads `<integer>` or `<integer><unit>`. `None` for anything else, and on overflow.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor: u64 = match unit.trim_start() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "kB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(factor).map(Self)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1 << 30 && n.is_multiple_of(1 << 30) => write!(f, "{}GiB", n >> 30),
            n if n >= 1 << 20 && n.is_multiple_of(1 << 20) => write!(f, "{}MiB", n >> 20),
            n if n >= 1 << 10 && n.is_multiple_of(1 << 10) => write!(f, "{}KiB", n >> 10),
            n => write!(f, "{n}B"),
        }
    }
}

/// Whether an app's instance lives for one call or for the app's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// A fresh instance per call: nothing of one call is visible to the next.
    #[default]
    Invocation,
    /// One instance for all calls, one after the other, replaced after a trap or timeout; for guests that need state.
    App,
}

/// Bounds on one component app. Defaults are `Limits::default()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of one instance, all its memories together. Against allocation bombs.
    pub memory: ByteSize,
    /// Linear memories of one instance. Against an instance that takes every memory slot of the pool.
    pub memories: usize,
    /// Tables of one instance. Against an instance that takes every table slot of the pool.
    pub tables: usize,
    /// Entries of one table, each a pointer of the host. Against growth that no memory limit sees.
    pub table_elements: usize,
    /// Core instances of one component. Against instantiation that multiplies.
    pub instances: usize,
    /// Wall time of one call. Against guests that sleep or wait.
    pub timeout: Duration,
    /// CPU time of one call, counted in epoch ticks. Against endless loops.
    pub cpu_time: Duration,
    /// Wall time of instantiation and `start-provider`. Against start functions that never end.
    pub startup_timeout: Duration,
    /// Calls running at once. Against one app taking every instance slot.
    pub concurrency: usize,
    /// Calls waiting for a slot. Against unbounded memory in a call storm.
    pub queue: usize,
    /// How long a call waits for a slot before it is turned away.
    pub queue_timeout: Duration,
    /// Live resource handles of one instance. Against handle leaks that grow host tables.
    pub handles: usize,
    /// Bytes a guest may pass to the host in one call of an import. Against huge lists lifted into host memory.
    pub hostcall_bytes: ByteSize,
    /// Names and values of one `wasi:http` header collection; 256 times that in all collections, paths and authorities of
    /// one call. Against requests piled up in host memory.
    pub field_bytes: ByteSize,
    /// Random bytes in one call of `wasi:random`. Against draining time out of the machine's generator.
    pub random_bytes: ByteSize,
    /// Started instances that stand by for the next call.
    pub standby: usize,
    /// One instance per call, or one for all.
    pub isolation: Isolation,
    /// Answer of one call. Against answers that fill the daemon's memory.
    pub result: ByteSize,
    /// Nesting of a JSON answer. Against parsers' stacks.
    pub result_depth: usize,
    /// What a call may write to stdout, stderr and the log, after which its writes fail. Against log floods.
    pub log_per_call: ByteSize,
    /// The same for all calls of the app within a minute. Against a flood of many calls that each log a little.
    pub log_per_minute: ByteSize,
    /// When an app that keeps trapping is turned away at the door.
    pub breaker: BreakerLimits,
    /// Bounds on outgoing HTTP.
    pub egress: EgressLimits,
}

/// The circuit breaker of one app. Against an app that traps on every call, each of which costs an instance, a
/// backtrace and a log line.
///
/// It opens when within `window` at least `traps` calls ended in a trap and those are more than half of all that ended:
/// an app that answers most of its callers is not closed to all because of a few.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerLimits {
    /// Traps that open it; 0 means never.
    pub traps: u32,
    /// The time within which they count.
    pub window: Duration,
    /// How long calls are turned away, after which one call may try.
    pub cooldown: Duration,
}

impl Default for BreakerLimits {
    fn default() -> Self {
        Self { traps: 5, window: Duration::from_secs(60), cooldown: Duration::from_secs(30) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: ByteSize::mib(128),
            // A main module and its adapter have one memory each, and a table each with a few for shims.
            memories: 8,
            tables: 32,
            // JavaScript engines need 7,780 and CPython 5,762 to begin with.
            table_elements: 20_000,
            instances: 64,
            timeout: Duration::from_secs(30),
            cpu_time: Duration::from_secs(5),
            startup_timeout: Duration::from_secs(10),
            concurrency: 8,
            queue: 64,
            queue_timeout: Duration::from_secs(5),
            handles: 4096,
            hostcall_bytes: ByteSize::mib(16),
            field_bytes: ByteSize::kib(64),
            random_bytes: ByteSize::mib(1),
            standby: 2,
            isolation: Isolation::Invocation,
            result: ByteSize::mib(8),
            result_depth: 64,
            log_per_call: ByteSize::kib(256),
            log_per_minute: ByteSize::mib(1),
            breaker: BreakerLimits::default(),
            egress: EgressLimits::default(),
        }
    }
}

/// Bounds on one app's outgoing HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressLimits {
    /// Connections at once. Against an app that uses the daemon to flood others, and uses up its descriptors.
    pub connections: usize,
    /// From the permit to a finished TLS handshake.
    pub connect_timeout: Duration,
    /// From the request to the answer's head.
    pub first_byte_timeout: Duration,
    /// Between two chunks of a body.
    pub idle_timeout: Duration,
    /// The whole exchange. Against servers that drip a byte a second.
    pub total_timeout: Duration,
    /// Request body.
    pub max_request_body: ByteSize,
    /// Response body.
    pub max_response_body: ByteSize,
    /// Response head in bytes.
    pub max_header_bytes: ByteSize,
    /// Response header lines.
    pub max_headers: usize,
    /// Requests within any minute. Against using an allowed host as a sink, and its quota as a victim.
    pub requests_per_minute: u32,
}

impl Default for EgressLimits {
    fn default() -> Self {
        Self {
            connections: 16,
            connect_timeout: Duration::from_secs(10),
            first_byte_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(60),
            max_request_body: ByteSize::mib(16),
            max_response_body: ByteSize::mib(16),
            max_header_bytes: ByteSize::kib(64),
            max_headers: 128,
            requests_per_minute: 600,
        }
    }
}

/// Bounds on a whole wasm runtime: what its apps share. Defaults are `RuntimeLimits::default()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeLimits {
    /// Component file. Checked before a byte of it is parsed, against parser and compiler bombs.
    pub max_component_size: ByteSize,
    /// Compilation in a process of its own.
    pub compile: CompileLimits,
    /// Instance slots.
    pub pool: PoolLimits,
    /// Stack of wasm frames. Against recursion without end, which traps when it is used up.
    pub stack: ByteSize,
    /// Frames in the backtrace of a trap. Against a recursion that makes a log line of half a million of them.
    pub backtrace_frames: usize,
    /// Tick of the CPU clock: how exactly `cpu_time` is kept, and how soon a busy guest yields its thread.
    pub epoch_interval: Duration,
    /// Calls running at once, all apps together.
    pub max_concurrency: usize,
    /// The longest `timeout` a profile may give an app. Against a profile that lets calls hold slots for hours.
    pub max_timeout: Duration,
}

impl Default for RuntimeLimits {
    fn default() -> Self {
        Self {
            max_component_size: ByteSize::mib(32),
            compile: CompileLimits::default(),
            pool: PoolLimits::default(),
            stack: ByteSize::kib(512),
            backtrace_frames: 16,
            epoch_interval: Duration::from_millis(10),
            max_concurrency: 128,
            max_timeout: Duration::from_secs(300),
        }
    }
}

/// Bounds on the process that parses and compiles one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Wall time, from its start on and not while it waits for a place. Against code that compiles for hours.
    pub timeout: Duration,
    /// Its address space. Against code that makes the compiler fill the machine's memory.
    pub memory: ByteSize,
    /// Such processes at once; the others wait. Against a hundred bombs that are compiled at the same moment.
    pub workers: usize,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(60), memory: ByteSize::mib(1024), workers: 2 }
    }
}

/// The instance pool of a runtime: address space reserved once, of which an instance uses what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Instance slots: no more instances than this live at once, all apps together.
    pub instances: u32,
    /// Largest linear memory any app of this runtime may be given; reserved address space per slot.
    pub memory: ByteSize,
    /// Linear memory slots.
    pub memories: u32,
    /// Table slots.
    pub tables: u32,
    /// Entries of one table slot: the most `Limits::table_elements` can allow.
    pub table_elements: usize,
    /// Stacks for calls.
    pub stacks: u32,
    /// Unused slots that keep the mapping of the component they last held, which spares its next instance the mapping.
    /// From this number on, a component without one of its own takes another's instead of a slot that was never used.
    pub warm_slots: u32,
    /// Of the calls that run at once, and of the slots for instances standing by, the percentage one app may have,
    /// whatever its own `concurrency`. Against an app that drains the pool.
    pub share: u32,
    /// The first bytes of a linear memory that are written over and kept when its slot is cleared; the rest is given back
    /// to the system. Guests write here and there: more than 0 clears what was not written, and is rarely faster.
    pub keep_memory: ByteSize,
    /// The same for a table. Tables are small and written nearly whole when an instance starts.
    pub keep_table: ByteSize,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            instances: 256,
            memory: ByteSize::mib(512),
            memories: 256,
            // Four for each instance: the main module's, and those of its shims.
            tables: 1024,
            table_elements: 20_000,
            // A call has one, and a second for the moment a refused import gives back what it was lent.
            stacks: 512,
            warm_slots: 32,
            share: 50,
            keep_memory: ByteSize(0),
            keep_table: ByteSize::kib(64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_sizes() {
        for (text, bytes) in [("0", 0), ("512", 512), ("64KiB", 65_536), ("16 MiB", 16 << 20), ("2GB", 2_000_000_000)] {
            assert_eq!(ByteSize::parse(text), Some(ByteSize(bytes)), "{text}");
        }
        for text in ["", "MiB", "1.5MiB", "-1", "1mib", "1 TiB", "99999999999999999999", "18446744073709551615KiB"] {
            assert_eq!(ByteSize::parse(text), None, "{text}");
        }
        assert_eq!(ByteSize::mib(16).to_string(), "16MiB");
        assert_eq!(ByteSize(1500).to_string(), "1500B");
    }
}
