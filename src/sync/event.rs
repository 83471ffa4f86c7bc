//! [`Event`]: a flag to wait for.
#![allow(unsafe_code)] // Links waiters, which are on the stack of the code that waits.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::observers::{Observer, Observers};
use super::waiter::{NotGranted, WaitQueue, Waiter, deadline_in};
use crate::scheduler::park::WaitReason;
use crate::scheduler::waitable::{Readiness, Signal, Waitable};
use crate::sys::short_lock::ShortLock;
use crate::timer::Deadline;

const WAITING: &str = "waiting for an event";

/// A flag that greenlets and threads wait for: gevent's and Python's `Event`.
///
/// [`Event::set`] wakes all who wait, in the order in which they came, and they return even if the event is
/// cleared before they run. A wait for an event that is set returns at once.
///
/// ```
/// use rustlet::sync::Event;
/// use std::sync::Arc;
/// let ready = Arc::new(Event::new());
/// let waiters: Vec<_> = (0..3)
///     .map(|_| {
///         let ready = ready.clone();
///         rustlet::spawn(move || ready.wait())
///     })
///     .collect();
/// rustlet::yield_now(); // they wait
/// ready.set();
/// ready.clear();
/// waiters.into_iter().for_each(|g| g.join().unwrap());
/// assert!(!ready.is_set());
/// ```
pub struct Event {
    /// Written under the lock, read without it too.
    set: AtomicBool,
    state: ShortLock<State>,
}

#[derive(Debug)]
struct State {
    queue: WaitQueue,
    observers: Observers,
}

impl UnwindSafe for Event {}
impl RefUnwindSafe for Event {}

impl Event {
    /// An event that is not set.
    pub const fn new() -> Self {
        Event {
            set: AtomicBool::new(false),
            state: ShortLock::new(State {
                queue: WaitQueue::new(),
                observers: Observers::none(),
            }),
        }
    }

    /// Sets the event and wakes all who wait. Never waits.
    ///
    /// What was done before is visible to whoever sees the event set.
    pub fn set(&self) {
        // The lock is taken even if the event is set already: somebody may be about to clear it and look
        // for what was done before this, and either that happens under the lock later than this, or
        // the event stays set.
        let mut state = self.state.lock();
        self.set.store(true, Ordering::Release);
        state.queue.grant_all(1);
        let observers = state.observers.take();
        drop(state);
        observers.notify();
    }

    /// Makes the event one that is not set: who comes from now on waits.
    pub fn clear(&self) {
        let _state = self.state.lock();
        self.set.store(false, Ordering::Relaxed);
    }

    /// Whether it is set.
    #[inline]
    pub fn is_set(&self) -> bool {
        // Acquire pairs with the Release of `set`.
        self.set.load(Ordering::Acquire)
    }

    /// Waits until the event is set.
    ///
    /// # Panics
    /// If it would have to wait and cannot: on a thread's own stack when nothing can ever set the event
    /// ([`crate::Deadlock`]), or in a destructor that runs because of a panic or a kill.
    #[inline]
    pub fn wait(&self) {
        if self.is_set() {
            return;
        }
        if let Err(error) = self.wait_slowly(None) {
            error.panic(WAITING);
        }
    }

    /// As [`Event::wait`], for no longer than `limit`; whether the event was set in that time.
    ///
    /// # Panics
    /// As [`Event::wait`].
    pub fn wait_timeout(&self, limit: Duration) -> bool {
        if self.is_set() {
            return true;
        }
        match self.wait_slowly(Some(&deadline_in(limit))) {
            Ok(()) => true,
            Err(error) => {
                error.timed_out_or_panic(WAITING);
                false
            }
        }
    }

    #[inline(always)]
    fn wait_slowly(&self, deadline: Option<&Deadline>) -> Result<(), NotGranted> {
        let waiter = Waiter::new();
        if self.enqueue(&waiter) {
            let reason = WaitReason::external("an event");
            waiter.wait(&reason, deadline, || self.give_up(&waiter))?;
        }
        Ok(())
    }

    /// Joins the queue, unless the event is set (false).
    #[inline(never)]
    pub(super) fn enqueue(&self, waiter: &Waiter) -> bool {
        let mut state = self.state.lock();
        if self.set.load(Ordering::Relaxed) {
            return false;
        }
        // SAFETY: the caller's frame keeps the waiter, and waits next; `give_up` removes it.
        unsafe { state.queue.push(waiter) };
        true
    }

    /// Leaves the queue; false if the event was set meanwhile.
    #[cold]
    #[inline(never)]
    pub(super) fn give_up(&self, waiter: &Waiter) -> bool {
        self.state.lock().queue.remove(waiter)
    }
}

impl Readiness for Event {
    fn is_ready(&self) -> bool {
        self.is_set()
    }

    fn register(&self, signal: &Arc<Signal>, index: usize) -> Option<u64> {
        let observer = Observer::new(signal, index);
        let mut state = self.state.lock();
        if self.set.load(Ordering::Relaxed) {
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

impl Waitable for Event {}

impl Default for Event {
    fn default() -> Self {
        Event::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("set", &self.is_set())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_stops_waiting_leaves_nothing_behind() {
        let (set, other) = (Event::new(), Event::new());
        set.set();
        let mut objects = crate::timer::iwait([&other, &set]);
        assert!(objects.next().is_some());
        assert!(!other.state.lock().observers.is_empty());
        drop(objects);
        assert!(!other.wait_timeout(Duration::from_millis(1)));
        let state = other.state.lock();
        assert!(state.observers.is_empty() && state.queue.is_empty());
    }
}
