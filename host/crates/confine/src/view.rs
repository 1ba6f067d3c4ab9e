//! The files of a cell: fixed places of the system, what the view lists, and nothing else.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where the sockets of a cell are. Apart from the other writable places: what holds for a directory holds for all below.
pub const SOCKETS: &str = "/run/gestalt";

/// The home of every cell, whatever the package or its entry says: an empty directory of its own.
pub const HOME: &str = "/run/home";

/// What of the system is seen. Of `/etc` only what says where libraries are, whom to trust and what time it is: nothing
/// that says what this machine is for, and no key.
pub(crate) const SYSTEM: [&str; 26] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/os-release",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
];

/// Places that the cell makes itself. Nothing of the machine's is ever shown there.
const MADE: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/tmp"];

/// Something of the machine's, and where it is seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The path in the cell.
    pub at: PathBuf,
    /// The path on the machine. It is opened without following a link anywhere on the way, so it has to be the real one.
    pub real: PathBuf,
}

impl Place {
    /// A place that is seen where it really is.
    pub fn same(real: PathBuf) -> Self {
        Self { at: real.clone(), real }
    }

    /// A path as it is spelled and, where a link is on the way, as it really is: either may be what a program looks for.
    /// Nothing where nothing is.
    pub fn of(path: &Path) -> Vec<Self> {
        let Ok(real) = path.canonicalize() else { return Vec::new() };
        let mut places = vec![Self::same(real.clone())];
        if real != path && path.is_absolute() {
            places.push(Self { at: path.to_owned(), real });
        }
        places
    }
}

/// The files a cell sees besides those of the system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// Seen as they are, and not to be changed. Regular files and directories; anything else is an error.
    pub read: Vec<Place>,
    /// Directories in which the cell may change everything. Only builds have any.
    pub write: Vec<Place>,
    /// Paths on the machine that are not seen, wherever they lie: an empty file or directory is in their place.
    pub hide: Vec<PathBuf>,
    /// A directory on the machine that is seen at [`SOCKETS`], in which sockets can be made and nothing else.
    pub sockets: Option<PathBuf>,
}

impl View {
    /// What is hidden, under every name by which a place shows it.
    pub(crate) fn hidden(&self) -> Vec<PathBuf> {
        let places = self.read.iter().chain(&self.write);
        let aliases = places.flat_map(|place| {
            self.hide.iter().filter_map(|path| Some(place.at.join(path.strip_prefix(&place.real).ok()?)))
        });
        let mut hidden: Vec<PathBuf> = self.hide.iter().cloned().chain(aliases).collect();
        hidden.sort();
        hidden.dedup();
        hidden
    }

    /// Whether a path of the machine is seen in the cell under its own name, as far as the view says.
    pub fn shows(&self, path: &Path) -> bool {
        let depth = |at: &Path| path.starts_with(at).then(|| at.components().count());
        let hidden = self.hidden().iter().filter_map(|at| depth(at)).max();
        let listed = self.read.iter().chain(&self.write).filter_map(|place| depth(&place.at)).max();
        // Of two words about one path, the nearer one counts; of two equally near, the one that shows.
        match (listed, hidden) {
            (None, None) => SYSTEM.iter().any(|system| path.starts_with(system)),
            (listed, hidden) => listed.is_some() && listed >= hidden,
        }
    }
}

/// Whether a path is the system's or the cell's own, so that nothing else is ever shown or writable there.
pub fn is_system(path: &Path) -> bool {
    SYSTEM.iter().chain(&MADE).any(|system| path.starts_with(system))
}

/// Whether a path may be shown because somebody names it: nothing that the system's own places lie in, and nothing that
/// the cell makes itself. Sockets of the machine are below `/run`, devices below `/dev`.
pub fn may_be_shown(path: &Path) -> bool {
    // What the system's places lie in holds more than those: `/etc`, for one.
    let above = SYSTEM.iter().map(Path::new).any(|system| system.starts_with(path) && system != path);
    let made = MADE.iter().filter(|made| **made != "/tmp").any(|made| path.starts_with(made));
    path.is_absolute() && path.parent().is_some() && !above && !made && path != Path::new("/tmp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_about_a_path_counts() {
        let alias = Place { at: "/srv/link".into(), real: "/srv/app".into() };
        let places = ["/srv/app", "/srv/app/.state/builds/x"].map(|path| Place::same(path.into()));
        let view = View {
            read: places.into_iter().chain([alias]).collect(),
            hide: vec!["/srv/app/.state".into(), "/srv/app/gestalt.yaml".into()],
            ..View::default()
        };
        for (path, seen) in [
            ("/usr/lib/x", true),
            ("/srv/app/main.py", true),
            ("/srv/app/gestalt.yaml", false),
            ("/srv/app/.state/db", false),
            ("/srv/link/main.py", true),
            ("/srv/link/.state/db", false),
            ("/srv/app/.state/builds/x/bin", true),
            ("/srv/other", false),
            ("/etc/shadow", false),
            ("/etc/ssl/private/key.pem", false),
        ] {
            assert_eq!(view.shows(Path::new(path)), seen, "{path}");
        }
    }

    #[test]
    fn what_the_cell_makes_is_never_shown() {
        for (path, may) in [
            ("/srv/x", true),
            ("/tmp/x", true),
            ("/root", true),
            ("/tmp", false),
            ("/", false),
            ("/etc", false),
            ("/etc/ssl", false),
            ("/nix", false),
            ("/usr/share/apps/x", true),
            ("/proc/1", false),
            ("/sys", false),
            ("/dev/sda", false),
            ("/run/docker.sock", false),
            ("relative", false),
        ] {
            assert_eq!(may_be_shown(Path::new(path)), may, "{path}");
        }
    }
}
