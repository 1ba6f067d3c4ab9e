use super::columns::{Cell, Column};
use gestalt_core::audit::Outcome;
use gestalt_core::egress::DenyReason;
use gestalt_tests::{Answer, eventually};
use serde_json::{Value, json};
use std::time::Duration;

async fn call(cell: &Cell, app: &str, operation: &str, params: &Value) -> Answer {
    cell.host.call(app, operation, params.to_string()).await
}

/// Status and JSON body, for a message that shows both.
fn seen(answer: &Answer) -> (u16, Value) {
    (answer.code(), numbers_as_doubles(serde_json::from_slice(&answer.body).unwrap_or_else(|_| answer.text().into())))
}

/// The native protocol turns `1` into `1.0`; both are the same number.
fn numbers_as_doubles(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.into_iter().map(numbers_as_doubles).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, numbers_as_doubles(value))).collect(),
        other => other,
    }
}

fn assert_seen(answer: &Answer, status: u16, body: Value) {
    assert_eq!(seen(answer), (status, numbers_as_doubles(body)));
}

/// The app still works.
async fn assert_alive(cell: &Cell) {
    assert_seen(&call(cell, "echo", "echo", &json!({"a": 1})).await, 200, json!({"a": 1}));
}

/// Parameters come back as they were sent, and exactly one record says so.
pub(super) async fn echo(column: Column) {
    let cell = column.start(&[]).await;
    let params =
        json!({"text": "h\u{e9}llo <&> \"\\", "n": -1.5, "none": null, "yes": true, "deep": {"list": [1, "2", [3]]}});
    let answer = call(&cell, "echo", "echo", &params).await;
    assert_seen(&answer, 200, params);
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("application/json"));
    assert_seen(&call(&cell, "echo", "echo", &json!({})).await, 200, json!({}));
    let query = cell.host.get("/api/v1/echo/echo?a=1&a=2&b=x%20y").await;
    assert_seen(&query, 200, json!({"a": "1", "b": "x y"}));

    let records = cell.host.shutdown().await.invocations();
    let told: Vec<_> = records.iter().map(|r| (&r.app[..], &r.operation[..], r.depth, r.outcome.clone())).collect();
    assert_eq!(told, vec![("echo", "echo", 0, Outcome::Answered(200)); 3]);
}

/// An integer that no double can hold is not rounded.
pub(super) async fn exact_integers(column: Column) {
    let cell = column.start(&[]).await;
    let text = r#"{"n":9007199254740993,"m":[18446744073709551615,-9223372036854775808]}"#;
    let answer = cell.host.call("echo", "echo", text).await;
    let compact: String = answer.text().split_whitespace().collect();
    for number in ["9007199254740993", "18446744073709551615", "-9223372036854775808"] {
        assert!(compact.contains(number), "{compact}");
    }
}

/// The error an app raises on purpose is its answer; one it did not mean is not told.
pub(super) async fn typed_error(column: Column) {
    let cell = column.start(&[]).await;
    let answer = call(&cell, "echo", "fail", &json!({"status": 418, "message": "no tea"})).await;
    assert_seen(&answer, 418, json!({"error": "no tea"}));
    let answer = call(&cell, "echo", "fail", &json!({"status": 0, "message": "the secret"})).await;
    assert_eq!(answer.code(), 500);
    assert!(!answer.text().contains("the secret"), "{}", answer.text());
    assert_alive(&cell).await;
}

/// Status, body and headers are the app's; the headers that belong to the daemon's origin stay the daemon's.
pub(super) async fn status_and_headers(column: Column) {
    let cell = column.start(&[]).await;
    let headers = json!({
        "ETag": ["3"], "Content-Language": ["a", "b"], "X-Cost": ["3"], "Set-Cookie": ["a=b"], "X-Frame-Options": ["ALLOW"],
        "Content-Security-Policy": ["default-src *"], "Link": ["</x>; rel=preload"], "Service-Worker-Allowed": ["/"]
    });
    let params = json!({"status": 201, "headers": headers, "body": {"made": [true, null]}});
    let answer = call(&cell, "echo", "respond", &params).await;
    assert_seen(&answer, 201, json!({"made": [true, null]}));
    let got = |name: &str| -> Vec<_> { answer.headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect() };
    assert_eq!((got("etag"), got("content-language")), (vec!["3"], vec!["a", "b"]));
    for name in ["x-cost", "set-cookie", "link", "service-worker-allowed"] {
        assert_eq!(got(name), [""; 0], "{name}");
    }
    assert_eq!((got("x-frame-options"), got("x-content-type-options")), (vec!["DENY"], vec!["nosniff"]));
    let policy = got("content-security-policy");
    assert!(matches!(policy[..], [one] if one.starts_with("sandbox; default-src 'none'")), "{policy:?}");
    let answer = call(&cell, "echo", "respond", &json!({"status": 503, "body": "later"})).await;
    assert_seen(&answer, 503, json!("later"));
}

/// What is not there is not found, and told in the same words everywhere.
pub(super) async fn unknown_operation(column: Column) {
    let cell = column.start(&[]).await;
    let answer = call(&cell, "echo", "nope", &json!({})).await;
    assert_seen(&answer, 404, json!({"error": "operation \"nope\" not found on integration \"echo\""}));
    let answer = call(&cell, "nobody", "echo", &json!({})).await;
    assert_seen(&answer, 404, json!({"error": "integration \"nobody\" not found"}));
    for text in ["", "[1]", "{", "{\"a\":1} x", "\u{1}"] {
        let answer = cell.host.call("echo", "echo", text.to_owned()).await;
        assert_seen(&answer, 400, json!({"error": "invalid JSON body"}));
    }
    assert_alive(&cell).await;
}

/// A request as large as the API takes comes back whole; one byte more is refused before any app sees it.
pub(super) async fn large_input(column: Column) {
    let cell = column.start(&[]).await;
    let overhead = r#"{"text":""}"#.len();
    let text = "x".repeat((1 << 20) - overhead);
    let answer = cell.host.call("echo", "echo", format!(r#"{{"text":"{text}"}}"#)).await;
    assert_eq!(answer.code(), 200, "{}", &answer.text()[..answer.body.len().min(200)]);
    assert!(answer.json()["text"] == Value::String(text.clone()), "the text came back changed");
    let answer = cell.host.call("echo", "echo", format!(r#"{{"text":"{text}x"}}"#)).await;
    assert_seen(&answer, 400, json!({"error": "invalid JSON body"}));
    assert_alive(&cell).await;
}

/// A call ends at its deadline, whatever the app is doing, and the next one finds the app in order.
pub(super) async fn deadline(column: Column) {
    let cell = column.start(&[]).await;
    assert_alive(&cell).await;
    let time = Duration::from_millis(300);
    let problem = cell.host.invoke("echo", "slow", r#"{"millis":600000}"#, time).await.unwrap_err();
    assert_eq!((problem.status, problem.message.as_str()), (502, "operation timed out"));
    assert_alive(&cell).await;
}

/// A crash costs the call that crashed; the app comes back by itself.
pub(super) async fn crash(column: Column) {
    let cell = column.start(&[]).await;
    assert_alive(&cell).await;
    let answer = call(&cell, "echo", "crash", &json!({})).await;
    assert_eq!(answer.code(), 502, "{}", answer.text());
    eventually("the app to be back", || async {
        (call(&cell, "echo", "echo", &json!({"a": 1})).await.code() == 200).then_some(())
    })
    .await;
    assert_alive(&cell).await;
}

/// An app is called by another like by anybody, and told apart in the records.
pub(super) async fn called_by_an_app(column: Column) {
    let cell = column.start(&["caller"]).await;
    let params = json!({"app": "echo", "operation": "echo", "params": {"a": {"b": [1, "x"]}}});
    let answer = call(&cell, "caller", "call", &params).await;
    assert_eq!((answer.code(), &seen(&answer).1["status"]), (200, &json!(200.0)), "{}", answer.text());
    assert_eq!(seen(&answer).1["body"], numbers_as_doubles(json!({"a": {"b": [1, "x"]}})));
    let params = json!({"app": "echo", "operation": "fail", "params": {"status": 404, "message": "none"}});
    let answer = call(&cell, "caller", "call", &params).await;
    assert_eq!((&answer.json()["status"], &answer.json()["body"]), (&json!(404), &json!({"error": "none"})));

    let records = cell.host.shutdown().await.invocations();
    let told: Vec<_> =
        records.iter().map(|r| (&r.app[..], r.depth, r.caller_app.as_ref().map(|a| a.as_str()))).collect();
    assert_eq!(told, [("echo", 1, Some("caller")), ("caller", 0, None)].repeat(2));
}

/// Apps call apps on their caller's authority, so deep and no deeper, and never in a circle.
pub(super) async fn nested_calls(column: Column) {
    let cell = column.start(&["target", "caller"]).await;
    let nested = async |target: &str, operation: &str, params: Value| {
        call(&cell, "echo", "call", &json!({"app": target, "operation": operation, "params": params})).await
    };

    let answer = nested("target", "echo", json!({"a": {"b": [1, "x"]}})).await;
    assert_eq!((answer.code(), &seen(&answer).1["status"]), (200, &json!(200.0)), "{}", answer.text());
    assert_eq!(seen(&answer).1["body"], numbers_as_doubles(json!({"a": {"b": [1, "x"]}})));
    let answer = nested("nobody", "echo", json!({})).await;
    assert_eq!(answer.json()["refused"]["code"], "not-found", "{}", answer.text());

    // Five levels lie below the outermost call, and `descend.0` is the first of them.
    let answer = nested("caller", "descend.0", json!({})).await;
    assert_eq!(seen(&answer).1["body"]["level"], json!(4.0), "{}", answer.text());
    assert_eq!(answer.json()["body"]["refused"]["code"], "resource-exhausted", "{}", answer.text());
    let answer = nested("echo", "call", json!({"app": "target", "operation": "echo"})).await;
    assert_eq!(answer.json()["refused"]["code"], "failed-precondition", "{}", answer.text());

    let records = cell.host.shutdown().await.invocations();
    let first = records.iter().find(|r| r.app == "target").unwrap();
    assert_eq!((first.depth, first.caller_app.as_ref().unwrap().as_str()), (1, "echo"));
    assert_eq!(first.subject.as_str(), "user:anonymous");
}

/// What is listed can be reached; for anything else nobody is even asked.
pub(super) async fn egress(column: Column) {
    let declarative = column == Column::Declarative;
    let cell = column.start(if declarative { &["listed", "barred"] } else { &["fetch"] }).await;
    let port = cell.upstream.port();
    if declarative {
        assert_eq!(call(&cell, "listed", "get", &json!({})).await.code(), 200);
        assert_seen(&call(&cell, "barred", "get", &json!({})).await, 502, json!({"error": "operation failed"}));
    } else {
        let get = async |host: &str| {
            let answer = call(&cell, "fetch", "get", &json!({"url": format!("http://{host}:{port}/somewhere")})).await;
            assert_eq!(answer.code(), 200, "{}", answer.text());
            answer.json()
        };
        assert_eq!(get("upstream.test").await["status"], 200);
        assert_eq!(get("evil.test").await["error"], "http-request-denied");
        assert_eq!(get("127.0.0.1").await["error"], "http-request-denied");
    }
    let asked = cell.upstream.asked();
    let seen: Vec<_> = asked.iter().map(|a| (a.target.as_str(), a.headers["host"].to_str().unwrap())).collect();
    assert_eq!(seen, [("/somewhere", format!("upstream.test:{port}").as_str())]);
    assert_eq!(cell.host.names().asked(), ["upstream.test"]);

    let records = cell.host.shutdown().await.egress();
    let told: Vec<_> = records.iter().map(|r| (r.host.as_str(), r.port, r.denied)).collect();
    let (allowed, denied) = (("upstream.test", port, None), Some(DenyReason::HostNotAllowed));
    if declarative {
        assert_eq!(told, [allowed, ("upstream.test", port, denied)]);
    } else {
        assert_eq!(told, [allowed, ("evil.test", port, denied), ("127.0.0.1", port, denied)]);
    }
}
