//! Rows G: bounds on bytes, time and numbers.

use crate::support::{Server, Setup, get, ok, read_head, request, streamed};
use gestalt_core::egress::{EgressError, SendOptions};
use gestalt_core::limits::ByteSize;
use http::{HeaderValue, Method};
use http_body_util::BodyExt;
use std::fmt::Write;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Answers with `head`, then repeats `piece` until the other side is gone, at once or every so often.
async fn endless(head: &'static str, piece: &'static [u8], pace: Option<Duration>) -> Server {
    Server::start("127.0.0.2", move |mut stream, reports| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(head.as_bytes()).await;
        let mut ticks = tokio::time::interval(pace.unwrap_or(Duration::from_secs(1)));
        while stream.write_all(piece).await.is_ok() {
            if pace.is_some() {
                ticks.tick().await;
            }
        }
        let _ = reports.send("closed".to_owned());
    })
    .await
}

#[tokio::test]
async fn g11_an_answer_without_end() {
    let mut server = endless("HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 1024], None).await;
    let desk = Setup::new()
        .limits(|limits| (limits.max_response_body, limits.connections) = (ByteSize::kib(64), 1))
        .reach(server.address())
        .build();
    let mut body = desk.get(&server.uri("allowed.test", "/")).await.unwrap().into_body();
    let mut received = 0;
    let error = loop {
        match body.frame().await.unwrap() {
            Ok(frame) => received += frame.into_data().unwrap().len(),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, EgressError::ResponseTooLarge(ByteSize(65536))), "{error:?}");
    assert!(received <= 65536);
    assert!(body.frame().await.is_none());
    assert_eq!(server.report().await, "closed", "though the body is still held");
    desk.refusal_recorded("limit", "g11");
}

#[tokio::test]
async fn g11_an_answer_that_says_how_long_it_is() {
    let server = Server::answering("127.0.0.2", "HTTP/1.1 200 OK\r\ncontent-length: 65537\r\n\r\n").await;
    let desk =
        Setup::new().limits(|limits| limits.max_response_body = ByteSize::kib(64)).reach(server.address()).build();
    let uri = server.uri("allowed.test", "/");
    desk.refused(get(&uri), "ResponseTooLarge(ByteSize(65536))", "limit", &["allowed.test"]).await;
    assert_eq!(desk.bounds(), ["egress.maxResponseBody"]);
    // The answer to HEAD has the length of a body that does not follow.
    let response = desk.send(request(Method::HEAD, &uri, "")).await.unwrap();
    assert_eq!(response.headers()["content-length"], "65537");
}

#[tokio::test]
async fn g12_heads_of_too_many_fields_and_too_many_bytes() {
    let many = (0..200).fold(String::new(), |mut head, n| {
        write!(head, "x-{n}: 1\r\n").unwrap();
        head
    });
    let long = format!("x: {}\r\n", "y".repeat(2000));
    let endless_head = format!("x: {}", "y".repeat(100_000));
    for fields in [many, long, endless_head] {
        let answer: &'static str = Box::leak(format!("HTTP/1.1 200 OK\r\n{fields}\r\n").into_boxed_str());
        let server = Server::answering("127.0.0.2", answer).await;
        let desk =
            Setup::new().limits(|limits| limits.max_header_bytes = ByteSize(1024)).reach(server.address()).build();
        let uri = server.uri("allowed.test", "/");
        desk.refused(get(&uri), "ResponseHeadTooLarge", "limit", &["allowed.test"]).await;
    }
}

/// Chunks may carry extensions, and trailers may follow them: neither is counted as body, and both have an end.
#[tokio::test]
async fn g12_chunk_extensions_and_trailers_without_end() {
    for piece in [&b"1;"[..], b"1\r\nx\r\n0\r\nx: y\r\n"] {
        let more: &'static [u8] =
            if piece.len() == 2 { &[b'e'; 1024] } else { b"x-more: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" };
        let head = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}", str::from_utf8(piece).unwrap());
        let mut server = endless(Box::leak(head.into_boxed_str()), more, None).await;
        let desk = Setup::new().reach(server.address()).build();
        let response = desk.get(&server.uri("allowed.test", "/")).await.unwrap();
        let error = response.into_body().collect().await.unwrap_err();
        assert!(matches!(error, EgressError::Protocol(_)), "{error:?}");
        assert_eq!(server.report().await, "closed");
        let records = desk.records();
        assert!(records[0].received < 1 << 20, "{records:?}");
    }
}

/// A server that takes connections and never shakes hands.
#[tokio::test]
async fn d12_a_handshake_that_never_ends_ends_with_the_time_to_connect() {
    let mut server = Server::start("127.0.0.2", |mut stream, reports| async move {
        while let Ok(1..) = stream.read(&mut [0; 1024]).await {}
        let _ = reports.send("closed".to_owned());
    })
    .await;
    let desk = Setup::new()
        .limits(|limits| (limits.connect_timeout, limits.connections) = (Duration::from_millis(300), 1))
        .reach(server.address())
        .build();
    for _ in 0..2 {
        let uri = server.uri("allowed.test", "/").replace("http:", "https:");
        let error = desk.get(&uri).await.unwrap_err();
        assert!(matches!(error, EgressError::ConnectTimeout), "{error:?}");
        assert_eq!((server.report().await.as_str(), desk.bounds()), ("closed", vec!["egress.connectTimeout"]));
        assert_eq!(desk.records()[0].denied, None);
    }
}

/// Times that an app asks for: none at all, or more than there is.
#[tokio::test]
async fn g13_an_apps_own_patience_is_at_most_the_operators() {
    let server = endless("HTTP/1.1 200 OK\r\n\r\n", b"x", Some(Duration::from_secs(3600))).await;
    let setup = Setup::new().limits(|limits| limits.idle_timeout = Duration::from_millis(50));
    let desk = setup.reach(server.address()).build();
    let uri = server.uri("allowed.test", "/");
    for options in [
        SendOptions { connect_timeout: Some(Duration::ZERO), ..SendOptions::default() },
        SendOptions { first_byte_timeout: Some(Duration::ZERO), ..SendOptions::default() },
        SendOptions { idle_timeout: Some(Duration::ZERO), ..SendOptions::default() },
        SendOptions {
            connect_timeout: Some(Duration::MAX),
            first_byte_timeout: Some(Duration::MAX),
            idle_timeout: Some(Duration::MAX),
            ..SendOptions::default()
        },
    ] {
        let error = match desk.client.send(get(&uri), options).await {
            Ok(response) => response.into_body().collect().await.unwrap_err(),
            Err(error) => error,
        };
        assert!(matches!(error, EgressError::ConnectTimeout | EgressError::ReadTimeout), "{error:?}");
    }
}

#[tokio::test]
async fn g13_an_answer_that_drips() {
    let mut server = endless("HTTP/1.1 200 OK\r\n\r\n", b"x", Some(Duration::from_millis(5))).await;
    let desk =
        Setup::new().limits(|limits| limits.total_timeout = Duration::from_millis(200)).reach(server.address()).build();
    let response = desk.get(&server.uri("allowed.test", "/")).await.unwrap();
    let error = response.into_body().collect().await.unwrap_err();
    assert!(matches!(error, EgressError::ReadTimeout), "{error:?}");
    assert_eq!(server.report().await, "closed");
    assert_eq!(desk.records().len(), 1);
}

#[tokio::test]
async fn g13_an_answer_that_drips_is_closed_though_nobody_reads_it() {
    let mut server = endless("HTTP/1.1 200 OK\r\n\r\n", b"x", Some(Duration::from_millis(5))).await;
    let desk =
        Setup::new().limits(|limits| limits.total_timeout = Duration::from_millis(100)).reach(server.address()).build();
    let held = desk.get(&server.uri("allowed.test", "/")).await.unwrap();
    assert_eq!(server.report().await, "closed");
    let error = held.into_body().collect().await.unwrap_err();
    assert!(matches!(error, EgressError::ReadTimeout), "{error:?}");
}

#[tokio::test]
async fn g13_an_answer_that_stops() {
    let server = endless("HTTP/1.1 200 OK\r\n\r\n", b"x", Some(Duration::from_secs(3600))).await;
    let desk =
        Setup::new().limits(|limits| limits.idle_timeout = Duration::from_millis(50)).reach(server.address()).build();
    let response = desk.get(&server.uri("allowed.test", "/")).await.unwrap();
    let error = response.into_body().collect().await.unwrap_err();
    assert!(matches!(error, EgressError::ReadTimeout), "{error:?}");
}

#[tokio::test]
async fn g14_a_request_body_that_never_ends_gives_its_permit_back() {
    let server = Server::answering("127.0.0.2", "").await;
    let silent = Server::start("127.0.0.2", |mut stream, _| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let desk = Setup::new()
        .limits(|limits| (limits.total_timeout, limits.connections) = (Duration::from_millis(100), 1))
        .reach(server.address())
        .reach(silent.address())
        .build();
    for _ in 0..2 {
        let mut request = get(&silent.uri("allowed.test", "/")).map(|_| streamed(&[b"x"], false));
        *request.method_mut() = Method::POST;
        let error = desk.send(request).await.unwrap_err();
        assert!(matches!(error, EgressError::ReadTimeout), "{error:?}");
        assert_eq!(desk.records().len(), 1);
    }
}

#[tokio::test]
async fn g15_request_bodies() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new().limits(|limits| limits.max_request_body = ByteSize(4)).reach(server.address()).build();
    let uri = server.uri("allowed.test", "/");
    desk.refused(request(Method::POST, &uri, "12345"), "RequestTooLarge(ByteSize(4))", "limit", &[]).await;
    assert_eq!(desk.bounds(), ["egress.maxRequestBody"]);
    assert_eq!(server.accepted(), 0);
    let silent =
        Server::start("127.0.0.2", |mut stream, _| async move { while !read_head(&mut stream).await.is_empty() {} })
            .await;
    let desk = Setup::new().limits(|limits| limits.max_request_body = ByteSize(4)).reach(silent.address()).build();
    let mut request = get(&silent.uri("allowed.test", "/")).map(|_| streamed(&[b"123", b"45"], false));
    *request.method_mut() = Method::POST;
    desk.refused(request, "RequestTooLarge(ByteSize(4))", "limit", &["allowed.test"]).await;
}

/// A bound is what may still be: a body of just so many bytes passes, in either direction, of declared length or not.
#[tokio::test]
async fn g15_bodies_as_long_as_they_may_be() {
    for answer in [
        ok(),
        "HTTP/1.1 200 OK\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
    ] {
        let server = Server::answering("127.0.0.2", answer).await;
        let desk = Setup::new()
            .limits(|limits| (limits.max_request_body, limits.max_response_body) = (ByteSize(4), ByteSize(2)))
            .reach(server.address())
            .build();
        let uri = server.uri("allowed.test", "/");
        let whole = request(Method::POST, &uri, "1234");
        let pieces = || {
            let mut request = get(&uri).map(|_| streamed(&[b"12", b"34"], true));
            *request.method_mut() = Method::POST;
            request
        };
        let mut declared = pieces();
        declared.headers_mut().insert("content-length", HeaderValue::from_static("4"));
        for request in [whole, pieces(), declared] {
            let response = desk.send(request).await.unwrap();
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
        }
    }
}

#[tokio::test]
async fn requests_per_minute() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new().limits(|limits| limits.requests_per_minute = 2).reach(server.address()).build();
    let uri = server.uri("allowed.test", "/");
    for _ in 0..2 {
        desk.fetch(&uri).await.unwrap();
    }
    let _ = (desk.records(), desk.asked());
    desk.refused(get(&uri), "ConnectionLimit", "limit", &[]).await;
    desk.pass(Duration::from_secs(61));
    desk.fetch(&uri).await.unwrap();
}

#[tokio::test]
async fn connections_at_once() {
    let server = Server::start("127.0.0.2", |mut stream, _| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n").await;
        std::future::pending::<()>().await;
    })
    .await;
    let desk = Setup::new()
        .limits(|limits| (limits.connections, limits.connect_timeout) = (1, Duration::from_millis(50)))
        .reach(server.address())
        .build();
    let uri = server.uri("allowed.test", "/");
    let held = desk.get(&uri).await.unwrap();
    let _ = desk.asked();
    desk.refused(get(&uri), "ConnectionLimit", "limit", &[]).await;
    drop(held);
    desk.get(&uri).await.unwrap();
}

/// Those that wait are as few as is worth waiting for; who is one too many is told at once.
#[tokio::test]
async fn g21_who_waits_for_a_connection() {
    let server = Server::start("127.0.0.2", |mut stream, _| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n").await;
        std::future::pending::<()>().await;
    })
    .await;
    let desk = Setup::new().limits(|limits| limits.connections = 2).reach(server.address()).build();
    let uri = server.uri("allowed.test", "/");
    let held = (desk.get(&uri).await.unwrap(), desk.get(&uri).await.unwrap());
    let _ = desk.asked();
    for _ in 0..2 {
        let mut waiting: Vec<_> = (0..8).map(|_| Box::pin(desk.get(&uri))).collect();
        for waiter in &mut waiting {
            assert!(futures::poll!(waiter).is_pending());
        }
        let _ = desk.records();
        desk.refused(get(&uri), "ConnectionLimit", "limit", &[]).await;
        assert_eq!(desk.bounds(), ["egress.connections"]);
        // They go, and with them their places.
        drop(waiting);
        assert_eq!(desk.records().len(), 8);
    }
    let mut waiter = Box::pin(desk.get(&uri));
    assert!(futures::poll!(&mut waiter).is_pending());
    drop(held);
    waiter.await.unwrap();
}

#[tokio::test]
async fn a_finished_answer_gives_its_permit_back_while_it_is_held() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new().limits(|limits| limits.connections = 1).reach(server.address()).build();
    let uri = server.uri("allowed.test", "/");
    let mut first = desk.get(&uri).await.unwrap().into_body();
    assert_eq!(first.frame().await.unwrap().unwrap().into_data().unwrap(), "ok");
    desk.fetch(&uri).await.unwrap();
    assert!(first.frame().await.is_none());
}

#[tokio::test]
async fn broken_connections() {
    let desk = |server: &Server| Setup::new().reach(server.address()).build();
    let gone = Server::answering("127.0.0.2", "").await;
    let error = desk(&gone).get(&gone.uri("allowed.test", "/")).await.unwrap_err();
    assert!(matches!(error, EgressError::Connect(_)), "{error:?}");
    let short = Server::answering("127.0.0.2", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx").await;
    let response = desk(&short).get(&short.uri("allowed.test", "/")).await.unwrap();
    let error = response.into_body().collect().await.unwrap_err();
    assert!(matches!(error, EgressError::Closed(_)), "{error:?}");
    let garbage = Server::answering("127.0.0.2", "SSH-2.0-x\r\n\r\n").await;
    let error = desk(&garbage).get(&garbage.uri("allowed.test", "/")).await.unwrap_err();
    assert!(matches!(error, EgressError::Protocol(_)), "{error:?}");
}
