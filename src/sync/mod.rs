//! Synchronisation between greenlets, of one hub or of several, and OS threads.
//!
//! | for | there is |
//! |---|---|
//! | values in common | [`Mutex`], [`RwLock`], [`ReentrantMutex`], [`OnceLock`], [`LazyLock`] |
//! | things that happen | [`Event`], [`AsyncResult`], [`Condvar`], [`Once`], [`Barrier`], [`WaitGroup`] |
//! | bounds | [`Semaphore`], [`BoundedSemaphore`] |
//! | items that change hands | [`mpmc`], [`crate::queue`] |
//! | whichever comes first | [`crate::select!`], [`Select`], [`crate::iwait`] |
//!
//! What has a twin in std has its name, methods, guards and errors. Locks and events cannot be cloned: share them by reference
//! (in a [`crate::scope`]) or in an `Arc`. The ends of channels can, and a clone of a [`OnceLock`] has a copy of its value. A thread that has no greenlets may use it too.
//!
//! # Waiting
//! Whoever waits lets the other greenlets of its thread run. Each wait has a form with a time limit (but for [`Once`], [`OnceLock`] and
//! [`LazyLock`], as in std), and [`crate::timeout`], [`crate::Greenlet::kill`] and [`crate::Greenlet::throw`] end any of them. An operation that is
//! ended so has not happened; if it was granted at the same moment it succeeds, and the interruption is raised at
//! the next suspension. So no item, permit or wake-up is lost.
//!
//! Waiters are served in the order in which they came. Of a lock or semaphore that is given back, running code may be
//! quicker than the waiter that is woken for it; once: that waiter is handed it the next time.
//!
//! What gives something back (unlocking, `release`, `set`, dropping a guard) never waits.
//!
//! # Where a wait is impossible
//! In a destructor that runs because of a panic or a kill a greenlet cannot be suspended, and on a thread's own stack
//! a wait may be for something that nothing can bring about. Operations whose errors cannot say so panic then, with a text
//! that does; each lists it under "Panics".

// | file | one idea |
// |---|---|
// | waiter | waiting in a queue, so that nothing is lost |
// | permits, rw_permits | the cores of locks and semaphores, and of read-write locks: who gets a permit |
// | poison | what locks remember of panics |
// | observers | waiting for one of several things: the things' side |
// | result_links | what is called when an asynchronous result is set |
// | queue, mpmc, select, group | directories with heads of their own; the others have the names of their types |

mod async_result;
mod barrier;
mod bounded_semaphore;
mod condvar;
mod event;
pub(crate) mod group;
mod lazy_lock;
pub mod mpmc;
mod mutex;
mod observers;
mod once;
mod once_lock;
mod permits;
mod poison;
pub mod queue;
mod reentrant_mutex;
mod result_links;
mod rw_permits;
mod rwlock;
pub mod select;
mod semaphore;
mod wait_group;
mod waiter;

pub use async_result::AsyncResult;
pub use barrier::{Barrier, BarrierWaitResult};
pub use bounded_semaphore::{BoundedSemaphore, OverRelease};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use event::Event;
pub use lazy_lock::LazyLock;
pub use mutex::{Mutex, MutexGuard};
pub use once::{Once, OnceState};
pub use once_lock::OnceLock;
pub use reentrant_mutex::{ReentrantMutex, ReentrantMutexGuard};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use select::{Select, Selectable};
pub use semaphore::{OwnedPermit, Permit, Semaphore};
pub use wait_group::{WaitGroup, WaitGroupMember};

pub use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};
