//! A cell: what runs, what it sees, and what it may use up. Decided by the daemon, and handed to the gate as one message.

use crate::limits::Limits;
use crate::view::View;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// Places, variables and arguments of a cell at most. No honest cell has as many; a message that has is not the daemon's.
const MOST: usize = 4096;

/// What is to be run, and all there is around it.
///
/// **Invariant:** nothing of a package is read to make one. The program may be a package's own; the places, the limits
/// and the network never are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// The program: an absolute path, which is looked at only inside of the cell.
    pub program: PathBuf,
    /// Its arguments, without its name.
    pub args: Vec<OsString>,
    /// Where it runs: an absolute path, in the cell.
    pub workdir: PathBuf,
    /// The whole environment of the program. Nothing that runs before the program has any of it. Where there are
    /// namespaces, [`fixed_environment`](crate::fixed_environment) is laid over it.
    #[serde(with = "pairs")]
    pub env: BTreeMap<OsString, OsString>,
    /// The files there are.
    pub view: View,
    /// What all of it together may use up.
    pub limits: Limits,
    /// Whether nothing is run unless every wall stands.
    pub required: bool,
    /// A file that is read and handed back once the program has ended well: an absolute path, in the cell.
    pub collect: Option<PathBuf>,
}

impl Cell {
    /// Whether this is a cell at all: paths that mean one place wherever they are read, and no more of anything than fits.
    ///
    /// # Errors
    /// The first thing that is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        let view = &self.view;
        let lists = [self.args.len(), self.env.len(), view.read.len(), view.write.len(), view.hide.len()];
        if lists.into_iter().any(|length| length > MOST) {
            return Err(format!("a cell has at most {MOST} places, variables and arguments of each kind"));
        }
        let places = view.read.iter().chain(&view.write);
        let paths = places
            .flat_map(|place| [&place.at, &place.real])
            .chain(&view.hide)
            .chain(&view.sockets)
            .chain(&self.collect)
            .chain([&self.program, &self.workdir]);
        for path in paths {
            check_path(path)?;
        }
        for place in &view.write {
            // Below its own `/tmp` nothing is the system's.
            let is_own = place.at.starts_with("/tmp") && place.at != Path::new("/tmp");
            if !is_own && crate::view::is_system(&place.at) || place.at.parent().is_none() {
                return Err(format!("{} belongs to the system and is never writable", place.at.display()));
            }
        }
        for (name, value) in &self.env {
            let name = name.as_encoded_bytes();
            if name.is_empty() || name.contains(&b'=') || name.contains(&0) || value.as_encoded_bytes().contains(&0) {
                return Err(format!("{:?} is not the name of an environment variable", String::from_utf8_lossy(name)));
            }
        }
        Ok(())
    }
}

/// Absolute, and without `.` and `..`, which mean another place once there are links on the way.
fn check_path(path: &Path) -> Result<(), String> {
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !plain || path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(format!("{} is not an absolute path without `..`", path.display()));
    }
    Ok(())
}

/// Variables as a list: the names of JSON's objects are texts, and those of variables need not be.
mod pairs {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;
    use std::ffi::OsString;

    pub(super) fn serialize<S: Serializer>(env: &BTreeMap<OsString, OsString>, to: S) -> Result<S::Ok, S::Error> {
        env.iter().collect::<Vec<_>>().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<OsString, OsString>, D::Error> {
        Ok(Vec::<(OsString, OsString)>::deserialize(from)?.into_iter().collect())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::view::Place;

    pub(crate) fn shell(script: &str) -> Cell {
        Cell {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            workdir: "/".into(),
            env: BTreeMap::new(),
            view: View::default(),
            limits: Limits::provider(),
            required: true,
            collect: None,
        }
    }

    #[test]
    fn paths_mean_one_place() {
        let check = |change: fn(&mut Cell)| {
            let mut cell = shell("true");
            change(&mut cell);
            cell.check().is_ok()
        };
        assert!(check(|_| ()));
        assert!(check(|cell| cell.view.write.push(Place::same("/srv/x".into()))));
        assert!(check(|cell| cell.view.write.push(Place::same("/tmp/daemon/builds/x".into()))));
        for (what, change) in [
            ("relative program", (|cell: &mut Cell| cell.program = "sh".into()) as fn(&mut Cell)),
            ("`..`", |cell| cell.workdir = "/srv/../etc".into()),
            ("relative place", |cell| cell.view.read.push(Place::same("srv".into()))),
            ("`..` in a place", |cell| cell.view.read.push(Place::same("/srv/../etc".into()))),
            ("zero byte", |cell| cell.view.hide.push("/a\0b".into())),
            ("writable system", |cell| cell.view.write.push(Place::same("/usr/lib".into()))),
            ("writable /tmp of the machine's", |cell| cell.view.write.push(Place::same("/tmp".into()))),
            ("writable root", |cell| cell.view.write.push(Place::same("/".into()))),
            ("writable /proc", |cell| cell.view.write.push(Place::same("/proc".into()))),
            ("writable below /dev", |cell| cell.view.write.push(Place::same("/dev/mapper".into()))),
            ("`=` in a name", |cell| drop(cell.env.insert("A=B".into(), "".into()))),
            ("too much", |cell| cell.args = vec!["x".into(); MOST + 1]),
        ] {
            assert!(!check(change), "{what}");
        }
    }
}
