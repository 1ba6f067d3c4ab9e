//! The public listener against clients who mean no good: slow ones, many, and ones that say they are somebody else.

use bytes::Bytes;
use gestalt_tests::examples::{self, app, package};
use gestalt_tests::{Client, Served, TestHost, Upstream, eventually};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Frame};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;
use std::net::Ipv4Addr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Where attackers connect from; the operator's own requests come from `127.0.0.1`.
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 66, 0, 1);
const ANOTHER: Ipv4Addr = Ipv4Addr::new(127, 66, 0, 2);
const THIRD: Ipv4Addr = Ipv4Addr::new(127, 66, 0, 3);

/// An app without code: `ok` answers at once, `hold` when the upstream is released.
fn caller(dir: &Path, upstream: &Upstream) -> String {
    let spec = format!(
        "spec: {{surfaces: {{rest: {{baseUrl: 'http://{}', operations: \
         [{{name: ok, method: GET, path: /ok}}, {{name: hold, method: GET, path: /hold}}]}}}}}}\n",
        upstream.address()
    );
    app("caller", &package(dir, &spec, &[]), "egress: {allowedHosts: [127.0.0.1]}")
}

/// What comes back, head and all, until the daemon closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset instead of an end is an end as well.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn send(client: &Client, from: Ipv4Addr, text: &str) -> TcpStream {
    let mut stream = client.open(from).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: d.test\r\nConnection: close\r\n{headers}\r\n")
}

async fn ask(client: &Client, from: Ipv4Addr, path: &str, headers: &str) -> String {
    rest(&mut send(client, from, &get(path, headers)).await).await
}

/// Asks again and again until the answer has this status.
async fn until(client: &Client, from: Ipv4Addr, path: &str, headers: &str, status: u16) -> String {
    eventually(&format!("{status} for {path}"), || async {
        let answer = ask(client, from, path, headers).await;
        answer.starts_with(&format!("HTTP/1.1 {status} ")).then_some(answer)
    })
    .await
}

/// Waits until clients have run into `limit` so often, by the daemon's own count.
async fn counted(client: &Client, limit: &str, at_least: u64) {
    let line = format!("gestaltd_connection_limit_count_total{{gestalt_limit=\"{limit}\"}} ");
    eventually(limit, || async {
        let metrics = client.get("/metrics").await.text();
        let count = metrics.lines().find_map(|text| text.strip_prefix(&line)).map_or(0, |n| n.parse().unwrap());
        (count >= at_least).then_some(())
    })
    .await;
}

async fn start(connections: &str) -> (Served, Client) {
    let served = Served::start(&format!("server: {{connections: {{{connections}}}}}\n"));
    let client = served.ready().await;
    (served, client)
}

/// A body of which nothing ever comes.
struct Endless;

impl Body for Endless {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }
}

type Sender<B> = http2::SendRequest<B>;

/// An HTTP/2 client whose windows are `window` bytes, and a task that ends with its connection.
async fn http2<B>(client: &Client, from: Ipv4Addr, window: u32) -> (Sender<B>, tokio::task::JoinHandle<()>)
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static,
{
    let stream = TokioIo::new(client.open(from).await.unwrap());
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window);
    let (sender, connection) = builder.handshake(stream).await.unwrap();
    let task = tokio::spawn(async move {
        let _ = connection.await;
    });
    (sender, task)
}

fn request<B>(method: &str, path: &str, body: B) -> Request<B> {
    Request::builder().method(method).uri(format!("http://d.test{path}")).body(body).unwrap()
}

/// Five thousand connections that say nothing are open, of one address and of a proxy that is not bounded by address, and
/// both health and an app's own request are answered at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_cost_neither_health_nor_egress() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.max(soft), hard).unwrap();
    let (upstream, dir) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let apps = format!("apps:\n{}", caller(dir.path(), &upstream));
    for server in ["{}", "{trustedProxies: [127.66.0.0/16], connections: {max: 256}}"] {
        let served = Served::start(&format!("server: {server}\n{apps}"));
        let client = served.ready().await;
        let mut silent = Vec::new();
        for i in 0..5_000 {
            let connection = client.open(ATTACKER).await;
            silent.push(connection.unwrap_or_else(|error| panic!("{i}: {error}")));
        }
        let start = Instant::now();
        assert_eq!(client.get("/health").await.json(), json!({"status": "ok"}), "{server}");
        let answer = client.call("caller", "ok", "{}").await;
        assert_eq!(answer.code(), 200, "{server}: {}", answer.text());
        assert!(start.elapsed() < Duration::from_secs(5), "{server}: {:?}", start.elapsed());
        assert!(!served.log().contains("accept failed"), "{server}: {}", served.log());
        drop(silent);
    }
}

/// The clock runs from the first moment of a connection, whatever protocol it seems to become, and however slowly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_comes_in_time() {
    let (served, client) = start("headTimeout: 400ms").await;
    let half = "POST /api/v1/a/b HTTP/1.1\r\nHost: d.test\r\nX-Pad: ";
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let beginnings = ["", "G", "PRI", "PRI * HTTP/2.0\r\n\r\nSM", half, preface, "\u{16}\u{3}\u{1}"];
    for beginning in beginnings {
        let answer = rest(&mut send(&client, ATTACKER, beginning).await).await;
        assert!(!answer.contains("HTTP/1.1 2"), "{beginning:?}: {answer}");
    }
    // One byte after the other, on a new connection and on one that has been of use.
    for used in [false, true] {
        let mut stream =
            send(&client, ATTACKER, if used { "GET /health HTTP/1.1\r\nHost: d.test\r\n\r\n" } else { "" }).await;
        if used {
            stream.read_exact(&mut [0; 12]).await.unwrap();
        }
        stream.write_all(half.as_bytes()).await.unwrap();
        let (mut read, write) = stream.into_split();
        let write = tokio::sync::Mutex::new(write);
        let closed = tokio::spawn(async move { while read.read(&mut [0; 1024]).await.is_ok_and(|n| n > 0) {} });
        eventually("the end of a slow head", || async {
            let failed = write.lock().await.write_all(b"x").await.is_err();
            (failed || closed.is_finished()).then_some(())
        })
        .await;
    }
    counted(&client, "headTimeout", 8).await;
    assert!(served.log().contains("limit=\"headTimeout\" client=127.66.0.1"), "{}", served.log());
}

/// Heads as large as they may be are read for a few connections at once, and not for all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_heads_are_read_for_a_few_at_once() {
    let (_served, client) = start("").await;
    let large = format!("GET /health HTTP/1.1\r\nHost: d.test\r\nX-Pad: {}", "x".repeat(500_000));
    let mut read = Vec::new();
    for _ in 0..65 {
        let mut stream = client.open(ATTACKER).await.unwrap();
        let _ = stream.write_all(large.as_bytes()).await;
        read.push(stream);
    }
    counted(&client, "largeHeads", 1).await;
    let mut usual = read.remove(0);
    usual.write_all(b"\r\nConnection: close\r\n\r\n").await.unwrap();
    let answer = rest(&mut usual).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// A body is awaited for a bounded time, counted as a whole; who is too slow is told so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_comes_in_time() {
    let (_served, client) = start("bodyTimeout: 400ms").await;
    let post = "POST /api/v1/a/b HTTP/1.1\r\nHost: d.test\r\n";
    for rest_of_it in [
        "Content-Length: 10\r\n\r\n",
        "Content-Length: 10\r\n\r\n{\"",
        "Transfer-Encoding: chunked\r\n\r\n2\r\n{\"\r\n",
    ] {
        let answer = rest(&mut send(&client, ATTACKER, &format!("{post}{rest_of_it}")).await).await;
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("body took longer"), "{answer}");
    }
    let stream = send(&client, ATTACKER, &format!("{post}Content-Length: 1000000\r\n\r\n")).await;
    let (mut read, write) = stream.into_split();
    let write = tokio::sync::Mutex::new(write);
    let mut told = [0; 12];
    let answer = tokio::spawn(async move { read.read_exact(&mut told).await.map(|_| told) });
    eventually("the end of a slow body", || async {
        let _ = write.lock().await.write_all(b" ").await;
        answer.is_finished().then_some(())
    })
    .await;
    assert_eq!(&answer.await.unwrap().unwrap(), b"HTTP/1.1 408");

    let (mut sender, _) = http2(&client, ATTACKER, 65_535).await;
    let answer = sender.send_request(request("POST", "/api/v1/a/b", Endless)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
    counted(&client, "bodyTimeout", 5).await;
}

/// A connection without requests ends, and nobody is blamed for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_ends() {
    let (_served, client) = start("idleTimeout: 300ms").await;
    let kept = "GET /health HTTP/1.1\r\nHost: d.test\r\n\r\n";
    let answer = rest(&mut send(&client, ATTACKER, kept).await).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let (mut sender, connection) = http2::<Empty<Bytes>>(&client, ATTACKER, 65_535).await;
    let answer = sender.send_request(request("GET", "/health", Empty::new())).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "{\"status\":\"ok\"}\n");
    connection.await.unwrap();
    let metrics = client.get("/metrics").await.text();
    assert!(!metrics.contains("gestaltd_connection_limit_count_total{"), "{metrics}");
}

/// An answer that nobody takes is not kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_taken_in_time() {
    let (_served, client) = start("writeTimeout: 400ms").await;
    // The answer repeats the path: what is asked for is as much as is sent, and none of it is read.
    let long = format!("/api/v1/{}", "x".repeat(8_000));
    let asked = format!("GET {long} HTTP/1.1\r\nHost: d.test\r\n\r\n");
    let mut deaf = client.open(ATTACKER).await.unwrap();
    while deaf.write_all(asked.as_bytes()).await.is_ok() {}
    counted(&client, "writeTimeout", 1).await;

    // On HTTP/2 the stream may be open and the window closed.
    let long = format!("/api/v1/{}", "x".repeat(40_000));
    let (mut sender, connection) = http2::<Empty<Bytes>>(&client, ATTACKER, 1).await;
    let unread = sender.send_request(request("GET", &long, Empty::new())).await.unwrap();
    connection.await.unwrap();
    drop(unread);
    counted(&client, "writeTimeout", 2).await;
}

/// Whoever is at work keeps its place; who comes when there is none is told why; health is told all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_is_told_which_bound() {
    let (upstream, dir) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let apps = caller(dir.path(), &upstream);
    let served = Served::start(&format!("server: {{connections: {{max: 3, maxPerAddress: 2}}}}\napps:\n{apps}"));
    let client = served.ready().await;
    let mut held = Vec::new();
    for from in [ATTACKER, ATTACKER, ANOTHER] {
        held.push(send(&client, from, &get("/api/v1/caller/hold", "")).await);
        let count = held.len();
        eventually("the call", || async { (upstream.asked().len() == count).then_some(()) }).await;
        if count == 2 {
            let answer = ask(&client, ATTACKER, "/api/v1/apps", "").await;
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
            assert!(answer.contains("too many connections from one address"), "{answer}");
        }
    }
    let answer = ask(&client, THIRD, "/api/v1/caller/ok", "").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\"too many connections\""), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    for from in [ATTACKER, THIRD] {
        let answer = ask(&client, from, "/health", "").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    // Not even those who say nothing there keep it from others.
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(client.open(THIRD).await.unwrap());
    }
    assert_eq!(client.get("/health").await.code(), 200);
    counted(&client, "max", 3).await;
    counted(&client, "maxPerAddress", 2).await;
    upstream.release();
    for mut stream in held {
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    until(&client, THIRD, "/api/v1/caller/ok", "", 200).await;
}

/// Calls count for who asked as long as they run: hanging up or taking a stream back and asking again runs no more of
/// them. Behind a trusted proxy it is its clients that count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_one_address_are_bounded() {
    let (upstream, dir) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let apps = caller(dir.path(), &upstream);
    let server = "trustedProxies: [127.66.0.3], connections: {max: 64, maxPerAddress: 4}";
    let served = Served::start(&format!("server: {{{server}}}\napps:\n{apps}"));
    let client = served.ready().await;
    let asked = |count: usize| {
        let upstream = &upstream;
        async move { eventually("the call", || async { (upstream.asked().len() == count).then_some(()) }).await }
    };
    for count in 1..=2 {
        let hangs_up = send(&client, ATTACKER, &get("/api/v1/caller/hold", "")).await;
        asked(count).await;
        drop(hangs_up);
    }
    let (mut sender, _connection) = http2::<Empty<Bytes>>(&client, ATTACKER, 65_535).await;
    for count in 3..=4 {
        let taken_back = sender.send_request(request("GET", "/api/v1/caller/hold", Empty::new()));
        let taken_back = tokio::spawn(taken_back);
        asked(count).await;
        taken_back.abort();
    }
    let refused = "HTTP/1.1 429 ";
    let answer = ask(&client, ATTACKER, "/api/v1/caller/hold", "").await;
    assert!(answer.starts_with(refused) && answer.contains("too many requests of one address"), "{answer}");
    let answer = ask(&client, ANOTHER, "/api/v1/caller/ok", "X-Forwarded-For: 127.66.0.1\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "nobody is believed who is not trusted: {answer}");
    let answer = ask(&client, THIRD, "/api/v1/caller/ok", "X-Forwarded-For: 127.66.0.1\r\n").await;
    assert!(answer.starts_with(refused), "{answer}");
    let answer = ask(&client, THIRD, "/api/v1/caller/ok", "X-Forwarded-For: 192.0.2.1\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    counted(&client, "requestsPerAddress", 2).await;
    upstream.release();
    until(&client, ATTACKER, "/api/v1/caller/ok", "", 200).await;
}

/// A client of HTTP/2 that opens streams and takes them back without end is cut off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taking_streams_back_without_end_ends_the_connection() {
    let (_served, client) = start("max: 64").await;
    let mut stream = client.open(ATTACKER).await.unwrap();
    let frame = |kind: u8, flags: u8, id: u32, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &id.to_be_bytes(), payload].concat()
    };
    // `GET` `http` `/` from the static table, ended; then RST_STREAM(CANCEL), all in one segment.
    let mut flood = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[])].concat();
    for id in (1..4_001).step_by(2) {
        flood.extend(frame(1, 5, id, &[0x82, 0x86, 0x84, 0x41, 1, b'd']));
        flood.extend(frame(3, 0, id, &8u32.to_be_bytes()));
    }
    let _ = stream.write_all(&flood).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    // ENHANCE_YOUR_CALM, as the code of a GOAWAY; the connection is over, or the read would not have ended.
    let goaway = |bytes: &[u8]| bytes.len() >= 17 && bytes[3] == 7 && bytes[13..17] == 11u32.to_be_bytes();
    let mut frames = answer.as_slice();
    let mut calmed = false;
    while frames.len() >= 9 {
        let length = usize::from(frames[1]) << 8 | usize::from(frames[2]);
        calmed |= goaway(frames);
        frames = frames.get(9 + length..).unwrap_or_default();
    }
    assert!(calmed, "{answer:?}");
    assert_eq!(client.get("/health").await.code(), 200);
}

/// The audit has both: who connected, and who is believed to have asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_has_both_addresses() {
    let (upstream, dir) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let apps = caller(dir.path(), &upstream);
    let host = TestHost::start(&format!("server: {{trustedProxies: [127.66.0.2, 10.0.0.0/8]}}\napps:\n{apps}")).await;
    let rows = [
        (ATTACKER, "X-Forwarded-For: 192.0.2.1\r\n", "127.66.0.1"),
        (ANOTHER, "", "127.66.0.2"),
        (ANOTHER, "X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1"),
        (ANOTHER, "X-Forwarded-For: 203.0.113.1, 192.0.2.1, 10.1.1.1\r\n", "192.0.2.1"),
        (ANOTHER, "X-Forwarded-For: 203.0.113.1\r\nX-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1"),
        (ANOTHER, "X-Forwarded-For: 192.0.2.1, unknown\r\n", "127.66.0.2"),
        (ANOTHER, "X-Forwarded-For: 192.0.2.1\u{e9}\r\n", "127.66.0.2"),
        (ANOTHER, "X-Forwarded-For: audit allowed=true\r\n", "127.66.0.2"),
        (ANOTHER, "Forwarded: for=192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\n", "127.66.0.2"),
        (ANOTHER, "X-Forwarded-For: [2001:db8::1]:443\r\n", "2001:db8::1"),
    ];
    for (from, headers, _) in rows {
        ask(&host, from, "/api/v1/caller/ok", headers).await;
    }
    let records = host.audit().invocations();
    for ((from, headers, believed), record) in rows.into_iter().zip(&records) {
        assert_eq!(record.request.client_ip, believed, "{headers:?}");
        assert!(record.request.remote_addr.starts_with(&format!("{from}:")), "{:?}", record.request);
    }
}

/// What an app's manifest lists passes, beside what describes any answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_carries_the_headers_its_manifest_lists() {
    let dir = tempfile::tempdir().unwrap();
    let spec = "entrypoint: {artifactPath: echo.wasm}\nspec: {responseHeaders: [X-Cost]}\n";
    let manifest = package(dir.path(), spec, &[]);
    let built = examples::manifest("echo").with_file_name(".gestalt").join("build/echo.wasm");
    std::fs::copy(built, dir.path().join("echo.wasm")).unwrap();
    let host = TestHost::start(&format!("apps:\n{}", app("echo", &manifest, ""))).await;
    let headers = json!({"X-Cost": ["3", "4"], "X-Other": ["1"], "Set-Cookie": ["a=b"], "Content-Type": ["text/html"]});
    let params = json!({"status": 200, "headers": headers, "body": "<script>"}).to_string();
    let answer = host.call("echo", "respond", params).await;
    let got = |name: &str| -> Vec<_> { answer.headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect() };
    assert_eq!((got("x-cost"), got("x-other"), got("set-cookie")), (vec!["3", "4"], vec![], vec![]));
    assert!(got("content-security-policy")[0].starts_with("sandbox;"));
    // The daemon's own answers keep the policy of its pages.
    let own = host.get("/api/v1/apps").await;
    assert!(own.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'self'"));
}
