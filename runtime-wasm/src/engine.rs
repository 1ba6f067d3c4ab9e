//! The engine all apps of a runtime share: what code may do, how instances are laid out, what drives the CPU clock.

use crate::WasmError;
use gestalt_core::limits::RuntimeLimits;
use std::num::NonZeroUsize;
use std::time::Duration;
use wasmtime::{
    Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Strategy,
    WasmBacktraceDetails,
};

/// Stack of wasm frames. Against endless recursion, which then ends in a trap within a millisecond.
const WASM_STACK: usize = 512 << 10;

/// Stack of a whole call. What the wasm frames leave, three times as much as they may use, is for the host functions
/// they call: those run on the same stack, and a host function that ran out of it would take the daemon down.
const CALL_STACK: usize = 2 << 20;

/// Frames in the backtrace of a trap. A trap deep in a recursion must not make a log line of half a million frames.
const BACKTRACE_FRAMES: NonZeroUsize = NonZeroUsize::new(16).unwrap();

/// Linear memories of one component: a main module and its adapter have one each; the rest is room.
const MEMORIES_PER_COMPONENT: u32 = 4;

/// Tables and core instances of one component. Toolchains link a handful of shims around the main module.
pub(crate) const TABLES_PER_COMPONENT: u32 = 16;
const CORE_INSTANCES_PER_COMPONENT: u32 = 16;

/// Entries of one table. JavaScript engines need 7,780 and CPython 5,762 to begin with.
pub(crate) const TABLE_ELEMENTS: usize = 20_000;

/// Slots that keep the memory mapping of the app that last used them. One more costs a page table each, and spares the
/// next instance of that app the mapping.
const WARM_SLOTS: u32 = 32;

/// A clock that ticked faster would be the busiest thread of the daemon.
const SHORTEST_TICK: Duration = Duration::from_millis(1);

/// The settings of the engine. Those that shape compiled code are part of the compile cache's key.
pub(crate) fn config(limits: &RuntimeLimits) -> Config {
    let mut config = Config::new();
    config
        // The one compiler: the advisories about wrong code of the last years were about the other one.
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(CALL_STACK)
        .wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES))
        // Said here because the default is to ask an environment variable.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        // A backtrace names functions; offsets into them would be a fifth of every cached artifact.
        .generate_address_map(false)
        // Only debuggers and profilers of the host would read it, and each load would register it.
        .native_unwind_info(false)
        .memory_init_cow(true)
        // Shared memory escapes the memory limit (no limiter is asked), and 64-bit memories every bounds check by guard page.
        .shared_memory(false)
        .wasm_memory64(false)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
    config
}

/// The instance pool: address space, reserved once; pages are only used while an instance uses them.
fn pool(limits: &RuntimeLimits) -> PoolingAllocationConfig {
    let instances = limits.pool_instances;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_PER_COMPONENT))
        .total_memories(instances)
        // The main module's table and those of its shims.
        .total_tables(instances.saturating_mul(4))
        // A call has one, and a second for the moment a refused import gives back what it was lent.
        .total_stacks(instances.saturating_mul(2))
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(limits.pool_memory.as_usize())
        .max_unused_warm_slots(WARM_SLOTS)
        // Without the scan, keeping pages means clearing all of them by hand: slower than giving them back.
        .linear_memory_keep_resident(0)
        .table_keep_resident(0)
        // The scan (`PAGEMAP_SCAN`, Linux 6.7) finds the pages an instance has written, so that only those are cleared.
        // It reports present pages: one that was swapped out is written and not present, would be taken for clean, and
        // would carry one call's data into the next. Off, whatever the machine, until it can be tied to swap being off.
        .pagemap_scan(Enabled::No);
    pool
}

/// Makes the engine and starts its clock.
pub(crate) fn build(limits: &RuntimeLimits) -> Result<Engine, WasmError> {
    let engine = Engine::new(&config(limits)).map_err(|e| WasmError::Engine(format!("{e:#}")))?;
    start_clock(engine.weak(), limits.epoch_interval.max(SHORTEST_TICK))?;
    Ok(engine)
}

/// Advances the epoch for as long as the engine lives.
///
/// On a thread of its own: a task would stand still exactly when busy guests hold every worker.
fn start_clock(engine: EngineWeak, interval: Duration) -> Result<(), WasmError> {
    let tick = move || {
        loop {
            std::thread::sleep(interval);
            match engine.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => return,
            }
        }
    };
    std::thread::Builder::new()
        .name("wasm-epoch".into())
        .stack_size(64 << 10)
        .spawn(tick)
        .map(drop)
        .map_err(|e| WasmError::Engine(format!("no thread for the epoch clock: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_ends_with_its_engine() {
        let limits =
            RuntimeLimits { pool_instances: 1, epoch_interval: Duration::from_millis(1), ..Default::default() };
        let engine = build(&limits).unwrap();
        let weak = engine.weak();
        drop(engine);
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        // The clock holds the engine for the length of one increment.
        while weak.upgrade().is_some() {
            assert!(std::time::Instant::now() < deadline, "the engine is still held");
            std::thread::yield_now();
        }
    }
}
