//! A good app beside a hostile one that does its worst.

use crate::executor::call;
use crate::table::Table;
use crate::{Latency, PARAMS, SPAN, timed};
use gestalt_core::{AppName, Executor, Params};
use gestalt_tests::TestHost;
use gestalt_tests::examples::{app, manifest};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Callers of the hostile app: twice what it may have at once.
const STORM: usize = 16;

/// What it is asked in turn: to loop, to fill its memory, to trap.
const ACTS: [(&str, &str); 3] =
    [("loop", "{}"), ("allocate", r#"{"bytes":1073741824,"insist":true}"#), ("panic", "{}")];

/// The good app's latency over [`SPAN`], one call after the other.
async fn good(executor: &Arc<dyn Executor>) -> Latency {
    let (name, params) = (AppName::parse("echo").unwrap(), Params::parse(PARAMS).unwrap());
    let run = || {
        let (executor, call) = (executor.clone(), call(&name, "echo", &params));
        async move { assert_eq!(executor.execute(call).await.unwrap().status, 200) }
    };
    timed(1_000, run).await;
    let (begun, mut times) = (std::time::Instant::now(), Vec::new());
    while begun.elapsed() < SPAN {
        times.extend(timed(100, run).await);
    }
    Latency::of(times)
}

/// Row g. The breaker is off, so that the storm does not end by itself.
pub(crate) async fn measure(table: &mut Table) {
    let config = [
        "runtime: {providers: {wasm: {config: {breaker: {traps: 0}}}}}\napps:\n".to_owned(),
        app("echo", &manifest("echo"), ""),
        app("hostile", &manifest("hostile"), ""),
    ];
    let host = TestHost::start(&config.concat()).await;
    let (echo, hostile) = (host.executor("echo"), host.executor("hostile"));
    let quiet = good(&echo).await;
    table.latency("g. beside a quiet app", quiet, None);
    let mut storm = JoinSet::new();
    for caller in 0..STORM {
        let hostile = hostile.clone();
        storm.spawn(async move {
            let name = AppName::parse("hostile").unwrap();
            for (operation, params) in ACTS.iter().cycle().skip(caller) {
                let ended = hostile.execute(call(&name, operation, &Params::parse(params).unwrap())).await;
                assert!(ended.is_err(), "{operation} answered");
            }
        });
    }
    let stormy = good(&echo).await;
    storm.shutdown().await;
    table.latency("g. beside an app that loops, allocates and traps", stormy, None);
    let ratio = stormy.p99.as_secs_f64() / quiet.p99.as_secs_f64();
    table.goal(format!("a hostile neighbour costs a good app ≤ 2 × p99, is {ratio:.2}"), ratio <= 2.0);
    host.shutdown().await;
}
