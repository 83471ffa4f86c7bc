//! A contiguous piece of one class's address space.
//!
//! ```text
//!   start ≤ next ≤ guarded_end ≤ committed_end ≤ end
//! ```
//! Below `next`, slots have been handed out at least once; below `guarded_end` they have their
//! guards; below `committed_end` they are readable and writable. All are addresses of slots. They
//! only ever rise: what a region has, it keeps until it is unmapped whole.

use rustix::io::Errno;
use std::io;
use std::sync::Arc;

use super::census::{Census, Tract};
use super::checked;
use super::size::StackSize;
use crate::sys::guard::{Guards, Row};
use crate::sys::{mem, proc};

/// The first region of a class holds this many slots, or [`FIRST_BYTES`] if that is more.
const FIRST_SLOTS: usize = 64;
const FIRST_BYTES: usize = 64 << 20;
/// No region is larger than this, so that one is found in a fragmented address space.
const MAX_BYTES: usize = 64 << 30;

#[derive(Debug)]
pub(super) struct Region {
    start: usize,
    next: usize,
    guarded_end: usize,
    committed_end: usize,
    end: usize,
    size: StackSize,
    /// To other threads.
    tract: Arc<Tract>,
}

impl Region {
    /// Reserves the class's region number `nth`: each twice as large as the one before, or, where
    /// there is no room for that, as large as there is room for.
    pub(super) fn reserve(size: StackSize, nth: usize, census: &Census) -> io::Result<Self> {
        let first = FIRST_BYTES.max(FIRST_SLOTS * size.bytes());
        let mut len = MAX_BYTES.min(first << nth.min(16));
        let start = loop {
            match mem::reserve(len, size.bytes()) {
                Ok(start) => break start,
                Err(error) if len == size.bytes() => return Err(no_space(size, error)),
                Err(_) => len /= 2,
            }
        };
        // SAFETY: reserved above. A stack that touches one page is to cost one page.
        unsafe { mem::no_hugepage(start, len) };
        Ok(Self {
            start,
            next: start,
            guarded_end: start,
            committed_end: start,
            end: start + len,
            size,
            tract: census.enter(start),
        })
    }

    /// Commits up to `want` more slots; answers how many, at least one.
    ///
    /// The region has at least one slot that is not committed.
    pub(super) fn commit(&mut self, want: usize) -> io::Result<usize> {
        let mut slots = want.min(self.slots(self.committed_end, self.end));
        debug_assert!(slots > 0, "{self:?} is committed to its end");
        loop {
            let len = slots * self.size.bytes();
            // SAFETY: between `committed_end` and `end` the region is reserved and unused.
            match unsafe { mem::commit(self.committed_end, len) } {
                Ok(()) => {
                    self.committed_end += len;
                    return Ok(slots);
                }
                Err(_) if slots > 1 => slots /= 2,
                Err(error) => return Err(no_memory(self.size, error)),
            }
        }
    }

    /// The next slot that was never handed out. Installs guards for up to `batch` slots if it has
    /// none yet.
    ///
    /// The region [has one](Self::fresh).
    pub(super) fn take_fresh(&mut self, guards: &Guards, batch: usize) -> io::Result<usize> {
        debug_assert!(self.next < self.committed_end, "{self:?} has no fresh slot");
        if self.next == self.guarded_end {
            let count = batch.clamp(1, self.unguarded());
            let row = Row {
                first: self.guarded_end,
                stride: self.size.bytes(),
                count,
                len: self.size.guard_bytes(),
            };
            // SAFETY: from `guarded_end` for `count` slots the region is committed and fresh, so
            // no lease exists there, and the pool never leaves its thread.
            unsafe { guards.install(row) }?;
            self.guarded_end += count * self.size.bytes();
        }
        let slot = self.next;
        self.next += self.size.bytes();
        self.tract.next.set(self.next as u64);
        Ok(slot)
    }

    fn slots(&self, from: usize, to: usize) -> usize {
        (to - from) >> self.size.log2()
    }

    /// Whether every slot is committed.
    pub(super) fn is_full(&self) -> bool {
        self.committed_end == self.end
    }

    /// Slots that were never handed out.
    pub(super) fn fresh(&self) -> usize {
        self.slots(self.next, self.committed_end)
    }

    /// Slots that have no guard yet.
    pub(super) fn unguarded(&self) -> usize {
        self.slots(self.guarded_end, self.committed_end)
    }

    /// Slots that were handed out at least once.
    pub(super) fn used(&self) -> usize {
        self.slots(self.start, self.next)
    }

    pub(super) fn contains(&self, address: usize) -> bool {
        (self.start..self.end).contains(&address)
    }

    pub(super) fn start(&self) -> usize {
        self.start
    }

    pub(super) fn end(&self) -> usize {
        self.end
    }

    pub(super) fn resident_bytes(&self) -> usize {
        mem::resident_bytes(self.start, self.next - self.start)
    }

    /// Returns the region to the system.
    ///
    /// # Safety
    /// No slot of it is leased, or will be.
    pub(super) unsafe fn unmap(self, guards: &Guards, census: &Census) {
        let slots = self.slots(self.start, self.committed_end);
        checked::forget(self.start..self.end);
        census.leave(&self.tract, || {
            // SAFETY: the region is one reservation of ours, and the caller says that it is unused.
            if unsafe { mem::unmap(self.start, self.end - self.start) }.is_ok() {
                guards.release(slots);
            }
        });
    }
}

fn no_space(size: StackSize, error: Errno) -> io::Error {
    let limit = match proc::address_space_limit() {
        Some(limit) => format!(
            "the process's address space is limited to {limit} bytes (RLIMIT_AS): raise it \
             (ulimit -v), or use smaller stacks"
        ),
        None => "its address space, or the number of its kernel mappings (vm.max_map_count), is \
                 used up"
            .to_owned(),
    };
    describe("reserve address space", size, error, &limit)
}

fn no_memory(size: StackSize, error: Errno) -> io::Error {
    let hint = match proc::data_limit() {
        // Stacks count in full, touched or not.
        Some(limit) => format!(
            "the process's data is limited to {limit} bytes (RLIMIT_DATA): raise it (ulimit -d), \
             or use smaller stacks"
        ),
        None => {
            let mode = proc::sysctl("vm/overcommit_memory")
                .map_or_else(|| "unknown".to_owned(), |mode| mode.to_string());
            format!(
                "the system promises no more memory: vm.overcommit_memory is {mode} (2 counts \
                 stacks in full: raise vm.overcommit_ratio, or use smaller stacks), or \
                 vm.max_map_count is used up"
            )
        }
    };
    describe("commit memory", size, error, &hint)
}

fn describe(what: &str, size: StackSize, error: Errno, hint: &str) -> io::Error {
    let error = io::Error::from(error);
    let kib = size.bytes() / 1024;
    io::Error::new(
        error.kind(),
        format!("cannot {what} for a stack of {kib} KiB: {error}; {hint}"),
    )
}
