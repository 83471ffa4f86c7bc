//! Greenlets that poll futures: a worker hands them what is due, and makes another when all of them wait.
//!
//! A future is polled on the stack of such a runner, not on the hub's own: what it calls may block as anything else
//! does. Then only that runner waits; the futures that were handed over with it go to the next one.
//!
//! ```text
//!   a worker takes a future from its deque ──► due ──► a runner, until there is none ──► waits for more
//!                                               └─ the runner waits inside a poll ──► another runner
//! ```

use core::cell::{Cell, RefCell};
use std::collections::VecDeque;

use async_task::Runnable;

use crate::scheduler::task::TaskRef;

/// Belongs to one worker's thread.
#[derive(Debug, Default)]
pub(in crate::scheduler) struct Runners {
    due: RefCell<VecDeque<Runnable>>,
    /// Runners that wait for something to do, with the numbers of their waits.
    free: RefCell<Vec<(TaskRef, u64)>>,
    /// A runner has been woken or made, and has not run yet.
    called: Cell<bool>,
    /// The wait of the one that was woken; 0 if it was made.
    called_wait: Cell<u64>,
    waits: Cell<u64>,
}

impl Runners {
    pub(in crate::scheduler) fn hand_over(&self, future: Runnable) {
        self.due.borrow_mut().push_back(future);
    }

    /// Whether a runner is to be called. If so the caller calls the one that it gets, or a new one.
    #[inline]
    pub(in crate::scheduler) fn wanted(&self) -> bool {
        !self.due.borrow().is_empty() && !self.called.get()
    }

    /// A runner that waits, which is to be woken; `None` if there is to be a new one.
    pub(in crate::scheduler) fn call(&self) -> Option<TaskRef> {
        self.called.set(true);
        let (runner, wait) = self.free.borrow_mut().pop()?;
        self.called_wait.set(wait);
        Some(runner)
    }

    /// There was none, and none could be made.
    pub(in crate::scheduler) fn not_called(&self) {
        self.called.set(false);
    }

    /// The caller, a runner, has come to run: the next future.
    pub(in crate::scheduler) fn next(&self) -> Option<Runnable> {
        self.called.set(false);
        self.due.borrow_mut().pop_front()
    }

    /// The caller, a runner, is about to wait. The wait ends when this is dropped, whoever has ended it.
    pub(in crate::scheduler) fn rest(&self, runner: TaskRef) -> Resting<'_> {
        let wait = self.waits.get() + 1;
        self.waits.set(wait);
        self.free.borrow_mut().push((runner, wait));
        Resting {
            runners: self,
            wait,
        }
    }

    /// At the end: what was not polled is cancelled.
    pub(in crate::scheduler) fn cancel_all(&self) {
        loop {
            let due = self.due.borrow_mut().pop_front();
            match due {
                // Drops the future, which is the user's code.
                Some(future) => super::cancel(future),
                None => return,
            }
        }
    }
}

/// A runner's wait for something to do.
///
/// It may end without a call: by a token that a future's own waits have left over, or by a kill. The runner must
/// not be called then, or the futures that are due would wait for one that is busy, or dead.
#[derive(Debug)]
pub(in crate::scheduler) struct Resting<'a> {
    runners: &'a Runners,
    wait: u64,
}

impl Drop for Resting<'_> {
    fn drop(&mut self) {
        let runners = self.runners;
        if runners.called_wait.get() == self.wait {
            runners.called_wait.set(0);
            runners.called.set(false); // if this is a kill, nobody has been called
            return;
        }
        let uncalled = {
            let mut free = runners.free.borrow_mut();
            let place = free.iter().rposition(|&(_, wait)| wait == self.wait);
            place.map(|place| free.remove(place))
        };
        drop(uncalled);
    }
}
