//! [`BoundedSemaphore`]: a semaphore that notices a release too many.

use std::error::Error;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use super::observers::Observer;
use super::permits::Permits;
use super::semaphore::Permit;
use super::waiter::deadline_in;
use crate::scheduler::waitable::{Readiness, Signal, Waitable};

const ACQUIRING: &str = "acquiring a bounded semaphore";

/// A [`Semaphore`](super::Semaphore) that never has more permits than it began with.
///
/// ```
/// use rustlet::sync::{BoundedSemaphore, OverRelease};
/// let semaphore = BoundedSemaphore::new(1);
/// semaphore.acquire().forget();
/// assert_eq!(semaphore.release(), Ok(()));
/// assert_eq!(semaphore.release(), Err(OverRelease));
/// ```
pub struct BoundedSemaphore {
    permits: Permits,
    most: usize,
}

impl UnwindSafe for BoundedSemaphore {}
impl RefUnwindSafe for BoundedSemaphore {}

/// A [`BoundedSemaphore`] was released more often than acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverRelease;

impl fmt::Display for OverRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("semaphore released too many times")
    }
}

impl Error for OverRelease {}

impl BoundedSemaphore {
    /// A semaphore with `permits` permits.
    pub const fn new(permits: usize) -> Self {
        BoundedSemaphore {
            permits: Permits::new(permits, "a permit of a bounded semaphore", false),
            most: permits,
        }
    }

    /// Takes a permit, waiting for one if none is free. The guard gives it back.
    ///
    /// # Panics
    /// As [`Semaphore::acquire`](super::Semaphore::acquire).
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

    /// As [`BoundedSemaphore::acquire`], for no longer than `limit`.
    ///
    /// # Panics
    /// As [`BoundedSemaphore::acquire`].
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

    #[inline(always)]
    fn permit(&self) -> Permit<'_> {
        Permit::new(&self.permits, self.most)
    }

    /// Gives a permit back that was taken and [forgotten](Permit::forget). Never waits.
    ///
    /// # Errors
    /// If no permit is taken. (A permit that is given back by this and by dropping its guard too counts
    /// once: the drop does nothing then, unless another is taken, which it gives back.)
    #[inline]
    pub fn release(&self) -> Result<(), OverRelease> {
        if self.permits.release_bounded(self.most) {
            Ok(())
        } else {
            Err(OverRelease)
        }
    }

    /// How many permits are free now.
    pub fn available_permits(&self) -> usize {
        self.permits.free()
    }

    /// How many permits there are.
    pub fn capacity(&self) -> usize {
        self.most
    }

    /// Whether no permit is free now.
    pub fn locked(&self) -> bool {
        self.permits.free() == 0
    }
}

/// As a [`Semaphore`](super::Semaphore)'s.
impl Readiness for BoundedSemaphore {
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

impl Waitable for BoundedSemaphore {}

impl fmt::Debug for BoundedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedSemaphore")
            .field("available_permits", &self.available_permits())
            .field("capacity", &self.most)
            .finish()
    }
}
