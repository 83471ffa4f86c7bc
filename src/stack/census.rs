//! What other threads may know of a pool: how many stacks it has, and where they lie.
//!
//! ```text
//!   the pool's thread              census                      any thread
//!   take, give back ─────────► live, used (one writer) ─────► numbers
//!   reserves a region ───────► tract: start, next ──────────► asks the kernel which of its pages are in memory
//!   unmaps a region ──lock──►  tract: gone                    (a part at a time, under the tract's lock)
//! ```
//! The numbers are kept by plain stores on the way of a spawn, one each way. What is in memory nobody counts: whoever wants to know
//! asks the kernel, page by page, and pays for it alone. No stack is read for that: `mincore` looks at page
//! tables.
//!
//! # Unmapping
//! A region is unmapped when its thread ends, under its tract's lock. A reader holds that for one part
//! of 64 Ki pages at most, so the end of a thread waits less than a millisecond for it, and the reader never counts pages that the address range
//! has been given to afterwards. The list of tracts has a lock of its own, taken to reserve a region (a handful in a pool's life), to unmap
//! it, and to copy the list.
//!
//! Rejected: counting pages as they are touched (nobody sees that), and having each hub count on demand (it would stop for
//! as long as that takes: 0.6 s for a million stacks).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sys::mem;
use crate::util::count::Count;

/// Pages that are asked for under a tract's lock.
const PART: usize = 64 * 1024;

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Census {
    /// Slots that are leased.
    pub(super) live: Count,
    /// Slots that were handed out at least once.
    pub(super) used: Count,
    tracts: Mutex<Vec<Arc<Tract>>>,
}

/// A region, to other threads.
#[derive(Debug)]
pub(super) struct Tract {
    start: usize,
    /// Above every slot that was ever handed out. Written by the pool's thread.
    pub(super) next: Count,
    mapped: Mutex<bool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Census {
    /// Stacks in use. Any thread.
    pub(crate) fn live(&self) -> usize {
        self.live.get() as usize
    }

    /// Free stacks that were used before. Any thread.
    pub(crate) fn pooled(&self) -> usize {
        self.used.get().saturating_sub(self.live.get()) as usize
    }

    /// Bytes of all stacks that are in memory. Any thread; some ten nanoseconds for each page of every stack ever used.
    pub(crate) fn resident_bytes(&self) -> usize {
        let tracts = lock(&self.tracts).clone();
        tracts.iter().map(|tract| tract.resident_bytes()).sum()
    }

    /// A region has been reserved.
    pub(super) fn enter(&self, start: usize) -> Arc<Tract> {
        let tract = Arc::new(Tract {
            start,
            next: Count::default(),
            mapped: Mutex::new(true),
        });
        tract.next.set(start as u64);
        lock(&self.tracts).push(tract.clone());
        tract
    }

    /// `unmap` unmaps a region.
    pub(super) fn leave(&self, tract: &Arc<Tract>, unmap: impl FnOnce()) {
        lock(&self.tracts).retain(|other| !Arc::ptr_eq(other, tract));
        let mut mapped = lock(&tract.mapped);
        *mapped = false;
        unmap();
    }

    /// The pool is gone: only what is leased for ever is still there.
    pub(super) fn close(&self) {
        self.used.set(self.live.get());
    }
}

impl Tract {
    fn resident_bytes(&self) -> usize {
        let end = self.next.get() as usize;
        let part = PART * mem::page_size();
        let mut bytes = 0;
        for start in (self.start..end).step_by(part) {
            let mapped = lock(&self.mapped);
            if !*mapped {
                return 0;
            }
            bytes += mem::resident_bytes(start, part.min(end - start));
        }
        bytes
    }
}
