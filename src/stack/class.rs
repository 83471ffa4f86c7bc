//! All slots of one size: the counting, the lists of free ones, and growth.
//!
//! ```text
//!   committed = live + hot + trimmed + fresh          what slots are
//!   committed = live + promised + spare               what slots are for
//! ```
//! Only `spare` is stored: a promise takes one from it, a withdrawal or a return puts one back,
//! and taking a slot moves one from "promised" to "live" without touching it. Hence
//! `hot + trimmed + fresh = promised + spare ≥ promised`: whoever holds a promise finds a slot.
//!
//! The hot path is `spare` and the list of hot slots; all else sits behind calls that are not
//! inlined. Borrows of the cells end within each function, and nothing in here calls out.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;

use super::census::Census;
use super::hot::Hot;
use super::region::Region;
use super::size::StackSize;
use super::slot::Slot;
use super::stats::StackStats;
use crate::sys::guard::{GuardKind, Guards};
use crate::sys::mem::{self, Range};

/// Slots are committed in chunks that double from this …
const FIRST_CHUNK: usize = 8;
/// … to this, …
const MAX_CHUNK: usize = 4096;
/// … or to this many bytes.
const MAX_CHUNK_BYTES: usize = 1 << 30;
// What is done in one go keeps the thread for a millisecond at most: timers are waiting.
/// Guards are installed in batches that double from this to the next, as slots are first used.
const FIRST_GUARDS: usize = 8;
const MAX_GUARDS: usize = 256;
/// Stacks whose topmost pages are touched in one call, when so many are about to be used: at
/// least, and at most.
const MIN_WARM: usize = 16;
const MAX_WARM: usize = 256;
/// Memory is given back for at least so many slots at a time, so hot slots may be this many above
/// their limit.
pub(super) const MIN_TRIM: usize = 64;
/// Beyond that, no more than this.
pub(super) const MAX_TRIM: usize = 448;

#[derive(Debug)]
pub(super) struct Class {
    /// Committed slots that are neither live nor promised.
    spare: Cell<usize>,
    /// Free slots with their pages, the longest unused first.
    hot: Hot,
    cold: RefCell<Cold>,
    size: StackSize,
    /// The pool's.
    census: Arc<Census>,
}

/// What the hot path does not touch.
#[derive(Debug, Default)]
struct Cold {
    /// Only the last one may have slots that are not committed.
    regions: Vec<Region>,
    /// No region before this one has a fresh slot.
    first_fresh: usize,
    /// Free slots without pages.
    trimmed: Vec<usize>,
    committed: usize,
    /// How many guards the next batch installs.
    batch: usize,
}

impl Class {
    pub(super) fn new(size: StackSize, census: &Arc<Census>) -> Self {
        Self {
            spare: Cell::new(0),
            hot: Hot::default(),
            cold: RefCell::default(),
            size,
            census: census.clone(),
        }
    }

    /// Promises one of the slots that there are.
    #[inline]
    pub(super) fn promise(&self) -> bool {
        let spare = self.spare.get();
        if spare > 0 {
            self.spare.set(spare - 1);
        }
        spare > 0
    }

    #[inline]
    pub(super) fn withdraw(&self) {
        debug_assert!(self.promised() > 0, "nothing is promised: {self:?}");
        self.spare.set(self.spare.get() + 1);
    }

    /// Commits more slots, at least one, all spare.
    #[cold]
    #[inline(never)]
    pub(super) fn grow(&self, guards: &Guards) -> io::Result<()> {
        let mut cold = self.cold.borrow_mut();
        if cold.regions.last().is_none_or(Region::is_full) {
            let region = Region::reserve(self.size, cold.regions.len(), &self.census)?;
            cold.regions.push(region);
        }
        let chunk = cold
            .committed
            .clamp(FIRST_CHUNK, MAX_CHUNK)
            .min(MAX_CHUNK_BYTES >> self.size.log2());
        let allowed = guards.reserve(chunk)?;
        let region = cold.regions.last_mut().expect("a region was pushed above");
        match region.commit(allowed) {
            Ok(slots) => {
                guards.release(allowed - slots);
                cold.committed += slots;
                self.spare.set(self.spare.get() + slots);
                Ok(())
            }
            Err(error) => {
                guards.release(allowed);
                Err(error)
            }
        }
    }

    /// A hot slot, if there is one. The caller holds a promise, which this redeems.
    #[inline]
    pub(super) fn take_hot(&self) -> Option<Slot> {
        debug_assert!(self.promised() > 0, "no promise to redeem: {self:?}");
        let start = self.hot.pop()?;
        self.census.live.add(1);
        // SAFETY: what was in the list is free and committed, and is out of the list now.
        Some(unsafe { Slot::new(start, self.size) })
    }

    /// A slot that is not hot. The caller holds a promise, which this redeems if it succeeds.
    #[cold]
    #[inline(never)]
    pub(super) fn take_cold(&self, guards: &Guards) -> io::Result<Slot> {
        // Promises beyond the hot slots will come for cold ones too: their pages are better
        // touched together.
        let expected = self.promised();
        let mut cold = self.cold.borrow_mut();
        let start = match cold.trimmed.pop() {
            Some(start) => {
                let more = (expected - 1).min(MAX_WARM).min(cold.trimmed.len());
                if more + 1 >= MIN_WARM {
                    let rest = cold.trimmed.len() - more;
                    self.warm(cold.trimmed.iter().skip(rest).copied().chain([start]));
                    for slot in cold.trimmed.drain(rest..) {
                        self.hot.push(slot);
                    }
                }
                start
            }
            None => {
                let (start, installed) = cold.take_fresh(guards)?;
                self.census.used.add(1);
                let warm = expected.min(installed).min(MAX_WARM);
                if warm >= MIN_WARM {
                    let stride = self.size.bytes();
                    self.warm((0..warm).map(|index| start + index * stride));
                }
                start
            }
        };
        self.census.live.add(1);
        // SAFETY: a slot is trimmed or fresh only while it is free, and was removed from there.
        Ok(unsafe { Slot::new(start, self.size) })
    }

    /// Touches the topmost page of free slots that are about to be used: cheaper in one call than by a
    /// fault each, by about a quarter.
    fn warm(&self, slots: impl Iterator<Item = usize>) {
        let page = crate::sys::mem::page_size();
        let ranges: Vec<Range> = slots
            .map(|start| Range {
                start: start + self.size.bytes() - page,
                len: page,
            })
            .collect();
        // SAFETY: the slots are free and committed, and above its guard a slot has more than a page.
        unsafe { mem::populate(&ranges) };
    }

    /// Takes a slot back; answers how many are hot now.
    #[inline]
    pub(super) fn give_back(&self, slot: Slot) -> usize {
        debug_assert!(self.owns(slot.limit()), "{slot:?} belongs to another pool");
        self.spare.set(self.spare.get() + 1);
        self.census.live.take(1);
        let painted = slot.is_painted();
        let start = slot.end_lease();
        if painted {
            return self.give_back_painted(start);
        }
        self.hot.push(start);
        self.hot.len()
    }

    /// Painting touched every page; keeping them would be dear.
    #[cold]
    #[inline(never)]
    fn give_back_painted(&self, start: usize) -> usize {
        // SAFETY: the lease on this slot ended with the call of `give_back`.
        unsafe { mem::discard(&[self.stack_of(start)]) };
        self.cold.borrow_mut().trimmed.push(start);
        self.hot.len()
    }

    /// Gives back the memory of the `count` hot slots that were unused the longest.
    #[cold]
    #[inline(never)]
    pub(super) fn trim(&self, count: usize, guards: Option<&Guards>) {
        if count == 0 {
            return;
        }
        let mut oldest = self.hot.drain_oldest(count);
        oldest.sort_unstable();
        let ranges: Vec<Range> = if guards.is_some_and(|guards| guards.kind() == GuardKind::Madvise)
        {
            // These guards survive a discard, so that neighbours can go in one piece.
            oldest
                .chunk_by(|a, b| a + self.size.bytes() == *b)
                .map(|row| {
                    let len = row.len() * self.size.bytes() - self.size.guard_bytes();
                    let start = row[0] + self.size.guard_bytes();
                    Range { start, len }
                })
                .collect()
        } else {
            oldest.iter().map(|&slot| self.stack_of(slot)).collect()
        };
        // SAFETY: hot slots are free: no lease on them exists.
        unsafe { mem::discard(&ranges) };
        self.cold.borrow_mut().trimmed.extend(oldest);
    }

    /// The part of a slot above its guard. Discarding the guard would remove some kinds of it.
    fn stack_of(&self, start: usize) -> Range {
        let guard = self.size.guard_bytes();
        Range {
            start: start + guard,
            len: self.size.bytes() - guard,
        }
    }

    pub(super) fn hot(&self) -> usize {
        self.hot.len()
    }

    fn promised(&self) -> usize {
        let cold = self.cold.borrow();
        self.hot() + cold.trimmed.len() + cold.fresh() - self.spare.get()
    }

    fn owns(&self, start: usize) -> bool {
        self.cold
            .borrow()
            .regions
            .iter()
            .any(|region| region.contains(start))
    }

    /// Adds this class to `stats`.
    pub(super) fn count(&self, stats: &mut StackStats, with_resident: bool) {
        let cold = self.cold.borrow();
        let pooled = self.hot() + cold.trimmed.len();
        stats.live += cold.committed - pooled - cold.fresh();
        stats.promised += self.promised();
        stats.pooled += pooled;
        stats.hot += self.hot();
        stats.committed_bytes += cold.committed * self.size.bytes();
        for region in &cold.regions {
            stats.reserved_bytes += region.end() - region.start();
            if with_resident {
                stats.resident_bytes += region.resident_bytes();
            }
        }
    }

    /// Address ranges of the regions.
    #[cfg(test)]
    pub(super) fn ranges(&self) -> Vec<core::ops::Range<usize>> {
        let cold = self.cold.borrow();
        cold.regions
            .iter()
            .map(|region| region.start()..region.end())
            .collect()
    }

    /// Returns to the system all regions that hold no leased slot; the others stay for ever.
    pub(super) fn unmap_free(&mut self, guards: &Guards) {
        let cold = self.cold.get_mut();
        let mut free = std::mem::take(&mut cold.trimmed);
        free.append(&mut self.hot.drain_oldest(self.hot.len()));
        free.sort_unstable();
        for region in std::mem::take(&mut cold.regions) {
            let from = free.partition_point(|&slot| slot < region.start());
            let to = free.partition_point(|&slot| slot < region.end());
            if to - from == region.used() {
                // SAFETY: every slot of the region that was ever handed out is free again, and the
                // lists that could hand one out are gone.
                unsafe { region.unmap(guards, &self.census) };
            }
        }
    }
}

impl Cold {
    fn fresh(&self) -> usize {
        self.regions[self.first_fresh..]
            .iter()
            .map(Region::fresh)
            .sum()
    }

    /// A slot that was never used, and how many from it on have got their guards by this call.
    fn take_fresh(&mut self, guards: &Guards) -> io::Result<(usize, usize)> {
        let offset = self.regions[self.first_fresh..]
            .iter()
            .position(|region| region.fresh() > 0);
        self.first_fresh += offset.expect("a promise is backed by a free slot");
        let batch = self.batch.max(FIRST_GUARDS);
        let region = &mut self.regions[self.first_fresh];
        let before = region.unguarded();
        let slot = region.take_fresh(guards, batch)?;
        let installed = before - region.unguarded();
        if installed > 0 {
            self.batch = (batch * 2).min(MAX_GUARDS);
        }
        Ok((slot, installed))
    }
}
