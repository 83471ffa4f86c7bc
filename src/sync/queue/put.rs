//! Putting an item into an [`Exchange`], and waiting for room.
#![allow(unsafe_code)] // Links waiters, which are on the stack of the code that waits.

use std::time::Duration;

use super::exchange::{Exchange, Order, Refused, Side, begin, note_waiting};
use super::slot::{DONE, Slot};
use super::state::{State, Step};
use crate::scheduler::park::WaitReason;
use crate::scheduler::sleeper;
use crate::sync::waiter::{NotGranted, Waiter, WakeUp, deadline_in};
use crate::timer::Deadline;

impl<T, O: Order<T>> Exchange<T, O> {
    /// Puts an item, waiting for room until `deadline`.
    ///
    /// # Panics
    /// If it would have to wait and cannot.
    #[inline(always)]
    pub(in crate::sync) fn put(
        &self,
        item: T,
        deadline: Option<&Deadline>,
    ) -> Result<(), Refused<T>> {
        let slot = Slot::new(Some(item));
        match self.put_or_queue(&slot) {
            Step::Done => Ok(()),
            Step::Queued => self.wait_to_put(&slot, deadline),
            _ => Err(self.refused(&slot, None)),
        }
    }

    /// Puts an item, if there is room for it. Does not spend the budget.
    #[inline(always)]
    pub(in crate::sync) fn put_now(&self, item: T) -> Result<(), Refused<T>> {
        let slot = Slot::new(Some(item));
        match self.put_from(&slot) {
            Step::Done => Ok(()),
            Step::Closed => Err(self.refused(&slot, None)),
            _ => Err(self.refused(&slot, Some(NotGranted::TimedOut))),
        }
    }

    /// Puts an item, waiting for room no longer than `limit`. Panics as [`Exchange::put`].
    pub(in crate::sync) fn put_timeout(&self, item: T, limit: Duration) -> Result<(), Refused<T>> {
        begin(true);
        match self.put_now(item) {
            Err(Refused::Full(item)) => self.put(item, Some(&deadline_in(limit))),
            done => done,
        }
    }

    #[inline(always)]
    fn wait_to_put(&self, slot: &Slot<T>, deadline: Option<&Deadline>) -> Result<(), Refused<T>> {
        let reason = WaitReason::probably(self.words.room, &self.last_getter);
        // SAFETY: the slot was enlisted.
        let waiter = unsafe { slot.waiter() };
        match waiter.wait(&reason, deadline, || self.withdraw(waiter, Side::Putters)) {
            Ok(DONE) => Ok(()),
            Ok(_) => Err(self.refused(slot, None)),
            Err(error) => Err(self.refused(slot, Some(error))),
        }
    }

    /// Gives the item back, if the obstacle is none to panic for.
    #[cold]
    #[inline(never)]
    fn refused(&self, slot: &Slot<T>, obstacle: Option<NotGranted>) -> Refused<T> {
        let item = slot
            .take()
            .expect("an item that was not put is still there");
        match obstacle {
            None => Refused::Closed(item),
            Some(obstacle) => {
                obstacle.timed_out_or_panic(self.words.putting);
                Refused::Full(item)
            }
        }
    }

    /// Puts the slot's item, or links its waiter.
    #[inline(never)]
    fn put_or_queue(&self, slot: &Slot<T>) -> Step {
        begin(self.capacity != usize::MAX);
        let mut state = self.lock();
        match self.put_locked(&mut state, slot) {
            Ok(wake_up) => {
                drop(state);
                wake_up.send();
                Step::Done
            }
            Err(Step::NotNow) => {
                // SAFETY: the slot is new; its frame waits next, and withdraws it if the wait ends otherwise.
                let waiter = unsafe { slot.enlist(Waiter::new()) };
                // SAFETY: as above.
                unsafe { state.putters.push(waiter) };
                let me = waiter.key();
                drop(state);
                note_waiting(me, &self.last_putter, &self.last_getter);
                Step::Queued
            }
            Err(step) => step,
        }
    }

    /// Puts the slot's item, if there is room.
    #[inline(never)]
    pub(in crate::sync) fn put_from(&self, slot: &Slot<T>) -> Step {
        let mut state = self.lock();
        match self.put_locked(&mut state, slot) {
            Ok(wake_up) => {
                drop(state);
                wake_up.send();
                Step::Done
            }
            Err(step) => step,
        }
    }

    #[inline(always)]
    fn put_locked(&self, state: &mut State<T, O>, slot: &Slot<T>) -> Result<WakeUp, Step> {
        if state.closed {
            return Err(Step::Closed);
        }
        if !state.busy
            && let Some(wake_up) = state.hand_over(slot)
        {
            state.unfinished += 1;
            self.last_putter.set(sleeper::current_key());
            return Ok(wake_up);
        }
        if state.len == self.capacity {
            return Err(Step::NotNow);
        }
        if let Some(item) = slot.take() {
            state.store.store(item);
        }
        state.len += 1;
        state.unfinished += 1;
        if !state.peekers.is_empty() {
            state.peekers.grant_all(DONE);
        }
        Ok(WakeUp::NONE)
    }

    /// Links `waiter` to put the slot's item; false, and nothing done, if that is worth trying now.
    /// `own` of the getters that wait are the caller's own.
    ///
    /// # Safety
    /// As [`WaitQueue::push`](crate::sync::waiter::WaitQueue::push) and [`Slot::enlist`].
    pub(in crate::sync) unsafe fn enlist_putter(
        &self,
        slot: &Slot<T>,
        waiter: Waiter,
        own: usize,
    ) -> bool {
        let mut state = self.lock();
        let getters = !state.busy && state.getters.len() > own;
        if state.closed || getters || state.len < self.capacity {
            return false;
        }
        // SAFETY: the caller's promise.
        unsafe { state.putters.push(slot.enlist(waiter)) };
        true
    }
}
