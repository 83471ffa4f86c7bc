//! What lies behind the lock of an [`Exchange`](super::exchange::Exchange), and how it is changed there.
//!
//! ```text
//!   put ──► a getter waits?  straight into its slot      take ──► an item is stored?  that one, and the first
//!           else room?       into the store                       │                   putter's is stored
//!           else             not now                              else a putter waits? out of its slot
//!                                                                 else not now
//! ```
//!
//! # Invariants, whenever the lock is free
//! - **Getters** are linked only while there is nothing for them: nothing is stored and no putter waits, or it is `busy`.
//! - **Putters** are linked only while there is no room.
//! - When it is **closed** no putter is linked; a getter only while it is busy.
//!
//! A waiter of a select that has been chosen elsewhere does not count: it is skipped.
//!
//! # Busy
//! The lock forbids user code. An operation that has to run some on what is stored (`Clone` for a peek, `Ord` in a
//! priority queue) makes it busy, unlocks, and comes back. Meanwhile items may be added; nobody takes any.
#![allow(unsafe_code)] // Reaches into the frames of those who wait.

use core::marker::PhantomData;
use core::mem;
use core::ptr::NonNull;

use super::blocks::{Fifo, Lifo};
use super::slot::{CLOSED, DONE, Slot};
use crate::sync::waiter::{WaitQueue, WakeUp};

/// The order in which items are taken that are stored, where no code of the user's decides it.
pub(in crate::sync) trait Store<T>: Default {
    fn push(&mut self, item: T);
    fn pop(&mut self) -> Option<T>;
    /// Where the next item is. It stays there until it is popped.
    fn front(&self) -> Option<NonNull<T>>;
}

macro_rules! store {
    ($name:ident) => {
        impl<T> Store<T> for $name<T> {
            #[inline(always)]
            fn push(&mut self, item: T) {
                self.push(item);
            }
            #[inline(always)]
            fn pop(&mut self) -> Option<T> {
                self.pop()
            }
            #[inline(always)]
            fn front(&self) -> Option<NonNull<T>> {
                self.front()
            }
        }
    };
}
store!(Fifo);
store!(Lifo);

/// See the head of this file.
pub(in crate::sync) struct State<T, S> {
    pub(super) store: S,
    /// How many items are stored.
    pub(super) len: usize,
    /// Parts of slots.
    pub(super) getters: WaitQueue,
    /// Parts of slots.
    pub(super) putters: WaitQueue,
    /// Who waits to look at the next item; granted when there may be one.
    pub(super) peekers: WaitQueue,
    /// Who waits until nothing is unfinished.
    pub(super) joiners: WaitQueue,
    /// Items that were put and not declared done.
    pub(super) unfinished: usize,
    pub(super) closed: bool,
    pub(super) busy: bool,
    /// When it is closed, what is stored is dropped.
    pub(super) discard: bool,
    items: PhantomData<T>,
}

/// How far an operation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sync) enum Step {
    /// The item has changed hands: it is in the getter's slot, or has left the putter's.
    Done,
    Closed,
    /// The slot's waiter is linked.
    Queued,
    /// It would have to wait for the other side.
    NotNow,
    /// It would have to wait until it is busy no more.
    Busy,
}

impl<T, S> State<T, S> {
    pub(super) const fn new(store: S) -> Self {
        State {
            store,
            len: 0,
            getters: WaitQueue::new(),
            putters: WaitQueue::new(),
            peekers: WaitQueue::new(),
            joiners: WaitQueue::new(),
            unfinished: 0,
            closed: false,
            busy: false,
            discard: false,
            items: PhantomData,
        }
    }

    /// Hands `slot`'s item to the first getter that waits; `None` if there is none.
    #[inline(always)]
    pub(super) fn hand_over(&mut self, slot: &Slot<T>) -> Option<WakeUp> {
        if self.getters.is_empty() {
            return None;
        }
        let getter = self.getters.pop()?;
        // SAFETY: getters are parts of slots, and this one was popped and is not granted yet.
        unsafe { Slot::of(getter.waiter()) }.put(slot.take());
        Some(getter.grant(DONE))
    }

    /// Takes the item of the first putter that waits, which has put it then.
    #[inline(always)]
    pub(super) fn take_from_putter(&mut self) -> Option<(T, WakeUp)> {
        if self.putters.is_empty() {
            return None;
        }
        let putter = self.putters.pop()?;
        // SAFETY: putters are parts of slots, and this one was popped and is not granted yet.
        let item = unsafe { Slot::<T>::of(putter.waiter()) }.take();
        self.unfinished += 1;
        let wake_up = putter.grant(DONE);
        item.map(|item| (item, wake_up)) // a putter always has one
    }

    /// Counts `count` items as done.
    pub(super) fn finish(&mut self, count: usize) {
        self.unfinished = self.unfinished.saturating_sub(count);
        if self.unfinished == 0 {
            self.joiners.grant_all(DONE);
        }
    }
}

impl<T, S: Store<T>> State<T, S> {
    /// Takes an item, if there is one.
    #[inline(always)]
    pub(super) fn take(&mut self) -> Option<(T, WakeUp)> {
        if self.busy {
            return None;
        }
        let stored = self.store.pop();
        match (stored, self.take_from_putter()) {
            (Some(item), Some((theirs, wake_up))) => {
                self.store.push(theirs);
                Some((item, wake_up))
            }
            (Some(item), None) => {
                self.len -= 1;
                Some((item, WakeUp::NONE))
            }
            (None, theirs) => theirs,
        }
    }

    /// Not busy any more: serves the getters that have come meanwhile.
    pub(super) fn settle(&mut self) {
        self.busy = false;
        let mut getters = mem::take(&mut self.getters);
        while self.len > 0
            && !self.discard
            && let Some(getter) = getters.pop()
        {
            let (item, wake_up) = self.take().expect("something is stored");
            // SAFETY: getters are parts of slots, and this one was popped and is not granted yet.
            unsafe { Slot::of(getter.waiter()) }.put(Some(item));
            getter.grant(DONE).send();
            wake_up.send();
        }
        self.getters = getters;
        self.peekers.grant_all(DONE);
    }
}

impl<T, S: Default> State<T, S> {
    /// What is left to do when it is closed and not busy; returns what is to be dropped without the lock.
    pub(super) fn end(&mut self) -> S {
        let mut dropped = S::default();
        if !self.closed || self.busy {
            return dropped;
        }
        if self.discard {
            dropped = mem::take(&mut self.store);
            let count = mem::take(&mut self.len);
            self.finish(count);
        }
        if self.len == 0 {
            self.getters.grant_all(CLOSED);
            self.peekers.grant_all(CLOSED);
        }
        dropped
    }
}
