//! `--workers N`: the same functions on the workers of a [`Runtime`], and who did what.
//!
//! Nothing else changes: `spawn` on a worker spawns what any worker may start. Where a greenlet has started it stays.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustlet::{Runtime, RuntimeHandle};

use crate::table::count;

/// Runs `f` on this thread, or on so many workers.
pub(crate) fn run<T: Send + 'static>(
    workers: usize,
    f: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match workers {
        1 => f(),
        _ => Runtime::builder().workers(workers).build()?.run(f),
    }
}

/// How many greenlets live now, and how often one was resumed: on this thread, or on all workers.
pub(crate) fn totals() -> (usize, u64) {
    match RuntimeHandle::current() {
        Some(runtime) => {
            let metrics = runtime.metrics();
            let switches = metrics.workers.iter().map(|worker| worker.switches);
            (metrics.live, switches.sum())
        }
        None => {
            let stats = rustlet::stats();
            (stats.live, stats.switches)
        }
    }
}

/// Connections, by the worker that serves them.
pub(crate) struct Served(Box<[AtomicU64]>);

impl Served {
    /// For this thread, or the runtime that it works for.
    pub(crate) fn new() -> Served {
        let workers = RuntimeHandle::current().map_or(1, |runtime| runtime.workers());
        Served((0..workers).map(|_| AtomicU64::new(0)).collect())
    }

    /// To be called by the greenlet that serves.
    pub(crate) fn one_here(&self) {
        self.0[rustlet::worker_index().unwrap_or(0)].fetch_add(1, Relaxed);
    }

    pub(crate) fn line(&self) -> String {
        let each = self.0.iter().map(|served| count(served.load(Relaxed)));
        let each = each.enumerate();
        let each = each.map(|(worker, served)| format!("{served} by worker {worker}"));
        format!(
            "Connections served: {}.",
            each.collect::<Vec<_>>().join(", ")
        )
    }
}
