//! The control block: the hot part of a greenlet, at the top of its own stack.
//!
//! Everything here is touched by the hub's thread alone, hence `Cell`s. The code on a thread's own
//! stack has a control block too (inside the hub), so that parking and interrupting are the same for both.
#![allow(unsafe_code)] // An intrusive list through control blocks.

use core::cell::Cell;
use core::fmt;
use core::ptr;

use super::interrupt::{Raising, Scope};
use super::park::WaitReason;
use super::task::TaskRef;
use crate::coroutine::{Body, Kind};

/// Whether a greenlet waits, and for what: bits.
pub(super) struct Parked;

impl Parked {
    pub(super) const NO: u8 = 0;
    pub(super) const WAITS: u8 = 1;
    /// For something that another thread may do.
    pub(super) const EXTERNALLY: u8 = 1 << 1;
    /// For somebody who is known.
    pub(super) const TRACED: u8 = 1 << 2;
}

/// A greenlet's state while it has a stack.
#[derive(Debug)]
pub(crate) struct Control {
    /// [`Control::interrupted`] of the thread's own code, which has no head.
    main_interrupted: Cell<bool>,
    /// An interrupt was raised by a wait before.
    pub(super) raised: Cell<bool>,
    /// What was raised last; see [`super::interrupt`].
    pub(super) raising: Cell<Raising>,
    /// It is off the run queue, until it is unparked.
    pub(super) parked: Cell<u8>,
    /// The token: it was unparked since it last parked.
    pub(super) notified: Cell<bool>,
    /// It is in the hub's list of greenlets.
    linked: Cell<bool>,
    /// Where its stack pointer was when it parked: a hint for prefetching.
    pub(super) stack_pointer: Cell<usize>,
    /// Why it is parked, while it is; on its own stack.
    pub(super) reason: Cell<*const WaitReason>,
    /// When it parked: the hub's last look at the cycle counter.
    pub(super) since: Cell<u64>,
    /// How often it has parked.
    pub(super) waits: Cell<u32>,
    /// Its innermost timeout scope.
    pub(super) scope: Cell<*const Scope>,
    /// The coroutine at whose top this lies; null for the thread's own code.
    pub(super) body: Cell<*const Body<Control>>,
    pub(crate) task: TaskRef,
    next: Cell<*const Control>,
    previous: Cell<*const Control>,
}

impl Control {
    /// The control block of the code on a thread's own stack.
    pub(super) fn for_main(task: TaskRef) -> Self {
        let mut place = core::mem::MaybeUninit::uninit();
        // SAFETY: `init` fills its place.
        unsafe {
            Control::init(place.as_mut_ptr(), task, ptr::null(), false);
            place.assume_init()
        }
    }

    /// Writes a new control block to `place`, field by field: the place is at the top of a stack.
    ///
    /// # Safety
    /// `place` is valid for writing a `Control`.
    #[inline(always)]
    pub(super) unsafe fn init(
        place: *mut Control,
        task: TaskRef,
        body: *const Body<Control>,
        notified: bool,
    ) {
        // SAFETY: the caller's promise; every field is written.
        unsafe {
            (&raw mut (*place).main_interrupted).write(Cell::new(false));
            (&raw mut (*place).raised).write(Cell::new(false));
            (&raw mut (*place).raising).write(Cell::new(Raising::Nothing));
            (&raw mut (*place).parked).write(Cell::new(Parked::NO));
            (&raw mut (*place).notified).write(Cell::new(notified));
            (&raw mut (*place).linked).write(Cell::new(false));
            (&raw mut (*place).stack_pointer).write(Cell::new(0));
            (&raw mut (*place).reason).write(Cell::new(ptr::null()));
            (&raw mut (*place).since).write(Cell::new(0));
            (&raw mut (*place).waits).write(Cell::new(0));
            (&raw mut (*place).scope).write(Cell::new(ptr::null()));
            (&raw mut (*place).body).write(Cell::new(body));
            (&raw mut (*place).task).write(task);
            (&raw mut (*place).next).write(Cell::new(ptr::null()));
            (&raw mut (*place).previous).write(Cell::new(ptr::null()));
        }
    }

    /// It must raise at its next suspension: a kill or an elapsed scope is pending. Kept in
    /// the coroutine's head, on the line that a switch touches.
    #[inline(always)]
    pub(super) fn interrupted(&self) -> bool {
        // SAFETY: a control block lies in the body that `body` points at.
        match unsafe { self.body.get().as_ref() } {
            Some(body) => body.head().is_interrupted(),
            None => self.main_interrupted.get(),
        }
    }

    pub(super) fn set_interrupted(&self, pending: bool) {
        // SAFETY: as above.
        match unsafe { self.body.get().as_ref() } {
            Some(body) => body.head().set_interrupted(pending),
            None => self.main_interrupted.set(pending),
        }
    }

    /// Whether this is the code on the thread's own stack.
    #[inline(always)]
    pub(crate) fn is_main(&self) -> bool {
        self.body.get().is_null()
    }
}

impl Kind for Control {
    fn enter(body: &Body<Self>) {
        // SAFETY: the hub creates a coroutine for a task once, when it is Pending, and this runs on
        // its thread.
        unsafe { body.data.task.run() };
        // Spans whose guards were leaked end with their greenlet.
        drop(super::spans::leave());
    }

    fn context(&self) -> Option<u64> {
        Some(self.task.id)
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        match self.task.name() {
            Some(name) => write!(out, "greenlet '{name}' (#{})", self.task.id),
            None => write!(out, "greenlet #{}", self.task.id),
        }
    }
}

/// The greenlets of a hub that have parked at least once and live: what a deadlock report and the end of
/// a thread need. A greenlet that never parks never enters it.
#[derive(Debug)]
pub(super) struct List {
    first: Cell<*const Control>,
}

impl List {
    pub(super) const fn new() -> Self {
        List {
            first: Cell::new(ptr::null()),
        }
    }

    /// Adds a greenlet, unless it is there.
    #[inline]
    pub(super) fn link(&self, control: &Control) {
        if control.linked.replace(true) {
            return;
        }
        let first = self.first.replace(control);
        control.next.set(first);
        control.previous.set(ptr::null());
        if !first.is_null() {
            // SAFETY: what is linked is alive: `unlink` comes before a control block is moved or
            // freed. The same holds for every dereference in this list.
            unsafe { (*first).previous.set(control) };
        }
    }

    /// Removes a greenlet, if it is there.
    #[inline]
    pub(super) fn unlink(&self, control: &Control) {
        if !control.linked.replace(false) {
            return;
        }
        let (previous, next) = (control.previous.get(), control.next.get());
        if previous.is_null() {
            self.first.set(next);
        } else {
            // SAFETY: see `link`.
            unsafe { (*previous).next.set(next) };
        }
        if !next.is_null() {
            // SAFETY: see `link`.
            unsafe { (*next).previous.set(previous) };
        }
    }

    /// Visits all of them, the latest first. `visit` must not link or unlink.
    pub(super) fn for_each(&self, mut visit: impl FnMut(&Control)) {
        let mut control = self.first.get();
        while !control.is_null() {
            // SAFETY: see `link`.
            let here = unsafe { &*control };
            visit(here);
            control = here.next.get();
        }
    }
}
