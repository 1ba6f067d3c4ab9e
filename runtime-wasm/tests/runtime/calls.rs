//! One call after the other, and at once.

use crate::fixture::{App, Setup, call, until};
use gestalt_core::limits::Isolation;
use gestalt_core::{Credential, ExecError, HttpSubjectRequest, Metadata, Principal, Secret};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[tokio::test]
async fn parameters_and_answers_pass_byte_for_byte() {
    let app = Setup::probe().launch().await;
    for text in [r#"{"n":9007199254740993,"x":1.10, "é":"\u0041"}"#, r#"{"big":123456789012345678901234567890}"#] {
        let reply = app.executor.execute(call("echo", text)).await.unwrap();
        assert_eq!((reply.status, reply.body.as_ref()), (200, text.as_bytes()));
        assert_eq!(reply.header("x-echo"), Some("yes"));
    }
    let text = format!(r#"{{"text":"{}"}}"#, "m".repeat(1 << 20));
    assert_eq!(app.executor.execute(call("echo", &text)).await.unwrap().body, text.as_bytes());
    // No parameters are no text at all.
    assert_eq!(app.executor.execute(call("echo", "{}")).await.unwrap().body, "");
}

#[tokio::test]
async fn the_request_carries_credential_and_ids() {
    let app = Setup::probe().launch().await;
    let mut request = call("request", r#"{"a":1}"#);
    request.idempotency_key = "once".into();
    request.credential = Some(Credential {
        connection: "default".into(),
        instance: "work".into(),
        token: Secret::new("t0ken".into()),
        params: Metadata::from([("tenant".into(), "acme".into())]),
    });
    let reply = app.executor.execute(request).await.unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&reply.body).unwrap(),
        json!({
            "params": r#"{"a":1}"#, "token": "t0ken", "connection": [["tenant", "acme"]],
            "invocation": "call-of-request", "key": "once",
        })
    );
}

#[tokio::test]
async fn h08_the_context_shows_who_calls_whatever_the_payload_says() {
    let app = Setup::probe().launch().await;
    let mut request = call("context", "{}");
    let mut context = (*request.context).clone();
    let mut principal = Principal::anonymous();
    principal.permissions =
        Some(vec![gestalt_core::AppPermission { app: context.app.clone(), operations: Some(vec!["context".into()]) }]);
    context.principal = Arc::new(principal);
    let mut outer = context.chain[0].clone();
    outer.operation = "outer".into();
    context.chain.insert(0, outer);
    request.context = Arc::new(context);
    let reply = app.executor.execute(request).await.unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&reply.body).unwrap(),
        json!({
            "subject": "user:anonymous", "permissions": [["probe", ["context"], false]], "role": "reader",
            "credential": "work", "caller": "app/probe", "request": "call-of-context", "depth": 1,
            "chain": ["probe/outer", "probe/context"], "surface": "http", "client": "192.0.2.1",
            "base": "https://gestalt.test",
        })
    );
}

#[tokio::test]
async fn errors_of_the_guest_are_told_apart() {
    let app = Setup::probe().launch().await;
    for (operation, params, expect) in [
        ("rpc-error", json!({}), "app failed: StatusCode::Unavailable: not today"),
        ("exit", json!({"code": 3}), "app failed: the app called exit(1)"),
        ("abort", json!({}), "app failed: wasm trap: wasm `unreachable` instruction executed"),
        ("answer", json!({"status": 99}), "app failed: the answer's status is 99"),
        ("answer", json!({"status": 700}), "app failed: the answer's status is 700"),
        ("header", json!({"name": "X", "value": "a\r\nb"}), "app failed: the answer's header \"X\" is not valid"),
    ] {
        assert_eq!(app.failure(operation, params).await, expect, "{operation}");
    }
    // A status is the app's own business, as long as it is one; an operation it does not know is its answer too.
    assert_eq!(app.call("answer", json!({"status": 503})).await.unwrap().status, 503);
    assert_eq!(app.call("nonsense", json!({})).await.unwrap().status, 404);
}

#[tokio::test]
async fn h04_a_panic_ends_its_call_only_and_its_text_is_in_the_log() {
    let app = Setup::probe().launch().await;
    let error = app.failure("panic", json!({})).await;
    assert!(error.starts_with("app failed: wasm trap"), "{error}");
    assert!(!error.contains("told to panic"), "a guest's text is for the log: {error}");
    let lines = app.host.lines();
    assert!(lines.iter().any(|l| l.starts_with("stderr:call-of-panic:") && l.contains("told to panic")), "{lines:?}");
    assert_eq!(app.call("echo", json!({"a": 1})).await.unwrap().status, 200);
}

#[tokio::test]
async fn every_call_has_an_instance_of_its_own_that_has_started() {
    let app = Setup::probe().config(json!({"a": [1]})).launch().await;
    for _ in 0..20 {
        assert_eq!(app.ask("count", json!({})).await, 1);
    }
    assert_eq!(app.ask("started", json!({})).await, json!([["probe", r#"{"a":[1]}"#]]));
    let bare = Setup::probe().launch().await;
    assert_eq!(bare.ask("started", json!({})).await, json!([["probe", null]]));
}

/// How many instances have started, by what each of them prints.
fn starts(app: &App) -> usize {
    app.host.lines().iter().filter(|line| *line == "stdout::started").count()
}

#[tokio::test]
async fn instances_stand_by_and_are_made_again_in_the_background() {
    let app = Setup::probe().limits(|l| l.standby = 3).launch().await;
    // The one that told what the app offers.
    assert_eq!(starts(&app), 1);
    app.ask("count", json!({})).await;
    until("filled up", || starts(&app) == 4).await;
    // Three calls find theirs ready: none of them starts one before it is done.
    for _ in 0..3 {
        app.ask("count", json!({})).await;
    }
    until("filled up again", || starts(&app) == 7).await;
}

#[tokio::test]
async fn without_standbys_each_call_starts_its_own() {
    let app = Setup::probe().limits(|l| l.standby = 0).launch().await;
    for calls in 1..4 {
        app.ask("count", json!({})).await;
        assert_eq!(starts(&app), 1 + calls);
    }
}

#[tokio::test]
async fn isolation_app_keeps_one_instance_until_it_goes_wrong() {
    let app = Setup::probe().limits(|l| {
        l.isolation = Isolation::App;
        l.timeout = Duration::from_secs(2);
    });
    let app = app.launch().await;
    let count = async || app.ask("count", json!({})).await;
    assert_eq!([count().await, count().await, count().await], [1, 2, 3]);
    // An error the guest answers is no reason to replace it.
    app.failure("rpc-error", json!({})).await;
    assert_eq!(count().await, 4);
    app.failure("panic", json!({})).await;
    assert_eq!([count().await, count().await], [1, 2]);
    assert_eq!(app.failure("sleep", json!({"ms": 60_000})).await, "deadline exceeded");
    assert_eq!([count().await, count().await], [1, 2]);
    // A caller that goes away in the middle takes the instance with it.
    let gone = tokio::spawn({
        let executor = app.executor.clone();
        async move { executor.execute(call("invoke", r#"{"app":"silent","operation":"x"}"#)).await.map(drop) }
    });
    until("in the middle", || app.host.invoked.lock().unwrap().len() == 1).await;
    gone.abort();
    assert_eq!(count().await, 1);
    // Calls at once go one after the other.
    let four = futures::future::join_all((0..4).map(|_| app.ask("count", json!({})))).await;
    assert_eq!(four, [2, 3, 4, 5]);
}

#[tokio::test]
async fn the_log_says_which_call_wrote_it() {
    let app = Setup::probe().launch().await;
    app.ask("print", json!({"text": "hello"})).await;
    app.ask("print", json!({"text": "oops", "to": "stderr"})).await;
    let lines = app.host.lines();
    assert_eq!(lines[0], "stdout::started");
    for expect in ["stdout:call-of-print:hello", "stderr:call-of-print:oops"] {
        assert!(lines.iter().any(|l| l == expect), "{lines:?}");
    }
    // Explicit entries: the time is the guest's, empty ones are skipped, the answer is the last one's number.
    let before = app.host.entries().len();
    let last = app.ask("log", json!({"text": "noted"})).await;
    let entries = app.host.entries();
    let entry = entries[before..].iter().find(|e| e.message == "noted").unwrap();
    assert_eq!(entry.invocation_id, "call-of-log");
    assert_eq!(entry.observed_at, Some(std::time::UNIX_EPOCH + Duration::new(1, 5)));
    let number = entries.iter().position(|e| e.message == "noted").unwrap() + 1;
    assert_eq!(last, number);
}

#[tokio::test]
async fn the_static_catalog_is_there_and_decides_what_exists() {
    let app = Setup::probe().env("CATALOG", "static").launch().await;
    let catalog = app.executor.catalog(None).await.unwrap();
    let ids: Vec<_> = catalog.operations().iter().map(|o| o.id.as_str()).collect();
    assert_eq!(ids, ["echo", "static.only"]);
    let echo = catalog.find("echo").unwrap();
    assert_eq!((echo.title.as_str(), echo.method.as_str()), ("The echo", "POST"));
    assert_eq!(echo.input_schema, Some(json!({"type": "object"})));
    assert_eq!((catalog.display_name.as_str(), catalog.description.as_str()), ("Probe", "Does as it is told"));
    assert!(
        matches!(app.call("count", json!({})).await, Err(ExecError::UnknownOperation { operation }) if operation == "count")
    );
    assert_eq!(app.call("echo", json!({})).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_session_catalog_is_merged_over_the_static_one() {
    let app = Setup::probe().env("CATALOG", "session").launch().await;
    let catalog = async |token: &str| {
        let credential = Credential {
            connection: String::new(),
            instance: String::new(),
            token: Secret::new(token.into()),
            params: Metadata::from([("k".into(), "v".into())]),
        };
        app.executor.catalog(Some(&credential)).await
    };
    let merged = catalog("tok").await.unwrap();
    let shown: Vec<_> = merged.operations().iter().map(|o| (o.id.as_str(), o.title.as_str())).collect();
    let expect =
        [("echo", r#"tok [("k", "v")]"#), ("session.only", "The session.only"), ("static.only", "The static.only")];
    assert_eq!(shown, expect);
    assert_eq!(catalog("none").await.unwrap().operations().len(), 2);
    let error = catalog("fail").await.unwrap_err().to_string();
    assert_eq!(error, "app failed: StatusCode::Unknown: session catalog: upstream is away");
    assert_eq!(app.executor.catalog(None).await.unwrap().operations().len(), 2);
    // With a session catalog, what the static one lacks may still exist.
    assert_eq!(app.ask("count", json!({})).await, 1);
}

#[tokio::test]
async fn an_app_says_whose_webhook_it_is() {
    let app = Setup::probe().launch().await;
    let subject = async |body: &'static str| {
        let headers = [("X-Id", "7"), ("x-id", "8")].map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec();
        let request = HttpSubjectRequest { raw_body: body.into(), headers, ..HttpSubjectRequest::default() };
        app.executor.http_subject(&request).await
    };
    assert_eq!(subject("user").await.unwrap().unwrap().as_str(), r#"user:[["X-Id",["7","8"]]]"#);
    assert_eq!(subject("unresolved").await.unwrap(), None);
    assert_eq!(subject("unimplemented").await.unwrap(), None);
    assert!(
        matches!(subject("reject").await, Err(ExecError::Rejected { status: 401, message }) if message == "who are you")
    );
    assert!(matches!(subject("").await, Err(ExecError::Failed(_))));
}

#[tokio::test]
async fn shutdown_waits_for_calls_in_flight_and_refuses_new_ones() {
    let app = Setup::probe().launch().await;
    let mut flight = app.executor.execute(call("invoke", r#"{"app":"silent","operation":"x"}"#));
    assert!(futures::poll!(&mut flight).is_pending());
    {
        let mut shutdown = app.executor.shutdown();
        assert!(futures::poll!(&mut shutdown).is_pending());
        assert!(matches!(app.call("echo", json!({})).await, Err(ExecError::NotUp(_))));
        drop(flight);
        shutdown.await;
    }
    assert!(matches!(app.call("echo", json!({})).await, Err(ExecError::NotUp(_))));
}

#[tokio::test]
async fn a_call_ends_at_its_callers_deadline() {
    let app = Setup::probe().launch().await;
    let mut late = call("sleep", r#"{"ms":60000}"#);
    late.deadline = Instant::now() + Duration::from_millis(30);
    assert!(matches!(app.executor.execute(late).await, Err(ExecError::Deadline)));
    let mut past = call("echo", "{}");
    past.deadline = Instant::now();
    assert!(matches!(app.executor.execute(past).await, Err(ExecError::Deadline)));
}
