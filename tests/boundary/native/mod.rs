//! N: an app that is a process of its own, on the published SDK, and runs in the sandbox. And E12, from inside of it. What
//! the sandbox has besides its network is in `walls`; what a package tries by what it is made of, in `packages`;
//! by what lies around it and what it leaves, in `surroundings`; by being built, in `builds`.

mod builds;
mod kit;
mod packages;
mod requests;
mod surroundings;
mod walls;

use crate::house::{RUNTIME, Record};
use crate::names;
use crate::row::{Seen, Site, catalogue};
use crate::{authority, canary};
use builds::{n60, n61, n62, n63, n64};
use gestalt_tests::examples::{File, environment, package};
use gestalt_tests::root;
use packages::{n40, n41, n42, n43, n44};
use requests::{n30, n31};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use surroundings::{n45, n46, n47, n48, n49, n50};
use walls::{n05, n06, n07, n08, n15, n16, n17, n19};

/// All or nothing.
const CONFINED: &[(&str, &str)] = &[("", "egress: {allowedHosts: [allowed.test, '*.wild.test'], sandbox: required}")];
/// Two apps, each with a host of its own.
const NEIGHBOURS: &[(&str, &str)] = &[
    ("", "egress: {allowedHosts: [allowed.test], sandbox: required}"),
    ("-other", "egress: {allowedHosts: [other.test]}"),
];
/// No app at all: the row starts a daemon of its own.
const NONE: &[(&str, &str)] = &[];

catalogue! {
    Native CONFINED => n00_what_is_allowed_is_reached n01 n02 n03 n04 n05 n06 n07 n09 n10 n11 n12 n13 n14 n15 n16 n17 n19 n30 n31 e12;
    Native NEIGHBOURS => n18;
    Native NONE => n08 n40 n41 n42 n43 n44 n45 n46 n47 n48 n49 n50 n60 n61 n62 n63 n64;
}

/// Where the documentation of the proxy's address is: the environment.
const PROXY_PORT: u16 = 3128;

/// The package of the provider that tries, in `dir`.
pub(crate) fn hostile(dir: &Path) -> PathBuf {
    let own = root().join("tests/boundary/native");
    let text = |name: &str| std::fs::read_to_string(own.join(name)).unwrap();
    let (provider, project, catalog, ca) =
        (text("hostile.py"), text("pyproject.toml"), text("catalog.yaml"), authority::pem());
    let files = [
        File { name: "hostile.py", text: &provider },
        File { name: "pyproject.toml", text: &project },
        File { name: "catalog.yaml", text: &catalog },
        File { name: "ca.pem", text: &ca },
    ];
    let manifest = package(dir, "spec: {}\n", &files);
    environment(dir, "a29");
    manifest
}

impl Site {
    /// One attempt, of which nobody hears.
    fn tries(&self, attempt: Value) -> Value {
        let seen = self.call(&attempt);
        seen.assert_silence(&attempt);
        seen.report()
    }

    /// An attempt that ends with `error`, of which nobody hears, and after which all are well.
    fn fails(&self, attempt: Value, error: &str) {
        let report = self.tries(attempt.clone());
        assert_eq!(report["error"], error, "{attempt}: {report}");
        self.records(0);
        self.is_well();
    }

    fn is_well(&self) {
        RUNTIME.block_on(async { assert_eq!(self.house.operator.get("/health").await.code(), 200) });
        assert!(self.tries(json!({"act": "own"}))["done"].is_object());
    }

    /// A tunnel that is refused with `status`, and recorded with `reason`.
    fn refused(&self, target: &str, status: u16, reason: &str) -> Record {
        let report = self.tries(json!({"act": "tunnel", "target": target}));
        assert_eq!(report["done"]["status"], status, "{target}: {report}");
        let record = self.records(1).remove(0);
        let told = ["operation", "reason"].map(|name| record.field(name));
        assert_eq!(told, ["egress.denied", reason], "{target}: {record:?}");
        record
    }
}

fn connect(host: &str, port: u16) -> Value {
    json!({"act": "connect", "host": host, "port": port})
}

fn done(seen: &Seen) -> Value {
    let report = seen.report();
    assert!(report["error"].is_null(), "{report}");
    report["done"].clone()
}

/// Ordinary code, which knows nothing of all this.
fn n00_what_is_allowed_is_reached(site: &Site) {
    for (scheme, sni) in [("http", None), ("https", Some("allowed.test"))] {
        let seen = site.call(&json!({"act": "fetch", "url": format!("{scheme}://allowed.test/ok")}));
        assert_eq!(done(&seen), json!({"status": 200, "body": "ok"}));
        assert_eq!(seen.wire.opened, 1);
        let arrival = canary::take(1).remove(0);
        assert_eq!((arrival.to.ip().to_string().as_str(), arrival.sni.as_deref()), ("93.184.216.34", sni));
        assert_eq!(arrival.header("host"), ["allowed.test"]);
        let record = site.records(1).remove(0);
        let method = if sni.is_some() { "CONNECT" } else { "GET" };
        let told = ["operation", "host", "method"].map(|name| record.field(name));
        assert_eq!(told, ["egress.allowed", "allowed.test", method], "{record:?}");
    }
    let report = site.tries(json!({"act": "fetch", "url": "http://evil.test/"}));
    assert_eq!(report["done"], json!({"status": 403, "body": "request denied: host_not_allowed\n"}));
    assert_eq!(site.records(1)[0].field("reason"), "host_not_allowed");
    let line = |line: &str| line.contains("confined") && line.contains("app=n00") && line.contains("sandbox=\"whole\"");
    assert!(site.house.log().lines().any(line), "the log does not say so");
    site.is_well();
}

/// TCP to anybody, also on the port number of the proxy.
fn n01(site: &Site) {
    for host in ["93.184.216.34", "169.254.169.254", "10.0.0.1"] {
        for port in [PROXY_PORT, 80, 443, 53] {
            site.fails(connect(host, port), "ENETUNREACH");
        }
    }
    site.fails(connect("2606:2800:220:1::1", 443), "ENETUNREACH");
    let own = site.tries(json!({"act": "own"}));
    assert_eq!(own["done"]["interfaces"], json!(["lo"]), "{own}");
}

/// Datagrams, and with them name servers.
fn n02(site: &Site) {
    for family in [2, 10] {
        site.fails(json!({"act": "socket", "family": family, "type": 2}), "EPERM");
    }
    site.fails(json!({"act": "look_up", "name": "allowed.test"}), "gaierror");
    site.fails(json!({"act": "look_up", "name": "c2VjcmV0.evil.test"}), "gaierror");
}

/// Multipath TCP.
fn n03(site: &Site) {
    for family in [2, 10] {
        site.fails(json!({"act": "socket", "family": family, "type": 1, "protocol": 262}), "EPERM");
    }
}

/// Data with the first packet, which is no `connect`.
fn n04(site: &Site) {
    site.fails(json!({"act": "fast_open", "host": "93.184.216.34", "port": 80}), "ENETUNREACH");
    site.fails(json!({"act": "fast_open", "host": "93.184.216.34", "port": PROXY_PORT}), "ENETUNREACH");
}

/// A client that has never heard of proxies.
fn n09(site: &Site) {
    for url in ["http://allowed.test/", "https://allowed.test/", "http://93.184.216.34/", "http://evil.test/"] {
        let report = site.tries(json!({"act": "fetch", "url": url, "proxied": false}));
        assert!(!report["error"].is_null(), "{url}: {report}");
        site.records(0);
    }
    site.is_well();
}

/// Tunnels for what is not HTTPS.
fn n10(site: &Site) {
    for port in [25, 22, 80, 8443, 6379] {
        let record = site.refused(&format!("allowed.test:{port}"), 403, "port_blocked");
        assert_eq!((record.field("method"), record.field("port")), ("CONNECT", port.to_string().as_str()));
    }
    let fix = "server.egress.connect.ports: a list with 8443";
    assert!(site.house.log().lines().any(|line| line.contains(fix)), "the log does not say what would allow it");
    site.is_well();
}

/// A tunnel to one host, for another one, or for nobody in particular.
fn n11(site: &Site) {
    for name in [json!("evil.test"), json!("a.wild.test"), Value::Null] {
        let seen = site.call(&json!({"act": "tunnel", "target": "allowed.test:443", "name": name}));
        assert!(!seen.report()["error"].is_null(), "{name}: {}", seen.answer.text());
        assert_eq!(seen.wire.opened, 1, "{name}");
        let arrival = canary::take(1).remove(0);
        assert_eq!((arrival.sni.as_deref(), arrival.head.as_str()), (Some(""), ""), "not a byte: {name}");
        let record = site.records(1).remove(0);
        assert_eq!((record.field("reason"), record.field("bytes_sent")), ("tls", "0"), "{name}: {record:?}");
    }
    let seen = site.call(&json!({"act": "tunnel", "target": "allowed.test:443", "name": "allowed.test"}));
    assert_eq!(done(&seen)["head"], "HTTP/1.1 200 OK");
    assert_eq!(canary::take(1)[0].sni.as_deref(), Some("allowed.test"));
    assert_eq!(site.records(1)[0].field("operation"), "egress.allowed");
    site.is_well();
}

/// Spellings of addresses that a suffix seems to cover, or that two parsers read in two ways.
fn n12(site: &Site) {
    for host in [
        "[::1%25.wild.test]",
        "[::ffff:127.0.0.1%25.wild.test]",
        "[fe80::1%25eth0]",
        "[::ffff:93.184.216.34]",
        "[::1]",
        "127.0.0.1",
        "2130706433",
    ] {
        let report = site.tries(json!({"act": "tunnel", "target": format!("{host}:443")}));
        let status = report["done"]["status"].as_u64();
        assert!(matches!(status, Some(400 | 403)), "{host}: {report}");
        let record = site.records(1).remove(0);
        assert!(matches!(record.field("reason"), "uri_invalid" | "host_not_allowed"), "{host}: {record:?}");
    }
    site.is_well();
}

/// A name that leads elsewhere when it is asked for again.
fn n13(site: &Site) {
    names::set("rebind.wild.test", &[&["93.184.216.34"], &["10.0.0.1"]]);
    let tunnel = json!({"act": "tunnel", "target": "rebind.wild.test:443", "name": "rebind.wild.test"});
    let seen = site.call(&tunnel);
    assert_eq!(done(&seen)["head"], "HTTP/1.1 200 OK");
    assert_eq!((seen.wire.opened, canary::take(1)[0].to.ip().to_string().as_str()), (1, "93.184.216.34"));
    site.records(1);
    names::set("rebind.wild.test", &[&["10.0.0.1"]]);
    let seen = site.call(&tunnel);
    assert_eq!((seen.wire.opened, seen.report()["done"]["status"].as_u64()), (0, Some(403)));
    assert_eq!(site.records(1)[0].field("reason"), "address_prohibited");
    site.is_well();
}

/// The machine's own loopback, with the daemon on it.
fn n14(site: &Site) {
    for (host, port) in [("127.0.0.1", 9092), ("127.0.0.1", 80), ("127.0.0.1", 8000), ("::1", 9092), ("127.0.0.53", 53)]
    {
        site.fails(connect(host, port), "ECONNREFUSED");
    }
    site.refused("127.0.0.1:443", 403, "host_not_allowed");
    site.is_well();
}

/// Who may use a way out is not a matter of what one knows.
fn n18(site: &Site) {
    let other = Site { app: "n18-other".into(), house: site.house.clone() };
    names::set("other.test", &[&["93.184.216.35"]]);
    for (one, host, foreign) in [(site, "allowed.test", "other.test"), (&other, "other.test", "allowed.test")] {
        let vars = one.tries(json!({"act": "variables"}))["done"].clone();
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
            assert_eq!(vars[name], format!("http://127.0.0.1:{PROXY_PORT}"), "there is no login in it");
        }
        let seen = one.call(&json!({"act": "plain", "uri": format!("http://{host}/ok")}));
        assert_eq!((done(&seen), canary::take(1).len()), (json!(200), 1));
        assert_eq!(one.records(1)[0].field("host"), host);
        // The same address, and not the same proxy.
        assert_eq!(one.tries(json!({"act": "plain", "uri": format!("http://{foreign}/ok")}))["done"], 403);
        assert_eq!(one.records(1)[0].field("reason"), "host_not_allowed");
        one.is_well();
    }
}

/// Both ways through the proxy, one answer.
fn e12(site: &Site) {
    names::set("private.wild.test", &[&["10.0.0.1"]]);
    names::set("meta.wild.test", &[&["169.254.169.254"]]);
    for host in [
        "evil.test",
        "wild.test",
        "evilwild.test",
        "127.0.0.1",
        "127.0.0.1.",
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::1%25.wild.test]",
        "2130706433",
        "0x7f.1",
        "localhost",
        "allowed.test..",
        "private.wild.test",
        "meta.wild.test",
    ] {
        let ask = |attempt: Value| {
            let seen = site.call(&attempt);
            let report = done(&seen);
            let status = report["status"].as_u64().or(report.as_u64());
            let reason = site.records(1)[0].field("reason").to_owned();
            (status, reason, seen.wire.opened, seen.asked)
        };
        let plain = ask(json!({"act": "plain", "uri": format!("http://{host}/")}));
        let tunnel = ask(json!({"act": "tunnel", "target": format!("{host}:443")}));
        assert_eq!(plain, tunnel, "{host}");
        assert!(plain.0 >= Some(400) && plain.2 == 0, "{host}: {plain:?}");
    }
    site.is_well();
}
