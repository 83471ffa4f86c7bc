//! The free slots whose pages are kept: a stack of addresses, the longest unused at the bottom.
//!
//! One OS thread's; every method ends before the next begins. A `RefCell<Vec<usize>>` would do,
//! and was the first form: its flag is loaded and stored four times per spawn, one after the
//! other. Rejected too: a list threaded through the free slots, which needs no memory of its own
//! but touches a cold line of each, and cannot be cut in half.

use std::cell::UnsafeCell;

#[derive(Debug, Default)]
pub(super) struct Hot(UnsafeCell<Vec<usize>>);

// In each method below the reference into the cell ends with the method, and nothing that is
// called while it lives can come back here: the allocator, the one foreign thing, is called only
// by `grow` and `drain_oldest`, which hold no reference while they do.
impl Hot {
    #[inline]
    pub(super) fn push(&self, slot: usize) {
        // SAFETY: see above. Not `Sync`, so there is no other thread.
        let list = unsafe { &mut *self.0.get() };
        if list.len() == list.capacity() {
            self.grow();
        }
        // SAFETY: see above; taken anew, because `grow` may have replaced what is in the cell.
        let list = unsafe { &mut *self.0.get() };
        list.push(slot);
    }

    #[inline]
    pub(super) fn pop(&self) -> Option<usize> {
        // SAFETY: see above.
        unsafe { &mut *self.0.get() }.pop()
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        // SAFETY: see above.
        unsafe { &*self.0.get() }.len()
    }

    /// Removes the `count` slots that were unused the longest.
    pub(super) fn drain_oldest(&self, count: usize) -> Vec<usize> {
        let mut oldest = self.replace(Vec::new());
        let newest = oldest.split_off(count);
        self.replace(newest);
        oldest
    }

    #[cold]
    #[inline(never)]
    fn grow(&self) {
        let mut list = self.replace(Vec::new());
        list.reserve(64.max(list.len()));
        self.replace(list);
    }

    fn replace(&self, list: Vec<usize>) -> Vec<usize> {
        // SAFETY: see above.
        std::mem::replace(unsafe { &mut *self.0.get() }, list)
    }
}
