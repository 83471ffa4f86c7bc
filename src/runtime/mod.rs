//! The part that knows everything: what a program calls without having made anything first, and runtimes of many threads.
//!
//! | file | one idea |
//! |---|---|
//! | `mod.rs` | [`run`] |
//! | [`builder`] | [`RuntimeBuilder`]: how many workers, and how they are |
//! | [`handle`] | [`Runtime`] and [`RuntimeHandle`]: spawning into it |
//! | [`future`] | futures as light tasks |
//! | [`thread`] | the life of a worker's thread |
//! | [`shutdown`] | draining, killing, joining |
//! | [`metrics`] | what it has done so far |

mod builder;
mod future;
mod handle;
mod metrics;
mod shutdown;
mod thread;

pub use builder::RuntimeBuilder;
pub use future::{FutureHandle, spawn_future};
pub use handle::{Runtime, RuntimeHandle, spawn_on, worker_index};
pub use metrics::{RuntimeMetrics, WorkerMetrics};
pub use shutdown::Unclean;

use crate::scheduler;

/// Runs `f` in a greenlet of its own, and returns its value.
///
/// Nothing needs it: `spawn` and everything that blocks work from `main` directly. It gives `main`'s
/// code a greenlet, with a stack and a kill of its own. Greenlets that `f` spawned and did not join go on
/// when this thread next blocks.
///
/// # Panics
/// With `f`'s panic; with the report, if nothing can ever wake `f` any more
/// ([`crate::Deadlock`]); if no stack can be had.
///
/// ```
/// use std::time::Duration;
/// let total = rustlet::run(|| {
///     let squares: Vec<_> = (1..=3).map(|n| rustlet::spawn(move || n * n)).collect();
///     rustlet::sleep(Duration::from_millis(1));
///     squares.into_iter().map(|g| g.join().unwrap()).sum::<i32>()
/// });
/// assert_eq!(total, 14);
/// ```
#[track_caller]
pub fn run<F, T>(f: F) -> T
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    match scheduler::spawn_local(f).join() {
        Ok(value) => value,
        Err(error) => error.resume(),
    }
}
