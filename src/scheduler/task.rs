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
//!    reference: a closure of `spawn_local` need not be `Send`. It is leaked if it did not run because its thread ended, or got
//!    no stack and borrows.
//! 4. `control` and the locals in the side box are touched by the hub's thread alone; before there is one, by the
//!    spawner, and then by whoever takes the task out of a deque.
//! 5. A task that any worker may start belongs to no hub until one [settles](Header::settle) it. Until then kills and
//!    wake-ups set their flags and do no more: both sides change `state` by read-modify-writes, so the worker sees the flag, or
//!    the other side that there is a hub to be told.
//!
//! # The end, in order
//! The closure has returned or unwound; [`super::uncaught`]'s hook; the greenlet's locals are dropped; the outcome is
//! stored, or dropped if nobody has a handle; DONE is set with how it ended; links are queued; those who wait are woken. All of it is on the
//! greenlet's own stack, and everything before DONE may block: what is done is not woken any more.
#![allow(unsafe_code)] // A counted allocation with a type-erased tail.

use core::alloc::Layout;
use core::any::Any;
use core::cell::{Cell, UnsafeCell};
use core::mem;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use std::collections::BTreeMap;
use std::io;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::cells::Cells;
use super::control::Control;
use super::hub;
use super::inbox::Shared;
use super::interrupt::{Killed, Raising};
use super::join_error::text;
use super::joiners::{Joiners, Ticket, Waiter};
use super::link::{self, Link, LinkId};
use super::report::NameAndPlace;
use super::side::SideBox;
use super::throw::{self, THROWN};
use super::typed::{Outcome, Stage, TaskCell, Unrun, VTable};
use super::uncaught;
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

/// It is in an inbox to be started: another thread spawned it.
pub(super) const ARRIVING: u32 = 1 << 7;
/// The end of its thread does not kill it before it has begun.
pub(super) const SPARED: u32 = 1 << 8;
/// It belongs to a hub, for ever: `home` is set. Set once, by that hub's thread, or at birth.
pub(super) const PLACED: u32 = 1 << 11;
/// It may belong to another hub than that of the thread that spawned it.
pub(super) const MOVED: u32 = 1 << 12;
/// Its closure may borrow what is gone when it is done: not to be dropped then. Set at birth.
const BORROWS: u32 = 1 << 13;
/// How it ended, as an [`End`]; set with DONE.
const END: u32 = 3 << END_SHIFT;
const END_SHIFT: u32 = 9;

/// How a greenlet ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Value,
    /// Or by an uncaught throw.
    Panic,
    Killed,
    /// It got no stack, or its thread ended before it did.
    Other,
}

impl End {
    pub(super) fn into_state(self) -> u32 {
        (self as u32) << END_SHIFT
    }

    fn from_state(state: u32) -> Self {
        match (state & END) >> END_SHIFT {
            0 => End::Value,
            1 => End::Panic,
            2 => End::Killed,
            _ => End::Other,
        }
    }
}

/// The part of a task that does not depend on its types.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Header {
    pub(super) state: AtomicU32,
    /// Size class of the stack that it gets at its first run.
    pub(super) size: StackSize,
    /// Whether to measure the stack's use.
    pub(super) measure: bool,
    /// Its code has begun to run.
    pub(super) started: AtomicBool,
    pub(super) refs: AtomicUsize,
    vtable: &'static VTable,
    /// The hub it belongs to, for ever; null before it does. Written before PLACED is set.
    home: AtomicPtr<Shared>,
    /// Its control block: null before its first run and after its end. The hub's thread alone.
    pub(super) control: Cell<*const Control>,
    pub(super) inbox_next: AtomicPtr<Header>,
    joiners: Mutex<Joiners>,
    pub(crate) id: u64,
    /// Who spawned it; 0 for a thread's own code.
    pub(super) parent: u64,
    pub(super) spawned_at: &'static Location<'static>,
    pub(super) side: SideBox,
}

/// A task with a closure and a value of two words or so is to fit a cell.
const _: () = assert!(size_of::<Header>() <= 104);

/// See [`super::scoped::when_lost`].
static WHEN_LOST: OnceLock<fn(&TaskRef)> = OnceLock::new();

pub(super) fn when_lost(f: fn(&TaskRef)) {
    let _ = WHEN_LOST.set(f);
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

impl Failure {
    pub(super) fn end(&self) -> End {
        match self {
            Failure::Panicked(_) => End::Panic,
            Failure::Killed => End::Killed,
            Failure::NotStarted(_) | Failure::Abandoned => End::Other,
        }
    }
}

/// A counted reference to a task of any type.
#[derive(Debug)]
pub(crate) struct TaskRef(NonNull<Header>);

// SAFETY: what other threads may touch of a header is atomic or behind a lock; `control` is only
// touched on the hub's thread (rule 4) and `stage` according to rules 1 to 3.
unsafe impl Send for TaskRef {}
// SAFETY: as above.
unsafe impl Sync for TaskRef {}

// What an unwinding may leave half done is the user's value, and that is taken out whole.
impl UnwindSafe for TaskRef {}
impl RefUnwindSafe for TaskRef {}

/// Parameters of a task beside its closure.
#[derive(Debug)]
pub(super) struct Attributes {
    pub(super) id: u64,
    pub(super) name: Option<Box<str>>,
    pub(super) size: StackSize,
    pub(super) measure: bool,
    /// The hub that it belongs to from the beginning; `None` if it will be the one of the worker that starts it.
    pub(super) shared: Option<&'static Shared>,
    pub(super) parent: u64,
    pub(super) spawned_at: &'static Location<'static>,
    /// Its closure may borrow what is gone when it is done.
    pub(super) borrows: bool,
}

impl TaskRef {
    /// A new task, with two references: the one returned and one more for the run queue
    /// ([`TaskRef::from_raw`] of the returned pointer).
    #[inline(always)]
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
        let side = if attributes.name.is_some() || attributes.measure {
            SideBox::with_name(attributes.name)
        } else {
            SideBox::empty()
        };
        let memory = cells.obtain(Layout::new::<TaskCell<F, T>>());
        let place = memory.cast::<TaskCell<F, T>>().as_ptr();
        // SAFETY: the place is the new allocation's; every field is written, one by one, because a copy
        // of freshly written fields stalls (stores that are not forwarded).
        unsafe {
            let header = &raw mut (*place).header;
            let (state, home) = match attributes.shared {
                Some(shared) => (PLACED, ptr::from_ref(shared).cast_mut()),
                None => (MOVED, ptr::null_mut()),
            };
            let state = if attributes.borrows {
                state | BORROWS
            } else {
                state
            };
            (&raw mut (*header).state).write(AtomicU32::new(state));
            (&raw mut (*header).size).write(attributes.size);
            (&raw mut (*header).measure).write(attributes.measure);
            (&raw mut (*header).started).write(AtomicBool::new(false));
            (&raw mut (*header).refs).write(AtomicUsize::new(refs));
            (&raw mut (*header).vtable).write(const { &VTable::of::<F, T>() });
            (&raw mut (*header).home).write(AtomicPtr::new(home));
            (&raw mut (*header).control).write(Cell::new(ptr::null()));
            (&raw mut (*header).inbox_next).write(AtomicPtr::new(ptr::null_mut()));
            (&raw mut (*header).joiners).write(Mutex::new(Joiners::None));
            (&raw mut (*header).id).write(attributes.id);
            (&raw mut (*header).parent).write(attributes.parent);
            (&raw mut (*header).spawned_at).write(attributes.spawned_at);
            (&raw mut (*header).side).write(side);
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

    /// Ends the task without running it (or running it further). Gives its closure if that did not run and may be dropped, which is
    /// to be done on a stack of the hub's.
    ///
    /// # Safety
    /// Called on the hub's thread; the task is not DONE, and its code does not run and never will.
    pub(super) unsafe fn fail(&self, failure: Failure) -> Option<Box<dyn Unrun>> {
        // SAFETY: the vtable fits the allocation; the rest is the caller's promise.
        let closure = unsafe { (self.vtable.fail)(self.0, failure) };
        if let Some(tell) = WHEN_LOST.get() {
            tell(self);
        }
        closure
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
        // not needed. Acquire pairs with the Release of the other drops, as in Arc; a load, since ThreadSanitizer
        // does not know fences.
        if self.refs.load(Ordering::Acquire) != 1 {
            if self.refs.fetch_sub(1, Ordering::Release) != 1 {
                return;
            }
            self.refs.load(Ordering::Acquire);
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

    /// Whether it is to be unwound from outside of itself, but for scopes.
    #[inline]
    pub(super) fn is_interrupted(&self) -> bool {
        self.state.load(Ordering::Acquire) & (KILLED | THROWN) != 0
    }

    /// Whether its code has begun to run.
    pub(super) fn is_started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    /// See [`ARRIVING`].
    pub(super) fn is_arriving(&self) -> bool {
        self.state.load(Ordering::Relaxed) & ARRIVING != 0
    }

    /// See [`SPARED`].
    pub(super) fn borrows(&self) -> bool {
        self.state.load(Ordering::Relaxed) & BORROWS != 0
    }

    pub(super) fn is_spared(&self) -> bool {
        self.state.load(Ordering::Relaxed) & SPARED != 0 && !self.is_started()
    }

    /// How it ended, if it has.
    pub(super) fn end(&self) -> Option<End> {
        let state = self.state.load(Ordering::Acquire);
        (state & DONE != 0).then(|| End::from_state(state))
    }

    /// The text of the panic that ended it.
    pub(super) fn message(&self) -> Option<&str> {
        Some(self.side.get()?.message.get()?)
    }

    /// Whether it belongs to the calling thread.
    pub(super) fn is_of_this_thread(&self) -> bool {
        hub::existing().is_some_and(|hub| self.is_of(hub.shared))
    }

    /// Whether it belongs to the hub of `shared`, which is the calling thread's.
    #[inline(always)]
    pub(super) fn is_of(&self, shared: &'static Shared) -> bool {
        // Relaxed: this thread is the only one that writes its own hub here.
        ptr::eq(self.home.load(Ordering::Relaxed), shared)
    }

    /// The hub that it belongs to, once it does.
    #[inline]
    pub(crate) fn home(&self) -> Option<&'static Shared> {
        // SAFETY: null, or from a `&'static Shared`.
        unsafe { self.home.load(Ordering::Acquire).as_ref() }
    }

    /// Makes it the hub's of the calling thread, which is about to start it. What is done to it from then on goes there; what
    /// was done before is in its state.
    #[inline]
    pub(super) fn settle(&self, shared: &'static Shared) {
        self.home
            .store(ptr::from_ref(shared).cast_mut(), Ordering::Release);
        // Acquire: what killers and wakers did before they saw that it belongs to nobody; Release: who sees the flag sees `home`.
        self.state.fetch_or(PLACED, Ordering::AcqRel);
    }

    pub(super) fn leave_inbox(&self) {
        // Acquire: what the waker did is visible; Release: a later waker that sees the flag
        // cleared pushes after us.
        self.state.fetch_and(!IN_INBOX, Ordering::AcqRel);
    }

    /// Bytes of the stack that were used at most, if it was measured.
    pub(crate) fn high_water(&self) -> Option<usize> {
        let side = self.side.get()?;
        side.high_water.load(Ordering::Acquire).checked_sub(1)
    }

    pub(super) fn set_high_water(&self, bytes: usize) {
        let side = self.side.get_or_make();
        side.high_water.store(bytes + 1, Ordering::Release);
    }

    /// The name that it was given.
    pub(crate) fn name(&self) -> Option<&str> {
        self.side.get()?.name.as_deref()
    }

    /// As it is called where there is room.
    pub(super) fn name_and_place(&self) -> NameAndPlace<'_> {
        NameAndPlace(self.id, self.name(), self.spawned_at)
    }

    pub(super) fn joiners(&self) -> MutexGuard<'_, Joiners> {
        self.joiners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one who is told of the end; `None` if that has come.
    pub(super) fn add_waiter(&self, waiter: Waiter) -> Option<Ticket> {
        let mut joiners = self.joiners();
        let before = self.state.fetch_or(HAS_JOINERS, Ordering::AcqRel);
        if before & DONE != 0 {
            return None;
        }
        Some(joiners.push(waiter))
    }

    /// Takes one back; after the end, when tickets mean nothing, there is nobody to take.
    pub(super) fn remove_waiter(&self, ticket: Ticket) {
        let waiter = self.joiners().remove(ticket);
        drop(waiter); // without the lock
    }

    /// Adds a link; true if the end has come, and the caller must see to it.
    pub(super) fn add_link(&self, id: impl FnOnce() -> LinkId, link: Link) -> (LinkId, bool) {
        let mut joiners = self.joiners();
        let before = self.state.fetch_or(HAS_JOINERS, Ordering::AcqRel);
        let id = id();
        joiners.push_link(id, link);
        (id, before & DONE != 0)
    }

    /// Takes a link out, to be called or dropped.
    pub(super) fn remove_link(&self, id: LinkId) -> Option<Link> {
        self.joiners().remove_link(id)
    }

    pub(super) fn remove_links(&self) -> BTreeMap<LinkId, Link> {
        self.joiners().remove_links()
    }

    pub(super) fn has_links(&self) -> bool {
        self.joiners().has_links()
    }

    /// Queues the links, and wakes those who wait for the end.
    ///
    /// # Safety
    /// `task` points at `self`, and the caller holds a reference.
    #[cold]
    pub(super) unsafe fn tell(&self, task: NonNull<Header>) {
        let (links, waiters) = self.joiners().take();
        if !links.is_empty() {
            // SAFETY: the caller's reference, which stays the caller's.
            let task = mem::ManuallyDrop::new(unsafe { TaskRef::from_raw(task) });
            link::spawn_all(&task, links);
        }
        waiters.wake();
    }

    /// How a greenlet ends that was interrupted before it began.
    ///
    /// # Safety
    /// As [`Header::tell`].
    #[cold]
    pub(super) unsafe fn end_unrun(&self, task: NonNull<Header>) -> Failure {
        if self.is_killed() {
            return Failure::Killed;
        }
        match self.take_thrown() {
            // SAFETY: the caller's promise.
            Some(payload) => unsafe { self.end_uncaught(task, payload, true) },
            None => Failure::Killed,
        }
    }

    /// How a greenlet ends whose code unwound.
    ///
    /// # Safety
    /// As [`Header::tell`].
    #[cold]
    pub(super) unsafe fn end_unwound(
        &self,
        task: NonNull<Header>,
        payload: Box<dyn Any + Send>,
    ) -> Failure {
        if payload.is::<Killed>() {
            return Failure::Killed;
        }
        let thrown = hub::current_control().raising.get() == Raising::Thrown;
        // SAFETY: the caller's promise.
        unsafe { self.end_uncaught(task, payload, thrown) }
    }

    /// # Safety
    /// As [`Header::tell`].
    unsafe fn end_uncaught(
        &self,
        task: NonNull<Header>,
        payload: Box<dyn Any + Send>,
        thrown: bool,
    ) -> Failure {
        hub::current_control().set_interrupted(false);
        if let Some(text) = text(&*payload) {
            let _ = self.side.get_or_make().message.set(text.into());
        }
        // SAFETY: the caller's reference, which stays the caller's.
        let task = mem::ManuallyDrop::new(unsafe { TaskRef::from_raw(task) });
        uncaught::report(&task, &*payload, thrown);
        Failure::Panicked(payload)
    }

    /// Drops the locals of the running code, which has ended, and payloads that it did not live to see; what their destructors raise goes no
    /// further. They may wait: a kill that was meant for that code is not meant for them.
    ///
    /// # Safety
    /// On the hub's thread.
    #[inline]
    pub(super) unsafe fn drop_belongings(&self) {
        if let Some(side) = self.side.get() {
            hub::current_control().set_interrupted(false);
            // SAFETY: the caller's promise (rule 4).
            unsafe { side.locals.clear() };
            throw::drop_all(&side.thrown);
        }
    }
}
