//! [`Offloaded`]: the handle of a job; and the wait of [`unblock`], which needs none.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;

use super::pool::{Job, Pool, on_pool_thread};
use super::slot::Slot;
use crate::scheduler::hub;
use crate::scheduler::park::{self, Obstacle, WaitReason, park_quietly};
use crate::timer;

const ROOM: WaitReason = WaitReason::external("room in the queue of a pool of threads");

/// `f` as a job that leaves its outcome in `slot`.
fn job<F, T>(f: F, slot: Arc<Slot<T>>) -> Job
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Box::new(move || slot.finish(catch_unwind(AssertUnwindSafe(f))))
}

/// Whether the caller cannot be parked, or must not wait for a pool.
fn runs_here() -> bool {
    crate::scheduler::cannot_suspend() || on_pool_thread()
}

/// Runs `f` on a thread of `pool` and waits for its value.
pub(super) fn unblock<F, T>(pool: &Arc<Pool>, f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    if runs_here() {
        return f();
    }
    // A job may be done before its caller has parked: a loop of such jobs must not starve the others.
    hub::get().spend_budget();
    let slot = Arc::new(Slot::new());
    let number = pool.submit(job(f, slot.clone()), None);
    let outcome = slot.wait(|| drop(number.and_then(|number| pool.take_back(number))));
    outcome.unwrap_or_else(|payload| resume_unwind(payload))
}

/// As [`unblock`], but neither kill nor timeout ends the wait once the job is the pool's: for jobs
/// that are short, and whose outcome must be known.
pub(super) fn unblock_uninterrupted<F, T>(pool: &Arc<Pool>, f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let outcome = Offloaded::spawn(pool, f).slot.wait_uninterrupted();
    outcome.unwrap_or_else(|payload| resume_unwind(payload))
}

/// A job on a pool of threads: what [`crate::spawn_blocking`] returns.
///
/// Dropping it leaves the job running; what it returns is dropped on its thread then.
pub struct Offloaded<T> {
    slot: Arc<Slot<T>>,
}

impl<T: Send + 'static> Offloaded<T> {
    /// Hands `f` over to `pool`, waiting for room in its queue.
    pub(super) fn spawn<F>(pool: &Arc<Pool>, f: F) -> Self
    where
        F: FnOnce() -> T + Send + 'static,
    {
        let slot = Arc::new(Slot::new());
        let job = job(f, slot.clone());
        if runs_here() {
            job();
            return Offloaded { slot };
        }
        let task = &hub::current_control().task;
        if let Some(number) = pool.submit(job, Some(task.clone())) {
            wait_for_room(pool, number);
        }
        Offloaded { slot }
    }
}

/// Waits until job `number` is in the queue. A kill takes it back.
fn wait_for_room(pool: &Arc<Pool>, number: u64) {
    while pool.holds_back(number) {
        match park_quietly(&ROOM) {
            Ok(()) => {}
            Err(Obstacle::Interrupted) => match pool.take_back(number) {
                Some(job) => {
                    drop(job);
                    park::raise();
                }
                None => return, // just taken in; the kill is raised by the next wait
            },
            Err(Obstacle::Deadlock(report)) => timer::no_deadlock(report),
            Err(Obstacle::Unwinding) => unreachable!("such code runs its jobs itself"),
        }
    }
}

impl<T> Offloaded<T> {
    /// Waits for the job's end: its value, or the payload of its panic, as [`std::thread::JoinHandle::join`].
    ///
    /// A kill or a timeout ends the wait and leaves the job running. In a destructor that runs because of a panic or a
    /// kill this blocks the thread.
    ///
    /// # Errors
    /// The job panicked.
    pub fn join(self) -> thread::Result<T> {
        self.slot.wait(|| {})
    }

    /// Whether the job has ended.
    pub fn is_finished(&self) -> bool {
        self.slot.is_finished()
    }
}

impl<T> Drop for Offloaded<T> {
    fn drop(&mut self) {
        self.slot.forget();
    }
}

impl<T> fmt::Debug for Offloaded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offloaded")
            .field("finished", &self.is_finished())
            .finish()
    }
}
