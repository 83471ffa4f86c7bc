//! Throwing: raising a payload of the caller's in another greenlet, once.
//!
//! ```text
//!   any thread:  payload into the side box, THROWN set ──► the target is woken as for a kill
//!   the target:  at its suspension: takes the oldest payload, and unwinds with it
//! ```
//! `THROWN` says that the box holds a payload. Both change under the box's lock, so neither is seen
//! without the other. The precedence among interrupts is told at the head of [`super::interrupt`].
//!
//! A target that has not started never runs: its closure is dropped, and the payload is its outcome. One
//! that has ended takes no notice. A payload that nobody raised is dropped when the greenlet has ended, on its stack, since destructors may
//! wait; only what is thrown at that very moment goes with the task.
//!
//! Rejected: one place for a payload, in which a later throw replaces an earlier one. Two throwers who
//! know nothing of each other would lose one.

use core::any::Any;
use core::sync::atomic::Ordering;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::hub;
use super::park;
use super::task::{DONE, Header, TaskRef};
use super::typed::drop_quietly;

/// There are payloads in the side box.
pub(super) const THROWN: u32 = 1 << 6;

/// The value of an unwinding.
pub(super) type Payload = Box<dyn Any + Send>;

/// Payloads that wait to be raised, the oldest first.
pub(super) type Payloads = VecDeque<Payload>;

/// Raises `payload` in `task`, at once if it is the running code.
pub(super) fn throw(task: &TaskRef, payload: Payload) {
    if !task.add_thrown(payload) {
        return;
    }
    tracing::debug!(target: "rustlet", id = task.id, name = task.name(), "throw");
    park::wake_for_kill(task);
    let me = hub::current_control();
    if me.task.is(task) {
        me.raise();
    }
}

/// Drops what was thrown and not raised. The lock is held by none of the destructors.
#[cold]
pub(super) fn drop_all(thrown: &Mutex<Payloads>) {
    let take = || {
        thrown
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    };
    while let Some(payload) = take() {
        drop_quietly(payload);
    }
}

impl Header {
    /// Keeps a payload to be raised; false if the greenlet has ended.
    fn add_thrown(&self, payload: Payload) -> bool {
        let side = self.side.get_or_make();
        let mut thrown = side.thrown.lock().unwrap_or_else(PoisonError::into_inner);
        // AcqRel: whoever sees the flag without the lock, in a started greenlet's wait, takes the lock next.
        if self.state.fetch_or(THROWN, Ordering::AcqRel) & DONE != 0 {
            drop(thrown); // before the payload, whose destructor is the user's
            return false;
        }
        thrown.push_back(payload);
        true
    }

    /// Takes the oldest payload.
    #[cold]
    pub(super) fn take_thrown(&self) -> Option<Payload> {
        let side = self.side.get()?;
        let mut thrown = side.thrown.lock().unwrap_or_else(PoisonError::into_inner);
        let payload = thrown.pop_front();
        if thrown.is_empty() {
            self.state.fetch_and(!THROWN, Ordering::AcqRel);
        }
        payload
    }

    /// Whether a payload waits to be raised.
    #[inline]
    pub(super) fn is_thrown_at(&self) -> bool {
        self.state.load(Ordering::Acquire) & THROWN != 0
    }
}
