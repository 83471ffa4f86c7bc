//! Items change hands: the core of every queue and channel.
//!
//! An operation is one round of one [`ShortLock`], under which [`State`] does all there is to do: whoever is
//! woken finds everything done, and does not take the lock again. What differs between queues is the
//! [`Order`] in which they give items out.
//!
//! # The budget
//! Operations that may wait spend the hub's budget: 128 in a row that need not wait let the others run, *before* they
//! do anything, so that a kill which is raised there finds nothing done. Those that never wait (`try_…`, `…_nowait`)
//! do not yield either, as in gevent.
//!
//! # Deadlock reports
//! Who waits for an item waits, probably, for whoever put one last. That is noted where somebody waits or is
//! handed an item, not where items go through the store: it would cost as much as the rest.
//!
//! # Rejected
//! A lock-free ring: it needs a lock for its waiters as well, three atomic operations instead of one, and
//! cannot decide a kill and a hand-over in one place. One queue for both kinds of waiters, since only one kind waits
//! at a time: not so for waiters of a select that were chosen elsewhere.

use super::slot::Slot;
use super::state::{State, Step};
use crate::scheduler::park::{Holder, WaitReason};
use crate::scheduler::{hub, yield_now};
use crate::sync::waiter::Waiter;
use crate::sys::short_lock::{ShortGuard, ShortLock};

/// What it is called in reports.
#[derive(Debug)]
pub(in crate::sync) struct Words {
    /// What is waited for.
    pub(in crate::sync) item: &'static str,
    pub(in crate::sync) room: &'static str,
    /// What is done.
    pub(in crate::sync) getting: &'static str,
    pub(in crate::sync) putting: &'static str,
}

/// See the head of this file.
pub(in crate::sync) struct Exchange<T, O> {
    state: ShortLock<State<T, O>>,
    /// How many items may be stored; `usize::MAX` for any number.
    pub(super) capacity: usize,
    /// Who got, and who put, an item last.
    pub(super) last_getter: Holder,
    pub(super) last_putter: Holder,
    pub(super) words: &'static Words,
}

/// How items are stored and taken.
pub(in crate::sync) trait Order<T>: Default {
    /// Stores an item.
    fn store(&mut self, item: T);

    /// Takes an item into `slot`. If there is none, links the slot's waiter, or says [`Step::NotNow`] or
    /// [`Step::Busy`], as `mode` has it.
    fn get(exchange: &Exchange<T, Self>, slot: &Slot<T>, mode: Mode) -> Step;

    /// A copy of the item that would be taken next. If there is none, links `waiter`.
    fn peek(exchange: &Exchange<T, Self>, waiter: Option<&Waiter>) -> Result<T, Step>
    where
        T: Clone;
}

/// What becomes of an operation that cannot proceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sync) enum Mode {
    Wait,
    Now,
}

/// Why no item was got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sync) enum Nothing {
    Closed,
    /// Not now, or not in time.
    Empty,
}

/// Why an item was not put; with the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sync) enum Refused<T> {
    Closed(T),
    /// Not now, or not in time.
    Full(T),
}

/// Which queue of waiters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sync) enum Side {
    Getters,
    Putters,
}

impl Side {
    pub(in crate::sync) fn opposite(self) -> Self {
        match self {
            Side::Getters => Side::Putters,
            Side::Putters => Side::Getters,
        }
    }
}

impl<T, O> Exchange<T, O> {
    /// `store` has to be empty.
    pub(in crate::sync) const fn new(store: O, capacity: usize, words: &'static Words) -> Self {
        Exchange {
            state: ShortLock::new(State::new(store)),
            capacity,
            last_getter: Holder::nobody(),
            last_putter: Holder::nobody(),
            words,
        }
    }

    #[inline(always)]
    pub(super) fn lock(&self) -> ShortGuard<'_, State<T, O>> {
        self.state.lock()
    }

    /// How many items may be stored, if there is a limit.
    pub(in crate::sync) fn capacity(&self) -> Option<usize> {
        (self.capacity != usize::MAX).then_some(self.capacity)
    }

    pub(in crate::sync) fn len(&self) -> usize {
        self.lock().len
    }

    pub(in crate::sync) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// How many more putters wait than getters.
    pub(in crate::sync) fn balance(&self) -> isize {
        let state = self.lock();
        state.putters.len().cast_signed() - state.getters.len().cast_signed()
    }

    /// Takes a waiter back: false if it has been granted.
    #[cold]
    #[inline(never)]
    pub(in crate::sync) fn withdraw(&self, waiter: &Waiter, side: Side) -> bool {
        let mut state = self.lock();
        match side {
            Side::Getters => state.getters.remove(waiter),
            Side::Putters => state.putters.remove(waiter),
        }
    }

    /// What a getter waits for.
    pub(in crate::sync) fn reason_to_get(&self) -> WaitReason {
        WaitReason::probably(self.words.item, &self.last_putter)
    }
}

impl<T, O: Default> Exchange<T, O> {
    /// Closes it: nothing can be put any more; what is stored can still be got, or is dropped (`discard`).
    pub(in crate::sync) fn close(&self, discard: bool) {
        let mut state = self.lock();
        state.closed = true;
        state.discard |= discard;
        state.putters.grant_all(super::slot::CLOSED);
        let dropped = state.end();
        drop(state);
        drop(dropped);
    }
}

/// Before an operation that may wait: lets others run if it is time to.
#[inline(always)]
pub(in crate::sync) fn begin(may_wait: bool) {
    match hub::existing() {
        Some(hub) => hub.spend_budget(),
        // A plain thread, which gets its hub now and not under the lock.
        None if may_wait => drop(hub::get()),
        None => {}
    }
}

/// Notes that the code named `me` waits, to get or put next. It does not wait for itself, whatever it did last.
#[inline(always)]
pub(super) fn note_waiting(me: u64, mine: &Holder, theirs: &Holder) {
    mine.set(me);
    if theirs.get() == me {
        theirs.set(0);
    }
}

/// Lets others run once; false if that cannot help.
#[cold]
#[inline(never)]
pub(super) fn wait_a_moment() -> bool {
    let able = !crate::scheduler::cannot_suspend();
    yield_now();
    able
}
