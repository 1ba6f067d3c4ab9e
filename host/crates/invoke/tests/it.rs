//! The request path with executors of our own: what each stage lets through, and that every way out is audited once.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use async_trait::async_trait;
use gestalt_core::audit::{self, Outcome, Record, Sink};
use gestalt_core::metrics::{Event, Meter};
use gestalt_core::service::{AppCall, AppInvoker};
use gestalt_core::{
    AppName, AppPermission, Call, Catalog, Code, Credential, ExecError, Executor, Operation, Origin, Params, Principal,
    Reply, RequestMeta,
};
use gestalt_invoke::{
    AppInfo, AppState, Apps, Grants, Invocation, InvokeError, Invoker, NestedInvoker, Problem, Settings,
};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

#[derive(Default)]
struct Journal {
    records: Mutex<Vec<audit::Invocation>>,
    events: Mutex<Vec<Event>>,
}

impl Meter for Journal {
    fn record(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }
}

impl Sink for Journal {
    fn record(&self, record: Record) {
        if let Record::Invocation(record) = record {
            self.records.lock().unwrap().push(record);
        }
    }
}

impl Journal {
    fn only(&self) -> audit::Invocation {
        let records = self.records.lock().unwrap();
        assert_eq!(records.len(), 1, "{records:?}");
        assert_eq!(self.events.lock().unwrap().len(), 1);
        records[0].clone()
    }
}

/// `echo` answers its parameters, `call` calls the app named in its parameter `to`, `hang` never answers,
/// `fail` fails, `hidden` is hidden.
struct App {
    nested: Arc<NestedInvoker>,
    entered: Arc<Notify>,
}

#[async_trait]
impl Executor for App {
    async fn catalog(&self, _: Option<&Credential>) -> Result<Arc<Catalog>, ExecError> {
        let op =
            |id: &str| Operation { id: id.into(), visible: (id == "hidden").then_some(false), ..Operation::default() };
        Ok(Arc::new(Catalog::new(["echo", "call", "hang", "fail", "hidden"].map(op).into())))
    }

    async fn execute(&self, call: Call) -> Result<Reply, ExecError> {
        self.entered.notify_one();
        match &*call.operation {
            "echo" => Ok(Reply { status: 200, headers: vec![], body: call.params.as_str().to_owned().into() }),
            "call" => {
                let to = call.params.to_map()["to"].as_str().unwrap().to_owned();
                let nested = AppCall {
                    app: to,
                    operation: "call".into(),
                    params: Params::parse(r#"{"to":"a"}"#).unwrap(),
                    connection: String::new(),
                    instance: String::new(),
                    idempotency_key: String::new(),
                    credential_mode: String::new(),
                    deadline: call.deadline,
                };
                match self.nested.invoke(&call.context, nested).await {
                    Ok(reply) => Ok(reply),
                    Err(e) => {
                        Ok(Reply { status: 500, headers: vec![], body: format!("{:?}: {}", e.code, e.message).into() })
                    }
                }
            }
            "hang" => std::future::pending().await,
            _ => Err(ExecError::Failed("internal text".into())),
        }
    }

    async fn shutdown(&self) {}
}

struct Fixture {
    invoker: Invoker,
    apps: Arc<Apps>,
    journal: Arc<Journal>,
    entered: Arc<Notify>,
    app: Arc<App>,
}

fn fixture(max_depth: usize) -> Fixture {
    let name = |n: &str| AppName::parse(n).unwrap();
    let apps = Arc::new(Apps::builder().app(name("a"), AppInfo::default()).app(name("b"), AppInfo::default()).build());
    let (journal, nested, entered) = (Arc::new(Journal::default()), NestedInvoker::new(), Arc::new(Notify::new()));
    let settings = Settings { max_depth, ..Settings::default() };
    let invoker = Invoker::new(apps.clone(), journal.clone(), journal.clone(), settings);
    nested.connect(invoker.clone());
    let app = Arc::new(App { nested, entered: entered.clone() });
    assert!(apps.settle(&name("a"), AppState::Up(app.clone())).is_ok());
    Fixture { invoker, apps, journal, entered, app }
}

fn invocation(app: &str, operation: &str, params: &str) -> Invocation {
    Invocation {
        principal: Arc::new(Principal::anonymous()),
        app: app.into(),
        operation: operation.into(),
        connection: None,
        instance: None,
        params: Params::parse(params).unwrap(),
        idempotency_key: String::new(),
        origin: Origin::Http,
        request: Arc::new(RequestMeta::default()),
        deadline: Instant::now() + Duration::from_secs(30),
        parent: None,
    }
}

#[tokio::test]
async fn answers_are_passed_on_and_audited() {
    let f = fixture(5);
    let reply = f.invoker.invoke(invocation("a", "echo", r#"{"n":9007199254740993}"#)).await.unwrap();
    assert_eq!(&reply.body[..], br#"{"n":9007199254740993}"#);
    let record = f.journal.only();
    assert_eq!(record.outcome, Outcome::Answered(200));
    assert_eq!((record.app.as_str(), record.operation.as_str(), record.depth), ("a", "echo", 0));
    assert_eq!(record.subject.as_str(), "user:anonymous");
}

#[tokio::test]
async fn each_refusal_has_its_status_and_one_record() {
    for (app, operation, status, rpc) in [
        ("nope", "echo", 404, Code::NotFound),
        ("a", "nope", 404, Code::NotFound),
        ("a", "hidden", 404, Code::NotFound),
        ("a", "fail", 502, Code::Unknown),
    ] {
        let f = fixture(5);
        let error = f.invoker.invoke(invocation(app, operation, "{}")).await.unwrap_err();
        let problem = Problem::from(&error);
        assert_eq!((problem.status, problem.rpc), (status, rpc), "{app}/{operation}");
        assert!(!problem.message.contains("internal text"));
        assert!(matches!(f.journal.only().outcome, Outcome::Failed(_)));
    }
}

/// A caller's own words would make a new time series each: only what the deployment knows is counted by name.
#[tokio::test]
async fn what_is_counted_bears_names_of_the_deployment() {
    for (app, operation, expect) in [
        ("a", "echo", (Some("a"), Some("echo"), 200)),
        ("a", "fail", (Some("a"), Some("fail"), 502)),
        ("a", "made-up", (Some("a"), None, 404)),
        ("made-up", "echo", (None, None, 404)),
    ] {
        let f = fixture(5);
        let _ = f.invoker.invoke(invocation(app, operation, "{}")).await;
        let events = f.journal.events.lock().unwrap();
        let [Event::Operation { app, operation, status, transport, .. }] = &events[..] else { panic!("{events:?}") };
        assert_eq!((app.as_ref().map(AppName::as_str), operation.as_deref(), *status), expect);
        assert_eq!(transport.is_some(), operation.is_some());
    }
}

#[tokio::test]
async fn a_token_ceiling_denies() {
    let f = fixture(5);
    let mut denied = invocation("a", "echo", "{}");
    let ceiling = AppPermission { app: AppName::parse("b").unwrap(), operations: None };
    denied.principal = Arc::new(Principal { permissions: Some(vec![ceiling]), ..Principal::anonymous() });
    let error = f.invoker.invoke(denied.clone()).await.unwrap_err();
    assert_eq!(Problem::from(&error).status, 403);
    assert_eq!(f.journal.only().outcome, Outcome::Denied("token_scope_denied"));
    assert!(f.invoker.operations(&denied.principal, "a").await.unwrap().operations().is_empty());
}

#[tokio::test]
async fn lists_leave_hidden_operations_out() {
    let f = fixture(5);
    let catalog = f.invoker.operations(&Principal::anonymous(), "a").await.unwrap();
    assert_eq!(
        catalog.operations().iter().map(|o| o.id.as_str()).collect::<Vec<_>>(),
        ["call", "echo", "fail", "hang"]
    );
}

#[tokio::test]
async fn an_app_that_calls_itself_is_stopped() {
    let f = fixture(5);
    let reply = f.invoker.invoke(invocation("a", "call", r#"{"to":"a"}"#)).await.unwrap();
    assert!(std::str::from_utf8(&reply.body).unwrap().starts_with("FailedPrecondition"), "{:?}", reply.body);
    let records = f.journal.records.lock().unwrap();
    assert_eq!(records.iter().map(|r| r.depth).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(records[0].caller_app.as_ref().unwrap().as_str(), "a");
}

#[tokio::test]
async fn e11_an_app_calls_what_it_was_granted_and_nothing_else() {
    let f = fixture(5);
    let [a, b] = ["a", "b"].map(|name| AppName::parse(name).unwrap());
    assert!(f.apps.settle(&b, AppState::Up(f.app.clone())).is_ok());
    let call = async || {
        let reply = f.invoker.invoke(invocation("a", "call", r#"{"to":"b"}"#)).await.unwrap();
        String::from_utf8(reply.body.to_vec()).unwrap()
    };
    let grant = |caller: &AppName, app: &AppName, operation: &str| {
        let mut grants = Grants::default();
        grants.add(caller.clone(), app.clone(), operation.to_owned());
        f.invoker.grant(grants);
    };
    assert_eq!(call().await, "PermissionDenied: operation access denied");
    assert_eq!(f.journal.records.lock().unwrap()[0].outcome, Outcome::Denied("invoke_not_granted"));
    for (caller, app, operation) in [(&a, &b, "echo"), (&b, &a, "call"), (&b, &b, "call")] {
        grant(caller, app, operation);
        assert_eq!(call().await, "PermissionDenied: operation access denied", "{caller} {app} {operation}");
    }
    // Granted: what refuses now is that `b` calls `a` back, without a grant of its own.
    grant(&a, &b, "call");
    f.journal.records.lock().unwrap().clear();
    assert!(call().await.starts_with("FailedPrecondition"), "the circle is noticed first");
    let chains: Vec<Vec<String>> = f
        .journal
        .records
        .lock()
        .unwrap()
        .iter()
        .map(|record| record.caller_chain.iter().map(|link| format!("{}/{}", link.app, link.operation)).collect())
        .collect();
    assert_eq!(chains, [vec!["a/call", "b/call"], vec!["a/call"], vec![]]);
}

#[tokio::test]
async fn nesting_ends_at_the_depth_limit() {
    let f = fixture(0);
    assert!(f.apps.settle(&AppName::parse("b").unwrap(), AppState::Up(f.app.clone())).is_ok());
    let reply = f.invoker.invoke(invocation("a", "call", r#"{"to":"b"}"#)).await.unwrap();
    assert!(std::str::from_utf8(&reply.body).unwrap().starts_with("ResourceExhausted"), "{:?}", reply.body);
}

#[tokio::test]
async fn calls_wait_for_a_starting_app_and_hear_of_a_failed_one() {
    let f = fixture(5);
    let b = AppName::parse("b").unwrap();
    assert!(!f.apps.settled());
    let waiting = tokio::spawn({
        let invoker = f.invoker.clone();
        async move { invoker.invoke(invocation("b", "echo", "{}")).await }
    });
    assert!(f.apps.settle(&b, AppState::Up(f.app.clone())).is_ok());
    assert_eq!(waiting.await.unwrap().unwrap().status, 200);
    f.apps.wait_settled().await;

    let f = fixture(5);
    assert!(f.apps.settle(&b, AppState::Failed("no such file".into())).is_ok());
    let error = f.invoker.invoke(invocation("b", "echo", "{}")).await.unwrap_err();
    assert_eq!(Problem::from(&error).status, 503);
    assert!(error.to_string().contains("no such file"));
}

#[tokio::test]
async fn a_stopped_app_stays_stopped() {
    let f = fixture(5);
    let [a, b] = ["a", "b"].map(|name| AppName::parse(name).unwrap());
    assert!(f.apps.stop(&a, "taken out").is_some(), "it was up");
    assert!(f.apps.stop(&b, "taken out").is_none(), "it was on its way up");
    // Whoever was starting it is handed back what nobody wants any more.
    assert!(matches!(f.apps.settle(&b, AppState::Up(f.app.clone())), Err(AppState::Up(_))));
    for app in ["a", "b"] {
        let error = f.invoker.invoke(invocation(app, "echo", "{}")).await.unwrap_err();
        assert!(error.to_string().contains("taken out"), "{app}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_deadline() {
    let f = fixture(5);
    let error = f.invoker.invoke(invocation("a", "hang", "{}")).await.unwrap_err();
    assert!(matches!(error, InvokeError::Exec { source: ExecError::Deadline, .. }));
    assert_eq!(Problem::from(&error).message, "operation timed out");
    f.journal.only();
}

#[tokio::test]
async fn a_dropped_call_is_audited_too() {
    let f = fixture(5);
    let task = tokio::spawn({
        let invoker = f.invoker.clone();
        async move { invoker.invoke(invocation("a", "hang", "{}")).await }
    });
    f.entered.notified().await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(f.journal.only().outcome, Outcome::Abandoned);
}

#[tokio::test]
async fn shutdown_takes_the_apps_out() {
    let f = fixture(5);
    assert_eq!(f.apps.drain().len(), 1);
    let error = f.invoker.invoke(invocation("a", "echo", "{}")).await.unwrap_err();
    assert_eq!(Problem::from(&error).status, 503);
}
