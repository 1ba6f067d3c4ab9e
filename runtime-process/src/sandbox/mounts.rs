//! The file system of a confined process: the system's programs and libraries, what its view lists, and nothing else.
//!
//! A root of its own in memory, into which the rest is bound, unchangeable but for the few places that have to be
//! writable. What is not in it cannot be named: no configuration, no other app's package, and no socket of another
//! process, which no network namespace and no rule about networks would stop anybody from connecting to.

use super::job::View;
use super::{SOCKETS, limits};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::utsname::uname;
use nix::unistd::{chdir, getgid, getuid, pivot_root};
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

/// Where the new root can be made. What lies there is not lost: nothing but this process sees it so.
const BASES: [&str; 3] = ["/tmp", "/var/tmp", "/run"];

/// What of the system is seen. Of `/etc` only what says where libraries are, whom to trust and what time it is: nothing
/// that says what this machine is for, and no key.
const SYSTEM: [&str; 26] = [
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

/// Devices that hold nothing of anybody. The terminal is not one of them: it may be the operator's.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// Each directory of its own. They are memory, and count as it.
const PRIVATE: &str = "size=64m,nr_inodes=64k,mode=0700";

/// What becomes of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Seen and not changed.
    Read,
    /// Seen and changed.
    Write,
    /// An empty directory of its own.
    Private,
    /// An empty directory or file that stays so.
    Hidden,
}

/// Where the old root lies while the new one is made, and where the new one does.
const OLD: &str = "/old";
const NEW: &str = "/new";

/// A path, what becomes of it, and what is seen there: the path without symbolic links, which would lead elsewhere once
/// the root is another. `None` where there is nothing.
#[derive(Clone, Debug)]
pub(super) struct Place {
    path: PathBuf,
    fate: Fate,
    real: Option<PathBuf>,
}

/// Makes the base from which both roots can be seen, and says what will be in the new one. Until this has succeeded
/// nothing has changed.
pub(super) fn prepare(view: &View) -> Result<Vec<Place>, String> {
    let places = places(view);
    let none: Option<&str> = None;
    let private = mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none);
    private.map_err(|error| format!("private mounts: {error}"))?;
    let base = BASES.map(Path::new).into_iter().find(|base| base.is_dir()).ok_or("there is no /tmp")?;
    in_memory(base, "size=1m,mode=0755")?;
    let (old, new) = (base.join(&OLD[1..]), base.join(&NEW[1..]));
    let made = fs::create_dir(&old).and_then(|()| fs::create_dir(&new));
    made.map_err(|error| format!("{}: {error}", base.display()))?;
    pivot_root(base, &old).map_err(|error| format!("pivot_root: {error}"))?;
    chdir("/").map_err(|error| format!("chdir: {error}"))?;
    Ok(places)
}

/// Makes the new root and goes there, for good. Hands back what it has to do without.
pub(super) fn enter(places: &[Place]) -> Result<Vec<String>, String> {
    in_memory(Path::new(NEW), "size=4m,nr_inodes=16k,mode=0755")?;
    for place in places {
        make(place, places)?;
    }
    devices()?;
    texts()?;
    let missing: Vec<String> = processes().err().into_iter().collect();
    seal(places)?;
    let leave = chdir(NEW).and_then(|()| pivot_root(".", ".")).and_then(|()| umount2(".", MntFlags::MNT_DETACH));
    leave.and_then(|()| chdir("/")).map_err(|error| format!("pivot_root: {error}"))?;
    Ok(missing)
}

/// What there will be, directories before what lies in them.
fn places(view: &View) -> Vec<Place> {
    let at = |path: &str, fate| Place { path: path.into(), fate, real: None };
    let of = |paths: &[PathBuf], fate| {
        let place = |path: &PathBuf| Place { path: path.clone(), fate, real: path.canonicalize().ok() };
        paths.iter().map(place).collect::<Vec<_>>()
    };
    let system: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
    let mut places = [
        of(&view.private, Fate::Private),
        of(&system, Fate::Read),
        of(&["/tmp".into(), "/dev/shm".into()], Fate::Private),
        of(&view.hide, Fate::Hidden),
        of(&view.read, Fate::Read),
        of(&view.write, Fate::Write),
        view.sockets.iter().map(|dir| Place { real: dir.canonicalize().ok(), ..at(SOCKETS, Fate::Write) }).collect(),
    ]
    .concat();
    // Of two words about one path the later one counts.
    places.reverse();
    places.sort_by_key(|place| place.path.components().count());
    let mut seen = std::collections::HashSet::new();
    places.retain(|place| seen.insert(place.path.clone()));
    places
}

/// What becomes of a path by what is said about the nearest directory above it, or itself.
fn fate(path: &Path, places: &[Place]) -> Option<Fate> {
    path.ancestors().find_map(|above| places.iter().find(|place| place.path == above)).map(|place| place.fate)
}

fn make(place: &Place, places: &[Place]) -> Result<(), String> {
    let Place { path, fate: own, real } = place;
    let target = under(NEW, path);
    let above = path.parent().and_then(|parent| fate(parent, places));
    match own {
        Fate::Read | Fate::Write => {
            let is_system = SYSTEM.iter().any(|known| path == Path::new(known));
            if let (true, Ok(link)) = (is_system, fs::read_link(under(OLD, path))) {
                // `/bin` is `usr/bin` nearly everywhere.
                parents(&target)?;
                return symlink(link, &target).map_err(|error| format!("{}: {error}", path.display()));
            }
            let Some(source) = real.as_ref().map(|real| under(OLD, real)).filter(|source| source.exists()) else {
                return Ok(());
            };
            match above {
                // Seen already, or not there: nothing is ever made in a directory of the machine's.
                Some(Fate::Read) if *own == Fate::Read || !target.exists() => return Ok(()),
                Some(Fate::Write) if !target.exists() => return Ok(()),
                _ => {}
            }
            point(&target, source.is_dir())?;
            bind(&source, &target)
        }
        Fate::Private => {
            // A home may be anywhere; where the system's files are, they stay.
            if matches!(above, Some(Fate::Read | Fate::Write)) {
                return Ok(());
            }
            point(&target, true)?;
            in_memory(&target, PRIVATE)
        }
        Fate::Hidden => match fs::symlink_metadata(&target) {
            Ok(meta) if meta.is_dir() => in_memory(&target, "size=4k,mode=0755"),
            Ok(meta) if meta.is_file() => {
                let nothing = Path::new("/nothing");
                File::create(nothing).map_err(|error| format!("{}: {error}", path.display()))?;
                bind(nothing, &target)
            }
            _ => Ok(()),
        },
    }
}

/// A path as seen from the base.
fn under(root: &str, path: &Path) -> PathBuf {
    Path::new(root).join(path.strip_prefix("/").unwrap_or(path))
}

fn parents(target: &Path) -> Result<(), String> {
    let made = DirBuilder::new().recursive(true).mode(0o755).create(target.parent().unwrap_or(target));
    made.map_err(|error| format!("{}: {error}", target.display()))
}

/// Sees to it that there is something to mount over.
fn point(target: &Path, is_dir: bool) -> Result<(), String> {
    if target.exists() {
        return Ok(());
    }
    parents(target)?;
    let made = if is_dir { fs::create_dir(target) } else { File::create(target).map(drop) };
    made.map_err(|error| format!("{}: {error}", target.display()))
}

fn bind(source: &Path, target: &Path) -> Result<(), String> {
    let none: Option<&str> = None;
    // With what is mounted below: the kernel refuses to take a directory out of a tree that it got as a whole.
    let bound = mount(Some(source), target, none, MsFlags::MS_BIND | MsFlags::MS_REC, none);
    bound.map_err(|error| format!("{}: {error}", source.display()))
}

fn in_memory(target: &Path, options: &str) -> Result<(), String> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let mounted = mount(Some("tmpfs"), target, Some("tmpfs"), flags, Some(options));
    mounted.map_err(|error| format!("{}: {error}", target.display()))
}

fn devices() -> Result<(), String> {
    for name in DEVICES {
        let (source, target) = (under(OLD, &Path::new("/dev").join(name)), under(NEW, &Path::new("/dev").join(name)));
        if source.exists() {
            point(&target, false)?;
            bind(&source, &target)?;
        }
    }
    for (name, to) in [("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")] {
        let link = under(NEW, &Path::new("/dev").join(name));
        symlink(format!("/proc/self/fd{to}"), &link).map_err(|error| format!("{}: {error}", link.display()))?;
    }
    Ok(())
}

/// The files of `/etc` without which the C library is at a loss, saying as little as they can. Names are the proxy's to
/// resolve.
fn texts() -> Result<(), String> {
    let (uid, gid) = (getuid(), getgid());
    let home = std::env::var("HOME").ok().filter(|home| !home.contains([':', '\n'])).unwrap_or_else(|| "/tmp".into());
    for (name, text) in [
        ("hosts", "127.0.0.1 localhost\n::1 localhost\n".to_owned()),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n".to_owned()),
        ("passwd", format!("app:x:{uid}:{gid}::{home}:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")),
        ("group", format!("app:x:{gid}:\nnogroup:x:65534:\n")),
    ] {
        let file = under(NEW, &Path::new("/etc").join(name));
        parents(&file)?;
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}

/// The processes of this namespace, and no others. Not everywhere may it be mounted: where parts of the machine's own are
/// covered up, the kernel shows no part of a new one.
fn processes() -> Result<(), String> {
    let target = under(NEW, Path::new("/proc"));
    point(&target, true)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let none: Option<&str> = None;
    mount(Some("proc"), &target, Some("proc"), flags, none).map_err(|error| format!("/proc: {error}"))?;
    if ids_are_the_namespaces_own() {
        // Refused where the limit on processes is not: then that one counts.
        let _ = fs::write(target.join("sys/kernel/pid_max"), limits::PROCESSES.to_string());
    }
    Ok(())
}

/// Before Linux 6.14 the number is the machine's, and its root may change it from in here.
fn ids_are_the_namespaces_own() -> bool {
    let Ok(system) = uname() else { return false };
    let release = system.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(14))
}

/// Makes unchangeable what is not to be changed, with everything that was mounted below it on the machine.
fn seal(places: &[Place]) -> Result<(), String> {
    let file = format!("{OLD}/proc/self/mountinfo");
    let text = fs::read_to_string(&file).map_err(|error| format!("mountinfo: {error}"))?;
    for (at, options) in text.lines().filter_map(mounted) {
        let Ok(inside) = at.strip_prefix(NEW) else { continue };
        let path = Path::new("/").join(inside);
        let is_device = path.starts_with("/dev") && path != Path::new("/dev/shm");
        if matches!(fate(&path, places), Some(Fate::Write | Fate::Private)) || is_device {
            continue;
        }
        let mut flags =
            MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        if options.split(',').any(|option| option == "noexec") {
            flags |= MsFlags::MS_NOEXEC;
        }
        let none: Option<&str> = None;
        mount(none, &at, none, flags, none).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// Mount point and options of a line of `mountinfo`, in which a few characters are written in octal.
fn mounted(line: &str) -> Option<(PathBuf, &str)> {
    let mut fields = line.split(' ').skip(4);
    let (at, options) = (fields.next()?, fields.next()?);
    let mut path = String::with_capacity(at.len());
    let mut rest = at;
    while let Some((before, after)) = rest.split_once('\\') {
        path.push_str(before);
        path.push(char::from(u8::from_str_radix(after.get(..3)?, 8).ok()?));
        rest = &after[3..];
    }
    path.push_str(rest);
    Some((path.into(), options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mountinfo() {
        let line = "36 35 98:0 /mnt1 /new/a\\040b\\134c rw,noatime,noexec master:1 - ext3 /dev/root rw,errors=continue";
        assert_eq!(mounted(line), Some((PathBuf::from("/new/a b\\c"), "rw,noatime,noexec")));
        assert_eq!(mounted("36 35"), None);
    }

    #[test]
    fn the_nearest_word_about_a_path_counts() {
        let view = View {
            read: vec!["/srv/u/app".into(), "/srv/u/app/.state/bin/x".into()],
            write: vec!["/tmp/s".into()],
            private: vec!["/srv/u".into(), "/usr".into()],
            hide: vec!["/srv/u/app/.state".into(), "/srv/u/app/gestalt.yaml".into()],
            ..View::default()
        };
        let places = places(&view);
        for (path, expect) in [
            ("/usr/lib/x", Some(Fate::Read)),
            ("/srv/u/.ssh", Some(Fate::Private)),
            ("/srv/u/app/main.py", Some(Fate::Read)),
            ("/srv/u/app/gestalt.yaml", Some(Fate::Hidden)),
            ("/srv/u/app/.state/db", Some(Fate::Hidden)),
            ("/srv/u/app/.state/bin/x", Some(Fate::Read)),
            ("/tmp/s/app.sock", Some(Fate::Write)),
            ("/tmp/other", Some(Fate::Private)),
            ("/etc/shadow", None),
            ("/etc/ssl/private/key.pem", None),
            ("/srv/v", None),
        ] {
            assert_eq!(fate(Path::new(path), &places), expect, "{path}");
        }
        let order: Vec<_> = places.iter().map(|place| place.path.components().count()).collect();
        assert!(order.is_sorted());
    }
}
