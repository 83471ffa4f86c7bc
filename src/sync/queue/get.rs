//! Getting an item out of an [`Exchange`], and waiting for one.
#![allow(unsafe_code)] // Links waiters, which are on the stack of the code that waits.

use std::time::Duration;

use super::blocks::{Fifo, Lifo};
use super::exchange::{Exchange, Mode, Nothing, Order, Side, begin, note_waiting, wait_a_moment};
use super::slot::{DONE, Slot};
use super::state::{State, Step};
use crate::sync::waiter::{Waiter, deadline_in};
use crate::sys::short_lock::ShortGuard;
use crate::timer::Deadline;

impl<T, O: Order<T>> Exchange<T, O> {
    /// Gets an item, waiting for one until `deadline`.
    ///
    /// # Panics
    /// If it would have to wait and cannot.
    #[inline(always)]
    pub(in crate::sync) fn get(&self, deadline: Option<&Deadline>) -> Result<T, Nothing> {
        let slot = Slot::new(None);
        match O::get(self, &slot, Mode::Wait) {
            Step::Done => {}
            Step::Queued => self.wait_to_get(&slot, deadline)?,
            _ => return Err(Nothing::Closed),
        }
        Ok(slot.take().expect("the item has changed hands"))
    }

    /// Gets an item, if there is one. Does not spend the budget, and yields only while user code is run
    /// on what is stored, elsewhere.
    #[inline(always)]
    pub(in crate::sync) fn get_now(&self) -> Result<T, Nothing> {
        let slot = Slot::new(None);
        match self.get_into(&slot) {
            Step::Done => Ok(slot.take().expect("the item has changed hands")),
            Step::Closed => Err(Nothing::Closed),
            _ => Err(Nothing::Empty),
        }
    }

    /// As [`Exchange::get_now`].
    #[inline(always)]
    pub(in crate::sync) fn get_into(&self, slot: &Slot<T>) -> Step {
        loop {
            match O::get(self, slot, Mode::Now) {
                Step::Busy if wait_a_moment() => {}
                step => return step,
            }
        }
    }

    /// Gets an item, waiting for one no longer than `limit`. Panics as [`Exchange::get`].
    pub(in crate::sync) fn get_timeout(&self, limit: Duration) -> Result<T, Nothing> {
        begin(true);
        match self.get_now() {
            Err(Nothing::Empty) => self.get(Some(&deadline_in(limit))),
            done => done,
        }
    }

    #[inline(always)]
    fn wait_to_get(&self, slot: &Slot<T>, deadline: Option<&Deadline>) -> Result<(), Nothing> {
        let reason = self.reason_to_get();
        // SAFETY: the slot was enlisted.
        let waiter = unsafe { slot.waiter() };
        match waiter.wait(&reason, deadline, || self.withdraw(waiter, Side::Getters)) {
            Ok(DONE) => Ok(()),
            Ok(_) => Err(Nothing::Closed),
            Err(error) => {
                error.timed_out_or_panic(self.words.getting);
                Err(Nothing::Empty)
            }
        }
    }

    /// There is nothing to take: links the slot's waiter, or says why not.
    #[inline(always)]
    pub(super) fn queue_getter(
        &self,
        mut state: ShortGuard<'_, State<T, O>>,
        slot: &Slot<T>,
        mode: Mode,
    ) -> Step {
        match (mode, state.busy, state.closed) {
            (_, false, true) => Step::Closed,
            (Mode::Now, false, _) => Step::NotNow,
            (Mode::Now, true, _) => Step::Busy,
            (Mode::Wait, ..) => {
                // SAFETY: the slot is new; its frame waits next, and withdraws it if the wait ends otherwise.
                let waiter = unsafe { slot.enlist(Waiter::new()) };
                // SAFETY: as above.
                unsafe { state.getters.push(waiter) };
                let me = waiter.key();
                drop(state);
                note_waiting(me, &self.last_getter, &self.last_putter);
                Step::Queued
            }
        }
    }

    /// Links `waiter` to get an item into the slot; false, and nothing done, if that is worth trying now.
    /// `own` of the putters that wait are the caller's own.
    ///
    /// # Safety
    /// As [`WaitQueue::push`](crate::sync::waiter::WaitQueue::push) and [`Slot::enlist`].
    pub(in crate::sync) unsafe fn enlist_getter(
        &self,
        slot: &Slot<T>,
        waiter: Waiter,
        own: usize,
    ) -> bool {
        let mut state = self.lock();
        if !state.busy && (state.len > 0 || state.closed || state.putters.len() > own) {
            return false;
        }
        // SAFETY: the caller's promise.
        unsafe { state.getters.push(slot.enlist(waiter)) };
        true
    }
}

macro_rules! order {
    ($name:ident) => {
        impl<T> Order<T> for $name<T> {
            #[inline(always)]
            fn store(&mut self, item: T) {
                self.push(item);
            }

            #[inline(never)]
            fn get(exchange: &Exchange<T, Self>, slot: &Slot<T>, mode: Mode) -> Step {
                if mode == Mode::Wait {
                    begin(true);
                }
                let mut state = exchange.lock();
                match state.take() {
                    Some((item, wake_up)) => {
                        drop(state);
                        wake_up.send();
                        slot.put(Some(item));
                        Step::Done
                    }
                    None => exchange.queue_getter(state, slot, mode),
                }
            }

            fn peek(exchange: &Exchange<T, Self>, waiter: Option<&Waiter>) -> Result<T, Step>
            where
                T: Clone,
            {
                super::peek::stored(exchange, waiter)
            }
        }
    };
}
order!(Fifo);
order!(Lifo);
