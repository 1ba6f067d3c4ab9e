//! What the daemon's start and its memory cost.

use crate::table::{Table, time};
use gestalt_tests::examples::{app, manifest};
use gestalt_tests::{Served, artifacts_dir, eventually};
use nix::sys::signal::Signal;
use std::path::Path;
use std::time::{Duration, Instant};

/// Calls that wait at once while the memory of their instances is measured.
const LIVE: usize = 64;

/// From starting the process to a 200 of `/ready`.
async fn time_to_ready(config: &str) -> Duration {
    let start = Instant::now();
    let served = Served::start(config);
    served.ready().await;
    let took = start.elapsed();
    served.signal(Signal::SIGTERM);
    served.exit().await;
    took
}

async fn median_to_ready(config: &str) -> Duration {
    let mut times = Vec::new();
    for _ in 0..5 {
        times.push(time_to_ready(config).await);
    }
    times.sort_unstable();
    times[2]
}

/// `apps` of one config, prepared in `artifacts`.
fn config(artifacts: &Path, apps: &[String]) -> String {
    format!("server: {{artifactsDir: {artifacts:?}}}\napps:\n{}", apps.concat())
}

/// Row e.
async fn start(table: &mut Table) {
    for (what, example) in [("Rust", "echo"), ("TypeScript", "echo-typescript"), ("Python", "echo-python")] {
        let artifacts = tempfile::tempdir_in(artifacts_dir()).unwrap();
        let one = config(artifacts.path(), &[app("echo", &manifest(example), "")]);
        let cold = time_to_ready(&one).await;
        table.value(&format!("e. ready with one component, {what}: compiled first"), time(cold));
        table
            .value(&format!("e. ready with one component, {what}: compiled before"), time(median_to_ready(&one).await));
    }
    let artifacts = tempfile::tempdir_in(artifacts_dir()).unwrap();
    let apps: Vec<String> = (0..100).map(|i| app(&format!("echo{i}"), &manifest("echo"), "")).collect();
    let hundred = config(artifacts.path(), &apps);
    time_to_ready(&hundred).await;
    let took = median_to_ready(&hundred).await;
    table.value("e. ready with 100 components: compiled before", time(took));
    table.goal(
        format!("100 cached apps ready ≤ 300 ms after start, is {}", time(took)),
        took <= Duration::from_millis(300),
    );
}

/// Resident memory of a process in KiB.
fn resident(served: &Served) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// What calls that sleep in their instances add to the daemon's memory, in KiB for each.
async fn per_instance(example: &str) -> u64 {
    let limits = format!("concurrency: {LIVE}, queue: {LIVE}");
    let config = format!(
        "runtime: {{providers: {{wasm: {{config: {{{limits}}}}}}}}}\napps:\n{}",
        app("echo", &manifest(example), "")
    );
    let served = Served::start(&config);
    let client = served.ready().await;
    let slow = |millis: u32| async move { client.call("echo", "slow", format!(r#"{{"millis":{millis}}}"#)).await };
    // What the first calls set up once is not what another instance costs.
    for _ in 0..20 {
        assert_eq!(slow(1).await.code(), 200);
    }
    let before = resident(&served);
    let calls: Vec<_> = (0..LIVE).map(|_| tokio::spawn(slow(5000))).collect();
    // The peak is when all of them wait: nothing gives memory back before the first has slept enough.
    let mut most = before;
    eventually("the first call to wake up", || {
        most = most.max(resident(&served));
        let any = calls.iter().any(|call| call.is_finished());
        async move { any.then_some(()) }
    })
    .await;
    for call in calls {
        assert_eq!(call.await.unwrap().code(), 200);
    }
    served.signal(Signal::SIGTERM);
    served.exit().await;
    (most - before) / LIVE as u64
}

/// Row f.
async fn memory(table: &mut Table) {
    let mib = |kib: u64| format!("{:.1} MiB", kib as f64 / 1024.0);
    let served = Served::start("apps: {}\n");
    served.ready().await;
    let idle = resident(&served);
    table.value("f. resident: no apps", mib(idle));
    served.signal(Signal::SIGTERM);
    served.exit().await;

    let served = Served::start(&format!("apps:\n{}", app("echo", &manifest("echo"), "")));
    served.ready().await;
    let idle = resident(&served);
    table.value("f. resident: one component, Rust, standing by", mib(idle));
    table.goal(format!("daemon idle < 40 MiB resident, is {}", mib(idle)), idle < 40 << 10);
    served.signal(Signal::SIGTERM);
    served.exit().await;

    for (what, example) in [("Rust", "echo"), ("TypeScript", "echo-typescript"), ("Python", "echo-python")] {
        let each = per_instance(example).await;
        table.value(&format!("f. resident: each live instance, {what}"), mib(each));
    }
}

/// Rows e and f.
pub(crate) async fn measure(table: &mut Table) {
    start(table).await;
    memory(table).await;
}
