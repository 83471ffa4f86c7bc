//! The end of a runtime: draining, killing, joining its threads.
//!
//! ```text
//!   drain: spawns from outside are refused; each worker that runs out of work says so; wait for the last (or the limit)
//!   stop:  the code on each worker's own stack returns; its hub ends as every thread's does, killing what lives
//!   join:  the threads
//! ```

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::thread::Threads;
use crate::scheduler::workers;
use crate::sync::Event;

/// How long threads are waited for after their greenlets were killed.
const GRACE: Duration = Duration::from_secs(1);

/// What did not end by itself when a runtime was [shut down](crate::Runtime::shutdown).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unclean {
    /// Greenlets that lived when the limit had come, and were killed. Futures are not counted.
    pub killed: usize,
    /// Of these, those that refused to die: their stacks are leaked, and joins of them fail.
    pub refused: usize,
    /// Threads that did not come back to their hubs, and were left to themselves.
    pub stuck: usize,
}

impl fmt::Display for Unclean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the runtime did not drain: {} greenlets were killed, {} of them refused to die; {} threads are stuck",
            self.killed, self.refused, self.stuck
        )
    }
}

impl std::error::Error for Unclean {}

pub(super) fn shutdown(threads: &Arc<Threads>, limit: Duration) -> Result<(), Unclean> {
    assert!(
        !is_inside(threads),
        "a runtime cannot be shut down by one of its own greenlets"
    );
    let deadline = Instant::now().checked_add(limit);
    let quiet = Arc::new(Event::new());
    let bell = quiet.clone();
    threads.team.drain(Box::new(move || bell.set()));
    let mut drained;
    loop {
        quiet.clear();
        drained = threads.team.is_drained();
        if drained || !wait(&quiet, deadline) {
            break;
        }
    }
    let killed = if drained { 0 } else { threads.team.live() };
    threads.stop();
    // What had drained before its limit has the rest of that.
    let grace = deadline.map(|deadline| deadline.max(Instant::now() + GRACE));
    let mut stuck;
    loop {
        threads.one_ended.clear();
        stuck = threads.running.load(Ordering::SeqCst);
        if stuck == 0 || !wait(&threads.one_ended, grace) {
            break;
        }
    }
    let handles = Handles(threads.take_handles());
    if stuck > 0 {
        handles.forget();
    } else {
        drop(handles);
    }
    if drained && stuck == 0 {
        return Ok(());
    }
    Err(Unclean {
        killed,
        refused: threads.refused.load(Ordering::SeqCst),
        stuck,
    })
}

/// Without ceremony.
pub(super) fn end(threads: &Arc<Threads>) {
    threads.stop();
    let handles = Handles(threads.take_handles());
    if is_inside(threads) {
        handles.forget();
        return;
    }
    // Others of this thread may be what the runtime's destructors wait for. (If there are none, no hub is made for this:
    // it may be the end of the thread.)
    let others = crate::scheduler::stats().live > 0 && !crate::scheduler::cannot_suspend();
    while others && !handles.0.is_empty() {
        threads.one_ended.clear();
        if threads.running.load(Ordering::SeqCst) == 0 {
            break;
        }
        threads.one_ended.wait(); // a kill may unwind from here
    }
}

/// Threads that are joined when this is dropped, by blocking.
struct Handles(Vec<JoinHandle<()>>);

impl Handles {
    fn forget(mut self) {
        self.0.clear();
    }
}

impl Drop for Handles {
    fn drop(&mut self) {
        for handle in self.0.drain(..) {
            // A worker's thread catches what its hooks raise.
            let _ = handle.join();
        }
    }
}

fn is_inside(threads: &Threads) -> bool {
    workers::current().is_some_and(|(team, _)| Arc::ptr_eq(&team, &threads.team))
}

/// Waits for `event`; false if the deadline came first.
fn wait(event: &Event, deadline: Option<Instant>) -> bool {
    match deadline {
        None => {
            event.wait();
            true
        }
        Some(deadline) => event.wait_timeout(deadline.saturating_duration_since(Instant::now())),
    }
}
