//! Ways out of the daemon that no compiler would mind. Clippy refuses calls (`clippy.toml`); here is what a call does not
//! show: dependencies that bring a client along, and system calls by another crate's name.

use super::crates::metadata;
use super::sources::shipped;
use super::{assert_none, root};
use cargo_metadata::DependencyKind;

/// Crates by whose help a name is resolved or a connection opened, and who may have them.
const CLIENTS: [(&str, &[&str]); 14] = [
    ("async-std", &[]),
    ("attohttpc", &[]),
    ("curl", &[]),
    ("hickory", &["gestalt-egress"]),
    // The daemon serves with it, the provider protocol runs over it; either on sockets that are handed to it.
    ("hyper", &["gestalt-egress", "gestaltd"]),
    ("hyper-util", &["gestalt-egress", "gestalt-runtime-process", "gestaltd"]),
    ("isahc", &[]),
    // For signals, limits, locks and ways of opening files; in cells for namespaces as well. Its sockets are a door below.
    ("nix", &["gestalt-confine", "gestalt-runtime-process", "gestalt-runtime-wasm", "gestaltd"]),
    ("quinn", &[]),
    ("reqwest", &["gestalt-egress"]),
    // For the priority and the clock of a thread; and in cells for mounts, for handing over a descriptor, and for the
    // interface of a network in which there is nothing else.
    ("rustix", &["gestalt-confine", "gestalt-runtime-wasm"]),
    ("socket2", &[]),
    ("tokio-rustls", &["gestalt-egress"]),
    ("ureq", &[]),
];

/// The program that a verification runs in a native app's cell, to see that none of this works there.
const ATTACKER: &str = "host/src/verify/attacker.rs";

/// What opens a socket or resolves a name, and the files that may name it: each opens none that an app has a say in.
const DOORS: [(&str, &[&str]); 17] = [
    ("TcpStream::connect", &["host/crates/egress/src/connect.rs", ATTACKER]),
    ("TcpSocket", &[]),
    ("UdpSocket", &["host/crates/egress/src/listeners.rs", ATTACKER]),
    ("to_socket_addrs", &["host/crates/egress/src/resolve.rs", ATTACKER]),
    ("lookup_host", &[]),
    ("getaddrinfo", &[]),
    ("rustix::net", &["host/crates/confine/src/handover.rs", "host/crates/confine/src/loopback.rs"]),
    ("libc::connect", &[]),
    ("libc::socket", &[]),
    ("sys::socket", &[ATTACKER]),
    // Of the daemon's own children, in a private directory.
    ("UnixStream::connect", &["runtime-process/src/instance.rs", ATTACKER]),
    ("UnixDatagram", &[]),
    ("HttpConnector", &[]),
    ("client::legacy", &[]),
    ("Endpoint::connect", &[]),
    (".connect_lazy(", &[]),
    // Listeners: the daemon's doors, those a verification waits at, and a proxy's in a network of its cell's own.
    (
        "TcpListener::bind",
        &["host/src/ingress/http/server.rs", "host/src/verify/trial.rs", "host/crates/confine/src/loopback.rs"],
    ),
];

#[test]
fn clients_stay_in_their_crates() {
    let mut findings = Vec::new();
    for package in metadata().workspace_packages().iter().filter(|package| *package.name != super::crates::TESTS) {
        for dependency in package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development) {
            let fits = |name: &str| dependency.name == name || (name == "hickory" && dependency.name.starts_with(name));
            let owners = CLIENTS.iter().find(|(name, _)| fits(name)).map(|(_, owners)| owners);
            if owners.is_some_and(|owners| !owners.contains(&package.name.as_str())) {
                findings.push(format!("{} depends on {}", package.name, dependency.name));
            }
        }
    }
    assert_none("what opens connections belongs to another crate", findings);
}

#[test]
fn no_door_but_the_known_ones() {
    let mut findings = Vec::new();
    for (path, text) in shipped() {
        // Guests and SDKs run inside of the sandbox: it is what they try that counts, not what they name.
        if path.starts_with("guest-examples/") || path.starts_with("wit/") {
            continue;
        }
        let code = super::sources::without_tests(&text);
        for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for (door, files) in DOORS {
                if line.contains(door) && !files.contains(&path.as_str()) {
                    findings.push(format!("{path}:{}: {door}", number + 1));
                }
            }
        }
    }
    assert_none("outbound connections go through gestalt-egress", findings);
}

/// A path in `clippy.toml` that names nothing refuses nothing, and clippy is told not to mind for crates that are not
/// there. Those it has to mind are.
#[test]
fn clippy_refuses_what_there_is() {
    let text = std::fs::read_to_string(root().join("clippy.toml")).unwrap();
    let lenient = text.lines().filter(|line| line.contains("allow-invalid"));
    let wrong = lenient.filter(|line| !["\"tokio::", "\"reqwest::"].iter().any(|known| line.contains(known)));
    assert_none("clippy would not say if these named nothing", wrong.map(str::to_owned).collect());
    for method in ["std::net::TcpStream::connect", "tokio::net::TcpStream::connect", "tokio::net::lookup_host"] {
        assert!(text.contains(&format!("\"{method}\"")), "{method} is not refused");
    }
}
