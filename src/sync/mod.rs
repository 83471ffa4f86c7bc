//! Synchronisation between greenlets, of one hub or of several, and OS threads.
//!
//! | file | one idea |
//! |---|---|
//! | [`waiter`] | waiting in a queue, so that nothing is lost |
//! | [`permits`] | the core of locks and semaphores: who gets a permit |
//! | [`rw_permits`] | the core of read-write locks |
//! | [`poison`] | what locks remember of panics |
//! | [`observers`] | waiting for one of several things: the things' side |
//! | [`result_links`] | what is called when an asynchronous result is set |
//! | [`mutex`], [`rwlock`], [`reentrant_mutex`], [`condvar`], [`barrier`], [`once`], [`once_lock`], [`lazy_lock`] | std's |
//! | [`semaphore`], [`bounded_semaphore`], [`event`], [`async_result`], [`wait_group`] | gevent's and Go's |
//! | [`queue`], [`mpmc`] | items change hands |
//! | [`select`] | waiting for one of several things |
//! | [`group`] | groups, pools, scopes: several greenlets as one thing |

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
