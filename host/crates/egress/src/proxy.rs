//! The operator's proxy: told where to connect, never what for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gestalt_core::egress::Proxy;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

/// The longest head of a proxy's answer. Against a proxy that never ends it.
const HEAD: usize = 8192;

/// Asks the proxy at the other end of `stream` for a tunnel to `destination`, an address that was judged.
///
/// # Errors
/// When the proxy refuses, or does not answer like one.
pub(crate) async fn tunnel(mut stream: TcpStream, proxy: &Proxy, destination: SocketAddr) -> io::Result<TcpStream> {
    let mut request = Zeroizing::new(format!("CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n"));
    if let Some(login) = &proxy.login {
        let login = Zeroizing::new(STANDARD.encode(login.expose()));
        request.push_str("Proxy-Authorization: Basic ");
        request.push_str(&login);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    let head = read_head(&mut stream).await?;
    match status(&head) {
        Some(200..=299) => Ok(stream),
        Some(status) => Err(io::Error::other(format!("proxy answered {status}"))),
        None => Err(io::Error::other("proxy does not speak HTTP")),
    }
}

/// Byte by byte: what follows the head belongs to the tunnel.
async fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == HEAD {
            return Err(io::Error::other("proxy's answer is too long"));
        }
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

fn status(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|b| *b == b'\r').next()?).ok()?;
    let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "))?;
    rest.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines() {
        assert_eq!(status(b"HTTP/1.1 200 Connection established\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 407\r\n\r\n"), Some(407));
        assert_eq!(status(b"SSH-2.0-x\r\n\r\n"), None);
        assert_eq!(status(b"HTTP/1.1 2\r\n\r\n"), None);
    }
}
