//! Opening the socket: to addresses that were judged, and to nothing else.

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;

/// Head start of each address over the next (RFC 8305, "Connection Attempt Delay").
const STAGGER: Duration = Duration::from_millis(250);

/// Connects to the first of `addresses` that answers, in their order, starting the next when one fails or is slow.
///
/// # Errors
/// The last address's error when all failed.
pub(crate) async fn dial(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut waiting = addresses.iter();
    let mut attempts = FuturesUnordered::new();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        if let Some(address) = waiting.next() {
            attempts.push(connect(*address));
        }
        let more = !waiting.as_slice().is_empty();
        tokio::select! {
            Some(result) = attempts.next() => match result {
                Ok(stream) => return check_peer(stream, addresses),
                Err(error) => last = error,
            },
            () = tokio::time::sleep(STAGGER), if more => {}
            else => return Err(last),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where a connection is opened for an app")]
async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect(address).await
}

/// What the kernel says it connected to must be what was asked of it, whatever stands between.
fn check_peer(stream: TcpStream, vetted: &[SocketAddr]) -> io::Result<TcpStream> {
    let peer = stream.peer_addr()?;
    if !vetted.iter().any(|address| address.ip() == peer.ip() && address.port() == peer.port()) {
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "connected to another address"));
    }
    // Requests are written in a few small pieces; waiting to join them only costs time.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The addresses to dial: at most `max`, families taking turns from the first one's, so that a dead family costs one
/// head start and not one per address.
pub(crate) fn order(answer: &[IpAddr], port: u16, max: usize) -> Vec<SocketAddr> {
    let first_is_v4 = answer.first().is_some_and(IpAddr::is_ipv4);
    let (mut same, mut other): (Vec<IpAddr>, Vec<IpAddr>) = (Vec::new(), Vec::new());
    for ip in answer {
        let family = if ip.is_ipv4() == first_is_v4 { &mut same } else { &mut other };
        if !family.contains(ip) {
            family.push(*ip);
        }
    }
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    let turns = std::iter::from_fn(|| Some([same.next(), other.next()])).take(answer.len());
    turns.flatten().flatten().take(max).map(|ip| SocketAddr::new(ip, port)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let check = |answer: &[&str], max: usize, expect: &[&str]| {
            let answer: Vec<IpAddr> = answer.iter().map(|ip| ip.parse().unwrap()).collect();
            let expect: Vec<SocketAddr> = expect.iter().map(|address| address.parse().unwrap()).collect();
            assert_eq!(order(&answer, 1, max), expect);
        };
        check(&["1.1.1.1"], 16, &["1.1.1.1:1"]);
        check(&["1.1.1.1", "1.1.1.1"], 16, &["1.1.1.1:1"]);
        check(&["2a00::1", "2a00::2", "1.1.1.1"], 16, &["[2a00::1]:1", "1.1.1.1:1", "[2a00::2]:1"]);
        check(&["1.1.1.1", "1.1.1.2", "2a00::1"], 2, &["1.1.1.1:1", "[2a00::1]:1"]);
        check(&[], 16, &[]);
    }

    #[tokio::test]
    async fn d10_a_peer_that_was_not_judged_is_hung_up_on() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = listener.local_addr().unwrap();
        let judged = |addresses: &[SocketAddr]| {
            let addresses = addresses.to_vec();
            async move { check_peer(connect(peer).await.unwrap(), &addresses).is_ok() }
        };
        let (other_port, other_address) =
            (SocketAddr::new(peer.ip(), peer.port() ^ 1), SocketAddr::from(([127, 0, 0, 2], peer.port())));
        assert!(judged(&[other_port, peer]).await);
        assert!(!judged(&[other_port]).await && !judged(&[other_address]).await && !judged(&[]).await);
    }

    #[tokio::test]
    async fn nothing_to_dial_is_an_error() {
        assert!(dial(&[]).await.is_err());
    }
}
