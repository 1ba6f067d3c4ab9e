//! What a guest can ask of the host.

use crate::fixture::{Setup, call, error, until};
use gestalt_core::limits::Isolation;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn an_app_calls_another_on_its_callers_authority() {
    let app = Setup::probe().launch().await;
    let request = call(
        "invoke",
        r#"{"app":"other","operation":"op","params":{"n":9007199254740993},"connection":"c","mode":"none"}"#,
    );
    let deadline = request.deadline;
    let reply = app.executor.execute(request).await.unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&reply.body).unwrap(),
        json!({"status": 207, "body": r#"{"n":9007199254740993}"#, "headers": [["X-A", ["1", "2"]]]})
    );
    let (caller, call) = app.host.invoked.lock().unwrap().pop().unwrap();
    assert_eq!(caller.invocation_id.as_ref(), "call-of-invoke");
    assert_eq!(caller.chain.len(), 1);
    assert_eq!((call.app.as_str(), call.operation.as_str(), call.connection.as_str()), ("other", "op", "c"));
    assert_eq!((call.credential_mode.as_str(), call.idempotency_key.as_str()), ("none", "key"));
    // The nested call has what is left of this app's own time.
    assert!(call.deadline < deadline);
    assert!(call.deadline > std::time::Instant::now() + Duration::from_secs(20));
}

#[tokio::test]
async fn a_call_that_cannot_be_made_is_an_rpc_error() {
    let app = Setup::probe().launch().await;
    for (params, expect) in [
        (json!({"app": "gone", "operation": "x"}), "StatusCode::NotFound: no such app"),
        (json!({"app": "", "operation": "x"}), "StatusCode::InvalidArgument"),
        (json!({"app": "x", "operation": ""}), "StatusCode::InvalidArgument"),
        (json!({"app": "x", "operation": "x", "mode": "root"}), "StatusCode::InvalidArgument"),
        (json!({"app": "x".repeat(257), "operation": "x"}), "StatusCode::InvalidArgument: a name is longer"),
        (json!({"app": "x", "operation": "x".repeat(1 << 20)}), "StatusCode::InvalidArgument: a name is longer"),
        (
            json!({"app": "x", "operation": "x", "connection": "x".repeat(257)}),
            "StatusCode::InvalidArgument: a name is",
        ),
        (
            json!({"app": "x", "operation": "x", "params": "[1]"}),
            "StatusCode::InvalidArgument: params: not a JSON object",
        ),
        (json!({"app": "x", "operation": "x", "runAs": "user:root"}), "StatusCode::PermissionDenied: no configuration"),
        (json!({"app": "large", "operation": "x"}), "StatusCode::ResourceExhausted"),
    ] {
        let answer = app.ask("invoke", params.clone()).await;
        assert!(answer.as_str().unwrap().starts_with(expect), "{params}: {answer}");
    }
    // Only what was well formed was asked.
    assert_eq!(app.host.invoked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn f11_services_that_are_not_there_say_so() {
    let app = Setup::probe().launch().await;
    let unavailable = "StatusCode::Unavailable";
    assert_eq!(app.ask("services", json!({})).await, json!([unavailable, unavailable, unavailable, unavailable]));
}

#[tokio::test]
async fn outgoing_requests_pass_through_the_apps_outbound() {
    let app = Setup::probe().launch().await;
    let answer = app.ask("fetch", json!({"host": "echo.test:8080", "path": "/a?b=c", "body": "hello"})).await;
    assert_eq!(answer, json!([201, "hello"]));
    let sent = app.host.sent.lock().unwrap().pop().unwrap();
    assert_eq!(sent.head.uri, "http://echo.test:8080/a?b=c");
    assert_eq!((sent.head.method.as_str(), sent.body.as_ref()), ("POST", b"hello".as_slice()));
    assert!(!sent.head.headers.contains_key("host"), "{:?}", sent.head.headers);
    assert_eq!(sent.options.attribution.invocation_id.as_ref(), "call-of-fetch");
    assert_eq!(sent.options.attribution.subject.as_ref(), "user:anonymous");
    assert_eq!(sent.options.connect_timeout, Some(Duration::from_secs(1)));
    assert_eq!(sent.options.first_byte_timeout, None);
}

#[tokio::test]
async fn every_egress_error_has_its_code_and_no_detail() {
    let app = Setup::probe().launch().await;
    for (host, expect) in [
        ("denied", "ErrorCode::HttpRequestDenied"),
        ("uri", "ErrorCode::HttpRequestUriInvalid"),
        ("method", "ErrorCode::HttpRequestMethodInvalid"),
        ("dns", "ErrorCode::DnsError(DnsErrorPayload { rcode: None, info-code: None })"),
        ("dns-timeout", "ErrorCode::DnsTimeout"),
        ("address", "ErrorCode::DestinationIpProhibited"),
        ("limit", "ErrorCode::ConnectionLimitReached"),
        ("connect", "ErrorCode::ConnectionRefused"),
        ("connect-timeout", "ErrorCode::ConnectionTimeout"),
        ("certificate", "ErrorCode::TlsCertificateError"),
        ("tls", "ErrorCode::TlsProtocolError"),
        ("read-timeout", "ErrorCode::ConnectionReadTimeout"),
        ("request-size", "ErrorCode::HttpRequestBodySize(Some(5))"),
        ("response-size", "ErrorCode::HttpResponseBodySize(Some(5))"),
        ("response-head", "ErrorCode::HttpResponseHeaderSectionSize(None)"),
        ("upgrade", "ErrorCode::HttpUpgradeFailed"),
        ("protocol", "ErrorCode::HttpProtocolError"),
        ("closed", "ErrorCode::ConnectionTerminated"),
    ] {
        let host = format!("{host}.error");
        assert!(error(&host).is_some());
        let answer = app.ask("fetch", json!({"host": host, "path": "/", "body": "x"})).await;
        assert_eq!(answer, expect, "{host}");
    }
    // A body that breaks off is an error of the stream, with its code.
    let answer = app.ask("fetch", json!({"host": "broken.test", "path": "/", "body": "x"})).await;
    assert_eq!(answer, "ErrorCode::HttpResponseBodySize(Some(7))");
}

#[tokio::test]
async fn forbidden_headers_cannot_be_set() {
    let app = Setup::probe().launch().await;
    for header in ["Host", "Connection", "Transfer-Encoding", "Proxy-Authorization", "Upgrade", "TE", "Trailer"] {
        let answer = app.ask("fetch", json!({"host": "echo.test", "path": "/", "header": header})).await;
        assert_eq!(answer, "HeaderError::Forbidden", "{header}");
    }
    assert!(app.host.sent.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_guest_that_is_given_up_sends_nothing_more() {
    for isolation in [Isolation::Invocation, Isolation::App] {
        let setup = Setup::probe().limits(|l| (l.isolation, l.timeout) = (isolation, Duration::from_millis(100)));
        let app = setup.launch().await;
        let host = std::sync::Arc::downgrade(&app.host);
        assert_eq!(app.failure("fetch", json!({"host": "silent.test", "path": "/"})).await, "deadline exceeded");
        assert_eq!(app.ask("count", json!({})).await, 1);
        app.executor.shutdown().await;
        drop(app);
        // The request in flight held the host; it is gone with its store.
        until("released", || host.strong_count() == 0).await;
    }
}
