//! Makes unchangeable whatever is not expressly writable.

use crate::failure::Failure;
use crate::mounts::{NEW, OLD};
use nix::mount::{MsFlags, mount};
use std::fs;
use std::path::{Path, PathBuf};

/// Seals every mount below the new root, the root itself included, but those at `writable`. These lose set-user-ID
/// programs and devices, too.
pub(crate) fn seal(writable: &[PathBuf]) -> Result<(), Failure> {
    let text = fs::read(format!("{OLD}/proc/self/mountinfo")).map_err(|error| Failure::of("mountinfo", error))?;
    // A path that is not UTF-8 is no mount of this process' own, or one that cannot be sealed, which is an error.
    for line in String::from_utf8_lossy(&text).lines() {
        let (at, options) = mounted(line).ok_or_else(|| format!("mountinfo: cannot be read: {line}"))?;
        let Ok(inside) = at.strip_prefix(NEW) else { continue };
        let flags = flags(&Path::new("/").join(inside), options, writable);
        let none: Option<&str> = None;
        mount(none, &at, none, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flags, none)
            .map_err(|error| Failure::of(format_args!("sealing /{}", inside.display()), error))?;
    }
    Ok(())
}

fn flags(path: &Path, options: &str, writable: &[PathBuf]) -> MsFlags {
    let has = |name: &str| options.split(',').any(|option| option == name);
    let mut flags = MsFlags::MS_NOSUID;
    // The devices of the fixed list are the only ones there are.
    if path.parent() != Some(Path::new("/dev")) {
        flags |= MsFlags::MS_NODEV;
    }
    // What was not executable on the machine stays so, and so does what was not changeable.
    if has("noexec") || path.starts_with("/proc") || path.starts_with("/dev") {
        flags |= MsFlags::MS_NOEXEC;
    }
    if has("ro") || !writable.iter().any(|place| place == path) {
        flags |= MsFlags::MS_RDONLY;
    }
    flags
}

/// Mount point and options of a line of `mountinfo`, in which a few characters are written in octal.
pub(crate) fn mounted(line: &str) -> Option<(PathBuf, &str)> {
    let mut fields = line.split(' ').skip(4);
    let (at, options) = (fields.next()?, fields.next()?);
    Some((unescaped(at)?, options))
}

/// A path as `mountinfo` writes it.
pub(crate) fn unescaped(at: &str) -> Option<PathBuf> {
    let mut path = Vec::with_capacity(at.len());
    let mut rest = at;
    while let Some((before, after)) = rest.split_once('\\') {
        path.extend(before.bytes());
        path.push(u8::from_str_radix(after.get(..3)?, 8).ok()?);
        rest = after.get(3..)?;
    }
    path.extend(rest.bytes());
    Some(PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mountinfo() {
        let line = "36 35 98:0 /mnt1 /new/a\\040b\\134c rw,noatime,noexec master:1 - ext3 /dev/root rw,errors=continue";
        assert_eq!(mounted(line), Some((PathBuf::from("/new/a b\\c"), "rw,noatime,noexec")));
        for short in ["36 35", "36 35 98:0 / /a\\04", "36 35 98:0 / /a\\9zz rw"] {
            assert_eq!(mounted(short), None, "{short}");
        }
    }

    #[test]
    fn only_what_is_listed_is_writable_whatever_lies_above() {
        let writable = [PathBuf::from("/tmp"), PathBuf::from("/run/home")];
        for (path, options, sealed) in [
            ("/", "rw", true),
            ("/tmp", "rw", false),
            ("/run/home", "rw", false),
            ("/tmp/mounted", "rw", true),
            ("/run/home/proc", "rw", true),
            ("/proc", "rw", true),
            ("/proc/sys", "rw", true),
            ("/run", "rw", true),
            ("/tmp", "ro,nosuid", true),
            ("/srv/package", "rw", true),
        ] {
            let flags = flags(Path::new(path), options, &writable);
            assert_eq!(flags.contains(MsFlags::MS_RDONLY), sealed, "{path} {options}");
            assert!(flags.contains(MsFlags::MS_NOSUID | MsFlags::MS_NODEV), "{path}");
        }
        for (path, executable) in
            [("/proc", false), ("/proc/sys", false), ("/dev", false), ("/tmp", true), ("/usr", true)]
        {
            assert_eq!(!flags(Path::new(path), "rw", &writable).contains(MsFlags::MS_NOEXEC), executable, "{path}");
        }
        assert!(!flags(Path::new("/dev/null"), "rw", &[]).contains(MsFlags::MS_NODEV));
        assert!(flags(Path::new("/srv"), "rw,noexec", &[]).contains(MsFlags::MS_NOEXEC));
    }
}
