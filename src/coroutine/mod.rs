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
//!                                    └──entry returns──► finished ──finish──► slot and T back
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
mod overflow;
pub mod raw;

pub(crate) use overflow::prepare_thread;

type Switch = corosensei::Coroutine<(), (), (), Lease>;

/// What every coroutine has, whatever its data: read by [`current`] and by the overflow report.
///
/// All that a switch touches of it, and corosensei's link at the stack's base just below, share one cache line:
/// at a thousand coroutines a second line costs more than the switch.
#[repr(C, align(16))]
pub(crate) struct Head {
    /// [`INTERRUPTED`] and [`NESTED`]; rarely anything but 0.
    flags: Cell<u8>,
    switch: UnsafeCell<ManuallyDrop<Switch>>,
    // What is below this line is cold.
    /// corosensei's handle for suspending; null until the first resume.
    yielder: Cell<*const Yielder<(), ()>>,
    /// With [`NESTED`]: the innermost coroutine that ran on top of this one when it was suspended.
    inner: Cell<*const Head>,
    /// Who was current when this coroutine was resumed by [`Coroutine::resume`].
    resumer: Cell<*const Head>,
    limit: usize,
    guard_end: usize,
    size: usize,
    /// See [`Kind::context`].
    context: Option<u64>,
    /// The type of the creator's data.
    kind: TypeId,
    /// Writes what this coroutine is, for the overflow report; called in a signal handler, so it
    /// must not allocate or lock.
    describe: unsafe fn(*const Head, &mut dyn fmt::Write) -> fmt::Result,
}

/// For the creator's use: something awaits the coroutine when it is resumed.
const INTERRUPTED: u8 = 1;
/// The coroutine was suspended from inside another one that it had resumed: see [`Head::inner`].
const NESTED: u8 = 2;
/// Bytes below a body, at the base of its stack, that share the line of its head: corosensei's link.
const LINK: usize = 16;

const _: () = assert!(core::mem::offset_of!(Head, yielder) + LINK <= 64);

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

/// This thread's chain of running coroutines.
#[derive(Debug)]
pub(crate) struct Chain {
    /// The innermost running coroutine; null on the thread's own stack.
    innermost: Cell<*const Head>,
    /// What was current when the loop that resumes scheduled coroutines ([`Coroutine::resume_from`]) was
    /// entered.
    below_loop: Cell<*const Head>,
    /// How far corosensei's yielder lies below a body: the same for all coroutines, learnt from each that
    /// starts. It spares the fast path of a yield the cold line where the pointer is kept.
    yielder_below: Cell<usize>,
}

thread_local! {
    static CHAIN: Chain = const {
        Chain {
            innermost: Cell::new(core::ptr::null()),
            below_loop: Cell::new(core::ptr::null()),
            yielder_below: Cell::new(0),
        }
    };
}

/// This OS thread's chain.
///
/// The address is valid on this thread for as long as the thread lives. Not inlined, so that no
/// compiler carries a thread's address across a switch (arch-notes, "Thread-locals").
#[inline(never)]
pub(crate) fn current_cell() -> *const Chain {
    CHAIN.with(|chain| chain as *const _)
}

/// The innermost running coroutine, or null on the OS thread's own stack.
#[inline(never)]
pub(crate) fn current() -> *const Head {
    CHAIN.with(|chain| chain.innermost.get())
}

/// Visits the running coroutines of this thread from the innermost outwards, until `visit` gives
/// something. Usable in a signal handler if `visit` is.
fn find_running<R>(mut visit: impl FnMut(&Head) -> Option<R>) -> Option<R> {
    let mut head = current();
    while !head.is_null() {
        // SAFETY: the chain consists of running coroutines of this thread, whose heads are alive.
        let here = unsafe { &*head };
        if let Some(found) = visit(here) {
            return Some(found);
        }
        head = here.resumer();
    }
    None
}

/// Whose code this is: the number of the innermost scheduled greenlet, 0 for the thread's own code.
/// Raw greenlets count as part of whoever runs them.
pub(crate) fn context() -> u64 {
    find_running(|head| head.context).unwrap_or(0)
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
            (&raw mut (*place).head.resumer).write(Cell::new(core::ptr::null()));
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
    /// Called on the OS thread that created it, which `chain` ([`current_cell`]) belongs to; the
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
            match switch.resume(()) {
                corosensei::CoroutineResult::Yield(()) => State::Suspended,
                corosensei::CoroutineResult::Return(()) => State::Finished,
            }
        }
    }
}

/// A stretch of the loop that resumes scheduled coroutines.
pub(crate) struct Loop {
    chain: *const Chain,
    outer: *const Head,
    below: *const Head,
}

impl Loop {
    /// # Safety
    /// `chain` is this thread's.
    pub(crate) unsafe fn enter(chain: *const Chain) -> Self {
        // SAFETY: the caller's promise.
        let here = unsafe { &*chain };
        let outer = here.innermost.get();
        Loop {
            chain,
            outer,
            below: here.below_loop.replace(outer),
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // SAFETY: `enter`'s promise.
        let here = unsafe { &*self.chain };
        here.innermost.set(self.outer);
        here.below_loop.set(self.below);
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
        body.head.yielder.set(yielder);
        let below = core::ptr::from_ref(body).addr() - core::ptr::from_ref(yielder).addr();
        // SAFETY: this thread's.
        unsafe { &*current_cell() }.yielder_below.set(below);
        T::enter(body);
    }
}

/// Leaves the running coroutine `head`; returns when it is resumed.
///
/// Always inlined: a suspend behind a call costs a mispredicted return, about twenty
/// nanoseconds (measured; DESIGN "Switch").
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
    // corosensei's yielder at the base of its stack, valid until it finishes.
    unsafe { (*yielder).suspend(()) }
}

/// corosensei's handle for suspending one coroutine.
pub(crate) type YielderPointer = *const Yielder<(), ()>;

impl Head {
    /// The yielder of this coroutine, which has been started, without touching cold memory.
    ///
    /// # Safety
    /// `chain` is this thread's [`current_cell`].
    #[inline(always)]
    pub(crate) unsafe fn yielder_near(&self, chain: *const Chain) -> YielderPointer {
        // SAFETY: the caller's promise.
        let below = unsafe { (*chain).yielder_below.get() };
        let near = core::ptr::from_ref(self)
            .wrapping_byte_sub(below)
            .cast::<Yielder<(), ()>>();
        debug_assert_eq!(near, self.yielder.get());
        near
    }

    /// Whether the creator set the flag.
    #[inline(always)]
    pub(crate) fn is_interrupted(&self) -> bool {
        self.flags.get() & INTERRUPTED != 0
    }

    /// Sets or clears the creator's flag.
    pub(crate) fn set_interrupted(&self, interrupted: bool) {
        let others = self.flags.get() & !INTERRUPTED;
        self.flags.set(others | u8::from(interrupted));
    }

    #[cold]
    fn leave_nested(&self) -> *const Head {
        self.flags.set(self.flags.get() & !NESTED);
        self.inner.get()
    }

    #[cold]
    fn enter_nested(&self, innermost: *const Head) {
        self.flags.set(self.flags.get() | NESTED);
        self.inner.set(innermost);
    }

    /// Whether this coroutine itself is the one that runs innermost: then there is nothing to remember.
    ///
    /// # Safety
    /// `chain` is this thread's [`current_cell`].
    #[inline(always)]
    pub(crate) unsafe fn is_innermost(&self, chain: *const Chain) -> bool {
        // SAFETY: the caller's promise; the chain lives as long as its thread.
        core::ptr::eq(unsafe { (*chain).innermost.get() }, self)
    }

    /// Remembers which coroutine runs innermost on top of this one. Called before every [`suspend`], apart
    /// from it so that it may be done behind a call while the suspend itself is inlined.
    ///
    /// # Safety
    /// `chain` is this thread's [`current_cell`].
    #[inline(always)]
    pub(crate) unsafe fn set_innermost(&self, chain: *const Chain) {
        // SAFETY: the caller's promise; the chain lives as long as its thread.
        let innermost = unsafe { (*chain).innermost.get() };
        if !core::ptr::eq(innermost, self) {
            self.enter_nested(innermost);
        }
    }

    /// Who was current when this running coroutine was resumed; null for an OS thread's own stack.
    #[inline]
    pub(crate) fn resumer(&self) -> *const Head {
        match self.context {
            // SAFETY: this thread's.
            Some(_) => unsafe { &*current_cell() }.below_loop.get(),
            None => self.resumer.get(),
        }
    }

    /// See [`Kind::context`].
    #[inline]
    pub(crate) fn context(&self) -> Option<u64> {
        self.context
    }

    /// The body that `head` heads, if it is one of kind `T`.
    ///
    /// # Safety
    /// `head` belongs to a coroutine that has not been finished, and is not for as long as the result is used.
    #[inline]
    pub(crate) unsafe fn body<T: Kind>(head: NonNull<Head>) -> Option<NonNull<Body<T>>> {
        // SAFETY: by the precondition the head is alive.
        let kind = unsafe { head.as_ref() }.kind;
        // `Body` is `repr(C)` with its head first, so the addresses are equal.
        (kind == TypeId::of::<T>()).then(|| head.cast())
    }
}

/// `describe` for the kind `T`, from a head.
///
/// # Safety
/// `head` is the head of a live `Body<T>`.
unsafe fn describe<T: Kind>(head: *const Head, out: &mut dyn fmt::Write) -> fmt::Result {
    // SAFETY: `Body` is `repr(C)` with its head first, so the addresses are equal.
    unsafe { (*head.cast::<Body<T>>()).data.describe(out) }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("limit", &self.limit)
            .field("size", &self.size)
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Coroutine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Coroutine").field(&self.body).finish()
    }
}
