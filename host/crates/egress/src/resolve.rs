//! From a canonical host to addresses, once per request.

use crate::rate::Rate;
use crate::refusal::Refusal;
use async_trait::async_trait;
use gestalt_core::egress::{DnsSettings, EgressError};
use gestalt_core::host::Host;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::Semaphore;

/// Asks a name server.
#[async_trait]
pub trait Resolver: Send + Sync + 'static {
    /// All addresses of `name`, in the order in which they should be tried.
    ///
    /// `name` is canonical, without final dot, and complete: no search domain may be added to it. Never an address, never
    /// `localhost` nor a name under it. Must end by itself; the caller stops waiting after `dns.timeout`.
    ///
    /// # Errors
    /// When there is no answer. What kind of error it is makes no difference.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// Lookups of the operating system under way at once, all apps together. A lookup holds a thread that nothing can
/// interrupt, for as long as the system's own retries take; the runtime has 512 such threads, for files too.
const SYSTEM_LOOKUPS: usize = 128;

/// Lookups of one app under way at once, abandoned ones included: an app whose names are never answered can fill an
/// eighth of [`SYSTEM_LOOKUPS`] and no more.
const APP_LOOKUPS: usize = SYSTEM_LOOKUPS / 8;

/// The operating system's resolver.
#[derive(Debug)]
pub struct SystemResolver {
    slots: Arc<Semaphore>,
}

impl SystemResolver {
    /// A resolver with all its slots free.
    pub fn new() -> Self {
        Self { slots: Arc::new(Semaphore::new(SYSTEM_LOOKUPS)) }
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(io::Error::other)?;
        // The final dot keeps the system from trying its search domains, each of which is another name.
        let absolute = format!("{name}.");
        let lookup = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            #[expect(clippy::disallowed_methods, reason = "the one place where a name is resolved for an app")]
            let found = (absolute.as_str(), 0).to_socket_addrs();
            found.map(|addresses| addresses.map(|address| address.ip()).collect())
        });
        lookup.await.map_err(io::Error::other)?
    }
}

/// Everything before the name server: literals, localhost, the operator's own names. One for the daemon.
pub(crate) struct Lookup {
    resolver: Arc<dyn Resolver>,
    settings: DnsSettings,
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// One app's share of name resolution.
#[derive(Debug)]
pub(crate) struct Lane {
    queries: Mutex<Rate>,
    slots: Arc<Semaphore>,
}

impl Lookup {
    /// A lookup over `resolver`.
    pub(crate) fn new(resolver: Arc<dyn Resolver>, settings: DnsSettings) -> Self {
        Self { resolver, settings }
    }

    pub(crate) fn lane(&self, now: Instant) -> Lane {
        Lane {
            queries: Mutex::new(Rate::new(self.settings.max_queries_per_minute, now)),
            slots: Arc::new(Semaphore::new(APP_LOOKUPS)),
        }
    }

    /// How many of the addresses may be dialled.
    pub(crate) fn max_addresses(&self) -> usize {
        self.settings.max_addresses
    }

    /// All addresses of `host`, never none. Asks a name server at most once.
    pub(crate) async fn addresses(&self, host: &Host, lane: &Lane, now: Instant) -> Result<Vec<IpAddr>, Refusal> {
        let name = match host {
            Host::Ip(ip) => return Ok(vec![*ip]),
            Host::Name(_) if host.is_localhost() => {
                return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
            }
            Host::Name(name) => name,
        };
        if let Some(addresses) = self.known(host) {
            return Ok(addresses.clone());
        }
        if !lane.queries.lock().unwrap_or_else(PoisonError::into_inner).admit(now) {
            let remedy =
                format!("server.egress.dns.maxQueriesPerMinute: above {}", self.settings.max_queries_per_minute);
            let refusal = Refusal::from(EgressError::ConnectionLimit).with_limit("egress.dns.maxQueriesPerMinute");
            return Err(refusal.with_remedy(remedy));
        }
        let answer = tokio::time::timeout(self.settings.timeout, self.ask(name, lane)).await;
        match answer.map_err(|_| EgressError::DnsTimeout)? {
            Ok(addresses) if !addresses.is_empty() => Ok(addresses),
            _ => Err(EgressError::Dns.into()),
        }
    }

    /// What `dns.hosts` says. An entry without addresses says nothing.
    fn known(&self, host: &Host) -> Option<&Vec<IpAddr>> {
        self.settings.hosts.get(host).filter(|addresses| !addresses.is_empty())
    }

    /// Addresses of a host that the operator named, not an app: the proxy.
    pub(crate) async fn trusted(&self, host: &Host) -> io::Result<Vec<IpAddr>> {
        match host {
            Host::Ip(ip) => Ok(vec![*ip]),
            Host::Name(_) if host.is_localhost() => Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
            Host::Name(name) => match self.known(host) {
                Some(addresses) => Ok(addresses.clone()),
                None => self.resolver.resolve(name).await,
            },
        }
    }

    /// Runs on its own, so that a lookup nobody waits for any more still counts against its app until it has ended.
    async fn ask(&self, name: &str, lane: &Lane) -> io::Result<Vec<IpAddr>> {
        let slot = Arc::clone(&lane.slots).acquire_owned().await.map_err(io::Error::other)?;
        let (resolver, name) = (Arc::clone(&self.resolver), name.to_owned());
        let query = tokio::spawn(async move {
            let _slot = slot;
            resolver.resolve(&name).await
        });
        query.await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More lookups than there are slots, of a name that the system refuses without asking anybody: all end, and every
    /// slot comes back.
    #[tokio::test]
    async fn the_systems_resolver_ends_and_gives_its_slots_back() {
        let resolver = SystemResolver::new();
        let lookups = (0..SYSTEM_LOOKUPS * 2).map(|_| resolver.resolve("empty..label"));
        let answers = futures::future::join_all(lookups).await;
        assert!(answers.iter().all(Result::is_err));
        assert_eq!(resolver.slots.available_permits(), SYSTEM_LOOKUPS);
    }
}
