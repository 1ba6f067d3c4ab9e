//! The file system of a cell: a root of its own in memory, into which the rest is bound, unchangeable but for the few
//! places that have to be writable. What is not in it cannot be named: no configuration, no other app's package, and no
//! socket of another process, which no rule about networks would stop anybody from connecting to.
//!
//! **Invariant:** what is bound was opened first, without following a link, and is a regular file or a directory.
//! **Invariant:** every mount but those listed as writable is sealed, whatever lies above it.

use crate::failure::Failure;
use crate::limits::Limits;
use crate::view::{HOME, Place, SOCKETS, SYSTEM, View};
use crate::{proc, seal, tree};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, getgid, getuid, pivot_root};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Where the new root can be made. What lies there is not lost: nothing but this process sees it so.
const BASES: [&str; 3] = ["/tmp", "/var/tmp", "/run"];

/// Devices that hold nothing of anybody. The terminal is not one of them: it may be the operator's.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// Where the old root lies while the new one is made, and where the new one does.
pub(crate) const OLD: &str = "/old";
pub(crate) const NEW: &str = "/new";

/// Makes the base from which both roots can be seen.
pub(crate) fn prepare() -> Result<(), Failure> {
    let none: Option<&str> = None;
    let private = mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none);
    private.map_err(|error| Failure::of("private mounts", error))?;
    let base = BASES.map(Path::new).into_iter().find(|base| base.is_dir()).ok_or("there is no /tmp")?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), base, Some("tmpfs"), flags, Some("size=1m,mode=0755"))
        .map_err(|error| Failure::of(base.display(), error))?;
    let (old, new) = (base.join(&OLD[1..]), base.join(&NEW[1..]));
    let made = fs::create_dir(&old).and_then(|()| fs::create_dir(&new));
    made.map_err(|error| Failure::of(base.display(), error))?;
    pivot_root(base, &old).map_err(|error| Failure::of("pivot_root", error))?;
    chdir("/").map_err(|error| Failure::of("chdir", error))
}

/// Makes the new root and goes there, for good.
pub(crate) fn enter(view: &View, limits: &Limits, with_processes: bool) -> Result<(), Failure> {
    tree::in_memory("size=4m,nr_inodes=16k,mode=0755")?.put(Path::new(NEW))?;
    let root = tree::Root::open(NEW)?;
    system(&root)?;
    let own = format!("size={},nr_inodes={},mode=0700", limits.scratch, limits.scratch_files);
    for place in ["/tmp", HOME] {
        tree::in_memory(&own)?.put_at(&root.directory(Path::new(place))?)?;
    }
    let hidden = view.hidden();
    for change in changes(view, &hidden) {
        make(&root, &change)?;
    }
    if let Some(sockets) = &view.sockets {
        tree::of(sockets)?.put_at(&root.directory(Path::new(SOCKETS))?)?;
    }
    devices(&root)?;
    texts()?;
    if with_processes {
        proc::make(&root, limits.processes)?;
    }
    seal::seal(&writable(view))?;
    let leave = chdir(NEW).and_then(|()| pivot_root(".", ".")).and_then(|()| umount2(".", MntFlags::MNT_DETACH));
    leave.and_then(|()| chdir("/")).map_err(|error| Failure::of("pivot_root", error))
}

/// The mounts that stay writable: all there are.
fn writable(view: &View) -> Vec<PathBuf> {
    let fixed = ["/tmp", HOME, SOCKETS].map(PathBuf::from);
    fixed.into_iter().chain(view.write.iter().map(|place| place.at.clone())).collect()
}

/// What of the system is seen. Where the machine has a link, such as `/bin`, so has the cell.
fn system(root: &tree::Root) -> Result<(), Failure> {
    for path in SYSTEM.map(Path::new) {
        let there = tree::under(OLD, path);
        let Ok(meta) = fs::symlink_metadata(&there) else { continue };
        if meta.is_symlink() {
            root.parent(path)?;
            let link = fs::read_link(&there).and_then(|link| symlink(link, tree::under(NEW, path)));
            link.map_err(|error| Failure::of(path.display(), error))?;
        } else {
            match tree::of(path) {
                Ok(source) => source.put_at(&root.point(path, meta.is_dir())?)?,
                Err(failure) if failure.passing => return Err(failure),
                // What cannot be bound here, such as a place behind a link, is not seen.
                Err(_) => {}
            }
        }
    }
    Ok(())
}

/// One thing to do, in the order of depth: what is said of a path holds for what lies below it, until something else is.
enum Change<'a> {
    Show(&'a Place),
    Hide(&'a Path),
}

fn changes<'a>(view: &'a View, hidden: &'a [PathBuf]) -> Vec<Change<'a>> {
    let mut changes: Vec<(usize, Change<'_>)> = Vec::new();
    let depth = |path: &Path| path.components().count();
    changes.extend(hidden.iter().map(|path| (depth(path), Change::Hide(path))));
    let places = view.read.iter().chain(&view.write);
    changes.extend(places.map(|place| (depth(&place.at), Change::Show(place))));
    // Stable: of two words about one path, to show it is the later one.
    changes.sort_by_key(|(depth, _)| *depth);
    changes.into_iter().map(|(_, change)| change).collect()
}

fn make(root: &tree::Root, change: &Change<'_>) -> Result<(), Failure> {
    match change {
        Change::Show(place) => {
            let source = tree::of(&place.real)?;
            match root.point(&place.at, source.is_directory()) {
                Ok(target) => source.put_at(&target),
                // In a directory of the machine's nothing is ever made. A link that is there leads to the place itself.
                Err(failure) if !failure.passing && (root.is_link(&place.at) || place.at != place.real) => Ok(()),
                Err(failure) => Err(failure),
            }
        }
        Change::Hide(path) => match root.find(path) {
            Some((target, true)) => tree::in_memory("size=64k,nr_inodes=256,mode=0755")?.put_at(&target),
            Some((target, false)) => tree::empty_file()?.put_at(&target),
            None => Ok(()),
        },
    }
}

fn devices(root: &tree::Root) -> Result<(), Failure> {
    for name in DEVICES {
        let path = Path::new("/dev").join(name);
        if tree::under(OLD, &path).exists() {
            tree::device(&path)?.put_at(&root.point(&path, false)?)?;
        }
    }
    let links = [("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")];
    let links = links.map(|(name, to)| (name, format!("/proc/self/fd{to}")));
    // Shared memory has no place of its own: it is bounded with `/tmp`.
    for (name, to) in links.into_iter().chain([("shm", "/tmp".to_owned())]) {
        let link = tree::under(NEW, &Path::new("/dev").join(name));
        symlink(to, &link).map_err(|error| Failure::of(link.display(), error))?;
    }
    Ok(())
}

/// The files of `/etc` without which the C library is at a loss, saying as little as they can. Names are the proxy's to
/// resolve.
fn texts() -> Result<(), Failure> {
    let (uid, gid) = (getuid(), getgid());
    for (name, text) in [
        ("hosts", "127.0.0.1 localhost\n::1 localhost\n".to_owned()),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n".to_owned()),
        ("passwd", format!("app:x:{uid}:{gid}::{HOME}:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")),
        ("group", format!("app:x:{gid}:\nnogroup:x:65534:\n")),
    ] {
        let file = tree::under(NEW, &Path::new("/etc").join(name));
        let made = fs::create_dir_all(file.parent().unwrap_or(&file)).and_then(|()| fs::write(&file, text));
        made.map_err(|error| Failure::of(file.display(), error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_directory_comes_before_what_is_said_below_it() {
        let view = View {
            read: ["/srv/app/.state/builds/x", "/srv/app"].map(|path| Place::same(path.into())).into(),
            hide: vec!["/srv/app/.state".into(), "/srv/app".into()],
            ..View::default()
        };
        let order: Vec<_> = changes(&view, &view.hidden())
            .iter()
            .map(|change| match change {
                Change::Show(place) => format!("+{}", place.at.display()),
                Change::Hide(path) => format!("-{}", path.display()),
            })
            .collect();
        assert_eq!(order, ["-/srv/app", "+/srv/app", "-/srv/app/.state", "+/srv/app/.state/builds/x"]);
    }
}
