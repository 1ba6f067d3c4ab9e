//! Nothing of one call is visible to the next (issue rows H18), whoever's it was.

use crate::fixture::{App, Setup, runtime_limits, settings};
use gestalt_core::limits::{PagemapScan, PoolLimits, RuntimeLimits};
use gestalt_runtime_wasm::Runtime;
use serde_json::json;

/// Pairs of calls, one that leaves traces and one that looks for them.
const PAIRS: usize = 10_000;

/// Numbers that are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

async fn pairs(apps: [App; 2], count: usize, seed: u64) {
    let mut numbers = Numbers(seed);
    for pair in 0..count {
        let (writer, reader) = (&apps[numbers.next(2) as usize], &apps[numbers.next(2) as usize]);
        let (mark, pages) = (1 + numbers.next(u32::MAX.into()), numbers.next(12));
        writer.ask("mark", json!({"seed": mark, "pages": pages})).await;
        if pair % 100 == 0 {
            let error = reader.failure("forge", json!({"handle": 2 + numbers.next(40)})).await;
            assert!(error.contains("handle index"), "{error}");
        }
        let traces = reader.ask("seek", json!({"pages": numbers.next(16)})).await;
        // Words of another call, its number, and variables of an environment.
        assert_eq!(traces, json!([0, 0, 0]), "pair {pair} of seed {seed}");
    }
}

async fn look_for_residue(scan: PagemapScan) {
    // Few slots, so that each is used again and again.
    let pool = PoolLimits { instances: 16, pagemap_scan: scan, ..PoolLimits::default() };
    let dir = tempfile::tempdir().unwrap();
    let limits = RuntimeLimits { pool, max_concurrency: 4, ..runtime_limits() };
    let runtime = Runtime::build(settings(limits, dir.path().join("cache"))).unwrap();
    let mut apps = Vec::new();
    for _ in 0..2 {
        let setup = Setup::probe().limits(|l| {
            l.breaker.traps = 0;
            l.log_per_minute = gestalt_core::limits::ByteSize::mib(64);
        });
        apps.push(setup.launch_on(&runtime).await.unwrap());
    }
    let walks = (1..=4).map(|seed| {
        let apps = [apps[0].clone(), apps[1].clone()];
        tokio::spawn(pairs(apps, PAIRS / 4, seed * 0x9e37_79b9))
    });
    for walk in walks.collect::<Vec<_>>() {
        walk.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h18_nothing_of_a_call_is_left_for_the_next() {
    look_for_residue(PagemapScan::Off).await;
}

/// With the scan wherever the machine may have it.
#[tokio::test(flavor = "multi_thread")]
async fn h18_nothing_is_left_with_the_pagemap_scan() {
    look_for_residue(PagemapScan::Auto).await;
}

/// What the probe can see, it sees: the same in one instance.
#[tokio::test]
async fn h18_the_probe_finds_what_is_there() {
    let app = Setup::probe().limits(|l| l.isolation = gestalt_core::limits::Isolation::App).launch().await;
    app.ask("mark", json!({"seed": 77, "pages": 1})).await;
    let traces = app.ask("seek", json!({"pages": 0})).await;
    assert!(traces[0].as_u64().unwrap() >= 8_192, "{traces}");
    assert_eq!(traces[1], 77);
}
