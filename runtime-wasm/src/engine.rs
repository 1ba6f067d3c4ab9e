//! The engine all apps of a runtime share: what code may do, how instances are laid out, what drives the CPU clock.

use crate::WasmError;
use gestalt_core::limits::{PagemapScan, PoolLimits, RuntimeLimits};
use std::num::NonZeroUsize;
use std::time::Duration;
use wasmtime::{
    Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Strategy,
    WasmBacktraceDetails,
};

/// What is left of a call's stack when the wasm frames have used all of theirs. The host functions they call run on the
/// same stack, and one that ran out of it would take the daemon down.
const HOST_STACK: usize = 3 << 19;

/// Linear memories of one component that fit into the pool: a main module and its adapter have one each; the rest is
/// room.
const MEMORIES_PER_COMPONENT: u32 = 4;

/// Tables and core instances of one component. Toolchains link a handful of shims around the main module.
const TABLES_PER_COMPONENT: u32 = 16;
const CORE_INSTANCES_PER_COMPONENT: u32 = 16;

/// A clock that ticked faster would be the busiest thread of the daemon.
const SHORTEST_TICK: Duration = Duration::from_millis(1);

/// The settings that shape compiled code, and those every engine of ours has: the daemon's and the compile worker's.
///
/// What differs between the two, how instances are allocated, is no part of an artifact.
pub(crate) fn code() -> Config {
    let mut config = Config::new();
    config
        // The one compiler: the advisories about wrong code of the last years were about the other one.
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(true)
        // Said here because the default is to ask an environment variable.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        // A backtrace names functions; offsets into them would be a fifth of every cached artifact.
        .generate_address_map(false)
        // Only debuggers and profilers of the host would read it, and each load would register it.
        .native_unwind_info(false)
        .memory_init_cow(true)
        // Shared memory escapes the memory limit (no limiter is asked), and 64-bit memories every bounds check by guard page.
        .shared_memory(false)
        .wasm_memory64(false);
    config
}

/// The settings of the daemon's engine.
pub(crate) fn config(limits: &RuntimeLimits) -> Config {
    let stack = limits.stack.as_usize();
    let mut config = code();
    config
        .max_wasm_stack(stack)
        .async_stack_size(stack.saturating_add(HOST_STACK))
        .wasm_backtrace_max_frames(NonZeroUsize::new(limits.backtrace_frames))
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(&limits.pool)));
    config
}

/// The instance pool: address space, reserved once; pages are only used while an instance uses them.
fn pool(limits: &PoolLimits) -> PoolingAllocationConfig {
    let scan = scans(limits.pagemap_scan);
    let kept = |bytes: usize| if scan == Enabled::Yes { bytes } else { 0 };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(limits.instances)
        .total_core_instances(limits.instances.saturating_mul(CORE_INSTANCES_PER_COMPONENT))
        .total_memories(limits.memories)
        .total_tables(limits.tables)
        .total_stacks(limits.stacks)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .table_elements(limits.table_elements)
        .max_memory_size(limits.memory.as_usize())
        .max_unused_warm_slots(limits.warm_slots)
        .linear_memory_keep_resident(kept(limits.keep_memory.as_usize()))
        .table_keep_resident(kept(limits.keep_table.as_usize()))
        .pagemap_scan(scan);
    pool
}

/// Whether the pagemap scan is used. See [`PagemapScan`] for why swap decides.
fn scans(wanted: PagemapScan) -> Enabled {
    let available = || PoolingAllocationConfig::is_pagemap_scan_available();
    match wanted {
        PagemapScan::On => Enabled::Yes,
        PagemapScan::Auto if !has_swap(std::fs::read_to_string("/proc/swaps").ok().as_deref()) && available() => {
            Enabled::Yes
        }
        PagemapScan::Auto | PagemapScan::Off => Enabled::No,
    }
}

/// Whether `/proc/swaps` lists any area below its headline. What cannot be read may have swap.
fn has_swap(swaps: Option<&str>) -> bool {
    swaps.is_none_or(|swaps| swaps.lines().skip(1).any(|line| !line.trim().is_empty()))
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

/// A runtime of one instance, for tests.
#[cfg(test)]
pub(crate) fn small() -> RuntimeLimits {
    RuntimeLimits { pool: PoolLimits { instances: 1, ..Default::default() }, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_ends_with_its_engine() {
        let pool = PoolLimits { instances: 1, ..Default::default() };
        let limits = RuntimeLimits { pool, epoch_interval: Duration::from_millis(1), ..Default::default() };
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

    #[test]
    fn swap_is_what_the_kernel_lists_or_does_not_tell() {
        let head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        assert!(!has_swap(Some(head)));
        assert!(has_swap(Some(&format!("{head}/dev/zram0 partition 1024 0 -2\n"))));
        assert!(has_swap(None));
    }
}
