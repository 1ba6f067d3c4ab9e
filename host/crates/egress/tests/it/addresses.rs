//! Rows D: names, the addresses behind them, and the connections made of those.

use crate::support::{Canary, Server, Setup, get, ok};
use gestalt_core::egress::Action;
use gestalt_core::host::Host;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

const PROHIBITED: &str = "AddressProhibited";

#[tokio::test]
async fn d01_a_denied_name_is_not_asked_about() {
    let desk = Setup::new().build();
    desk.refused(get("http://c2VjcmV0.evil.test/"), "Denied(HostNotAllowed)", "host_not_allowed", &[]).await;
}

#[tokio::test]
async fn d02_an_allowed_name_that_points_home() {
    let canary = Canary::bind("127.0.0.1");
    let desk = Setup::new().name("rebind.wild.test", &[&["127.0.0.1"]]).build();
    let uri = format!("http://rebind.wild.test:{}/", canary.address().port());
    desk.refused(get(&uri), PROHIBITED, "address_prohibited", &["rebind.wild.test"]).await;
    canary.assert_untouched();
}

#[tokio::test]
async fn d04_rebinding_meets_the_first_answer_only() {
    let canary = Canary::bind("127.0.0.1");
    let server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new().name("allowed.test", &[&["127.0.0.2"], &["127.0.0.1"]]).reach(server.address()).build();
    desk.fetch(&server.uri("allowed.test", "/")).await.unwrap();
    assert_eq!(desk.asked(), ["allowed.test"]);
    assert_eq!(server.accepted(), 1);
    let _ = desk.records();
    let uri = format!("http://allowed.test:{}/", canary.address().port());
    desk.refused(get(&uri), PROHIBITED, "address_prohibited", &["allowed.test"]).await;
    canary.assert_untouched();
}

#[tokio::test]
async fn d06_a_name_that_ends_in_a_private_network() {
    let desk = Setup::new().name("cname.wild.test", &[&["10.1.2.3"]]).build();
    desk.refused(get("http://cname.wild.test/"), PROHIBITED, "address_prohibited", &["cname.wild.test"]).await;
}

#[tokio::test]
async fn d08_every_kind_of_bad_address() {
    for address in [
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "100.64.0.1",
        "198.18.0.1",
        "192.0.0.1",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "fe80::1",
        "fec0::1",
        "fc00::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:93.184.216.34",
        "64:ff9b::1.2.3.4",
        "169.254.169.254",
        "fd00:ec2::254",
        "100.100.100.200",
    ] {
        let answer: &'static [&'static str] = Box::leak(Box::new([address]));
        let desk = Setup::new().name("x.wild.test", &[answer]).build();
        desk.refused(get("http://x.wild.test/"), PROHIBITED, "address_prohibited", &["x.wild.test"]).await;
    }
}

#[tokio::test]
async fn d09_the_daemon_itself() {
    let canary = Canary::bind("127.0.0.1");
    let uri = |host: &str| format!("http://{host}:{}/admin", canary.address().port());
    let desk = |hosts: &[&'static str]| {
        let setup = Setup::new().hosts(hosts).name("home.test", &[&["127.0.0.1"]]).reach(canary.address());
        setup.listeners.add(canary.address());
        setup.build()
    };
    desk(&["localhost"]).refused(get(&uri("localhost")), PROHIBITED, "self_listener", &[]).await;
    desk(&["127.0.0.1"]).refused(get(&uri("127.0.0.1")), PROHIBITED, "self_listener", &[]).await;
    desk(&["home.test"]).refused(get(&uri("home.test")), PROHIBITED, "self_listener", &["home.test"]).await;
    desk(&[]).refused(get(&uri("127.0.0.1")), PROHIBITED, "self_listener", &[]).await;
    canary.assert_untouched();
}

#[tokio::test]
async fn d09_a_listener_that_bound_after_the_client_was_made() {
    let canary = Canary::bind("0.0.0.0");
    let setup = Setup::new().hosts(&["localhost"]);
    let listeners = Arc::clone(&setup.listeners);
    let desk = setup.build();
    listeners.add(canary.address());
    let uri = format!("http://localhost:{}/", canary.address().port());
    desk.refused(get(&uri), PROHIBITED, "self_listener", &[]).await;
    canary.assert_untouched();
}

#[tokio::test]
async fn d10_one_bad_address_spoils_a_good_one() {
    let canary = Canary::bind("127.0.0.1");
    let server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new().name("allowed.test", &[&["127.0.0.2", "127.0.0.1", "::1"]]).reach(server.address()).build();
    let uri = server.uri("allowed.test", "/");
    desk.refused(get(&uri), PROHIBITED, "address_prohibited", &["allowed.test"]).await;
    assert_eq!(server.accepted(), 0);
    canary.assert_untouched();
}

#[tokio::test]
async fn d10_a_dead_address_makes_way_for_the_next() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let dead: IpAddr = "127.0.0.3".parse().unwrap();
    let desk = Setup::new()
        .name("allowed.test", &[&["127.0.0.3", "127.0.0.2"]])
        .reach(server.address())
        .reach((dead, server.address().port()).into())
        .build();
    desk.fetch(&server.uri("allowed.test", "/")).await.unwrap();
    assert_eq!((server.accepted(), desk.asked().len()), (1, 1));
}

#[tokio::test]
async fn d11_an_exemption_for_one_port_is_not_one_for_another() {
    let canary = Canary::bind("127.0.0.2");
    let server = Server::answering("127.0.0.2", ok()).await;
    let desk = Setup::new().reach(server.address()).build();
    let uri = format!("http://allowed.test:{}/", canary.address().port());
    desk.refused(get(&uri), PROHIBITED, "address_prohibited", &["allowed.test"]).await;
    canary.assert_untouched();
}

#[tokio::test]
async fn d19_labels_below_a_wildcard_are_counted() {
    let desk = Setup::new()
        .settings(|settings| settings.dns.max_queries_per_minute = 2)
        .name("x.wild.test", &[&["10.0.0.1"]])
        .build();
    for _ in 0..2 {
        desk.refused(get("http://x.wild.test/"), PROHIBITED, "address_prohibited", &["x.wild.test"]).await;
    }
    desk.refused(get("http://y.wild.test/"), "ConnectionLimit", "limit", &[]).await;
    desk.pass(Duration::from_secs(61));
    desk.refused(get("http://x.wild.test/"), PROHIBITED, "address_prohibited", &["x.wild.test"]).await;
}

#[tokio::test]
async fn a_name_without_answer() {
    let desk = Setup::new()
        .settings(|settings| settings.dns.timeout = Duration::from_millis(20))
        .name("empty.wild.test", &[&[]])
        .name("slow.wild.test", &[])
        .build();
    desk.refused(get("http://none.wild.test/"), "Dns", "dns_error", &["none.wild.test"]).await;
    desk.refused(get("http://empty.wild.test/"), "Dns", "dns_error", &["empty.wild.test"]).await;
    desk.refused(get("http://slow.wild.test/"), "DnsTimeout", "dns_error", &["slow.wild.test"]).await;
    assert_eq!(desk.bounds(), ["egress.dns.timeout"]);
}

#[tokio::test]
async fn the_operators_own_names_are_judged_but_not_asked_about() {
    let server = Server::answering("127.0.0.2", ok()).await;
    let hosts = [("Own.Wild.Test", "127.0.0.2"), ("bad.wild.test", "10.0.0.1")];
    let desk = Setup::new()
        .settings(|settings| {
            settings.dns.hosts =
                hosts.iter().map(|(k, v)| (Host::parse(k).unwrap(), vec![v.parse().unwrap()])).collect();
        })
        .reach(server.address())
        .build();
    desk.fetch(&server.uri("own.wild.test", "/")).await.unwrap();
    let _ = desk.records();
    desk.refused(get("http://bad.wild.test/"), PROHIBITED, "address_prohibited", &[]).await;
    assert!(desk.asked().is_empty());
}

#[tokio::test]
async fn private_networks_do_not_include_loopback() {
    let canary = Canary::bind("127.0.0.2");
    let desk = Setup::new().settings(|settings| settings.private_networks = Action::Allow).build();
    let uri = format!("http://allowed.test:{}/", canary.address().port());
    desk.refused(get(&uri), PROHIBITED, "address_prohibited", &["allowed.test"]).await;
    canary.assert_untouched();
}

/// Lookups that nobody waits for any more still count against their app, until they end: an app cannot take every thread
/// that resolves.
#[tokio::test]
async fn d19_lookups_that_are_never_answered_are_bounded() {
    let desk = Setup::new()
        .settings(|settings| settings.dns.timeout = Duration::from_millis(20))
        .limits(|limits| limits.connections = 64)
        .name("slow.wild.test", &[])
        .build();
    for _ in 0..20 {
        let error = desk.get("http://slow.wild.test/").await.unwrap_err();
        assert_eq!(format!("{error:?}"), "DnsTimeout");
    }
    assert_eq!(desk.asked().len(), 16);
    assert_eq!(desk.records().len(), 20);
}
