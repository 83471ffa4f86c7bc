//! [`Pool::map`]: a greenlet for each item, which may borrow from the caller.
//!
//! A scope without its bookkeeping: the caller keeps the handles of all jobs in one list, and nobody else can spawn. A job
//! costs a spawn, a join, and the pool's accounts; the pool is borrowed, not counted, and values stay in their
//! tasks.
//!
//! # Why nothing dangles
//! As in [`super::children`]: jobs borrow `f`, the pool, and what items and values borrow. Whatever unwinds is caught,
//! and goes on when all jobs are done; then the list is dropped, and the values with it. A job that is done has
//! consumed or dropped its item and left its place, or never runs again.
#![allow(unsafe_code)] // Spawns closures that borrow.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::children::{Bomb, deadlocked, stuck};
use super::crew::{Crew, Job};
use super::pool::{Pool, SPAWNING};
use crate::scheduler::park::Obstacle;
use crate::scheduler::scoped::{self, Interrupts};
use crate::scheduler::{Greenlet, JoinError, interrupt};

/// What this is to a user who reads of it.
const FRAME: &str = "a pool's map";

impl Pool {
    /// Runs `f` on each item, in a greenlet of the pool each, and returns the values in the order of the items.
    ///
    /// Items are taken one by one as slots come free. Items, `f` and values may borrow, since this does not return
    /// before all its greenlets have ended. If it is killed, timed out, or the iterator panics, they are killed first, and
    /// waited for.
    ///
    /// In a greenlet of the same pool it needs a further slot: if all slots are held by greenlets that wait like this,
    /// they wait for ever. [`Pool::apply`] does not.
    ///
    /// # Panics
    /// If `f` does: with the payload of the first in the order of items. The rest is killed and waited for.
    /// As [`Pool::spawn`], and with a [`Deadlock`](crate::Deadlock) if nothing can ever end the greenlets.
    ///
    /// ```
    /// let words = ["one", "two", "three"].map(String::from);
    /// let pool = rustlet::Pool::new(2);
    /// let lengths = pool.map(&words, |word| word.len());
    /// assert_eq!(lengths, [3, 3, 5]);
    /// ```
    #[track_caller]
    pub fn map<I, R, F>(&self, items: I, f: F) -> Vec<R>
    where
        I: IntoIterator,
        I::Item: Send,
        F: Fn(I::Item) -> R + Sync,
        R: Send,
    {
        let (jobs, failed) = run(&self.crew, items, &f, true);
        let mut results = jobs.into_iter().map(Greenlet::take);
        if let Some(Err(error)) = failed.and_then(|index| results.nth(index)) {
            error.resume()
        }
        let values = results.map(|result| match result {
            Ok(value) => value,
            Err(_) => unreachable!("none has failed"),
        });
        values.collect()
    }

    /// As [`Pool::map`], but a panic in `f`, or a kill of its greenlet, is that item's result, and the rest goes on.
    ///
    /// # Panics
    /// As [`Pool::map`], but not if `f` does.
    #[track_caller]
    pub fn try_map<I, R, F>(&self, items: I, f: F) -> Vec<Result<R, JoinError>>
    where
        I: IntoIterator,
        I::Item: Send,
        F: Fn(I::Item) -> R + Sync,
        R: Send,
    {
        let (jobs, _) = run(&self.crew, items, &f, false);
        jobs.into_iter().map(Greenlet::take).collect()
    }
}

/// Runs `f` on all items, and returns the jobs when all have ended. If `stop`, the first in order that is found to
/// have failed is told, and those after it were killed.
#[track_caller]
fn run<I, R, F>(crew: &Crew, items: I, f: &F, stop: bool) -> (Vec<Greenlet<R>>, Option<usize>)
where
    I: IntoIterator,
    F: Fn(I::Item) -> R,
{
    assert!(
        !crate::scheduler::cannot_suspend(),
        "mapping in a pool would have to wait, but this code runs because of a panic or a kill, or \
         was called by the scheduler itself (a waker, a hook)"
    );
    let items = items.into_iter();
    let mut jobs = Vec::with_capacity(items.size_hint().0.min(1 << 16));
    let fed = catch_unwind(AssertUnwindSafe(|| {
        for item in items {
            let key = match crew.reserve(None) {
                Ok(key) => key,
                Err(error) => error.panic(SPAWNING),
            };
            let job = Job::new(move || f(item), crew, key);
            // SAFETY: what a job borrows is borrowed for this call, and this function neither returns nor unwinds
            // before all jobs are done; the handles are dropped after that. Items and values are Send and `f` Sync, by the
            // bounds of the callers.
            match unsafe { scoped::spawn_borrowing_anywhere(move || job.run()) } {
                Ok(greenlet) => {
                    // First onto the list: only what is there is seen out.
                    let task = greenlet.task().clone();
                    jobs.push(greenlet);
                    crew.enter(key, task);
                }
                Err(error) => panic!("spawn: {error}"),
            }
        }
    }));
    let bomb = Bomb;
    if let Err(payload) = fed {
        kill_and_see_out(&jobs);
        mem::forget(bomb);
        drop(jobs);
        resume_unwind(payload);
    }
    for (index, job) in jobs.iter().enumerate() {
        match scoped::wait_for_end(job.task(), Interrupts::Heed) {
            Ok(()) if stop && !job.is_successful() => {
                kill_and_see_out(&jobs);
                mem::forget(bomb);
                return (jobs, Some(index));
            }
            Ok(()) => {}
            Err(obstacle) => {
                kill_and_see_out(&jobs);
                mem::forget(bomb);
                match obstacle {
                    Obstacle::Interrupted => scoped::raise_pending(),
                    Obstacle::Deadlock(report) => deadlocked(FRAME, &report),
                    Obstacle::Unwinding => unreachable!("then the jobs could not be waited for"),
                }
                unreachable!("what is pending stays so until it is raised")
            }
        }
    }
    mem::forget(bomb);
    (jobs, None)
}

/// Returns when all jobs are done, whatever comes.
#[cold]
fn kill_and_see_out<R>(jobs: &[Greenlet<R>]) {
    let left = jobs.iter().filter(|job| !job.is_finished());
    left.for_each(|job| _ = interrupt::kill(job.task()));
    for job in jobs.iter().rev() {
        if let Err(obstacle) = scoped::wait_for_end(job.task(), Interrupts::Ignore) {
            let left = jobs.iter().filter(|job| !job.is_finished());
            stuck(FRAME, left.count(), &obstacle);
        }
    }
}
