//! [`LazyLock`]: std's, for greenlets and threads.
#![allow(unsafe_code)] // Takes the function out of a shared cell.

use std::cell::Cell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};

use super::once_lock::OnceLock;

/// A value that is made at its first use, as [`std::sync::LazyLock`]: those who come while another greenlet
/// or thread makes it wait, and let the other greenlets run.
///
/// The function runs once at most. If it panics, the lock is poisoned, as std's. If it is unwound by a
/// kill or a [`timeout`](crate::timeout), so it is: the function is used up, and there is
/// none for the next one to try. Where a function that suspends may be interrupted, use [`OnceLock`], whose
/// callers bring their own.
///
/// ```
/// use rustlet::sync::LazyLock;
/// static GREETING: LazyLock<String> = LazyLock::new(|| {
///     rustlet::yield_now(); // may suspend
///     "hello".to_owned()
/// });
/// assert_eq!(GREETING.len(), 5);
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    cell: OnceLock<T>,
    /// Taken by whoever makes the value.
    make: Cell<Option<F>>,
}

// SAFETY: as std's: `make` is touched inside of the cell's initialisation alone, by one thread at a time,
// which may be another one than that which made it.
unsafe impl<T: Sync + Send, F: Send> Sync for LazyLock<T, F> {}

impl<T: RefUnwindSafe + UnwindSafe, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> {}
impl<T: UnwindSafe, F: UnwindSafe> UnwindSafe for LazyLock<T, F> {}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    /// A value that `f` will make.
    pub const fn new(f: F) -> Self {
        LazyLock {
            cell: OnceLock::new(),
            make: Cell::new(Some(f)),
        }
    }

    /// The value; made now, if this is its first use. What [`Deref`] does.
    ///
    /// # Panics
    /// With the function; if it did not return before; if it asks for the value of this lock; if this would
    /// have to wait and cannot: on a thread's own stack when nothing can ever end the making
    /// ([`crate::Deadlock`]), or in a destructor that runs because of a panic or a kill.
    #[inline]
    pub fn force(this: &Self) -> &T {
        this.cell.get_or_init(|| this.make())
    }

    /// As [`LazyLock::force`].
    ///
    /// # Panics
    /// As [`LazyLock::force`].
    pub fn force_mut(this: &mut Self) -> &mut T {
        LazyLock::force(this);
        this.cell.get_mut().expect("just made")
    }

    #[cold]
    fn make(&self) -> T {
        match self.make.take() {
            Some(f) => f(),
            None => panic!("LazyLock instance has previously been poisoned"),
        }
    }
}

impl<T, F> LazyLock<T, F> {
    /// The value, if it has been made. Never waits.
    pub fn get(this: &Self) -> Option<&T> {
        this.cell.get()
    }

    /// The value, if it has been made.
    pub fn get_mut(this: &mut Self) -> Option<&mut T> {
        this.cell.get_mut()
    }
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        LazyLock::force(self)
    }
}

impl<T, F: FnOnce() -> T> DerefMut for LazyLock<T, F> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        LazyLock::force_mut(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> Self {
        LazyLock::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_tuple("LazyLock");
        match LazyLock::get(self) {
            Some(value) => out.field(value),
            None => out.field(&format_args!("<uninit>")),
        };
        out.finish()
    }
}
