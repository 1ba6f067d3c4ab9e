//! Memory of a whole cell, added up. For machines on which no control group bounds it.

use std::fs;

/// Looks at every process of the namespace whose `/proc` this process sees.
///
/// What is not in any process' map is bounded elsewhere: files in memory by the size of the places they can be in, and
/// there are no other nameless ones, since the filter of system calls refuses to make them where this is needed.
pub(crate) struct Memory {
    most: u64,
}

impl Memory {
    pub(crate) fn new(most: u64) -> Self {
        Self { most }
    }

    /// What to say of a cell that holds more than it may.
    pub(crate) fn excess(&mut self) -> Option<String> {
        if processes().map(|id| held(&id).unwrap_or_default()).sum::<u64>() <= self.most {
            return None;
        }
        // Pages that several processes share were counted for each. The exact sum takes the kernel longer.
        let exact: u64 = processes().map(|id| share(&id).or_else(|| held(&id)).unwrap_or_default()).sum();
        let mib = |bytes: u64| bytes >> 20;
        (exact > self.most).then(|| {
            format!("its processes hold {} MiB of memory together, and may hold {} MiB", mib(exact), mib(self.most))
        })
    }
}

fn processes() -> impl Iterator<Item = String> {
    let listed = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = listed.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Bytes of a process that are no file's, shared ones included.
fn held(id: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    Some(sum(&text, &["RssAnon:", "RssShmem:", "VmSwap:"]))
}

/// The same, of shared ones only this process' share.
fn share(id: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
    Some(sum(&text, &["Pss_Anon:", "Pss_Shmem:", "SwapPss:"]))
}

/// Adds up lines such as `RssAnon:   12 kB`.
fn sum(text: &str, names: &[&str]) -> u64 {
    let value = |line: &str| {
        let rest = names.iter().find_map(|name| line.strip_prefix(name))?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    };
    text.lines().filter_map(value).sum::<u64>().saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_what_it_holds() {
        let own = std::process::id().to_string();
        let before = held(&own).unwrap();
        let block = vec![1_u8; 64 << 20];
        let after = held(&own).unwrap();
        assert!(after >= before + (60 << 20), "{before} {after}");
        assert!(share(&own).unwrap() >= 60 << 20);
        assert!(Memory::new(32 << 20).excess().unwrap().contains("may hold 32 MiB"));
        assert_eq!(Memory::new(u64::MAX).excess(), None);
        drop(block);
    }

    #[test]
    fn lines_of_status() {
        let text = "Name:\tx\nVmSwap:\t       3 kB\nRssAnon:\t     100 kB\nRssFile:\t 7 kB\nRssShmem:\t 1 kB\n";
        assert_eq!(sum(text, &["RssAnon:", "RssShmem:", "VmSwap:"]), 104 << 10);
    }
}
