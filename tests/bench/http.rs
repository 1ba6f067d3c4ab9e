//! The daemon as a process, called over HTTP by [`CALLERS`](crate::CALLERS) connections.

use crate::table::Table;
use crate::{PARAMS, all_at_once};
use gestalt_tests::examples::{app, manifest};
use gestalt_tests::{Client, Served};
use http::Method;
use nix::sys::signal::Signal;
use std::sync::Arc;
use tokio::sync::Mutex;

async fn row(table: &mut Table, what: &str, client: Client, name: &str) -> f64 {
    let path = format!("/api/v1/{name}/echo");
    for _ in 0..200 {
        assert_eq!(client.post(&path, PARAMS).await.code(), 200);
    }
    let (rate, latency) = all_at_once(async || {
        let (connection, path) = (Arc::new(Mutex::new(client.connect().await.unwrap())), path.clone());
        move || {
            let (connection, path) = (connection.clone(), path.clone());
            async move {
                let answer = connection.lock().await.send(Method::POST, &path, PARAMS).await.unwrap();
                assert_eq!(answer.code(), 200, "{}", answer.text());
            }
        }
    })
    .await;
    table.latency(what, latency, Some(rate));
    rate
}

/// Row d.
pub(crate) async fn measure(table: &mut Table) {
    let config = [
        "apps:\n".to_owned(),
        app("echo", &manifest("echo"), ""),
        app("native-rust", &manifest("echo-native-rust"), ""),
        app("native-python", &manifest("echo-native-python"), ""),
    ];
    let served = Served::start(&config.concat());
    let client = served.ready().await;
    let wasm = row(table, "d. HTTP, 16 connections: component, Rust", client, "echo").await;
    let native = row(table, "d. HTTP, 16 connections: native, Rust", client, "native-rust").await;
    row(table, "d. HTTP, 16 connections: native, Python", client, "native-python").await;
    let ratio = wasm / native;
    table.goal(format!("HTTP → component ≥ 1.5 × HTTP → native in calls per second, is {ratio:.2}"), ratio >= 1.5);
    served.signal(Signal::SIGTERM);
    served.exit().await;
}
