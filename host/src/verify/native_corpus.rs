//! The attempts of a native app: a program in its cell that is as hostile as it can be. Ids are those of the threat
//! model's catalogue, as for components.

use super::attacker::{Attempt, Call, Kind, Resource};
use super::corpus::Places;
use super::subject::{Policy, Subject};
use gestalt_confine::{Limits, PROXY_PORT};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// What has to come of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// An error of the kernel's, one of these. Nobody hears of it.
    Fails(&'static [&'static str]),
    /// Some error, or nothing to be read. Nobody hears of it.
    Unread,
    /// It works, and nobody hears of it.
    Works,
    /// These names and no others.
    Only(Vec<String>),
    /// So many and no more, and then this error.
    AtMost(u64, &'static str),
    /// The proxy answers so, and the record says why. Nobody is asked or connected to.
    Refused(u16, &'static [&'static str]),
    /// The same after one lookup.
    Prohibited,
    /// Arrives where it should, once.
    Reached,
    /// The tunnel is open, and not a byte of it arrives.
    Unheard,
}

/// One attempt.
#[derive(Clone, Debug)]
pub struct Row {
    /// As in the catalogue.
    pub id: &'static str,
    /// What is tried, in a few words.
    pub attack: &'static str,
    /// What the program is told.
    pub attempt: Attempt,
    /// What a name leads to, for all lookups.
    pub name: Option<(String, Vec<IpAddr>)>,
    /// What has to come of it.
    pub expect: Expect,
}

/// What of this machine is tried.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Listeners.
    pub places: Places,
    /// What must not be read: the daemon's files, and other apps' packages.
    pub secret: Vec<PathBuf>,
    /// What must not be read of the machine.
    pub machine: Vec<PathBuf>,
    /// A file and a name of sockets on which somebody listens.
    pub sockets: (PathBuf, String),
    /// The app's own package.
    pub package: PathBuf,
    /// A name the rules allow.
    pub allowed: Option<String>,
    /// A name they do not.
    pub unlisted: Option<String>,
    /// How a TLS handshake with the former begins, and one with a name that is not listed.
    pub hellos: [Vec<u8>; 2],
    /// Whether memory without a name is counted by a control group, and may be had.
    pub counts: bool,
}

const EPERM: Expect = Expect::Fails(&["EPERM"]);
const READONLY: Expect = Expect::Fails(&["EROFS", "EACCES", "EPERM", "ENOENT", "ENOTDIR", "EISDIR"]);

/// The corpus for a subject.
pub fn rows(subject: &Subject, ground: &Ground) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut push = |id, attack, attempt, expect| rows.push(Row { id, attack, attempt, name: None, expect });
    let (open, closed, own) = (ground.places.open, ground.places.closed, ground.places.own);

    for address in [closed, own] {
        push("N14", "the machine's own loopback", Attempt::Tcp { address }, Expect::Fails(&["ECONNREFUSED"]));
    }
    for (attack, ip, port) in [
        ("a TCP connection", [192, 0, 2, 1], 443),
        ("a TCP connection to the proxy's port elsewhere", [192, 0, 2, 1], PROXY_PORT),
        ("the metadata service", [169, 254, 169, 254], 80),
        ("a private network", [10, 0, 0, 1], 80),
    ] {
        let address = SocketAddr::from((ip, port));
        push("N01", attack, Attempt::Tcp { address }, Expect::Fails(&["ENETUNREACH"]));
    }
    push("N02", "a datagram", Attempt::Udp { address: closed }, EPERM);
    push("N02", "a lookup", Attempt::Lookup { name: "c2VjcmV0.verify-egress.invalid".into() }, Expect::Unread);
    let (path, name) = ground.sockets.clone();
    push("N05", "a local socket without a file", Attempt::Abstract { name }, Expect::Fails(&["ECONNREFUSED", "EPERM"]));
    push("N06", "a local socket with one", Attempt::Unix { path }, Expect::Fails(&["ENOENT", "EACCES"]));
    for (attack, kind) in [
        ("a socket to the kernel", Kind::Netlink),
        ("a socket to the wire", Kind::Packet),
        ("a raw socket", Kind::Raw),
        ("a socket to a hypervisor", Kind::Vsock),
        ("a socket to the kernel's ciphers", Kind::Alg),
    ] {
        push("N07", attack, Attempt::Socket { kind }, EPERM);
    }

    let daemon = std::process::id().cast_signed();
    push("N15", "a signal to the daemon", Attempt::Signal { pid: daemon }, Expect::Fails(&["ESRCH", "EPERM"]));
    for (attack, path) in [
        ("the daemon's environment", format!("/proc/{daemon}/environ")),
        ("the environment of what is above", "/proc/1/environ".to_owned()),
        ("the memory of what is above", "/proc/1/mem".to_owned()),
        ("the machine's memory", "/proc/kcore".to_owned()),
        ("settings of the kernel", "/proc/sys".to_owned()),
    ] {
        push("N15", attack, Attempt::Read { path: path.into() }, Expect::Unread);
    }
    for path in &ground.secret {
        push("N16", "what the daemon keeps to itself", Attempt::Read { path: path.clone() }, Expect::Unread);
    }
    for path in &ground.machine {
        push("N16", "what is the machine's", Attempt::Read { path: path.clone() }, Expect::Unread);
    }
    push("N16", "control: its own package", Attempt::Read { path: ground.package.clone() }, Expect::Works);
    for (attack, path) in [
        ("to change its own package", ground.package.join("verify-egress")),
        ("to change the system", "/usr/bin/verify-egress".into()),
        ("to change the root", "/verify-egress-new".into()),
        ("to change names", "/etc/hosts".into()),
        ("to change the kernel", "/proc/sys/kernel/core_pattern".into()),
        ("to change the kernel by a request", "/proc/sysrq-trigger".into()),
    ] {
        push("N16", attack, Attempt::Write { path }, READONLY);
    }
    push("N16", "control: to write to /tmp", Attempt::Write { path: "/tmp/verify-egress".into() }, Expect::Works);
    push("N16", "variables of the daemon's", Attempt::Environment, Expect::Only(variables()));

    let limits = Limits::provider();
    for (attack, what, most, end) in [
        ("processes without end", Resource::Processes, limits.processes, "EAGAIN"),
        ("descriptors without end", Resource::Descriptors, limits.descriptors, "EMFILE"),
        ("disk without end", Resource::Disk, limits.scratch >> 20, "ENOSPC"),
    ] {
        push("N17", attack, Attempt::Exhaust { what }, Expect::AtMost(most, end));
    }
    if !ground.counts {
        let memfd = Attempt::Call { call: Call::Memfd };
        push("N17", "memory without a name", memfd, Expect::Fails(&["ENOSYS"]));
    }
    for (attack, call) in [
        ("new users", Call::UnshareUser),
        ("a new network", Call::UnshareNet),
        ("another network", Call::Setns),
        ("to mount", Call::Mount),
        ("to unmount", Call::Umount),
        ("another root", Call::PivotRoot),
        ("a root of its own", Call::Chroot),
    ] {
        push("N19", attack, Attempt::Call { call }, EPERM);
    }
    proxied(&mut rows, subject, ground, open);
    rows
}

/// What a program is given, and nothing of the daemon's.
fn variables() -> Vec<String> {
    let fixed = gestalt_confine::fixed_environment();
    fixed.into_keys().map(|name| name.to_string_lossy().into_owned()).collect()
}

fn tunnel(host: &str, port: u16) -> String {
    format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n")
}

fn plain(host: &str, port: u16) -> String {
    format!("GET http://{host}:{port}/ok HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n")
}

/// By the one way out there is.
fn proxied(rows: &mut Vec<Row>, subject: &Subject, ground: &Ground, open: SocketAddr) {
    const LISTED: &[&str] = &["host_not_allowed", "default_deny"];
    let mut push = |id, attack, request, then, name: Option<(&str, IpAddr)>, expect| {
        let name = name.map(|(name, ip)| (name.to_lowercase(), vec![ip]));
        rows.push(Row { id, attack, attempt: Attempt::Proxy { request, then }, name, expect });
    };
    if let Some(name) = &ground.unlisted {
        let denied = || Expect::Refused(403, LISTED);
        push("N01", "a tunnel to a name that is not listed", tunnel(name, 443), Vec::new(), None, denied());
        push("A02", "a request to a name that is not listed", plain(name, 80), Vec::new(), None, denied());
        push(
            "D01",
            "data in the labels of such a name",
            tunnel(&format!("c2VjcmV0.{name}"), 443),
            Vec::new(),
            None,
            denied(),
        );
        for host in ["127.0.0.1", "[::1]", "169.254.169.254", "10.0.0.1", "localhost"] {
            if !subject.allows(host) {
                push("N12", "a tunnel to a place within", tunnel(host, 443), Vec::new(), None, denied());
            }
        }
    }
    let Some(name) = &ground.allowed else { return };
    let [hello, other] = &ground.hellos;
    let at = Some((name.as_str(), open.ip()));
    push("N10", "control: a tunnel to a listed name", tunnel(name, open.port()), hello.clone(), at, Expect::Reached);
    if !(subject.rules().require_tls || subject.deployment.server.egress.require_tls) {
        push("A01", "control: a request to a listed name", plain(name, open.port()), Vec::new(), at, Expect::Reached);
    }
    for (attack, then) in [
        ("a tunnel for another name", other.clone()),
        ("a tunnel for no TLS at all", b"GET / HTTP/1.1\r\nHost: evil.invalid\r\n\r\n".to_vec()),
    ] {
        push("N11", attack, tunnel(name, open.port()), then, at, Expect::Unheard);
    }
    let blocked = Expect::Refused(403, &["port_blocked"]);
    push("N10", "a tunnel for another protocol", tunnel(name, 25), Vec::new(), None, blocked);
    const SPELLING: &[&str] = &["uri_invalid", "host_not_allowed", "default_deny"];
    for (id, attack, host) in [
        ("A08", "an empty label", format!("{name}..")),
        ("A17", "an address as one number", "2130706433".to_owned()),
        ("A17", "an address in octal", "0177.0.0.1".to_owned()),
        ("A20", "an IPv4 address inside of an IPv6 one", "[::ffff:127.0.0.1]".to_owned()),
        ("N12", "a zone that ends as a listed name", format!("[::1%25.{name}]")),
        ("A23", "a user before the host", format!("{name}@127.0.0.1")),
    ] {
        push(id, attack, tunnel(&host, 443), Vec::new(), None, Expect::Refused(400, SPELLING));
    }
    if subject.policy() == Policy::Listed && !subject.observes() {
        for (attack, ip) in [
            ("a name that leads to the metadata service", IpAddr::from([169, 254, 169, 254])),
            ("a name that leads to everywhere", IpAddr::from([255, 255, 255, 255])),
        ] {
            let to = Some((name.as_str(), ip));
            push("N13", attack, tunnel(name, open.port()), Vec::new(), to, Expect::Prohibited);
        }
    }
}
