//! What structured concurrency asks of the scheduler: greenlets whose closures borrow, and waits that nothing
//! cuts short.
//!
//! ```text
//!   a frame:   spawn_borrowing ──► … ──► kill ──► wait_for_end(Ignore) ──► returns
//!   its child:        └── borrows from the frame ──────────┘
//! ```
//! The frame that a closure borrows from must not go before the closure has. That frame may be hit by kills,
//! throws and limits at any time, so it needs a wait that leaves them pending
//! ([`Interrupts::Ignore`]), and it must not be in the middle of unwinding, when nothing can wait: it
//! catches what unwinds, waits, and passes it on ([`crate::scope`]).
//!
//! Called by `sync::group` alone.
#![allow(unsafe_code)] // Spawns what is not 'static.

use std::any::Any;
use std::io;
use std::panic::Location;

use super::greenlet::Greenlet;
use super::hub;
use super::interrupt::{self, ScopeId};
use super::join_error::JoinError;
use super::joiners::Waiter;
use super::park::{Obstacle, ParkError, WaitReason, park_quietly, park_uninterrupted};
use super::task::{Failure, TaskRef};

/// As [`crate::spawn_local`], for closures and values that borrow.
///
/// # Safety
/// What `f` and `T` borrow stays borrowed until the greenlet is [done](super::task::Header::is_done), or, if it is done
/// earlier, until the handle is gone. The handle must not be dropped before the greenlet is done, unless
/// dropping a `T` touches nothing that is borrowed: should that happen at the very end of the greenlet, the value is dropped when it is done.
#[track_caller]
pub(crate) unsafe fn spawn_borrowing<F, T>(f: F) -> io::Result<Greenlet<T>>
where
    F: FnOnce() -> T,
{
    let task = hub::get().spawn_borrowing(Location::caller(), f)?;
    // SAFETY: the one handle of a task made for `F: FnOnce() -> T`.
    Ok(unsafe { Greenlet::new(task) })
}

/// As [`spawn_borrowing`]; any worker may start it.
///
/// # Safety
/// As there; and `f` and `T` are Send.
#[track_caller]
pub(crate) unsafe fn spawn_borrowing_anywhere<F, T>(f: F) -> io::Result<Greenlet<T>>
where
    F: FnOnce() -> T,
{
    // SAFETY: the caller's promise.
    let task = unsafe {
        hub::get().spawn_anywhere_unchecked(None, None, false, true, Location::caller(), f)?
    };
    // SAFETY: the one handle of a task made for `F: FnOnce() -> T`.
    Ok(unsafe { Greenlet::new(task) })
}

/// What a wait does about kills, throws and limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupts {
    /// Ends with [`Obstacle::Interrupted`]; the caller raises it ([`raise_pending`]).
    Heed,
    /// Leaves them pending.
    Ignore,
}

/// Waits until `task` is done, and raises nothing.
pub(crate) fn wait_for_end(task: &TaskRef, interrupts: Interrupts) -> Result<(), Obstacle> {
    if task.is_done() {
        return Ok(());
    }
    let me = &hub::current_control().task;
    assert!(!me.is(task), "a greenlet cannot wait for its own end");
    let Some(ticket) = task.add_waiter(Waiter::Task(me.clone())) else {
        return Ok(());
    };
    let reason = WaitReason::join(task, me);
    let mut result = Ok(());
    while result.is_ok() && !task.is_done() {
        result = match interrupts {
            Interrupts::Heed => park_quietly(&reason),
            Interrupts::Ignore => park_uninterrupted(&reason).map_err(|error| match error {
                ParkError::Deadlock(report) => Obstacle::Deadlock(report),
                ParkError::Unwinding => Obstacle::Unwinding,
            }),
        };
    }
    if task.is_done() {
        return Ok(());
    }
    task.remove_waiter(ticket);
    result
}

/// Has `f` called with each greenlet that is done though its closure was neither run to its end nor dropped: it got
/// no stack, or was abandoned at the end of its thread. On the hub's loop: `f` must not wait. The first of several
/// calls counts.
pub(crate) fn when_lost(f: fn(&TaskRef)) {
    super::task::when_lost(f);
}

/// Whether the running code drops what a greenlet that got no stack was to have. See `hub::unrun`.
pub(crate) fn drops_unrun() -> bool {
    hub::get().drops_unrun()
}

/// The running code.
pub(crate) fn current_task() -> TaskRef {
    hub::current_control().task.clone()
}

/// Raises what is pending for the running code, if anything still is.
pub(crate) fn raise_pending() {
    hub::current_control().raise();
}

/// Hits a scope of `task`, from any thread.
pub(crate) fn hit_from_anywhere(task: &TaskRef, id: ScopeId) {
    if task.is_of_this_thread() {
        interrupt::hit(task, id);
        return;
    }
    let target = task.clone();
    let messenger = move || {
        // If that thread is no more, this runs here, and there is nothing to hit.
        if target.is_of_this_thread() {
            interrupt::hit(&target, id);
        }
    };
    hub::get().spawn_for(task, Location::caller(), messenger);
}

/// The error of a greenlet that panicked with `payload`, which somebody else has kept for it.
pub(crate) fn panicked(task: &TaskRef, payload: Box<dyn Any + Send>) -> JoinError {
    JoinError::ended(task, Failure::Panicked(payload))
}
