//! [`RwLock`]: std's, for greenlets and threads.
#![allow(unsafe_code)] // The guards are the proof of shared or exclusive access.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, TryLockError, TryLockResult};
use std::time::Duration;

use super::poison::{self, Flag};
use super::rw_permits::{Mode, RwPermits};
use super::waiter::deadline_in;

const READING: &str = "locking a read-write lock for reading";
const WRITING: &str = "locking a read-write lock for writing";

/// A value that many greenlets and threads read, or one writes, as [`std::sync::RwLock`]: waiting for it lets
/// the other greenlets run.
///
/// # Fairness
/// Readers and writers stand in one queue and are let in in the order in which they came, readers that
/// stand next to each other together. Who comes while others wait goes to the end of the queue, so that
/// neither side starves the other. Hence, as with std's, a greenlet that reads and locks again for reading may
/// wait for ever: for a writer that waits for it.
///
/// The lock is handed to the first waiter at the release. (A [`Mutex`](super::Mutex) may be
/// taken by code that runs before that waiter does.)
///
/// # Poisoning
/// As in std, a panic while it is locked for writing poisons it. A kill or a
/// [`timeout`](crate::timeout) that unwinds the writer does not, nor does anything that happens to readers.
///
/// ```
/// use rustlet::sync::RwLock;
/// let lock = RwLock::new(vec![1, 2]);
/// {
///     let one = lock.read().unwrap();
///     let other = lock.read().unwrap();
///     assert_eq!(one.len() + other.len(), 4);
///     assert!(lock.try_write().is_err());
/// }
/// lock.write().unwrap().push(3);
/// assert_eq!(*lock.read().unwrap(), [1, 2, 3]);
/// ```
pub struct RwLock<T: ?Sized> {
    permits: RwPermits,
    poison: Flag,
    value: UnsafeCell<T>,
}

// SAFETY: the lock gives the value itself to one thread at a time, as std's.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: as above; readers share `&T` between threads.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

// As std's: who sees a value that a panic left half done sees that the lock is poisoned.
impl<T: ?Sized> UnwindSafe for RwLock<T> {}
impl<T: ?Sized> RefUnwindSafe for RwLock<T> {}

impl<T> RwLock<T> {
    /// A lock that nobody holds.
    pub const fn new(value: T) -> Self {
        RwLock {
            permits: RwPermits::new(),
            poison: Flag::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// The value.
    ///
    /// # Errors
    /// With the value, if the lock is poisoned.
    pub fn into_inner(self) -> LockResult<T> {
        let poisoned = self.poison.get();
        poison::result(poisoned, self.value.into_inner())
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until nobody writes, and nobody waits who came before; then shares the value with other readers.
    ///
    /// # Errors
    /// With the guard, if the lock is poisoned.
    ///
    /// # Panics
    /// If it would have to wait and cannot: on a thread's own stack when nothing can ever unlock it
    /// ([`crate::Deadlock`]), or in a destructor that runs because of a panic or a kill. A greenlet that
    /// waits for itself, as the type's documentation says, waits for ever.
    #[inline]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        if let Err(error) = self.permits.acquire(Mode::Read, None) {
            error.panic(READING);
        }
        self.read_guard()
    }

    /// Shares the value with other readers, if nobody writes and nobody waits.
    ///
    /// # Errors
    /// `WouldBlock`, if somebody does; `Poisoned` with the guard, if the lock is poisoned.
    #[inline]
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        if !self.permits.try_acquire(Mode::Read) {
            return Err(TryLockError::WouldBlock);
        }
        self.read_guard().map_err(TryLockError::Poisoned)
    }

    /// As [`RwLock::read`], for no longer than `limit`.
    ///
    /// # Errors
    /// `WouldBlock`, if it could not be had in that time; `Poisoned` with the guard, if the lock is poisoned.
    ///
    /// # Panics
    /// As [`RwLock::read`].
    pub fn read_timeout(&self, limit: Duration) -> TryLockResult<RwLockReadGuard<'_, T>> {
        match self.try_read() {
            Err(TryLockError::WouldBlock) => {}
            locked => return locked,
        }
        let deadline = deadline_in(limit);
        match self.permits.acquire(Mode::Read, Some(&deadline)) {
            Ok(()) => self.read_guard().map_err(TryLockError::Poisoned),
            Err(error) => {
                error.timed_out_or_panic(READING);
                Err(TryLockError::WouldBlock)
            }
        }
    }

    /// Waits until nobody reads or writes, and nobody waits who came before; then has the value alone.
    ///
    /// # Errors
    /// With the guard, if the lock is poisoned.
    ///
    /// # Panics
    /// As [`RwLock::read`]. A greenlet that holds the lock already waits for ever.
    #[inline]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        if let Err(error) = self.permits.acquire(Mode::Write, None) {
            error.panic(WRITING);
        }
        self.write_guard()
    }

    /// Takes the value alone, if nobody reads, writes or waits.
    ///
    /// # Errors
    /// `WouldBlock`, if somebody does; `Poisoned` with the guard, if the lock is poisoned.
    #[inline]
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        if !self.permits.try_acquire(Mode::Write) {
            return Err(TryLockError::WouldBlock);
        }
        self.write_guard().map_err(TryLockError::Poisoned)
    }

    /// As [`RwLock::write`], for no longer than `limit`.
    ///
    /// # Errors
    /// `WouldBlock`, if it could not be had in that time; `Poisoned` with the guard, if the lock is poisoned.
    ///
    /// # Panics
    /// As [`RwLock::write`].
    pub fn write_timeout(&self, limit: Duration) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        match self.try_write() {
            Err(TryLockError::WouldBlock) => {}
            locked => return locked,
        }
        let deadline = deadline_in(limit);
        match self.permits.acquire(Mode::Write, Some(&deadline)) {
            Ok(()) => self.write_guard().map_err(TryLockError::Poisoned),
            Err(error) => {
                error.timed_out_or_panic(WRITING);
                Err(TryLockError::WouldBlock)
            }
        }
    }

    #[inline(always)]
    fn read_guard(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        let guard = RwLockReadGuard {
            lock: self,
            not_send: PhantomData,
        };
        poison::result(self.poison.get(), guard)
    }

    #[inline(always)]
    fn write_guard(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        let guard = RwLockWriteGuard {
            lock: self,
            panicking: poison::Before::now(),
            not_send: PhantomData,
        };
        poison::result(self.poison.get(), guard)
    }

    /// Whether a panic happened while it was locked for writing.
    pub fn is_poisoned(&self) -> bool {
        self.poison.get()
    }

    /// Makes a poisoned lock an ordinary one again.
    pub fn clear_poison(&self) {
        self.poison.clear();
    }

    /// The value, when nobody else can have the lock.
    ///
    /// # Errors
    /// With the value, if the lock is poisoned.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        poison::result(self.poison.get(), self.value.get_mut())
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        RwLock::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RwLock");
        match self.try_read() {
            Ok(guard) => out.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => out.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => out.field("data", &format_args!("<locked>")),
        };
        out.field("poisoned", &self.is_poisoned())
            .finish_non_exhaustive()
    }
}

/// The right to read the value of a [`RwLock`]; dropping it unlocks.
#[must_use = "a lock that is dropped at once protects nothing"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives access to `&T` alone.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: while there is a read guard there is no write guard.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.permits.release(Mode::Read);
    }
}

/// The right to the value of a [`RwLock`]; dropping it unlocks.
#[must_use = "a lock that is dropped at once protects nothing"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    panicking: poison::Before,
    not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives access to `&T` alone.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Goes on reading: other readers are let in, but no writer comes between.
    ///
    /// ```
    /// use rustlet::sync::{RwLock, RwLockWriteGuard};
    /// let lock = RwLock::new(0);
    /// let mut writer = lock.write().unwrap();
    /// *writer = 1;
    /// let reader = RwLockWriteGuard::downgrade(writer);
    /// assert_eq!((*reader, *lock.read().unwrap()), (1, 1));
    /// ```
    pub fn downgrade(this: Self) -> RwLockReadGuard<'a, T> {
        let this = ManuallyDrop::new(this);
        this.lock.permits.downgrade();
        RwLockReadGuard {
            lock: this.lock,
            not_send: PhantomData,
        }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard is the one that there is.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is the one that there is, and is borrowed exclusively.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.poison.note(&self.panicking);
        self.lock.permits.release(Mode::Write);
    }
}

macro_rules! show_the_value {
    ($($guard:ident)*) => {$(
        impl<T: ?Sized + fmt::Debug> fmt::Debug for $guard<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }

        impl<T: ?Sized + fmt::Display> fmt::Display for $guard<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }
    )*};
}

show_the_value! { RwLockReadGuard RwLockWriteGuard }
