//! More than its share: time, memory, stack, handles.

use crate::exports::gestalt::provider::app_provider::Context;
use crate::wasi::clocks::monotonic_clock;
use crate::wasi::http::types::Fields;
use crate::{Attempt, Ended, refused};
use serde_json::json;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Never returns, calling the host each time around or not.
pub(crate) fn endless(hostcalls: bool) -> ! {
    loop {
        if hostcalls {
            black_box(Instant::now());
        }
        black_box(0);
    }
}

pub(crate) fn sleep(millis: usize) -> Ended {
    std::thread::sleep(Duration::from_millis(millis as u64));
    Ok(json!({ "slept": millis }))
}

/// Takes memory and writes to it.
pub(crate) fn allocate(bytes: usize) -> Ended {
    const STEP: usize = 1 << 20;
    let mut taken: Vec<Vec<u8>> = Vec::new();
    for _ in 0..bytes.div_ceil(STEP) {
        let mut block = Vec::new();
        if block.try_reserve_exact(STEP).is_err() {
            return Err(refused("allocate", "refused"));
        }
        block.resize(STEP, 1);
        taken.push(black_box(block));
    }
    Ok(json!({ "taken": taken.len() * STEP }))
}

/// Calls itself without end, on the host's stack or, with `buffers`, on the one in its own memory.
pub(crate) fn recurse(buffers: bool) -> Ended {
    Ok(json!(if buffers { with_buffers(1) } else { frames(1) }))
}

/// Twice, or the compiler makes it a loop.
#[inline(never)]
#[allow(unconditional_recursion, reason = "that is the point")]
fn frames(n: u64) -> u64 {
    frames(n + 1).wrapping_mul(n | 1).wrapping_add(frames(n + 2))
}

#[inline(never)]
#[allow(unconditional_recursion, reason = "that is the point")]
fn with_buffers(n: u64) -> u64 {
    let mut buffer = [0_u8; 1024];
    buffer[(n % 1024) as usize] = 1;
    with_buffers(n + 1) + u64::from(black_box(&buffer)[0])
}

/// `count` handles of `kind`, never given back.
pub(crate) fn handles(context: &Context, attempt: &Attempt) -> Ended {
    for _ in 0..attempt.number("count") {
        match attempt.text("kind") {
            "contexts" => std::mem::forget(context.retain()),
            "fields" => std::mem::forget(Fields::new()),
            _ => std::mem::forget(monotonic_clock::subscribe_duration(u64::MAX)),
        }
    }
    Ok(json!({ "taken": attempt.number("count") }))
}
