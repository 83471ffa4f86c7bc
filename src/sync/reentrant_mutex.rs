//! [`ReentrantMutex`]: a mutex that its holder may lock again.
//!
//! The holder is a greenlet, named by its number: no other greenlet of the process ever has the same, so a
//! greenlet that ended while its guard lived on does not leave the mutex to whoever gets its memory. The
//! code on a thread's own stack is named by the number of its hub, of which that is true too.
#![allow(unsafe_code)] // Shares a value that may not be `Sync` within one thread.

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::permits::Permits;
use super::waiter::deadline_in;
use crate::scheduler::hub;

const LOCKING: &str = "locking a reentrant mutex";

/// Set in the names of threads' own code, so that they are no greenlet's.
const THREAD: u64 = 1 << 63;

/// The name of the running code.
fn me() -> u64 {
    let task = &hub::current_control().task;
    match task.id {
        0 => task.home().map_or(0, |home| home.hub_id()) | THREAD,
        id => id,
    }
}

/// A mutex that the greenlet which holds it may lock again: gevent's and Python's `RLock`.
///
/// It belongs to the greenlet that locked it, not to its thread; code on a thread's own stack counts as
/// one greenlet. It is free again when as many guards were dropped as were taken. As there may be
/// several guards they give `&T` alone; `RefCell` and `Cell` do the rest. There is no poisoning, as in
/// std's `ReentrantLock`.
///
/// Waiters get it in the order in which they came, as with [`Mutex`](super::Mutex).
///
/// A release by somebody else, which is an error in gevent, does not occur: the guard is the right to it.
/// (A guard can be moved to another greenlet of the thread. The mutex still belongs to the greenlet that
/// locked it.)
///
/// ```
/// use rustlet::sync::ReentrantMutex;
/// use std::cell::Cell;
/// let mutex = ReentrantMutex::new(Cell::new(1));
/// let outer = mutex.lock();
/// let inner = mutex.lock();
/// inner.set(outer.get() + 1);
/// drop((inner, outer));
/// assert_eq!(mutex.into_inner().get(), 2);
/// ```
pub struct ReentrantMutex<T: ?Sized> {
    permits: Permits,
    /// Who holds it; 0 if nobody does. Written by the holder alone, so whoever reads its own name here holds
    /// it, and nobody else ever reads that: no ordering is needed.
    owner: AtomicU64,
    /// How many guards there are. Belongs to the thread that holds the permit.
    guards: Cell<u32>,
    value: UnsafeCell<T>,
}

// SAFETY: as std's ReentrantLock.
unsafe impl<T: ?Sized + Send> Send for ReentrantMutex<T> {}
// SAFETY: guards, of which there are several, stay on one thread, so that `T` is reached by one thread at a
// time; `guards` is too.
unsafe impl<T: ?Sized + Send> Sync for ReentrantMutex<T> {}

impl<T: ?Sized + UnwindSafe> UnwindSafe for ReentrantMutex<T> {}
impl<T: ?Sized + RefUnwindSafe> RefUnwindSafe for ReentrantMutex<T> {}

impl<T> ReentrantMutex<T> {
    /// A mutex that nobody holds.
    pub const fn new(value: T) -> Self {
        ReentrantMutex {
            permits: Permits::new(1, "a reentrant mutex", true),
            owner: AtomicU64::new(0),
            guards: Cell::new(0),
            value: UnsafeCell::new(value),
        }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> ReentrantMutex<T> {
    /// Waits until no other greenlet holds the mutex, and takes it, or takes it once more.
    ///
    /// # Panics
    /// If it would have to wait and cannot: on a thread's own stack when nothing can ever unlock it
    /// ([`crate::Deadlock`]), or in a destructor that runs because of a panic or a kill. If there
    /// are more than `u32::MAX` guards.
    #[inline]
    pub fn lock(&self) -> ReentrantMutexGuard<'_, T> {
        let me = me();
        if self.owner.load(Ordering::Relaxed) == me {
            return self.once_more();
        }
        if let Err(error) = self.permits.acquire(None) {
            error.panic(LOCKING);
        }
        self.first(me)
    }

    /// Takes the mutex, unless another greenlet holds it.
    #[inline]
    pub fn try_lock(&self) -> Option<ReentrantMutexGuard<'_, T>> {
        let me = me();
        if self.owner.load(Ordering::Relaxed) == me {
            return Some(self.once_more());
        }
        self.permits.try_acquire().then(|| self.first(me))
    }

    /// As [`ReentrantMutex::lock`], for no longer than `limit`.
    ///
    /// # Panics
    /// As [`ReentrantMutex::lock`].
    pub fn lock_timeout(&self, limit: Duration) -> Option<ReentrantMutexGuard<'_, T>> {
        if let Some(guard) = self.try_lock() {
            return Some(guard);
        }
        let deadline = deadline_in(limit);
        match self.permits.acquire(Some(&deadline)) {
            Ok(()) => Some(self.first(me())),
            Err(error) => {
                error.timed_out_or_panic(LOCKING);
                None
            }
        }
    }

    /// The guard of who was just given the permit.
    #[inline(always)]
    fn first(&self, me: u64) -> ReentrantMutexGuard<'_, T> {
        self.owner.store(me, Ordering::Relaxed);
        self.guards.set(1);
        ReentrantMutexGuard {
            mutex: self,
            not_send: PhantomData,
        }
    }

    /// A further guard of who holds it.
    #[inline(always)]
    fn once_more(&self) -> ReentrantMutexGuard<'_, T> {
        let guards = self.guards.get().checked_add(1);
        self.guards
            .set(guards.expect("no more than u32::MAX guards of a reentrant mutex"));
        ReentrantMutexGuard {
            mutex: self,
            not_send: PhantomData,
        }
    }

    /// Whether the running greenlet holds it.
    pub fn is_mine(&self) -> bool {
        self.owner.load(Ordering::Relaxed) == me()
    }

    /// The value, when nobody else can have the mutex.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: Default> Default for ReentrantMutex<T> {
    fn default() -> Self {
        ReentrantMutex::new(T::default())
    }
}

impl<T> From<T> for ReentrantMutex<T> {
    fn from(value: T) -> Self {
        ReentrantMutex::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ReentrantMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("ReentrantMutex");
        match self.try_lock() {
            Some(guard) => out.field("data", &&*guard),
            None => out.field("data", &format_args!("<locked>")),
        };
        out.finish_non_exhaustive()
    }
}

/// The right to the value of a [`ReentrantMutex`]; dropping the last one unlocks.
///
/// It stays on its thread, and gives no `&mut T`:
/// ```compile_fail,E0277
/// let mutex: &'static _ = Box::leak(Box::new(rustlet::sync::ReentrantMutex::new(1)));
/// let guard = mutex.lock();
/// rustlet::spawn(move || drop(guard));
/// ```
/// ```compile_fail,E0594
/// let mutex = rustlet::sync::ReentrantMutex::new(1);
/// *mutex.lock() = 2;
/// ```
#[must_use = "a lock that is dropped at once protects nothing"]
pub struct ReentrantMutexGuard<'a, T: ?Sized> {
    mutex: &'a ReentrantMutex<T>,
    not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives access to `&T` alone.
unsafe impl<T: ?Sized + Sync> Sync for ReentrantMutexGuard<'_, T> {}

impl<T: ?Sized> Deref for ReentrantMutexGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: while there is a guard, only guards of this thread reach the value, and they share it.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for ReentrantMutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let guards = self.mutex.guards.get() - 1;
        self.mutex.guards.set(guards);
        if guards == 0 {
            self.mutex.owner.store(0, Ordering::Relaxed);
            self.mutex.permits.release();
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ReentrantMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for ReentrantMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
