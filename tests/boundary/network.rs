//! A network of this process's own, in which every address there is leads to this process.
//!
//! In a fresh network namespace, two routes make all of IPv4 and IPv6 local to the loopback interface, so whatever the
//! daemon connects to, a canary in this process accepts it and can tell which address was meant. No privilege, no
//! program and no second machine is needed, only user namespaces.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket};
use nix::unistd::{getgid, getuid};
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use tempfile::TempDir;

/// The address of the one name server.
pub(crate) const NAME_SERVER: &str = "127.0.0.53";

/// Moves this process, which must have one thread, and all it starts from now on, into a network of its own. Hands back
/// what lies over `/etc`.
///
/// # Errors
/// What the kernel refused, and what that probably means.
pub(crate) fn enter() -> Result<TempDir, String> {
    let (uid, gid) = (getuid(), getgid());
    let spaces = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
    match unshare(CloneFlags::CLONE_NEWUSER | spaces) {
        Ok(()) => {
            // The same ids inside as outside: files keep their owners.
            let map = [
                ("setgroups", "deny".to_owned()),
                ("uid_map", format!("{uid} {uid} 1")),
                ("gid_map", format!("{gid} {gid} 1")),
            ];
            for (file, text) in map {
                fs::write(format!("/proc/self/{file}"), text).map_err(|error| format!("/proc/self/{file}: {error}"))?;
            }
        }
        // A container may forbid new users and still let its root have the rest.
        Err(_) if uid.is_root() && unshare(spaces).is_ok() => {}
        Err(error) => {
            return Err(format!(
                "unshare(NEWUSER|NEWNET|NEWNS): {error}; user namespaces are needed: see \
                 /proc/sys/user/max_user_namespaces, /proc/sys/kernel/unprivileged_userns_clone and \
                 kernel.apparmor_restrict_unprivileged_userns, or the seccomp profile of the container"
            ));
        }
    }
    routes()?;
    names().map_err(|error| format!("/etc of the namespace: {error}"))
}

/// What `ip link set lo up; ip route add local 0.0.0.0/0 dev lo; ip -6 route add local ::/0 dev lo` would do.
fn routes() -> Result<(), String> {
    const NEW_LINK: u16 = 16;
    const NEW_ROUTE: u16 = 24;
    const CREATE: u16 = 0x400;
    const LOOPBACK: u32 = 1;
    let failed = |what: &'static str| move |error: nix::Error| format!("{what}: {error}");
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)
        .map_err(failed("netlink socket"))?;
    // ifinfomsg: family, padding, type; index; flags: IFF_UP; which of them change.
    let up = [[0; 4], LOOPBACK.to_ne_bytes(), 1_u32.to_ne_bytes(), 1_u32.to_ne_bytes()].concat();
    ask(&socket, NEW_LINK, 0, &up).map_err(failed("loopback interface"))?;
    for (family, scope) in [(AddressFamily::Inet, 254), (AddressFamily::Inet6, 0)] {
        // rtmsg: family, prefix lengths, tos; RT_TABLE_LOCAL, RTPROT_BOOT, scope, RTN_LOCAL; flags. Then RTA_OIF.
        let family = u8::try_from(family as i32).unwrap_or_default();
        let route = [[family, 0, 0, 0], [255, 3, scope, 2], [0; 4]].concat();
        let interface = [[8, 0, 4, 0], LOOPBACK.to_ne_bytes()].concat();
        ask(&socket, NEW_ROUTE, CREATE, &[route, interface].concat()).map_err(failed("route to everywhere"))?;
    }
    Ok(())
}

/// One request of netlink, and its acknowledgement.
fn ask(socket: &OwnedFd, kind: u16, flags: u16, body: &[u8]) -> nix::Result<()> {
    const HEADER: usize = 16;
    const REQUEST_AND_ACK: u16 = 5;
    let length = u32::try_from(HEADER + body.len()).unwrap_or_default();
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend((flags | REQUEST_AND_ACK).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    sendto(socket.as_raw_fd(), &message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = [0; 1024];
    recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    let [a, b, c, d] = [HEADER, HEADER + 1, HEADER + 2, HEADER + 3].map(|at| answer[at]);
    match i32::from_ne_bytes([a, b, c, d]) {
        0 => Ok(()),
        error => Err(nix::Error::from_raw(-error)),
    }
}

/// Puts an `/etc` of our own in place of the machine's, so that names are asked of our server, whatever the machine has
/// configured, and hides where its caches of names may listen.
fn names() -> std::io::Result<TempDir> {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let etc = tempfile::tempdir()?;
    for (file, text) in [
        ("resolv.conf", format!("nameserver {NAME_SERVER}\noptions timeout:2 attempts:1\n").as_str()),
        ("nsswitch.conf", "hosts: files dns\n"),
        ("hosts", "127.0.0.1 localhost\n"),
    ] {
        fs::write(etc.path().join(file), text)?;
    }
    mount(Some(etc.path()), "/etc", none, MsFlags::MS_BIND, none)?;
    if Path::new("/run").is_dir() {
        mount(Some("none"), "/run", Some("tmpfs"), MsFlags::empty(), none)?;
    }
    Ok(etc)
}

/// What the kernel has counted in this network so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Connections that somebody tried to open, to whatever address and port.
    pub(crate) opened: u64,
    /// Datagrams sent.
    pub(crate) datagrams: u64,
}

impl Counters {
    /// As of now.
    pub(crate) fn read() -> Self {
        let v4 = fs::read_to_string("/proc/self/net/snmp").unwrap();
        let v6 = fs::read_to_string("/proc/self/net/snmp6").unwrap_or_default();
        let datagrams6 = v6.lines().find_map(|line| line.strip_prefix("Udp6OutDatagrams")?.trim().parse().ok());
        Self {
            opened: counter(&v4, "Tcp:", "ActiveOpens"),
            datagrams: counter(&v4, "Udp:", "OutDatagrams") + datagrams6.unwrap_or(0),
        }
    }
}

/// A number of `/proc/net/snmp`, where a line of names is followed by one of values.
fn counter(text: &str, table: &str, name: &str) -> u64 {
    let mut rows = text.lines().filter(|line| line.starts_with(table)).map(|line| line.split(' '));
    let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
    let found = names.zip(values).find(|(column, _)| *column == name);
    found.unwrap_or_else(|| panic!("the kernel counts no {name}")).1.parse().unwrap()
}
