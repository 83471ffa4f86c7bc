//! [`Semaphore`]: a number of permits.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use super::observers::Observer;
use super::permits::Permits;
use super::waiter::deadline_in;
use crate::scheduler::waitable::{Readiness, Signal, Waitable};

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

impl UnwindSafe for Semaphore {}
impl RefUnwindSafe for Semaphore {}

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
        self.permit()
    }

    /// Takes a permit, if one is free.
    #[inline]
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.permits.try_acquire().then(|| self.permit())
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
            Ok(()) => Some(self.permit()),
            Err(error) => {
                error.timed_out_or_panic(ACQUIRING);
                None
            }
        }
    }

    /// As [`Semaphore::acquire`], with a permit that can be moved into a greenlet.
    ///
    /// ```
    /// use rustlet::sync::Semaphore;
    /// use std::sync::Arc;
    /// let semaphore = Arc::new(Semaphore::new(1));
    /// let permit = semaphore.acquire_owned();
    /// let holder = rustlet::spawn(move || drop(permit));
    /// let _again = semaphore.acquire(); // waits for the greenlet
    /// holder.join().unwrap();
    /// ```
    ///
    /// # Panics
    /// As [`Semaphore::acquire`].
    pub fn acquire_owned(self: &Arc<Self>) -> OwnedPermit {
        self.acquire().forget();
        OwnedPermit {
            semaphore: self.clone(),
        }
    }

    #[inline(always)]
    fn permit(&self) -> Permit<'_> {
        Permit::new(&self.permits, usize::MAX)
    }

    /// Gives a permit back that was taken and [forgotten](Permit::forget), or adds one. Never waits.
    ///
    /// # Panics
    /// If there would be more than `usize::MAX` free permits.
    #[inline]
    pub fn release(&self) {
        self.permits.release();
    }

    /// As [`Semaphore::release`] `count` times.
    ///
    /// # Panics
    /// If there would be more than `usize::MAX` free permits; nothing is added then.
    pub fn add_permits(&self, count: usize) {
        assert!(
            self.permits.add(count),
            "no more than usize::MAX permits of a semaphore"
        );
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

/// Ready while a permit is free. Being told so takes none: somebody else may be faster.
impl Readiness for Semaphore {
    fn is_ready(&self) -> bool {
        !self.locked()
    }

    fn register(&self, signal: &Arc<Signal>, index: usize) -> Option<u64> {
        self.permits.observe(Observer::new(signal, index))
    }

    fn unregister(&self, registration: u64) {
        self.permits.unobserve(registration);
    }
}

impl Waitable for Semaphore {}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available_permits", &self.available_permits())
            .finish()
    }
}

/// A permit of a [`Semaphore`] or [`BoundedSemaphore`](super::BoundedSemaphore); dropping it gives it back.
#[must_use = "a permit that is dropped at once protects nothing"]
pub struct Permit<'a> {
    permits: &'a Permits,
    most: usize,
}

impl<'a> Permit<'a> {
    /// One that was taken. There will never be more than `most` free ones by dropping it.
    #[inline(always)]
    pub(super) fn new(permits: &'a Permits, most: usize) -> Self {
        Permit { permits, most }
    }

    /// Keeps the permit taken: [`Semaphore::release`] gives it back later.
    pub fn forget(self) {
        core::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        // Never refused but after a release too many, which was not.
        self.permits.release_bounded(self.most);
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

/// A [`Permit`] that keeps its semaphore: see [`Semaphore::acquire_owned`].
#[derive(Debug)]
#[must_use = "a permit that is dropped at once protects nothing"]
pub struct OwnedPermit {
    semaphore: Arc<Semaphore>,
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        self.semaphore.permits.release_bounded(usize::MAX);
    }
}
