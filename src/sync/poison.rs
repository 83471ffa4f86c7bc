//! Poisoning: what std's locks remember of panics, with kills and timeouts left out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LockResult, PoisonError};

use crate::scheduler::interrupt;

/// Whether a panic happened while the lock was held.
#[derive(Debug)]
pub(super) struct Flag(AtomicBool);

/// Whether the code unwound already when it took the lock: then its unwinding says nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    panicking: bool,
}

impl Before {
    #[inline(always)]
    pub(super) fn now() -> Self {
        Before {
            panicking: std::thread::panicking(),
        }
    }
}

impl Flag {
    pub(super) const fn new() -> Self {
        Flag(AtomicBool::new(false))
    }

    // Relaxed throughout, as in std: the lock itself orders the accesses.
    #[inline(always)]
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Called when the lock is given back.
    #[inline(always)]
    pub(super) fn note(&self, before: &Before) {
        if std::thread::panicking() && !before.panicking {
            self.note_unwinding();
        }
    }

    #[cold]
    fn note_unwinding(&self) {
        if !interrupt::unwinding_is_ours() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// `value`, as an error if the lock is poisoned.
#[inline(always)]
pub(super) fn result<V>(poisoned: bool, value: V) -> LockResult<V> {
    if poisoned {
        Err(PoisonError::new(value))
    } else {
        Ok(value)
    }
}
