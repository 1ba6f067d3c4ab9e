//! What an app may ask of the host, over the socket that grpcio gives an illegal authority to.

use crate::kit::{Fixture, V3, V4, V5, call};
use gestalt_core::Executor;
use gestalt_core::service::LogStream;
use serde_json::{Value, json};

#[tokio::test]
async fn an_app_calls_another_on_its_callers_authority() {
    for release in [V4, V5] {
        let fixture = Fixture::launch(release).await;
        let params = json!({"app": "other", "operation": "op", "params": {"n": 7, "x": 0.5}});
        let outer = call("call", params);
        let answer = fixture.app.execute(outer.clone()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer["status"], 200, "{release}: {answer}");
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        assert_eq!(body, json!({"operation": "op", "params": {"n": 7, "x": 0.5}}), "{release}");
        let (context, nested) = fixture.host.invoker.calls.lock().unwrap().pop().unwrap();
        assert_eq!(
            (&context.invocation_id, &context.principal),
            (&outer.context.invocation_id, &outer.context.principal)
        );
        assert_eq!(nested.deadline, outer.deadline, "a nested call gets no more time than its caller has");
        fixture.app.shutdown().await;
    }
}

#[tokio::test]
async fn answers_of_the_other_app_are_data_and_failures_are_codes() {
    for (release, binary) in [(V4, "INTERNAL"), (V5, "")] {
        let fixture = Fixture::launch(release).await;
        let ask = async |app: &str| fixture.json("call", json!({"app": app, "operation": "op"})).await;
        assert_eq!(ask("teapot").await["status"], 418, "{release}");
        let missing = ask("missing").await;
        assert!(missing["error"].as_str().unwrap().contains("no such app"), "{release}: {missing}");
        if !binary.is_empty() {
            let answer = ask("binary").await;
            assert!(answer["error"].as_str().unwrap().contains(binary), "{release}: {answer}");
        }
        fixture.app.shutdown().await;
    }
}

#[tokio::test]
async fn an_answered_call_may_go_on_calling_back() {
    let fixture = Fixture::launch(V4).await;
    fixture.json("remember", json!({})).await;
    let answer = fixture.json("replay", json!({"app": "other", "operation": "later"})).await;
    assert_eq!(answer["status"], 200, "{answer}");
    fixture.app.shutdown().await;
}

#[tokio::test]
async fn an_echo_is_a_key_and_nothing_else() {
    for release in [V4, V5] {
        let fixture = Fixture::launch(release).await;
        let forge = async |params: Value| {
            let mut forging = call("forge", json!({}));
            let own = forging.context.invocation_id.to_string();
            let Value::Object(mut params) = params else { panic!() };
            params.insert("own".into(), own.into());
            forging.params = params.into();
            let reply = fixture.app.execute(forging).await.unwrap();
            serde_json::from_slice::<Value>(&reply.body).unwrap()
        };
        for (params, code) in [
            (json!({"context": false}), "FAILED_PRECONDITION"),
            (json!({"kind": "agent"}), "PERMISSION_DENIED"),
            (json!({"name": "other"}), "PERMISSION_DENIED"),
            (json!({"request_id": "invocation-of-somebody-else"}), "PERMISSION_DENIED"),
        ] {
            assert_eq!(forge(params.clone()).await["code"], code, "{params} on {release}");
        }
        assert!(fixture.host.invoker.calls.lock().unwrap().is_empty(), "no forged call reached an app");
        // The context is the app's own; the subject it wrote into it is not believed.
        assert!(forge(json!({})).await["ok"].is_u64());
        let (context, _) = fixture.host.invoker.calls.lock().unwrap().pop().unwrap();
        assert_eq!(context.principal.subject.as_str(), "user:anonymous");
        fixture.app.shutdown().await;
    }
}

#[tokio::test]
async fn services_that_are_not_there_say_so() {
    let fixture = Fixture::launch(V5).await;
    for method in [
        "Cache/Get",
        "IndexedDB/Get",
        "S3/HeadObject",
        "Authorization/CheckAccess",
        "WorkflowProvider/GetRun",
        "Agent/GetTurn",
        "App/InvokeGraphQL",
        "PluginInvoker/Invoke",
    ] {
        let answer = fixture.json("probe", json!({"method": method})).await;
        assert_eq!(answer["code"], "UNAVAILABLE", "{method}: {answer}");
        assert!(answer["details"].as_str().unwrap().ends_with("is not available"), "{answer}");
    }
    assert_eq!(fixture.json("probe", json!({"method": "NoSuch/Thing"})).await["code"], "UNIMPLEMENTED");
    fixture.app.shutdown().await;
}

#[tokio::test]
async fn what_an_app_logs_and_prints_arrives() {
    let fixture = Fixture::launch(V4).await;
    let answer = fixture.json("log", json!({"message": "in my own words"})).await;
    assert!(answer["ok"].is_u64(), "{answer}");
    let line = fixture.host.line(|l| l.message == "in my own words").await;
    assert_eq!(line.stream, LogStream::Runtime);
    let foreign = fixture.json("log", json!({"message": "x", "session": "gstp-other"})).await;
    assert_eq!(foreign["code"], "NOT_FOUND", "{foreign}");
    fixture.app.shutdown().await;

    for release in [V3, V5] {
        let fixture = Fixture::launch(release).await;
        fixture.json("say", json!({"params": "out loud"})).await;
        let mut streams = vec![];
        for _ in 0..2 {
            streams.push(fixture.host.line(|l| l.message == "out loud").await.stream);
        }
        assert!(streams.contains(&LogStream::Stdout) && streams.contains(&LogStream::Stderr), "{streams:?}");
        fixture.app.shutdown().await;
    }
}
