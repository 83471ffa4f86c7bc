//! The threads of a pool, and the queue before them. Nothing here knows what a job does or who waits for it.
//!
//! # Numbers
//! `queue + running ≤ threads + queued` of the [`Limits`]; whatever comes beyond it is *held back*, with its caller, and moves
//! into the queue one by one as jobs end. A job that is held back can be taken back; one in the queue will run.
//! Jobs start in the order in which they came, whether held back or not.
//!
//! # Growing and shrinking
//! A thread is started when more jobs are queued than threads are idle, up to the limit. A thread that was told of a
//! job counts as idle until it has woken, and the job as queued until it is taken, so the two agree. One that has ended a job
//! and wakes its caller is *about to look* at the queue: it needs no telling, and a caller that comes back with its next
//! job before the thread is there wakes or starts no other. A
//! thread which has waited for [`Limits::idle`] and finds the queue empty ends. Nothing wakes it before.
//!
//! No wake-up is lost: a thread decides to sleep, and a job joins the queue, under one lock; who is notified in the moment in
//! which its time is up looks at the queue before it ends.
//!
//! # When no thread can be started
//! While others run, they will get to the queue. If there is none, the caller works the queue off itself.
//!
//! This file is checked by loom: `tests/loom`.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

use super::limits::Limits;
use crate::scheduler::{TaskRef, park};
use crate::sys::thread;
use crate::util::primitive::{Condvar, Mutex, MutexGuard};

/// Leaves its outcome behind and returns who waits for it, to be unparked. Unwinds by nothing but the destructor of an outcome that
/// nobody wants.
pub(super) type Job = Box<dyn FnOnce() -> Option<TaskRef> + Send>;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Pool {
    limits: Limits,
    state: Mutex<State>,
    /// There is something in the queue, or the pool is closed.
    work: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    /// In order of their numbers.
    held_back: VecDeque<HeldBack>,
    /// Of the next that is held back.
    number: u64,
    running: usize,
    threads: usize,
    idle: usize,
    /// Threads that will look at the queue in a moment, whatever happens.
    about_to_look: usize,
    closed: bool,
}

/// A job whose caller waits for room.
struct HeldBack {
    number: u64,
    job: Job,
    /// Is unparked when the job is taken into the queue.
    caller: Option<TaskRef>,
}

impl core::fmt::Debug for State {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.stats().fmt(f)
    }
}

/// The numbers of a pool at some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Threads there are.
    pub threads: usize,
    /// Those of them that wait for a job.
    pub idle: usize,
    /// Jobs that run.
    pub running: usize,
    /// Jobs that wait for a thread.
    pub queued: usize,
    /// Jobs whose callers wait for room in the queue.
    pub held_back: usize,
}

thread_local! {
    /// Whether this is a thread of a pool.
    static ON_POOL: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is one of a pool.
#[inline(never)]
pub(super) fn on_pool_thread() -> bool {
    ON_POOL.get()
}

#[inline(never)]
fn become_pool_thread() {
    ON_POOL.set(true);
}

impl State {
    fn stats(&self) -> Stats {
        Stats {
            threads: self.threads,
            idle: self.idle,
            running: self.running,
            queued: self.queue.len(),
            held_back: self.held_back.len(),
        }
    }

    /// A job has ended: takes the first that is held back into the queue. Returns whom to tell.
    fn admit(&mut self) -> Option<TaskRef> {
        let HeldBack { job, caller, .. } = self.held_back.pop_front()?;
        self.queue.push_back(job);
        caller
    }
}

impl Pool {
    pub(super) fn new(limits: Limits) -> Arc<Pool> {
        Arc::new(Pool {
            limits,
            state: Mutex::default(),
            work: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn stats(&self) -> Stats {
        self.lock().stats()
    }

    /// Takes a job in, or holds it back; then it has a number, and `caller` is unparked when it is in the queue.
    pub(super) fn submit(self: &Arc<Self>, job: Job, caller: Option<TaskRef>) -> Option<u64> {
        let mut state = self.lock();
        let room = self.limits.threads.saturating_add(self.limits.queued);
        if !state.held_back.is_empty() || state.queue.len() + state.running >= room {
            let number = state.number;
            state.number += 1;
            state.held_back.push_back(HeldBack {
                number,
                job,
                caller,
            });
            return Some(number);
        }
        state.queue.push_back(job);
        if state.idle > 0 && state.queue.len() > state.about_to_look {
            self.work.notify_one();
        }
        let free = state.idle + state.about_to_look;
        if state.queue.len() > free && state.threads < self.limits.threads {
            state.threads += 1;
            drop(state);
            self.start();
        }
        None
    }

    /// Whether job `number` is still held back.
    pub(super) fn holds_back(&self, number: u64) -> bool {
        let state = self.lock();
        state
            .held_back
            .binary_search_by_key(&number, |held| held.number)
            .is_ok()
    }

    /// Takes a job that is held back out again; `None` if it is not.
    pub(super) fn take_back(&self, number: u64) -> Option<Job> {
        let mut state = self.lock();
        let index = state
            .held_back
            .binary_search_by_key(&number, |held| held.number)
            .ok()?;
        state.held_back.remove(index).map(|held| held.job)
    }

    /// Starts a thread that is counted already.
    #[cold]
    fn start(self: &Arc<Self>) {
        let pool = self.clone();
        if let Err(error) = thread::start("rustlet-offload".into(), None, move || pool.run()) {
            let mut state = self.lock();
            state.threads -= 1;
            let none = state.threads == 0;
            drop(state);
            tracing::warn!(target: "rustlet", %error, none, "no thread for blocking work");
            if none {
                self.work_off();
            }
        }
    }

    /// A thread of the pool.
    fn run(&self) {
        become_pool_thread();
        let mut state = self.lock();
        loop {
            state = self.run_queue(state);
            if state.closed {
                break;
            }
            state.idle += 1;
            let (next, waited) = self
                .work
                .wait_timeout(state, self.limits.idle)
                .unwrap_or_else(PoisonError::into_inner);
            state = next;
            state.idle -= 1;
            if waited.timed_out() && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }

    /// Runs jobs until there are none in the queue.
    fn run_queue<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        while let Some(job) = state.queue.pop_front() {
            state.running += 1;
            drop(state);
            // What unwinds out of a job is a destructor; so might the payload's be.
            let waiting = catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(|payload| {
                core::mem::forget(payload);
                None
            });
            state = self.lock();
            state.running -= 1;
            // What is taken in is this thread's next, or, if others are in the queue, theirs: no thread is missing.
            let admitted = state.admit();
            if waiting.is_none() && admitted.is_none() {
                continue;
            }
            state.about_to_look += 1;
            drop(state);
            for task in [&waiting, &admitted].into_iter().flatten() {
                park::unpark(task);
            }
            self.lock().about_to_look -= 1;
            drop((waiting, admitted)); // they may be the last to know those greenlets, and free what these have left
            state = self.lock();
        }
        state
    }

    /// Runs what is in the queue on the calling thread: the pool has no thread and gets none.
    fn work_off(&self) {
        drop(self.run_queue(self.lock()));
    }

    /// Lets threads end when the queue is empty.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::{become_pool_thread, on_pool_thread};
    use crate::coroutine::wander::sees_the_present_thread;

    #[test]
    fn whether_it_is_a_pools_is_asked_of_the_present_thread() {
        let odd_ones_belong = |thread| {
            if thread % 2 == 1 {
                become_pool_thread();
            }
            thread % 2
        };
        sees_the_present_thread(odd_ones_belong, || usize::from(on_pool_thread()));
        let joins = || {
            become_pool_thread();
            usize::from(on_pool_thread())
        };
        sees_the_present_thread(|_| 1, joins);
    }
}
