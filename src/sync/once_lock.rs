//! [`OnceLock`]: std's, for greenlets and threads.
#![allow(unsafe_code)] // Reads a value that is there once `Once` says so.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::panic::{RefUnwindSafe, UnwindSafe};

use super::once::Once;

/// A value that is written once, as [`std::sync::OnceLock`]: those who come while another greenlet or thread
/// makes it wait, and let the other greenlets run.
///
/// If the function that makes the value panics, or is unwound by a kill or a
/// [`timeout`](crate::timeout), the cell stays empty, and the next one tries.
///
/// ```
/// use rustlet::sync::OnceLock;
/// static CONFIG: OnceLock<String> = OnceLock::new();
/// let greenlets: Vec<_> = (0..3)
///     .map(|n| {
///         rustlet::spawn(move || {
///             CONFIG.get_or_init(|| {
///                 rustlet::yield_now(); // the others wait
///                 format!("made by {n}")
///             })
///         })
///     })
///     .collect();
/// for greenlet in greenlets {
///     assert_eq!(greenlet.join().unwrap(), "made by 0");
/// }
/// ```
pub struct OnceLock<T> {
    once: Once,
    value: UnsafeCell<MaybeUninit<T>>,
    owns: PhantomData<T>,
}

// SAFETY: as std's: `&OnceLock` gives `&T` to any thread, and lets any thread move a `T` in.
unsafe impl<T: Sync + Send> Sync for OnceLock<T> {}
// SAFETY: as std's.
unsafe impl<T: Send> Send for OnceLock<T> {}

impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for OnceLock<T> {}
impl<T: UnwindSafe> UnwindSafe for OnceLock<T> {}

impl<T> OnceLock<T> {
    /// An empty cell.
    pub const fn new() -> Self {
        OnceLock {
            once: Once::new(),
            value: UnsafeCell::new(MaybeUninit::uninit()),
            owns: PhantomData,
        }
    }

    /// The value, if there is one. Never waits.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        // SAFETY: a completed `Once` means that the value was written, and it stays until the cell is
        // borrowed exclusively.
        self.once
            .is_completed()
            .then(|| unsafe { (*self.value.get()).assume_init_ref() })
    }

    /// The value, if there is one.
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        // SAFETY: as in `get`; the cell is borrowed exclusively.
        self.once
            .is_completed()
            .then(|| unsafe { self.value.get_mut().assume_init_mut() })
    }

    /// Waits until there is a value.
    ///
    /// # Panics
    /// If it would have to wait and cannot: on a thread's own stack when nothing can ever write the
    /// value ([`crate::Deadlock`]), or in a destructor that runs because of a panic or a kill.
    pub fn wait(&self) -> &T {
        self.once.wait_force();
        self.get().expect("written before the `Once` completed")
    }

    /// Writes the value. Waits if another is being made just now.
    ///
    /// # Errors
    /// With `value`, if there is one already.
    ///
    /// # Panics
    /// As [`OnceLock::get_or_init`].
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.init(|| value.take().expect("runs once"));
        match value {
            None => Ok(()),
            Some(value) => Err(value),
        }
    }

    /// The value; made by `f`, if there is none yet. Waits while another is making it.
    ///
    /// # Panics
    /// With `f`; if `f` asks for the value of this cell; and if it would have to wait and cannot, as
    /// [`OnceLock::wait`].
    #[inline]
    pub fn get_or_init(&self, f: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        self.init(f);
        self.get().expect("written before the `Once` completed")
    }

    #[cold]
    fn init(&self, f: impl FnOnce() -> T) {
        self.once.call_once_force(|_| {
            let value = f();
            // SAFETY: `Once` lets one at a time come here, and nobody reads before it is complete.
            unsafe { (*self.value.get()).write(value) };
        });
    }

    /// The value, if there is one.
    pub fn into_inner(mut self) -> Option<T> {
        self.take()
    }

    /// Takes the value out, if there is one, which leaves the cell empty.
    pub fn take(&mut self) -> Option<T> {
        if !self.once.is_completed() {
            return None;
        }
        self.once = Once::new();
        // SAFETY: the `Once` was complete, so there is a value; the new one says that there is none.
        Some(unsafe { self.value.get_mut().assume_init_read() })
    }
}

impl<T> Drop for OnceLock<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        OnceLock::new()
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> Self {
        let cell = OnceLock::new();
        let _ = cell.set(value);
        cell
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> Self {
        self.get().cloned().map_or_else(OnceLock::new, Into::into)
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => out.field(value),
            None => out.field(&format_args!("<uninit>")),
        };
        out.finish()
    }
}
