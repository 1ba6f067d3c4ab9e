//! The engine all apps of a runtime share: what code may do, how instances are laid out, what drives the CPU clock.

use crate::WasmError;
use gestalt_core::limits::{PoolLimits, RuntimeLimits};
use std::num::NonZeroUsize;
use std::time::Duration;
use wasmtime::{
    Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Strategy,
    WasmBacktraceDetails, WasmFeatures,
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

/// What a component may be written in: what compilers for WASI 0.2 emit. Everything else is refused when it is parsed,
/// whatever the engine could do and whatever it will do one day: code of the host that no guest needs is code a guest
/// can only attack. Notably missing: threads, as no limiter is asked about shared memory, and 64-bit memories, whose
/// accesses have no guard pages.
const PROPOSALS: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::COMPONENT_MODEL);

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
        .shared_memory(false)
        .wasm_features(PROPOSALS.complement(), false);
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
///
/// A slot is cleared by writing over the first bytes of it and giving all others back to the system. Both reach every
/// page, wherever the kernel has put it: a write brings the page back first, and what is given back is dropped from
/// swap and from a move in progress. The engine could ask the kernel instead which pages were written
/// (`PAGEMAP_SCAN`), which is faster. It asks for pages that are present. A page that is being moved at that moment, to
/// make room for a larger allocation, is not, nor is one in swap: either keeps its contents for the next instance,
/// which may be another app's. The kernel moves pages whenever it likes, so the scan is not used.
fn pool(limits: &PoolLimits) -> PoolingAllocationConfig {
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
        .linear_memory_keep_resident(limits.keep_memory.as_usize())
        .table_keep_resident(limits.keep_table.as_usize())
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
        .stack_size(256 << 10)
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
    use gestalt_core::limits::ByteSize;
    use std::time::Instant;

    #[test]
    fn the_clock_ends_with_its_engine() {
        let pool = PoolLimits { instances: 1, ..Default::default() };
        let limits = RuntimeLimits { pool, epoch_interval: Duration::from_millis(1), ..Default::default() };
        let engine = build(&limits).unwrap();
        let weak = engine.weak();
        drop(engine);
        let deadline = Instant::now() + Duration::from_secs(5);
        // The clock holds the engine for the length of one increment.
        while weak.upgrade().is_some() {
            assert!(Instant::now() < deadline, "the engine is still held");
            std::thread::yield_now();
        }
    }

    /// Instances of these modules, each of which uses 40 pages of memory and a table, one after the other or all at once.
    /// Returns what the pool keeps of them once they are gone: slots with a mapping, bytes of memories, bytes of tables.
    fn kept(modules: &[u32], at_once: bool, change: impl FnOnce(&mut PoolLimits)) -> (u32, usize, usize) {
        let mut limits = small();
        limits.pool.instances = 8;
        change(&mut limits.pool);
        let engine = Engine::new(&config(&limits)).unwrap();
        let used = modules.iter().map(|number| {
            let text = format!(
                r#"(module
                    (memory 4) (table 1000 funcref) (elem declare func $use) (data (i32.const {number}) "x")
                    (func $use (export "use")
                        (memory.fill (i32.const 0) (i32.const 7) (i32.const 163840))
                        (table.fill (i32.const 0) (ref.func $use) (i32.const 1000))))"#
            );
            let module = wasmtime::Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
            let mut store = wasmtime::Store::new(&engine, ());
            store.set_epoch_deadline(1);
            let instance = wasmtime::Instance::new(&mut store, &module, &[]).unwrap();
            instance.get_typed_func::<(), ()>(&mut store, "use").unwrap().call(&mut store, ()).unwrap();
            (at_once.then_some(store), module)
        });
        // The modules stay: with them their slots would be cleared.
        let (stores, _modules): (Vec<_>, Vec<_>) = used.unzip();
        drop(stores);
        let metrics = engine.pooling_allocator_metrics().unwrap();
        (metrics.unused_warm_memories(), metrics.unused_memory_bytes_resident(), metrics.unused_table_bytes_resident())
    }

    #[test]
    fn warm_slots_are_not_taken_from_another_component_until_there_are_so_many() {
        // The allocator deals them out to its shards, of which a thread uses one: only the ends are exact.
        for (warm_slots, expect) in [(0, 1), (64, 5)] {
            let change = |pool: &mut PoolLimits| (pool.instances, pool.warm_slots) = (64, warm_slots);
            assert_eq!(kept(&[1, 2, 3, 4, 5], false, change).0, expect, "{warm_slots}");
        }
    }

    #[test]
    fn the_pool_keeps_the_first_bytes_of_a_slot_whatever_was_written() {
        let sizes = |memory, table| {
            let (_, memory, table) = kept(&[1; 8], true, |pool| {
                (pool.keep_memory, pool.keep_table) = (ByteSize::kib(memory), ByteSize::kib(table));
            });
            (memory >> 10, table >> 10)
        };
        assert_eq!(sizes(0, 0), (0, 0));
        assert_eq!(sizes(64, 4), (8 * 64, 8 * 4));
        // A memory has 256 KiB, of which 160 were written. The pagemap scan would keep the pages it finds, which are
        // those 160 at most: that all are kept says that it was not asked.
        assert_eq!(sizes(1024, 64), (8 * 256, 8 * 8));
    }
}
