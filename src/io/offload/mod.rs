//! Work that blocks its thread, on threads of its own, while the caller is parked.
//!
//! | file | one idea |
//! |---|---|
//! | `slot` | where a job leaves its outcome, and who waits for it |
//! | `pool` | the threads and the queue before them: no greenlets in there |
//! | `limits` | how many threads, how long a queue |
//! | `offloaded` | the handle of a job |
//! | `thread_pool` | a pool of one's own |
//!
//! ```text
//!   unblock(f): f becomes a job ──► the queue ──► a thread runs it ──► the slot ──unpark──► the caller returns
//!                       └─ no room ──► held back, in order, and taken into the queue as others end
//!   killed:     held back: f is dropped, it never runs        in the queue, or running: it runs, its result is dropped there
//! ```
//!
//! # Who may call what
//! Any code on any thread. What runs on a thread of a pool and calls [`unblock`] runs its closure there and then: a
//! pool of N threads whose N jobs wait for further jobs would otherwise stand still for ever. So does code
//! that is unwinding, which cannot be parked.
//!
//! # Locks
//! One std mutex a pool and one a job; each is held for a few loads and stores and never across a suspension, the
//! user's code, a destructor of the user's, or the start of a thread.
//!
//! # Why not the crate `blocking`
//! It was to be wrapped here. What it would have been left to do behind the queue and the limits below is to start
//! threads and end them, and that it does not do as needed; read in its source and measured:
//! - In 1.7.0 a thread ends only while there are more than the limit (500). Ten threads that had run one job each were there
//!   seven seconds later, and each woke twice a second meanwhile: an idle process would never be idle again. (1.6.2 ends them
//!   after 500 ms, but cannot be asked for beside a dependency that wants 1.7.)
//! - When a thread cannot be started it lowers its limit for good; if none is left, jobs wait without an end or an
//!   error.
//! - Its queue has no bound, and its threads and their limit (`BLOCKING_MAX_THREADS`, or a setter for the whole process) are
//!   shared with every crate that uses it: a pool of one's own, or one for host names that files cannot
//!   fill, is a counter before it, that is, another queue.
//!
//! It names threads `blocking-N`, carries panics back, and starts a thread per job that finds nobody idle, which is done
//! here too.

mod limits;
mod offloaded;
mod pool;
mod slot;
mod thread_pool;

use std::fmt;
use std::sync::{Arc, OnceLock};

pub use limits::Limits;
pub use offloaded::Offloaded;
pub use pool::Stats;
pub use thread_pool::ThreadPool;

use pool::Pool;

static POOL: OnceLock<Arc<Pool>> = OnceLock::new();

fn the_pool() -> &'static Arc<Pool> {
    POOL.get_or_init(|| Pool::new(Limits::new()))
}

/// Runs `f`, which blocks its thread, on a thread of the process's pool; the others on this thread go on meanwhile.
///
/// For calls that no readiness of a descriptor announces: other people's libraries, long computations, files (which
/// [`crate::fs`] brings here by itself). The pool grows to 128 threads ([`set_limits`]), and threads without work end
/// after ten seconds. Where all are busy, jobs queue, in the order of the calls.
///
/// A panic of `f` comes out of this call, with its payload.
///
/// # Kills and timeouts
/// They end the wait, not the job: `f` runs to its end and what it returns is dropped, on its thread. Only a job
/// that is held back because the queue is full is dropped without having run. What `f` needs it owns, therefore. When the
/// process ends, jobs are not waited for.
///
/// # Where it runs on the caller's thread
/// In a job, in a destructor that runs because of a panic or a kill, and when the system refuses the pool's first
/// thread (a warning says so).
///
/// ```
/// let sum = rustlet::unblock(|| {
///     std::thread::sleep(std::time::Duration::from_millis(1)); // blocks, but nobody here
///     6 * 7
/// });
/// assert_eq!(sum, 42);
/// ```
pub fn unblock<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    offloaded::unblock(the_pool(), f)
}

/// As [`unblock`], but neither kill nor timeout ends the wait once the job is the pool's: for jobs that
/// are short, and whose outcome must be known. They are raised later.
pub(crate) fn unblock_uninterrupted<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    offloaded::unblock_uninterrupted(the_pool(), f)
}

/// Runs `f` on a thread of the process's pool, and does not wait for it: the handle does.
///
/// Waits while the queue is full ([`Limits::queued`]): that is what keeps a loop around it within bounds. A greenlet that is
/// killed in that wait has not spawned anything. Everything else is as with [`unblock`], except that in a job `f` has
/// run when this returns.
///
/// ```
/// let jobs: Vec<_> = (0..4).map(|n| rustlet::spawn_blocking(move || n * n)).collect();
/// let squares: Vec<i32> = jobs.into_iter().map(|job| job.join().unwrap()).collect();
/// assert_eq!(squares, [0, 1, 4, 9]);
/// ```
pub fn spawn_blocking<F, T>(f: F) -> Offloaded<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Offloaded::spawn(the_pool(), f)
}

/// Sets the limits of the process's pool, before its first use.
///
/// # Errors
/// The pool is in use, or its limits have been set already; then nothing changes.
///
/// ```standalone_crate
/// use rustlet::offload::{Limits, set_limits};
/// set_limits(Limits::new().threads(4).queued(100))?;
/// assert_eq!(rustlet::unblock(|| 1), 1);
/// assert!(set_limits(Limits::new()).is_err()); // too late
/// # Ok::<(), rustlet::offload::InUse>(())
/// ```
pub fn set_limits(limits: Limits) -> Result<(), InUse> {
    POOL.set(Pool::new(limits)).map_err(|_| InUse(()))
}

/// The numbers of the process's pool, all 0 before its first use.
pub fn stats() -> Stats {
    POOL.get().map(|pool| pool.stats()).unwrap_or_default()
}

/// [`set_limits`] came too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InUse(());

impl fmt::Display for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the limits of the pool for blocking work can be set once, before its first use",
        )
    }
}

impl std::error::Error for InUse {}
