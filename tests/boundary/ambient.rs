//! F: what a process has and a component has not.

use crate::row::{LISTED, Site, UNLISTED, catalogue, get};
use gestalt_tests::examples::{app, package};
use serde_json::json;

const EQUIPPED: &[(&str, &str)] = &[("", "env: {ONLY: this}")];
/// Everything may be reached, but for the daemon itself.
const EVERYWHERE: &[(&str, &str)] =
    &[("", "egress: {allowedHosts: [allowed.test, '*.wild.test', 127.0.0.1, '::1', localhost]}")];

catalogue! {
    Strict LISTED => f01 f02 f03 f05 f07 f11 f12;
    Strict EQUIPPED => f04;
    Strict UNLISTED => f09;
    Strict EVERYWHERE => f10;
    Wide EVERYWHERE => f10_everywhere;
}

/// Sockets, by every way there is to one.
fn f01(site: &Site) {
    for (act, address) in [
        ("tcp", "93.184.216.34:80"),
        ("tcp", "127.0.0.1:9090"),
        ("tcp", "[::1]:80"),
        ("tcp", "allowed.test:80"),
        ("listen", "127.0.0.1:0"),
        ("listen", "0.0.0.0:9999"),
        ("udp", "127.0.0.53:53"),
        ("udp", "93.184.216.34:9999"),
    ] {
        let attempt = json!({"act": act, "address": address});
        let seen = site.call(&attempt);
        seen.assert_silence(&attempt);
        let report = seen.report();
        assert!(report["done"].is_null(), "{attempt}: {report}");
        let record = site.refusal(&seen, &attempt, "PermissionDenied", "scheme_invalid");
        let expect = if act == "udp" { "udp" } else { "tcp" };
        assert!(
            record.field("scheme") == expect || record.field("raw_host") == "allowed.test",
            "{attempt}: {record:?}"
        );
    }
}

/// Names, by way of the sockets' own resolver, listed or not.
fn f02(site: &Site) {
    for address in ["allowed.test:80", "c2VjcmV0.evil.test:80", "localhost:80"] {
        let attempt = json!({"act": "lookup", "address": address});
        let seen = site.call(&attempt);
        seen.assert_silence(&attempt);
        let record = site.refusal(&seen, &attempt, "PermissionDenied", "scheme_invalid");
        let told = (record.field("scheme"), record.field("raw_host"));
        assert_eq!(told, ("dns", address.trim_end_matches(":80")));
    }
}

/// Files.
fn f03(site: &Site) {
    for path in [
        "/etc/passwd",
        "/",
        ".",
        "..",
        "/proc/self/environ",
        "/tmp/corpus",
        "corpus.wasm",
        "/dev/null",
        "/etc/../etc/hosts",
    ] {
        for act in ["read", "list", "write", "stat"] {
            let attempt = json!({"act": if act == "stat" { "remove" } else { act }, "path": path});
            let seen = site.call(&attempt);
            assert!(seen.report()["error"].is_string(), "{attempt}: {}", seen.answer.text());
        }
    }
    site.assert_alive();
}

/// There is no directory to get out of: not by links, not by what looks like the way up, and none to write into.
fn f12(site: &Site) {
    let ways = [
        "link/../../etc/passwd",
        "a/b/../../../../etc/passwd",
        "/tmp/../etc/passwd",
        "./.",
        "scratch/file",
        "//etc/passwd",
    ];
    for path in ways {
        for act in ["read", "list", "write", "remove"] {
            let attempt = json!({"act": act, "path": path});
            let seen = site.call(&attempt);
            seen.assert_silence(&attempt);
            assert!(seen.report()["error"].is_string(), "{attempt}: {}", seen.answer.text());
        }
    }
    let place = site.call(&json!({"act": "process"})).report()["directory"].clone();
    assert!(place.is_null() || place == "/", "{place}");
    site.assert_alive();
}

/// The environment is what the entry says, and there are no arguments.
fn f04(site: &Site) {
    let seen = site.call(&json!({"act": "process"}));
    let report = seen.report();
    assert_eq!((&report["vars"], &report["args"]), (&json!({"ONLY": "this"}), &json!([])), "{report}");
}

/// There is nothing to read, and what is written is a log line.
fn f05(site: &Site) {
    let seen = site.call(&json!({"act": "process"}));
    assert_eq!((&seen.report()["stdin"], &seen.report()["vars"]), (&json!("0 bytes"), &json!({})));
}

/// The end of the guest is not the daemon's.
fn f07(site: &Site) {
    for code in [0, 3] {
        site.ended(&json!({"act": "exit", "code": code}), 502, "operation failed");
    }
}

/// Imports nobody has: refused at load, every one of them by name; other apps start.
fn f09(_: &Site) {
    let (dir, mut config) = (tempfile::tempdir().unwrap(), "apps:\n".to_owned());
    let foreign = ["wasi:tls/types@0.2.0", "wasi:keyvalue/store@0.2.0", "wasi:nn/graph@0.2.0"];
    let imports: String = foreign.iter().map(|name| format!("(import \"{name}\" (instance))")).collect();
    for (name, text) in
        [("foreign", format!("(component {imports})")), ("plain", "(component (import \"foo\" (func)))".into())]
    {
        let own = dir.path().join(name);
        let manifest = package(&own, "entrypoint: {artifactPath: app.wasm}\nspec: {}\n", &[]);
        std::fs::write(own.join("app.wasm"), wat::parse_str(text).unwrap()).unwrap();
        config += &app(name, &manifest, "");
    }
    let served = crate::house::serve(&config);
    let log = served.log();
    for name in foreign.into_iter().chain(["component imports what an app cannot have: foo"]) {
        assert!(log.contains(name), "{name} is not in\n{log}");
    }
}

/// The daemon's own doors, though everything about them is listed.
fn f10(site: &Site) {
    crate::names::set("door.wild.test", &[&["127.0.0.1"]]);
    let prohibited = "DestinationIpProhibited";
    for host in ["127.0.0.1:9090", "localhost:9090"] {
        site.denied(get(host), prohibited, "self_listener");
    }
    site.denied_after_lookup(get("door.wild.test:9090"), "door.wild.test", prohibited, "self_listener");
    for host in ["[::ffff:127.0.0.1]:9090", "127.1:9090"] {
        site.invalid(get(host));
    }
}

/// A door on every address: all addresses of the machine are the daemon's, whatever networks are lifted.
fn f10_everywhere(site: &Site) {
    crate::names::set("everywhere.wild.test", &[&["93.184.216.99"]]);
    site.denied(get("127.0.0.1:9091"), "DestinationIpProhibited", "self_listener");
    let own = get("everywhere.wild.test:9091");
    site.denied_after_lookup(own, "everywhere.wild.test", "DestinationIpProhibited", "self_listener");
    site.allowed(&get("everywhere.wild.test"));
}

/// Services that nobody bound to the app, by whatever name.
fn f11(site: &Site) {
    for service in ["cache", "indexeddb", "s3", "authorization"] {
        for binding in [json!(null), json!("main"), json!("other"), json!("../other")] {
            let seen = site.call(&json!({"act": "service", "service": service, "binding": binding}));
            assert_eq!(seen.report()["at"], "service", "{}", seen.answer.text());
        }
    }
    site.assert_alive();
}
