//! The task: what exists of a greenlet before it has a stack and after it gave it back.
//!
//! One allocation holds the header, and the closure or (later) the outcome. It is counted; the run queue,
//! the handle, and whoever may wake the greenlet hold references. The hot part of a
//! running greenlet, [`Control`], lives on its stack instead.
//!
//! ```text
//!   Pending(closure) ──run──► Running ──complete──► Finished(outcome) ──take/drop──► Taken
//! ```
//!
//! # Ownership, rule by rule
//! 1. `stage` belongs to the hub's thread until DONE is set, and to the one who then owns the
//!    outcome afterwards.
//! 2. The outcome belongs to the handle, if DONE was set before DETACHED; to the
//!    finishing greenlet, if DETACHED was set before DONE. Both flags are set by read-modify-write, so
//!    exactly one side sees the other's.
//! 3. The closure is run, dropped or leaked by the hub's thread, never by whoever drops the last
//!    reference: a closure of `spawn_local` need not be `Send`.
//! 4. `control` is touched by the hub's thread alone.
#![allow(unsafe_code)] // A counted allocation with a type-erased tail.

use core::alloc::Layout;
use core::any::Any;
use core::cell::{Cell, UnsafeCell};
use core::mem;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering, fence};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use super::cells::{self, Cells};
use super::control::Control;
use super::inbox::Shared;
use super::interrupt::Killed;
use super::joiners::Joiners;
use crate::stack::StackSize;

/// The outcome is stored (or will never come); set once, by the hub's thread.
pub(super) const DONE: u32 = 1;
/// No handle will ask for the outcome; set once, by the handle's drop.
pub(super) const DETACHED: u32 = 1 << 1;
/// Somebody is in `joiners`, or was. Set under that lock.
pub(super) const HAS_JOINERS: u32 = 1 << 2;
/// The task is in its hub's inbox; its `inbox_next` belongs to the one who set this.
pub(super) const IN_INBOX: u32 = 1 << 3;
/// Killed: it is unwound at every suspension until it ends.
pub(super) const KILLED: u32 = 1 << 4;

/// The part of a task that does not depend on its types.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Header {
    pub(super) state: AtomicU32,
    /// Size class of the stack that it gets at its first run.
    pub(super) size: StackSize,
    /// Whether to measure the stack's use.
    pub(super) measure: bool,
    refs: AtomicUsize,
    vtable: &'static VTable,
    /// The hub it belongs to, for ever.
    pub(crate) shared: &'static Shared,
    /// Its control block: null before its first run and after its end. The hub's thread alone.
    pub(super) control: Cell<*const Control>,
    pub(super) inbox_next: AtomicPtr<Header>,
    joiners: Mutex<Joiners>,
    pub(crate) id: u64,
    extras: Option<Box<Extras>>,
}

/// What few tasks have; apart, so that a task with a small closure fits a cell ([`Cells`]).
#[derive(Debug)]
struct Extras {
    name: Option<Box<str>>,
    /// Highest use of the stack in bytes, plus one; 0 if it was not measured.
    high_water: AtomicUsize,
}

/// How a greenlet ended without a value.
#[derive(Debug)]
pub(crate) enum Failure {
    Panicked(Box<dyn Any + Send>),
    Killed,
    /// No stack could be had when it was about to run.
    NotStarted(io::Error),
    /// Its thread ended while it refused to die.
    Abandoned,
}

type Outcome<T> = Result<T, Failure>;

enum Stage<F, T> {
    Pending(F),
    Running,
    Finished(Outcome<T>),
    Taken,
}

#[derive(Debug)]
struct VTable {
    run: unsafe fn(NonNull<Header>),
    fail: unsafe fn(NonNull<Header>, Failure),
    take: unsafe fn(NonNull<Header>, *mut ()) -> bool,
    drop_outcome: unsafe fn(NonNull<Header>),
    free: unsafe fn(NonNull<Header>),
}

impl VTable {
    const fn of<F, T>() -> Self
    where
        F: FnOnce() -> T,
    {
        VTable {
            run: run::<F, T>,
            fail: fail::<F, T>,
            take: take::<F, T>,
            drop_outcome: drop_outcome::<F, T>,
            free: free::<F, T>,
        }
    }
}

#[repr(C)]
struct TaskCell<F, T> {
    header: Header,
    stage: UnsafeCell<Stage<F, T>>,
}

/// A counted reference to a task of any type.
#[derive(Debug)]
pub(crate) struct TaskRef(NonNull<Header>);

// SAFETY: what other threads may touch of a header is atomic or behind a lock; `control` is only
// touched on the hub's thread (rule 4) and `stage` according to rules 1 to 3.
unsafe impl Send for TaskRef {}
// SAFETY: as above.
unsafe impl Sync for TaskRef {}

/// Parameters of a task beside its closure.
#[derive(Debug)]
pub(super) struct Attributes {
    pub(super) id: u64,
    pub(super) name: Option<Box<str>>,
    pub(super) size: StackSize,
    pub(super) measure: bool,
    pub(super) shared: &'static Shared,
}

impl TaskRef {
    /// A new task, with two references: the one returned and one more for the run queue
    /// ([`TaskRef::from_raw`] of the returned pointer).
    pub(super) fn new<F, T>(
        cells: &Cells,
        attributes: Attributes,
        f: F,
    ) -> (TaskRef, NonNull<Header>)
    where
        F: FnOnce() -> T,
    {
        let task = TaskRef::allocate(cells, attributes, 2, Stage::Pending(f));
        let queued = task.0;
        (task, queued)
    }

    /// The task that stands for the code on a thread's own stack: it never runs and never ends.
    pub(super) fn for_main(attributes: Attributes) -> TaskRef {
        TaskRef::allocate::<fn(), ()>(&Cells::default(), attributes, 1, Stage::Running)
    }

    #[inline(always)]
    fn allocate<F, T>(
        cells: &Cells,
        attributes: Attributes,
        refs: usize,
        stage: Stage<F, T>,
    ) -> TaskRef
    where
        F: FnOnce() -> T,
    {
        let extras = (attributes.name.is_some() || attributes.measure).then(|| {
            Box::new(Extras {
                name: attributes.name,
                high_water: AtomicUsize::new(0),
            })
        });
        let memory = cells.obtain(Layout::new::<TaskCell<F, T>>());
        let place = memory.cast::<TaskCell<F, T>>().as_ptr();
        // SAFETY: the place is the new allocation's; every field is written, one by one, because a copy
        // of freshly written fields stalls (stores that are not forwarded).
        unsafe {
            let header = &raw mut (*place).header;
            (&raw mut (*header).state).write(AtomicU32::new(0));
            (&raw mut (*header).size).write(attributes.size);
            (&raw mut (*header).measure).write(attributes.measure);
            (&raw mut (*header).refs).write(AtomicUsize::new(refs));
            (&raw mut (*header).vtable).write(const { &VTable::of::<F, T>() });
            (&raw mut (*header).shared).write(attributes.shared);
            (&raw mut (*header).control).write(Cell::new(core::ptr::null()));
            (&raw mut (*header).inbox_next).write(AtomicPtr::new(core::ptr::null_mut()));
            (&raw mut (*header).joiners).write(Mutex::new(Joiners::None));
            (&raw mut (*header).id).write(attributes.id);
            (&raw mut (*header).extras).write(extras);
            (&raw mut (*place).stage).write(UnsafeCell::new(stage));
        }
        TaskRef(memory.cast())
    }

    /// The reference as a pointer; [`TaskRef::from_raw`] takes it back.
    pub(crate) fn into_raw(self) -> NonNull<Header> {
        let pointer = self.0;
        mem::forget(self);
        pointer
    }

    /// # Safety
    /// `pointer` came from `into_raw` (or is the second reference of `new`), once.
    pub(crate) unsafe fn from_raw(pointer: NonNull<Header>) -> TaskRef {
        TaskRef(pointer)
    }

    /// Whether both are the same task.
    pub(crate) fn is(&self, other: &TaskRef) -> bool {
        self.0 == other.0
    }

    /// Runs the closure to its end and stores the outcome.
    ///
    /// # Safety
    /// Called once, on the hub's thread, with the stage Pending.
    pub(super) unsafe fn run(&self) {
        // SAFETY: the vtable fits the allocation; the rest is the caller's promise.
        unsafe { (self.vtable.run)(self.0) }
    }

    /// Ends the task without running it (or running it further).
    ///
    /// # Safety
    /// Called on the hub's thread; the task is not DONE, and its code does not run and never will.
    pub(super) unsafe fn fail(&self, failure: Failure) {
        // SAFETY: the vtable fits the allocation; the rest is the caller's promise.
        unsafe { (self.vtable.fail)(self.0, failure) }
    }

    /// Takes the outcome, and gives up this reference; a failure comes with it, to be told of.
    ///
    /// # Safety
    /// `T` is the task's type; DONE was seen; the caller owns the outcome (rule 2), and it was
    /// not taken before.
    #[inline]
    pub(super) unsafe fn take<T>(self) -> Result<T, (Failure, TaskRef)> {
        let mut outcome = mem::MaybeUninit::<Outcome<T>>::uninit();
        // SAFETY: the vtable fits the allocation and writes an `Outcome<T>`.
        let (outcome, released) = unsafe {
            let released = (self.vtable.take)(self.0, outcome.as_mut_ptr().cast());
            (outcome.assume_init(), released)
        };
        if released {
            mem::forget(self);
            return Ok(outcome.unwrap_or_else(|_| unreachable!("released with a value alone")));
        }
        outcome.map_err(|failure| (failure, self))
    }

    /// Gives up the outcome: the handle is gone.
    pub(super) fn detach(&self) {
        let before = self.state.fetch_or(DETACHED, Ordering::AcqRel);
        if before & (DONE | DETACHED) == DONE {
            // SAFETY: DONE came first, so the outcome belonged to the handle (rule 2).
            unsafe { (self.vtable.drop_outcome)(self.0) }
        }
    }
}

impl core::ops::Deref for TaskRef {
    type Target = Header;
    #[inline(always)]
    fn deref(&self) -> &Header {
        // SAFETY: the reference that `self` holds keeps the allocation alive.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for TaskRef {
    fn clone(&self) -> Self {
        // Relaxed: a new reference is made from an existing one, as in Arc.
        if self.refs.fetch_add(1, Ordering::Relaxed) > usize::MAX / 2 {
            std::process::abort();
        }
        TaskRef(self.0)
    }
}

impl Drop for TaskRef {
    #[inline]
    fn drop(&mut self) {
        // If this is the last reference, nobody can make another: the expensive subtraction is
        // not needed. Acquire pairs with the Release of the other drops, as in Arc.
        if self.refs.load(Ordering::Acquire) != 1 {
            if self.refs.fetch_sub(1, Ordering::Release) != 1 {
                return;
            }
            fence(Ordering::Acquire);
        }
        // SAFETY: this was the last reference.
        unsafe { (self.vtable.free)(self.0) }
    }
}

impl Header {
    /// Whether the outcome is there. If so, everything its greenlet did is visible.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.state.load(Ordering::Acquire) & DONE != 0
    }

    #[inline]
    pub(crate) fn is_killed(&self) -> bool {
        self.state.load(Ordering::Acquire) & KILLED != 0
    }

    pub(super) fn leave_inbox(&self) {
        // Acquire: what the waker did is visible; Release: a later waker that sees the flag
        // cleared pushes after us.
        self.state.fetch_and(!IN_INBOX, Ordering::AcqRel);
    }

    /// Bytes of the stack that were used at most, if it was measured.
    pub(crate) fn high_water(&self) -> Option<usize> {
        let extras = self.extras.as_ref()?;
        extras.high_water.load(Ordering::Acquire).checked_sub(1)
    }

    pub(super) fn set_high_water(&self, bytes: usize) {
        if let Some(extras) = &self.extras {
            extras.high_water.store(bytes + 1, Ordering::Release);
        }
    }

    /// The name that it was given.
    pub(crate) fn name(&self) -> Option<&str> {
        self.extras.as_ref()?.name.as_deref()
    }

    /// Adds `joiner` to those woken at the end; false if the task is already done.
    pub(super) fn add_joiner(&self, joiner: TaskRef) -> bool {
        let mut joiners = self.joiners.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.state.fetch_or(HAS_JOINERS, Ordering::AcqRel);
        if before & DONE != 0 {
            return false;
        }
        joiners.push(joiner);
        true
    }

    pub(super) fn remove_joiner(&self, joiner: &TaskRef) {
        let mut joiners = self.joiners.lock().unwrap_or_else(PoisonError::into_inner);
        joiners.remove(joiner);
    }

    fn wake_joiners(&self) {
        let joiners = mem::take(&mut *self.joiners.lock().unwrap_or_else(PoisonError::into_inner));
        joiners.wake();
    }
}

/// The greenlet's code: runs on its stack.
unsafe fn run<F, T>(task: NonNull<Header>)
where
    F: FnOnce() -> T,
{
    // SAFETY: `task` is the header of a live `TaskCell<F, T>` (repr C, header first); by the
    // caller's promise and rule 1 the stage is ours.
    let stage = unsafe { task.cast::<TaskCell<F, T>>().as_ref() }
        .stage
        .get();
    // SAFETY: as above.
    let before = unsafe { mem::replace(&mut *stage, Stage::Running) };
    // SAFETY: the header is alive while the queue's reference is, which the runner holds.
    let killed = unsafe { task.as_ref() }.is_killed();
    let Stage::Pending(f) = before else {
        unreachable!("a task runs once")
    };
    let outcome = match catch_unwind(AssertUnwindSafe(|| {
        if killed {
            drop(f);
            None
        } else {
            Some(f())
        }
    })) {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err(Failure::Killed),
        Err(payload) if payload.is::<Killed>() => Err(Failure::Killed),
        Err(payload) => Err(Failure::Panicked(payload)),
    };
    // SAFETY: as above; not DONE yet. What is overwritten is Running, which has nothing to drop.
    unsafe {
        stage.write(Stage::Finished(outcome));
        announce::<F, T>(task);
    }
}

/// Ends a task from outside.
unsafe fn fail<F, T>(task: NonNull<Header>, failure: Failure)
where
    F: FnOnce() -> T,
{
    // SAFETY: `task` is the header of a live `TaskCell<F, T>`, whose stage is ours (rule 1).
    let stage = unsafe { task.cast::<TaskCell<F, T>>().as_ref() }
        .stage
        .get();
    // SAFETY: as above. What was there may be a closure that never ran. It is leaked: this runs in the
    // hub's loop, where a destructor of the user's could not block, and the process is out of
    // memory or at the end of a thread.
    unsafe {
        mem::forget(mem::replace(&mut *stage, Stage::Finished(Err(failure))));
        announce::<F, T>(task);
    }
}

/// The outcome is stored: tells those who wait, and drops it if nobody will ask.
#[inline(always)]
unsafe fn announce<F, T>(task: NonNull<Header>)
where
    F: FnOnce() -> T,
{
    // SAFETY: the caller's reference keeps the task alive.
    let header = unsafe { task.as_ref() };
    let before = header.state.fetch_or(DONE, Ordering::AcqRel);
    if before & HAS_JOINERS != 0 {
        header.wake_joiners();
    }
    if before & DETACHED != 0 {
        // SAFETY: DETACHED came first, so the outcome is ours (rule 2).
        unsafe { drop_outcome::<F, T>(task) };
    }
}

/// Drops a user's value whose destructor may panic: the panic hook has then reported it, and
/// nobody is left to take the payload.
fn drop_quietly<V>(value: V) {
    if mem::needs_drop::<V>() {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(value))).map_err(mem::forget);
    }
}

/// Moves the outcome out; if it is a value and the caller's reference the last, frees the task and says
/// so.
unsafe fn take<F, T>(task: NonNull<Header>, out: *mut ()) -> bool {
    // SAFETY: by the caller's promise the stage is the caller's, and `out` has room for an
    // `Outcome<T>`. If the caller's reference is the last, nobody can make another.
    unsafe {
        let cell = task.cast::<TaskCell<F, T>>().as_ref();
        let Stage::Finished(outcome) = mem::replace(&mut *cell.stage.get(), Stage::Taken) else {
            unreachable!("an outcome is taken once, after the end")
        };
        // Acquire pairs with the Release of the other drops.
        let last = outcome.is_ok() && cell.header.refs.load(Ordering::Acquire) == 1;
        out.cast::<Outcome<T>>().write(outcome);
        if last {
            free::<F, T>(task);
        }
        last
    }
}

unsafe fn drop_outcome<F, T>(task: NonNull<Header>) {
    // SAFETY: by the caller's promise the stage is the caller's.
    let old = unsafe {
        let stage = task.cast::<TaskCell<F, T>>().as_ref().stage.get();
        match &*stage {
            Stage::Finished(_) => mem::replace(&mut *stage, Stage::Taken),
            _ => return,
        }
    };
    drop_quietly(old);
}

unsafe fn free<F, T>(task: NonNull<Header>) {
    // SAFETY: no reference is left, and the memory was obtained for this type. The stage is
    // Taken (or Running for a thread's own stack, and for what was abandoned), by rules 2 and 3.
    unsafe {
        let cell = task.cast::<TaskCell<F, T>>();
        core::ptr::drop_in_place(cell.as_ptr());
        cells::free(cell.cast(), Layout::new::<TaskCell<F, T>>());
    }
}
