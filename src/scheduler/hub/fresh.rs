//! What a worker's hub does besides: it starts what any worker may start, and looks for more where the others have some.
//!
//! A turn of a worker is its run queue as it stood, then at most [`FIRST_RUNS`] of its deque: neither do new greenlets
//! keep those that run already waiting, nor the other way round. Each is taken from the deque right before it starts: what waits behind a long
//! run can be stolen.
#![allow(unsafe_code)] // Makes what may be stolen, and starts it.

use core::panic::Location;
use core::sync::atomic::Ordering;
use std::io;
use std::sync::Arc;

use super::Hub;
use super::turn::Frame;
use crate::scheduler::park::{self, WaitReason};
use crate::scheduler::queue::Work;
use crate::scheduler::task::{ARRIVING, Attributes, DETACHED, IN_INBOX, KILLED, MOVED, TaskRef};
use crate::scheduler::workers::{self, Found, Fresh, Kind, Place, Team, Worker};
use crate::stack::StackSize;

/// First runs in one turn, at most.
const FIRST_RUNS: usize = 256;

impl Hub {
    /// Makes this hub a worker's.
    pub(in crate::scheduler) fn join_team(&self, worker: Worker) {
        self.size.set(worker.team.stack_size);
        crate::scheduler::stalls::became_worker(self, worker.index);
        worker.arrive(Place {
            shared: self.shared,
            counters: self.counters.clone(),
            stacks: self.pool.census().clone(),
            main: self.main.task.clone(),
        });
        assert!(self.worker.set(worker).is_ok(), "a thread is one worker");
        self.at_work.set(true);
    }

    /// The worker that this hub is, until it ends.
    #[inline(always)]
    pub(in crate::scheduler) fn worker(&self) -> Option<&Worker> {
        if self.at_work.get() {
            self.worker.get()
        } else {
            None
        }
    }

    /// As [`Hub::spawn`]; any worker of the same runtime may start it. The stack is had then.
    #[inline(always)]
    pub(in crate::scheduler) fn spawn_anywhere<F, T>(
        &self,
        name: Option<Box<str>>,
        size: Option<StackSize>,
        measure: bool,
        spawned_at: &'static Location<'static>,
        f: F,
    ) -> io::Result<TaskRef>
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        // SAFETY: by the bounds.
        unsafe { self.spawn_anywhere_unchecked(name, size, measure, false, spawned_at, f) }
    }

    /// `borrows`: the closure may borrow what is gone when the greenlet is done.
    ///
    /// # Safety
    /// `f` and its value are Send.
    #[inline(always)]
    pub(in crate::scheduler) unsafe fn spawn_anywhere_unchecked<F, T>(
        &self,
        name: Option<Box<str>>,
        size: Option<StackSize>,
        measure: bool,
        borrows: bool,
        spawned_at: &'static Location<'static>,
        f: F,
    ) -> io::Result<TaskRef>
    where
        F: FnOnce() -> T,
    {
        let size = size.unwrap_or(self.size.get());
        let heritage = self.heritage();
        match self.worker() {
            Some(worker) if worker.team.workers() > 1 => {
                let attributes = Attributes {
                    borrows,
                    ..self.attributes(name, size, measure, None, spawned_at)
                };
                let (task, queued) = TaskRef::new(&self.cells, attributes, f);
                heritage.give_to(&task);
                self.note_spawn(&task);
                // SAFETY: the second reference of `new`; the caller's promise.
                worker.push(unsafe { Fresh::greenlet(TaskRef::from_raw(queued)) });
                Ok(task)
            }
            _ => {
                let attributes = Attributes {
                    borrows,
                    ..self.attributes(name, size, measure, Some(self.shared), spawned_at)
                };
                let (task, queued) = self.new_task(heritage, attributes, f)?;
                self.push(Work::Start(queued));
                Ok(task)
            }
        }
    }

    /// Spawns into a runtime of which this thread may be no worker.
    pub(in crate::scheduler) fn spawn_into<F, T>(
        &self,
        team: &Arc<Team>,
        name: Option<Box<str>>,
        size: Option<StackSize>,
        measure: bool,
        spawned_at: &'static Location<'static>,
        f: F,
    ) -> io::Result<TaskRef>
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        if let Some(worker) = self.worker()
            && Arc::ptr_eq(&worker.team, team)
        {
            return self.spawn_anywhere(name, size, measure, spawned_at, f);
        }
        let size = size.unwrap_or(team.stack_size);
        let heritage = self.heritage();
        let attributes = self.attributes(name, size, measure, None, spawned_at);
        let (task, queued) = TaskRef::new(&self.cells, attributes, f);
        heritage.give_to(&task);
        tracing::trace!(target: "rustlet", id = task.id, name = task.name(), "spawn");
        // SAFETY: the second reference of `new`; the bounds.
        let fresh = unsafe { Fresh::greenlet(TaskRef::from_raw(queued)) };
        match team.inject(fresh, 1) {
            Ok(()) => Ok(task),
            Err(refused) => {
                self.refuse(refused);
                Err(Team::ended())
            }
        }
    }

    /// Spawns on a certain worker, where it stays.
    pub(in crate::scheduler) fn spawn_on<F, T>(
        &self,
        (team, place): (&Team, &Place),
        name: Option<Box<str>>,
        size: StackSize,
        measure: bool,
        spawned_at: &'static Location<'static>,
        f: F,
    ) -> io::Result<TaskRef>
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        if core::ptr::eq(place.shared, self.shared) {
            return self.spawn(name, Some(size), measure, spawned_at, f);
        }
        let heritage = self.heritage();
        let attributes = self.attributes(name, size, measure, Some(place.shared), spawned_at);
        let (task, queued) = TaskRef::new(&self.cells, attributes, f);
        heritage.give_to(&task);
        let flags = MOVED | ARRIVING | IN_INBOX;
        task.state.fetch_or(flags, Ordering::Relaxed);
        tracing::trace!(target: "rustlet", id = task.id, name = task.name(), "spawn");
        // SAFETY: the second reference of `new`, for the inbox instead of the queue.
        let queued = unsafe { TaskRef::from_raw(queued) };
        let is_inside = self
            .worker()
            .is_some_and(|worker| core::ptr::eq(&*worker.team, team));
        if team.push_to(place, queued, !is_inside) {
            Ok(task)
        } else {
            self.drop_unrun(task);
            Err(Team::ended())
        }
    }

    /// Runs what is fresh; true as soon as the main entry came up.
    #[inline(never)]
    pub(super) fn run_fresh(&self, frame: &mut Frame<'_>, worker: &Worker) -> bool {
        for nth in 0..worker.len().min(FIRST_RUNS) {
            let Some(fresh) = worker.pop() else { break };
            self.counters.turns.add(1);
            match fresh.into_kind() {
                Kind::Greenlet(task) => {
                    // If it gets no stack, that is told from here.
                    self.between_greenlets();
                    if let Some(task) = self.adopt(task) {
                        frame.run(Work::Start(task.into_raw()));
                    }
                }
                Kind::Future(future) => worker.runners.hand_over(future),
            }
            // Not in order: who is woken meanwhile overtakes first runs only.
            if nth % 16 == 15 && self.look_in_long_turn(frame, false) {
                return true;
            }
        }
        false
    }

    /// Makes a greenlet, which any worker could have taken, this hub's.
    fn adopt(&self, task: TaskRef) -> Option<TaskRef> {
        task.settle(self.shared);
        self.note_arrival();
        match self.pool.promise(task.size) {
            Ok(()) => Some(task),
            Err(error) => {
                self.give_up(&task, error);
                None
            }
        }
    }

    /// What a team did not take any more.
    fn refuse(&self, fresh: Fresh) {
        match fresh.into_kind() {
            Kind::Greenlet(task) => self.drop_unrun(task),
            Kind::Future(future) => workers::cancel(future),
        }
    }

    /// Drops the closure of a greenlet that no hub takes, as a kill before the first run does, but right here: when the spawner
    /// has its error, it is gone.
    fn drop_unrun(&self, task: TaskRef) {
        task.state.fetch_or(DETACHED | KILLED, Ordering::AcqRel);
        // SAFETY: it is Pending and belongs to no hub that knows of it; nobody else has a reference to it. Killed, it does
        // no more than dropping its closure.
        unsafe { task.run() };
        // What was meant for the caller, and a destructor may have got instead, is still to be raised.
        self.current().interrupt_is_pending();
    }

    /// A runner for the futures that are due, if there are and none has been called.
    #[inline]
    fn call_runner(&self, worker: &Worker) {
        if worker.runners.wanted() {
            match worker.runners.call() {
                Some(runner) => park::unpark(&runner),
                None => self.new_runner(worker),
            }
        }
    }

    #[cold]
    fn new_runner(&self, worker: &Worker) {
        let location = Location::caller();
        let name = Some("futures".into());
        match self.spawn_own(name, location, run_futures) {
            Ok(task) => {
                self.counters.runners.add(1);
                task.detach();
            }
            Err(error) => {
                // Tried again in the next turn.
                tracing::error!(target: "rustlet", %error, "no stack for polling futures");
                worker.runners.not_called();
            }
        }
    }

    /// Before a turn: what came from outside, and futures that are due.
    #[inline]
    pub(super) fn look_outside(&self, worker: &Worker) {
        self.call_runner(worker);
        worker.look_outside(self.keeps());
    }

    /// A busy worker's look at those that may be stuck.
    pub(super) fn relieve_others(&self, now: u64) {
        if let Some(worker) = self.worker() {
            let taken = worker.relieve(now);
            self.counters.stolen.add(taken as u64);
        }
    }

    /// How many of what it finds this hub starts next: one, unless there is something that comes before.
    #[inline]
    pub(super) fn keeps(&self) -> usize {
        usize::from(self.queued() == 0)
    }

    /// There is nothing to run: takes from others. True if there was something.
    pub(super) fn search(&self, worker: &Worker) -> bool {
        let found = worker.search(self.keeps());
        self.note_found(found);
        found != Found::Nothing
    }

    pub(super) fn note_found(&self, found: Found) {
        if let Found::Some { stolen } = found {
            tracing::trace!(target: "rustlet", stolen, "found work");
            self.counters.stolen.add(stolen as u64);
        }
    }

    /// At the end: nothing more is taken, and what is here goes the way of the hub's own.
    pub(super) fn leave_team(&self) {
        let Some(worker) = self.worker() else {
            return;
        };
        self.at_work.set(false);
        worker.leave();
        while let Some(fresh) = worker.pop() {
            match fresh.into_kind() {
                Kind::Greenlet(task) => {
                    if let Some(task) = self.adopt(task) {
                        self.push(Work::Start(task.into_raw()));
                    }
                }
                Kind::Future(future) => worker.runners.hand_over(future),
            }
        }
        worker.runners.cancel_all();
        worker.team.cancel_waiting(worker.index);
    }
}

/// One of the greenlets that poll futures, as long as it lives.
struct Runner(&'static Hub);

impl Drop for Runner {
    fn drop(&mut self) {
        // It dies before its time if a future, which can ask who runs, has it killed. Before its end is counted.
        self.0.counters.runners.take(1);
    }
}

/// The code of a runner.
fn run_futures() {
    let hub = super::get();
    let _runner = Runner(hub);
    loop {
        let Some(worker) = hub.worker() else { return };
        while let Some(future) = worker.runners.next() {
            workers::poll(future);
        }
        let resting = worker.runners.rest(hub.current().task.clone());
        if park::park(WaitReason::external("futures to poll")).is_err() {
            return;
        }
        drop(resting);
    }
}
