//! One who writes, or many who read, and those who wait to: the core of read-write locks.
//!
//! # Who is let in
//! All stand in one queue, and are let in from its front as soon as the lock allows it: a writer alone, or
//! the readers up to the next writer together.
//!
//! ```text
//!   queue:   r r W r W        nobody holds it:  the first two readers are let in
//!                W r W        the last of them leaves:  the writer is
//! ```
//! Whoever comes while others wait goes to the end, a reader too that could share the lock with those who
//! hold it. So neither side starves the other: a writer waits for those who came before it and nobody else.
//!
//! # Handed over, not barged
//! Unlike [`Permits`](super::permits), the lock is handed to the waiter, which has it from then on, before it
//! runs. Barging would need a second rule against writers that starve under readers who keep coming;
//! what it saves, two switches for each release and acquisition of a greenlet that others wait for, matters
//! less where most come to read.
#![allow(unsafe_code)] // Links waiters, which are on the stack of the code that waits.

use super::waiter::{NotGranted, WaitQueue, Waiter, WakeUp};
use crate::scheduler::park::{Holder, WaitReason};
use crate::scheduler::sleeper;
use crate::sys::short_lock::ShortLock;
use crate::timer::Deadline;

/// What one comes to do. The tag of a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Read = 0,
    Write = 1,
}

impl Mode {
    fn of(waiter: &Waiter) -> Self {
        if waiter.tag() == Mode::Write as usize {
            Mode::Write
        } else {
            Mode::Read
        }
    }
}

#[derive(Debug)]
pub(crate) struct RwPermits {
    state: ShortLock<State>,
    /// Who writes; nobody while others read. Those who wait, wait for it certainly, also those who stand
    /// behind others.
    writer: Holder,
}

#[derive(Debug)]
struct State {
    readers: usize,
    writing: bool,
    queue: WaitQueue,
}

impl RwPermits {
    pub(crate) const fn new() -> Self {
        RwPermits {
            state: ShortLock::new(State {
                readers: 0,
                writing: false,
                queue: WaitQueue::new(),
            }),
            writer: Holder::nobody(),
        }
    }

    /// Enters, if nobody is in the way and nobody waits.
    #[inline]
    pub(crate) fn try_acquire(&self, mode: Mode) -> bool {
        let mut state = self.state.lock();
        if !state.queue.is_empty() || !state.admits(mode) {
            return false;
        }
        state.enter(mode);
        drop(state);
        self.note_entered(mode);
        true
    }

    /// Enters, waiting until `deadline` if somebody is in the way.
    #[inline(always)]
    pub(crate) fn acquire(
        &self,
        mode: Mode,
        deadline: Option<&Deadline>,
    ) -> Result<(), NotGranted> {
        if self.try_acquire(mode) {
            return Ok(());
        }
        let waiter = Waiter::tagged(mode as usize);
        if self.enter_or_queue(&waiter, mode) {
            return Ok(());
        }
        let reason = WaitReason::held("a read-write lock", &self.writer);
        waiter.wait(&reason, deadline, || self.give_up(&waiter))?;
        self.note_entered(mode);
        Ok(())
    }

    /// Enters (true), or joins the queue.
    #[inline(never)]
    fn enter_or_queue(&self, waiter: &Waiter, mode: Mode) -> bool {
        let mut state = self.state.lock();
        if state.queue.is_empty() && state.admits(mode) {
            state.enter(mode);
            drop(state);
            self.note_entered(mode);
            return true;
        }
        // SAFETY: the caller's frame keeps the waiter, and waits next; `give_up` removes it.
        unsafe { state.queue.push(waiter) };
        false
    }

    /// A waiter stops waiting (true), unless it was let in.
    #[cold]
    #[inline(never)]
    fn give_up(&self, waiter: &Waiter) -> bool {
        let mut state = self.state.lock();
        let waited = state.queue.remove(waiter);
        // A writer that leaves may have stood before readers who can share the lock.
        let wake_up = state.serve();
        drop(state);
        wake_up.send();
        waited
    }

    /// Leaves.
    #[inline]
    pub(crate) fn release(&self, mode: Mode) {
        let mut state = self.state.lock();
        match mode {
            Mode::Read => state.readers -= 1,
            Mode::Write => {
                state.writing = false;
                self.writer.set(0);
            }
        }
        let wake_up = state.serve();
        drop(state);
        wake_up.send();
    }

    /// Makes the writer a reader, without letting another writer in between.
    pub(crate) fn downgrade(&self) {
        let mut state = self.state.lock();
        state.writing = false;
        state.readers = 1;
        self.writer.set(0);
        let wake_up = state.serve();
        drop(state);
        wake_up.send();
    }

    #[inline(always)]
    fn note_entered(&self, mode: Mode) {
        if mode == Mode::Write {
            self.writer.set(sleeper::current_key());
        }
    }
}

impl State {
    #[inline(always)]
    fn admits(&self, mode: Mode) -> bool {
        !self.writing && (mode == Mode::Read || self.readers == 0)
    }

    #[inline(always)]
    fn enter(&mut self, mode: Mode) {
        match mode {
            Mode::Read => self.readers += 1,
            Mode::Write => self.writing = true,
        }
    }

    /// Lets in those at the front who may enter. The last one's wake-up is left to send.
    #[inline(always)]
    fn serve(&mut self) -> WakeUp {
        let mut wake_up = WakeUp::NONE;
        while let Some(mode) = self.queue.first().map(Mode::of) {
            if !self.admits(mode) {
                break;
            }
            self.enter(mode);
            if let Some(first) = self.queue.pop() {
                core::mem::replace(&mut wake_up, first.grant(1)).send();
            }
        }
        wake_up
    }
}
