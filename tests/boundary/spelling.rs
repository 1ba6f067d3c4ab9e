//! A: how hosts are spelled, and what the policy makes of it.

use crate::house::corpus;
use crate::row::{LISTED, Site, UNLISTED, catalogue, get};
use gestalt_tests::examples::package;
use std::process::Output;

const DENIED: (&str, &str) = ("HttpRequestDenied", "host_not_allowed");
const LOCAL: &[(&str, &str)] = &[("", "egress: {allowedHosts: [localhost, '*.localhost', '127.0.0.1']}")];
const INTERNATIONAL: &[(&str, &str)] = &[("", "egress: {allowedHosts: ['b\u{fc}cher.example']}")];
const NIP: &[(&str, &str)] = &[("", "egress: {allowedHosts: ['*.nip.test']}")];

catalogue! {
    Strict LISTED => a01 a02 a06 a07 a08 a09 a10 a11 a12 a16 a17 a18 a19 a20 a21 a23 a24 a25 a26 a31;
    Strict UNLISTED => a03 a13 a14 a15 a33;
    Strict LOCAL => a31_listed;
    Strict INTERNATIONAL => a28;
    Strict NIP => a32;
    Open UNLISTED => a04;
    Open LISTED => a05;
}

fn denied(site: &Site, hosts: &[&str]) {
    for host in hosts {
        site.denied(get(host), DENIED.0, DENIED.1);
    }
}

fn invalid(site: &Site, hosts: &[&str]) {
    for host in hosts {
        site.invalid(get(host));
    }
}

/// Allowed under this name and no other, wherever it points.
fn reaches(site: &Site, spelled: &str, canonical: &str, address: &str) {
    let (_, arrival) = site.allowed(&get(spelled));
    assert_eq!((arrival.header("host"), arrival.to.to_string()), (vec![canonical], format!("{address}:80")));
}

/// What is listed is reached.
fn a01(site: &Site) {
    reaches(site, "allowed.test", "allowed.test", "93.184.216.34");
}

/// What is not, is not even looked up.
fn a02(site: &Site) {
    let record = site.denied(get("evil.test:8000"), DENIED.0, DENIED.1);
    let told = ["provider", "host", "raw_host", "port", "scheme", "method"].map(|name| record.field(name));
    assert_eq!(told, ["a02", "evil.test", "evil.test", "8000", "http", "GET"]);
}

/// An empty list, where the default is to deny.
fn a03(site: &Site) {
    for host in ["allowed.test", "127.0.0.1", "localhost", "[2606:2800::1]"] {
        site.denied(get(host), "HttpRequestDenied", "default_deny");
    }
}

/// An empty list, where the default is to allow: metadata is still out of reach, by whatever name.
fn a04(site: &Site) {
    crate::names::set("public.test", &[&["93.184.216.50"]]);
    crate::names::set("intranet.test", &[&["10.9.8.7"]]);
    crate::names::set("meta.test", &[&["169.254.169.254"]]);
    reaches(site, "public.test", "public.test", "93.184.216.50");
    reaches(site, "intranet.test", "intranet.test", "10.9.8.7");
    let (_, arrival) = site.allowed(&get("127.0.0.1:9999"));
    assert_eq!(arrival.to.to_string(), "127.0.0.1:9999");
    let prohibited = ("DestinationIpProhibited", "address_prohibited");
    for host in ["169.254.169.254", "[fd00:ec2::254]", "168.63.129.16", "100.100.100.200", "[fe80::1]"] {
        site.denied(get(host), prohibited.0, prohibited.1);
    }
    site.denied_after_lookup(get("meta.test"), "meta.test", prohibited.0, prohibited.1);
}

/// A list counts, whatever the default is.
fn a05(site: &Site) {
    denied(site, &["evil.test", "93.184.216.34"]);
}

/// Case is no difference, and does not reach the wire.
fn a06(site: &Site) {
    reaches(site, "ALLOWED.Test", "allowed.test", "93.184.216.34");
}

/// Nor is one final dot.
fn a07(site: &Site) {
    reaches(site, "allowed.test.", "allowed.test", "93.184.216.34");
}

/// Empty labels.
fn a08(site: &Site) {
    invalid(site, &["allowed.test..", "a..wild.test", "..wild.test"]);
}

/// The name a wildcard stands under is not under it.
fn a09(site: &Site) {
    denied(site, &["wild.test", "wild.test."]);
}

/// One label under it, or many.
fn a10(site: &Site) {
    for name in ["a.wild.test", "a.b.wild.test", "xn--bcher-kva.wild.test"] {
        reaches(site, name, name, "93.184.216.35");
    }
}

/// No label under it.
fn a11(site: &Site) {
    invalid(site, &[".wild.test", "."]);
}

/// Names that only look like listed ones.
fn a12(site: &Site) {
    denied(site, &["evilwild.test", "allowed.test.evil.test", "notallowed.test", "llowed.test", "wild.test.evil.test"]);
}

/// Entries a wildcard over addresses would be: refused at load.
fn a13(_: &Site) {
    refused_at_load("*.3.4");
}

/// Entries that are no host: refused at load, by name and place.
fn a14(_: &Site) {
    for entry in ["*", "*com", "a.*.com", "*.*.x", "*.1.2.3.4", "http://h", "h/p", "h:443", "u@h", "", " h", "*.com.*"]
    {
        refused_at_load(entry);
    }
}

/// A wildcard over names that belong to anybody gets a warning.
fn a15(_: &Site) {
    for entry in ["*.com", "*.github.io", "*.amazonaws.com"] {
        let (output, text) = validate(entry);
        assert!(output.status.success(), "{entry}: {text}");
        assert!(text.contains("EGRESS_BROAD_WILDCARD") && text.contains("apps.a.egress.allowedHosts[0]"), "{text}");
    }
}

/// Addresses that are not listed.
fn a16(site: &Site) {
    denied(site, &["127.0.0.1", "169.254.169.254", "93.184.216.34", "0.0.0.0", "255.255.255.255"]);
}

/// Addresses in other spellings.
fn a17(site: &Site) {
    invalid(site, &["2130706433", "0x7f.0.0.1", "0177.0.0.1", "127.1", "0x7f000001", "127.0.0.1.0x0", "1.2.3.4.5"]);
}

/// An address with a final dot is none.
fn a18(site: &Site) {
    invalid(site, &["127.0.0.1.", "169.254.169.254."]);
}

/// Addresses of IPv6 that are not listed.
fn a19(site: &Site) {
    denied(site, &["[::1]", "[fd00:ec2::254]", "[2606:2800:220:1::1]", "[0:0:0:0:0:0:0:1]"]);
}

/// Addresses of IPv4 inside of ones of IPv6.
fn a20(site: &Site) {
    invalid(site, &["[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]"]);
    denied(site, &["[::ffff:0:169.254.169.254]", "[64:ff9b::169.254.169.254]", "[2002:7f00:1::]"]);
}

/// Zones, which name an interface and end as a listed name does.
fn a21(site: &Site) {
    invalid(site, &["[::1%25.wild.test]", "[::1%.wild.test]", "[fe80::1%25eth0]", "[::ffff:127.0.0.1%25.wild.test]"]);
}

/// User names before the host, or a host in their place.
fn a23(site: &Site) {
    invalid(site, &["user@allowed.test", "allowed.test@evil.test", "user:pass@allowed.test", "@allowed.test"]);
}

/// What ends a host for one reader and not for another.
fn a24(site: &Site) {
    let hosts = [
        "evil\\.wild.test",
        "evil.test#.wild.test",
        "evil.test?.wild.test",
        "evil.test/.wild.test",
        "evil.test\0.wild.test",
        "%00.wild.test",
        "%61llowed.test",
        "evil.test .wild.test",
        "evil.test\t.wild.test",
        "evil.test,.wild.test",
        "evil.test;.wild.test",
        "allowed.test\r\nHost: evil.test",
        "",
        "[",
        "]",
        "[]",
        "::1",
    ];
    invalid(site, &hosts);
}

/// Letters that look like others.
fn a25(site: &Site) {
    invalid(site, &["\u{430}llowed.test", "allowed\u{3002}test", "allowed.test\u{200b}", "\u{ff41}llowed.test"]);
}

/// The same letters, encoded: another name.
fn a26(site: &Site) {
    denied(site, &["xn--llowed-2nf.test"]);
}

/// An entry in letters is the name they encode.
fn a28(site: &Site) {
    crate::names::set("xn--bcher-kva.example", &[&["93.184.216.36"]]);
    reaches(site, "xn--bcher-kva.example", "xn--bcher-kva.example", "93.184.216.36");
    denied(site, &["bcher.example", "xn--bcher-kva.example.evil.test"]);
    invalid(site, &["xn--bcher-kvb.example"]);
}

/// This machine, by its names.
fn a31(site: &Site) {
    denied(site, &["localhost", "foo.localhost", "LOCALHOST.", "localhost.localdomain"]);
}

/// Listed, they lead to loopback without asking anybody.
fn a31_listed(site: &Site) {
    for name in ["localhost", "foo.localhost", "127.0.0.1"] {
        let seen = site.call(&get(&format!("{name}:9999")));
        assert_eq!(
            (seen.report()["status"].as_u64(), seen.asked, seen.wire.datagrams),
            (Some(200), vec![], 0),
            "{name}"
        );
        let arrivals = crate::canary::take(1);
        assert_eq!((arrivals.len(), arrivals[0].to.ip().is_loopback()), (1, true), "{name}");
        site.records(1);
    }
    site.assert_alive();
}

/// Services that turn names into addresses.
fn a32(site: &Site) {
    crate::names::set("127.0.0.1.nip.test", &[&["127.0.0.1"]]);
    let name = "127.0.0.1.nip.test";
    site.denied_after_lookup(get(name), name, "DestinationIpProhibited", "address_prohibited");
}

/// Patterns of other tools.
fn a33(_: &Site) {
    for entry in ["**", "*.*", "[a-z].test", "?.test", "a*.test", "{a,b}.test", "*.", ".*"] {
        refused_at_load(entry);
    }
}

fn refused_at_load(entry: &str) {
    let (output, text) = validate(entry);
    assert_eq!(output.status.code(), Some(1), "{entry:?}: {text}");
    let shown = entry.trim().trim_matches(|c: char| !c.is_ascii());
    assert!(text.contains("config.yaml:") && text.contains("apps.a.egress.allowedHosts[0]"), "{entry:?}: {text}");
    assert!(text.contains(shown), "{entry:?}: {text}");
}

/// What `gestaltd validate` says about a list of one entry.
fn validate(entry: &str) -> (Output, String) {
    let dir = tempfile::tempdir().unwrap();
    package(&dir.path().join("pkg"), "entrypoint: {artifactPath: corpus.wasm}\nspec: {}\n", &[]);
    std::fs::copy(corpus(), dir.path().join("pkg/corpus.wasm")).unwrap();
    let file = dir.path().join("config.yaml");
    let quoted = serde_json::to_string(entry).unwrap();
    let apps = format!("apps:\n  a: {{source: {{path: ./pkg/manifest.yaml}}, egress: {{allowedHosts: [{quoted}]}}}}\n");
    let key = format!("server: {{encryptionKey: {}}}\n", "5e".repeat(32));
    std::fs::write(&file, format!("apiVersion: gestaltd.config/v6\n{key}{apps}")).unwrap();
    let output = crate::house::RUNTIME.block_on(gestalt_tests::run(&["validate", "--config", file.to_str().unwrap()]));
    let text = [&output.stdout[..], &output.stderr].concat();
    (output, String::from_utf8(text).unwrap())
}
