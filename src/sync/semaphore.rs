//! [`Semaphore`]: a number of permits.

use std::fmt;
use std::time::Duration;

use super::permits::Permits;
use super::waiter::deadline_in;

const ACQUIRING: &str = "acquiring a semaphore";

/// A number of permits that greenlets and threads take and give back.
///
/// Waiters are served in the order in which they came. As gevent's, it is not handed over: code that
/// runs may take a permit that was just given back before the waiter that was woken for it comes to
/// run; that waiter is handed the next one then, so nobody starves.
///
/// As in gevent, [`Semaphore::release`] without an acquisition adds a permit;
/// [`super::BoundedSemaphore`] refuses that.
///
/// ```
/// use rustlet::sync::Semaphore;
/// use std::sync::Arc;
/// let two_at_a_time = Arc::new(Semaphore::new(2));
/// let greenlets: Vec<_> = (0..10)
///     .map(|n| {
///         let semaphore = two_at_a_time.clone();
///         rustlet::spawn(move || {
///             let _permit = semaphore.acquire();
///             rustlet::yield_now();
///             n
///         })
///     })
///     .collect();
/// let sum: i32 = greenlets.into_iter().map(|g| g.join().unwrap()).sum();
/// assert_eq!(sum, 45);
/// assert_eq!(two_at_a_time.available_permits(), 2);
/// ```
pub struct Semaphore {
    permits: Permits,
}

impl Semaphore {
    /// A semaphore with `permits` permits.
    pub const fn new(permits: usize) -> Self {
        Semaphore {
            permits: Permits::new(permits, "a permit of a semaphore", false),
        }
    }

    /// Takes a permit, waiting for one if none is free. The guard gives it back.
    ///
    /// # Panics
    /// If it would have to wait and cannot: on a thread's own stack when nothing can ever give a permit
    /// back ([`crate::Deadlock`]), or in a destructor that runs because of a panic or a kill.
    #[inline]
    pub fn acquire(&self) -> Permit<'_> {
        if let Err(error) = self.permits.acquire(None) {
            error.panic(ACQUIRING);
        }
        Permit { semaphore: self }
    }

    /// Takes a permit, if one is free.
    #[inline]
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.permits
            .try_acquire()
            .then(|| Permit { semaphore: self })
    }

    /// As [`Semaphore::acquire`], for no longer than `limit`.
    ///
    /// # Panics
    /// As [`Semaphore::acquire`].
    pub fn acquire_timeout(&self, limit: Duration) -> Option<Permit<'_>> {
        if let Some(permit) = self.try_acquire() {
            return Some(permit);
        }
        let deadline = deadline_in(limit);
        match self.permits.acquire(Some(&deadline)) {
            Ok(()) => Some(Permit { semaphore: self }),
            Err(error) => {
                error.timed_out_or_panic(ACQUIRING);
                None
            }
        }
    }

    /// Gives a permit back that was taken and [forgotten](Permit::forget), or adds one. Never waits.
    #[inline]
    pub fn release(&self) {
        self.permits.release();
    }

    /// As [`Semaphore::release`] `count` times.
    pub fn add_permits(&self, count: usize) {
        (0..count).for_each(|_| self.permits.release());
    }

    /// How many permits are free now. gevent's `counter`.
    pub fn available_permits(&self) -> usize {
        self.permits.free()
    }

    /// Whether no permit is free now.
    pub fn locked(&self) -> bool {
        self.permits.free() == 0
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available_permits", &self.available_permits())
            .finish()
    }
}

/// A permit of a [`Semaphore`]; dropping it gives it back.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once protects nothing"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
}

impl Permit<'_> {
    /// Keeps the permit taken: [`Semaphore::release`] gives it back later.
    pub fn forget(self) {
        core::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.semaphore.permits.release();
    }
}
