//! A number of permits and those who wait for one: the core of locks and semaphores.
//!
//! # Who gets a permit
//! Waiters are served in the order in which they came. A permit that is given back goes to nobody in
//! particular: the first waiter is woken to take it, and code that runs meanwhile may be faster (it
//! *barges*, as in gevent, std and parking_lot; a lock that is handed over instead makes each
//! unlock-and-lock of a running greenlet cost two switches). A waiter that was woken in vain is handed
//! the next permit, so nobody starves: it waits for no more than one other acquisition after its
//! turn has come.
#![allow(unsafe_code)] // Links waiters, which are on the stack of the code that waits.

use super::observers::{Observer, Observers};
use super::waiter::{NotGranted, WaitQueue, Waiter, WakeUp, wait_until};
use crate::scheduler::park::{Holder, WaitReason};
use crate::scheduler::sleeper;
use crate::sys::short_lock::{ShortGuard, ShortLock};
use crate::timer::Deadline;

/// Permits, and who waits for one.
#[derive(Debug)]
pub(crate) struct Permits {
    state: ShortLock<State>,
    /// Who took the last permit.
    holder: Holder,
    what: &'static str,
    exclusive: bool,
}

#[derive(Debug)]
struct State {
    free: usize,
    queue: WaitQueue,
    /// The first waiter was woken to take a free permit, and has not looked yet.
    told: bool,
    /// The first waiter was woken in vain: the next permit is handed to it.
    next_is_reserved: bool,
    /// Who waits for a free permit without taking it.
    observers: Observers,
}

impl Permits {
    /// `what` says in reports what is waited for.
    pub(crate) const fn new(free: usize, what: &'static str, exclusive: bool) -> Self {
        Permits {
            state: ShortLock::new(State {
                free,
                queue: WaitQueue::new(),
                told: false,
                next_is_reserved: false,
                observers: Observers::none(),
            }),
            holder: Holder::nobody(),
            what,
            exclusive,
        }
    }

    /// Takes a permit, if one is free.
    #[inline]
    pub(crate) fn try_acquire(&self) -> bool {
        let mut state = self.state.lock();
        if state.free == 0 {
            return false;
        }
        state.free -= 1;
        drop(state);
        self.holder.set(sleeper::current_key());
        true
    }

    /// Takes a permit, waiting for one until `deadline`.
    #[inline(always)]
    pub(crate) fn acquire(&self, deadline: Option<&Deadline>) -> Result<(), NotGranted> {
        if self.try_acquire() {
            return Ok(());
        }
        self.acquire_slowly(deadline)
    }

    #[inline(always)]
    fn acquire_slowly(&self, deadline: Option<&Deadline>) -> Result<(), NotGranted> {
        let waiter = Waiter::new();
        if self.take_or_queue(&waiter) {
            return Ok(());
        }
        let reason = self.reason();
        wait_until(
            &reason,
            deadline,
            || self.look_again(&waiter),
            || self.give_up(&waiter),
        )
    }

    fn reason(&self) -> WaitReason {
        if self.exclusive {
            WaitReason::held(self.what, &self.holder)
        } else {
            WaitReason::probably(self.what, &self.holder)
        }
    }

    /// Takes a permit (true), or joins the queue.
    #[inline(never)]
    fn take_or_queue(&self, waiter: &Waiter) -> bool {
        let mut state = self.state.lock();
        if state.free > 0 {
            state.free -= 1;
            drop(state);
            self.holder.set(sleeper::current_key());
            return true;
        }
        // SAFETY: the caller's frame keeps the waiter, and waits next; `give_up` removes it.
        unsafe { state.queue.push(waiter) };
        false
    }

    /// A waiter was woken: was it handed a permit, or can it take one?
    #[inline(never)]
    fn look_again(&self, waiter: &Waiter) -> Option<()> {
        if waiter.granted().is_some() {
            self.holder.set(sleeper::current_key());
            return Some(());
        }
        let mut state = self.state.lock();
        if !waiter.is_linked() {
            drop(state);
            self.holder.set(sleeper::current_key());
            return Some(()); // handed over just now
        }
        if !state.is_first(waiter) {
            return None;
        }
        let was_told = core::mem::take(&mut state.told);
        if state.free == 0 {
            state.next_is_reserved |= was_told;
            return None;
        }
        state.free -= 1;
        state.queue.remove(waiter);
        state.next_is_reserved = false;
        let wake_up = state.tell_next();
        drop(state);
        wake_up.send();
        self.holder.set(sleeper::current_key());
        Some(())
    }

    /// A waiter stops waiting, unless it was handed a permit.
    #[cold]
    #[inline(never)]
    fn give_up(&self, waiter: &Waiter) -> Option<()> {
        let mut state = self.state.lock();
        let was_first = state.is_first(waiter);
        if !state.queue.remove(waiter) {
            drop(state);
            self.holder.set(sleeper::current_key());
            return Some(());
        }
        let mut wake_up = WakeUp::NONE;
        if was_first {
            state.told = false;
            state.next_is_reserved = false;
            wake_up = state.tell_next();
        }
        drop(state);
        wake_up.send();
        None
    }

    /// Gives a permit back, or adds one.
    #[inline]
    pub(crate) fn release(&self) {
        let mut state = self.state.lock();
        let wake_up = state.release();
        self.unlock_and_tell(state, wake_up);
    }

    #[inline(always)]
    fn unlock_and_tell(&self, mut state: ShortGuard<'_, State>, wake_up: WakeUp) {
        if state.observers.is_empty() {
            drop(state);
            wake_up.send();
        } else {
            let observers = state.observers_of_free();
            drop(state);
            wake_up.send();
            observers.notify();
        }
    }

    /// Has `observer` told when a permit is free; `None` if one is. The number takes that back.
    pub(super) fn observe(&self, observer: Box<Observer>) -> Option<u64> {
        let mut state = self.state.lock();
        if state.free > 0 {
            drop(state);
            return None;
        }
        Some(state.observers.add(observer))
    }

    /// Takes an observer back, if it is still there.
    pub(super) fn unobserve(&self, number: u64) {
        let observer = self.state.lock().observers.remove(number);
        drop(observer);
    }

    /// As [`Permits::release`], but not if more than `most` would be free then (false).
    pub(crate) fn release_bounded(&self, most: usize) -> bool {
        let mut state = self.state.lock();
        // A permit that is handed over is never free, and so within every bound: it was taken before.
        if state.free >= most {
            return false;
        }
        let wake_up = state.release();
        self.unlock_and_tell(state, wake_up);
        true
    }

    /// As [`Permits::release`] `count` times; false, and nothing done, if there would be more than
    /// `usize::MAX`.
    pub(crate) fn add(&self, count: usize) -> bool {
        if count == 0 {
            return true;
        }
        let mut state = self.state.lock();
        if state.free.checked_add(count).is_none() {
            return false;
        }
        // The first may be handed over. The others are free, and each waiter that takes one wakes the next.
        let mut wake_up = state.release();
        state.free += count - 1;
        let next = state.tell_next();
        core::mem::replace(&mut wake_up, next).send();
        self.unlock_and_tell(state, wake_up);
        true
    }

    /// How many permits are free now.
    pub(crate) fn free(&self) -> usize {
        self.state.lock().free
    }
}

impl State {
    fn is_first(&self, waiter: &Waiter) -> bool {
        self.queue
            .first()
            .is_some_and(|first| core::ptr::eq(first, waiter))
    }

    #[inline(always)]
    fn release(&mut self) -> WakeUp {
        if self.next_is_reserved {
            self.next_is_reserved = false;
            if let Some(first) = self.queue.pop() {
                return first.grant(1);
            }
        }
        self.free = self
            .free
            .checked_add(1)
            .expect("no more than usize::MAX permits");
        self.tell_next()
    }

    #[cold]
    fn observers_of_free(&mut self) -> Observers {
        if self.free > 0 {
            self.observers.take()
        } else {
            Observers::none()
        }
    }

    /// Wakes the first waiter, if a permit is free and it has not been woken.
    #[inline(always)]
    fn tell_next(&mut self) -> WakeUp {
        if self.free == 0 || self.told {
            return WakeUp::NONE;
        }
        match self.queue.first() {
            None => WakeUp::NONE,
            Some(first) => {
                let wake_up = first.nudge();
                self.told = true;
                wake_up
            }
        }
    }
}
