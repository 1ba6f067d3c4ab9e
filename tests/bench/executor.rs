//! An app without a door: `Executor::execute`.

use crate::table::Table;
use crate::{Latency, PARAMS, all_at_once, one_by_one};
use gestalt_core::{AppName, Call, CallContext, CallLink, CredentialChoice, Executor, Origin, Params, Principal};
use gestalt_tests::TestHost;
use gestalt_tests::examples::{app, manifest};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) fn call(name: &AppName, operation: &str, params: &Params) -> Call {
    let link = CallLink { app: name.clone(), operation: operation.into(), instance: String::new() };
    Call {
        operation: operation.into(),
        params: params.clone(),
        credential: None,
        idempotency_key: String::new(),
        context: Arc::new(CallContext {
            invocation_id: "bench".into(),
            app: name.clone(),
            principal: Arc::new(Principal::anonymous()),
            policy: String::new(),
            role: String::new(),
            credential: CredentialChoice::default(),
            request: Arc::default(),
            origin: Origin::Http,
            chain: vec![link],
            public_base_url: "".into(),
        }),
        deadline: Instant::now() + Duration::from_secs(60),
    }
}

async fn row(table: &mut Table, what: &str, executor: Arc<dyn Executor>) -> (Latency, f64) {
    let (name, params) = (AppName::parse("echo").unwrap(), Params::parse(PARAMS).unwrap());
    let run = Arc::new(move || {
        let (executor, call) = (executor.clone(), call(&name, "echo", &params));
        async move { assert_eq!(executor.execute(call).await.unwrap().status, 200) }
    });
    let caller = || {
        let run = run.clone();
        move || run()
    };
    let latency = one_by_one(what, caller()).await;
    let (rate, _) = all_at_once(async || caller()).await;
    table.latency(what, latency, Some(rate));
    (latency, rate)
}

/// Rows b and c, which are held against each other and against `floor`.
pub(crate) async fn measure(table: &mut Table, floor: Latency) {
    let config = [
        "apps:\n".to_owned(),
        app("echo", &manifest("echo"), ""),
        app("native-rust", &manifest("echo-native-rust"), ""),
        app("native-python", &manifest("echo-native-python"), ""),
        app("echo-python", &manifest("echo-python"), ""),
        app("echo-typescript", &manifest("echo-typescript"), ""),
    ];
    let host = TestHost::start(&config.concat()).await;
    let (wasm, wasm_rate) = row(table, "b. executor: component, Rust", host.executor("echo")).await;
    let (native, native_rate) = row(table, "c. executor: native, Rust", host.executor("native-rust")).await;
    row(table, "b. executor: component, Python", host.executor("echo-python")).await;
    row(table, "b. executor: component, TypeScript", host.executor("echo-typescript")).await;
    row(table, "c. executor: native, Python", host.executor("native-python")).await;
    let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
    let (to_floor, to_native) = (ratio(wasm.p50, floor.p50), ratio(wasm.p50, native.p50));
    table.goal(format!("b ≤ 1.5 × a at the median, is {to_floor:.2}"), to_floor <= 1.5);
    table.goal(format!("b ≤ 0.5 × c at the median, is {to_native:.2}"), to_native <= 0.5);
    let rates = wasm_rate / native_rate;
    table.goal(format!("b ≥ 1.5 × c in calls per second, is {rates:.2}"), rates >= 1.5);
    host.shutdown().await;
}
