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
//! pay for a system call every hundred nanoseconds. If the queue is empty it blocks, for as long
//! as the next timer allows: there is no tick.
//!
//! # The end of a thread
//! When the thread ends, greenlets that still live are killed: their destructors run. What
//! refuses to die after [`LAST_ROUNDS`] more suspensions is abandoned: never resumed, its stack leaked (its
//! values may be borrowed by others), joins of it fail.
#![allow(unsafe_code)] // Resumes coroutines and hands out references to a thread's hub.

use core::cell::{Cell, OnceCell, RefCell, UnsafeCell};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use super::cells::Cells;
use super::control::{Control, List};
use super::deadlock::Deadlock;
use super::driver::{Alarms, Poller, Wait};
use super::inbox::Shared;
use super::park::EARLY_TOKEN;
use super::queue::{Address, RunQueue, Work};
use super::task::{Attributes, DONE, Failure, Header, KILLED, TaskRef};
use crate::coroutine::{self, Body, Chain, Coroutine, Loop, State};
use crate::stack::{Pool, StackSize};
use crate::sys::{clock, ticks};

/// How often a greenlet that catches its kill is resumed again at the end of its thread.
const LAST_ROUNDS: usize = 100;
/// Entries of very short turns that pass without a look at the cycle counter, which costs as much as a
/// switch on some machines.
const SHORT_TURNS: u32 = 4;
/// Entries of a turn between two looks at the cycle counter.
const BETWEEN_CLOCKS: usize = 32;
/// Greenlet numbers are taken from the process's counter in blocks of this many.
const ID_BLOCK: u64 = 1024;

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
    /// The control block of the code on the thread's own stack.
    main: Control,
    /// The coroutine layer's chain of this thread.
    pub(super) chain: *const Chain,
    /// Operations that the running greenlet may still do without suspending before it must let
    /// others run.
    pub(super) budget: Cell<u32>,
    /// Entries of the present turn that are still to run.
    turn_left: Cell<usize>,
    last_poll: Cell<u64>,
    /// Entries queued by turns since the last look at the cycle counter.
    short_turns: Cell<u32>,
    /// When the process had other threads, in ticks.
    other_threads_seen: Cell<u64>,
    pub(super) list: List,
    pub(crate) shared: &'static Shared,
    pub(super) pool: Rc<Pool>,
    /// Memory of tasks that have ended.
    pub(super) cells: Cells,
    /// Parked greenlets whose wait something outside the hub may end.
    pub(super) externals: Cell<usize>,
    /// Greenlets that start later, with the alarms that will start them.
    delayed: RefCell<HashMap<u64, (TaskRef, u64)>>,
    alarms: OnceCell<Rc<dyn Alarms>>,
    poller: OnceCell<Rc<dyn Poller>>,
    next_id: Cell<u64>,
    live: Cell<usize>,
    switches: Cell<u64>,
    spawned: Cell<u64>,
    polls: Cell<u64>,
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

#[cold]
#[inline(never)]
fn make() -> &'static Hub {
    coroutine::prepare_thread();
    crate::sys::thread::precise_timers();
    super::report::name_greenlets_in_panics();
    let shared = Shared::obtain();
    let main = TaskRef::for_main(Attributes {
        id: 0,
        name: std::thread::current().name().map(Into::into),
        size: StackSize::DEFAULT,
        measure: false,
        shared,
    });
    let hub: &'static Hub = Box::leak(Box::new(Hub {
        queue: UnsafeCell::new(RunQueue::new()),
        urgent: UnsafeCell::new(RunQueue::new()),
        current: Cell::new(ptr::null()),
        main: Control::for_main(main),
        chain: coroutine::current_cell(),
        budget: Cell::new(super::BUDGET),
        turn_left: Cell::new(0),
        last_poll: Cell::new(0),
        short_turns: Cell::new(0),
        other_threads_seen: Cell::new(0),
        list: List::new(),
        shared,
        pool: crate::stack::thread_pool(),
        cells: Cells::default(),
        externals: Cell::new(0),
        delayed: RefCell::default(),
        alarms: OnceCell::new(),
        poller: OnceCell::new(),
        next_id: Cell::new(0),
        live: Cell::new(0),
        switches: Cell::new(0),
        spawned: Cell::new(0),
        polls: Cell::new(0),
    }));
    hub.current.set(&raw const hub.main);
    hub.main.task.control.set(&raw const hub.main);
    HUB.with(|cell| cell.set(hub));
    // In a destructor of another thread-local this may be too late; then the hub is leaked.
    let _ = END.try_with(|_| ());
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
    fn queued(&self) -> usize {
        // SAFETY: as in `push`.
        unsafe { (*self.queue.get()).len() }
    }

    /// Queues a new greenlet. Its stack is promised here and taken at its first run.
    pub(super) fn spawn<F, T>(
        &self,
        name: Option<Box<str>>,
        size: StackSize,
        measure: bool,
        f: F,
    ) -> io::Result<TaskRef>
    where
        F: FnOnce() -> T,
    {
        let (task, queued) = self.new_task(name, size, measure, f)?;
        self.push(Work::Start(queued));
        Ok(task)
    }

    /// As [`Hub::spawn`], but the greenlet starts when [`Hub::start_delayed`] is called, or
    /// when it is killed. `arm` gets its number and returns the alarm to cancel in the latter case.
    pub(crate) fn spawn_delayed<F, T>(
        &self,
        f: F,
        arm: impl FnOnce(u64) -> u64,
    ) -> io::Result<TaskRef>
    where
        F: FnOnce() -> T,
    {
        let (task, queued) = self.new_task(None, StackSize::DEFAULT, false, f)?;
        // SAFETY: the second reference of `new`, kept in the table instead of the queue.
        let delayed = unsafe { TaskRef::from_raw(queued) };
        let alarm = arm(task.id);
        self.delayed.borrow_mut().insert(task.id, (delayed, alarm));
        Ok(task)
    }

    /// Queues a delayed greenlet, unless it was queued because of a kill.
    pub(crate) fn start_delayed(&self, id: u64) {
        if let Some((task, _)) = self.delayed.borrow_mut().remove(&id) {
            self.push(Work::Start(task.into_raw()));
        }
    }

    /// Starts a killed greenlet that was delayed, so that its closure is dropped in good order.
    pub(super) fn hasten(&self, id: u64) {
        let delayed = self.delayed.borrow_mut().remove(&id);
        if let Some((task, alarm)) = delayed {
            if let Some(alarms) = self.alarms.get() {
                alarms.cancel(alarm);
            }
            self.push(Work::Start(task.into_raw()));
        }
    }

    fn hasten_all(&self) {
        let delayed: Vec<u64> = self.delayed.borrow().keys().copied().collect();
        for id in delayed {
            self.hasten(id);
        }
    }

    fn new_task<F, T>(
        &self,
        name: Option<Box<str>>,
        size: StackSize,
        measure: bool,
        f: F,
    ) -> io::Result<(TaskRef, NonNull<Header>)>
    where
        F: FnOnce() -> T,
    {
        self.pool.promise(size)?;
        let attributes = Attributes {
            id: self.next_id(),
            name,
            size,
            measure,
            shared: self.shared,
        };
        let (task, queued) = TaskRef::new(&self.cells, attributes, f);
        self.live.set(self.live.get() + 1);
        self.spawned.set(self.spawned.get() + 1);
        tracing::trace!(target: "rustlet", id = task.id, name = task.name(), "spawn");
        Ok((task, queued))
    }

    fn next_id(&self) -> u64 {
        static NEXT_BLOCK: AtomicU64 = AtomicU64::new(0);
        let mut id = self.next_id.get();
        if id.is_multiple_of(ID_BLOCK) {
            id = NEXT_BLOCK.fetch_add(ID_BLOCK, Ordering::Relaxed);
        }
        self.next_id.set(id + 1);
        id + 1
    }

    /// Runs greenlets until the main entry comes up.
    pub(super) fn run_until_main(&self) -> Result<(), Deadlock> {
        loop {
            if self.turn() {
                return Ok(());
            }
            self.between_turns(true)?;
        }
    }

    /// Runs the rest of the turn; true as soon as the main entry came up.
    ///
    /// A long turn is interrupted every millisecond or so for timers and descriptors; whom they wake then
    /// runs before the turn goes on.
    fn turn(&self) -> bool {
        let mut frame = Frame::new(self);
        if self.run_urgent(&mut frame) {
            return true;
        }
        let mut left = self.turn_left.get();
        while left > 0 {
            let some = left.min(BETWEEN_CLOCKS);
            for _ in 0..some {
                left -= 1;
                let Some(work) = self.pop() else { break };
                if frame.run(work) {
                    self.turn_left.set(left);
                    return true;
                }
            }
            if left > 0
                && ticks::now().wrapping_sub(self.last_poll.get()) >= ticks::one_millisecond()
            {
                self.poll_urgently();
                if self.run_urgent(&mut frame) {
                    self.turn_left.set(left);
                    return true;
                }
            }
        }
        self.turn_left.set(0);
        false
    }

    /// Polls in the middle of a turn: what becomes runnable is queued apart.
    #[cold]
    fn poll_urgently(&self) {
        self.swap_queues();
        if !self.shared.is_empty() {
            self.empty_inbox();
        }
        self.poll(Wait::No);
        self.swap_queues();
    }

    fn swap_queues(&self) {
        // SAFETY: as in `push`; the two are different fields.
        unsafe { ptr::swap(self.queue.get(), self.urgent.get()) };
    }

    /// Runs what was woken in the middle of a turn; true as soon as the main entry came up.
    fn run_urgent(&self, frame: &mut Frame<'_>) -> bool {
        loop {
            // SAFETY: as in `push`.
            let Some(work) = (unsafe { (*self.urgent.get()).pop() }) else {
                return false;
            };
            if frame.run(work) {
                return true;
            }
        }
    }

    #[inline(always)]
    fn resume(&self, body: NonNull<Body<Control>>) {
        self.budget.set(super::BUDGET);
        // SAFETY: an entry of the queue names a suspended greenlet of this thread, once; `Frame`
        // holds the Loop.
        let finished = unsafe {
            self.current.set(&raw const (*body.as_ptr()).data);
            Coroutine::from_body(body).resume_from(self.chain) == State::Finished
        };
        if finished {
            self.reap(body);
        }
    }

    /// Gives a greenlet its stack and runs it.
    fn start(&self, task: NonNull<Header>) {
        // SAFETY: the queue's entry held this reference.
        let task = unsafe { TaskRef::from_raw(task) };
        let slot = match self.pool.take(task.size) {
            Ok(slot) => slot,
            Err(error) => {
                // A subscriber of the event below may ask who runs: the hub.
                self.current.set(&raw const self.main);
                self.pool.withdraw(task.size);
                tracing::error!(target: "rustlet", id = task.id, %error, "no stack");
                self.live.set(self.live.get() - 1);
                // SAFETY: the task is Pending, on its hub's thread.
                unsafe { task.fail(Failure::NotStarted(error)) };
                return;
            }
        };
        if task.measure {
            // SAFETY: the slot is ours and nothing runs on it yet.
            unsafe { slot.paint(slot.top() - PAINT_MARGIN) };
        }
        let state = task.state.load(Ordering::Acquire);
        let (killed, notified) = (state & KILLED != 0, state & EARLY_TOKEN != 0);
        let id = task.id;
        // SAFETY: `init` fills its place, does not unwind, and the context is the task's number.
        let coroutine = unsafe {
            Coroutine::create_with(slot, Some(id), |place| {
                Control::init(place, task, Body::around(place), notified);
            })
        };
        let body = coroutine.body();
        // SAFETY: just made, and alive until `reap`.
        let control = unsafe { &(*body.as_ptr()).data };
        if killed {
            control.set_interrupted(true);
        }
        control.task.control.set(control);
        self.resume(body);
    }

    /// Takes back what a finished greenlet held.
    fn reap(&self, body: NonNull<Body<Control>>) {
        self.current.set(&raw const self.main);
        // SAFETY: the greenlet has finished; it leaves the list and the task before its control
        // block is moved out, and the queue has no entry of it: an entry is pushed by a
        // yield or by the unpark of a parked greenlet, and it was neither when it returned.
        let (slot, measured) = unsafe {
            let control = &(*body.as_ptr()).data;
            self.list.unlink(control);
            let task = &control.task;
            task.control.set(ptr::null());
            tracing::trace!(target: "rustlet", id = task.id, "finish");
            let measured = task.measure.then(|| task.clone());
            (Coroutine::from_body(body).finish(), measured)
        };
        self.live.set(self.live.get() - 1);
        if let Some(task) = measured {
            task.set_high_water(slot.high_water());
        }
        self.pool.give_back(slot);
    }

    /// Inbox, timers and descriptors; blocks if there is nothing else to do and `may_block`.
    fn between_turns(&self, may_block: bool) -> Result<(), Deadlock> {
        if !self.shared.is_empty() {
            self.empty_inbox();
        }
        if self.queued() == 0 {
            self.idle(may_block)?;
        } else if self.short_turns.get() < SHORT_TURNS {
            self.short_turns
                .set(self.short_turns.get() + self.queued() as u32);
        } else {
            self.short_turns.set(0);
            self.poll_if_due();
        }
        self.turn_left.set(self.queued());
        Ok(())
    }

    fn empty_inbox(&self) {
        self.shared.take(|task| {
            if task.is_killed() {
                self.note_kill(&task);
            }
            self.unpark(&task);
        });
    }

    /// The queue is empty: fires timers, or waits.
    fn idle(&self, may_block: bool) -> Result<(), Deadlock> {
        if let Some(alarms) = self.alarms.get() {
            alarms.fire_due();
        }
        if self.queued() > 0 {
            // Due timers come first, but descriptors are not starved by them.
            self.poll_if_due();
            return Ok(());
        }
        if !may_block {
            return Ok(());
        }
        let wait = match self.alarms.get().and_then(|alarms| alarms.next()) {
            Some(deadline) => Wait::Until(deadline),
            None if self.can_be_woken() => Wait::Forever,
            None => return Err(self.deadlock()),
        };
        // SAFETY: as in `push`.
        unsafe { (*self.queue.get()).shrink() };
        self.block(wait);
        Ok(())
    }

    /// Whether anything but a timer can make a greenlet of this hub runnable.
    fn can_be_woken(&self) -> bool {
        self.poller.get().is_some_and(|poller| poller.has_waiters())
            || self.externals.get() > 0 && self.has_other_threads()
    }

    /// Whether the process has other threads, or had some a moment ago: asking costs
    /// microseconds, and two threads that play ping-pong would ask at every wait.
    fn has_other_threads(&self) -> bool {
        let now = ticks::now();
        if now.wrapping_sub(self.other_threads_seen.get()) < 100 * ticks::one_millisecond() {
            return true;
        }
        let others = crate::sys::thread::has_other_threads();
        if others {
            self.other_threads_seen.set(now);
        }
        others
    }

    /// Waits for a descriptor, the bell, or the deadline.
    fn block(&self, wait: Wait) {
        let bell = match self.shared.bell() {
            Ok(bell) => bell,
            Err(error) => {
                // Without a bell other threads cannot end a wait, so wait in short naps until
                // a descriptor is free.
                tracing::warn!(target: "rustlet", %error, "no descriptor for the hub's bell");
                let nap = Wait::Until(clock::now() + NAP);
                self.poll(
                    if matches!(wait, Wait::Until(at) if at < clock::now() + NAP) {
                        wait
                    } else {
                        nap
                    },
                );
                if self.poller.get().is_none() {
                    crate::sys::thread::sleep_until(clock::now() + NAP);
                }
                self.empty_inbox();
                return;
            }
        };
        if self.shared.prepare_sleep() {
            if self.poller.get().is_some() {
                self.poll(wait);
            } else {
                if crate::sys::thread::wait_readable(bell, wait.deadline()) {
                    self.shared.silence();
                }
            }
            self.shared.awake();
        }
        self.empty_inbox();
    }

    /// Polls without blocking, if the last time was a while ago.
    fn poll_if_due(&self) {
        if ticks::now().wrapping_sub(self.last_poll.get()) >= ticks::some_microseconds() {
            self.poll(Wait::No);
        }
    }

    /// Fires due timers and polls descriptors.
    fn poll(&self, wait: Wait) {
        if let Some(poller) = self.poller.get()
            && (wait != Wait::No || poller.has_waiters())
        {
            self.polls.set(self.polls.get() + 1);
            if let Err(error) = poller.poll(wait) {
                tracing::error!(target: "rustlet", %error, "polling descriptors failed");
                if wait != Wait::No {
                    crate::sys::thread::sleep_until(clock::now() + NAP);
                }
            }
        }
        if let Some(alarms) = self.alarms.get() {
            alarms.fire_due();
        }
        self.last_poll.set(ticks::now());
    }

    fn deadlock(&self) -> Deadlock {
        let mut report = Deadlock::new(self.main.reason.get());
        self.list.for_each(|control| {
            if control.parked.get() {
                report.add(&control.task, control.reason.get());
            }
        });
        report
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
            live: self.live.get(),
            spawned: self.spawned.get(),
            switches: self.switches.get(),
            polls: self.polls.get(),
        }
    }

    /// The end of the thread: kills what lives, and abandons what refuses.
    fn end(&self) {
        for _ in 0..LAST_ROUNDS {
            if self.live.get() == 0 {
                break;
            }
            let mut listed = Vec::new();
            self.list
                .for_each(|control| listed.push(control.task.clone()));
            listed.iter().for_each(super::interrupt::kill_listed);
            self.hasten_all();
            for _ in 0..self.queued() {
                if let Some(entry) = self.pop() {
                    entry.with_task(super::interrupt::kill_listed);
                    self.push(entry);
                }
            }
            self.turn_left.set(self.queued());
            self.turn();
            let _ = self.between_turns(false);
        }
        self.hasten_all();
        let mut abandoned = Vec::new();
        self.list
            .for_each(|control| abandoned.push(control.task.clone()));
        while let Some(entry) = self.pop() {
            entry.with_task(|task| abandoned.push(task.clone()));
        }
        for task in abandoned {
            if !task.is_done() {
                tracing::warn!(target: "rustlet", id = task.id, "abandoned at the end of its thread");
                task.control.set(ptr::null());
                // SAFETY: the hub never resumes it again.
                unsafe { task.fail(Failure::Abandoned) };
            }
        }
        self.empty_inbox();
        // Handles to the thread's own code may outlive it.
        self.main.task.state.fetch_or(DONE, Ordering::AcqRel);
        self.main.task.control.set(ptr::null());
    }
}

/// How long the hub waits when it cannot wait properly, in nanoseconds.
const NAP: clock::Nanos = 1_000_000;
/// Bytes below a slot's top that are in use before a greenlet's code begins: not painted.
const PAINT_MARGIN: usize = 2048;

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

/// A stretch of the hub's loop; what was current before is restored at its end.
struct Frame<'a> {
    hub: &'a Hub,
    ran: u64,
    _loop: Loop,
}

impl<'a> Frame<'a> {
    fn new(hub: &'a Hub) -> Self {
        Frame {
            hub,
            ran: 0,
            // SAFETY: the hub's own thread's chain.
            _loop: unsafe { Loop::enter(hub.chain) },
        }
    }

    /// Does one entry; true if it is the main one.
    #[inline(always)]
    fn run(&mut self, work: Entry) -> bool {
        self.ran += 1;
        match work {
            Work::Resume { body, .. } => self.hub.resume(body),
            Work::Start(task) => self.hub.start(task),
            Work::Main => return true,
        }
        false
    }
}

impl Drop for Frame<'_> {
    fn drop(&mut self) {
        let hub = self.hub;
        hub.current.set(&raw const hub.main);
        hub.switches.set(hub.switches.get() + self.ran);
    }
}

/// Ends the hub when the thread ends.
struct EndOfThread;

impl Drop for EndOfThread {
    fn drop(&mut self) {
        // A greenlet that calls `std::process::exit` gets here on its own stack: then nothing is
        // unwound, as on other threads.
        if !coroutine::current().is_null() {
            return;
        }
        let hub = HUB.with(Cell::get);
        // SAFETY: as in `get`; it was leaked from a Box, and is taken back once, below.
        let Some(here) = (unsafe { hub.as_ref() }) else {
            return;
        };
        here.end();
        HUB.with(|cell| cell.set(ptr::null()));
        let shared = here.shared;
        // SAFETY: no greenlet runs any more, and nobody else refers to the hub: tasks and other
        // threads refer to `shared`.
        drop(unsafe { Box::from_raw(hub.cast_mut()) });
        shared.release();
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
