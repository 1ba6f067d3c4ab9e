//! What a call costs, from the bare engine up to HTTP, in one run: `make bench`.
//!
//! `floor` is wasmtime by itself, `executor` an app without a door, `http` the daemon as a process under load, `start`
//! what its start and its memory cost, `neighbour` what a hostile app does to another. The table goes to
//! standard output and to `bench.md` in the target directory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a failed step is a failed bench")]

mod executor;
mod floor;
mod http;
mod neighbour;
mod start;
mod table;

use criterion::Criterion;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use table::Table;
use tokio::runtime::Handle;

/// The parameters every row sends.
const PARAMS: &str = r#"{"text":"hello, world","n":42,"list":[1,2,3]}"#;

/// Callers at once where throughput is measured.
const CALLERS: usize = 16;

/// How long each throughput is measured.
const SPAN: Duration = Duration::from_secs(5);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut table = Table::default();
    runtime.block_on(async {
        let floor = floor::measure(&mut table).await;
        executor::measure(&mut table, floor).await;
        http::measure(&mut table).await;
        start::measure(&mut table).await;
        neighbour::measure(&mut table).await;
    });
    let text = table.to_string();
    println!("{text}");
    std::fs::write(gestalt_tests::target_dir().join("bench.md"), text).unwrap();
}

/// How long a call takes, one after the other: criterion warms up, samples and reports, and every call's time is kept
/// beside it for the tail.
///
/// On a worker, as in the daemon: on the thread that waits for the runtime every wake-up would cross to another core.
async fn one_by_one<F>(name: &str, call: impl Fn() -> F + Clone + Send + Sync + 'static) -> Latency
where
    F: Future<Output = ()> + Send + 'static,
{
    let worker = Handle::current();
    let all = Mutex::new(Vec::new());
    tokio::task::block_in_place(|| {
        Criterion::default().without_plots().measurement_time(SPAN).bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                let times = worker.block_on(worker.spawn(timed(count, call.clone()))).unwrap();
                let total = times.iter().sum();
                all.lock().unwrap().extend(times);
                total
            });
        });
    });
    Latency::of(all.into_inner().unwrap())
}

async fn timed<F: Future<Output = ()> + Send>(count: u64, call: impl Fn() -> F + Send) -> Vec<Duration> {
    let mut times = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let start = Instant::now();
        call().await;
        times.push(start.elapsed());
    }
    times
}

/// How the calls of [`CALLERS`] callers went, each calling again as soon as it is answered, for [`SPAN`].
///
/// `caller` makes one caller, which is what is called again and again.
async fn all_at_once<C, F>(caller: impl AsyncFn() -> C) -> (f64, Latency)
where
    C: FnMut() -> F + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let mut tasks = tokio::task::JoinSet::new();
    let start = Instant::now();
    for _ in 0..CALLERS {
        let mut call = caller().await;
        tasks.spawn(async move {
            let mut times = Vec::new();
            while start.elapsed() < SPAN {
                let begin = Instant::now();
                call().await;
                times.push(begin.elapsed());
            }
            times
        });
    }
    let times: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    (times.len() as f64 / start.elapsed().as_secs_f64(), Latency::of(times))
}

/// The middle and the tail of many times.
#[derive(Clone, Copy, Debug)]
struct Latency {
    p50: Duration,
    p99: Duration,
}

impl Latency {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
        Self { p50: at(0.5), p99: at(0.99) }
    }
}
