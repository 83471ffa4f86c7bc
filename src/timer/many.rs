//! Waiting with a limit, and for many: `wait_timeout`, `kill_timeout`, `joinall`, `killall`.
//!
//! Who waits for all of many greenlets waits for one after the other: each is looked at once, and
//! registered with at most once, so that a hundred thousand cost no more each than one.
//! Waiting for whichever comes first is [`super::iwait()`].

use std::time::Duration;

use super::Deadline;
use crate::scheduler::{Deadlock, Greenlet, Handle, JoinError, current, wait_done_or};
use crate::sys::clock;

impl Handle {
    /// Waits for the greenlet to end, but no longer than `duration`. Returns whether it has ended.
    ///
    /// In a destructor that runs because of a panic or a kill it does not wait.
    ///
    /// # Panics
    /// If a greenlet waits for its own end.
    pub fn wait_timeout(&self, duration: Duration) -> bool {
        if self.is_finished() {
            return true;
        }
        self.wait_until(&Deadline::new(Some(clock::after(duration))))
    }

    /// Ends the greenlet as [`Greenlet::kill`], and waits no longer than `duration`. Returns whether it has ended; if not, the
    /// kill stays in force.
    pub fn kill_timeout(&self, duration: Duration) -> bool {
        self.kill();
        self.wait_timeout(duration)
    }

    fn wait_until(&self, deadline: &Deadline) -> bool {
        // A wait with a deadline can end; the error is that of a caller who is unwinding.
        let _ = wait_done_or(self.task(), || deadline.has_come());
        self.is_finished()
    }
}

impl<T> Greenlet<T> {
    /// Waits for the greenlet to end, but no longer than `duration`. Returns whether it has ended; its outcome is
    /// left to be joined.
    ///
    /// In a destructor that runs because of a panic or a kill it does not wait.
    ///
    /// # Panics
    /// If a greenlet waits for its own end.
    ///
    /// ```
    /// use std::time::Duration;
    /// let slow = rustlet::spawn(|| rustlet::sleep(Duration::from_secs(3600)));
    /// assert!(!slow.wait_timeout(Duration::from_millis(5)));
    /// assert!(slow.kill_timeout(Duration::from_secs(10)));
    /// ```
    pub fn wait_timeout(&self, duration: Duration) -> bool {
        self.as_handle().wait_timeout(duration)
    }

    /// As [`Greenlet::kill`], but waits no longer than `duration`. Returns whether the greenlet has ended; if not, the
    /// kill stays in force.
    pub fn kill_timeout(&self, duration: Duration) -> bool {
        self.as_handle().kill_timeout(duration)
    }
}

/// Joins all greenlets, and returns their outcomes in the order given.
///
/// It waits for every one, whatever the outcomes of the others; [`crate::iwait`] gives them in the order in
/// which they end, and can stop early. The greenlets are taken from the iterator before the first is
/// waited for, so an iterator that spawns them is fine.
///
/// ```
/// let squares = rustlet::joinall((1..=3).map(|n| rustlet::spawn(move || n * n)));
/// let squares: Result<Vec<i32>, _> = squares.into_iter().collect();
/// assert_eq!(squares.unwrap(), [1, 4, 9]);
/// ```
pub fn joinall<T>(greenlets: impl IntoIterator<Item = Greenlet<T>>) -> Vec<Result<T, JoinError>> {
    let greenlets = Vec::from_iter(greenlets);
    let mut deadlock: Option<Deadlock> = None;
    let outcomes = greenlets.into_iter().map(|greenlet| {
        // What can never end will not for the next one either; each report takes a look at all.
        if let Some(report) = &deadlock
            && !greenlet.is_finished()
        {
            return Err(JoinError::deadlocked(greenlet.task(), report.clone()));
        }
        let outcome = greenlet.join();
        if let Err(error) = &outcome {
            deadlock = deadlock.take().or_else(|| error.deadlock().cloned());
        }
        outcome
    });
    outcomes.collect()
}

/// Kills all greenlets as [`Greenlet::kill`] does, then waits until all have ended.
///
/// They may belong to different threads. The caller itself may be among them: the others are then killed, and it unwinds
/// at once instead of waiting.
///
/// # Errors
/// As [`Greenlet::kill`], if the caller cannot wait; all are killed all the same.
///
/// ```
/// use std::time::Duration;
/// let sleepers = [0; 3].map(|_| rustlet::spawn(|| rustlet::sleep(Duration::MAX)));
/// rustlet::killall(&sleepers).unwrap();
/// assert!(sleepers.iter().all(|sleeper| sleeper.is_finished()));
/// ```
pub fn killall<H: Into<Handle>>(greenlets: impl IntoIterator<Item = H>) -> Result<(), JoinError> {
    kill_each(greenlets).iter().try_for_each(Handle::wait)
}

/// As [`killall`], but waits no longer than `duration`. Returns whether all have ended; for those that have not, the
/// kill stays in force.
pub fn killall_timeout<H: Into<Handle>>(
    greenlets: impl IntoIterator<Item = H>,
    duration: Duration,
) -> bool {
    let handles = kill_each(greenlets);
    let deadline = Deadline::new(Some(clock::after(duration)));
    handles.iter().all(|handle| handle.wait_until(&deadline))
}

/// Kills without waiting; the caller itself last, which does not return.
fn kill_each<H: Into<Handle>>(greenlets: impl IntoIterator<Item = H>) -> Vec<Handle> {
    let handles: Vec<Handle> = greenlets.into_iter().map(Into::into).collect();
    let me = current();
    let mut and_me = false;
    for handle in &handles {
        if handle.task().is(me.task()) {
            and_me = true;
        } else {
            handle.kill();
        }
    }
    if and_me {
        me.kill();
    }
    handles
}
