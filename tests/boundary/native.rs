//! N: an app that is a process of its own, on the published SDK, and runs in the sandbox. And E12, from inside of it.

use crate::house::{RUNTIME, Record};
use crate::names;
use crate::row::{Seen, Site, catalogue};
use crate::{authority, canary};
use gestalt_tests::examples::{File, app, package};
use gestalt_tests::{Client, Served, root, target_dir};
use serde_json::{Value, json};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

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
    Native CONFINED => n00_what_is_allowed_is_reached n01 n02 n03 n04 n05 n06 n07 n09 n10 n11 n12 n13 n14 n15 n16 n17 n19 e12;
    Native NEIGHBOURS => n18;
    Native NONE => n08;
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
    let venv = target_dir().join("python/a29");
    assert!(venv.join("complete").exists(), "{} is missing; `make python` makes it", venv.display());
    std::os::unix::fs::symlink(venv, dir.join(".venv")).unwrap();
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

/// Local sockets without a file.
fn n05(site: &Site) {
    let address = SocketAddr::from_abstract_name("gestalt-n05").unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    listener.set_nonblocking(true).unwrap();
    site.fails(json!({"act": "unix", "abstract": "gestalt-n05"}), "ECONNREFUSED");
    assert!(listener.accept().is_err(), "somebody came");
}

/// Local sockets with one, wherever it lies.
fn n06(site: &Site) {
    for dir in ["/tmp", "/var/tmp", "/run"] {
        let dir = tempfile::tempdir_in(dir).unwrap();
        let path = dir.path().join("docker.sock");
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        site.fails(json!({"act": "unix", "path": path}), "ENOENT");
        assert!(listener.accept().is_err(), "somebody came");
    }
}

/// Families of sockets that lead to the kernel, to a hypervisor or to the wire, and what is as good as a socket.
fn n07(site: &Site) {
    const RAW: i32 = 3;
    const VSOCK: i32 = 40;
    const ALG: i32 = 38;
    const NETLINK: i32 = 16;
    const PACKET: i32 = 17;
    for (family, kind, protocol) in
        [(VSOCK, 1, 0), (ALG, 5, 0), (NETLINK, RAW, 0), (PACKET, RAW, 0), (2, RAW, 1), (2, 5, 132)]
    {
        site.fails(json!({"act": "socket", "family": family, "type": kind, "protocol": protocol}), "EPERM");
    }
    site.fails(json!({"act": "call", "name": "io_uring_setup"}), "EPERM");
}

/// A machine that cannot: whoever has to be confined is not started, and the others are told apart.
fn n08(site: &Site) {
    const LIMIT: &str = "/proc/sys/user/max_net_namespaces";
    let before = std::fs::read_to_string(LIMIT).unwrap();
    // Those there are stay as they are.
    std::fs::write(LIMIT, "0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let manifest = hostile(&dir.path().join("hostile"));
    let entry = |sandbox| format!("egress: {{allowedHosts: [allowed.test], sandbox: {sandbox}}}");
    let apps = app("must", &manifest, &entry("required")) + &app("may", &manifest, &entry("best-effort"));
    let config = format!("server: {{egress: {{defaultAction: deny}}}}\napps:\n{apps}");
    let (served, outcome) = RUNTIME.block_on(async {
        let served = Served::start(&config);
        let client = served.ready().await;
        let call = async |client: &Client, app| client.call(app, "attempt", r#"{"act": "own"}"#).await.code();
        let outcome = (call(&client, "must").await, call(&client, "may").await);
        (served, outcome)
    });
    let log = served.log();
    std::fs::write(LIMIT, before.trim()).unwrap();
    assert_eq!(outcome, (503, 200), "{log}");
    let line = |words: &[&str]| log.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(line(&["app=must", "not started: sandbox: namespaces", "max_*_namespaces"]), "{log}");
    assert!(line(&["app=may", "sandbox=\"partial\"", "egress.allowedHosts is not enforced"]), "{log}");
    drop(served);
    RUNTIME.block_on(async { assert_eq!(site.house.operator.get("/health").await.code(), 200) });
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

/// Other processes, the daemon first of all.
fn n15(site: &Site) {
    const ATTACH: i32 = 16;
    let daemon = site.house.pid();
    site.fails(json!({"act": "call", "name": "ptrace", "arguments": [ATTACH, daemon, 0, 0, 0, 0]}), "EPERM");
    site.fails(json!({"act": "call", "name": "process_vm_readv", "arguments": [daemon, 0, 0, 0, 0, 0]}), "EPERM");
    site.fails(json!({"act": "call", "name": "pidfd_getfd", "arguments": [3, 0, 0, 0, 0, 0]}), "EPERM");
    for file in ["environ", "cmdline", "mem", "root/etc/hosts"] {
        site.fails(json!({"act": "read", "path": format!("/proc/{daemon}/{file}")}), "ENOENT");
    }
    for signal in [0, 15, 9] {
        site.fails(json!({"act": "signal", "pid": daemon, "signal": signal}), "ESRCH");
    }
    // What it does see: itself, and the process above it, which has nothing to give and does not die.
    let listed = site.tries(json!({"act": "list", "path": "/proc"}));
    let listed = listed["done"].as_array().unwrap().iter().filter_map(|name| name.as_str()?.parse::<u32>().ok());
    assert_eq!(listed.collect::<Vec<_>>(), [1, 2]);
    let sent = site.tries(json!({"act": "signal", "pid": 1, "signal": 9}));
    assert_eq!(sent["done"], "sent");
    let own = site.tries(json!({"act": "own"}));
    assert_eq!((&own["done"]["pid"], &own["done"]["parent"]), (&json!(2), &json!(1)), "{own}");
    site.is_well();
}

/// Files that are not its own.
fn n16(site: &Site) {
    for path in site.house.secrets().iter().chain([&root().join("README.md")]) {
        assert!(path.exists(), "{}", path.display());
        site.fails(json!({"act": "read", "path": path}), "ENOENT");
    }
    for path in ["/etc/shadow", "/etc/resolv.conf", "/etc/ssl/private", "/run/user", "/sys/kernel", "/boot", "/var/lib"]
    {
        site.fails(json!({"act": "list", "path": path}), "ENOENT");
    }
    let seen = site.tries(json!({"act": "own"}))["done"]["root"].clone();
    for unseen in ["var", "mnt", "boot", "sys"] {
        assert!(!seen.as_array().unwrap().contains(&json!(unseen)), "{unseen}: {seen}");
    }
    // Its own package is there, and stays as it is; so does the system.
    let package = site.house.packages().join("hostile");
    assert_eq!(site.tries(json!({"act": "read", "path": package.join("catalog.yaml")}))["error"], Value::Null);
    for path in [
        package.join("hostile.py"),
        package.join("new"),
        "/usr/bin/new".into(),
        "/new".into(),
        "/etc/hosts".into(),
        "/proc/sys/kernel/core_pattern".into(),
    ] {
        let report = site.tries(json!({"act": "write", "path": path}));
        assert!(matches!(report["error"].as_str(), Some("EROFS" | "EACCES" | "EPERM")), "{}: {report}", path.display());
    }
    // What is its own is gone with it, and is nobody else's.
    assert_eq!(site.tries(json!({"act": "write", "path": "/tmp/n16"}))["done"], "written");
    assert!(!Path::new("/tmp/n16").exists());
    let sockets = site.tries(json!({"act": "variables"}))["done"]["GESTALT_PROVIDER_SOCKET"].clone();
    let beside = Path::new(sockets.as_str().unwrap()).with_file_name("file");
    site.fails(json!({"act": "write", "path": beside}), "EACCES");
    site.is_well();
}

/// Processes, memory, descriptors and disk, as many as there are.
fn n17(site: &Site) {
    let forked = site.tries(json!({"act": "fork_bomb"}));
    assert_eq!(forked["done"]["error"], "EAGAIN", "{forked}");
    assert!(forked["done"]["forked"].as_u64().unwrap() <= 1024, "{forked}");
    let opened = site.tries(json!({"act": "files"}));
    assert_eq!(opened["done"]["error"], "EMFILE", "{opened}");
    assert!(opened["done"]["opened"].as_u64().unwrap() <= 1024, "{opened}");
    assert_eq!(site.tries(json!({"act": "memory", "gibibytes": 5}))["error"], "MemoryError");
    let disk = site.tries(json!({"act": "write", "path": "/tmp/big", "megabytes": 80}));
    assert!(matches!(disk["error"].as_str(), Some("ENOSPC" | "EFBIG")), "{disk}");
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

/// The walls, from inside.
fn n19(site: &Site) {
    const NEW_USER: i64 = 0x1000_0000;
    for name in [
        "unshare",
        "setns",
        "mount",
        "umount2",
        "pivot_root",
        "chroot",
        "open_tree",
        "move_mount",
        "fsopen",
        "keyctl",
        "bpf",
        "perf_event_open",
        "userfaultfd",
    ] {
        site.fails(json!({"act": "call", "name": name}), "EPERM");
    }
    site.fails(json!({"act": "call", "name": "clone", "arguments": [NEW_USER | 17, 0, 0, 0, 0, 0]}), "EPERM");
    site.fails(json!({"act": "call", "name": "clone3"}), "ENOSYS");
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
