//! What answers on every address: it remembers for whom a connection was meant and what came over it.

use crate::authority;
use crate::names;
use crate::network::NAME_SERVER;
use rustls::{ServerConnection, StreamOwned};
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// Where somebody might want to go. The kernel counts attempts on all others.
const PORTS: [u16; 9] = [22, 25, 53, 80, 443, 6379, 8000, 8443, 9999];

/// The longest it takes until something that has happened is noticed, on a machine with other things to do.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// What of a request is kept.
const HEAD: usize = 4096;

/// How much of a declared body is waited for.
const BODY: usize = 1 << 20;

/// How much an endless answer has at most: ten times what anybody should have taken.
const ENDLESS: usize = 160 << 20;

/// One connection, from its first byte to its end.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// For whom it was meant.
    pub(crate) to: SocketAddr,
    /// The name the client asked for in TLS; `None` in the clear.
    pub(crate) sni: Option<String>,
    /// The first bytes of the request. Empty when the handshake failed.
    pub(crate) head: String,
}

impl Arrival {
    /// The values of a header.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let lines = self.head.split("\r\n\r\n").next().unwrap_or_default().lines().skip(1);
        let pairs = lines.filter_map(|line| line.split_once(':'));
        pairs.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// The request line.
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }
}

static ARRIVALS: Mutex<Vec<Arrival>> = Mutex::new(Vec::new());
static ARRIVED: Condvar = Condvar::new();

/// Waits until there are `count` new connections whose requests have been read, and takes all there are.
pub(crate) fn take(count: usize) -> Vec<Arrival> {
    let arrivals = ARRIVALS.lock().unwrap();
    let (mut arrivals, late) = ARRIVED.wait_timeout_while(arrivals, SOON, |seen| seen.len() < count).unwrap();
    assert!(!late.timed_out(), "{count} connections were to come: {arrivals:?}");
    std::mem::take(&mut *arrivals)
}

/// Starts listening everywhere.
pub(crate) fn serve() {
    for port in PORTS {
        let listener = TcpListener::bind(("::", port)).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || welcome(stream));
            }
        });
    }
}

fn welcome(stream: TcpStream) {
    let Ok(to) = stream.local_addr() else { return };
    let to = SocketAddr::new(to.ip().to_canonical(), to.port());
    if to.port() == 53 && to.ip().to_string() == NAME_SERVER {
        return names::serve_stream(stream);
    }
    if !matches!(to.port(), 443 | 8443) {
        return exchange(stream, to, None);
    }
    let Ok(connection) = ServerConnection::new(authority::server(to.ip())) else { return };
    let mut stream = StreamOwned::new(connection, stream);
    let shaken = stream.conn.complete_io(&mut stream.sock);
    let sni = stream.conn.server_name().unwrap_or_default().to_owned();
    match shaken {
        Ok(_) => exchange(stream, to, Some(sni)),
        Err(_) => note(Arrival { to, sni: Some(sni), head: String::new() }),
    }
}

fn note(arrival: Arrival) {
    ARRIVALS.lock().unwrap().push(arrival);
    ARRIVED.notify_all();
}

/// Reads a request with its body, as long as it declares one, and answers what its path asks for.
fn exchange(mut stream: impl Read + Write, to: SocketAddr, sni: Option<String>) {
    let (mut seen, mut read, mut chunk) = (Vec::new(), 0, [0; HEAD]);
    let declared = |seen: &[u8]| {
        // A handshake where there is no TLS: its first record is all there will be.
        if seen.first() == Some(&0x16) {
            return Some(0);
        }
        let text = String::from_utf8_lossy(seen).to_lowercase();
        let end = text.find("\r\n\r\n")? + 4;
        if text.split(' ').nth(1) == Some("/chunked") {
            // The last chunk, and trailers, if there are any.
            return text[end..].contains("0\r\n").then_some(()).filter(|()| text.ends_with("\r\n\r\n")).map(|()| 0);
        }
        let length =
            text.split_once("\r\ncontent-length:").and_then(|(_, rest)| rest.lines().next()?.trim().parse().ok());
        Some(end + length.unwrap_or(0_usize))
    };
    while declared(&seen).map_or(seen.len() < HEAD, |length| read < length.min(BODY)) {
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => break,
            Ok(length) => {
                read += length;
                seen.extend(&chunk[..length.min(HEAD - seen.len())]);
            }
        }
    }
    let head = String::from_utf8_lossy(&seen).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    note(Arrival { to, sni, head });
    // A client that has seen enough hangs up; that is its right.
    let _ = answer(&mut stream, &path);
}

fn answer(stream: &mut (impl Read + Write), path: &str) -> std::io::Result<()> {
    let close = "connection: close\r\n";
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let (what, argument) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let number = argument.parse().unwrap_or(0_usize);
    match what {
        "redirect" => {
            write!(stream, "HTTP/1.1 302 Found\r\nlocation: http://{argument}\r\ncontent-length: 0\r\n{close}\r\n")?;
        }
        "cookie" => write!(stream, "HTTP/1.1 200 OK\r\nset-cookie: a=b\r\ncontent-length: 2\r\n{close}\r\nok")?,
        "upgrade" => {
            write!(stream, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")?;
            linger(stream);
        }
        "early" => {
            for _ in 0..1_000_000 {
                stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")?;
            }
            linger(stream);
        }
        "heads" => {
            let mut head = String::from("HTTP/1.1 200 OK\r\n");
            for i in 0..number {
                let _ = write!(head, "x-{i}: 1\r\n");
            }
            write!(stream, "{head}content-length: 2\r\n{close}\r\nok")?;
        }
        "head" => {
            let value = "v".repeat(number);
            write!(stream, "HTTP/1.1 200 OK\r\nx: {value}\r\ncontent-length: 2\r\n{close}\r\nok")?;
        }
        "endless" => {
            write!(stream, "HTTP/1.1 200 OK\r\n{close}\r\n")?;
            for _ in 0..ENDLESS / HEAD {
                stream.write_all(&[b'x'; HEAD])?;
            }
        }
        "drip" => {
            write!(stream, "HTTP/1.1 200 OK\r\n{close}\r\n")?;
            // Below any bound on the pause between two bytes; only a bound on the whole ends it.
            for _ in 0..1000 {
                stream.write_all(b"x")?;
                stream.flush()?;
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        "hold" => linger(stream),
        "gzip" => {
            // The head of a gzip stream that would inflate to far more than it is; nobody here should try.
            let body = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xed, 0xc1];
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n{close}\r\n",
                body.len()
            )?;
            stream.write_all(&body)?;
        }
        "lengths" => {
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 5\r\n{close}\r\nok123")?;
        }
        "garbage" => stream.write_all(b"220 mail.test ESMTP\r\n")?,
        "bytes" => {
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {number}\r\n{close}\r\n")?;
            stream.write_all(&vec![b'x'; number])?;
        }
        _ => write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{close}\r\nok")?,
    }
    stream.flush()
}

/// Says nothing until the other side goes.
fn linger(stream: &mut impl Read) {
    let mut nothing = [0; 64];
    loop {
        match stream.read(&mut nothing) {
            Ok(0) => return,
            Err(error) if error.kind() != ErrorKind::Interrupted => return,
            _ => {}
        }
    }
}
