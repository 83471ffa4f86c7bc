//! [`Barrier`]: std's, for greenlets and threads.
#![allow(unsafe_code)] // Links waiters, which are on the stack of the code that waits.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use super::waiter::{NotGranted, WaitQueue, Waiter, deadline_in};
use crate::scheduler::park::WaitReason;
use crate::sys::short_lock::ShortLock;
use crate::timer::Deadline;

const WAITING: &str = "waiting at a barrier";

/// Lets a number of greenlets or threads wait for each other, as [`std::sync::Barrier`].
///
/// When the last one comes all go on, and the barrier can be used again at once. One that is killed or
/// whose time is over while it waits leaves the count as if it had not come; the others wait for another in
/// its place.
///
/// ```
/// use rustlet::sync::Barrier;
/// use std::sync::Arc;
/// let barrier = Arc::new(Barrier::new(3));
/// let greenlets: Vec<_> = (0..3)
///     .map(|_| {
///         let barrier = barrier.clone();
///         rustlet::spawn(move || barrier.wait().is_leader())
///     })
///     .collect();
/// let leaders = greenlets.into_iter().filter_map(|g| g.join().unwrap().then_some(())).count();
/// assert_eq!(leaders, 1);
/// ```
pub struct Barrier {
    state: ShortLock<State>,
    size: usize,
}

#[derive(Debug)]
struct State {
    /// As many as are in the queue.
    waiting: usize,
    queue: WaitQueue,
}

impl UnwindSafe for Barrier {}
impl RefUnwindSafe for Barrier {}

/// Which of those that met at a [`Barrier`] this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// True for one of them: for the one that came last.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl Barrier {
    /// A barrier at which `size` meet. With 0 or 1 nobody ever waits.
    pub const fn new(size: usize) -> Self {
        Barrier {
            state: ShortLock::new(State {
                waiting: 0,
                queue: WaitQueue::new(),
            }),
            size,
        }
    }

    /// Waits until as many have come as the barrier is for.
    ///
    /// # Panics
    /// If it would have to wait and cannot: on a thread's own stack when nobody else can ever come
    /// ([`crate::Deadlock`]), or in a destructor that runs because of a panic or a kill.
    #[inline]
    pub fn wait(&self) -> BarrierWaitResult {
        match self.meet(None) {
            Ok(result) => result,
            Err(error) => error.panic(WAITING),
        }
    }

    /// As [`Barrier::wait`], for no longer than `limit`; `None` if not enough have come by then. The
    /// caller does not count any more then.
    ///
    /// # Panics
    /// As [`Barrier::wait`].
    pub fn wait_timeout(&self, limit: Duration) -> Option<BarrierWaitResult> {
        match self.meet(Some(&deadline_in(limit))) {
            Ok(result) => Some(result),
            Err(error) => {
                error.timed_out_or_panic(WAITING);
                None
            }
        }
    }

    #[inline(always)]
    fn meet(&self, deadline: Option<&Deadline>) -> Result<BarrierWaitResult, NotGranted> {
        let waiter = Waiter::new();
        if self.come(&waiter) {
            return Ok(BarrierWaitResult(true));
        }
        let reason = WaitReason::external("the others at a barrier");
        waiter.wait(&reason, deadline, || self.give_up(&waiter))?;
        Ok(BarrierWaitResult(false))
    }

    /// Lets all go on, if this is the last (true), or joins the queue.
    #[inline(never)]
    fn come(&self, waiter: &Waiter) -> bool {
        let mut state = self.state.lock();
        if state.waiting + 1 >= self.size {
            state.waiting = 0;
            state.queue.grant_all(1);
            return true;
        }
        state.waiting += 1;
        // SAFETY: the caller's frame keeps the waiter, and waits next; `give_up` removes it.
        unsafe { state.queue.push(waiter) };
        false
    }

    #[cold]
    #[inline(never)]
    fn give_up(&self, waiter: &Waiter) -> bool {
        let mut state = self.state.lock();
        let waited = state.queue.remove(waiter);
        state.waiting -= usize::from(waited);
        waited
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}
