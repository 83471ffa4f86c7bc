//! A leased stack.
//!
//! A [`Slot`] is the right to use one slot's memory above its guard. It is made by
//! [`Pool::take`](super::Pool::take) and goes back by [`Pool::give_back`](super::Pool::give_back),
//! to the same pool. Dropping one instead leaks the slot: the pool counts it as live for ever. That is the safe
//! direction, for a stack that was not unwound may hold values that others point to.
//!
//! # High-water marks
//! [`paint`](Slot::paint) fills the unused part with a pattern, and [`high_water`](Slot::high_water)
//! later finds the lowest word that changed: exact to eight bytes, unless the stack's own lowest
//! words happen to equal the pattern. It touches every page (64 page faults, some 80 µs, for
//! 256 KiB), so it is for measuring and not for production; a painted slot's pages are given back
//! when it is. Rejected: counting pages with `mincore`, which is exact to a page only and counts
//! what earlier leases of a hot slot touched.

use core::cell::Cell;
use core::ptr::{self, NonNull};

use super::checked::{self, Lent};
use super::size::StackSize;

/// What unused stack is painted with. Odd, and no canonical address.
const PATTERN: u64 = 0xA5C3_5AE1_96B4_7D0F;
/// Stack tops differ by this many bytes, a cache line, from slot to slot …
const COLOUR_BYTES: usize = 64;
/// … and repeat after this many slots; further apart they would reach into a second page.
const COLOURS: usize = 32;

/// A lease of one slot.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Lowest address, a multiple of the size.
    start: NonNull<u8>,
    size: StackSize,
    painted: Cell<bool>,
    lent: Lent,
}

impl Slot {
    /// # Safety
    /// `start` is the address of a slot of this class whose memory above the guard is committed,
    /// and no other lease of it exists.
    #[inline]
    pub(super) unsafe fn new(start: usize, size: StackSize) -> Self {
        debug_assert_eq!(start % size.bytes(), 0);
        Self {
            // SAFETY: the address of a slot is inside a mapping, and page 0 is never mapped there.
            start: unsafe { NonNull::new_unchecked(ptr::with_exposed_provenance_mut(start)) },
            size,
            painted: Cell::new(false),
            lent: checked::lend(start + size.guard_bytes()..start + size.bytes()),
        }
    }

    /// The lowest address, guard included.
    #[inline]
    pub(crate) fn limit(&self) -> usize {
        self.start.as_ptr() as usize
    }

    /// The lowest address that may be used.
    #[inline]
    pub(crate) fn guard_end(&self) -> usize {
        self.limit() + self.size.guard_bytes()
    }

    /// The address just above the highest that may be used: a multiple of 64.
    ///
    /// It is up to 2 KiB below the slot's end, differently for neighbours: stacks whose tops are
    /// equal modulo 4 KiB fight for the same cache sets (3× at a thousand coroutines).
    #[inline]
    pub(crate) fn top(&self) -> usize {
        let index = self.limit() >> self.size.log2();
        self.end() - (index % COLOURS) * COLOUR_BYTES
    }

    /// The size class.
    #[inline]
    pub(crate) fn size(&self) -> StackSize {
        self.size
    }

    #[inline]
    fn end(&self) -> usize {
        self.limit() + self.size.bytes()
    }

    /// Ends the lease; answers the slot's lowest address.
    #[inline]
    pub(super) fn end_lease(self) -> usize {
        let (start, memory) = (self.limit(), self.guard_end()..self.end());
        checked::take_back(self.lent, memory);
        start
    }

    #[inline]
    pub(super) fn is_painted(&self) -> bool {
        self.painted.get()
    }

    /// Fills everything below address `below` with a pattern, for [`high_water`](Self::high_water).
    ///
    /// # Safety
    /// Nothing below `below` in this slot is in use.
    pub(crate) unsafe fn paint(&self, below: usize) {
        let below = below.min(self.end()) & !7;
        self.painted.set(true);
        for word in (self.guard_end()..below).step_by(8) {
            // SAFETY: between the guard and the end of a slot that is leased, hence committed; the
            // caller promises that nothing is there.
            unsafe { ptr::with_exposed_provenance_mut::<u64>(word).write_volatile(PATTERN) };
        }
    }

    /// The most bytes that were in use since [`paint`](Self::paint), counted from the slot's end
    /// (so including the colour and whatever the owner keeps at the top).
    ///
    /// Meaningless on a slot that was not painted: then everything counts as used.
    pub(crate) fn high_water(&self) -> usize {
        checked::reveal(self.guard_end()..self.end());
        let lowest = (self.guard_end()..self.end())
            .step_by(8)
            // SAFETY: inside a leased, hence committed slot; anonymous memory is always
            // initialised. Volatile, because the words belong to a stack and change behind the
            // compiler's back.
            .find(|&word| unsafe { ptr::with_exposed_provenance::<u64>(word).read_volatile() } != PATTERN);
        self.end() - lowest.unwrap_or(self.end())
    }
}
