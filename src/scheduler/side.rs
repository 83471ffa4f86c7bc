//! The side box: what few greenlets have, apart from the task so that this stays small.
//!
//! A name, a measured stack, thrown payloads, locals, a panic's text: each is rare, and a task with
//! a small closure should fit a cell ([`super::cells`]). The box is made when the first of them is needed, by any
//! thread, and goes with the task.
//!
//! Rejected: a map of the hub's, keyed by the greenlet's number. Other threads throw and name, so it
//! would need a lock; the pointer costs the common greenlet one store.
#![allow(unsafe_code)] // A box that is made once, through an atomic pointer.

use core::fmt;
use core::marker::PhantomData;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use super::local::Locals;
use super::throw::{self, Payloads};

/// The contents.
#[derive(Default)]
pub(super) struct Side {
    /// Given at the spawn.
    pub(super) name: Option<Box<str>>,
    /// Highest use of the stack in bytes, plus one; 0 if it was not measured.
    pub(super) high_water: AtomicUsize,
    /// What was thrown and has not been raised yet.
    pub(super) thrown: Mutex<Payloads>,
    /// The text of the panic that ended it.
    pub(super) message: OnceLock<Box<str>>,
    /// Its greenlet-locals. The hub's thread alone.
    pub(super) locals: Locals,
}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Side")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        throw::drop_all(&self.thrown);
    }
}

/// A [`Side`], or the place for one.
pub(super) struct SideBox {
    /// Null until it is needed; written once.
    pointer: AtomicPtr<Side>,
    owns: PhantomData<Side>,
}

impl SideBox {
    pub(super) const fn empty() -> Self {
        SideBox {
            pointer: AtomicPtr::new(ptr::null_mut()),
            owns: PhantomData,
        }
    }

    #[cold]
    pub(super) fn with_name(name: Option<Box<str>>) -> Self {
        let mut side = Box::<Side>::default();
        side.name = name;
        SideBox {
            pointer: AtomicPtr::new(Box::into_raw(side)),
            owns: PhantomData,
        }
    }

    /// The contents, if there are any.
    #[inline]
    pub(super) fn get(&self) -> Option<&Side> {
        // SAFETY: what is not null came from `Box::into_raw`, and is freed with `self`. Acquire
        // pairs with the Release that published it.
        unsafe { self.pointer.load(Ordering::Acquire).as_ref() }
    }

    /// The contents, made if there are none.
    pub(super) fn get_or_make(&self) -> &Side {
        if let Some(side) = self.get() {
            return side;
        }
        let fresh = Box::into_raw(Box::<Side>::default());
        let before = self.pointer.compare_exchange(
            ptr::null_mut(),
            fresh,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if before.is_err() {
            // SAFETY: another thread was first, so nobody has seen this one.
            drop(unsafe { Box::from_raw(fresh) });
        }
        self.get()
            .expect("made just now, here or by another thread")
    }
}

impl Drop for SideBox {
    #[inline]
    fn drop(&mut self) {
        let side = *self.pointer.get_mut();
        if !side.is_null() {
            // SAFETY: it came from `Box::into_raw`, and nobody else can refer to it any more.
            drop(unsafe { Box::from_raw(side) });
        }
    }
}

impl fmt::Debug for SideBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}
