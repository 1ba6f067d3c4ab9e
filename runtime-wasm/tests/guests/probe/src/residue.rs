//! Leaving traces, and looking for those of others.

use crate::exports::gestalt::provider::app_provider::Context;
use crate::wasi::clocks::monotonic_clock;
use serde_json::{Value, json};
use std::arch::wasm32::{memory_grow, memory_size};
use std::cell::Cell;
use std::hint::black_box;

const PAGE: usize = 64 << 10;

thread_local! {
    static SEED: Cell<u64> = const { Cell::new(0) };
}

/// What marks a word as written here; never in memory before it is.
fn marker() -> u32 {
    !black_box(0x5a3c_e1a8)
}

/// Fills new pages, the heap and the stack with marked words, and leaves handles behind.
pub fn mark(context: &Context, seed: u64, pages: usize) {
    SEED.set(seed);
    let word = u64::from(marker()) << 32 | seed & 0xffff_ffff;
    let begin = memory_grow::<0>(pages);
    if begin != usize::MAX {
        for at in (begin * PAGE..(begin + pages) * PAGE).step_by(8) {
            unsafe { (at as *mut u64).write_volatile(word) };
        }
    }
    std::mem::forget(black_box(vec![word; 1 + seed as usize % 20_000]));
    black_box([word; 1_000]);
    for _ in 0..seed % 40 {
        std::mem::forget(context.retain());
        std::mem::forget(monotonic_clock::subscribe_duration(0));
    }
    println!("marked {seed}");
}

/// Looks at all memory there is, with as many pages more, for marked words and other traces.
pub fn seek(pages: usize) -> Value {
    memory_grow::<0>(pages);
    let (marker, end) = (marker(), memory_size::<0>() * PAGE);
    // The first bytes hold nothing: Rust's null.
    let marked = (8..end).step_by(4).filter(|at| unsafe { (*at as *const u32).read_volatile() } == marker).count();
    json!([marked, SEED.get(), std::env::vars().count()])
}

/// Uses a handle nobody gave.
pub fn forge(handle: u32) -> bool {
    let context = unsafe { Context::from_handle(handle) };
    context.info().subject.is_some()
}
