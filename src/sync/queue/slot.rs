//! [`Slot`]: a waiter with room for an item, in the frame of the code that gets or puts.
//!
//! The item of a getter that waits is written into its slot by the putter, that of a putter that waits is
//! taken out of its by the getter, both under the lock of the [`Exchange`](super::exchange::Exchange) and
//! before the waiter is granted. So nothing is ever on the way: an item is in a store or in one frame.
#![allow(unsafe_code)] // A slot is found again from the waiter that it begins with.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr;

use crate::sync::waiter::Waiter;
use crate::util::primitive::Cell;

/// What waiters are granted: the item has changed hands.
pub(in crate::sync) const DONE: u32 = 1;
/// The exchange was closed; a putter's item is still in its slot.
pub(in crate::sync) const CLOSED: u32 = 2;

/// See the head of this file.
#[repr(C)] // begins with the waiter
pub(in crate::sync) struct Slot<T> {
    /// Initialised when it is enlisted: an operation that need not wait needs none.
    waiter: UnsafeCell<MaybeUninit<Waiter>>,
    /// Belongs to the lock while the waiter is linked, otherwise to the frame.
    item: Cell<Option<T>>,
}

impl<T> Slot<T> {
    #[inline(always)]
    pub(in crate::sync) const fn new(item: Option<T>) -> Self {
        Slot {
            waiter: UnsafeCell::new(MaybeUninit::uninit()),
            item: Cell::new(item),
        }
    }

    #[inline(always)]
    pub(in crate::sync) fn put(&self, item: Option<T>) {
        self.item.set(item);
    }

    #[inline(always)]
    pub(in crate::sync) fn take(&self) -> Option<T> {
        self.item.take()
    }

    /// Makes `waiter` the slot's own.
    ///
    /// # Safety
    /// The slot's last waiter, if it had one, has left its queue.
    #[inline(always)]
    pub(in crate::sync) unsafe fn enlist(&self, waiter: Waiter) -> &Waiter {
        // SAFETY: nobody else looks at a slot whose waiter is in no queue.
        unsafe { (*self.waiter.get()).write(waiter) }
    }

    /// The waiter.
    ///
    /// # Safety
    /// It was enlisted.
    #[inline(always)]
    pub(in crate::sync) unsafe fn waiter(&self) -> &Waiter {
        // SAFETY: the caller's promise.
        unsafe { (*self.waiter.get()).assume_init_ref() }
    }

    /// The slot that a waiter is part of.
    ///
    /// # Safety
    /// `waiter` is part of a `Slot<T>`, whose item is the caller's to touch.
    #[inline(always)]
    pub(super) unsafe fn of(waiter: &Waiter) -> &Self {
        // SAFETY: the caller's promise; the slot begins with the waiter.
        unsafe { &*ptr::from_ref(waiter).cast::<Self>() }
    }
}
