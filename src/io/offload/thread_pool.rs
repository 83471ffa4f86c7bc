//! [`ThreadPool`]: a pool of one's own, whose jobs are not held up by anybody else's.

use std::fmt;
use std::panic::resume_unwind;
use std::sync::Arc;

use super::limits::Limits;
use super::offloaded::{self, Offloaded};
use super::pool::{Pool, Stats};

/// Threads for work that blocks: gevent's `ThreadPool`.
///
/// [`crate::unblock`] and files share one pool for the process. One's own is for work that should have a bound of its own,
/// or that would keep the others waiting.
///
/// When it is dropped, the jobs it has been given still run; then its threads end.
///
/// ```
/// use rustlet::offload::ThreadPool;
/// let pool = ThreadPool::new(3);
/// let job = pool.spawn(|| 1 + 1);
/// assert_eq!(pool.unblock(|| "apply"), "apply");
/// assert_eq!(pool.map(1..=3, |n| n * n), [1, 4, 9]);
/// assert_eq!(job.join().unwrap(), 2);
/// ```
pub struct ThreadPool {
    pool: Arc<Pool>,
}

impl ThreadPool {
    /// A pool that grows to `threads` threads (no less than 1), with the queue of [`Limits::new`].
    pub fn new(threads: usize) -> Self {
        ThreadPool::with_limits(Limits::new().threads(threads))
    }

    /// A pool with these limits. gevent's, whose `spawn` blocks while all threads are busy, is
    /// `Limits::new().threads(n).queued(0)`.
    pub fn with_limits(limits: Limits) -> Self {
        ThreadPool {
            pool: Pool::new(limits),
        }
    }

    /// Runs `f` on a thread of this pool and waits for its value, as [`crate::unblock`]. gevent's `apply`.
    pub fn unblock<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        offloaded::unblock(&self.pool, f)
    }

    /// Runs `f` on a thread of this pool, as [`crate::spawn_blocking`].
    pub fn spawn<F, T>(&self, f: F) -> Offloaded<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Offloaded::spawn(&self.pool, f)
    }

    /// Runs `f` on each of `items`, and returns what it gave, in the order of the items.
    ///
    /// # Panics
    /// With the panic of the first item, in their order, on which `f` panicked. The other jobs run nevertheless.
    pub fn map<I, F, T>(&self, items: I, f: F) -> Vec<T>
    where
        I: IntoIterator,
        I::Item: Send + 'static,
        F: Fn(I::Item) -> T + Send + Sync + 'static,
        T: Send + 'static,
    {
        let f = Arc::new(f);
        let jobs = items.into_iter().map(|item| {
            let f = f.clone();
            self.spawn(move || f(item))
        });
        let jobs = Vec::from_iter(jobs);
        let values = jobs
            .into_iter()
            .map(|job| job.join().unwrap_or_else(|payload| resume_unwind(payload)));
        values.collect()
    }

    /// What it was made with.
    pub fn limits(&self) -> Limits {
        self.pool.limits()
    }

    /// Its numbers at this moment.
    pub fn stats(&self) -> Stats {
        self.pool.stats()
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.pool.close();
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPool")
            .field("limits", &self.limits())
            .field("stats", &self.stats())
            .finish()
    }
}
