//! [`Condvar`]: std's, for greenlets and threads.
//!
//! ```text
//!   wait:    join the queue ──► unlock the mutex ──► wait ──► granted ──► lock the mutex
//!   notify:                                   pop, grant
//! ```
//! The waiter is in the queue before the mutex is unlocked, so no notification that follows the unlocking is
//! missed. Locking again is an ordinary wait for the mutex, which a kill or a scope may end: the
//! notification has been taken by then, and is passed on to the next waiter ([`PassOn`]).
//!
//! Rejected: moving the notified waiter from this queue to the mutex's without waking it. It saves `notify_all` the
//! wake-ups of those who cannot have the mutex yet, which costs 20 ns each here, and ties two locks together.
#![allow(unsafe_code)] // Links waiters, which are on the stack of the code that waits.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, PoisonError};
use std::time::{Duration, Instant};

use super::mutex::MutexGuard;
use super::waiter::{NotGranted, WaitQueue, Waiter, deadline_in};
use crate::scheduler::park::WaitReason;
use crate::sys::short_lock::ShortLock;
use crate::timer::Deadline;

const WAITING: &str = "waiting for a condition variable";

/// Waits for something that happens under a [`Mutex`](super::Mutex), as [`std::sync::Condvar`].
///
/// Those who wait are notified in the order in which they came. There are no spurious wake-ups
/// but for those that a notification caused which was passed on, as told below; a loop around the
/// condition is as necessary as with std's, because others may get the mutex first.
/// ([`Condvar::wait_while`] is that loop.)
///
/// # Kills and timeouts
/// A kill or a [`timeout`](crate::timeout) that ends a wait unwinds without the mutex: there is no guard to
/// give back to. If the waiter had been notified by then, and was about to lock the mutex again, the next
/// waiter is notified instead: no notification is lost.
///
/// ```
/// use rustlet::sync::{Condvar, Mutex};
/// use std::sync::Arc;
/// let pair = Arc::new((Mutex::new(false), Condvar::new()));
/// let theirs = pair.clone();
/// let starter = rustlet::spawn(move || {
///     *theirs.0.lock().unwrap() = true;
///     theirs.1.notify_one();
/// });
/// let (lock, condvar) = &*pair;
/// let started = condvar.wait_while(lock.lock().unwrap(), |started| !*started).unwrap();
/// assert!(*started);
/// starter.join().unwrap();
/// ```
pub struct Condvar {
    queue: ShortLock<WaitQueue>,
}

impl UnwindSafe for Condvar {}
impl RefUnwindSafe for Condvar {}

/// Whether a wait with a limit ended because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the time was over before a notification came.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

/// Passes a notification on if its waiter is unwound before it has got the mutex.
struct PassOn<'a>(&'a Condvar);

impl Drop for PassOn<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Condvar {
    /// A condition variable that nobody waits for.
    pub const fn new() -> Self {
        Condvar {
            queue: ShortLock::new(WaitQueue::new()),
        }
    }

    /// Unlocks the mutex, waits for a notification, and locks the mutex again.
    ///
    /// # Errors
    /// With the guard, if the mutex is poisoned when it is locked again.
    ///
    /// # Panics
    /// If it cannot wait: on a thread's own stack when nothing can ever notify it ([`crate::Deadlock`]), or in a
    /// destructor that runs because of a panic or a kill. The mutex is unlocked then.
    #[inline]
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.wait_until(guard, None).0
    }

    /// Waits for notifications as long as `condition` is true, which is asked under the mutex.
    ///
    /// # Errors
    /// As [`Condvar::wait`].
    ///
    /// # Panics
    /// As [`Condvar::wait`]; and with `condition`.
    pub fn wait_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<MutexGuard<'a, T>> {
        while condition(&mut guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// As [`Condvar::wait`], but waits for the notification no longer than `limit`. (For the mutex it waits as
    /// long as it takes.)
    ///
    /// # Errors
    /// As [`Condvar::wait`].
    ///
    /// # Panics
    /// As [`Condvar::wait`].
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let (guard, timed_out) = self.wait_until(guard, Some(limit));
        match guard {
            Ok(guard) => Ok((guard, timed_out)),
            Err(error) => Err(PoisonError::new((error.into_inner(), timed_out))),
        }
    }

    /// As [`Condvar::wait_while`], for no longer than `limit` in all. `timed_out` says that the condition
    /// was still true then.
    ///
    /// # Errors
    /// As [`Condvar::wait`].
    ///
    /// # Panics
    /// As [`Condvar::wait_while`].
    pub fn wait_timeout_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        limit: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let start = Instant::now();
        while condition(&mut guard) {
            let Some(left) = limit.checked_sub(start.elapsed()) else {
                return Ok((guard, WaitTimeoutResult(true)));
            };
            guard = self.wait_timeout(guard, left)?.0;
        }
        Ok((guard, WaitTimeoutResult(false)))
    }

    /// Wakes the one that waits longest, if any does.
    pub fn notify_one(&self) {
        let mut queue = self.queue.lock();
        let Some(first) = queue.pop() else { return };
        let wake_up = first.grant(1);
        drop(queue);
        wake_up.send();
    }

    /// Wakes all that wait now.
    pub fn notify_all(&self) {
        self.queue.lock().grant_all(1);
    }

    /// The wait, with the guard again.
    #[inline(always)]
    fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Option<Duration>,
    ) -> (LockResult<MutexGuard<'a, T>>, WaitTimeoutResult) {
        let mutex = guard.mutex();
        let deadline: Option<Deadline> = limit.map(deadline_in);
        let waiter = Waiter::new();
        self.enqueue(&waiter);
        // Nothing between here and the wait may unwind: the waiter is linked.
        drop(guard);
        let result = waiter.wait(
            &WaitReason::external("a condition variable"),
            deadline.as_ref(),
            || self.queue.lock().remove(&waiter),
        );
        drop(deadline);
        match result {
            Ok(_) => {
                let pass_on = PassOn(self);
                let guard = mutex.lock();
                core::mem::forget(pass_on);
                (guard, WaitTimeoutResult(false))
            }
            Err(NotGranted::TimedOut) => (mutex.lock(), WaitTimeoutResult(true)),
            Err(error) => error.panic(WAITING),
        }
    }

    #[inline(never)]
    fn enqueue(&self, waiter: &Waiter) {
        // SAFETY: the caller's frame keeps the waiter, and waits next with a `cancel` that removes it.
        unsafe { self.queue.lock().push(waiter) };
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Condvar::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}
