//! The room that compiled artifacts take on disk.
//!
//! An entry is for one component and one engine: each new version of an app, and each upgrade of the daemon, leaves entries
//! behind that nobody will ask for again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Bytes of all entries together: a hundred of the largest that toolchains make today, thousands of ordinary ones.
pub(crate) const MOST: u64 = 4 << 30;

/// How long an unfinished file may be somebody's. Writing one takes seconds.
const UNFINISHED: Duration = Duration::from_secs(3600);

/// Removes the entries that have not been used for longest, until the others fit into `most` bytes. `newest` stays, however
/// large it is. Whoever has one mapped keeps it.
pub(crate) fn make(dir: &Path, newest: &Path, most: u64) -> io::Result<()> {
    let mut entries = files(dir, "cwasm")?;
    entries.sort_by_key(|entry| (entry.path != newest, std::cmp::Reverse(entry.modified)));
    let mut total = 0_u64;
    for entry in entries {
        total = total.saturating_add(entry.bytes);
        if total > most && entry.path != newest {
            remove(&entry.path)?;
        }
    }
    Ok(())
}

/// Removes what daemons that ended in the middle of a write have left.
pub(crate) fn sweep(dir: &Path) -> io::Result<()> {
    let now = SystemTime::now();
    for file in files(dir, "part")? {
        if now.duration_since(file.modified).is_ok_and(|age| age > UNFINISHED) {
            remove(&file.path)?;
        }
    }
    Ok(())
}

struct Entry {
    path: PathBuf,
    bytes: u64,
    modified: SystemTime,
}

fn files(dir: &Path, extension: &str) -> io::Result<Vec<Entry>> {
    let mut files = Vec::new();
    for file in fs::read_dir(dir)? {
        let path = file?.path();
        if path.extension().is_some_and(|found| found == extension)
            // Gone since: another daemon of the same directory makes room as well.
            && let Ok(meta) = fs::symlink_metadata(&path)
        {
            files.push(Entry { bytes: meta.len(), modified: meta.modified()?, path });
        }
    }
    Ok(files)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_unfinished_long_ago_is_swept_away() {
        let dir = tempfile::tempdir().unwrap();
        for (name, age) in [(".1-0.part", 7200), (".2-0.part", 0), ("a.cwasm", 7200), ("key", 7200)] {
            let file = fs::File::create(dir.path().join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        sweep(dir.path()).unwrap();
        let left = |name: &str| dir.path().join(name).exists();
        assert_eq!([".1-0.part", ".2-0.part", "a.cwasm", "key"].map(left), [false, true, true, true]);
    }

    #[test]
    fn the_newest_stays_even_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["old.cwasm", "new.cwasm"] {
            fs::write(path(name), [0; 10]).unwrap();
        }
        make(dir.path(), &path("new.cwasm"), 1).unwrap();
        assert!(path("new.cwasm").exists() && !path("old.cwasm").exists());
    }
}
