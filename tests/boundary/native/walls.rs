//! What is behind the network: local sockets, other processes, files, the kernel.

use super::hostile;
use crate::house::RUNTIME;
use crate::row::Site;
use gestalt_tests::examples::app;
use gestalt_tests::{Client, Served, root};
use serde_json::{Value, json};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

/// Local sockets without a file.
pub(super) fn n05(site: &Site) {
    let address = SocketAddr::from_abstract_name("gestalt-n05").unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    listener.set_nonblocking(true).unwrap();
    site.fails(json!({"act": "unix", "abstract": "gestalt-n05"}), "ECONNREFUSED");
    assert!(listener.accept().is_err(), "somebody came");
}

/// Local sockets with one, wherever it lies.
pub(super) fn n06(site: &Site) {
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
pub(super) fn n07(site: &Site) {
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
pub(super) fn n08(site: &Site) {
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
    assert!(
        line(&["app=must", "not started: sandbox: this machine lacks", "namespaces: ", "max_*_namespaces"]),
        "{log}"
    );
    assert!(line(&["app=may", "sandbox=\"partial\"", "egress.allowedHosts is not enforced"]), "{log}");
    drop(served);
    RUNTIME.block_on(async { assert_eq!(site.house.operator.get("/health").await.code(), 200) });
}

/// Other processes, the daemon first of all.
pub(super) fn n15(site: &Site) {
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
pub(super) fn n16(site: &Site) {
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
        assert!(
            matches!(report["error"].as_str(), Some("EROFS" | "EACCES" | "EPERM" | "ENOENT")),
            "{}: {report}",
            path.display()
        );
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
pub(super) fn n17(site: &Site) {
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

/// The walls, from inside.
pub(super) fn n19(site: &Site) {
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
