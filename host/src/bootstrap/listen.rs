//! Stage 1: the listeners, and how many connections each may have.

use crate::ingress::http::{DoorSettings, Server, TrustedProxies};
use gestalt_config::Server as Settings;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Bound listeners and the addresses they got.
pub(super) struct Listeners {
    pub(super) public: TcpListener,
    pub(super) public_address: SocketAddr,
    pub(super) management: Option<TcpListener>,
    pub(super) management_address: Option<SocketAddr>,
}

impl Listeners {
    /// Every address the daemon listens on.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        std::iter::once(self.public_address).chain(self.management_address).collect()
    }
}

/// Binds what the configuration asks for.
pub(super) async fn bind(settings: &Settings) -> anyhow::Result<Listeners> {
    let public = Server::bind(settings.public).await?;
    let management = match &settings.management {
        Some(management) => Some(Server::bind(management.address).await?),
        None => None,
    };
    Ok(Listeners {
        public_address: public.local_addr()?,
        management_address: management.as_ref().map(TcpListener::local_addr).transpose()?,
        public,
        management,
    })
}

/// What the process has descriptors for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capacity {
    /// Descriptors.
    all: usize,
    /// Connections to the public listener.
    public: usize,
    /// Connections to the management listener, whoever connects to the other.
    management: usize,
    /// Connections to either that are only told that there is no place.
    reserve: usize,
}

/// Connections to the public listener, however many descriptors there are: with what each of them may make the daemon hold,
/// more are more memory than such a machine has.
const MAX_PUBLIC: usize = 8192;
/// Descriptors that are asked for: for that many connections, and as many again for what calls need.
const WANTED: u64 = 2 * MAX_PUBLIC as u64;
/// Connections of operators and their machines: a few scrape and probe, and nobody else has business there.
const MAX_MANAGEMENT: usize = 128;
/// Connections that are being refused.
const MAX_RESERVE: usize = 64;

impl Capacity {
    /// Raises the process's soft limit of descriptors as far as it is needed and may be, and divides what there is.
    pub(super) fn find(settings: &Settings) -> anyhow::Result<Self> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let asked = settings.connections.max.map_or(0, |max| 2 * max as u64);
        let wanted = WANTED.max(asked).min(hard);
        if soft < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok() {
            return Ok(Self::of(wanted));
        }
        Ok(Self::of(soft))
    }

    /// Half is for callers. The other half is kept: for the requests that calls cause, for children, files, operators, and
    /// for telling callers that there is no place.
    fn of(descriptors: u64) -> Self {
        let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
        let part = |of: usize, most: usize| (descriptors / of).clamp(1, most);
        Self {
            all: descriptors,
            public: part(2, MAX_PUBLIC),
            management: part(16, MAX_MANAGEMENT),
            reserve: part(16, MAX_RESERVE),
        }
    }

    /// How the public listener takes connections.
    pub(super) fn public(self, settings: &Settings) -> DoorSettings {
        let asked = settings.connections.max.unwrap_or(self.public);
        // More than is given by default may be asked for, but not so much that calls have nothing left.
        let most = self.most();
        if asked > most {
            tracing::warn!(
                asked,
                used = most,
                "server.connections.max is more than the process has descriptors for; raise its limit (`ulimit -n`)"
            );
        }
        let max = asked.min(most);
        self.door(settings, max, settings.connections.max_per_address.unwrap_or(max.div_ceil(2)).min(max))
    }

    fn most(self) -> usize {
        (self.all / 4).saturating_mul(3).max(1)
    }

    /// How the management listener does.
    pub(super) fn management(self, settings: &Settings) -> DoorSettings {
        self.door(settings, self.management, self.management)
    }

    fn door(self, settings: &Settings, max: usize, max_per_address: usize) -> DoorSettings {
        let times = &settings.connections;
        DoorSettings {
            trusted: TrustedProxies::new(settings.trusted_proxies.clone()),
            max,
            max_per_address,
            reserve: self.reserve,
            head_timeout: times.head_timeout,
            body_timeout: times.body_timeout,
            idle_timeout: times.idle_timeout,
            write_timeout: times.write_timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_kept_for_what_is_not_a_caller() {
        for (descriptors, public, management, reserve) in [
            (64, 32, 4, 4),
            (256, 128, 16, 16),
            (1024, 512, 64, 64),
            (20_000, 8192, 128, 64),
            (u64::MAX, 8192, 128, 64),
        ] {
            let capacity = Capacity::of(descriptors);
            assert_eq!(capacity, Capacity { all: capacity.all, public, management, reserve });
            let most = capacity.most() + management + 2 * reserve;
            assert!(public <= capacity.most() && most < capacity.all, "{descriptors}");
        }
    }
}
