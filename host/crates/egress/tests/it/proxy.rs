//! The operator's proxy, and redirects that the daemon follows for an app.

use crate::support::{Desk, Server, Setup, get, ok, read_head};
use bytes::Bytes;
use gestalt_core::egress::{EgressError, FollowError, Proxy, SendOptions, follow};
use gestalt_core::host::Host;
use http::{HeaderValue, Method, Request};
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;

/// A proxy that grants every tunnel and is the server at its end.
async fn granting(ip: &str) -> Server {
    Server::start(ip, |mut stream, reports| async move {
        let _ = reports.send(read_head(&mut stream).await);
        let _ = stream.write_all(b"HTTP/1.1 200 Connection established\r\nx: y\r\n\r\n").await;
        let _ = reports.send(read_head(&mut stream).await);
        let _ = stream.write_all(ok().as_bytes()).await;
    })
    .await
}

fn behind(setup: Setup, proxy: &Server, login: &str) -> Desk {
    let url = format!("http://{login}proxy.internal:{}", proxy.address().port());
    let mut desk = setup
        .settings(|settings| {
            settings.proxy = Some(Proxy::parse(&url).unwrap());
            settings.dns.hosts.insert(Host::parse("proxy.internal").unwrap(), vec![[127, 0, 0, 3].into()]);
        })
        .build();
    // Beyond this proxy there is nothing but what it answers itself.
    desk.sentinel = None;
    desk
}

#[tokio::test]
async fn a_proxy_is_told_an_address_and_never_a_name() {
    let mut proxy = granting("127.0.0.3").await;
    let desk = behind(Setup::new().name("allowed.test", &[&["93.184.216.34"]]), &proxy, "me:pass%20word@");
    let (head, body) = desk.fetch("http://allowed.test:8080/x").await.unwrap();
    assert_eq!((head.status.as_u16(), &body[..]), (200, &b"ok"[..]));
    let connect = proxy.report().await;
    assert_eq!(
        connect,
        "CONNECT 93.184.216.34:8080 HTTP/1.1\r\nHost: 93.184.216.34:8080\r\n\
         Proxy-Authorization: Basic bWU6cGFzcyB3b3Jk\r\n\r\n"
    );
    let inner = proxy.report().await;
    assert!(inner.starts_with("GET /x HTTP/1.1\r\n") && inner.contains("host: allowed.test:8080\r\n"), "{inner}");
    assert!(!inner.to_lowercase().contains("proxy-authorization"), "{inner}");
    assert_eq!(desk.asked(), ["allowed.test"]);
}

/// The proxy's own name is looked up where it is not written down; its address is the operator's affair.
#[tokio::test]
async fn a_proxy_by_name_and_by_address() {
    for (host, asked) in [
        ("proxy.internal", &["allowed.test", "proxy.internal"][..]),
        ("127.0.0.3", &["allowed.test"]),
        ("localhost", &["allowed.test"]),
    ] {
        let ip = if host == "localhost" { "127.0.0.1" } else { "127.0.0.3" };
        let proxy = granting(ip).await;
        let url = format!("http://{host}:{}", proxy.address().port());
        let desk = Setup::new()
            .settings(|settings| settings.proxy = Some(Proxy::parse(&url).unwrap()))
            .name("allowed.test", &[&["93.184.216.34"]])
            .name("proxy.internal", &[&["127.0.0.3"]])
            .build();
        assert_eq!(desk.fetch("http://allowed.test/").await.unwrap().0.status, 200, "{host}");
        assert_eq!(desk.asked(), asked);
    }
}

#[tokio::test]
async fn a_proxy_lifts_nothing() {
    let proxy = granting("127.0.0.3").await;
    let desk = behind(Setup::new().name("allowed.test", &[&["10.0.0.1"]]), &proxy, "");
    desk.refused(get("http://evil.test/"), "Denied(HostNotAllowed)", "host_not_allowed", &[]).await;
    desk.refused(get("http://allowed.test/"), "AddressProhibited", "address_prohibited", &["allowed.test"]).await;
    assert_eq!(proxy.accepted(), 0);
}

#[tokio::test]
async fn a_proxy_that_refuses_or_babbles_is_a_failed_connection() {
    let endless: &'static str = Box::leak("x".repeat(20_000).into_boxed_str());
    for answer in ["HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "SSH-2.0-x\r\n\r\n", endless, ""] {
        let proxy = Server::answering("127.0.0.3", answer).await;
        let desk = behind(Setup::new().name("allowed.test", &[&["93.184.216.34"]]), &proxy, "");
        let error = desk.get("http://allowed.test/").await.unwrap_err();
        assert!(matches!(error, EgressError::Connect(_)), "{error:?}");
        assert_eq!(desk.records().len(), 1);
    }
}

/// Answers `/n` with a redirect to what `next` says, everything else with 200.
async fn redirecting(status: u16, location: &str) -> Server {
    let answer = format!("HTTP/1.1 {status} Go\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
    Server::start("127.0.0.2", move |mut stream, reports| {
        let answer = answer.clone();
        async move {
            let head = read_head(&mut stream).await;
            let first = head.split(' ').nth(1) == Some("/from");
            let _ = reports.send(head);
            let _ = stream.write_all(if first { answer.as_bytes() } else { ok().as_bytes() }).await;
        }
    })
    .await
}

async fn go(desk: &Desk, method: Method, uri: &str) -> Result<Bytes, FollowError> {
    let mut request = Request::new(Bytes::from_static(b"body"));
    (*request.method_mut(), *request.uri_mut()) = (method, uri.parse().unwrap());
    for (name, value) in [
        ("authorization", "Bearer t"),
        ("cookie", "id=1"),
        ("x-key", "secret"),
        ("accept", "x/y"),
        ("user-agent", "me"),
    ] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let response = follow(&*desk.client, request, &SendOptions::default()).await?;
    Ok(response.into_body().collect().await.map_err(|source| FollowError { to: None, source })?.to_bytes())
}

#[tokio::test]
async fn e01_a_followed_redirect_is_judged_anew() {
    for (location, error) in [
        ("http://169.254.169.254/latest", "Denied(HostNotAllowed)"),
        ("http://evil.test/", "Denied(HostNotAllowed)"),
        ("//evil.test/", "Denied(HostNotAllowed)"),
        ("http://user@allowed.test/", "UriInvalid"),
        ("http://[::ffff:127.0.0.1]/", "UriInvalid"),
        ("http://allowed.test:25/", "Denied(PortBlocked)"),
        ("ftp://allowed.test/", "Denied(SchemeInvalid)"),
        ("http://[::1%25.wild.test]/", "Protocol(\"redirect without a usable location\")"),
    ] {
        let server = redirecting(302, location).await;
        let desk = Setup::new().reach(server.address()).build();
        let failed = go(&desk, Method::GET, &server.uri("allowed.test", "/from")).await.unwrap_err();
        assert_eq!(format!("{:?}", failed.source), error, "{location}");
        // The host alone: a server may put anything behind it.
        let place = failed.to_string();
        let place = place.strip_prefix("redirected to ").and_then(|rest| rest.split_once(": ")).map(|(to, _)| to);
        let named = ["169.254.169.254", "evil.test", "allowed.test", "[::ffff:7f00:1]"];
        assert!(place.is_none_or(|place| named.contains(&place)), "{failed}");
        assert_eq!(place.is_none(), error.starts_with("Protocol"), "{failed}");
        assert_eq!(server.accepted(), 1, "{location}");
        assert_eq!(desk.asked(), ["allowed.test"], "{location}");
    }
}

#[tokio::test]
async fn e01_credentials_stay_with_the_host_they_were_for() {
    for (to, stays) in [("/to", true), ("other", false)] {
        let other = Server::answering("127.0.0.2", ok()).await;
        let location = if stays { to.to_owned() } else { other.uri("a.wild.test", "/to") };
        let mut first = redirecting(307, &location).await;
        let desk = Setup::new().reach(first.address()).reach(other.address()).build();
        assert_eq!(go(&desk, Method::POST, &first.uri("allowed.test", "/from")).await.unwrap(), "ok");
        let mut seen = vec![first.report().await];
        let mut other = other;
        seen.push(if stays { first.report().await } else { other.report().await });
        assert!(seen[0].contains("Bearer t") && seen[0].contains("id=1") && seen[0].contains("x-key"));
        assert!(seen[1].starts_with("POST /to ") && seen[1].contains("content-length: 4\r\n"), "{}", seen[1]);
        assert!(seen[1].contains("accept: x/y\r\n") && seen[1].contains("user-agent: me\r\n"), "{}", seen[1]);
        for secret in ["Bearer t", "id=1", "x-key"] {
            assert_eq!(seen[1].contains(secret), stays, "{secret}: {}", seen[1]);
        }
    }
}

#[tokio::test]
async fn e01_methods_after_a_redirect() {
    for (status, before, after) in [
        (301, Method::POST, "GET"),
        (302, Method::POST, "GET"),
        (303, Method::PUT, "GET"),
        (301, Method::PUT, "PUT"),
        (307, Method::POST, "POST"),
        (308, Method::POST, "POST"),
        (303, Method::HEAD, "HEAD"),
    ] {
        let mut server = redirecting(status, "/to?q#fragment").await;
        let desk = Setup::new().reach(server.address()).build();
        go(&desk, before, &server.uri("allowed.test", "/from")).await.unwrap();
        let _ = server.report().await;
        let seen = server.report().await;
        assert!(seen.starts_with(&format!("{after} /to?q HTTP/1.1\r\n")), "{status}: {seen}");
        assert_eq!(seen.contains("content-length: 4"), after != "GET", "{status}: {seen}");
    }
}

#[tokio::test]
async fn e01_a_circle_ends() {
    let server = redirecting(302, "/from").await;
    let desk = Setup::new().reach(server.address()).build();
    let error = go(&desk, Method::GET, &server.uri("allowed.test", "/from")).await.unwrap_err();
    assert_eq!(error.to_string(), "redirected to allowed.test: HTTP protocol error: more than 5 redirects");
    assert_eq!(server.accepted(), 6);
}
