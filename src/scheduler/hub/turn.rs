//! Running greenlets: turns, first runs and ends.
//!
//! # Long turns
//! A turn that takes longer than a millisecond is interrupted for timers and descriptors. Whom they wake runs at once, before the
//! rest of the turn: a hundred thousand greenlets that yield hold up no socket. Two rules keep that fair:
//! - Where most of the turn was itself woken from outside, as in a server with a thousand connections, what descriptors and other threads wake
//!   goes to the end of the queue; only timers come first. Otherwise connections whose clients are quick
//!   would overtake the others for ever.
//! - After an interruption the turn goes on for as long as that took.

use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering;

use super::{Entry, Hub};
use crate::coroutine::{self, Body, Coroutine, Loop, State};
use crate::scheduler::BUDGET;
use crate::scheduler::control::Control;
use crate::scheduler::deadlock::Deadlock;
use crate::scheduler::driver::Wait;
use crate::scheduler::park::EARLY_TOKEN;
use crate::scheduler::queue::Work;
use crate::scheduler::task::{Header, KILLED, TaskRef};
use crate::sys::ticks;

/// Entries of a turn between two looks at the cycle counter.
const BETWEEN_CLOCKS: usize = 16;
/// A turn goes on for so many milliseconds at most without a look at timers and descriptors.
const LONGEST: u64 = 10;
/// Bytes below a slot's top that are in use before a greenlet's code begins: not painted.
const PAINT_MARGIN: usize = 2048;

impl Hub {
    /// Runs greenlets until the main entry comes up.
    pub(in crate::scheduler) fn run_until_main(&self) -> Result<(), Deadlock> {
        let _looping = self.looping();
        loop {
            if self.turn(true) {
                return Ok(());
            }
            self.between_turns(true)?;
        }
    }

    /// The thread's own code runs the loop until the result is dropped.
    pub(super) fn looping(&self) -> Looping<'_> {
        Looping {
            hub: self,
            before: self.in_loop.replace(true),
        }
    }

    /// Whether the running code was called by the hub's loop: a waker, a hook, a destructor of what only the loop still held. The
    /// thread's own code waits then, and cannot wait a second time.
    pub(in crate::scheduler) fn is_in_loop(&self) -> bool {
        self.in_loop.get() && self.current().is_main()
    }

    /// No greenlet runs, though the loop goes on: what is called now is not part of the one that ran last.
    #[inline(always)]
    pub(super) fn between_greenlets(&self) {
        self.current.set(&raw const self.main);
        // SAFETY: the hub's own thread's; there is a `Frame`, and what it resumed last has suspended or ended.
        unsafe { coroutine::loop_runs(self.chain) };
    }

    /// Runs the rest of the turn; true as soon as the main entry came up. If `and_more`, very short
    /// turns follow each other without a look at the outside between them.
    ///
    /// A long turn is interrupted: see the head of this file.
    pub(super) fn turn(&self, and_more: bool) -> bool {
        let mut frame = Frame::new(self);
        if self.run_urgent(&mut frame) {
            return true;
        }
        let mut left = self.turn_left.get();
        loop {
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
                if left > 0 && self.look_in_long_turn(&mut frame, self.outside_in_order.get()) {
                    self.turn_left.set(left);
                    return true;
                }
            }
            if let Some(worker) = self.worker()
                && self.run_fresh(&mut frame, worker)
            {
                self.turn_left.set(0);
                return true;
            }
            self.counters.turns.add(1);
            left = if and_more { self.next_short_turn() } else { 0 };
            if left == 0 {
                break;
            }
        }
        self.turn_left.set(0);
        false
    }

    /// In the middle of a turn: timers and descriptors, if a while has passed, and those whom they wake; if `in_order`, only those whom
    /// timers wake. True as soon as the main entry came up.
    pub(super) fn look_in_long_turn(&self, frame: &mut Frame<'_>, in_order: bool) -> bool {
        let began = self.look_at_clock();
        if began.wrapping_sub(self.last_poll.get()) < self.between_looks.get() {
            return false;
        }
        self.between_greenlets();
        match in_order {
            true => self.poll_in_order(),
            false => self.poll_urgently(),
        }
        let ended = self.run_urgent(frame);
        let now = ticks::now();
        self.last_poll.set(now);
        let took = now.wrapping_sub(began);
        let shortest = ticks::one_millisecond();
        self.between_looks
            .set(took.clamp(shortest, LONGEST * shortest));
        ended
    }

    /// At the very end: starts what is [`SPARED`](crate::scheduler::task::SPARED), resumes nothing, and gives
    /// the rest to `abandon`.
    pub(super) fn start_spared(&self, abandon: impl Fn(&TaskRef)) {
        let _looping = self.looping();
        let mut frame = Frame::new(self);
        while let Some(work) = self.pop() {
            if let Work::Start(task) = work {
                // SAFETY: the entry's reference, which stays with it.
                let header = unsafe { task.as_ref() };
                if header.is_spared() {
                    frame.run(work);
                    self.between_greenlets();
                    continue;
                }
            }
            work.with_task(&abandon);
        }
    }

    /// Polls in the middle of a turn: what timers make runnable is queued apart.
    #[cold]
    fn poll_in_order(&self) {
        let before = self.queued();
        self.empty_inbox();
        self.poll_descriptors(Wait::No);
        let came = self.queued() - before;
        self.from_outside.set(self.from_outside.get() + came);
        self.swap_queues();
        self.fire_timers();
        self.swap_queues();
    }

    /// Polls in the middle of a turn: what becomes runnable is queued apart.
    #[cold]
    fn poll_urgently(&self) {
        self.swap_queues();
        self.shared.take(|task| {
            self.counters.arrived.add(1);
            if task.is_arriving() {
                // First runs keep their order.
                self.swap_queues();
                self.admit(task);
                self.swap_queues();
            } else {
                self.admit(task);
            }
        });
        self.poll(Wait::No);
        self.swap_queues();
    }

    pub(super) fn swap_queues(&self) {
        // SAFETY: as in `push`; the two are different fields.
        unsafe { ptr::swap(self.queue.get(), self.urgent.get()) };
    }

    /// Runs what was woken in the middle of a turn; true as soon as the main entry came up.
    fn run_urgent(&self, frame: &mut Frame<'_>) -> bool {
        // SAFETY: as in `push`.
        while let Some(work) = unsafe { (*self.urgent.get()).pop() } {
            if frame.run(work) {
                return true;
            }
        }
        false
    }

    #[inline(always)]
    fn resume(&self, body: NonNull<Body<Control>>) {
        self.budget.set(BUDGET);
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
                self.between_greenlets();
                self.pool.withdraw(task.size);
                self.give_up(&task, error);
                return;
            }
        };
        if task.measure {
            // SAFETY: the slot is ours and nothing runs on it yet.
            unsafe { slot.paint(slot.top() - PAINT_MARGIN) };
        }
        let state = task.state.load(Ordering::Acquire);
        let killed = state & KILLED != 0;
        let notified = state & EARLY_TOKEN != 0;
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
        self.between_greenlets();
        // SAFETY: the greenlet has finished; it leaves the list and the task before its control
        // block is moved out, and the queue has no entry of it: an entry is pushed by a
        // yield or by the unpark of a parked greenlet, and it was neither when it returned.
        let (slot, measured) = unsafe {
            let control = &(*body.as_ptr()).data;
            self.list.unlink(control);
            control.orphan_scopes();
            let task = &control.task;
            task.control.set(ptr::null());
            tracing::trace!(target: "rustlet", id = task.id, "finish");
            let measured = task.measure.then(|| task.clone());
            (Coroutine::from_body(body).finish(), measured)
        };
        self.note_end();
        if let Some(task) = measured {
            task.set_high_water(slot.high_water());
        }
        self.pool.give_back(slot);
    }
}

/// See [`Hub::looping`].
pub(super) struct Looping<'a> {
    hub: &'a Hub,
    before: bool,
}

impl Drop for Looping<'_> {
    fn drop(&mut self) {
        self.hub.in_loop.set(self.before);
    }
}

/// A stretch of the hub's loop; what was current before is restored at its end.
pub(super) struct Frame<'a> {
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
    pub(super) fn run(&mut self, work: Entry) -> bool {
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
        hub.counters.switches.add(self.ran);
    }
}
