//! Greenlets and the hub that runs them.
//!
//! | file | one idea |
//! |---|---|
//! | [`cells`] | memory of tasks, used again |
//! | [`task`] | what exists of a greenlet without a stack: closure, outcome, flags; counted |
//! | [`joiners`] | who waits for its end |
//! | [`control`] | what is hot while it has one, at the top of its stack |
//! | [`queue`] | the run queue |
//! | [`hub`] | the loop: turns, idling, the end of a thread |
//! | [`mod@park`] | the one way to wait, and its token |
//! | [`sleeper`] | whom to wake, for queues of waiters |
//! | [`interrupt`] | kills and scopes: unwinding a greenlet from outside |
//! | [`inbox`] | wake-ups from other threads |
//! | [`driver`] | what the hub asks of timers and reactor |
//! | [`builder`], [`handle`], [`join_error`], [`deadlock`] | the public face |
//!
//! Two invariants keep the thread-locals of other code honest: a greenlet never suspends while
//! `std::thread::panicking()`, and nothing in this crate holds a thread-local's borrow or a std lock
//! across a suspension.

mod builder;
mod cells;
mod control;
mod deadlock;
pub(crate) mod driver;
mod handle;
pub(crate) mod hub;
pub(crate) mod inbox;
pub(crate) mod interrupt;
mod join_error;
mod joiners;
pub(crate) mod park;
mod queue;
mod report;
pub(crate) mod sleeper;
pub(crate) mod task;

pub use builder::{Builder, spawn, spawn_local};
pub use deadlock::Deadlock;
pub use handle::{Greenlet, Handle, current, park};
pub use hub::{HubStats, stats};
pub use interrupt::Killed;
pub use join_error::JoinError;
pub use park::yield_now;

pub(crate) use handle::wait_done_or;
pub(crate) use task::TaskRef;

/// Operations that may succeed in a row without suspending before the greenlet must let others
/// run: a stream that always has data would otherwise starve its neighbours (gevent #1741).
pub(crate) const BUDGET: u32 = 128;
