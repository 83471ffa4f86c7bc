//! A lock for critical sections of a few dozen instructions, which never suspend.
//!
//! What the library's own locks, queues and channels guard their state with. Taking it is one atomic
//! exchange and giving it back one store, half of what a mutex that can sleep costs; that half is a third of a
//! message between two greenlets. Whoever finds it taken spins, since the holder is a few nanoseconds from
//! the end; if the holder was preempted, it lets other threads run, and then naps.
//!
//! Called by `sync` and `scheduler`. Inside: no suspension, no user code, no panic, no second short lock of
//! the same kind. Not usable in signal handlers.
//!
//! Rejected: `std::sync::Mutex` (two atomic operations and a look at the panic count), a lock word with a
//! futex (its unlock has to ask whether someone sleeps, which is the second atomic operation).

use core::cell::UnsafeCell;
use core::fmt;
use core::ops::{Deref, DerefMut};

use crate::util::primitive::{AtomicBool, Ordering, hint};

/// Rounds of looking at the lock before other threads are let run.
const SPINS: u32 = 100;
/// Times that other threads are let run before it naps: a holder of lower real-time priority would
/// never get the processor otherwise.
const YIELDS: u32 = 50;
/// How long it naps.
const NAP: super::clock::Nanos = 50_000;

/// A value behind a spinning lock.
pub(crate) struct ShortLock<T> {
    locked: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached by one thread at a time, through the guard; as std's Mutex.
unsafe impl<T: Send> Send for ShortLock<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for ShortLock<T> {}

impl<T> ShortLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        ShortLock {
            locked: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the lock.
    #[inline(always)]
    pub(crate) fn lock(&self) -> ShortGuard<'_, T> {
        // Acquire pairs with the Release of the guard's drop.
        if self.locked.swap(true, Ordering::Acquire) {
            self.lock_contended();
        }
        ShortGuard { lock: self }
    }

    #[cold]
    fn lock_contended(&self) {
        let mut rounds = 0;
        loop {
            if !self.locked.load(Ordering::Relaxed) && !self.locked.swap(true, Ordering::Acquire) {
                return;
            }
            rounds += 1;
            if rounds < SPINS {
                hint::spin_loop();
            } else if rounds < SPINS + YIELDS {
                super::thread::let_others_run();
            } else {
                super::thread::sleep_until(super::clock::now() + NAP);
            }
        }
    }

    /// The value.
    #[cfg(test)]
    pub(crate) fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T> fmt::Debug for ShortLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShortLock").finish_non_exhaustive()
    }
}

/// The right to the value.
pub(crate) struct ShortGuard<'a, T> {
    lock: &'a ShortLock<T>,
}

impl<T> Deref for ShortGuard<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the guard has the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for ShortGuard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard has the lock, and is borrowed exclusively.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for ShortGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.lock.locked.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excludes_other_threads() {
        const EACH: u64 = 20_000;
        let lock = ShortLock::new((0u64, 0u64));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        let mut both = lock.lock();
                        both.0 += 1;
                        let copy = both.0;
                        both.1 += 1;
                        assert_eq!(copy, both.1);
                    }
                });
            }
        });
        assert_eq!(lock.into_inner(), (4 * EACH, 4 * EACH));
    }
}
