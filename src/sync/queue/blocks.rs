//! Where items wait: [`Fifo`] and [`Lifo`], chains of blocks of 31 items.
//!
//! ```text
//!   Fifo   head ─► [· · 3 4 5] ─► [6 7 8 9 10] ─► [11 12 · · ·] ◄─ tail
//!                     first                             end
//!   Lifo   top ─► [11 12 · · ·] ─► [6 7 8 9 10] ─► [1 2 3 4 5]
//!                       end
//! ```
//!
//! Both are used under a short lock, so no operation may take long: at worst one allocates or frees a block. A few
//! emptied blocks are kept, so that a queue that fills and drains does neither.
//!
//! An item stays where it was pushed until it is popped; a peek relies on it.
//!
//! Rejected: `VecDeque` and `Vec`, which copy all their items when they grow, with every other
//! user of the queue spinning meanwhile (a millisecond for a hundred thousand items).
#![allow(unsafe_code)] // Chains of blocks, and items that are there or not.

use core::mem::{self, MaybeUninit};
use core::ptr::{self, NonNull};

const ITEMS: usize = 31;

struct Block<T> {
    items: [MaybeUninit<T>; ITEMS],
    next: *mut Block<T>,
}

/// Blocks that are in no chain, kept to be used again.
struct Spares<T> {
    first: *mut Block<T>,
    count: usize,
}

impl<T> Spares<T> {
    /// How many are kept: 16 KiB of them, but one at least.
    const MOST: usize = match (16 << 10) / size_of::<Block<T>>() {
        0 => 1,
        many if many > 8 => 8,
        some => some,
    };

    const fn new() -> Self {
        Spares {
            first: ptr::null_mut(),
            count: 0,
        }
    }

    /// A block whose `next` is `next` and whose items are uninitialised.
    fn take(&mut self, next: *mut Block<T>) -> NonNull<Block<T>> {
        let block = match NonNull::new(self.first) {
            None => {
                let block = Box::leak(Box::<Block<T>>::new_uninit());
                NonNull::from(block).cast::<Block<T>>()
            }
            Some(spare) => {
                self.count -= 1;
                // SAFETY: spares are allocated, are in no chain, and have their `next` set.
                self.first = unsafe { (*spare.as_ptr()).next };
                spare
            }
        };
        // SAFETY: the block is allocated, and nobody else's.
        unsafe { (&raw mut (*block.as_ptr()).next).write(next) };
        block
    }

    /// Takes over a block without items.
    ///
    /// # Safety
    /// It is a block that [`Spares::take`] has returned, in no chain any more.
    unsafe fn give(&mut self, block: *mut Block<T>) {
        if self.count == Self::MOST {
            // SAFETY: the caller's promise; it was allocated by a box of uninitialised memory.
            drop(unsafe { Box::from_raw(block.cast::<MaybeUninit<Block<T>>>()) });
            return;
        }
        // SAFETY: the caller's promise.
        unsafe { (*block).next = self.first };
        self.first = block;
        self.count += 1;
    }
}

impl<T> Drop for Spares<T> {
    fn drop(&mut self) {
        while !self.first.is_null() {
            let block = self.first;
            // SAFETY: spares are allocated by a box of uninitialised memory, and have their `next` set.
            unsafe {
                self.first = (*block).next;
                drop(Box::from_raw(block.cast::<MaybeUninit<Block<T>>>()));
            }
        }
    }
}

/// First in, first out.
pub(in crate::sync) struct Fifo<T> {
    /// Null before the first push, as `tail`; never again after it.
    head: *mut Block<T>,
    tail: *mut Block<T>,
    /// The first item's place in `head`; below [`ITEMS`] unless it is `end` in the same block.
    first: usize,
    /// The place after the last item's in `tail`.
    end: usize,
    spares: Spares<T>,
}

// SAFETY: it owns its items and blocks.
unsafe impl<T: Send> Send for Fifo<T> {}

impl<T> Fifo<T> {
    pub(in crate::sync) const fn new() -> Self {
        Fifo {
            head: ptr::null_mut(),
            tail: ptr::null_mut(),
            first: 0,
            end: 0,
            spares: Spares::new(),
        }
    }

    #[inline(always)]
    pub(super) fn push(&mut self, item: T) {
        if self.tail.is_null() || self.end == ITEMS {
            self.extend();
        }
        // SAFETY: `tail` is a block of the chain, with the place `end` free.
        unsafe { (&raw mut (*self.tail).items[self.end]).write(MaybeUninit::new(item)) };
        self.end += 1;
    }

    #[cold]
    #[inline(never)]
    fn extend(&mut self) {
        let block = self.spares.take(ptr::null_mut()).as_ptr();
        if self.tail.is_null() {
            self.head = block;
        } else {
            // SAFETY: `tail` is a block of the chain.
            unsafe { (*self.tail).next = block };
        }
        self.tail = block;
        self.end = 0;
    }

    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<T> {
        let place = self.front()?;
        // SAFETY: `front` points at an item, which is not one any more after the step below.
        let item = unsafe { place.read() };
        self.first += 1;
        if self.head == self.tail {
            if self.first == self.end {
                // The block is empty: begin it again.
                (self.first, self.end) = (0, 0);
            }
        } else if self.first == ITEMS {
            self.retire();
        }
        Some(item)
    }

    #[cold]
    #[inline(never)]
    fn retire(&mut self) {
        let block = self.head;
        // SAFETY: `head` is not `tail`, so it has a successor; all its items were popped.
        unsafe {
            self.head = (*block).next;
            self.spares.give(block);
        }
        self.first = 0;
    }

    /// Where the next item to be popped is.
    #[inline(always)]
    pub(super) fn front(&self) -> Option<NonNull<T>> {
        if self.head == self.tail && self.first == self.end {
            return None;
        }
        // SAFETY: `head` is a block: were it null, both would be, and `first` and `end` 0.
        let place = unsafe { &raw mut (*self.head).items[self.first] };
        NonNull::new(place.cast::<T>())
    }
}

impl<T> Default for Fifo<T> {
    fn default() -> Self {
        Fifo::new()
    }
}

impl<T> Drop for Fifo<T> {
    fn drop(&mut self) {
        if mem::needs_drop::<T>() {
            while let Some(item) = self.pop() {
                drop(item);
            }
        }
        while !self.head.is_null() {
            let block = self.head;
            // SAFETY: the blocks of the chain are allocated, and their items gone.
            unsafe {
                self.head = (*block).next;
                self.spares.give(block);
            }
        }
    }
}

/// Last in, first out.
pub(in crate::sync) struct Lifo<T> {
    top: *mut Block<T>,
    /// The place after the last item's in `top`; not 0 unless that is the last block.
    end: usize,
    spares: Spares<T>,
}

// SAFETY: it owns its items and blocks.
unsafe impl<T: Send> Send for Lifo<T> {}

impl<T> Lifo<T> {
    pub(super) const fn new() -> Self {
        Lifo {
            top: ptr::null_mut(),
            end: 0,
            spares: Spares::new(),
        }
    }

    #[inline(always)]
    pub(super) fn push(&mut self, item: T) {
        if self.top.is_null() || self.end == ITEMS {
            self.top = self.spares.take(self.top).as_ptr();
            self.end = 0;
        }
        // SAFETY: `top` is a block of the chain, with the place `end` free.
        unsafe { (&raw mut (*self.top).items[self.end]).write(MaybeUninit::new(item)) };
        self.end += 1;
    }

    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<T> {
        let place = self.front()?;
        // SAFETY: `front` points at an item, which is not one any more after the step below.
        let item = unsafe { place.read() };
        self.end -= 1;
        if self.end == 0 {
            self.retire();
        }
        Some(item)
    }

    #[cold]
    #[inline(never)]
    fn retire(&mut self) {
        let block = self.top;
        // SAFETY: `top` is a block of the chain, and empty.
        unsafe {
            if (*block).next.is_null() {
                return;
            }
            self.top = (*block).next;
            self.spares.give(block);
        }
        self.end = ITEMS;
    }

    /// Where the next item to be popped is.
    #[inline(always)]
    pub(super) fn front(&self) -> Option<NonNull<T>> {
        let place = self.end.checked_sub(1)?;
        // SAFETY: `end` is not 0, so `top` is a block.
        let place = unsafe { &raw mut (*self.top).items[place] };
        NonNull::new(place.cast::<T>())
    }
}

impl<T> Default for Lifo<T> {
    fn default() -> Self {
        Lifo::new()
    }
}

impl<T> Drop for Lifo<T> {
    fn drop(&mut self) {
        if mem::needs_drop::<T>() {
            while let Some(item) = self.pop() {
                drop(item);
            }
        }
        while !self.top.is_null() {
            let block = self.top;
            // SAFETY: the blocks of the chain are allocated, and their items gone.
            unsafe {
                self.top = (*block).next;
                self.spares.give(block);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::rc::Rc;

    proptest! {
        /// Bursts of pushes and pops, against std's; what is left is dropped, and nothing else.
        #[test]
        fn both_do_what_a_deque_does(bursts in prop::collection::vec((0..150_usize, 0..150_usize), 1..20)) {
            let alive = Rc::new(());
            let (mut fifo, mut lifo, mut model) = (Fifo::new(), Lifo::new(), VecDeque::new());
            let (mut stack, mut next) = (Vec::new(), 0);
            for (pushes, pops) in bursts {
                for _ in 0..pushes {
                    fifo.push((next, alive.clone()));
                    lifo.push((next, alive.clone()));
                    model.push_back(next);
                    stack.push(next);
                    next += 1;
                }
                for _ in 0..pops {
                    // SAFETY: `front` points at an item until the next call.
                    let front = fifo.front().map(|place| unsafe { place.as_ref() }.0);
                    prop_assert_eq!(front, model.front().copied());
                    // SAFETY: as above.
                    let top = lifo.front().map(|place| unsafe { place.as_ref() }.0);
                    prop_assert_eq!(top, stack.last().copied());
                    prop_assert_eq!(fifo.pop().map(|item| item.0), model.pop_front());
                    prop_assert_eq!(lifo.pop().map(|item| item.0), stack.pop());
                }
                prop_assert_eq!(Rc::strong_count(&alive), 1 + model.len() + stack.len());
            }
            drop((fifo, lifo));
            prop_assert_eq!(Rc::strong_count(&alive), 1);
        }
    }

    #[test]
    fn items_stay_where_they_are_while_others_are_pushed() {
        let (mut fifo, mut lifo) = (Fifo::new(), Lifo::new());
        fifo.push(1);
        lifo.push(1);
        let places = (fifo.front(), lifo.front());
        for item in 2..100 {
            fifo.push(item);
        }
        assert_eq!(fifo.front(), places.0);
        lifo.push(2);
        lifo.pop();
        assert_eq!(lifo.front(), places.1);
    }

    #[test]
    fn a_queue_that_fills_and_drains_keeps_its_blocks() {
        let mut fifo = Fifo::new();
        for round in 0..3 {
            (0..4 * ITEMS).for_each(|item| fifo.push(item));
            while fifo.pop().is_some() {}
            assert_eq!(fifo.spares.count, 3, "round {round}");
        }
        assert_eq!(Spares::<[u8; 1000]>::MOST, 1);
    }
}
