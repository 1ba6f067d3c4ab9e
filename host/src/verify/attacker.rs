//! What tries to get out of a cell: an ordinary program in it, which happens to be this binary. It does one thing, which is
//! on its command line, and says on standard output what came of it.
//!
//! Run by hand it does no harm: nothing it tries lasts longer than it does, but for the file it is told to write.

use gestalt_confine::PROXY_PORT;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use nix::sys::{memfd, signal};
use nix::{mount, sched, unistd};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The subcommand.
pub const COMMAND: &str = "__attack";

/// The longest that anything is waited for: most of it is refused at once.
const PATIENCE: Duration = Duration::from_secs(2);

/// One thing to try.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub enum Attempt {
    /// A connection that asks no proxy.
    Tcp {
        /// Where to.
        address: SocketAddr,
    },
    /// A datagram.
    Udp {
        /// Where to.
        address: SocketAddr,
    },
    /// A lookup by the C library's means.
    Lookup {
        /// The name.
        name: String,
    },
    /// A local socket with a file.
    Unix {
        /// The file.
        path: PathBuf,
    },
    /// A local socket without one.
    Abstract {
        /// Its name.
        name: String,
    },
    /// A socket of a family that is not for the likes of apps.
    Socket {
        /// Which.
        kind: Kind,
    },
    /// To read a file, or to list a directory.
    Read {
        /// Which.
        path: PathBuf,
    },
    /// To change a file, or make one.
    Write {
        /// Which.
        path: PathBuf,
    },
    /// A call to the kernel that an app has no use for.
    Call {
        /// Which.
        call: Call,
    },
    /// To ask whether a process is there.
    Signal {
        /// Which.
        pid: i32,
    },
    /// One request to the proxy, byte for byte as given; and more, once it has opened a tunnel.
    Proxy {
        /// The request.
        request: String,
        /// What is sent into the tunnel.
        then: Vec<u8>,
    },
    /// The names of all variables.
    Environment,
    /// As many of something as there are.
    Exhaust {
        /// Of what.
        what: Resource,
    },
}

/// Families of sockets.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// To the kernel.
    Netlink,
    /// To the wire.
    Packet,
    /// Past the transport.
    Raw,
    /// To a hypervisor.
    Vsock,
    /// To the kernel's ciphers.
    Alg,
}

/// Calls to the kernel.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are the kernel's")]
pub enum Call {
    UnshareUser,
    UnshareNet,
    Setns,
    Mount,
    Umount,
    PivotRoot,
    Chroot,
    Memfd,
}

/// What there is a number of.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Threads.
    Processes,
    /// Open files.
    Descriptors,
    /// MiB of files.
    Disk,
}

/// Tries what `attempt` says, and prints what came of it as one line of JSON: `done`, or `error`.
pub fn run(attempt: &str) -> ExitCode {
    let Ok(attempt) = serde_json::from_str::<Attempt>(attempt) else { return ExitCode::FAILURE };
    let report = match tried(&attempt) {
        Ok(done) => json!({"done": done}),
        Err(error) => json!({"error": named(&error)}),
    };
    match writeln!(io::stdout(), "{report}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// An error of the kernel's by its own name.
fn named(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.kind().to_string(), |code| format!("{:?}", Errno::from_raw(code)))
}

fn tried(attempt: &Attempt) -> io::Result<Value> {
    match attempt {
        Attempt::Tcp { address } =>
        {
            #[expect(clippy::disallowed_methods, reason = "whose attempt this is has no way out to ask")]
            TcpStream::connect_timeout(address, PATIENCE).map(|_| "connected".into())
        }
        Attempt::Udp { address } => {
            let any: SocketAddr =
                if address.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" }.parse().map_err(io::Error::other)?;
            #[expect(clippy::disallowed_methods, reason = "whose attempt this is has no way out to ask")]
            UdpSocket::bind(any)?.send_to(b"secret", address).map(|_| "sent".into())
        }
        Attempt::Lookup { name } => {
            #[expect(clippy::disallowed_methods, reason = "whose attempt this is has no way out to ask")]
            let found = (name.as_str(), 443).to_socket_addrs()?;
            Ok(found.map(|address| address.ip().to_string()).collect::<Vec<_>>().into())
        }
        Attempt::Unix { path } => UnixStream::connect(path).map(|_| "connected".into()),
        Attempt::Abstract { name } => {
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            UnixStream::connect_addr(&address).map(|_| "connected".into())
        }
        Attempt::Socket { kind } => made(*kind).map(|()| "made".into()).map_err(Into::into),
        Attempt::Read { path } if path.is_dir() => Ok(fs::read_dir(path)?.count().into()),
        Attempt::Read { path } => {
            let mut bytes = Vec::new();
            File::open(path)?.take(4096).read_to_end(&mut bytes)?;
            Ok(bytes.len().into())
        }
        Attempt::Write { path } => {
            // Nothing of what is there is lost, should it work.
            let mut file = File::options().create(true).append(true).open(path)?;
            file.write_all(b"")?;
            Ok("opened".into())
        }
        Attempt::Call { call } => called(*call).map(|()| "done".into()).map_err(Into::into),
        Attempt::Signal { pid } => {
            signal::kill(unistd::Pid::from_raw(*pid), None).map(|()| "there".into()).map_err(Into::into)
        }
        Attempt::Proxy { request, then } => asked(request, then),
        Attempt::Environment => {
            Ok(std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect::<Vec<_>>().into())
        }
        Attempt::Exhaust { what } => Ok(exhausted(*what)),
    }
}

fn made(kind: Kind) -> nix::Result<()> {
    let (family, how, protocol) = match kind {
        Kind::Netlink => (AddressFamily::Netlink, SockType::Raw, Some(SockProtocol::NetlinkRoute)),
        Kind::Packet => (AddressFamily::Packet, SockType::Raw, None),
        Kind::Raw => (AddressFamily::Inet, SockType::Raw, Some(SockProtocol::Icmp)),
        Kind::Vsock => (AddressFamily::Vsock, SockType::Stream, None),
        Kind::Alg => (AddressFamily::Alg, SockType::SeqPacket, None),
    };
    socket(family, how, SockFlag::empty(), protocol).map(drop)
}

/// With arguments that make no sense: a kernel that would listen says that.
fn called(call: Call) -> nix::Result<()> {
    let none: Option<&str> = None;
    match call {
        Call::UnshareUser => sched::unshare(sched::CloneFlags::CLONE_NEWUSER),
        Call::UnshareNet => sched::unshare(sched::CloneFlags::CLONE_NEWNET),
        Call::Setns => {
            sched::setns(File::open("/proc/self/ns/net").map_err(|_| Errno::EPERM)?, sched::CloneFlags::empty())
        }
        Call::Mount => mount::mount(Some("tmpfs"), "/nowhere", Some("tmpfs"), mount::MsFlags::empty(), none),
        Call::Umount => mount::umount("/nowhere"),
        Call::PivotRoot => unistd::pivot_root("/nowhere", "/nowhere"),
        Call::Chroot => unistd::chroot("/nowhere"),
        Call::Memfd => memfd::memfd_create("x", memfd::MFdFlags::empty()).map(drop),
    }
}

/// What the proxy answers, and how many bytes come back out of a tunnel.
fn asked(request: &str, then: &[u8]) -> io::Result<Value> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PROXY_PORT));
    #[expect(clippy::disallowed_methods, reason = "the one way out there is")]
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(2 * PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16 << 10 && stream.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head);
    let status = text.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok());
    let mut back = 0;
    if status == Some(200) && !then.is_empty() {
        stream.write_all(then)?;
        // Its end is no error: that may well be what is to be seen.
        back = stream.take(4096).read(&mut [0; 4096]).unwrap_or_default();
    }
    Ok(json!({"status": status, "back": back}))
}

/// How many there were, and what came then.
fn exhausted(what: Resource) -> Value {
    let (most, mut count, mut end) = (if matches!(what, Resource::Disk) { 256 } else { 8192 }, 0, None);
    let mut kept: Vec<File> = Vec::new();
    let piece = |number: u64| format!("/tmp/verify-egress-{number}");
    while count < most && end.is_none() {
        let taken = match what {
            Resource::Processes => std::thread::Builder::new().stack_size(32 << 10).spawn(std::thread::park).map(drop),
            Resource::Descriptors => File::open("/dev/null").map(|file| kept.push(file)),
            Resource::Disk => fs::write(piece(count), vec![1; 1 << 20]),
        };
        match taken {
            Ok(()) => count += 1,
            Err(error) => end = Some(named(&error)),
        }
    }
    if matches!(what, Resource::Disk) {
        (0..=count).for_each(|number| drop(fs::remove_file(piece(number))));
    }
    json!({"count": count, "end": end})
}
