//! A kernel that moves pages about while others use them, as it does wherever it makes room for a larger allocation.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Writing to it has the kernel move all pages it can, on behalf of root.
const COMPACT: &str = "/proc/sys/vm/compact_memory";

const PAGE: usize = 4096;

/// What is looked at for pages that are not there. Large, as a page is away for microseconds.
const WATCHED: usize = 16_384 * PAGE;

/// How long the same pages are looked at. Once moved they tend to stay, and new ones are where there is something to do.
const LOOK: Duration = Duration::from_millis(50);

/// Moves pages for as long as it lives.
pub(crate) struct Unrest {
    stop: Arc<AtomicBool>,
    mover: Option<JoinHandle<()>>,
}

impl Unrest {
    /// `None` where the kernel moves nothing for this user. Pages may move there all the same, if it is so minded.
    pub(crate) fn begin() -> Option<Self> {
        fs::write(COMPACT, "1").ok()?;
        let stop = Arc::new(AtomicBool::new(false));
        let until = stop.clone();
        let mover = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                fs::write(COMPACT, "1").unwrap();
            }
        });
        Some(Self { stop, mover: Some(mover) })
    }
}

impl Drop for Unrest {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(mover) = self.mover.take() {
            // A panic there fails the test that waits for it here.
            let ended = mover.join();
            assert!(ended.is_ok() || std::thread::panicking(), "pages could not be moved any more");
        }
    }
}

/// Whether within this time a page that is written and in use is not present: away, as the pagemap scan would see it.
pub(crate) fn a_page_is_away(within: Duration) -> bool {
    let map = File::open("/proc/self/pagemap").unwrap();
    // One page less than there are: the first may be another's in part.
    let mut entries = vec![0; (WATCHED / PAGE - 1) * 8];
    let begun = Instant::now();
    while begun.elapsed() < within {
        let watched = vec![7_u8; WATCHED];
        let first = (watched.as_ptr() as usize).div_ceil(PAGE);
        let turn = Instant::now();
        while turn.elapsed() < LOOK {
            map.read_exact_at(&mut entries, first as u64 * 8).unwrap();
            // An entry's highest bit says that its page is present.
            if entries.chunks_exact(8).any(|entry| entry[7] & 0x80 == 0) {
                return true;
            }
        }
        std::hint::black_box(&watched);
    }
    false
}
