//! Several hubs that share what has not started: the workers of a runtime.
//!
//! ```text
//!   spawn on a worker ──► its own deque ──► the worker itself, oldest first
//!                               └─────────► a worker that has nothing to do steals half of it
//!   spawn elsewhere ────► the injector ───► whoever looks first, a share of it
//!   a first run gives the greenlet its stack and its hub; from then on it stays there
//! ```
//! What moves between threads is a closure that has not started ([`fresh`]). A started stack never does: compilers keep
//! the addresses of thread-locals across calls, so code that went on upon another thread would use the wrong one's.
//!
//! | file | one idea |
//! |---|---|
//! | `mod.rs` | the team: what workers know of each other |
//! | [`worker`] | one worker's side: its deque, searching, stealing |
//! | [`idle`] | who sleeps and who searches |
//! | [`announce`] | whom a push wakes |
//! | [`trust`] | what a push need not wake anybody for |
//! | [`injector`] | the queue of those who are no workers |
//! | [`fresh`] | what may be stolen |
//! | [`runners`] | greenlets that poll futures |
//! | [`futures`] | futures that wait, and their end |
//!
//! How the hub's loop uses this is in `hub::fresh`; why nothing is forgotten and nobody is woken in vain, in
//! `src/scheduler/README.md`.

mod announce;
mod fresh;
mod futures;
mod idle;
mod injector;
mod runners;
mod trust;
mod worker;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};

use crossbeam_deque::Stealer;

use super::counters::Counters;
use super::hub;
use super::inbox::Shared;
use super::park::{self, WaitReason};
use super::task::TaskRef;
use super::uncaught::UncaughtHook;
use crate::stack::{Census, StackSize};
pub(super) use fresh::{Fresh, Kind};
use futures::Waiting;
pub(crate) use futures::{Enlisted, reschedule, schedule};
pub(super) use futures::{cancel, poll};
use idle::Idle;
use injector::Injector;
use trust::Trust;
pub(super) use worker::Found;
pub(crate) use worker::Worker;

/// The workers of one runtime.
pub(crate) struct Team {
    members: Box<[Member]>,
    injector: Injector,
    idle: Idle,
    /// Told whenever a worker is about to sleep, once it is set: the runtime drains.
    pub(crate) quiet: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// Futures that have been spawned and not ended.
    futures: AtomicU64,
    /// What was spawned with a size of its own has that; the rest this.
    pub(crate) stack_size: StackSize,
    pub(crate) uncaught: Option<Arc<UncaughtHook>>,
}

/// What others know of a worker.
#[derive(Debug)]
struct Member {
    stealer: Stealer<Fresh>,
    /// Set when its hub is there.
    hub: OnceLock<Place>,
    trust: Trust,
    waiting: Waiting,
}

/// The way to a worker's hub.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(super) shared: &'static Shared,
    pub(crate) counters: Arc<Counters>,
    pub(crate) stacks: Arc<Census>,
    /// The code on the worker's own stack.
    pub(super) main: TaskRef,
}

impl std::fmt::Debug for Team {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Team")
            .field("workers", &self.members.len())
            .finish_non_exhaustive()
    }
}

impl Team {
    /// A team, and for each of its threads the right to be a worker.
    pub(crate) fn new(
        workers: usize,
        stack_size: StackSize,
        uncaught: Option<Arc<UncaughtHook>>,
    ) -> (Arc<Team>, Vec<Worker>) {
        let deques = Vec::from_iter((0..workers).map(|_| crossbeam_deque::Worker::new_fifo()));
        let members = deques.iter().map(|deque| Member {
            stealer: deque.stealer(),
            hub: OnceLock::new(),
            trust: Trust::new(),
            waiting: Waiting::new(),
        });
        let team = Arc::new(Team {
            members: members.collect(),
            injector: Injector::new(),
            idle: Idle::new(workers),
            quiet: OnceLock::new(),
            futures: AtomicU64::new(0),
            stack_size,
            uncaught,
        });
        let workers = deques.into_iter().enumerate();
        let workers = workers.map(|(index, deque)| Worker::new(index, deque, team.clone()));
        let workers = workers.collect();
        (team, workers)
    }

    pub(crate) fn workers(&self) -> usize {
        self.members.len()
    }

    /// The hub of a worker that has begun.
    pub(crate) fn place(&self, worker: usize) -> Option<&Place> {
        self.members.get(worker)?.hub.get()
    }

    /// Whether a worker sleeps, and so would begin at once. It may have changed by now.
    pub(crate) fn is_asleep(&self, worker: usize) -> bool {
        self.place(worker)
            .is_some_and(|place| place.shared.is_asleep())
    }

    /// Refuses what is new from outside, and has `quiet` called whenever a worker runs out of work.
    pub(crate) fn drain(&self, quiet: Box<dyn Fn() + Send + Sync>) {
        self.injector.close_to_new();
        let _ = self.quiet.set(quiet);
        self.wake_all();
    }

    /// Whether no greenlet or future is left, in any state. Exact when it is true.
    pub(crate) fn is_drained(&self) -> bool {
        // Each end is counted after its beginning, so: all ends, then all beginnings. If the sums are equal, nothing was
        // alive in between.
        let finished: u64 = self
            .places()
            .map(|place| place.counters.finished.get())
            .sum();
        fence(Ordering::SeqCst);
        // A runner is counted after its spawn.
        let runners: u64 = self
            .places()
            .map(|place| place.counters.runners.get())
            .sum();
        fence(Ordering::SeqCst);
        let spawned = self
            .places()
            .map(|place| place.counters.spawned.get() + place.shared.arrivals());
        finished + runners == spawned.sum::<u64>() + self.injector.greenlets()
            && self.futures.load(Ordering::SeqCst) == 0
    }

    /// How many greenlets live, started or not, without those that poll futures.
    pub(crate) fn live(&self) -> usize {
        let finished: u64 = self
            .places()
            .map(|place| place.counters.finished.get())
            .sum();
        let runners: u64 = self
            .places()
            .map(|place| place.counters.runners.get())
            .sum();
        let spawned = self
            .places()
            .map(|place| place.counters.spawned.get() + place.shared.arrivals());
        let spawned = spawned.sum::<u64>() + self.injector.greenlets();
        spawned.saturating_sub(finished + runners) as usize
    }

    pub(crate) fn live_futures(&self) -> usize {
        self.futures.load(Ordering::SeqCst) as usize
    }

    /// Each worker's numbers and stacks, of those that have begun.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (&Counters, &Census)> {
        self.places()
            .map(|place| (&*place.counters, &*place.stacks))
    }

    pub(crate) fn note_future(&self) {
        self.futures.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn note_future_end(&self) {
        self.futures.fetch_sub(1, Ordering::SeqCst);
        if let Some(quiet) = self.quiet.get() {
            quiet();
        }
    }

    /// Nothing is taken from outside from now on, not even a future that was woken there.
    pub(crate) fn close(&self) {
        self.injector.close();
    }

    /// Hands a new greenlet to one of the workers; false if nothing new is taken. If it comes from outside, a drain either sees it coming
    /// or has it refused.
    pub(super) fn push_to(&self, place: &Place, task: TaskRef, from_outside: bool) -> bool {
        if from_outside && !self.injector.if_open(|| place.shared.expect()) {
            return false;
        }
        match from_outside {
            true => place.shared.push_expected(task),
            false => place.shared.push_new(task),
        }
    }

    /// Wakes the code on every worker's own stack.
    pub(crate) fn wake_all(&self) {
        for place in self.places() {
            park::unpark(&place.main);
        }
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        self.members.iter().filter_map(|member| member.hub.get())
    }

    /// The error of a spawn that comes too late.
    pub(crate) fn ended() -> io::Error {
        io::Error::other("the runtime is shutting down and takes no new greenlets")
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        // All of its hubs have ended (each holds the team), and nobody can ask for one of them any more.
        for place in self.places() {
            place.shared.release();
        }
    }
}

/// Makes the calling thread's hub a worker's.
pub(crate) fn join_team(worker: Worker) {
    hub::get().join_team(worker);
}

/// Runs the hub of the calling thread, a worker's own code, until `is_over` (asked whenever [`Team::wake_all`] was called).
pub(crate) fn work_until(is_over: impl Fn() -> bool) {
    while !is_over() {
        // Neither fails: the code of a worker's own stack does not unwind, and something may always come.
        let _ = park::park(WaitReason::external("work"));
    }
}

/// Ends the calling worker's hub: kills what lives. The number of greenlets that refused.
pub(crate) fn end_work() -> usize {
    hub::end_of_thread()
}

/// The team whose worker the calling thread is, and which.
pub(crate) fn current() -> Option<(Arc<Team>, usize)> {
    let worker = hub::existing()?.worker()?;
    Some((worker.team.clone(), worker.index))
}

/// Whether what is spawned on this thread alone, now, is the next to run when the caller suspends.
pub(crate) fn nothing_is_queued() -> bool {
    hub::existing().is_some_and(|hub| hub.queued() == 0)
}

/// The hook for uncaught panics of the runtime that the calling thread works for.
pub(super) fn uncaught_hook() -> Option<Arc<UncaughtHook>> {
    hub::existing()?.worker()?.team.uncaught.clone()
}
