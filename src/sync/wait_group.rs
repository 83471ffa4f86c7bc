//! [`WaitGroup`]: waits until a count is zero.
#![allow(unsafe_code)] // Links waiters, which are on the stack of the code that waits.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use super::observers::{Observer, Observers};
use super::waiter::{NotGranted, WaitQueue, Waiter, deadline_in};
use crate::scheduler::park::WaitReason;
use crate::scheduler::waitable::{Readiness, Signal, Waitable};
use crate::sys::short_lock::ShortLock;
use crate::timer::Deadline;

const WAITING: &str = "waiting for a wait group";

/// A count of things to be done, and waiting until it is zero: Go's, or a count-down latch with
/// [`WaitGroup::with_count`].
///
/// [`WaitGroup::member`] counts with a guard, so that a greenlet that panics or is killed is done too. All who wait
/// when the count becomes zero go on, even if it grows again before they run.
///
/// ```
/// use rustlet::sync::WaitGroup;
/// use std::sync::Arc;
/// let group = Arc::new(WaitGroup::new());
/// for _ in 0..3 {
///     let member = group.member();
///     rustlet::spawn(move || {
///         rustlet::yield_now();
///         drop(member);
///     });
/// }
/// group.wait();
/// assert_eq!(group.count(), 0);
/// ```
pub struct WaitGroup {
    state: ShortLock<State>,
}

#[derive(Debug)]
struct State {
    count: usize,
    queue: WaitQueue,
    observers: Observers,
}

impl UnwindSafe for WaitGroup {}
impl RefUnwindSafe for WaitGroup {}

impl WaitGroup {
    /// A group with nothing to be done.
    pub const fn new() -> Self {
        WaitGroup::with_count(0)
    }

    /// A group with `count` things to be done.
    pub const fn with_count(count: usize) -> Self {
        WaitGroup {
            state: ShortLock::new(State {
                count,
                queue: WaitQueue::new(),
                observers: Observers::none(),
            }),
        }
    }

    /// `more` things are to be done.
    ///
    /// # Panics
    /// If there are more than `usize::MAX`.
    pub fn add(&self, more: usize) {
        let mut state = self.state.lock();
        let count = state.count.checked_add(more);
        state.count = count.unwrap_or(state.count);
        drop(state);
        assert!(count.is_some(), "no more than usize::MAX in a wait group");
    }

    /// One thing is done. Never waits.
    ///
    /// # Panics
    /// If none is to be done.
    pub fn done(&self) {
        assert!(
            self.one_less(),
            "a wait group was done more often than added to"
        );
    }

    /// False if there was none.
    fn one_less(&self) -> bool {
        let mut state = self.state.lock();
        let Some(left) = state.count.checked_sub(1) else {
            return false;
        };
        state.count = left;
        if left == 0 {
            state.queue.grant_all(1);
            let observers = state.observers.take();
            drop(state);
            observers.notify();
        }
        true
    }

    /// One more, which is done when the guard is dropped, whatever happens to its greenlet.
    ///
    /// # Panics
    /// As [`WaitGroup::add`].
    pub fn member(self: &Arc<Self>) -> WaitGroupMember {
        self.add(1);
        WaitGroupMember {
            group: self.clone(),
        }
    }

    /// How many things are to be done.
    pub fn count(&self) -> usize {
        self.state.lock().count
    }

    /// Waits until nothing is to be done.
    ///
    /// # Panics
    /// If it would have to wait and cannot: on a thread's own stack when nothing can ever be done
    /// ([`crate::Deadlock`]), or in a destructor that runs because of a panic or a kill.
    #[inline]
    pub fn wait(&self) {
        if let Err(error) = self.wait_until(None) {
            error.panic(WAITING);
        }
    }

    /// As [`WaitGroup::wait`], for no longer than `limit`; whether everything was done in that time.
    ///
    /// # Panics
    /// As [`WaitGroup::wait`].
    pub fn wait_timeout(&self, limit: Duration) -> bool {
        if self.count() == 0 {
            return true;
        }
        match self.wait_until(Some(&deadline_in(limit))) {
            Ok(()) => true,
            Err(error) => {
                error.timed_out_or_panic(WAITING);
                false
            }
        }
    }

    #[inline(always)]
    fn wait_until(&self, deadline: Option<&Deadline>) -> Result<(), NotGranted> {
        let waiter = Waiter::new();
        if self.enqueue(&waiter) {
            let reason = WaitReason::external("a wait group");
            waiter.wait(&reason, deadline, || self.give_up(&waiter))?;
        }
        Ok(())
    }

    /// Joins the queue, unless nothing is to be done (false).
    #[inline(never)]
    fn enqueue(&self, waiter: &Waiter) -> bool {
        let mut state = self.state.lock();
        if state.count == 0 {
            return false;
        }
        // SAFETY: the caller's frame keeps the waiter, and waits next; `give_up` removes it.
        unsafe { state.queue.push(waiter) };
        true
    }

    #[cold]
    #[inline(never)]
    fn give_up(&self, waiter: &Waiter) -> bool {
        self.state.lock().queue.remove(waiter)
    }
}

impl Readiness for WaitGroup {
    fn is_ready(&self) -> bool {
        self.count() == 0
    }

    fn register(&self, signal: &Arc<Signal>, index: usize) -> Option<u64> {
        let observer = Observer::new(signal, index);
        let mut state = self.state.lock();
        if state.count == 0 {
            drop(state);
            return None;
        }
        Some(state.observers.add(observer))
    }

    fn unregister(&self, registration: u64) {
        let observer = self.state.lock().observers.remove(registration);
        drop(observer);
    }
}

impl Waitable for WaitGroup {}

impl Default for WaitGroup {
    fn default() -> Self {
        WaitGroup::new()
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

/// One of the things that a [`WaitGroup`] waits for: done when this is dropped.
#[derive(Debug)]
#[must_use = "what is dropped at once is done at once"]
pub struct WaitGroupMember {
    group: Arc<WaitGroup>,
}

impl Drop for WaitGroupMember {
    fn drop(&mut self) {
        // False after a `done` too many, which has counted for this one.
        self.group.one_less();
    }
}
