//! A greenlet's handle as a future: ready when the greenlet has ended, with what [`Greenlet::join`] returns.
//!
//! The waker lies among the greenlet's joiners. There is one at most, as there is one handle; a poll replaces it, and
//! dropping the handle takes it out. It is called on the thread of the greenlet, after those who wait in `join`.
//!
//! The handle stays where it is when the outcome has been taken from it, so that the task notes it ([`TAKEN`]): a second
//! poll, or a join after that, is a mistake of the caller's, and panics.
#![allow(unsafe_code)] // Takes an outcome out of a type-erased task.

use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::Ordering;
use core::task::{Context, Poll};
use std::task::Waker;

use super::greenlet::Greenlet;
use super::hub;
use super::join_error::JoinError;
use super::task::{DONE, HAS_JOINERS, Header};

/// A poll has taken the outcome. Set and read by the owner of the handle alone.
pub(super) const TAKEN: u32 = 1 << 15;

/// Ready when the greenlet has ended, with what [`Greenlet::join`] returns. Any executor on any thread may poll it, if
/// the handle may go there.
///
/// Dropping the future drops the handle: the greenlet is detached, and goes on. A greenlet that waits in
/// [`crate::block_on`] for several futures at once waits for greenlets this way too.
///
/// # Panics
/// If it is polled again after it was ready, or joined then; if a greenlet waits for its own end.
///
/// ```
/// use std::time::Duration;
/// let greenlet = rustlet::spawn(|| {
///     rustlet::sleep(Duration::from_millis(5));
///     6 * 7
/// });
/// // On a thread of its own, by an executor that knows nothing of greenlets.
/// let thread = std::thread::spawn(|| {
///     let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
///     runtime.block_on(async { greenlet.await.unwrap() })
/// });
/// rustlet::sleep(Duration::from_millis(50)); // the greenlet is this thread's: it runs here
/// assert_eq!(thread.join().unwrap(), 42);
/// ```
impl<T> Future for Greenlet<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let task = self.task();
        if !task.is_done() {
            assert!(
                !hub::existing().is_some_and(|hub| hub.current().task.is(task)),
                "a greenlet cannot wait for its own end"
            );
            if task.leave_waker(cx.waker()) {
                return Poll::Pending;
            }
        }
        let before = task.state.fetch_or(TAKEN, Ordering::Relaxed);
        assert!(before & TAKEN == 0, "{AFTER_THE_END}");
        // SAFETY: `T` is the task's type, and this is its one handle (`Greenlet::new`), which owns the outcome: the
        // task is done, and not detached. TAKEN was not set, so it is there, and nobody will take it again.
        let outcome = unsafe { task.clone().take::<T>() };
        Poll::Ready(outcome.map_err(|(failure, task)| JoinError::ended(&task, failure)))
    }
}

// The value is not in the handle.
impl<T> Unpin for Greenlet<T> {}

pub(super) const AFTER_THE_END: &str =
    "a greenlet's outcome is taken once: it was polled before, and was ready";

impl Header {
    /// Has `waker` woken at the end, instead of the one left before; false if the end has come.
    fn leave_waker(&self, waker: &Waker) -> bool {
        if self.joiners().has_waker(waker) {
            return !self.is_done();
        }
        // Cloned and dropped without the lock: both are code of somebody else's.
        let waker = waker.clone();
        let (old, left) = {
            let mut joiners = self.joiners();
            if self.state.fetch_or(HAS_JOINERS, Ordering::AcqRel) & DONE != 0 {
                (Some(waker), false)
            } else {
                (joiners.set_waker(waker), true)
            }
        };
        drop(old);
        left
    }

    /// Takes the handle's waker back, if it has left one.
    #[inline]
    pub(super) fn take_back_waker(&self) {
        if self.state.load(Ordering::Relaxed) & (HAS_JOINERS | DONE) == HAS_JOINERS {
            let waker = self.joiners().remove_waker();
            drop(waker); // without the lock
        }
    }
}
