//! Landlock, as a second wall: what the first ones should already have made impossible is refused once more, by other
//! code of the kernel.
//!
//! Connections are not among it. In a network of its own a program may well be several processes that talk to each other.

use crate::failure::Failure;
use crate::means::NO_LANDLOCK;
use crate::view::{HOME, SOCKETS, View};
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use std::path::PathBuf;

/// What is known of; an older kernel is asked for as much of it as it has.
const KNOWN: ABI = ABI::V6;

/// Puts it up, for this process and all it starts. With files of its own (`own`), everything that can be named may be read,
/// and what may be written is named here once more; in any case there is no reaching other processes by signals and
/// abstract sockets.
///
/// # Errors
/// When it is not enforced.
pub(crate) fn put_up(view: &View, own: bool) -> Result<(), Failure> {
    let failed = |error: RulesetError| Failure::from(format!("landlock: {error}"));
    let mut ruleset =
        Ruleset::default().set_compatibility(CompatLevel::BestEffort).scope(Scope::from_all(KNOWN)).map_err(failed)?;
    if own {
        ruleset = ruleset.handle_access(AccessFs::from_all(KNOWN)).map_err(failed)?;
    }
    let mut ruleset = ruleset.create().map_err(failed)?;
    for (path, access) in if own { places(view) } else { Vec::new() } {
        // What is not there needs no rule.
        if let Ok(place) = PathFd::new(path) {
            ruleset = ruleset.add_rule(PathBeneath::new(place, access)).map_err(failed)?;
        }
    }
    let status = ruleset.restrict_self().map_err(failed)?;
    // Before version 6 of its interface it knows nothing of signals and sockets, and there is nothing else to restrict
    // where a program has no files of its own.
    match status.ruleset {
        RulesetStatus::NotEnforced if own => Err(NO_LANDLOCK.into()),
        _ => Ok(()),
    }
}

fn places(view: &View) -> Vec<(PathBuf, BitFlags<AccessFs>)> {
    let read = AccessFs::from_read(KNOWN);
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    let sockets = AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::MakeSock | AccessFs::RemoveFile;
    let mut places = vec![(PathBuf::from("/"), read), (SOCKETS.into(), sockets)];
    // Not `/dev/zero`: a writable map of it is memory that no process is charged for.
    places.extend(["/dev/null", "/dev/full", "/dev/random", "/dev/urandom"].map(|path| (path.into(), device)));
    let own = ["/tmp", HOME].map(PathBuf::from).into_iter().chain(view.write.iter().map(|place| place.at.clone()));
    places.extend(own.map(|path| (path, AccessFs::from_all(KNOWN))));
    places
}
