//! Control groups, where the daemon has been given some: bounds on all processes of a cell together.
//!
//! Both generations of the kernel's interface are known. In the second one a group that holds processes gives no
//! controllers to groups below it, so that the daemon moves into a group of its own below the one it was started in, if
//! it is alone there.

use crate::limits::Limits;
use crate::seal::unescaped;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What has to be bounded. Half of it would be a promise half kept.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// The period of the bound on processor time, in microseconds. The kernel's own default.
const PERIOD: u64 = 100_000;

/// Numbers the groups of this process, and the directories they are in.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Where the daemon's groups are, by the directory they are made in.
#[derive(Debug)]
pub struct Groups {
    /// For each hierarchy, the directory of this daemon's groups and the settings that belong there.
    parents: Vec<Parent>,
    /// Directories that could not be removed yet: the kernel keeps a group while a process in it is still ending.
    left: Arc<Mutex<Vec<PathBuf>>>,
}

#[derive(Debug)]
struct Parent {
    dir: PathBuf,
    controllers: Vec<&'static str>,
    is_unified: bool,
}

/// The group of one cell. Removed when dropped, or as soon as its last process has ended.
#[derive(Debug)]
pub struct Group {
    dirs: Vec<PathBuf>,
    left: Arc<Mutex<Vec<PathBuf>>>,
}

impl Groups {
    /// Finds the groups this process may make others below.
    ///
    /// # Errors
    /// Why it may not, in words.
    pub fn find() -> Result<Self, String> {
        let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
        let (own, mounts) = (read("/proc/self/cgroup")?, read("/proc/self/mountinfo")?);
        let places = places(&own, &mounts)?;
        let mut parents = Vec::new();
        for (dir, controllers, is_unified) in places {
            let dir = if is_unified { own_leaf(&dir)? } else { dir };
            sweep(&dir);
            // With a number: where two of these are in one process, neither removes the other's.
            let dir = dir.join(format!("gestaltd-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
            make(&dir).map_err(|error| format!("not delegated: {}: {error}", dir.display()))?;
            parents.push(Parent { dir, controllers, is_unified });
        }
        let groups = Self { parents, left: Arc::default() };
        for parent in groups.parents.iter().filter(|parent| parent.is_unified) {
            give_controllers(&parent.dir)?;
        }
        // To see that the settings are taken, before anything relies on them.
        groups.make(&Limits::provider()).map_err(|error| format!("not delegated: {error}"))?;
        Ok(groups)
    }

    /// A group with these bounds.
    pub(crate) fn make(&self, limits: &Limits) -> io::Result<Group> {
        self.clean();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let name = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
        let mut group = Group { dirs: Vec::new(), left: Arc::clone(&self.left) };
        for parent in &self.parents {
            let dir = parent.dir.join(&name);
            make(&dir)?;
            group.dirs.push(dir.clone());
            for controller in &parent.controllers {
                for (file, value, is_optional) in settings(controller, parent.is_unified, limits, processors) {
                    match fs::write(dir.join(file), &value) {
                        Err(error) if !(is_optional && error.kind() == ErrorKind::NotFound) => {
                            return Err(io::Error::new(error.kind(), format!("{}: {error}", dir.join(file).display())));
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(group)
    }

    fn clean(&self) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).retain(|dir| !removed(dir));
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        self.clean();
        for parent in &self.parents {
            let _ = fs::remove_dir(&parent.dir);
        }
    }
}

impl Group {
    /// Puts a process there; whatever it starts is there as well.
    pub(crate) fn admit(&self, pid: u32) -> io::Result<()> {
        self.dirs.iter().try_for_each(|dir| fs::write(dir.join("cgroup.procs"), pid.to_string()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let dirs = std::mem::take(&mut self.dirs);
        self.left.lock().unwrap_or_else(PoisonError::into_inner).extend(dirs.into_iter().filter(|dir| !removed(dir)));
    }
}

/// The settings of one controller: the file, the value, and whether a kernel may do without.
fn settings(
    controller: &str,
    is_unified: bool,
    limits: &Limits,
    processors: usize,
) -> Vec<(&'static str, String, bool)> {
    // Three quarters of the machine, and one processor at least: the rest is the daemon's and the other apps'.
    let quota = (processors as u64 * PERIOD * 3 / 4).max(PERIOD);
    match (controller, is_unified) {
        ("memory", true) => vec![
            ("memory.max", limits.memory.to_string(), false),
            ("memory.swap.max", "0".to_owned(), true),
            // With its first process the whole cell ends, not some process that is in the way.
            ("memory.oom.group", "1".to_owned(), true),
        ],
        ("memory", false) => vec![
            ("memory.limit_in_bytes", limits.memory.to_string(), false),
            ("memory.memsw.limit_in_bytes", limits.memory.to_string(), true),
        ],
        ("pids", _) => vec![("pids.max", limits.processes.to_string(), false)],
        ("cpu", true) => vec![("cpu.max", format!("{quota} {PERIOD}"), false)],
        ("cpu", false) => {
            vec![("cpu.cfs_period_us", PERIOD.to_string(), false), ("cpu.cfs_quota_us", quota.to_string(), false)]
        }
        _ => Vec::new(),
    }
}

/// The directory of this process' group in a hierarchy, its controllers, and whether it is the unified one.
type Hierarchy = (PathBuf, Vec<&'static str>, bool);

/// The directories this process' groups are, with the controllers of each.
fn places(own: &str, mounts: &str) -> Result<Vec<Hierarchy>, String> {
    let mut found: BTreeMap<PathBuf, (Vec<&'static str>, bool)> = BTreeMap::new();
    let unified = mounted(mounts, "cgroup2", None).zip(path_of(own, None));
    let unified = unified.map(|((at, root), path)| below(&at, &root, &path));
    let has = |dir: &PathBuf, controller: &str| {
        let listed = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
        listed.split_whitespace().any(|word| word == controller)
    };
    for controller in CONTROLLERS {
        let old = mounted(mounts, "cgroup", Some(controller)).zip(path_of(own, Some(controller)));
        let (dir, is_unified) = match (&unified, old) {
            (Some(dir), _) if has(dir, controller) => (dir.clone(), true),
            (_, Some(((at, root), path))) => (below(&at, &root, &path), false),
            _ => return Err(format!("this process has no control group with the controller `{controller}`")),
        };
        let entry = found.entry(dir).or_insert((Vec::new(), is_unified));
        entry.0.push(controller);
    }
    Ok(found.into_iter().map(|(dir, (controllers, is_unified))| (dir, controllers, is_unified)).collect())
}

/// Mount point and root of a hierarchy: of the one with that controller, or the unified one.
fn mounted(mounts: &str, kind: &str, controller: Option<&str>) -> Option<(PathBuf, PathBuf)> {
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        let is_kind = after.next()? == kind;
        let options = after.nth(1)?;
        let has = controller.is_none_or(|controller| options.split(',').any(|option| option == controller));
        let mut before = before.split(' ').skip(3);
        let (root, at) = (unescaped(before.next()?)?, unescaped(before.next()?)?);
        (is_kind && has).then_some((at, root))
    })
}

/// The path of this process' group in a hierarchy.
fn path_of(own: &str, controller: Option<&str>) -> Option<PathBuf> {
    own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let fits = match controller {
            Some(controller) => controllers.split(',').any(|one| one == controller),
            None => number == "0" && controllers.is_empty(),
        };
        fits.then(|| PathBuf::from(path))
    })
}

fn below(at: &Path, root: &Path, path: &Path) -> PathBuf {
    // What is mounted may be a part of the hierarchy only, as in a container.
    let rest = path.strip_prefix(root).or_else(|_| path.strip_prefix("/")).unwrap_or(path);
    at.join(rest)
}

/// A group without processes, below which others can have controllers: the one this process is in, which it leaves for
/// one below.
fn own_leaf(dir: &Path) -> Result<PathBuf, String> {
    let failed = |error: io::Error| format!("not delegated: {}: {error}", dir.display());
    let listed = fs::read_to_string(dir.join("cgroup.procs")).map_err(failed)?;
    let is_root = !dir.join("cgroup.type").exists();
    let own = std::process::id().to_string();
    if !is_root {
        if listed.lines().any(|pid| pid != own) {
            return Err(format!("not delegated: others than the daemon are in {}", dir.display()));
        }
        let leaf = dir.join("gestaltd");
        make(&leaf).and_then(|()| fs::write(leaf.join("cgroup.procs"), own)).map_err(failed)?;
    }
    give_controllers(dir)?;
    Ok(dir.to_owned())
}

fn give_controllers(dir: &Path) -> Result<(), String> {
    let wanted = CONTROLLERS.map(|controller| format!("+{controller}")).join(" ");
    let given = fs::write(dir.join("cgroup.subtree_control"), wanted);
    given.map_err(|error| format!("not delegated: {}: {error}", dir.display()))
}

/// Removes what daemons have left that were killed.
fn sweep(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix("gestaltd-"));
        let pid = rest.and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            for below in fs::read_dir(entry.path()).into_iter().flatten().flatten() {
                let _ = fs::remove_dir(below.path());
            }
            let _ = fs::remove_dir(entry.path());
        }
    }
}

fn make(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn removed(dir: &Path) -> bool {
    !matches!(fs::remove_dir(dir), Err(error) if error.kind() != ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "30 24 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        31 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        32 24 0:28 /docker/1 /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
        33 24 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    const OWN: &str = "8:pids:/docker/1/app\n4:memory:/a/b\n1:cpu,cpuacct:/\n0::/user.slice\n";

    #[test]
    fn each_controller_has_its_directory() {
        let found = places(OWN, MOUNTS).unwrap();
        let expect = [
            ("/sys/fs/cgroup/cpu,cpuacct", vec!["cpu"], false),
            ("/sys/fs/cgroup/memory/a/b", vec!["memory"], false),
            ("/sys/fs/cgroup/pids/app", vec!["pids"], false),
        ];
        assert_eq!(found, expect.map(|(dir, controllers, unified)| (PathBuf::from(dir), controllers, unified)));
        let without = MOUNTS.lines().filter(|line| !line.contains("pids")).collect::<Vec<_>>().join("\n");
        assert!(places(OWN, &without).unwrap_err().contains("`pids`"));
    }

    #[test]
    fn both_generations_have_the_same_bounds() {
        let limits = Limits { memory: 7, processes: 9, ..Limits::provider() };
        let set = |controller: &str, unified: bool, processors: usize| {
            let settings = settings(controller, unified, &limits, processors);
            settings.iter().map(|(file, value, _)| format!("{file}={value}")).collect::<Vec<_>>().join(" ")
        };
        for (controller, old, new) in [
            (
                "memory",
                "memory.limit_in_bytes=7 memory.memsw.limit_in_bytes=7",
                "memory.max=7 memory.swap.max=0 memory.oom.group=1",
            ),
            ("pids", "pids.max=9", "pids.max=9"),
            ("cpu", "cpu.cfs_period_us=100000 cpu.cfs_quota_us=150000", "cpu.max=150000 100000"),
        ] {
            assert_eq!((set(controller, false, 2), set(controller, true, 2)), (old.to_owned(), new.to_owned()));
        }
        assert_eq!(set("cpu", true, 1), "cpu.max=100000 100000", "one processor at least");
        assert_eq!(set("cpu", true, 8), "cpu.max=600000 100000");
        // A setting that bounds anything is one that no kernel may do without, but for those of swap.
        let optional = CONTROLLERS.iter().flat_map(|controller| {
            let both = [false, true].into_iter().flat_map(|unified| settings(controller, unified, &limits, 2));
            both.filter(|(_, _, optional)| *optional).map(|(file, _, _)| file)
        });
        let optional: Vec<_> = optional.collect();
        assert_eq!(optional, ["memory.memsw.limit_in_bytes", "memory.swap.max", "memory.oom.group"]);
    }
}
