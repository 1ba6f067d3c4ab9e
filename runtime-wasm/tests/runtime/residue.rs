//! Nothing of one call is visible to the next (issue rows H18), whoever's it was.

use crate::fixture::{App, Setup, call, runtime_limits, settings};
use crate::handmade::Handmade;
use crate::unrest::{Unrest, a_page_is_away};
use gestalt_core::limits::{ByteSize, Isolation, Limits, PoolLimits, RuntimeLimits};
use gestalt_runtime_wasm::Runtime;
use serde_json::json;
use std::time::{Duration, Instant};

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

/// A runtime of few slots, so that each is used again and again.
fn crowded(keep_memory: ByteSize) -> (Runtime, tempfile::TempDir) {
    let pool = PoolLimits { instances: 16, keep_memory, ..PoolLimits::default() };
    let dir = tempfile::tempdir().unwrap();
    let limits = RuntimeLimits { pool, max_concurrency: 4, ..runtime_limits() };
    (Runtime::build(settings(limits, dir.path().join("cache"))).unwrap(), dir)
}

async fn look_for_residue(keep_memory: ByteSize) {
    let (runtime, _dir) = crowded(keep_memory);
    let mut apps = Vec::new();
    for _ in 0..2 {
        let setup = Setup::probe().limits(|l| {
            l.breaker.traps = 0;
            l.log_per_minute = ByteSize::mib(64);
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
    look_for_residue(ByteSize(0)).await;
}

/// Written over up to somewhere in the middle of what calls use, and given back from there on.
#[tokio::test(flavor = "multi_thread")]
async fn h18_nothing_is_left_in_memory_that_is_kept() {
    look_for_residue(ByteSize::kib(1_220)).await;
}

/// Pages a call of [`while_pages_move`] leaves marked, and the next looks at: many, to have some on the move when it ends.
const HOARD: u64 = 512;

/// Calls of one app after the other in one slot, while the kernel moves pages.
#[expect(clippy::print_stderr, reason = "what was not looked at has to be seen by whoever ran it")]
async fn while_pages_move(keep_memory: ByteSize) {
    let pool = PoolLimits { instances: 2, keep_memory, ..PoolLimits::default() };
    let dir = tempfile::tempdir().unwrap();
    let limits = RuntimeLimits { pool, max_concurrency: 1, ..runtime_limits() };
    let runtime = Runtime::build(settings(limits, dir.path().join("cache"))).unwrap();
    let setup = Setup::probe().limits(|l| {
        l.standby = 0;
        l.log_per_minute = ByteSize::mib(64);
    });
    let app = setup.launch_on(&runtime).await.unwrap();
    let unrest = Unrest::begin();
    if unrest.is_none() {
        eprintln!("this user may not have pages moved: looking for residue without");
    }
    let (begun, mut pair) = (Instant::now(), 0_u64);
    let span = if unrest.is_some() { Duration::from_secs(5) } else { Duration::from_secs(1) };
    while begun.elapsed() < span {
        pair += 1;
        app.ask("mark", json!({"seed": pair, "pages": HOARD})).await;
        assert_eq!(app.ask("seek", json!({"pages": HOARD})).await, json!([0, 0, 0]), "pair {pair}");
    }
}

/// What is not present when a call ends is cleared all the same, whether slots are given back or written over.
#[tokio::test(flavor = "multi_thread")]
async fn h18_nothing_is_left_while_the_kernel_moves_pages() {
    while_pages_move(ByteSize(0)).await;
    while_pages_move(ByteSize::mib(64)).await;
}

/// Pages do go away while they are looked at: what the test above is about is not an idle fear.
#[test]
fn h18_pages_are_away_while_the_kernel_moves_them() {
    let Some(_unrest) = Unrest::begin() else {
        eprintln!("this user may not have pages moved: there is nothing to see");
        return;
    };
    assert!(a_page_is_away(Duration::from_secs(120)), "no page was away: nothing moves, or it is not seen");
}

/// What the probe can see, it sees: the same in one instance.
#[tokio::test]
async fn h18_the_probe_finds_what_is_there() {
    let app = Setup::probe().limits(|l| l.isolation = Isolation::App).launch().await;
    app.ask("mark", json!({"seed": 77, "pages": 1})).await;
    let traces = app.ask("seek", json!({"pages": 0})).await;
    assert!(traces[0].as_u64().unwrap() >= 8_192, "{traces}");
    assert_eq!(traces[1], 77);
}

/// An app that leaves traces where no compiler puts any: in a table and in what it grows by, in globals, and in
/// segments that it drops, and traps if they are gone already. `m` and a number does so; `s` and a number looks, and answers 200 and a bit for each kind of
/// trace.
fn tables() -> Handmade {
    Handmade::new(&[(
        "execute",
        "(local $n i32) (local.set $n (i32.load8_u (i32.add (local.get 1) (i32.const 1))))
         (if (result i32) (i32.eq (i32.load8_u (local.get 1)) (i32.const 109))
            (then (call $mark (local.get $n)) (call $answer (i32.const 200)))
            (else (call $answer (i32.add (i32.const 200) (call $seek (local.get $n))))))",
    )])
    .with(
        r#"
        (table $t 700 3000 funcref)
        (elem (table $t) (i32.const 3) func $mark)
        (elem $passive func $mark $mark $mark $mark)
        (data $text "0123456789abcdef")
        (global $g (mut i32) (i32.const 0))
        (global $h (mut i64) (i64.const 5))
        (func $mark (param $n i32)
            (drop (table.grow $t (ref.func $mark) (i32.mul (local.get $n) (i32.const 9))))
            (table.fill $t (i32.const 0) (ref.func $mark) (i32.const 300))
            (table.init $t $passive (i32.const 400) (i32.const 0) (i32.const 4))
            (table.copy $t $t (i32.const 450) (i32.const 5) (i32.const 40))
            (table.set $t (i32.const 699) (ref.func $mark))
            (elem.drop $passive)
            (memory.init $text (i32.const 3000) (i32.const 0) (i32.const 16))
            (data.drop $text)
            (global.set $g (local.get $n))
            (global.set $h (i64.const -1)))
        ;; How many entries of the table are there, but for the one that always is.
        (func $left (result i32) (local $i i32) (local $found i32)
            (loop
                (if (i32.and (i32.eqz (ref.is_null (table.get $t (local.get $i)))) (i32.ne (local.get $i) (i32.const 3)))
                    (then (local.set $found (i32.add (local.get $found) (i32.const 1)))))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if 0 (i32.lt_u (local.get $i) (table.size $t))))
            (local.get $found))
        (func $seek (param $n i32) (result i32) (local $traces i32)
            (if (i32.ne (table.size $t) (i32.const 700))
                (then (local.set $traces (i32.or (local.get $traces) (i32.const 1)))))
            ;; What it grows by lies beyond what was its own, in what may have been another's.
            (drop (table.grow $t (ref.null func) (i32.mul (local.get $n) (i32.const 9))))
            (if (call $left) (then (local.set $traces (i32.or (local.get $traces) (i32.const 2)))))
            (if (i32.or (global.get $g) (i64.ne (global.get $h) (i64.const 5)))
                (then (local.set $traces (i32.or (local.get $traces) (i32.const 4)))))
            (if (i32.load (i32.const 3000)) (then (local.set $traces (i32.or (local.get $traces) (i32.const 8)))))
            (local.get $traces))"#,
    )
}

async fn told(app: &App, what: char, number: u64) -> u16 {
    let operation = format!("{what}{}", char::from(1 + number as u8));
    app.executor.execute(call(&operation, "{}")).await.unwrap_or_else(|e| panic!("{operation:?}: {e}")).status
}

async fn look_into_tables() {
    let (runtime, _dir) = crowded(ByteSize(0));
    let mut apps = Vec::new();
    for _ in 0..2 {
        let quiet: fn(&mut Limits) = |l| l.breaker.traps = 0;
        apps.push(tables().setup().limits(quiet).launch_on(&runtime).await.unwrap());
    }
    let walks = (1..=4).map(|seed| {
        let apps = [apps[0].clone(), apps[1].clone()];
        tokio::spawn(async move {
            let mut numbers = Numbers(seed * 0x9e37_79b9);
            for pair in 0..PAIRS / 4 {
                let (writer, reader) = (&apps[numbers.next(2) as usize], &apps[numbers.next(2) as usize]);
                assert_eq!(told(writer, 'm', numbers.next(120)).await, 200);
                assert_eq!(told(reader, 's', numbers.next(120)).await, 200, "pair {pair} of seed {seed}");
            }
        })
    });
    for walk in walks.collect::<Vec<_>>() {
        walk.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h18_nothing_is_left_in_tables_globals_and_segments() {
    look_into_tables().await;
}

/// What the app can see, it sees: everything in one instance, where the segments are gone too.
#[tokio::test]
async fn h18_the_app_finds_what_is_in_its_own_tables() {
    let app = tables().setup().limits(|l| l.isolation = Isolation::App).launch().await;
    assert_eq!(told(&app, 's', 7).await, 200);
    let app = tables().setup().limits(|l| l.isolation = Isolation::App).launch().await;
    assert_eq!(told(&app, 'm', 7).await, 200);
    assert_eq!(told(&app, 's', 7).await, 200 + 1 + 2 + 4 + 8);
    // A second time, the segments are not there to be used.
    assert!(app.executor.execute(call("m1", "{}")).await.is_err());
}
