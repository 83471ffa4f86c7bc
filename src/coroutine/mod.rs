//! The context switch: the calls into corosensei, and nothing else.
//!
//! A [`Coroutine<T>`] is a suspended computation that owns a stack slot. Its header and the
//! caller's data `T` live at the top of that slot, so that the lines a switch needs are next to
//! the lines the woken code needs:
//!
//! ```text
//!  slot end ─┬─────────────────────┐
//!            │ colour (0..2 KiB)   │  (slot index mod 32) × 64 bytes: tops differ in cache
//!  slot top ─┼─────────────────────┤
//!            │ Body<T>             │  head with corosensei's Coroutine, data T
//!  base ─────┼─────────────────────┤  ◄ what corosensei sees as the stack's base
//!            │ frames, downwards   │
//!            ├─────────────────────┤
//!            │ guard               │
//!  limit ────┴─────────────────────┘
//! ```
//!
//! Four operations: [`Coroutine::create`], [`Coroutine::resume`], [`suspend`], and
//! [`Coroutine::finish`].
//!
//! ```text
//!  create ──► created ──resume──► running ──suspend──► suspended
//!                                    │  ◄───resume────────┘
//!                                    └──entry returns──► finished ──finish──► T dropped, slot back
//! ```
//!
//! # Rules
//! - A coroutine is resumed only on the OS thread that created it. `Coroutine` is `!Send`.
//! - `entry` does not unwind: whoever creates a coroutine catches panics at its root and carries
//!   them out as values.
//! - A coroutine that was started and did not finish is never dropped; it is resumed with
//!   the order to unwind (that order is the creator's), or leaked. corosensei's own forced unwind is
//!   never used: it cannot be recognised by the code that it unwinds, and is injected
//!   again at every later suspend.
//! - Values do not travel through the switch: `Coroutine<(), (), ()>` stays in registers.
//!
//! # The current coroutine
//! [`current`] is the innermost coroutine of the running code, a null pointer on an OS thread's own
//! stack. Coroutines nest (a raw greenlet inside a scheduled greenlet), and the *outer* may
//! suspend while the inner one runs: the whole chain is then parked, and [`Head::inner`] remembers
//! where it was.
#![allow(unsafe_code)] // The switch itself, and a header placed by address.

use core::any::TypeId;
use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

use corosensei::Yielder;
use corosensei::stack::{Stack, StackPointer};

use crate::stack::Slot;

pub(crate) mod arch;
mod fiber;
mod head;
mod overflow;
pub mod raw;
mod running;
#[cfg(test)]
pub(crate) mod wander;

use fiber::Fiber;
pub(crate) use head::Head;
use head::{LINK, NESTED};
pub(crate) use overflow::prepare_thread;
use running::find_running;
pub(crate) use running::{Anchor, Chain, Loop, anchor, chain, context, current, loop_runs};

type Switch = corosensei::Coroutine<(), (), (), Lease>;

/// A coroutine's memory at the top of its slot: the head, and the creator's data.
#[repr(C)]
pub(crate) struct Body<T> {
    head: Head,
    slot: ManuallyDrop<Slot>,
    pub(crate) data: T,
}

/// How a coroutine is described and entered; one constant per kind of coroutine.
pub(crate) trait Kind: Sized + 'static {
    /// The coroutine's body. Must not unwind.
    fn enter(body: &Body<Self>);
    /// One phrase for the overflow report, such as `greenlet 'worker' (#3)`. Runs in a signal
    /// handler: no allocation, no lock.
    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result;
    /// The number of the scheduled greenlet that this coroutine is; `None` for one that
    /// merely runs on top of another (a raw greenlet).
    fn context(&self) -> Option<u64>;
}

/// An owned coroutine. Not dropped but consumed by [`Coroutine::finish`], or leaked.
pub(crate) struct Coroutine<T> {
    body: NonNull<Body<T>>,
}

/// Whether a resumed coroutine came back by suspending or by returning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Suspended,
    Finished,
}

/// A slot as corosensei sees it: without what lies at its top.
struct Lease {
    base: usize,
    limit: usize,
}

// SAFETY: `base` and `limit` are 16-aligned addresses of one slot, which stays leased, and so mapped, until
// `finish`; the part between them holds far more than MIN_STACK_SIZE (a slot is at least
// 16 KiB), and its low end is a guard (`stack`'s contract).
unsafe impl Stack for Lease {
    #[inline]
    fn base(&self) -> StackPointer {
        StackPointer::new(self.base).expect("a slot's base is not null")
    }
    #[inline]
    fn limit(&self) -> StackPointer {
        StackPointer::new(self.limit).expect("a slot's limit is not null")
    }
}

impl<T: Kind> Coroutine<T> {
    /// Places a coroutine on `slot`; nothing runs yet.
    pub(crate) fn create(slot: Slot, data: T) -> Self {
        let context = data.context();
        // SAFETY: `write` fills its place.
        unsafe { Self::create_with(slot, context, |place| place.write(data)) }
    }

    /// As [`Coroutine::create`], with the data written in place by `write`: a copy of freshly written
    /// fields costs more than all the rest of this function (stores that are not forwarded).
    ///
    /// # Safety
    /// `write` writes a whole `T` to the place it is given, whose [`Kind::context`] is `context`, and does
    /// not unwind.
    #[inline]
    pub(crate) unsafe fn create_with(
        slot: Slot,
        context: Option<u64>,
        write: impl FnOnce(*mut T),
    ) -> Self {
        let address = ((slot.top() - size_of::<Body<T>>() - LINK) & !63) + LINK;
        let (limit, guard_end, size) = (slot.limit(), slot.guard_end(), slot.size().bytes());
        let body = NonNull::new(core::ptr::with_exposed_provenance_mut::<Body<T>>(address))
            .expect("a slot's top is not null");
        let entry = Entry(body);
        let lease = Lease {
            base: address,
            limit,
        };
        let place = body.as_ptr();
        // SAFETY: `address` is 16-aligned, inside the slot that the body owns from here on, above
        // the base that corosensei uses; nobody else refers to it. Every field is written.
        unsafe {
            (&raw mut (*place).head.switch).write(UnsafeCell::new(ManuallyDrop::new(
                Switch::with_stack(lease, move |yielder, ()| entry.run(yielder)),
            )));
            (&raw mut (*place).head.yielder).write(Cell::new(core::ptr::null()));
            (&raw mut (*place).head.inner).write(Cell::new(core::ptr::null()));
            (&raw mut (*place).head.flags).write(Cell::new(0));
            (&raw mut (*place).head.anchors).write(Cell::new(0));
            (&raw mut (*place).head.resumer).write(Cell::new(core::ptr::null()));
            (&raw mut (*place).head.fiber).write(Fiber::new());
            (&raw mut (*place).head.limit).write(limit);
            (&raw mut (*place).head.guard_end).write(guard_end);
            (&raw mut (*place).head.size).write(size);
            (&raw mut (*place).head.context).write(context);
            (&raw mut (*place).head.kind).write(TypeId::of::<T>());
            (&raw mut (*place).head.describe).write(describe::<T>);
            (&raw mut (*place).slot).write(ManuallyDrop::new(slot));
            write(&raw mut (*place).data);
        }
        Coroutine { body }
    }

    /// Drops the data of a finished coroutine and gives back its slot.
    ///
    /// # Safety
    /// The coroutine has finished (`resume` returned [`State::Finished`]), and no reference to its
    /// body is used afterwards.
    pub(crate) unsafe fn finish(self) -> Slot {
        // SAFETY: by this function's precondition this is the last use of the body, whose memory
        // belongs to the slot that is returned. corosensei's coroutine has finished, and its stack
        // is two numbers: dropping it would do nothing.
        unsafe {
            let body = self.body.as_ptr();
            (*body).head.fiber.destroy();
            core::ptr::drop_in_place(&raw mut (*body).data);
            ManuallyDrop::take(&mut (*body).slot)
        }
    }
}

impl<T> Coroutine<T> {
    /// The body, for as long as the coroutine has not been finished.
    pub(crate) fn body(&self) -> NonNull<Body<T>> {
        self.body
    }

    /// The coroutine of a body.
    ///
    /// # Safety
    /// `body` came from [`Coroutine::body`], and the coroutine has not been finished. Of several
    /// handles to one body, one alone may be passed to [`Coroutine::finish`].
    pub(crate) unsafe fn from_body(body: NonNull<Body<T>>) -> Self {
        Coroutine { body }
    }

    /// Runs the coroutine until it suspends or finishes.
    ///
    /// # Safety
    /// Called on the OS thread that created it, which `chain` ([`chain`]) belongs to; the
    /// coroutine is created or suspended (not running, not finished). It is no scheduled coroutine.
    #[inline(always)]
    pub(crate) unsafe fn resume(&self, chain: *const Chain) -> State {
        // SAFETY: the caller's promise; the body is alive until `finish`.
        unsafe {
            let outer = (*chain).innermost.get();
            (*self.body.as_ptr()).head.resumer.set(outer);
            let state = self.resume_from(chain);
            (*chain).innermost.set(outer);
            state
        }
    }

    /// As [`Coroutine::resume`] for the loop that resumes scheduled coroutines: [`Loop`] has
    /// noted what is current outside of it, and restores it at the end.
    ///
    /// # Safety
    /// As [`Coroutine::resume`]; inside a [`Loop`], for a scheduled coroutine.
    #[inline(always)]
    pub(crate) unsafe fn resume_from(&self, chain: *const Chain) -> State {
        // SAFETY: the body is alive until `finish`, which is not called while it runs; the
        // `&mut Switch` is unique, because a running coroutine is not resumed again and nothing else
        // touches `switch`; `chain` is this thread's.
        unsafe {
            let head = &(*self.body.as_ptr()).head;
            (*chain).innermost.set(if head.flags.get() & NESTED == 0 {
                head
            } else {
                head.leave_nested()
            });
            let switch: &mut Switch = &mut *head.switch.get();
            head.fiber.enter();
            match switch.resume(()) {
                corosensei::CoroutineResult::Yield(()) => State::Suspended,
                corosensei::CoroutineResult::Return(()) => State::Finished,
            }
        }
    }
}

impl<T> Body<T> {
    /// The body whose `data` is at `data`.
    pub(crate) fn around(data: *const T) -> *const Body<T> {
        data.wrapping_byte_sub(core::mem::offset_of!(Body<T>, data))
            .cast()
    }

    /// This coroutine's head.
    #[inline(always)]
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }
}

/// What corosensei runs first on the new stack.
struct Entry<T>(NonNull<Body<T>>);

impl<T: Kind> Entry<T> {
    fn run(self, yielder: &Yielder<(), ()>) {
        // SAFETY: the body lies at the top of the stack that runs this, and lives until `finish`,
        // which comes after this returns.
        let body = unsafe { self.0.as_ref() };
        body.head.set_yielder(yielder);
        T::enter(body);
        body.head.fiber.end();
    }
}

/// Leaves the running coroutine `head`; returns when it is resumed.
///
/// Always inlined: a suspend behind a call costs a mispredicted return, about twenty
/// nanoseconds (measured).
///
/// # Safety
/// `head` belongs to a coroutine that runs on this OS thread, the calling code runs on its stack
/// or on a stack nested in it (a coroutine that it resumed, directly or not), and
/// [`Head::set_innermost`] was called since it was resumed.
#[inline(always)]
pub(crate) unsafe fn suspend(head: &Head) {
    // SAFETY: the caller's promise.
    unsafe { suspend_at(head.yielder.get()) }
}

/// As [`suspend`], by the coroutine's yielder ([`Head::yielder_near`]).
///
/// # Safety
/// As [`suspend`].
#[inline(always)]
pub(crate) unsafe fn suspend_at(yielder: YielderPointer) {
    // SAFETY: by the precondition the coroutine was resumed, so this points at
    // corosensei's yielder at the base of its stack, valid until it finishes; its head is alive too.
    unsafe {
        #[cfg(rustlet_tsan)]
        (*Head::of_yielder(yielder)).fiber.leave();
        (*yielder).suspend(());
    }
}

/// corosensei's handle for suspending one coroutine.
pub(crate) type YielderPointer = *const Yielder<(), ()>;

/// `describe` for the kind `T`, from a head.
///
/// # Safety
/// `head` is the head of a live `Body<T>`.
unsafe fn describe<T: Kind>(head: *const Head, out: &mut dyn fmt::Write) -> fmt::Result {
    // SAFETY: `Body` is `repr(C)` with its head first, so the addresses are equal.
    unsafe { (*head.cast::<Body<T>>()).data.describe(out) }
}

impl<T> fmt::Debug for Coroutine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Coroutine").field(&self.body).finish()
    }
}
