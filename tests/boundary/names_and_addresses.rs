//! D: name resolution, addresses, TLS.

use crate::names::{alias, set};
use crate::row::{LISTED, Site, at, catalogue, get, lookup, with};
use crate::{canary, names};
use serde_json::json;

const LIFTED: &[(&str, &str)] = &[("", "egress: {allowedHosts: ['*.wild.test', pinned.test, 10.9.9.9, 'fd00:1::5']}")];
/// Two apps with different lists.
const TWO: &[(&str, &str)] =
    &[("", "egress: {allowedHosts: [one.test]}"), ("-two", "egress: {allowedHosts: [two.test]}")];

catalogue! {
    Strict LISTED => d01 d02 d03 d04 d06 d07 d08 d10 d12 d14 d15 d16 d17 d18;
    Strict TWO => d20;
    Lifted LIFTED => d11 d11_pinned;
    Frugal LISTED => d19;
}

const PROHIBITED: (&str, &str) = ("DestinationIpProhibited", "address_prohibited");

/// A name under the wildcard that is nobody else's, with these addresses.
fn leads(site: &Site, label: &str, addresses: &[&str]) {
    let name = format!("{label}.wild.test");
    set(&name, &[addresses]);
    site.denied_after_lookup(get(&name), &name, PROHIBITED.0, PROHIBITED.1);
}

fn https(authority: &str, path: &str) -> serde_json::Value {
    with(at(authority, path), json!({"scheme": "https"}))
}

/// Data in the labels of a name that is not listed.
fn d01(site: &Site) {
    for name in ["c2VjcmV0.evil.test", "c2VjcmV0.allowed.test", "c2VjcmV0.wild.test.evil.test"] {
        site.denied(get(name), "HttpRequestDenied", "host_not_allowed");
    }
}

/// A listed name that leads to loopback: to this daemon, or to anything else on the machine.
fn d02(site: &Site) {
    leads(site, "rebind", &["127.0.0.1"]);
    leads(site, "rebind6", &["::1"]);
}

/// Good and bad addresses in one answer, in any order.
fn d03(site: &Site) {
    leads(site, "mixed", &["93.184.216.40", "10.0.0.1"]);
    leads(site, "mixed2", &["169.254.169.254", "93.184.216.40"]);
    leads(site, "mixed3", &["2606:2800:220:1::1", "127.0.0.1"]);
}

/// A name whose second answer differs from its first: there is no second question.
fn d04(site: &Site) {
    let name = "twice.wild.test";
    set(name, &[&["93.184.216.40"], &["10.0.0.1"]]);
    let seen = site.call(&get(name));
    assert_eq!((seen.report()["status"].as_u64(), seen.asked), (Some(200), lookup(name)));
    let arrivals = canary::take(1);
    assert_eq!((arrivals.len(), arrivals[0].to.to_string()), (1, "93.184.216.40:80".to_owned()));
    site.records(1);
    site.assert_alive();
}

/// Another name for an internal one.
fn d06(site: &Site) {
    alias("cname.wild.test", "db.internal.test");
    set("db.internal.test", &[&["10.0.0.5"]]);
    let name = "cname.wild.test";
    site.denied_after_lookup(get(name), name, PROHIBITED.0, PROHIBITED.1);
}

/// A name without an address.
fn d07(site: &Site) {
    set("nothing.wild.test", &[&[]]);
    site.denied_after_lookup(get("nothing.wild.test"), "nothing.wild.test", "DnsError", "dns_error");
}

/// Every range that is not the internet.
fn d08(site: &Site) {
    let special = [
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "239.1.1.1",
        "255.255.255.255",
        "240.0.0.1",
        "100.64.0.1",
        "198.18.0.1",
        "192.0.0.1",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.1.1",
        "168.63.129.16",
        "100.100.100.200",
        "::",
        "ff02::1",
        "fe80::1",
        "fec0::1",
        "fd00::1",
        "fd00:ec2::254",
        "2001:db8::1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001::1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "4000::1",
    ];
    for (i, address) in special.into_iter().enumerate() {
        leads(site, &format!("special{i}"), &[address]);
    }
}

/// Only vetted addresses are dialled, and each at most once.
fn d10(site: &Site) {
    let name = "both.wild.test";
    set(name, &[&["93.184.216.40", "2606:2800:220:1::40"]]);
    let (_, arrival) = site.allowed(&get(name));
    assert!(["93.184.216.40:80", "[2606:2800:220:1::40]:80"].contains(&arrival.to.to_string().as_str()), "{arrival:?}");
}

/// What is lifted is an address and a port; its neighbours are not.
fn d11(site: &Site) {
    set("lifted.wild.test", &[&["10.1.2.3"]]);
    let (_, arrival) = site.allowed(&get("lifted.wild.test"));
    assert_eq!(arrival.to.to_string(), "10.1.2.3:80");
    let other = get("lifted.wild.test:8000");
    site.denied_after_lookup(other, "lifted.wild.test", PROHIBITED.0, PROHIBITED.1);
    leads(site, "neighbour", &["10.1.2.4"]);
    leads(site, "both", &["10.1.2.3", "10.1.2.4"]);
}

/// Names the operator answers, and addresses the operator lists, are asked of nobody.
fn d11_pinned(site: &Site) {
    for (host, expect) in
        [("pinned.test", "93.184.216.77:80"), ("10.9.9.9", "10.9.9.9:80"), ("[fd00:1::5]", "[fd00:1::5]:80")]
    {
        let seen = site.call(&get(host));
        assert_eq!((seen.report()["status"].as_u64(), seen.asked), (Some(200), vec![]), "{host}");
        assert_eq!(canary::take(1)[0].to.to_string(), expect);
        site.records(1);
    }
    site.denied(get("10.9.9.8"), "HttpRequestDenied", "host_not_allowed");
}

/// A name that does not exist is asked for once, as it is: no search domain, no second try.
fn d12(site: &Site) {
    site.call(&get("allowed.test"));
    canary::take(1);
    site.records(1);
    alias("dangling.wild.test", "nowhere.test");
    site.denied_after_lookup(get("dangling.wild.test"), "dangling.wild.test", "DnsError", "dns_error");
}

/// A server without TLS, asked for it.
fn d14(site: &Site) {
    let (_, arrival) = site.broken(https("a.wild.test:9999", "/garbage"), "TlsProtocolError", Some("tls"));
    assert!(!arrival.head.contains("garbage"), "{arrival:?}");
}

/// A server that proves to be somebody else hears nothing of the request.
fn d15(site: &Site) {
    let (_, arrival) = site.broken(https("mallory.wild.test", "/secret"), "TlsCertificateError", Some("tls"));
    assert_eq!((arrival.sni.as_deref(), arrival.head.as_str()), (Some("mallory.wild.test"), ""));
}

/// The name in TLS, in the request and in the policy is one.
fn d16(site: &Site) {
    for (spelled, canonical) in [("Allowed.TEST", "allowed.test"), ("a.b.wild.test", "a.b.wild.test")] {
        let (_, arrival) = site.allowed(&with(https(spelled, "/ok"), json!({"headers": [["X-Host", "evil.test"]]})));
        assert_eq!((arrival.sni.as_deref(), arrival.header("host")), (Some(canonical), vec![canonical]));
    }
}

/// HTTP/1.1, though the server would have more.
fn d17(site: &Site) {
    let (_, arrival) = site.allowed(&https("allowed.test", "/ok"));
    assert_eq!(arrival.line(), "GET /ok HTTP/1.1");
}

/// A certificate that names a responder: one connection, one lookup, and neither to it.
fn d18(site: &Site) {
    let seen = site.call(&https("allowed.test", "/ok"));
    assert_eq!(
        (seen.report()["status"].as_u64(), seen.wire.opened, seen.asked),
        (Some(200), 1, lookup("allowed.test"))
    );
    canary::take(1);
    site.records(1);
    site.assert_alive();
}

/// Data in the labels under a wildcard: allowed, counted, and slow.
fn d19(site: &Site) {
    let attempt =
        json!({"act": "http-many", "scheme": "http", "authority": "x{i}.wild.test", "path": "/ok", "count": 20});
    let seen = site.call(&attempt);
    assert_eq!(seen.report(), json!({"200": 3, "ConnectionLimitReached": 17}));
    let names: std::collections::BTreeSet<_> = seen.asked.into_iter().map(|(name, _)| name).collect();
    assert_eq!((names.len(), canary::take(3).len()), (3, 3));
    // Of 20 attempts, four have a record of their own. The others share three, written when the minute or the daemon is
    // at its end: two with a name, as half as many records may be shared, and one for all other names.
    let records = site.records(4);
    site.later(3);
    assert_eq!(records.iter().filter(|r| r.field("reason") == "limit").count(), 1, "{records:?}");
    site.assert_alive();
}

/// One app's lookups and leave are of no use to another.
fn d20(site: &Site) {
    set("one.test", &[&["93.184.216.61"]]);
    set("two.test", &[&["93.184.216.62"]]);
    let two = Site { app: "d20-two".into(), house: site.house.clone() };
    site.allowed(&get("one.test"));
    two.denied(get("one.test"), "HttpRequestDenied", "host_not_allowed");
    two.allowed(&get("two.test"));
    site.denied(get("two.test"), "HttpRequestDenied", "host_not_allowed");
    let seen = site.call(&get("one.test"));
    assert_eq!(seen.asked, [("one.test".to_owned(), names::Kind::A), ("one.test".to_owned(), names::Kind::Aaaa)]);
    canary::take(1);
    site.records(1);
}
