//! How many `mprotect` guards the process may have.
//!
//! Each costs two kernel mappings (the guard, and what it cuts off from its neighbour), and
//! `vm.max_map_count` is shared with everything else in the process: a process that has used it
//! up cannot load a library, start a thread or even free memory. So half of it stays where it is:
//!
//! ```text
//!   guards ≤ (vm.max_map_count − mappings of others − headroom) / 2
//! ```
//!
//! The count is shared by all threads and touched once per batch of stacks, never per spawn.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sys::proc;

/// The kernel's default, assumed where `/proc` cannot be read.
const DEFAULT_MAX_MAP_COUNT: usize = 65530;
/// Mappings that others are assumed to have where `/proc` cannot be read.
const DEFAULT_OTHERS: usize = 256;
/// Kernel mappings that one guard costs.
const PER_GUARD: usize = 2;

/// A number of guards that may exist, and how many do.
#[derive(Debug)]
pub(super) struct Budget {
    /// Guards reserved now. Never above the limit that held when they were reserved.
    used: AtomicUsize,
    /// Mappings that the process had before the first guard; `None` for no limit at all.
    others: Option<usize>,
    /// The limit as last read.
    limit: AtomicUsize,
}

impl Budget {
    pub(super) const fn unlimited() -> Self {
        Self {
            used: AtomicUsize::new(0),
            others: None,
            limit: AtomicUsize::new(usize::MAX),
        }
    }

    /// What the system allows now.
    pub(super) fn of_system() -> Self {
        let others = proc::map_count().unwrap_or(DEFAULT_OTHERS);
        Self {
            used: AtomicUsize::new(0),
            others: Some(others),
            limit: AtomicUsize::new(limit(max_map_count(), others)),
        }
    }

    /// Takes up to `want` guards from the budget; at least one.
    pub(super) fn reserve(&self, want: usize) -> io::Result<usize> {
        if let Some(got) = self.take(want) {
            return Ok(got);
        }
        let Some(others) = self.others else {
            return Err(self.exhausted());
        };
        // Whoever follows the advice in the error raises the limit while the program runs.
        self.limit
            .store(limit(max_map_count(), others), Ordering::Relaxed);
        self.take(want).ok_or_else(|| self.exhausted())
    }

    fn take(&self, want: usize) -> Option<usize> {
        if self.others.is_none() {
            return Some(want);
        }
        let limit = self.limit.load(Ordering::Relaxed);
        // Relaxed: the count guards no other memory.
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                let left = limit.saturating_sub(used);
                (left > 0).then(|| used + want.min(left))
            })
            .ok()
            .map(|before| want.min(limit - before))
    }

    pub(super) fn release(&self, count: usize) {
        if self.others.is_some() {
            let before = self.used.fetch_sub(count, Ordering::Relaxed);
            debug_assert!(before >= count, "released {count} guards of {before}");
        }
    }

    /// The error that says what is used up and what to do.
    pub(super) fn exhausted(&self) -> io::Error {
        let used = self.used.load(Ordering::Relaxed);
        let max = max_map_count();
        io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!(
                "no more stacks with mprotect guards: {used} of them and the rest of the process \
                 use up the kernel mappings that vm.max_map_count={max} allows; raise it (sysctl \
                 -w vm.max_map_count={}), or use a kernel of 6.13 or later, whose guards need no \
                 mappings",
                max.saturating_mul(4)
            ),
        )
    }
}

fn max_map_count() -> usize {
    proc::sysctl("vm/max_map_count").unwrap_or(DEFAULT_MAX_MAP_COUNT)
}

fn limit(max: usize, others: usize) -> usize {
    // For what the program maps later: threads, libraries, a growing heap.
    let headroom = (max / 16).max(512);
    max.saturating_sub(others).saturating_sub(headroom) / PER_GUARD
}

#[cfg(test)]
impl Budget {
    /// A budget of `guards` that the system does not change.
    fn fixed(guards: usize) -> Self {
        Self {
            used: AtomicUsize::new(0),
            // So many others that the limit, read anew, is none.
            others: Some(usize::MAX),
            limit: AtomicUsize::new(guards),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_machine_has_room_for_thirty_thousand() {
        assert_eq!(limit(65530, 100), (65530 - 100 - 4095) / 2);
        assert_eq!(limit(400, 100), 0);
    }

    #[test]
    fn what_is_left_is_given_and_then_the_error_names_the_remedy() {
        let budget = Budget::fixed(10);
        assert_eq!(budget.reserve(4).expect("four"), 4);
        assert_eq!(budget.reserve(8).expect("what is left"), 6);
        let error = budget.reserve(1).expect_err("nothing left");
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        let text = error.to_string();
        for part in ["10 of them", "vm.max_map_count=", "sysctl -w", "6.13"] {
            assert!(text.contains(part), "{text:?} should contain {part:?}");
        }
        budget.release(3);
        // The limit was read anew above, and is now 0 for this test's budget.
        budget.reserve(1).expect_err("the limit is the system's");
    }

    #[test]
    fn without_a_limit_there_is_none() {
        let budget = Budget::unlimited();
        assert_eq!(budget.reserve(1 << 40).expect("any number"), 1 << 40);
        budget.release(1 << 40);
    }
}
