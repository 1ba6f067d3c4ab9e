//! What an app's own rules say beyond its list, and what happens when they change.

use crate::support::{Canary, Server, Setup, allowing, get, ok};
use gestalt_core::audit::HeldUse;
use gestalt_core::egress::{
    Action, AuditAllowed, BlockedPorts, DenyReason, EgressError, ForwardedHeaders, HeldCredential, Mode, Rules,
    SendOptions, Settings,
};
use gestalt_core::host::HostPattern;
use gestalt_core::limits::EgressLimits;
use gestalt_core::metrics::Event;
use gestalt_core::{AppName, Secret};
use http::{HeaderValue, Request};
use http_body::Body;
use http_body_util::BodyExt;
use std::net::IpAddr;
use std::time::Duration;

fn probe() -> AppName {
    AppName::parse("probe").unwrap()
}

#[tokio::test]
async fn b07_plaintext_where_tls_is_required() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new().rules(|rules| rules.require_tls = true).reach(server.address()).build();
    let uri = server.uri("allowed.test", "/");
    desk.refused(get(&uri), "Denied(SchemeInvalid)", "scheme_invalid", &[]).await;
    assert_eq!(server.accepted(), 0);
    // The name decides first: nobody learns from the reason that an unlisted host would be fine with TLS.
    desk.refused(get("http://evil.test/"), "Denied(HostNotAllowed)", "host_not_allowed", &[]).await;
}

#[tokio::test]
async fn h16_a_policy_narrowed_at_reload_holds_for_the_next_request() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new().reach(server.address()).build();
    let uri = server.uri("allowed.test", "/");
    let under_way = desk.get(&uri).await.unwrap();
    let reload = |settings: &Settings, rules: Option<Rules>| {
        desk.egress.reload(settings.clone(), rules.map(|rules| (probe(), rules)).into_iter().collect());
    };
    let settings = desk.settings.clone();
    reload(&settings, Some(allowing(&["other.test", "sentinel.test"])));
    let _ = desk.asked();
    desk.refused(get(&uri), "Denied(HostNotAllowed)", "host_not_allowed", &[]).await;
    let body = under_way.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "ok", "what was under way ends under the rules it began with");
    // An empty list is not a leftover of the one before: the default decides.
    reload(&settings, Some(Rules::default()));
    assert_eq!(desk.fetch(&uri).await.unwrap().0.status, 200);
    // What all apps have in common is replaced with it: the default, the ports, the networks.
    let narrowed = |change: fn(&mut Settings)| {
        let mut settings = settings.clone();
        change(&mut settings);
        reload(&settings, Some(allowing(&["allowed.test", "sentinel.test"])));
    };
    narrowed(|settings| settings.allowed_networks.clear());
    let error = desk.get(&uri).await.unwrap_err();
    assert!(matches!(error, EgressError::AddressProhibited), "{error:?}");
    reload(
        &Settings { blocked_ports: BlockedPorts::List(vec![server.address().port()]), ..settings.clone() },
        Some(Rules::default()),
    );
    let error = desk.get(&uri).await.unwrap_err();
    assert!(matches!(error, EgressError::Denied(DenyReason::PortBlocked)), "{error:?}");
    reload(&Settings { default_action: Action::Deny, ..settings.clone() }, Some(Rules::default()));
    let error = desk.get(&uri).await.unwrap_err();
    assert!(matches!(error, EgressError::Denied(DenyReason::DefaultDeny)), "{error:?}");
    // Without rules there is no default.
    reload(&settings, None);
    let error = desk.get(&uri).await.unwrap_err();
    assert!(matches!(error, EgressError::Denied(DenyReason::DefaultDeny)), "{error:?}");
}

#[tokio::test]
async fn h16_an_app_that_comes_up_after_a_reload_begins_with_what_it_said() {
    let desk = Setup::new().build();
    let settings = Settings { default_action: Action::Allow, ..desk.settings.clone() };
    let named = |name: &str| AppName::parse(name).unwrap();
    desk.egress.reload(settings, [(named("kept"), allowing(&["other.test"]))].into());
    for (app, reason) in [("kept", DenyReason::HostNotAllowed), ("removed", DenyReason::DefaultDeny)] {
        let client = desk.egress.client(named(app), allowing(&["allowed.test"]), EgressLimits::default());
        let error = client.send(get("http://allowed.test/"), SendOptions::default()).await.unwrap_err();
        assert!(matches!(error, EgressError::Denied(why) if why == reason), "{app}: {error:?}");
    }
    assert_eq!(desk.asked(), [""; 0]);
}

#[tokio::test]
async fn a_second_client_of_an_app_is_the_first() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new().limits(|limits| limits.requests_per_minute = 1).reach(server.address()).build();
    let uri = server.uri("allowed.test", "/");
    desk.fetch(&uri).await.unwrap();
    let second = desk.egress.client(probe(), allowing(&["allowed.test"]), EgressLimits::default());
    let error = second.send(get(&uri), SendOptions::default()).await.unwrap_err();
    assert!(matches!(error, EgressError::ConnectionLimit), "its rate is the app's: {error:?}");
}

#[tokio::test]
async fn an_observed_app_reaches_what_it_would_not_and_is_recorded_with_the_reason() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new()
        .rules(|rules| (rules.mode, rules.require_tls) = (Mode::Observe, true))
        .name("unlisted.test", &[&["127.0.0.2"]])
        .name("a.wild.test", &[&["127.0.0.2"]])
        .build();
    for (host, reason) in [("unlisted.test", DenyReason::HostNotAllowed), ("a.wild.test", DenyReason::SchemeInvalid)] {
        let (head, _) = desk.fetch(&server.uri(host, "/")).await.unwrap();
        assert_eq!((head.status.as_u16(), desk.asked()), (200, vec![host.to_owned()]));
        let records = desk.records();
        assert_eq!((records.len(), records[0].denied, records[0].observed), (1, Some(reason), true), "{host}");
        assert_eq!(records[0].received, ok().len() as u64);
        let events = desk.events();
        assert!(matches!(events[..], [Event::Egress { denied: Some(_), observed: true, .. }]), "{events:?}");
    }
}

#[tokio::test]
async fn an_observed_app_with_a_listed_name_in_a_private_network() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new().rules(|rules| rules.mode = Mode::Observe).build();
    desk.fetch(&server.uri("allowed.test", "/")).await.unwrap();
    let records = desk.records();
    assert_eq!((records[0].denied, records[0].observed), (Some(DenyReason::AddressProhibited), true));
}

#[tokio::test]
async fn observing_opens_neither_the_daemon_nor_metadata_nor_ports_nor_spellings() {
    let canary = Canary::bind("127.0.0.1");
    let setup = Setup::new()
        .rules(|rules| rules.mode = Mode::Observe)
        .name("meta.test", &[&["169.254.169.254"]])
        .name("never.test", &[&["0.0.0.0"]])
        .name("home.test", &[&["127.0.0.1"]]);
    setup.listeners.add(canary.address());
    let desk = setup.build();
    let own = format!("http://home.test:{}/", canary.address().port());
    for (uri, error, reason, asked) in [
        (own.as_str(), "AddressProhibited", "self_listener", &["home.test"][..]),
        ("http://meta.test/", "AddressProhibited", "address_prohibited", &["meta.test"]),
        ("http://169.254.169.254/", "AddressProhibited", "address_prohibited", &[]),
        ("http://[fd00:ec2::254]/", "AddressProhibited", "address_prohibited", &[]),
        ("http://never.test/", "AddressProhibited", "address_prohibited", &["never.test"]),
        ("http://unlisted.test:25/", "Denied(PortBlocked)", "port_blocked", &[]),
        ("http://127.1/", "UriInvalid", "uri_invalid", &[]),
    ] {
        desk.refused(get(uri), error, reason, asked).await;
    }
    canary.assert_untouched();
}

#[tokio::test]
async fn forwarded_fields_pass_where_the_operator_says_so() {
    let mut server = Server::answering("127.0.0.2", ok()).await;
    let pass = |forwarded| Setup::new().settings(move |settings| settings.forwarded_headers = forwarded);
    for (forwarded, expect) in [(ForwardedHeaders::Pass, true), (ForwardedHeaders::Strip, false)] {
        let desk = pass(forwarded).reach(server.address()).build();
        let mut request = get(&server.uri("allowed.test", "/"));
        request.headers_mut().insert("x-forwarded-for", HeaderValue::from_static("192.0.2.1"));
        request.headers_mut().insert("proxy-authorization", HeaderValue::from_static("Basic x"));
        desk.send(request).await.unwrap();
        let seen = server.report().await;
        assert_eq!(seen.contains("x-forwarded-for: 192.0.2.1"), expect, "{seen}");
        assert!(!seen.contains("proxy-authorization"), "{seen}");
    }
}

#[tokio::test]
async fn records_of_allowed_requests_are_sampled_and_none_is_uncounted() {
    let server = Server::answering("127.0.0.2", ok()).await;
    for (allowed, at_once, in_all) in
        [(AuditAllowed::All, 5, 5), (AuditAllowed::Sampled, 1, 5), (AuditAllowed::None, 0, 0)]
    {
        let desk = Setup::new().settings(|settings| settings.audit.allowed = allowed).reach(server.address()).build();
        for _ in 0..5 {
            desk.fetch(&server.uri("allowed.test", "/")).await.unwrap();
        }
        let mut records = desk.records();
        assert_eq!(records.len(), at_once, "{allowed:?}");
        desk.pass(Duration::from_secs(60));
        desk.egress.flush();
        records.extend(desk.records());
        assert_eq!(records.iter().map(|record| record.count).sum::<u64>(), in_all, "{allowed:?}");
        let _ = desk.asked();
        // Denials are recorded whatever is said about what was allowed.
        desk.refused(get("http://evil.test/"), "Denied(HostNotAllowed)", "host_not_allowed", &[]).await;
    }
}

#[tokio::test]
async fn nat64_is_judged_by_what_it_carries() {
    let settings = |nat64: bool| {
        Setup::new()
            .settings(move |settings| settings.nat64 = nat64)
            .name("inside.wild.test", &[&["64:ff9b::10.0.0.1"]])
            .name("meta.wild.test", &[&["64:ff9b::169.254.169.254"]])
            .build()
    };
    for desk in [settings(true), settings(false)] {
        for name in ["inside.wild.test", "meta.wild.test"] {
            let uri = format!("http://{name}/");
            desk.refused(get(&uri), "AddressProhibited", "address_prohibited", &[name]).await;
        }
    }
}

const VALUE: &str = "hunter2-hunter2";

fn held(header: &str, hosts: &[&str], env: &str) -> HeldCredential {
    HeldCredential {
        header: header.parse().unwrap(),
        hosts: hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect(),
        value: Secret::new(VALUE.to_owned()),
        format: None,
        env: Some(env.to_owned()),
        token: false,
    }
}

fn with_header(uri: &str, name: &'static str, value: &str) -> Request<gestalt_core::egress::Body> {
    let mut request = get(uri);
    request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    request
}

/// Loopback by address, so that a credential may be sent in the clear.
fn local(server: &Server) -> Setup {
    let port = server.address().port();
    Setup::new()
        .hosts(&["127.0.0.2", "127.0.0.3", "allowed.test"])
        .reach((IpAddr::from([127, 0, 0, 3]), port).into())
        .reach(server.address())
        .rules(|rules| rules.credentials.push(held("authorization", &["127.0.0.2", "allowed.test"], "A")))
}

#[tokio::test]
async fn e08_a_placeholder_is_replaced_in_its_header_toward_its_hosts_and_nowhere_else() {
    let mut server = Server::answering("127.0.0.2", ok()).await;
    let desk = local(&server).build();
    let word = desk.egress.placeholder(&probe(), &held("authorization", &["127.0.0.2"], "A"));
    assert!(word.starts_with("gst_held_") && !word.contains(VALUE));
    assert_ne!(word, desk.egress.placeholder(&AppName::parse("other").unwrap(), &held("authorization", &[], "A")));

    // What else comes out of the app is searched by whoever takes it.
    assert_eq!(desk.egress.scrubber(&probe()).text(VALUE), "*".repeat(VALUE.len()));
    assert!(desk.egress.scrubber(&AppName::parse("other").unwrap()).is_idle());

    let uri = server.uri("127.0.0.2", "/");
    desk.send(with_header(&uri, "authorization", &format!("Bearer {word}"))).await.unwrap();
    let seen = server.report().await;
    assert!(seen.contains(&format!("authorization: Bearer {VALUE}\r\n")), "{seen}");
    assert_eq!(desk.records()[0].credential, HeldUse::Injected);

    let elsewhere = server.uri("127.0.0.2", &format!("/?t={word}"));
    for (request, what) in [
        (with_header(&uri, "x-other", &word), "another header"),
        (get(&elsewhere), "the path"),
        // A name that is allowed to have it, in the clear over the network.
        (with_header(&server.uri("allowed.test", "/"), "authorization", &word), "in the clear"),
    ] {
        desk.send(request).await.unwrap();
        let seen = server.report().await;
        assert!(seen.contains(&word) && !seen.contains(VALUE), "{what}: {seen}");
        assert_eq!(desk.records()[0].credential, HeldUse::Withheld, "{what}");
    }
    desk.send(get(&uri)).await.unwrap();
    assert!(!server.report().await.contains("authorization"), "nothing is added that was not asked for");
    assert_eq!(desk.records()[0].credential, HeldUse::None);
    // E08: the other host.
    let error = desk.send(with_header(&server.uri("127.0.0.3", "/"), "authorization", &word)).await.unwrap_err();
    assert!(matches!(error, EgressError::Connect(_)), "nobody listens there: {error:?}");
    assert_eq!(desk.records()[0].credential, HeldUse::Withheld);
}

/// Placeholders that somebody made up, or that are another app's, are words like any other.
#[tokio::test]
async fn e08_placeholders_that_are_guessed_or_anothers() {
    let mut server = Server::answering("127.0.0.2", ok()).await;
    let desk = local(&server).build();
    let uri = server.uri("127.0.0.2", "/");
    let own = desk.egress.placeholder(&probe(), &held("authorization", &[], "A"));
    let other = desk.egress.placeholder(&AppName::parse("other").unwrap(), &held("authorization", &[], "A"));
    let moved = desk.egress.placeholder(&probe(), &held("authorization", &[], "B"));
    let cut = own[..own.len() - 1].to_owned();
    for word in [other, moved, cut, own.to_uppercase(), format!("gst_held_{}", "0".repeat(32))] {
        desk.send(with_header(&uri, "authorization", &word)).await.unwrap();
        let seen = server.report().await;
        assert!(seen.contains(&format!("authorization: {word}\r\n")) && !seen.contains(VALUE), "{seen}");
        assert_eq!(desk.records()[0].credential, HeldUse::None);
    }
    // A word of no use to whoever learns it: it is made anew with every daemon.
    let again = local(&server).build().egress.placeholder(&probe(), &held("authorization", &[], "A"));
    assert_ne!(own, again);
}

/// What a server says beside fields and body: the words of its status go nowhere, a field named like the credential goes.
#[tokio::test]
async fn echoes_in_the_status_line_and_in_names() {
    let answer = format!("HTTP/1.1 200 {VALUE}\r\nx-{VALUE}: 1\r\nx-kept: 2\r\ncontent-length: 0\r\n\r\n");
    let server = Server::answering("127.0.0.2", Box::leak(answer.into_boxed_str())).await;
    let desk = local(&server).build();
    let (head, _) = desk.fetch(&server.uri("127.0.0.2", "/")).await.unwrap();
    assert!(head.extensions.is_empty());
    assert_eq!((head.headers.len(), head.headers["x-kept"].as_bytes()), (2, &b"2"[..]));
}

#[tokio::test]
async fn echoes_are_covered_up_in_head_body_and_trailers_however_they_are_cut() {
    let answer = format!(
        "HTTP/1.1 200 OK\r\nx-echo: Bearer {VALUE}\r\ntransfer-encoding: chunked\r\n\r\n\
         4\r\n<hun\r\n3\r\nter\r\n9\r\n2-hunter2\r\n1\r\n>\r\n5\r\nhunte\r\n0\r\nx-sum: {VALUE}\r\n\r\n"
    );
    let server = Server::answering("127.0.0.2", Box::leak(answer.into_boxed_str())).await;
    let desk = local(&server).build();
    let response = desk.get(&server.uri("127.0.0.2", "/")).await.unwrap();
    let stars = "*".repeat(VALUE.len());
    assert_eq!(response.headers()["x-echo"], format!("Bearer {stars}"));
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-sum"], stars);
    assert_eq!(body.to_bytes(), format!("<{stars}>hunte"));
}

/// Stars are as many as what they cover, so that a body stays as long as it says it is, also while its end is held back.
#[tokio::test]
async fn a_covered_body_is_as_long_as_it_was() {
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 22\r\n\r\n<{VALUE}>hunte");
    let server = Server::answering("127.0.0.2", Box::leak(answer.into_boxed_str())).await;
    let desk = local(&server).build();
    let mut body = desk.get(&server.uri("127.0.0.2", "/")).await.unwrap().into_body();
    let stars = format!("<{}>", "*".repeat(VALUE.len()));
    for (left, piece) in [(22, stars.as_str()), (5, "hunte")] {
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(left), false));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), piece);
    }
    assert!(body.frame().await.is_none());
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
}

#[tokio::test]
async fn a_host_that_gets_a_credential_is_asked_for_plain_and_whole_answers() {
    let encoded = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nok";
    let mut server = Server::answering("127.0.0.2", encoded).await;
    let desk = local(&server).build();
    let uri = server.uri("127.0.0.2", "/");
    let mut request = with_header(&uri, "accept-encoding", "gzip");
    for (name, value) in [("range", "bytes=0-6"), ("if-range", "\"x\"")] {
        request.headers_mut().append(name, HeaderValue::from_static(value));
    }
    let error = desk.send(request).await.unwrap_err();
    assert!(matches!(error, EgressError::Protocol(_)), "{error:?}");
    let seen = server.report().await;
    assert!(seen.contains("accept-encoding: identity\r\n"), "{seen}");
    assert!(!seen.contains("range") && !seen.contains("gzip"), "{seen}");
}

#[tokio::test]
async fn a_format_says_what_the_whole_header_becomes() {
    let mut server = Server::answering("127.0.0.2", ok()).await;
    let desk = local(&server).rules(|rules| rules.credentials[0].format = Some("Token {}".to_owned())).build();
    let word = desk.egress.placeholder(&probe(), &held("authorization", &[], "A"));
    let request = with_header(&server.uri("127.0.0.2", "/"), "authorization", &format!("Bearer {word}"));
    desk.send(request).await.unwrap();
    let seen = server.report().await;
    assert!(seen.contains(&format!("authorization: Token {VALUE}\r\n")), "{seen}");
}

#[tokio::test]
async fn default_deny_is_observed_too() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new()
        .hosts(&[])
        .settings(|settings| settings.default_action = Action::Deny)
        .rules(|rules| rules.mode = Mode::Observe)
        .build();
    desk.fetch(&server.uri("allowed.test", "/")).await.unwrap();
    let records = desk.records();
    assert_eq!((records[0].denied, records[0].observed), (Some(DenyReason::DefaultDeny), true));
}
