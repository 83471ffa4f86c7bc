//! [`Mutex`]: std's, for greenlets and threads.
#![allow(unsafe_code)] // The guard is the proof of exclusive access.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, TryLockError, TryLockResult};
use std::time::Duration;

use super::permits::Permits;
use super::poison::{self, Flag};
use super::waiter::deadline_in;
use crate::timer::Deadline;

const LOCKING: &str = "locking a mutex";

/// A value that one greenlet or thread uses at a time, as [`std::sync::Mutex`]: waiting for it lets the
/// other greenlets run.
///
/// Waiters get it in the order in which they came. It is not handed over: running code may take it
/// before a waiter that was just woken comes to run, which is then handed it the next time.
///
/// # Poisoning
/// As in std, a panic while the guard lives poisons the mutex. A kill or a [`timeout`](crate::timeout) that
/// unwinds the holder does not: code that suspends while it holds a lock has to expect them.
///
/// ```
/// use rustlet::sync::Mutex;
/// use std::sync::Arc;
/// let count = Arc::new(Mutex::new(0));
/// let greenlets: Vec<_> = (0..10)
///     .map(|_| {
///         let count = count.clone();
///         rustlet::spawn(move || {
///             let mut count = count.lock().unwrap();
///             let before = *count;
///             rustlet::yield_now(); // others run, and wait
///             *count = before + 1;
///         })
///     })
///     .collect();
/// greenlets.into_iter().for_each(|g| g.join().unwrap());
/// assert_eq!(*count.lock().unwrap(), 10);
/// ```
pub struct Mutex<T: ?Sized> {
    permits: Permits,
    poison: Flag,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through the one guard at a time, as std's.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

// As std's: who sees a value that a panic left half done sees that the mutex is poisoned.
impl<T: ?Sized> UnwindSafe for Mutex<T> {}
impl<T: ?Sized> RefUnwindSafe for Mutex<T> {}

impl<T> Mutex<T> {
    /// A mutex that nobody holds.
    pub const fn new(value: T) -> Self {
        Mutex {
            permits: Permits::new(1, "a mutex", true),
            poison: Flag::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// The value.
    ///
    /// # Errors
    /// With the value, if the mutex is poisoned.
    pub fn into_inner(self) -> LockResult<T> {
        let poisoned = self.poison.get();
        poison::result(poisoned, self.value.into_inner())
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until nobody holds the mutex, and takes it.
    ///
    /// # Errors
    /// With the guard, if the mutex is poisoned.
    ///
    /// # Panics
    /// If it would have to wait and cannot: on a thread's own stack when nothing can ever unlock it
    /// ([`crate::Deadlock`]), or in a destructor that runs because of a panic or a kill. A greenlet that
    /// locks a mutex which it holds already waits for ever.
    #[inline]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        if let Err(error) = self.permits.acquire(None) {
            error.panic(LOCKING);
        }
        self.guard()
    }

    /// Takes the mutex, if nobody holds it.
    ///
    /// # Errors
    /// `WouldBlock`, if somebody does; `Poisoned` with the guard, if the mutex is poisoned.
    #[inline]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        if !self.permits.try_acquire() {
            return Err(TryLockError::WouldBlock);
        }
        self.guard().map_err(TryLockError::Poisoned)
    }

    /// As [`Mutex::lock`], for no longer than `limit`.
    ///
    /// # Errors
    /// `WouldBlock`, if it was held all the time; `Poisoned` with the guard, if the mutex is poisoned.
    ///
    /// # Panics
    /// As [`Mutex::lock`].
    pub fn lock_timeout(&self, limit: Duration) -> TryLockResult<MutexGuard<'_, T>> {
        match self.try_lock() {
            Err(TryLockError::WouldBlock) => {}
            locked => return locked,
        }
        let deadline: Deadline = deadline_in(limit);
        match self.permits.acquire(Some(&deadline)) {
            Ok(()) => self.guard().map_err(TryLockError::Poisoned),
            Err(error) => {
                error.timed_out_or_panic(LOCKING);
                Err(TryLockError::WouldBlock)
            }
        }
    }

    #[inline(always)]
    fn guard(&self) -> LockResult<MutexGuard<'_, T>> {
        let guard = MutexGuard {
            mutex: self,
            panicking: poison::Before::now(),
            not_send: PhantomData,
        };
        poison::result(self.poison.get(), guard)
    }

    /// Whether a panic happened while it was held.
    pub fn is_poisoned(&self) -> bool {
        self.poison.get()
    }

    /// Makes a poisoned mutex an ordinary one again.
    pub fn clear_poison(&self) {
        self.poison.clear();
    }

    /// The value, when nobody else can have the mutex.
    ///
    /// # Errors
    /// With the value, if the mutex is poisoned.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        poison::result(self.poison.get(), self.value.get_mut())
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Mutex::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(guard) => out.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => out.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => out.field("data", &format_args!("<locked>")),
        };
        out.field("poisoned", &self.is_poisoned())
            .finish_non_exhaustive()
    }
}

/// The right to the value of a [`Mutex`]; dropping it unlocks.
///
/// It stays on its thread:
/// ```compile_fail,E0277
/// let mutex: &'static _ = Box::leak(Box::new(rustlet::sync::Mutex::new(1)));
/// let guard = mutex.lock().unwrap();
/// rustlet::spawn(move || drop(guard));
/// ```
#[must_use = "a lock that is dropped at once protects nothing"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    panicking: poison::Before,
    not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives access to `&T` alone.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// What it is the guard of: for condition variables.
    pub(super) fn mutex(&self) -> &'a Mutex<T> {
        self.mutex
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard is the one that there is.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is the one that there is, and is borrowed exclusively.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.poison.note(&self.panicking);
        self.mutex.permits.release();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
