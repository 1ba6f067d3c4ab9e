//! The engine all apps of a runtime share: what code may do, how instances are laid out, what drives the CPU clock.

use crate::WasmError;
use gestalt_core::limits::{PagemapScan, PoolLimits, RuntimeLimits};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};
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

/// How often an engine that relies on there being no swap looks whether there still is none.
const SWAP_CHECK: Duration = Duration::from_secs(60);

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
        PagemapScan::Auto if !has_swap(swaps().as_deref()) && available() => Enabled::Yes,
        PagemapScan::Auto | PagemapScan::Off => Enabled::No,
    }
}

fn swaps() -> Option<String> {
    std::fs::read_to_string("/proc/swaps").ok()
}

/// Whether `/proc/swaps` lists any area below its headline. What cannot be read may have swap.
fn has_swap(swaps: Option<&str>) -> bool {
    swaps.is_none_or(|swaps| swaps.lines().skip(1).any(|line| !line.trim().is_empty()))
}

/// Looks after what the choice of [`PagemapScan::Auto`] was made by. An engine cannot change its mind: what can be done
/// is to tell the operator, loudly and once, that the next start will choose otherwise.
struct SwapWatch {
    next: Option<Instant>,
}

impl SwapWatch {
    fn new(wanted: PagemapScan, chosen: Enabled, now: Instant) -> Self {
        let relies = wanted == PagemapScan::Auto && chosen == Enabled::Yes;
        Self { next: relies.then(|| now + SWAP_CHECK) }
    }

    /// Whether swap has come since; true at most once.
    fn has_come(&mut self, now: Instant, swaps: impl FnOnce() -> Option<String>) -> bool {
        if self.next.is_none_or(|next| now < next) {
            return false;
        }
        let come = has_swap(swaps().as_deref());
        self.next = (!come).then(|| now + SWAP_CHECK);
        come
    }
}

/// Makes the engine and starts its clock.
pub(crate) fn build(limits: &RuntimeLimits) -> Result<Engine, WasmError> {
    let engine = Engine::new(&config(limits)).map_err(|e| WasmError::Engine(format!("{e:#}")))?;
    let (wanted, chosen) = (limits.pool.pagemap_scan, scans(limits.pool.pagemap_scan));
    tracing::debug!(pagemap_scan = chosen == Enabled::Yes, "instance pool");
    let watch = SwapWatch::new(wanted, chosen, Instant::now());
    start_clock(engine.weak(), limits.epoch_interval.max(SHORTEST_TICK), watch)?;
    Ok(engine)
}

/// Advances the epoch for as long as the engine lives.
///
/// On a thread of its own: a task would stand still exactly when busy guests hold every worker.
fn start_clock(engine: EngineWeak, interval: Duration, mut watch: SwapWatch) -> Result<(), WasmError> {
    let tick = move || {
        loop {
            std::thread::sleep(interval);
            if watch.has_come(Instant::now(), swaps) {
                tracing::error!(
                    "swap was turned on while the daemon runs: memory that is swapped out during a call may not be cleared \
                     after it; restart, or set pool.pagemapScan to off"
                );
            }
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
    fn the_pool_keeps_so_many_bytes_and_none_without_the_scan() {
        let sizes = |scan, memory, table| {
            let (_, memory, table) = kept(&[1; 8], true, |pool| {
                (pool.pagemap_scan, pool.keep_memory, pool.keep_table) =
                    (scan, ByteSize::kib(memory), ByteSize::kib(table));
            });
            (memory >> 10, table >> 10)
        };
        assert_eq!(sizes(PagemapScan::Off, 1024, 64), (0, 0));
        if !PoolingAllocationConfig::is_pagemap_scan_available() {
            return;
        }
        // 160 KiB of each memory and 8 KiB of each table were written: that is kept where there is room for it.
        assert_eq!(sizes(PagemapScan::On, 1024, 64), (8 * 160, 8 * 8));
        assert_eq!(sizes(PagemapScan::On, 64, 4), (8 * 64, 8 * 4));
        assert_eq!(sizes(PagemapScan::On, 0, 0), (0, 0));
    }

    #[test]
    fn swap_that_comes_later_is_told_once() {
        let begun = Instant::now();
        let (none, some) = (|| Some("head\n".to_owned()), || Some("head\n/swapfile file 1 0 -2\n".to_owned()));
        let mut watch = SwapWatch::new(PagemapScan::Auto, Enabled::Yes, begun);
        assert!(!watch.has_come(begun, some), "not yet");
        assert!(!watch.has_come(begun + SWAP_CHECK, none));
        assert!(!watch.has_come(begun + SWAP_CHECK, some), "not yet again");
        assert!(watch.has_come(begun + 2 * SWAP_CHECK, some));
        assert!(!watch.has_come(begun + 9 * SWAP_CHECK, some), "once");
        for (wanted, chosen) in [(PagemapScan::On, Enabled::Yes), (PagemapScan::Auto, Enabled::No)] {
            assert!(!SwapWatch::new(wanted, chosen, begun).has_come(begun + SWAP_CHECK, some));
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
