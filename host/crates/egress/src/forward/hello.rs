//! For whom a tunnel's TLS is: the one thing about it that can be read without taking part in it.

use gestalt_core::egress::EgressError;
use gestalt_core::host::Host;
use rustls::server::Acceptor;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// The longest client hello, with what came behind it. The largest in use, with post-quantum keys, has 2 KiB.
const BYTES: usize = 16 << 10;

/// How long a client may take over it. Against tunnels that are opened to be held.
const TIME: Duration = Duration::from_secs(5);

/// Reads the beginning of a tunnel, which must be a TLS handshake with `host`. Hands back the bytes read, none of which
/// has gone anywhere.
///
/// # Errors
/// When it is none, is one with somebody else or nobody in particular, or does not come.
pub(super) async fn read(client: &mut (impl AsyncRead + Unpin), host: &Host) -> Result<Vec<u8>, EgressError> {
    let mut seen = Vec::new();
    let name = timeout(TIME, name(client, &mut seen)).await.map_err(|_| refused("no TLS handshake in time"))??;
    // An address is no name: clients leave it out, and are to.
    let fits = match (host, name) {
        (Host::Name(_), Some(name)) => Host::parse(&name).is_ok_and(|asked| asked == *host),
        (Host::Name(_), None) => false,
        (Host::Ip(_), name) => name.is_none(),
    };
    if fits { Ok(seen) } else { Err(refused("the TLS handshake asks for another host")) }
}

/// The server name of a client hello, if it has one.
async fn name(client: &mut (impl AsyncRead + Unpin), seen: &mut Vec<u8>) -> Result<Option<String>, EgressError> {
    let mut acceptor = Acceptor::default();
    loop {
        let before = seen.len();
        let read = client.take((BYTES - before) as u64).read_buf(seen).await;
        match read {
            Ok(0) if before == BYTES => return Err(refused("the TLS handshake is too long")),
            Ok(0) => return Err(refused("the tunnel ended before a TLS handshake")),
            Ok(_) => {}
            Err(error) => return Err(EgressError::Closed(error.kind().to_string())),
        }
        let mut news = &seen[before..];
        while !news.is_empty() {
            acceptor.read_tls(&mut news).map_err(|_| refused("not a TLS handshake"))?;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(accepted.client_hello().server_name().map(str::to_owned)),
            Ok(None) => {}
            Err(_) => return Err(refused("not a TLS handshake")),
        }
    }
}

fn refused(why: &str) -> EgressError {
    EgressError::Tls(why.to_owned())
}
