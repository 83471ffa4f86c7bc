//! Items that were put and not yet declared done, and those who wait for that.
#![allow(unsafe_code)] // Links waiters, which are on the stack of the code that waits.

use std::time::Duration;

use super::exchange::{Exchange, Order};
use crate::scheduler::park::WaitReason;
use crate::sync::waiter::{Waiter, deadline_in};
use crate::timer::Deadline;

const JOINING: &str = "waiting until a queue's items are done";

impl<T, O: Order<T>> Exchange<T, O> {
    pub(super) fn unfinished(&self) -> usize {
        self.lock().unfinished
    }

    /// One item is done; false if none was unfinished.
    pub(super) fn task_done(&self) -> bool {
        let mut state = self.lock();
        if state.unfinished == 0 {
            return false;
        }
        state.finish(1);
        true
    }

    /// Waits until nothing is unfinished; false if that was not before `deadline`.
    #[inline(always)]
    pub(super) fn join(&self, deadline: Option<&Deadline>) -> bool {
        let waiter = Waiter::new();
        if self.is_done_or_queue(&waiter) {
            return true;
        }
        let reason = WaitReason::probably("the items of a queue to be done", &self.last_getter);
        match waiter.wait(&reason, deadline, || self.lock().joiners.remove(&waiter)) {
            Ok(_) => true,
            Err(error) => {
                error.timed_out_or_panic(JOINING);
                false
            }
        }
    }

    pub(super) fn join_timeout(&self, limit: Duration) -> bool {
        self.unfinished() == 0 || self.join(Some(&deadline_in(limit)))
    }

    #[inline(never)]
    fn is_done_or_queue(&self, waiter: &Waiter) -> bool {
        let mut state = self.lock();
        if state.unfinished == 0 {
            return true;
        }
        // SAFETY: it is new; `join` waits next, and removes it if the wait ends otherwise.
        unsafe { state.joiners.push(waiter) };
        false
    }
}
