//! [`Heap`]: items taken in the order of their values.
//!
//! `Ord` is user code, which may panic or even suspend, and must not run under the short lock. So a
//! put does not compare: it leaves its item in an *inbox*, and never waits. A get becomes the one *sorter*:
//!
//! ```text
//!   put:   inbox ◄── item
//!   get:   busy, takes the heap ──(unlocked)──► inbox ──► heap ──► smallest ──(locked)──► gives the heap back
//! ```
//! Getters that come meanwhile wait; the sorter serves them before it goes, so that none has to be woken
//! to look for itself.
//!
//! # If a comparison panics
//! It comes out of the get. Nothing is lost but, perhaps, the item that was just being taken (as
//! with [`BinaryHeap`]), which is dropped and counts as done. All others go back to the inbox;
//! getters that wait already are served from there, in no particular order.
//!
//! # Rejected
//! A heap behind [`crate::sync::Mutex`]: a put would have to wait for other people's comparisons, and could
//! not be made in a destructor.

use core::cmp::Reverse;
use core::mem;
use std::collections::BinaryHeap;

use super::blocks::Fifo;
use super::exchange::{Exchange, Mode, Order, begin};
use super::peek;
use super::slot::{DONE, Slot};
use super::state::{State, Step};
use crate::sync::waiter::{Waiter, WakeUp};
use crate::sys::short_lock::ShortGuard;

/// See the head of this file.
pub(in crate::sync) struct Heap<T> {
    inbox: Fifo<T>,
    /// How many are in the inbox.
    unsorted: usize,
    sorted: BinaryHeap<Reverse<T>>,
}

impl<T: Ord> Heap<T> {
    pub(super) const fn new() -> Self {
        Heap {
            inbox: Fifo::new(),
            unsorted: 0,
            sorted: BinaryHeap::new(),
        }
    }
}

impl<T: Ord> Default for Heap<T> {
    fn default() -> Self {
        Heap::new()
    }
}

impl<T> Heap<T> {
    #[inline(always)]
    fn put(&mut self, item: T) {
        self.inbox.push(item);
        self.unsorted += 1;
    }

    fn take_unsorted(&mut self) -> Option<T> {
        let item = self.inbox.pop()?;
        self.unsorted -= 1;
        Some(item)
    }
}

impl<T: Ord> Order<T> for Heap<T> {
    #[inline(always)]
    fn store(&mut self, item: T) {
        self.put(item);
    }

    #[inline(never)]
    fn get(exchange: &Exchange<T, Self>, slot: &Slot<T>, mode: Mode) -> Step {
        if mode == Mode::Wait {
            begin(true);
        }
        let mut state = exchange.lock();
        match (state.busy, state.len) {
            (true, _) | (_, 0) => return exchange.queue_getter(state, slot, mode),
            (_, 1) => {
                // One item is in order without comparing.
                let item = match state.store.take_unsorted() {
                    None => state.store.sorted.pop().map(|Reverse(item)| item),
                    item => item,
                };
                let wake_up = state.taken();
                drop(state);
                wake_up.send();
                slot.put(item);
            }
            _ => {
                let mut sorter = Sorter::begin(exchange, &mut state);
                drop(state);
                slot.put(Some(sorter.next()));
                sorter.taken();
                sorter.serve();
            }
        }
        Step::Done
    }

    fn peek(exchange: &Exchange<T, Self>, waiter: Option<&Waiter>) -> Result<T, Step>
    where
        T: Clone,
    {
        let mut state = exchange.lock();
        if state.busy || state.len == 0 {
            return Err(peek::queue(state, waiter));
        }
        let mut sorter = Sorter::begin(exchange, &mut state);
        drop(state);
        let copy = sorter.first().clone();
        sorter.serve();
        Ok(copy)
    }
}

impl<T> State<T, Heap<T>> {
    /// An item was taken: stores that of the first putter in its place.
    fn taken(&mut self) -> WakeUp {
        match self.take_from_putter() {
            None => {
                self.len -= 1;
                WakeUp::NONE
            }
            Some((item, wake_up)) => {
                self.store.put(item);
                wake_up
            }
        }
    }
}

/// The one who is busy: has the heap, and may compare.
struct Sorter<'a, T: Ord> {
    exchange: &'a Exchange<T, Heap<T>>,
    sorted: BinaryHeap<Reverse<T>>,
}

impl<'a, T: Ord> Sorter<'a, T> {
    /// At least one item must be stored.
    fn begin(exchange: &'a Exchange<T, Heap<T>>, state: &mut State<T, Heap<T>>) -> Self {
        state.busy = true;
        Sorter {
            exchange,
            sorted: mem::take(&mut state.store.sorted),
        }
    }

    /// Sorts the inbox as it is now.
    fn sort(&mut self) {
        let unsorted = self.exchange.lock().store.unsorted;
        for _ in 0..unsorted {
            let item = self.exchange.lock().store.take_unsorted();
            if let Some(item) = item {
                // Not `extend`, which compares while it is unwinding.
                self.sorted.push(Reverse(item));
            }
        }
    }

    fn first(&mut self) -> &T {
        self.sort();
        let Reverse(first) = self.sorted.peek().expect("an item is stored");
        first
    }

    fn next(&mut self) -> T {
        self.sort();
        let Reverse(item) = self.sorted.pop().expect("an item is stored");
        item
    }

    /// The item that came from [`Sorter::next`] has an owner.
    fn taken(&self) {
        let wake_up = self.exchange.lock().taken();
        wake_up.send();
    }

    /// Serves the getters that wait, and gives the heap back.
    fn serve(mut self) {
        loop {
            let mut state = self.exchange.lock();
            if state.len == 0 || state.getters.is_empty() || state.discard {
                state.store.sorted = mem::take(&mut self.sorted);
                mem::forget(self);
                return idle(state);
            }
            drop(state);
            let slot = Slot::new(Some(self.next()));
            state = self.exchange.lock();
            let wake_ups = state.hand_stored(&slot);
            drop(state);
            wake_ups.into_iter().for_each(WakeUp::send);
        }
    }
}

impl<T> State<T, Heap<T>> {
    /// Hands `slot`'s item, which was stored, to the first getter; stores it again if there is none any more.
    fn hand_stored(&mut self, slot: &Slot<T>) -> [WakeUp; 2] {
        match self.hand_over(slot) {
            Some(wake_up) => [wake_up, self.taken()],
            None => {
                if let Some(item) = slot.take() {
                    self.store.put(item);
                }
                [WakeUp::NONE, WakeUp::NONE]
            }
        }
    }
}

/// Busy no more.
fn idle<T: Ord>(mut state: ShortGuard<'_, State<T, Heap<T>>>) {
    state.busy = false;
    state.peekers.grant_all(DONE);
    let dropped = state.end();
    drop(state);
    drop(dropped);
}

/// A comparison, or a clone, has panicked.
impl<T: Ord> Drop for Sorter<'_, T> {
    fn drop(&mut self) {
        for Reverse(item) in mem::take(&mut self.sorted).into_vec() {
            self.exchange.lock().store.put(item);
        }
        let mut state = self.exchange.lock();
        let lost = state.len - state.store.unsorted;
        state.len -= lost;
        state.finish(lost);
        while !state.getters.is_empty()
            && !state.discard
            && let Some(item) = state.store.take_unsorted()
        {
            let wake_ups = state.hand_stored(&Slot::new(Some(item)));
            wake_ups.into_iter().for_each(WakeUp::send);
        }
        idle(state);
    }
}
