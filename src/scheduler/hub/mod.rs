//! The hub: the loop of one OS thread that runs its greenlets.
//!
//! It has no stack of its own. Code on the thread's stack that blocks runs the loop until it can
//! return ([`Hub::run_until_main`]); greenlets that block return to the loop by suspending. A
//! hub is made when its thread first spawns or blocks, and ends with the thread.
//!
//! # Turns
//! A turn is the run queue as it stood when the turn began. In a turn of more than a millisecond timers and
//! descriptors are looked at every millisecond, and those whom they wake run before the rest of
//! the turn: a hundred thousand greenlets that start at once do not delay a timer by the time
//! all of them take. Between turns the hub empties its inbox,
//! and, if the queue is empty or some 25 µs have passed since it last did, fires the timers that are due and
//! polls descriptors without blocking: nothing starves, and ten greenlets that do nothing but yield do not
//! pay for a system call every hundred nanoseconds. Turns of a few entries, as two greenlets make that wake each other, follow
//! each other without even a look at the clock, up to sixteen entries. If the queue is empty it blocks, for as long
//! as the next timer allows: there is no tick.
//!
//! # The end of a thread
//! When the thread ends, greenlets that still live are killed: their destructors run. What
//! refuses to die after [`end::LAST_ROUNDS`] more suspensions is abandoned: never resumed, its stack leaked (its
//! values may be borrowed by others), joins of it fail.
//!
//! | file | one idea |
//! |---|---|
//! | `mod.rs` | what a hub is, and how a thread finds its own |
//! | [`spawn`] | new greenlets, now and later |
//! | [`turn`] | running greenlets: turns, first runs, ends |
//! | [`idle`] | between turns: inbox, timers, descriptors, sleeping |
//! | [`fresh`] | what a worker does besides: starting and stealing what is fresh |
//! | [`look`] | who waits for whom: deadlocks |
//! | [`unrun`] | closures of greenlets that got no stack |
//! | [`end`] | the end of the thread |
#![allow(unsafe_code)] // Resumes coroutines and hands out references to a thread's hub.

mod end;
mod fresh;
mod idle;
mod look;
mod spawn;
mod turn;
mod unrun;

use core::cell::{Cell, OnceCell, RefCell, UnsafeCell};
use core::ptr::{self, NonNull};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::cells::Cells;
use super::control::{Control, List};
use super::counters::Counters;
use super::driver::{Alarms, Poller};
use super::inbox::Shared;
use super::queue::{Address, RunQueue, Work};
use super::task::{Attributes, Header, TaskRef};
use super::waits::Watch;
use super::workers::Worker;
use crate::coroutine::{self, Body, Chain};
use crate::stack::{Pool, StackSize};
use end::EndOfThread;
pub(super) use end::end_of_thread;
pub use look::cycles;

pub(super) type Entry = Work<NonNull<Body<Control>>, NonNull<Header>>;

impl<T> Address for NonNull<T> {
    #[inline(always)]
    fn into_address(self) -> usize {
        self.as_ptr().expose_provenance()
    }
    #[inline(always)]
    fn from_address(address: usize) -> Self {
        NonNull::new(ptr::with_exposed_provenance_mut(address)).expect("addresses are not null")
    }
}

/// One OS thread's scheduler. Everything here belongs to that thread, but for `shared`.
pub(crate) struct Hub {
    queue: UnsafeCell<RunQueue<NonNull<Body<Control>>, NonNull<Header>>>,
    /// Entries that were woken in the middle of a turn, and run before the rest of it.
    urgent: UnsafeCell<RunQueue<NonNull<Body<Control>>, NonNull<Header>>>,
    current: Cell<*const Control>,
    /// How many greenlets wait in [`super::park::park_uninterrupted`].
    pub(super) uninterrupted: Cell<usize>,
    /// The thread's own code runs the loop. See [`Hub::is_in_loop`].
    in_loop: Cell<bool>,
    /// The control block of the code on the thread's own stack.
    main: Control,
    /// The coroutine layer's chain of this thread.
    pub(super) chain: *const Chain,
    /// Operations that the running greenlet may still do without suspending before it must let
    /// others run.
    pub(super) budget: Cell<u32>,
    /// Entries of the present turn that are still to run.
    turn_left: Cell<usize>,
    /// At least half of the present turn's entries came from outside.
    outside_in_order: Cell<bool>,
    /// Entries that came from outside in the course of the present turn, and run in the next.
    from_outside: Cell<usize>,
    last_poll: Cell<u64>,
    /// How long a turn goes on before it is interrupted for a look at the outside, in ticks.
    between_looks: Cell<u64>,
    /// The cycle counter, as of the last look at it.
    pub(super) recently: Cell<u64>,
    /// Entries queued by turns since the last look at the cycle counter.
    short_turns: Cell<usize>,
    /// When the process had other threads, in ticks.
    other_threads_seen: Cell<u64>,
    pub(super) list: List,
    pub(crate) shared: &'static Shared,
    pub(super) pool: Rc<Pool>,
    /// Memory of tasks that have ended.
    pub(super) cells: Cells,
    /// Parked greenlets whose wait something outside the hub may end.
    pub(super) externals: Cell<usize>,
    /// When to look for cycles of waits.
    pub(super) watch: Watch,
    /// Greenlets that start later, with the alarms that will start them.
    delayed: RefCell<HashMap<u64, (TaskRef, u64)>>,
    unrun: unrun::Closures,
    alarms: OnceCell<Rc<dyn Alarms>>,
    poller: OnceCell<Rc<dyn Poller>>,
    next_id: Cell<u64>,
    /// The stack size of what is spawned without one of its own.
    pub(super) size: Cell<StackSize>,
    pub(crate) counters: Arc<Counters>,
    /// The worker of a runtime that this hub is.
    worker: OnceCell<Worker>,
    /// It is one, and has not begun to end.
    at_work: Cell<bool>,
    /// Greenlets that were abandoned at its end.
    refused: Cell<usize>,
}

/// What a thread's hub has done so far, and has now. See [`stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubStats {
    /// Greenlets that were spawned and have not ended.
    pub live: usize,
    /// Greenlets spawned since the hub began.
    pub spawned: u64,
    /// Times that a greenlet was resumed (or the thread's own code returned to).
    pub switches: u64,
    /// Times that the hub asked the kernel for events.
    pub polls: u64,
}

thread_local! {
    static HUB: Cell<*const Hub> = const { Cell::new(ptr::null()) };
    static END: EndOfThread = const { EndOfThread };
}

/// This thread's hub, made if there is none.
///
/// Not inlined, as everything that reads a thread-local: the reference may be kept across a
/// suspension, because greenlets stay on their thread.
#[inline(never)]
pub(crate) fn get() -> &'static Hub {
    get_inlined()
}

/// As [`get`], for functions that are themselves never inlined.
#[inline(always)]
pub(super) fn get_inlined() -> &'static Hub {
    match existing_inlined() {
        Some(hub) => hub,
        None => make(),
    }
}

/// This thread's hub, if there is one.
#[inline(never)]
pub(crate) fn existing() -> Option<&'static Hub> {
    existing_inlined()
}

/// As [`existing`], for functions that are themselves never inlined.
#[inline(always)]
pub(super) fn existing_inlined() -> Option<&'static Hub> {
    // SAFETY: the pointer is to a leaked Hub, which is freed at the end of the thread, when none
    // of the thread's code runs any more but destructors of thread-locals; those get a new hub.
    unsafe { HUB.with(Cell::get).as_ref() }
}

/// The control block of the running greenlet, or of the thread's own code.
pub(crate) fn current_control() -> &'static Control {
    get().current()
}

/// In the child of a fork: the hub that the forking thread had is the parent's.
#[inline(never)]
extern "C" fn forget() {
    HUB.with(|cell| cell.set(ptr::null()));
}

/// What a child of a fork gets that uses a hub.
#[cold]
#[inline(never)]
pub(super) fn in_child_of_fork() -> ! {
    const TEXT: &str = "this process is the child of a fork, and rustlet's hubs and threads are its parent's: fork before the first use \
                        of rustlet, or call nothing but exec or _exit in the child";
    if !coroutine::current().is_null() {
        // A greenlet's unwinding would end in a hub.
        eprintln!("{TEXT}");
        std::process::abort();
    }
    panic!("{TEXT}");
}

#[cold]
#[inline(never)]
fn make() -> &'static Hub {
    crate::sys::fork::watch(forget);
    if crate::sys::fork::is_child() {
        in_child_of_fork();
    }
    coroutine::prepare_thread();
    crate::sys::thread::precise_timers();
    crate::sys::ticks::begin();
    super::report::name_greenlets_in_panics();
    let shared = Shared::obtain(spawn::next_block());
    let main = TaskRef::for_main(Attributes {
        id: 0,
        name: std::thread::current().name().map(Into::into),
        size: StackSize::DEFAULT,
        measure: false,
        shared: Some(shared),
        parent: 0,
        spawned_at: core::panic::Location::caller(),
        borrows: false,
    });
    let hub: &'static Hub = Box::leak(Box::new(Hub {
        queue: UnsafeCell::new(RunQueue::new()),
        urgent: UnsafeCell::new(RunQueue::new()),
        current: Cell::new(ptr::null()),
        uninterrupted: Cell::new(0),
        in_loop: Cell::new(false),
        main: Control::for_main(main),
        chain: coroutine::chain(),
        budget: Cell::new(super::BUDGET),
        turn_left: Cell::new(0),
        outside_in_order: Cell::new(false),
        from_outside: Cell::new(0),
        between_looks: Cell::new(0),
        last_poll: Cell::new(0),
        recently: Cell::new(crate::sys::ticks::now()),
        short_turns: Cell::new(0),
        other_threads_seen: Cell::new(0),
        list: List::new(),
        shared,
        pool: crate::stack::thread_pool(),
        cells: Cells::default(),
        externals: Cell::new(0),
        watch: Watch::default(),
        delayed: RefCell::default(),
        unrun: unrun::Closures::default(),
        alarms: OnceCell::new(),
        poller: OnceCell::new(),
        next_id: Cell::new(0),
        size: Cell::new(StackSize::DEFAULT),
        counters: Arc::default(),
        worker: OnceCell::new(),
        at_work: Cell::new(false),
        refused: Cell::new(0),
    }));
    hub.current.set(&raw const hub.main);
    hub.main.task.control.set(&raw const hub.main);
    hub.counters.born.set(crate::sys::ticks::now());
    hub.counters.looked.set(hub.counters.born.get());
    HUB.with(|cell| cell.set(hub));
    // In a destructor of another thread-local this may be too late; then the hub is leaked.
    if END.try_with(|_| ()).is_ok() {
        super::stalls::enter(hub, hub.main.task.name());
    }
    hub
}

impl Hub {
    /// The running greenlet's control block, or the thread's own.
    #[inline(always)]
    pub(crate) fn current(&self) -> &Control {
        // SAFETY: `current` is set to a live control block whenever user code runs: a greenlet's
        // stays alive while it runs, the main one as long as the hub.
        unsafe { &*self.current.get() }
    }

    /// The running greenlet's body; `None` for the thread's own code. Computed, not loaded.
    #[inline(always)]
    pub(super) fn current_body(&self) -> Option<NonNull<Body<Control>>> {
        let control = self.current.get();
        if ptr::eq(control, &raw const self.main) {
            return None;
        }
        NonNull::new(Body::around(control).cast_mut())
    }

    /// Appends to the run queue.
    #[inline]
    pub(super) fn push(&self, entry: Entry) {
        // SAFETY: the queue is the thread's own, and no method of it calls back.
        unsafe { (*self.queue.get()).push(entry) }
    }

    /// Appends to the run queue, unless it would have to grow.
    #[inline(always)]
    pub(super) fn push_if_room(&self, entry: Entry) -> bool {
        // SAFETY: as in `push`.
        unsafe { (*self.queue.get()).push_if_room(entry) }
    }

    #[inline]
    fn pop(&self) -> Option<Entry> {
        // SAFETY: as in `push`.
        unsafe { (*self.queue.get()).pop() }
    }

    #[inline]
    pub(in crate::scheduler) fn queued(&self) -> usize {
        // SAFETY: as in `push`.
        unsafe { (*self.queue.get()).len() }
    }

    /// The timers, attached on first use.
    pub(crate) fn alarms(&self, make: impl FnOnce() -> Rc<dyn Alarms>) -> &dyn Alarms {
        &**self.alarms.get_or_init(make)
    }

    /// Counts one operation that may succeed without suspending; lets others run when the budget
    /// is used up.
    #[inline]
    pub(crate) fn spend_budget(&self) {
        match self.budget.get() {
            0 => {
                self.budget.set(super::BUDGET);
                super::yield_now();
            }
            left => self.budget.set(left - 1),
        }
    }

    /// The reactor, if it is attached.
    pub(crate) fn poller(&self) -> Option<&dyn Poller> {
        self.poller.get().map(|poller| &**poller)
    }

    /// Attaches the reactor, once.
    pub(crate) fn attach_poller(&self, poller: Rc<dyn Poller>) {
        assert!(self.poller.set(poller).is_ok(), "a hub has one reactor");
    }

    fn stats(&self) -> HubStats {
        HubStats {
            live: self.counters.live.get() as usize,
            spawned: self.counters.spawned.get(),
            switches: self.counters.switches.get(),
            polls: self.counters.polls.get(),
        }
    }
}

impl Entry {
    /// Visits the greenlet of this entry, if it is one.
    fn with_task(&self, visit: impl FnOnce(&TaskRef)) {
        match *self {
            Work::Main => {}
            // SAFETY: an entry of the queue names a live greenlet.
            Work::Resume { body, .. } => visit(unsafe { &(*body.as_ptr()).data.task }),
            Work::Start(task) => {
                // SAFETY: the entry holds a reference, which stays with it.
                let task = core::mem::ManuallyDrop::new(unsafe { TaskRef::from_raw(task) });
                visit(&task);
            }
        }
    }
}

/// Counters of this thread's hub; zeros if it has none yet.
///
/// ```
/// rustlet::spawn(|| rustlet::yield_now()).join().unwrap();
/// let stats = rustlet::stats();
/// assert_eq!((stats.spawned, stats.live), (1, 0));
/// assert!(stats.switches >= 3); // first run, after the yield, and back to this code
/// ```
pub fn stats() -> HubStats {
    existing().map(Hub::stats).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Hub, existing, get};
    use crate::coroutine::wander::sees_the_present_thread;

    #[test]
    fn the_hub_is_that_of_the_present_thread() {
        let address = |hub: &'static Hub| core::ptr::from_ref(hub).addr();
        sees_the_present_thread(move |_| address(get()), move || address(get()));
        sees_the_present_thread(
            move |_| address(get()),
            move || existing().map_or(0, address),
        );
    }
}
