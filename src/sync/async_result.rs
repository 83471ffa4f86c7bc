//! [`AsyncResult`]: a value or an error that comes later.
//!
//! The outcome is counted ([`Arc`]), so that the lock is held for taking a reference and no longer: the user's
//! `Clone` and `Drop` run without it.
#![allow(unsafe_code)] // Links waiters, which are on the stack of the code that waits.

use std::convert::Infallible;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::observers::{Observer, Observers};
use super::result_links::Links;
use super::waiter::{NotGranted, WaitQueue, Waiter, deadline_in};
use crate::scheduler::LinkId;
use crate::scheduler::park::WaitReason;
use crate::scheduler::waitable::{Readiness, Signal, Waitable};
use crate::sys::short_lock::ShortLock;
use crate::timer::Deadline;

const WAITING: &str = "waiting for an asynchronous result";

/// A value or an error that comes later, for as many as want it: gevent's `AsyncResult`.
///
/// Getting it waits until it has been set. It may be set again, which replaces it for those who come later.
/// All who wait are woken in the order in which they came; [linked](AsyncResult::link) functions are called.
///
/// `E` is the type of errors; by default there are none.
///
/// ```
/// use rustlet::sync::AsyncResult;
/// use std::sync::Arc;
/// let result = Arc::new(AsyncResult::<u32, String>::new());
/// let greenlets: Vec<_> = (0..3)
///     .map(|_| {
///         let result = result.clone();
///         rustlet::spawn(move || result.get())
///     })
///     .collect();
/// result.set(5);
/// for greenlet in greenlets {
///     assert_eq!(greenlet.join().unwrap(), Ok(5));
/// }
/// result.set_error("no more".to_owned());
/// assert!(result.with(|outcome| outcome.is_err()));
/// ```
///
/// The outcome of a greenlet, for several to see:
/// ```
/// use rustlet::sync::AsyncResult;
/// use rustlet::JoinError;
/// use std::sync::Arc;
/// let result = Arc::new(AsyncResult::<u32, JoinError>::new());
/// let theirs = result.clone();
/// rustlet::spawn(|| 6 * 7).then(move |outcome| theirs.set_result(outcome));
/// assert_eq!(result.with(|outcome| *outcome.as_ref().unwrap()), 42);
/// ```
pub struct AsyncResult<T, E = Infallible> {
    state: ShortLock<State<T, E>>,
    links: OnceLock<Arc<Links<T, E>>>,
}

struct State<T, E> {
    outcome: Option<Arc<Result<T, E>>>,
    queue: WaitQueue,
    observers: Observers,
}

impl<T: RefUnwindSafe, E: RefUnwindSafe> UnwindSafe for AsyncResult<T, E> {}
impl<T: RefUnwindSafe, E: RefUnwindSafe> RefUnwindSafe for AsyncResult<T, E> {}

impl<T, E> AsyncResult<T, E> {
    /// A result that has not been set.
    pub const fn new() -> Self {
        AsyncResult {
            state: ShortLock::new(State {
                outcome: None,
                queue: WaitQueue::new(),
                observers: Observers::none(),
            }),
            links: OnceLock::new(),
        }
    }

    /// Sets the value. Never waits. See [`AsyncResult::set_result`].
    pub fn set(&self, value: T) {
        self.set_result(Ok(value));
    }

    /// Sets the error. Never waits. See [`AsyncResult::set_result`].
    pub fn set_error(&self, error: E) {
        self.set_result(Err(error));
    }

    /// Sets the outcome, in place of an earlier one. Never waits.
    ///
    /// All who wait are woken. Each gets the outcome that is set when it comes to run: this one, unless
    /// it is replaced by then. Links that wait for an outcome get this one.
    pub fn set_result(&self, outcome: Result<T, E>) {
        let outcome = Arc::new(outcome);
        let mut state = self.state.lock();
        let before = state.outcome.replace(outcome.clone());
        state.queue.grant_all(1);
        let observers = state.observers.take();
        drop(state);
        observers.notify();
        if let Some(links) = self.links.get() {
            links.announce(&outcome);
        }
        drop(before);
    }

    /// Waits until it has been set, and returns a clone of the outcome.
    ///
    /// # Errors
    /// The error that was set.
    ///
    /// # Panics
    /// If it would have to wait and cannot: on a thread's own stack when nothing can ever set it
    /// ([`crate::Deadlock`]), or in a destructor that runs because of a panic or a kill.
    #[inline]
    pub fn get(&self) -> Result<T, E>
    where
        T: Clone,
        E: Clone,
    {
        self.with(Result::clone)
    }

    /// As [`AsyncResult::get`], for no longer than `limit`; `None` if it was not set in that time.
    ///
    /// # Panics
    /// As [`AsyncResult::get`].
    pub fn get_timeout(&self, limit: Duration) -> Option<Result<T, E>>
    where
        T: Clone,
        E: Clone,
    {
        self.wait_timeout(limit);
        self.get_nowait()
    }

    /// A clone of the outcome, if it has been set. Never waits.
    pub fn get_nowait(&self) -> Option<Result<T, E>>
    where
        T: Clone,
        E: Clone,
    {
        self.try_with(Result::clone)
    }

    /// Waits until it has been set, and calls `f` with the outcome, which need not be cloned for it.
    ///
    /// `f` may do whatever it likes, wait and set this result included.
    ///
    /// # Panics
    /// As [`AsyncResult::get`]; and with `f`.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(&Result<T, E>) -> R) -> R {
        loop {
            if let Some(outcome) = self.outcome() {
                return f(&outcome);
            }
            self.wait();
        }
    }

    /// Calls `f` with the outcome, if it has been set. Never waits.
    pub fn try_with<R>(&self, f: impl FnOnce(&Result<T, E>) -> R) -> Option<R> {
        self.outcome().map(|outcome| f(&outcome))
    }

    /// Waits until it has been set.
    ///
    /// # Panics
    /// As [`AsyncResult::get`].
    #[inline]
    pub fn wait(&self) {
        if let Err(error) = self.wait_until(None) {
            error.panic(WAITING);
        }
    }

    /// As [`AsyncResult::wait`], for no longer than `limit`; whether it was set in that time.
    ///
    /// # Panics
    /// As [`AsyncResult::get`].
    pub fn wait_timeout(&self, limit: Duration) -> bool {
        if self.is_ready() {
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

    /// Whether it has been set.
    pub fn is_ready(&self) -> bool {
        self.state.lock().outcome.is_some()
    }

    /// Whether it has been set to a value.
    pub fn is_successful(&self) -> bool {
        matches!(&self.state.lock().outcome, Some(outcome) if outcome.is_ok())
    }

    /// Calls `f` with the outcome once it has been set, in a new greenlet of the thread that sets it (of this one,
    /// if it has been set already).
    ///
    /// Links are called in the order in which they were added, each in a greenlet of its own: one that
    /// blocks or panics does not keep the others. If a thread ends that has just set the result, and has not run
    /// its greenlets since, the links are called when it is next set.
    pub fn link(&self, f: impl FnOnce(&Result<T, E>) + Send + 'static) -> LinkId
    where
        T: Send + Sync + 'static,
        E: Send + Sync + 'static,
    {
        let links = self.links.get_or_init(Links::new);
        let id = links.add(Box::new(f));
        // Whoever sets the outcome after this look finds the link.
        if let Some(outcome) = self.outcome() {
            links.announce(&outcome);
        }
        id
    }

    /// Takes a link back that has not been called: false if it has, or is no link of this result.
    pub fn unlink(&self, link: LinkId) -> bool {
        self.links.get().is_some_and(|links| links.remove(link))
    }

    #[inline(never)]
    fn outcome(&self) -> Option<Arc<Result<T, E>>> {
        self.state.lock().outcome.clone()
    }

    #[inline(always)]
    fn wait_until(&self, deadline: Option<&Deadline>) -> Result<(), NotGranted> {
        let waiter = Waiter::new();
        if self.enqueue(&waiter) {
            let reason = WaitReason::external("an asynchronous result");
            waiter.wait(&reason, deadline, || self.give_up(&waiter))?;
        }
        Ok(())
    }

    /// Joins the queue, unless the outcome is set (false).
    #[inline(never)]
    fn enqueue(&self, waiter: &Waiter) -> bool {
        let mut state = self.state.lock();
        if state.outcome.is_some() {
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

impl<T, E> Readiness for AsyncResult<T, E> {
    fn is_ready(&self) -> bool {
        AsyncResult::is_ready(self)
    }

    fn register(&self, signal: &Arc<Signal>, index: usize) -> Option<u64> {
        let observer = Observer::new(signal, index);
        let mut state = self.state.lock();
        if state.outcome.is_some() {
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

impl<T, E> Waitable for AsyncResult<T, E> {}

impl<T, E> Default for AsyncResult<T, E> {
    fn default() -> Self {
        AsyncResult::new()
    }
}

impl<T: fmt::Debug, E: fmt::Debug> fmt::Debug for AsyncResult<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncResult")
            .field("outcome", &self.outcome())
            .finish_non_exhaustive()
    }
}
