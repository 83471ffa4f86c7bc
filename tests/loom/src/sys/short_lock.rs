//! Twin of `sys::short_lock` for the files that use it: loom's mutex.
//!
//! The real one has a model of its own (`spinning_model`). Spinning multiplies the executions, and says nothing more about what
//! is under the lock.

use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;

use loom::sync::{Mutex, MutexGuard};

pub(crate) struct ShortLock<T> {
    /// Until it is first used: `new` is const, loom's is not. See `util::primitive`.
    initial: std::sync::Mutex<Option<T>>,
    mutex: OnceLock<Mutex<T>>,
}

impl<T> ShortLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        ShortLock {
            initial: std::sync::Mutex::new(Some(value)),
            mutex: OnceLock::new(),
        }
    }

    pub(crate) fn lock(&self) -> ShortGuard<'_, T> {
        let mutex = self.mutex.get_or_init(|| {
            let initial = self
                .initial
                .lock()
                .expect("no panic while it is held")
                .take();
            Mutex::new(initial.expect("taken once"))
        });
        ShortGuard(mutex.lock().expect("no panic while it is held"))
    }
}

impl<T> std::fmt::Debug for ShortLock<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShortLock")
    }
}

pub(crate) struct ShortGuard<'a, T>(MutexGuard<'a, T>);

impl<T> Deref for ShortGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for ShortGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
