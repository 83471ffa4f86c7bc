//! Synchronisation between greenlets, of one hub or of several, and OS threads.
//!
//! | file | one idea |
//! |---|---|
//! | [`waiter`] | waiting in a queue, so that nothing is lost |
//! | [`permits`] | the core of locks and semaphores: who gets a permit |
//! | [`poison`] | what locks remember of panics |

mod mutex;
mod permits;
mod poison;
mod semaphore;
mod waiter;

pub use mutex::{Mutex, MutexGuard};
pub use semaphore::{Permit, Semaphore};
