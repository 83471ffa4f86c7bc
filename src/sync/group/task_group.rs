//! [`TaskGroup`]: a scope whose greenlets return `Result`s, of which the first error ends all.
//!
//! What asyncio's `TaskGroup` and Go's `errgroup` do, on [`mod@super::scope`]: errors are values here and travel beside
//! panics, which go the scope's way.
#![allow(unsafe_code)] // Says what may start on another thread.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::children::Body;
use super::scope::{Scope, ScopedGreenlet};
use crate::scheduler::Killed;
use crate::sys::short_lock::ShortLock;

/// Greenlets of which the first error ends all; see [`TaskGroup::run`].
///
/// `'scope` and `'env` are those of [`Scope`].
pub struct TaskGroup<'scope, 'env, E> {
    scope: Scope<'scope, 'env>,
    error: ShortLock<Option<E>>,
}

impl<'env, E> TaskGroup<'_, 'env, E> {
    /// Runs `f`, which may spawn greenlets that borrow from here and return `Result`s; waits until all have ended.
    ///
    /// If one of them, or `f`, returns an error, the others are killed, `f` is interrupted where it waits, as by a
    /// [`timeout`](crate::timeout), and the error is returned: the first one, later ones are dropped. asyncio
    /// raises all of them together as an `ExceptionGroup`; Go's errgroup returns the first.
    ///
    /// Kills, limits and deadlocks are as in [`scope()`](crate::scope).
    ///
    /// # Errors
    /// The first error.
    ///
    /// # Panics
    /// If `f` does, or one of the greenlets, joined or not: with the first payload, when all others have been killed and have
    /// ended. A panic goes before an error.
    ///
    /// ```
    /// use rustlet::TaskGroup;
    /// use std::io;
    /// use std::time::Duration;
    ///
    /// let pages = ["a", "b", "c"];
    /// let sizes = TaskGroup::run(|group| {
    ///     let fetches = pages.map(|page| group.spawn(move || io::Result::Ok(page.len())));
    ///     Ok(fetches.map(|fetch| fetch.join().unwrap()))
    /// });
    /// assert_eq!(sizes.unwrap(), [1, 1, 1]);
    ///
    /// let failed: Result<(), &str> = TaskGroup::run(|group| {
    ///     group.spawn(|| Ok(rustlet::sleep(Duration::MAX)));
    ///     group.spawn(|| -> Result<(), _> { Err("no network") });
    ///     Ok(())
    /// });
    /// assert_eq!(failed, Err("no network"));
    /// ```
    #[track_caller]
    pub fn run<F, T>(f: F) -> Result<T, E>
    where
        F: for<'scope> FnOnce(&'scope TaskGroup<'scope, 'env, E>) -> Result<T, E>,
    {
        let group = TaskGroup {
            scope: Scope::new(),
            error: ShortLock::new(None),
        };
        let body = || f(&group).map_err(|error| group.fail(error));
        let ended = group.scope.children().see_out(body);
        let error = group.error.lock().take();
        match (ended, error) {
            (_, Some(error)) => Err(error),
            (Body::Returned(Ok(value)), None) => Ok(value),
            _ => unreachable!("an error is kept before the body is told, and a panic was raised"),
        }
    }
}

impl<'scope, 'env, E> TaskGroup<'scope, 'env, E> {
    /// Spawns a greenlet in the group.
    ///
    /// It may be joined for its value. One that returned an error joins as killed: the error is what
    /// [`TaskGroup::run`] returns.
    ///
    /// After the first error, what is spawned is killed before it starts.
    ///
    /// # Panics
    /// As [`Scope::spawn`].
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedGreenlet<'scope, T>
    where
        F: FnOnce() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
        E: Send + 'scope,
    {
        // SAFETY: by the bounds.
        unsafe { self.spawn_task(f, true) }
    }

    /// As [`TaskGroup::spawn`], for closures and values that must stay on this thread.
    ///
    /// # Panics
    /// As [`Scope::spawn`].
    #[track_caller]
    pub fn spawn_local<F, T>(&'scope self, f: F) -> ScopedGreenlet<'scope, T>
    where
        F: FnOnce() -> Result<T, E> + 'scope,
        T: 'scope,
        E: 'scope,
    {
        // SAFETY: it stays here.
        unsafe { self.spawn_task(f, false) }
    }

    /// # Safety
    /// `f`, `T` and `E` are Send, if any worker may start it (`anywhere`).
    #[track_caller]
    unsafe fn spawn_task<F, T>(&'scope self, f: F, anywhere: bool) -> ScopedGreenlet<'scope, T>
    where
        F: FnOnce() -> Result<T, E> + 'scope,
        T: 'scope,
        E: 'scope,
    {
        let task = move || match catch_unwind(AssertUnwindSafe(f)) {
            Ok(Ok(value)) => value,
            Ok(Err(error)) => {
                self.fail(error);
                resume_unwind(Box::new(Killed))
            }
            Err(payload) => {
                if payload.is::<Killed>() {
                    resume_unwind(payload);
                }
                self.scope.children().fail(payload);
                resume_unwind(Box::new(Killed))
            }
        };
        // SAFETY: the caller's promise; the group's own state is behind locks.
        unsafe { self.scope.spawn_child(task, anywhere) }
    }

    /// Ends the group with an error, if it is the first.
    fn fail(&self, error: E) {
        let mut place = self.error.lock();
        let late = match *place {
            None => {
                *place = Some(error);
                None
            }
            Some(_) => Some(error),
        };
        drop(place);
        drop(late);
        self.scope.children().cancel();
    }

    /// Whether the group is ending early: an error was returned, something panicked, or `run` is being unwound.
    pub fn is_cancelled(&self) -> bool {
        self.scope.children().is_cancelled()
    }

    /// How many greenlets of the group have not ended.
    pub fn running(&self) -> usize {
        self.scope.running()
    }
}

impl<E> fmt::Debug for TaskGroup<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup")
            .field("running", &self.running())
            .field("cancelled", &self.is_cancelled())
            .finish()
    }
}
