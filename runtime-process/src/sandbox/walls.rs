//! Landlock, as a second wall: what the first ones should already have made impossible is refused once more, by other
//! code of the kernel.
//!
//! Connections are not among it. In a network of its own a provider may well be several processes that talk to each other.

use super::SOCKETS;
use super::job::View;
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, RestrictionStatus, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};
use std::path::{Path, PathBuf};

/// What is known of; an older kernel is asked for as much of it as it has.
const KNOWN: ABI = ABI::V6;

/// Puts it up, for this process and all it starts. With files of its own (`own`), everything that can be named may be read,
/// and what may be written is named here once more; in any case there is no reaching other processes by signals and
/// abstract sockets.
///
/// # Errors
/// When the kernel has it, and it cannot be used.
pub(super) fn put_up(view: &View, own: bool) -> Result<RestrictionStatus, RulesetError> {
    let mut ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort).scope(Scope::from_all(KNOWN))?;
    if own {
        ruleset = ruleset.handle_access(AccessFs::from_all(KNOWN))?;
    }
    let mut ruleset = ruleset.create()?;
    for (path, access) in if own { places(view) } else { Vec::new() } {
        // What is not there needs no rule.
        if let Ok(directory) = PathFd::new(path) {
            ruleset = ruleset.add_rule(PathBeneath::new(directory, access))?;
        }
    }
    ruleset.restrict_self()
}

fn places(view: &View) -> Vec<(PathBuf, BitFlags<AccessFs>)> {
    let path = |path: &str| Path::new(path).to_owned();
    let devices = AccessFs::from_read(KNOWN) | AccessFs::WriteFile | AccessFs::IoctlDev;
    let sockets = AccessFs::from_read(KNOWN) | AccessFs::MakeSock | AccessFs::RemoveFile;
    let mut places = vec![(path("/"), AccessFs::from_read(KNOWN)), (path("/dev"), devices), (path("/proc"), devices)];
    places.push((path(SOCKETS), sockets));
    let shared = ["/tmp", "/dev/shm"].map(path);
    let own = view.write.iter().chain(&view.private).chain(&shared);
    places.extend(own.map(|path| (path.clone(), AccessFs::from_all(KNOWN))));
    places
}
