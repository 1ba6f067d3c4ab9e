//! What goes into an app and what comes out.

use crate::kit::{Fixture, V3, V4, V5, call, credential, operation};
use gestalt_core::{ExecError, Executor, HttpSubjectRequest};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The table of the provider reference, section 3.1.
async fn execute_table(release: &str) {
    let fixture = Fixture::launch(release).await;
    let ok = |body| (200, body);
    for (operation, params, (status, body)) in [
        (
            "echo",
            json!({"a": "ü", "n": {"list": [true, null, 1.5]}}),
            ok(json!({"a": "ü", "n": {"list": [true, null, 1.5]}})),
        ),
        ("echo", json!({}), ok(json!({}))),
        ("text", json!({}), ok(json!("plain"))),
        ("nothing", json!({}), ok(Value::Null)),
        ("created", json!({}), (201, json!({"id": 1}))),
        ("forbidden", json!({}), (403, json!({"error": "nope"}))),
        ("boom", json!({}), (500, json!({"error": "internal error"}))),
        ("missing", json!({}), (404, json!({"error": "unknown operation"}))),
    ] {
        let reply = fixture.call(operation, params).await.unwrap();
        let got: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!((reply.status, got), (status, body), "{operation} on {release}");
    }
    // Every number arrives as a float. SDKs from protocol 4 on take a whole one for an integer.
    let whole = if release == V3 { 400 } else { 200 };
    for (param, status) in [(json!(41), whole), (json!(1.5), 400), (json!("x"), 400)] {
        let reply = fixture.call("integer", json!({"params": param})).await.unwrap();
        assert_eq!(reply.status, status, "{param} on {release}: {reply:?}");
    }
    fixture.app.shutdown().await;
}

#[tokio::test]
async fn execute_on_protocol_3() {
    execute_table(V3).await;
}

#[tokio::test]
async fn execute_on_protocol_4() {
    execute_table(V4).await;
}

#[tokio::test]
async fn execute_on_protocol_5() {
    execute_table(V5).await;
}

#[tokio::test]
async fn headers_come_back_with_all_their_values() {
    let fixture = Fixture::launch(V5).await;
    let reply = fixture.call("created", json!({})).await.unwrap();
    let header = |name: &str| {
        reply.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(header("x-many"), ["a", "b"]);
    assert_eq!((header("location"), header("content-type")), (vec!["/things/1"], vec!["application/json"]));
    fixture.app.shutdown().await;
}

async fn seen(release: &str) -> Value {
    let fixture = Fixture::launch(release).await;
    let mut call = call("seen", json!({}));
    call.credential = Some(credential("hunter2"));
    call.idempotency_key = "once".into();
    let reply = fixture.app.execute(call).await.unwrap();
    fixture.app.shutdown().await;
    serde_json::from_slice(&reply.body).unwrap()
}

#[tokio::test]
async fn the_app_learns_who_calls_and_with_what() {
    for (release, credential_subject) in [(V4, true), (V5, false)] {
        let seen = seen(release).await;
        assert_eq!(
            (&seen["token"], &seen["connection_params"], &seen["idempotency_key"], &seen["subject"]),
            (&json!("hunter2"), &json!({"region": "eu"}), &json!("once"), &json!("user:anonymous")),
        );
        let context = seen["context"].as_str().unwrap();
        for part in
            ["invocation-", "everyone", "reader", "https://gestalt.test", "192.0.2.1", "fixture/seen", "main", "first"]
        {
            assert!(context.contains(part), "{part} on {release}: {context}");
        }
        assert_eq!(
            context.contains("credential_subject_id: \"user:owner\""),
            credential_subject,
            "{release}: {context}"
        );
    }
    assert_eq!(seen(V3).await["subject"], "user:anonymous");
}

#[tokio::test]
async fn the_app_gets_its_config_and_environment() {
    let fixture = Fixture::launch_with(V4, |spec| {
        spec.config = Some(json!({"url": "https://x.test", "retries": 3}));
        spec.env.insert("FIXTURE_WORD".into(), "hello".into());
    })
    .await
    .unwrap();
    let got = fixture.json("configuration", json!({})).await;
    assert_eq!(got, json!({"name": "fixture", "config": {"url": "https://x.test", "retries": 3.0}}));
    let env = fixture.json("environment", json!({})).await;
    assert_eq!((&env["FIXTURE_WORD"], &env["GESTALT_APP_NAME"]), (&json!("hello"), &json!("fixture")));
    assert!(env.get("CARGO_MANIFEST_DIR").is_none(), "the tests' own environment must not reach the app");
    fixture.app.shutdown().await;
}

#[tokio::test]
async fn large_messages_pass_both_ways() {
    let fixture = Fixture::launch(V4).await;
    let long = "x".repeat(6 << 20);
    assert_eq!(fixture.json("echo", json!({"long": long})).await["long"], json!(long));
    assert_eq!(fixture.json("sized", json!({"params": 20 << 20})).await.as_str().unwrap().len(), 20 << 20);
    let error = fixture.call("sized", json!({"params": 65 << 20})).await.unwrap_err();
    assert!(!matches!(error, ExecError::Unavailable(_)), "{error}");
    assert_eq!(fixture.json("text", json!({})).await, "plain");
    fixture.app.shutdown().await;
}

#[tokio::test]
async fn parameters_nest_as_deep_as_the_wire_lets_them() {
    let nested = |depth| (1..depth).fold(json!({}), |inner, _| json!({"a": inner}));
    for release in [V3, V4, V5] {
        let fixture = Fixture::launch(release).await;
        assert_eq!(fixture.json("echo", nested(32)).await, nested(32), "{release}");
        let error = fixture.call("echo", nested(33)).await.unwrap_err();
        assert!(matches!(error, ExecError::InvalidInput(_)), "{error}");
        fixture.app.shutdown().await;
    }
}

#[tokio::test]
async fn a_call_past_its_deadline_ends_alone() {
    let fixture = Fixture::launch(V4).await;
    let mut slow = call("slow", json!({"params": 3.0}));
    slow.deadline = Instant::now() + Duration::from_millis(200);
    let begun = Instant::now();
    let error = fixture.app.execute(slow).await.unwrap_err();
    assert!(matches!(error, ExecError::Deadline), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(fixture.json("text", json!({})).await, "plain");
    fixture.app.shutdown().await;
}

#[tokio::test]
async fn a_credential_adds_its_own_operations() {
    for release in [V3, V4, V5] {
        let fixture = Fixture::launch(release).await;
        let titles = |catalog: &gestalt_core::Catalog| {
            catalog.operations().iter().map(|o| (o.id.clone(), o.title.clone())).collect::<Vec<_>>()
        };
        let pair = |id: &str, title: &str| {
            let o = operation(id, title);
            (o.id, o.title)
        };
        let fixed = fixture.app.catalog(None).await.unwrap();
        assert_eq!(titles(&fixed), [pair("echo", "static"), pair("text", "static")]);
        let session = fixture.app.catalog(Some(&credential("t"))).await.unwrap();
        assert_eq!(
            titles(&session),
            [pair("echo", "session"), pair("mine", "of t"), pair("text", "static")],
            "{release}"
        );
        let error = fixture.app.catalog(Some(&credential("broken"))).await.unwrap_err();
        assert!(matches!(&error, ExecError::Failed(text) if text.contains("session catalog")), "{error}");
        fixture.app.shutdown().await;
    }
}

#[tokio::test]
async fn an_app_says_who_a_webhook_acts_as() {
    for release in [V3, V4, V5] {
        let fixture = Fixture::launch(release).await;
        let request = |path: &str| HttpSubjectRequest {
            path: path.into(),
            method: "POST".into(),
            headers: vec![("X-User".into(), "ann".into()), ("X-User".into(), "bob".into())],
            ..HttpSubjectRequest::default()
        };
        let subject = fixture.app.http_subject(&request("/hook")).await.unwrap();
        assert_eq!(subject.unwrap().as_str(), "user:bob", "{release}");
        assert_eq!(fixture.app.http_subject(&request("/nobody")).await.unwrap(), None);
        let error = fixture.app.http_subject(&request("/reject")).await.unwrap_err();
        assert!(matches!(&error, ExecError::Rejected { status: 418, message } if message == "go away"), "{error}");
        fixture.app.shutdown().await;
    }
}
