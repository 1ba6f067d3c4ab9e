use super::{operation, surface};
use crate::{DeclarativeError, RestExecutor, RestLimits, RestOperation};
use async_trait::async_trait;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::any};
use gestalt_core::egress::{Body, DenyReason, EgressError, Outbound, SendOptions};
use gestalt_core::limits::ByteSize;
use gestalt_core::{
    AppName, Call, CallContext, CallLink, Credential, CredentialChoice, ExecError, Executor, Metadata, Origin, Params,
    Principal, Reply, Secret,
};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};

/// The plain way out: one connection per request, no policy.
pub(super) struct Direct;

#[async_trait]
impl Outbound for Direct {
    #[expect(clippy::disallowed_methods, reason = "stands in for the egress crate, which this one does not depend on")]
    async fn send(
        &self,
        mut request: http::Request<Body>,
        _: SendOptions,
    ) -> Result<http::Response<Body>, EgressError> {
        let authority = request.uri().authority().unwrap().as_str().to_owned();
        *request.uri_mut() = request.uri().path_and_query().unwrap().as_str().parse().unwrap();
        request.headers_mut().insert("host", authority.parse().unwrap());
        let stream = TcpStream::connect(authority).await.map_err(|e| EgressError::Connect(e.to_string()))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|e| EgressError::Protocol(e.to_string()))?;
        Ok(response.map(|body| body.map_err(|e| EgressError::Closed(e.to_string())).boxed_unsync()))
    }
}

/// Answers every request with one error.
struct Broken(EgressError);

#[async_trait]
impl Outbound for Broken {
    async fn send(&self, _: http::Request<Body>, _: SendOptions) -> Result<http::Response<Body>, EgressError> {
        Err(self.0.clone())
    }
}

/// Says what it was asked; some paths answer in their own way.
async fn upstream(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("-").to_owned();
    match uri.path() {
        "/401" => (http::StatusCode::UNAUTHORIZED, "no").into_response(),
        "/moved" => (http::StatusCode::FOUND, [("location", "there?from=moved")]).into_response(),
        "/418" => {
            (http::StatusCode::IM_A_TEAPOT, [("content-type", "text/x"), ("set-cookie", "a=b")], "tea").into_response()
        }
        "/never" => std::future::pending().await,
        "/large" => "x".repeat(2000).into_response(),
        "/stream" => Response::new(axum::body::Body::new(Chunks(0))),
        _ => format!(
            "{method} {uri} auth={} type={} agent={} {}",
            header("authorization"),
            header("content-type"),
            header("user-agent").split('/').next().unwrap(),
            String::from_utf8_lossy(&body)
        )
        .into_response(),
    }
}

/// A body that does not say how long it is, which is over the bound.
struct Chunks(u8);

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0 += 1;
        Poll::Ready((self.0 < 100).then(|| Ok(Frame::data(Bytes::from_static(&[b'x'; 100])))))
    }
}

pub(super) async fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(any(upstream))).await });
    base
}

pub(super) fn build(base: &str, op: &str, outbound: Arc<dyn Outbound>) -> RestExecutor {
    build_with(RestLimits { response: ByteSize(1000), ..RestLimits::default() }, base, op, outbound)
}

fn build_with(limits: RestLimits, base: &str, op: &str, outbound: Arc<dyn Outbound>) -> RestExecutor {
    let app = AppName::parse("tickets").unwrap();
    RestExecutor::build(app, &surface(base, &[], vec![operation(op)]), outbound, limits).unwrap()
}

pub(super) fn call(operation: &str, params: &str, token: Option<&str>) -> Call {
    let app = AppName::parse("tickets").unwrap();
    let link = CallLink { app: app.clone(), operation: operation.into(), instance: String::new() };
    Call {
        operation: operation.into(),
        params: Params::parse(params).unwrap(),
        credential: token.map(|token| Credential {
            connection: "default".into(),
            instance: "default".into(),
            token: Secret::new(token.to_owned()),
            params: Metadata::new(),
        }),
        idempotency_key: String::new(),
        context: Arc::new(CallContext {
            invocation_id: uuid::Uuid::new_v4().to_string().into(),
            app,
            principal: Arc::new(Principal::anonymous()),
            policy: String::new(),
            role: String::new(),
            credential: CredentialChoice::default(),
            request: Arc::default(),
            origin: Origin::Http,
            chain: vec![link],
            public_base_url: "".into(),
        }),
        deadline: Instant::now() + Duration::from_secs(20),
    }
}

async fn run(op: &str, params: &str, token: Option<&str>) -> Result<Reply, ExecError> {
    build(&start().await, op, Arc::new(Direct)).execute(call("op", params, token)).await
}

#[tokio::test]
async fn an_answer_passes_through() {
    let reply =
        run("POST /t/{id} query:q", r#"{"id":"a/b","q":[1,2],"n":9007199254740993}"#, Some("tok")).await.unwrap();
    let expect = "POST /t/a%2Fb?q=1&q=2 auth=Bearer tok type=application/json; charset=utf-8 agent=gestaltd \
                  {\"n\":9007199254740993}";
    assert_eq!((reply.status, std::str::from_utf8(&reply.body).unwrap()), (200, expect));

    let reply = run("DELETE /t", "{}", None).await.unwrap();
    assert_eq!(reply.body, "DELETE /t auth=- type=- agent=gestaltd ");
}

#[tokio::test]
async fn a_status_of_400_or_above_is_an_answer() {
    let reply = run("GET /418", "{}", Some("tok")).await.unwrap();
    assert_eq!((reply.status, reply.header("content-type"), &reply.body[..]), (418, Some("text/x"), &b"tea"[..]));
    assert_eq!(reply.header("set-cookie"), None);

    assert_eq!(run("GET /401", "{}", None).await.unwrap().status, 401);
    assert!(matches!(run("GET /401", "{}", Some("tok")).await, Err(ExecError::CredentialRejected)));
}

#[tokio::test]
async fn an_answer_over_the_bound_is_cut_off() {
    for path in ["/large", "/stream"] {
        let error = run(&format!("GET {path}"), "{}", None).await.unwrap_err();
        assert!(matches!(&error, ExecError::UpstreamUnreadable(text) if text.contains("1000B")), "{path} {error:?}");
    }
}

#[tokio::test]
async fn time_ends_with_the_callers_deadline_or_our_own() {
    let base = start().await;
    let limits = RestLimits { timeout: Duration::from_millis(20), ..RestLimits::default() };
    let executor = build_with(limits, &base, "GET /never", Arc::new(Direct));
    assert!(matches!(executor.execute(call("op", "{}", None)).await, Err(ExecError::UpstreamTimeout)));
    let mut late = call("op", "{}", None);
    late.deadline = Instant::now();
    assert!(matches!(executor.execute(late).await, Err(ExecError::Deadline)));
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let base = format!("http://{}", TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap());
    let error = build(&base, "GET /", Arc::new(Direct)).execute(call("op", "{}", None)).await.unwrap_err();
    assert!(matches!(error, ExecError::UpstreamUnreachable(_)), "{error:?}");
}

#[tokio::test]
async fn what_went_wrong_on_the_way_keeps_its_name() {
    for (error, expect) in [
        (EgressError::Denied(DenyReason::HostNotAllowed), "egress denied: request denied: host_not_allowed"),
        (EgressError::AddressProhibited, "egress denied: destination address is prohibited"),
        (EgressError::DnsTimeout, "upstream timed out"),
        (EgressError::Dns, "upstream unreachable: name resolution failed"),
        (EgressError::ConnectionLimit, "outgoing connection limit reached"),
        (EgressError::Protocol("x".into()), "upstream answer unreadable: HTTP protocol error: x"),
        (EgressError::RequestTooLarge(ByteSize::mib(1)), "request body is larger than 1MiB"),
    ] {
        let executor = build("http://h.test", "GET /", Arc::new(Broken(error)));
        assert_eq!(executor.execute(call("op", "{}", None)).await.unwrap_err().to_string(), expect);
    }
}

#[tokio::test]
async fn the_catalog_shows_what_the_manifest_declares() {
    let mut op = operation("post /t/{id}/{rest} path:id* query:page=1 internal-query:key :dropped");
    op.parameters[0].kind = "int".into();
    op.parameters[1].description = "Which page".into();
    op.allowed_roles = vec!["admin".into()];
    op.tags = vec!["t".into()];
    let surface = surface("http://h.test", &[], vec![op]);
    let app = AppName::parse("tickets").unwrap();
    let executor = RestExecutor::build(app, &surface, Arc::new(Direct), RestLimits::default()).unwrap();
    let catalog = executor.catalog(None).await.unwrap();
    let shown = catalog.find("op").unwrap();
    assert_eq!((shown.method.as_str(), shown.path.as_str()), ("POST", "/t/{id}/{rest}"));
    assert_eq!((&shown.allowed_roles[0][..], &shown.tags[0][..], shown.parameters.len()), ("admin", "t", 4));
    assert_eq!(
        shown.input_schema.as_ref().unwrap(),
        &serde_json::json!({
            "type": "object",
            "properties": {
                "id": {"type": "integer"},
                "page": {"type": "string", "description": "Which page", "default": "1"},
                "dropped": {"type": "string"},
                "rest": {}
            },
            "required": ["id", "rest"]
        })
    );
    assert_eq!(serde_json::to_value(&**shown).unwrap()["transport"], "rest");
}

#[tokio::test]
async fn an_unknown_operation_is_an_error_and_a_twice_declared_one_a_fault() {
    let executor = build("http://h.test", "GET /", Arc::new(Direct));
    let error = executor.execute(call("other", "{}", None)).await.unwrap_err();
    assert!(matches!(error, ExecError::UnknownOperation { operation } if operation == "other"));

    let twice: Vec<RestOperation> = vec![operation("GET /"), operation("GET /")];
    let app = AppName::parse("tickets").unwrap();
    let built =
        RestExecutor::build(app, &surface("http://h.test", &[], twice), Arc::new(Direct), RestLimits::default());
    assert_eq!(built.err(), Some(DeclarativeError::DuplicateOperation("op".into())));
}
