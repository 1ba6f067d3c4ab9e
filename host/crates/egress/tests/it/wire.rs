//! Rows B09–B11, C and E: what is on the wire, and what comes back from it.

use crate::support::{Server, Setup, get, ok, read_head, request, streamed};
use gestalt_core::egress::EgressError;
use http::{HeaderName, HeaderValue, Method};
use http_body::Body;
use http_body_util::BodyExt;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn c01_host_and_connection_fields_are_ours() {
    let mut server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new().reach(server.address()).build();
    let mut request = request(Method::POST, &server.uri("allowed.test", "/p?q=1"), "body");
    for (name, value) in [
        ("host", "evil.test"),
        ("host", "evil2.test"),
        ("connection", "upgrade, x-secret"),
        ("x-secret", "1"),
        ("upgrade", "websocket"),
        ("http2-settings", "AAMAAABkAAQCAAAAAAIAAAAA"),
        ("transfer-encoding", "chunked"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic x"),
        ("proxy-connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
        ("x-forwarded-for", "1.1.1.1"),
        ("forwarded", "for=1.1.1.1"),
        ("x-kept", "yes"),
    ] {
        request.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    desk.send(request).await.unwrap();
    let seen = server.report().await;
    let mut lines: Vec<&str> = seen.split("\r\n").collect();
    assert_eq!(lines.remove(0), "POST /p?q=1 HTTP/1.1");
    lines.truncate(lines.iter().position(|line| line.is_empty()).unwrap());
    lines.sort_unstable();
    let host = format!("host: allowed.test:{}", server.address().port());
    assert_eq!(lines, ["connection: close", "content-length: 4", &host, "x-kept: yes"]);
}

#[tokio::test]
async fn c04_c06_a_length_that_is_not_the_bodys() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new().reach(server.address()).build();
    for (length, body) in [("5", ""), ("10", "short"), ("2", "longer"), ("+5", "12345")] {
        let mut request = request(Method::POST, &server.uri("allowed.test", "/"), body);
        request.headers_mut().append("content-length", HeaderValue::from_static(length));
        let error = desk.send(request).await.unwrap_err();
        assert!(matches!(error, EgressError::Protocol(_)), "{error:?}");
        assert_eq!(desk.records().len(), 1);
    }
    assert_eq!(server.accepted(), 0);
    assert!(desk.asked().is_empty());
}

#[tokio::test]
async fn c06_a_streamed_body_that_ends_early_closes_the_connection() {
    for (chunks, length) in [(&[&b"12345"[..]][..], "10"), (&[&b"12345"[..], &b"6789012345"[..]][..], "10")] {
        let mut server = Server::start("127.0.0.2", |mut stream, reports| async move {
            let mut all = Vec::new();
            let _ = stream.read_to_end(&mut all).await;
            let all = String::from_utf8(all).unwrap();
            let _ = reports.send(all.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned()));
        })
        .await;
        let desk = Setup::new().reach(server.address()).build();
        let mut request = get(&server.uri("allowed.test", "/")).map(|_| streamed(chunks, true));
        *request.method_mut() = Method::POST;
        request.headers_mut().append("content-length", HeaderValue::from_static(length));
        let error = desk.send(request).await.unwrap_err();
        assert_eq!(error.to_string(), "HTTP protocol error: request body is not as long as its content-length");
        assert!(server.report().await.len() < 10);
        let records = desk.records();
        assert_eq!((records.len(), records[0].denied), (1, None));
    }
}

#[tokio::test]
async fn c08_a_path_of_two_slashes_is_a_path() {
    let mut server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new().reach(server.address()).build();
    for (path, wire) in [("//evil.test/x", "//evil.test/x"), ("", "/"), ("?q", "/?q"), ("/a#frag", "/a")] {
        desk.fetch(&server.uri("allowed.test", path)).await.unwrap();
        let seen = server.report().await;
        assert!(seen.starts_with(&format!("GET {wire} HTTP/1.1\r\n")), "{seen}");
        assert!(seen.contains("host: allowed.test:"), "{seen}");
        assert!(!seen.contains("content-length") && !seen.contains("transfer-encoding"), "{seen}");
    }
}

#[tokio::test]
async fn b10_a_switch_of_protocols_is_refused() {
    let answer = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    let server = Server::answering("127.0.0.2", answer).await;
    let desk = Setup::new().reach(server.address()).build();
    desk.refused(get(&server.uri("allowed.test", "/")), "Upgrade", "upgrade", &["allowed.test"]).await;
}

#[tokio::test]
async fn b11_a_flood_of_interim_answers_ends_with_the_patience() {
    let mut server = Server::start("127.0.0.2", |mut stream, reports| async move {
        read_head(&mut stream).await;
        let flood = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".repeat(100);
        while stream.write_all(flood.as_bytes()).await.is_ok() {}
        let _ = reports.send("closed".to_owned());
    })
    .await;
    let desk = Setup::new()
        .limits(|limits| limits.first_byte_timeout = Duration::from_millis(100))
        .reach(server.address())
        .build();
    let error = desk.get(&server.uri("allowed.test", "/")).await.unwrap_err();
    assert!(matches!(error, EgressError::ReadTimeout), "{error:?}");
    assert_eq!(server.report().await, "closed");
    assert_eq!(desk.records().len(), 1);
}

#[tokio::test]
async fn e01_a_redirect_is_an_answer() {
    let answer = "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n";
    let server = Server::answering("127.0.0.2", answer).await;
    let desk = Setup::new().reach(server.address()).build();
    let (head, _) = desk.fetch(&server.uri("allowed.test", "/")).await.unwrap();
    assert_eq!(head.status, 302);
    assert_eq!(head.headers["location"], "http://169.254.169.254/");
    assert_eq!((server.accepted(), desk.asked()), (1, vec!["allowed.test".to_owned()]));
    let _ = desk.records();
    desk.refused(get("http://169.254.169.254/"), "Denied(HostNotAllowed)", "host_not_allowed", &[]).await;
}

#[tokio::test]
async fn e07_nothing_of_one_request_is_in_the_next() {
    let answer = "HTTP/1.1 200 OK\r\nset-cookie: id=1\r\nwww-authenticate: Basic\r\ncontent-length: 0\r\n\r\n";
    let mut server = Server::answering("127.0.0.2", answer).await;
    let desk = Setup::new().reach(server.address()).build();
    let uri = server.uri("allowed.test", "/");
    let mut first = get(&uri);
    first.headers_mut().insert("authorization", HeaderValue::from_static("Bearer t"));
    desk.send(first).await.unwrap();
    assert!(server.report().await.contains("Bearer t"));
    desk.fetch(&uri).await.unwrap();
    let seen = server.report().await.to_lowercase();
    assert!(!seen.contains("cookie") && !seen.contains("authorization"), "{seen}");
    assert_eq!(server.accepted(), 2, "one connection per request");
}

#[tokio::test]
async fn answers_lose_what_was_for_this_connection_only() {
    let answer = "HTTP/1.1 200 OK\r\nconnection: close, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\n\
                  proxy-authenticate: Basic\r\nupgrade: h2c\r\nx-kept: yes\r\ntransfer-encoding: chunked\r\n\r\n\
                  2\r\nok\r\n0\r\nhost: evil.test\r\nx-checksum: 1\r\n\r\n";
    let server = Server::answering("127.0.0.2", answer).await;
    let desk = Setup::new().reach(server.address()).build();
    let (head, body) = desk.get(&server.uri("allowed.test", "/")).await.unwrap().into_parts();
    assert_eq!(head.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
    let body = body.collect().await.unwrap();
    assert_eq!(body.trailers().unwrap().keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-checksum"]);
    assert_eq!(body.to_bytes(), "ok");
}

/// A body says how much of it is left, as far as anybody can know.
#[tokio::test]
async fn a_body_says_how_long_it_is() {
    for (answer, length) in [
        (ok(), Some(2)),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", None),
        ("HTTP/1.1 204 No Content\r\n\r\n", Some(0)),
    ] {
        let server = Server::answering("127.0.0.2", answer).await;
        let desk = Setup::new().reach(server.address()).build();
        let mut body = desk.get(&server.uri("allowed.test", "/")).await.unwrap().into_body();
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (length, length == Some(0)));
        while let Some(frame) = body.frame().await {
            assert_eq!(frame.unwrap().into_data().unwrap(), "ok");
        }
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
        assert_eq!(desk.records().len(), 1, "though the body is still held");
    }
}

#[tokio::test]
async fn a_body_streams_both_ways_at_once() {
    let server = Server::start("127.0.0.2", |mut stream, _| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        let mut piece = [0; 1024];
        while let Ok(length @ 1..) = stream.read(&mut piece).await {
            if piece[..length].windows(4).any(|window| window == b"ping") {
                let _ = stream.write_all(b"4\r\npong\r\n0\r\n\r\n").await;
            }
        }
    })
    .await;
    let desk = Setup::new().reach(server.address()).build();
    let (sender, receiver) = futures::channel::oneshot::channel();
    let body = http_body_util::StreamBody::new(futures::stream::once(async {
        let _: Result<(), _> = receiver.await;
        Ok(http_body::Frame::data(bytes::Bytes::from_static(b"ping")))
    }));
    let mut request = get(&server.uri("allowed.test", "/")).map(|_| body.boxed_unsync());
    *request.method_mut() = Method::POST;
    let response = desk.send(request).await.unwrap();
    sender.send(()).unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "pong");
    assert_eq!(
        desk.records()[0].received,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npong\r\n0\r\n\r\n".len() as u64
    );
}

/// A server need not wait for a request's end before it answers, and need not read the rest: neither keeps a connection.
#[tokio::test]
async fn c11_an_answer_before_the_request_has_ended_ends_it() {
    let mut server = Server::start("127.0.0.2", |mut stream, reports| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno").await;
        while let Ok(1..) = stream.read(&mut [0; 4096]).await {}
        let _ = reports.send("closed".to_owned());
    })
    .await;
    let desk = Setup::new().limits(|limits| limits.connections = 1).reach(server.address()).build();
    for _ in 0..2 {
        let mut request = get(&server.uri("allowed.test", "/")).map(|_| streamed(&[&[b'x'; 4096][..]; 4], false));
        *request.method_mut() = Method::POST;
        let response = desk.send(request).await.unwrap();
        assert_eq!(response.status(), 413);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "no");
        assert_eq!(server.report().await, "closed");
        assert_eq!(desk.records().len(), 1);
    }
}

/// Reports when the other side is gone.
async fn watching() -> Server {
    Server::start("127.0.0.2", |mut stream, reports| async move {
        let head = read_head(&mut stream).await;
        let silent = head.starts_with("GET /silent");
        let _ = reports.send("asked".to_owned());
        if !silent {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345").await;
        }
        while let Ok(1..) = stream.read(&mut [0; 64]).await {}
        let _ = reports.send("closed".to_owned());
    })
    .await
}

#[tokio::test]
async fn dropping_the_answer_closes_the_connection_and_writes_the_record() {
    let mut server = watching().await;
    let desk = Setup::new().limits(|limits| limits.connections = 1).reach(server.address()).build();
    for _ in 0..2 {
        let response = desk.get(&server.uri("allowed.test", "/")).await.unwrap();
        assert_eq!(server.report().await, "asked");
        assert!(desk.records().is_empty());
        drop(response);
        assert_eq!(server.report().await, "closed");
        assert_eq!((desk.records().len(), desk.asked().len()), (1, 1));
    }
}

#[tokio::test]
async fn dropping_the_send_closes_the_connection_and_writes_the_record() {
    let mut server = watching().await;
    let desk = Setup::new().limits(|limits| limits.connections = 1).reach(server.address()).build();
    for _ in 0..2 {
        let uri = server.uri("allowed.test", "/silent");
        tokio::select! {
            _ = desk.get(&uri) => panic!("the server is silent"),
            report = server.report() => assert_eq!(report, "asked"),
        }
        assert_eq!(server.report().await, "closed");
        assert_eq!(desk.records().len(), 1);
    }
}
