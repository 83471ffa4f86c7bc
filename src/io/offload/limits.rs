//! [`Limits`]: how many threads a pool may have, how many jobs may wait for one, how long a thread waits for a job.

use std::time::Duration;

/// The limits of a pool of threads.
///
/// ```
/// use rustlet::offload::{Limits, ThreadPool};
/// use std::time::Duration;
/// let pool = ThreadPool::with_limits(Limits::new().threads(2).queued(10).idle(Duration::from_secs(1)));
/// assert_eq!(pool.unblock(|| "done"), "done");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(super) threads: usize,
    pub(super) queued: usize,
    pub(super) idle: Duration,
}

impl Limits {
    /// 128 threads, 1,024 jobs in the queue, ten seconds.
    ///
    /// Threads that wait for a disk or a server cost memory, not processors: there may be many more of them than
    /// cores. A program whose jobs compute sets fewer.
    pub const fn new() -> Self {
        Limits {
            threads: 128,
            queued: 1024,
            idle: Duration::from_secs(10),
        }
    }

    /// The most threads there may be; no less than 1 is meant by 0.
    pub const fn threads(self, threads: usize) -> Self {
        let threads = if threads == 0 { 1 } else { threads };
        Limits { threads, ..self }
    }

    /// The most jobs that may be in the queue, beside those that run. Callers beyond it wait, in the order in which they
    /// came, and their jobs are not the pool's yet: a kill takes them back. 0 is possible.
    pub const fn queued(self, queued: usize) -> Self {
        Limits { queued, ..self }
    }

    /// How long a thread without work waits for some before it ends. It is not woken meanwhile.
    pub const fn idle(self, idle: Duration) -> Self {
        Limits { idle, ..self }
    }
}

/// As [`Limits::new`].
impl Default for Limits {
    fn default() -> Self {
        Limits::new()
    }
}
