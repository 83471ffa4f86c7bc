//! Where a job leaves its outcome, and the one who waits for it.
//!
//! ```text
//!              finish                take
//!   Pending ───────────► Finished ─────────► Gone
//!      │                     │ forget          ▲
//!      └──forget──► Forgotten└─────────────────┤
//!                       └──────finish (drops)──┘
//! ```
//! Each edge is taken under the lock, so the outcome is taken or dropped once: by the waiter, by the
//! handle, or, if that is gone when the job ends, on the thread that ran it. Nothing of the user's is dropped under the
//! lock.
//!
//! This file is checked by loom: `tests/loom`.

use std::sync::PoisonError;
use std::thread;

use crate::scheduler::park::{self, Obstacle, WaitReason, park_quietly};
use crate::scheduler::{TaskRef, hub};
use crate::timer;
use crate::util::primitive::{Condvar, Mutex, MutexGuard};

const REASON: WaitReason = WaitReason::external("a job on a pool of threads");

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Slot<T> {
    state: Mutex<State<T>>,
    /// For a waiter that cannot be parked.
    finished: Condvar,
}

#[derive(Debug)]
enum State<T> {
    Pending(Waiter),
    /// Nobody will want the outcome.
    Forgotten,
    Finished(thread::Result<T>),
    Gone,
}

#[derive(Debug)]
enum Waiter {
    Nobody,
    Parked(TaskRef),
    Blocked,
}

impl<T> Slot<T> {
    pub(super) fn new() -> Self {
        Slot {
            state: Mutex::new(State::Pending(Waiter::Nobody)),
            finished: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The job's end, on its thread. Returns who is to be unparked.
    pub(super) fn finish(&self, outcome: thread::Result<T>) -> Option<TaskRef> {
        let mut state = self.lock();
        match core::mem::replace(&mut *state, State::Gone) {
            State::Pending(waiter) => {
                *state = State::Finished(outcome);
                drop(state);
                match waiter {
                    Waiter::Nobody => None,
                    Waiter::Parked(task) => Some(task),
                    Waiter::Blocked => {
                        self.finished.notify_all();
                        None
                    }
                }
            }
            _ => {
                drop(state);
                drop(outcome); // whoever waited has been killed, or dropped the handle
                None
            }
        }
    }

    /// Whether the job has ended.
    pub(super) fn is_finished(&self) -> bool {
        !matches!(*self.lock(), State::Pending(_))
    }

    /// The outcome, if the job has ended; otherwise `waiter` is told when it does.
    fn take_or_leave(&self, waiter: impl FnOnce() -> Waiter) -> Option<thread::Result<T>> {
        let mut state = self.lock();
        match &mut *state {
            State::Pending(place) => {
                *place = waiter();
                None
            }
            State::Finished(_) => match core::mem::replace(&mut *state, State::Gone) {
                State::Finished(outcome) => Some(outcome),
                _ => unreachable!("looked at under the lock"),
            },
            State::Forgotten | State::Gone => {
                unreachable!("one handle waits once, and then forgets")
            }
        }
    }

    /// The outcome, if it is there.
    pub(super) fn take(&self) -> Option<thread::Result<T>> {
        self.take_or_leave(|| Waiter::Nobody)
    }

    /// Waits for the job's end. If a kill or a timeout ends the wait, `interrupted` is called, and this unwinds; an outcome that
    /// is there by then is returned instead, and the kill raised later.
    pub(super) fn wait(&self, interrupted: impl FnOnce()) -> thread::Result<T> {
        let task = hub::current_control().task.clone();
        loop {
            if let Some(outcome) = self.take_or_leave(|| Waiter::Parked(task.clone())) {
                return outcome;
            }
            match park_quietly(&REASON) {
                Ok(()) => {}
                Err(Obstacle::Interrupted) => {
                    if let Some(outcome) = self.take() {
                        return outcome;
                    }
                    interrupted();
                    self.forget();
                    park::raise();
                }
                Err(Obstacle::Deadlock(report)) => timer::no_deadlock(report),
                Err(Obstacle::Unwinding) => return self.block_thread(),
            }
        }
    }

    /// As [`Slot::wait`], but a kill or a timeout does not end it: they are raised by a later wait.
    pub(super) fn wait_uninterrupted(&self) -> thread::Result<T> {
        let task = hub::current_control().task.clone();
        loop {
            if let Some(outcome) = self.take_or_leave(|| Waiter::Parked(task.clone())) {
                return outcome;
            }
            match park::park_uninterrupted(&REASON) {
                Ok(()) => {}
                Err(park::ParkError::Deadlock(report)) => timer::no_deadlock(report),
                Err(park::ParkError::Unwinding) => return self.block_thread(),
            }
        }
    }

    /// Waits without suspending, for a caller that is unwinding.
    fn block_thread(&self) -> thread::Result<T> {
        loop {
            if let Some(outcome) = self.take_or_leave(|| Waiter::Blocked) {
                return outcome;
            }
            let mut state = self.lock();
            while matches!(*state, State::Pending(_)) {
                let woken = self.finished.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Nobody will ask for the outcome any more.
    pub(super) fn forget(&self) {
        let mut state = self.lock();
        let old = match &*state {
            State::Pending(_) => core::mem::replace(&mut *state, State::Forgotten),
            _ => core::mem::replace(&mut *state, State::Gone),
        };
        drop(state);
        drop(old);
    }
}
