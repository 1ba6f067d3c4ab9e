//! What the policy adds for native processes: the sandbox they run in, and the tunnels of their proxy.

use crate::limits::ByteSize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What confines an app's native process: `egress.sandbox`. It is there for apps of which something is to be kept: those
/// that list hosts, and all under `defaultAction: deny`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sandbox {
    /// The whole of it, or the app is not started.
    Required,
    /// As much of it as the machine has; the log says how much that is.
    #[default]
    BestEffort,
    /// Nothing does: the process has the machine's network, and the files of the daemon's user.
    Off,
}

impl Sandbox {
    /// The config's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::BestEffort => "best-effort",
            Self::Off => "off",
        }
    }
}

/// One entry of `egress.sandboxPaths`: a file or directory, with all below it, that a confined process may read besides
/// what every one may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxPath {
    /// Absolute, in its shortest spelling; neither `/` nor in `/dev`, `/proc`, `/run` or `/sys`, as far as its text says.
    pub path: PathBuf,
    /// Where it was written: `config.yaml:14:9`.
    pub at: Arc<str>,
}

/// `server.egress.connect`: tunnels that a native process opens through its proxy (`CONNECT`).
///
/// What goes through one is encrypted for its end, and carries as many requests as its two ends like. So the bounds of
/// one exchange do not fit; these do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectSettings {
    /// Ports a tunnel may lead to. Against speaking, through a tunnel nobody can look into, what is not TLS. Default 443.
    pub ports: Vec<u16>,
    /// How long no byte may pass. Against tunnels that are held and not used. Default 2 min.
    pub idle_timeout: Duration,
    /// From the tunnel's beginning to its end. Against tunnels that outlive the rules they were opened under. Default
    /// 15 min.
    pub total_timeout: Duration,
    /// Bytes to the server. Against using an allowed host as a sink for more than requests hold. Default 256 MiB.
    pub max_sent: ByteSize,
    /// Bytes from the server. Default 1 GiB.
    pub max_received: ByteSize,
}

impl Default for ConnectSettings {
    fn default() -> Self {
        Self {
            ports: vec![443],
            idle_timeout: Duration::from_secs(120),
            total_timeout: Duration::from_secs(15 * 60),
            max_sent: ByteSize::mib(256),
            max_received: ByteSize::mib(1024),
        }
    }
}
