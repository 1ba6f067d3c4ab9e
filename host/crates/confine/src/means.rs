//! What this machine can do, found out once.
//!
//! A step that was possible when the daemon started is taken for every cell from then on, or the cell is refused: a fork
//! that fails for a moment must not be how a program gets out of its namespaces.

use serde::{Deserialize, Serialize};

/// What is said where the kernel was built or started without Landlock.
pub(crate) const NO_LANDLOCK: &str = "landlock: the kernel does not have it";

/// What the machine can do. `None` in an `Option` of a reason means: it can.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Means {
    /// Why there are no namespaces: no network, files and processes of its own.
    pub namespaces: Option<String>,
    /// Why there is no `/proc` in the namespaces.
    pub processes: Option<String>,
    /// Why there is no Landlock. A second wall: on a kernel without it the others stand.
    pub landlock: Option<String>,
    /// Why system calls are not filtered.
    pub filter: Option<String>,
    /// Why there is no control group for a cell. Memory is then added up by the gate, and processor time has a priority.
    pub groups: Option<String>,
}

impl Means {
    /// A machine that can do everything.
    pub fn all() -> Self {
        Self { namespaces: None, processes: None, landlock: None, filter: None, groups: None }
    }

    /// A machine that can do nothing of all this.
    pub fn none(why: &str) -> Self {
        let why = Some(why.to_owned());
        Self {
            namespaces: why.clone(),
            processes: why.clone(),
            landlock: why.clone(),
            filter: why.clone(),
            groups: why,
        }
    }

    /// Whether a program gets a network, files and processes of its own.
    pub fn has_namespaces(&self) -> bool {
        self.namespaces.is_none()
    }

    /// The walls that do not stand here, each with the reason. Under `required` there must be none of these.
    pub fn missing(&self) -> Vec<String> {
        self.walls_missing().into_iter().map(|(wall, why)| format!("{wall}: {why}")).collect()
    }

    /// The same, with the names of the walls, of which there are few, apart from the reasons.
    pub fn walls_missing(&self) -> Vec<(&'static str, &str)> {
        let processes = self.processes.as_deref().filter(|_| self.has_namespaces());
        let each = "only that of each process is bounded";
        let memory = (!self.has_namespaces() && self.groups.is_some()).then_some(each);
        // A kernel that has none is one thing; one that has it and will not put it up is another.
        let landlock = self.landlock.as_deref().filter(|why| *why != NO_LANDLOCK);
        let walls = [
            ("namespaces", self.namespaces.as_deref()),
            ("/proc", processes),
            ("memory of the whole app", memory),
            ("landlock", landlock),
            ("system calls", self.filter.as_deref()),
        ];
        walls.into_iter().filter_map(|(wall, why)| Some((wall, why?))).collect()
    }

    /// How the bounds for all of a cell are kept, in the words of the log.
    pub fn bounds(&self) -> &'static str {
        match (&self.groups, self.has_namespaces()) {
            (None, _) => "control group: memory, processes, processor",
            (Some(_), true) => "memory added up, processes by namespace, processor by priority",
            (Some(_), false) => "each process by itself",
        }
    }
}

/// Whether an error says what the machine is short of at the moment, and not what it cannot do.
pub fn is_passing(error: &std::io::Error) -> bool {
    let passing = [nix::Error::EAGAIN, nix::Error::ENOMEM, nix::Error::EMFILE, nix::Error::ENFILE, nix::Error::EINTR];
    error.raw_os_error().is_some_and(|code| passing.contains(&nix::Error::from_raw(code)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_is_short_of_may_pass() {
        use nix::Error as E;
        for (error, passes) in [
            (E::EAGAIN, true),
            (E::ENOMEM, true),
            (E::EMFILE, true),
            (E::ENFILE, true),
            (E::EINTR, true),
            (E::EPERM, false),
            (E::ENOSYS, false),
            (E::EINVAL, false),
            // The bound on namespaces, which an operator has set.
            (E::ENOSPC, false),
        ] {
            assert_eq!(is_passing(&error.into()), passes, "{error}");
        }
        assert!(!is_passing(&std::io::Error::other("x")));
    }

    #[test]
    fn a_kernel_without_landlock_lacks_no_wall_and_one_that_refuses_it_does() {
        let missing = |why: &str| Means { landlock: Some(why.to_owned()), ..Means::all() }.missing();
        assert_eq!(missing(NO_LANDLOCK), Vec::<String>::new());
        assert_eq!(missing("landlock: EPERM"), ["landlock: landlock: EPERM"]);
    }
}
