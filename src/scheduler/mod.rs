//! Greenlets and the hub that runs them.
//!
//! | file | one idea |
//! |---|---|
//! | [`cells`] | memory of tasks, used again |
//! | [`task`] | what exists of a greenlet without a stack: flags, joiners, links; counted |
//! | [`typed`] | its part that depends on types: the closure, then the outcome |
//! | [`side`] | what few tasks have besides: a name, locals |
//! | [`joiners`] | who waits for its end |
//! | [`future`] | a greenlet's handle as a future |
//! | [`link`], [`ended`] | what is to be done after its end |
//! | [`uncaught`] | what is said when a panic ended it |
//! | [`local`] | values of a greenlet's own |
//! | [`control`] | what is hot while it has one, at the top of its stack |
//! | [`queue`] | the run queue |
//! | [`hub`] | the loop: turns, idling, the end of a thread |
//! | [`mod@park`] | the one way to wait, and its token |
//! | [`spans`] | spans of `tracing`, left while their greenlet is suspended |
//! | [`sleeper`] | whom to wake, for queues of waiters |
//! | [`interrupt`], [`throw`] | kills, scopes, throws: unwinding a greenlet from outside |
//! | [`waitable`] | waiting for one of many things |
//! | [`wakers`] | the wakers of futures, called from the hub; a waker that unparks |
//! | [`scoped`] | greenlets that borrow from a frame which waits for them |
//! | [`inbox`], [`bell`] | wake-ups from other threads |
//! | [`driver`] | what the hub asks of timers and reactor |
//! | [`reason`] | why a greenlet waits, and who could end that |
//! | [`waits`] | who waits for whom, and cycles of that |
//! | [`counters`] | what a hub counts |
//! | [`stalls`] | hubs as others see them: do they go on, and who keeps them |
//! | [`workers`] | hubs that share what has not started |
//! | [`report`] | the line that names a greenlet which panics |
//! | [`builder`], [`greenlet`], [`handle`], [`join_error`], [`deadlock`] | the public face |
//!
//! Two invariants keep the thread-locals of other code honest: a greenlet never suspends while
//! `std::thread::panicking()`, and nothing in this crate holds a thread-local's borrow or a std lock
//! across a suspension.

mod bell;
mod builder;
mod cells;
mod control;
pub(crate) mod counters;
mod deadlock;
pub(crate) mod driver;
mod ended;
mod future;
mod greenlet;
mod handle;
pub(crate) mod hub;
pub(crate) mod inbox;
pub(crate) mod interrupt;
mod join_error;
mod joiners;
mod link;
mod local;
pub(crate) mod park;
mod queue;
mod reason;
mod report;
pub(crate) mod scoped;
mod side;
pub(crate) mod sleeper;
mod spans;
pub(crate) mod stalls;
pub(crate) mod task;
mod throw;
mod typed;
mod uncaught;
pub(crate) mod waitable;
mod waits;
pub(crate) mod wakers;
pub(crate) mod workers;

pub use builder::{Builder, spawn, spawn_local};
pub use deadlock::Deadlock;
pub use ended::Ended;
pub use greenlet::Greenlet;
pub use handle::{Handle, current, park};
pub use hub::{HubStats, cycles, stats};
pub use interrupt::Killed;
pub use join_error::JoinError;
pub use link::LinkId;
pub use local::LocalKey;
pub(crate) use park::cannot_suspend;
pub use park::yield_now;
pub use uncaught::{Uncaught, UncaughtHook, set_uncaught_hook, take_uncaught_hook};
pub use waitable::Waitable;
pub use waits::{Cycle, Member, set_deadlock_hook};

pub(crate) use greenlet::wait_done_or;
pub(crate) use task::TaskRef;
pub(crate) use waits::Who;

/// Operations that may succeed in a row without suspending before the greenlet must let others
/// run: a stream that always has data would otherwise starve its neighbours (gevent #1741).
pub(crate) const BUDGET: u32 = 128;
