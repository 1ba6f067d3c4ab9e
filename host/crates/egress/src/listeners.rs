//! The daemon's own doors, which no app may knock on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{PoisonError, RwLock};

/// Addresses this daemon listens on.
///
/// An app that can call the daemon could call the admin interface from inside, past every firewall. Filled while the
/// listeners bind, so a request made before that is judged without them.
#[derive(Debug, Default)]
pub struct SelfListeners {
    bound: RwLock<Vec<SocketAddr>>,
}

impl SelfListeners {
    /// Adds a listener, by the address it is bound to. A wildcard stands for every address of this machine.
    pub fn add(&self, address: SocketAddr) {
        self.bound.write().unwrap_or_else(PoisonError::into_inner).push(address);
    }

    /// Whether a connection to `ip`:`port` would reach this daemon.
    pub fn cover(&self, ip: IpAddr, port: u16) -> bool {
        let ip = ip.to_canonical();
        let bound = self.bound.read().unwrap_or_else(PoisonError::into_inner);
        bound.iter().filter(|listener| listener.port() == port).any(|listener| {
            let own = listener.ip().to_canonical();
            own == ip || (own.is_unspecified() && is_local(ip))
        })
    }
}

/// Whether the kernel delivers packets for `ip` to this machine.
///
/// Asked by routing, not by listing interfaces: for a local destination the kernel takes the destination itself as the
/// source. That also covers addresses that came after start-up and routes that make foreign addresses local. Connecting
/// a datagram socket sends nothing. Where the question cannot be asked, the answer is yes.
fn is_local(ip: IpAddr) -> bool {
    if ip.is_loopback() || ip.is_unspecified() {
        return true;
    }
    let any: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let Ok(socket) = UdpSocket::bind((any, 0)) else { return true };
    #[expect(
        clippy::disallowed_methods,
        reason = "this crate is where sockets are opened; nothing is sent on this one"
    )]
    let routed = socket.connect((ip, 9));
    routed.is_ok() && socket.local_addr().map_or(true, |source| source.ip() == ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(listener: &str, ip: &str, port: u16, expect: bool) {
        let listeners = SelfListeners::default();
        listeners.add(listener.parse().unwrap());
        assert_eq!(listeners.cover(ip.parse().unwrap(), port), expect, "{listener} {ip}:{port}");
    }

    #[test]
    fn a_listener_is_its_address_and_port() {
        check("127.0.0.1:8080", "127.0.0.1", 8080, true);
        check("127.0.0.1:8080", "::ffff:127.0.0.1", 8080, true);
        check("127.0.0.1:8080", "127.0.0.1", 8081, false);
        check("127.0.0.1:8080", "127.0.0.2", 8080, false);
    }

    #[test]
    fn a_wildcard_listener_is_every_local_address() {
        for wildcard in ["0.0.0.0:8080", "[::]:8080"] {
            check(wildcard, "127.0.0.1", 8080, true);
            check(wildcard, "127.9.9.9", 8080, true);
            check(wildcard, "::1", 8080, true);
            check(wildcard, "::ffff:127.0.0.1", 8080, true);
            check(wildcard, "127.0.0.1", 8081, false);
            check(wildcard, "192.0.2.1", 8080, false);
        }
    }

    #[test]
    fn an_interface_address_is_local() {
        let probe = UdpSocket::bind("0.0.0.0:0").unwrap();
        #[expect(clippy::disallowed_methods, reason = "asks for this machine's address, sends nothing")]
        let routed = probe.connect("192.0.2.1:9");
        // A machine without any route has only loopback, which the other test covers.
        if routed.is_ok() {
            check("0.0.0.0:8080", &probe.local_addr().unwrap().ip().to_string(), 8080, true);
        }
    }
}
