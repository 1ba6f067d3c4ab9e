//! How a process comes up, goes down, and comes up again.

use crate::kit::{Fixture, V3, V4, V5, call, is_alive, until};
use gestalt_core::{ExecError, Executor};
use gestalt_runtime_process::{ProcessError, ProcessSpec};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

async fn refused(release: &str, change: impl FnOnce(&mut ProcessSpec)) -> String {
    match Fixture::launch_with(release, change).await {
        Ok(_) => panic!("the app came up"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_rejected_config_is_an_error_with_the_apps_words() {
    // Protocol 3's SDK has one code for everything.
    for (release, code) in [(V3, "Unknown: configure provider"), (V4, "InvalidArgument"), (V5, "InvalidArgument")] {
        let error = refused(release, |spec| spec.config = Some(json!({"reject": true}))).await;
        assert!(error.starts_with(&format!("StartProvider failed: {code}: bad config")), "{error}");
    }
}

#[tokio::test]
async fn an_early_end_is_an_error_with_the_processs_last_words() {
    let begun = Instant::now();
    let error = refused(V4, |spec| drop(spec.env.insert("FIXTURE_EXIT_EARLY".into(), "1".into()))).await;
    assert!(error.contains("exit status: 7") && error.contains("about to give up"), "{error}");
    let error = refused(V4, |spec| spec.config = Some(json!({"die": true}))).await;
    assert!(error.contains("exit status: 3") && error.contains("configured to death"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30), "nobody waits for the dead");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let error = refused(V4, |spec| spec.command.program = "/nowhere/serve".into()).await;
    assert!(error.starts_with("cannot run /nowhere/serve"), "{error}");
}

#[tokio::test]
async fn a_process_that_never_listens_is_given_up() {
    let error = refused(V4, |spec| {
        spec.command.program = "/bin/sh".into();
        spec.command.args = ["-c", "echo still thinking; exec sleep 1000"].map(Into::into).into();
        spec.timeouts.startup = Duration::from_millis(300);
    })
    .await;
    assert!(error.contains("not ready within 300ms") && error.contains("still thinking"), "{error}");
}

#[tokio::test]
async fn an_unknown_protocol_version_is_refused() {
    for version in ["99", "2"] {
        let launched =
            Fixture::launch_with(V5, |spec| drop(spec.env.insert("FIXTURE_PROTOCOL".into(), version.into())));
        let error = launched.await.err().unwrap();
        assert!(matches!(error, ProcessError::Version { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_process_that_dies_takes_its_calls_along_and_comes_back() {
    let fixture = Arc::new(
        Fixture::launch_with(V4, |spec| spec.timeouts.restart_min = Duration::from_millis(200)).await.unwrap(),
    );
    let waiting = tokio::spawn({
        let fixture = Arc::clone(&fixture);
        async move { fixture.call("slow", json!({"params": 60.0})).await }
    });
    fixture.host.line(|l| l.message == "slow has begun").await;
    let error = fixture.call("die", json!({})).await.unwrap_err();
    assert!(matches!(error, ExecError::Unavailable(_)), "{error}");
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, ExecError::Unavailable(_)), "{error}");

    let reason = until("the app is down, and says why", async || match fixture.call("text", json!({})).await {
        Err(ExecError::NotUp(reason)) if reason.contains("dying") => Some(reason),
        _ => None,
    });
    let reason = reason.await;
    assert!(reason.contains("exit status: 9"), "{reason}");
    let answer = until("the app is up again", async || fixture.call("text", json!({})).await.ok());
    assert_eq!(answer.await.status, 200);
    fixture.app.shutdown().await;
}

#[tokio::test]
async fn shutdown_leaves_no_process_and_no_socket() {
    for release in [V3, V4, V5] {
        let fixture = Fixture::launch(release).await;
        let family = fixture.json("family", json!({})).await;
        let (own, child) = (family["own"].as_i64().unwrap(), family["child"].as_i64().unwrap());
        let sockets = Path::new(family["socket"].as_str().unwrap()).parent().unwrap();
        assert!(is_alive(own) && is_alive(child) && sockets.is_dir());
        fixture.app.shutdown().await;
        assert!(!is_alive(own) && !sockets.exists(), "{release}");
        until("the app's own child is gone, too", async || (!is_alive(child)).then_some(())).await;
        let error = fixture.call("text", json!({})).await.unwrap_err();
        assert!(matches!(error, ExecError::NotUp(_)), "{error}");
    }
}

#[tokio::test]
async fn shutdown_lets_calls_in_flight_finish() {
    let fixture = Arc::new(Fixture::launch(V4).await);
    let waiting = tokio::spawn({
        let fixture = Arc::clone(&fixture);
        async move { fixture.app.execute(call("slow", json!({"params": 1.0}))).await }
    });
    fixture.host.line(|l| l.message == "slow has begun").await;
    fixture.app.shutdown().await;
    assert_eq!(waiting.await.unwrap().unwrap().body, &b"\"done\""[..]);
}

#[tokio::test]
async fn a_dropped_executor_ends_its_process() {
    let fixture = Fixture::launch(V5).await;
    let own = fixture.json("family", json!({})).await["own"].as_i64().unwrap();
    drop(fixture);
    until("the process is gone", async || (!is_alive(own)).then_some(())).await;
}
