//! `/proc` of a cell: its own processes, a few facts about the machine that runtimes ask for, and nothing else.

use crate::failure::{Failure, Part};
use crate::mounts::NEW;
use crate::tree;
use nix::sys::utsname::uname;
use std::fs;
use std::path::Path;

/// What is seen besides processes: how many processors and how much memory there are, which library code asks for.
const FACTS: [&str; 7] = ["cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "uptime", "version"];

/// Mounts it. Not everywhere may that be done: where parts of the machine's own are covered up, the kernel shows no part
/// of a new one.
pub(crate) fn make(root: &tree::Root, processes: u64) -> Result<(), Failure> {
    mounted(root, processes).map_err(|failure| failure.of_part(Part::Processes))
}

fn mounted(root: &tree::Root, processes: u64) -> Result<(), Failure> {
    let proc = Path::new("/proc");
    // 2: of processes that may not be looked into, nothing is seen at all.
    tree::made("proc", "hidepid=2")?.put_at(&root.directory(proc)?)?;
    let root = tree::Root::open(NEW)?;
    let seen = tree::under(NEW, proc);
    if ids_are_the_namespaces_own() {
        // Refused where the limit on processes is not: then that one counts.
        let _ = fs::write(seen.join("sys/kernel/pid_max"), processes.to_string());
    }
    let listed = fs::read_dir(&seen).map_err(|error| Failure::of("/proc", error))?;
    for entry in listed.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.bytes().all(|byte| byte.is_ascii_digit()) || FACTS.contains(&name) {
            continue;
        }
        // What is a link leads to a process' own files.
        match root.find(&proc.join(name)) {
            Some((target, true)) => tree::in_memory("size=4k,nr_inodes=16,mode=0555")?.put_at(&target)?,
            Some((target, false)) => tree::empty_file()?.put_at(&target)?,
            None => {}
        }
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
