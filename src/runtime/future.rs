//! Futures as light tasks: [`spawn_future`], which needs no stack for each.
//!
//! ```text
//!   spawn ──► scheduled ──► a worker's deque, or the injector ──► a runner of some worker polls it ──► ready
//!                 ▲                                                        │ pending
//!                 └──────────────── its waker, from any thread ◄───────────┘
//! ```
//! The task itself, with its states and wakers, is `async-task`'s. A future is `Send`, so unlike a started greenlet it may be
//! polled by another worker each time. On a thread that is no worker there are no runners; there it is a greenlet
//! that [`block_on`]s.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_task::FallibleTask;

use super::handle::RuntimeHandle;
use crate::io::block_on::block_on;
use crate::scheduler::workers::{self, Enlisted, Team};
use crate::scheduler::{Greenlet, JoinError, spawn};

type Payload = Box<dyn Any + Send>;

/// Runs a future on the workers of the runtime that the caller runs in, without a stack of its own: a few hundred bytes and what the
/// future itself needs.
///
/// It is polled by a greenlet of some worker; what it calls may block as anything in a greenlet may, and blocks that future alone.
/// For code that blocks much, [`spawn`] with [`block_on`] is the better form.
///
/// It is dropped when it has ended, when it is [cancelled](FutureHandle::cancel), or when the runtime ends, also if nobody is left who
/// could wake it. What its destructor raises comes out of the join, if it had ended by itself.
///
/// On a thread that is no worker of a runtime, it is a greenlet of that thread, with a stack.
///
/// # Panics
/// If the runtime is shutting down; on other threads as [`spawn`].
///
/// ```
/// let runtime = rustlet::Runtime::builder().workers(2).build()?;
/// let sum = runtime.run(|| {
///     let futures: Vec<_> = (1..=100).map(|n| rustlet::spawn_future(async move { n })).collect();
///     futures.into_iter().map(|future| future.join().unwrap()).sum::<u32>()
/// });
/// assert_eq!(sum, 5050);
/// # std::io::Result::Ok(())
/// ```
#[track_caller]
pub fn spawn_future<F>(future: F) -> FutureHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match RuntimeHandle::current() {
        Some(runtime) => runtime.spawn_future(future),
        None => FutureHandle(Inner::Greenlet(spawn(move || block_on(future)))),
    }
}

impl RuntimeHandle {
    /// As [`spawn_future`], into this runtime.
    ///
    /// # Panics
    /// If the runtime is shutting down or has ended.
    #[track_caller]
    pub fn spawn_future<F>(&self, future: F) -> FutureHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let member = Member {
            team: self.team.clone(),
            enlisted: None,
        };
        member.team.note_future();
        let unpolled = Unpolled(Some(future));
        let future = async move {
            // In this order: the future is dropped before it counts as ended.
            let mut member = member;
            let mut unpolled = unpolled;
            let future = pin!(unpolled.0.take());
            let mut polled = Polled(future);
            std::future::poll_fn(|cx| {
                let poll = polled.poll(cx);
                if poll.is_pending() {
                    member.wait(cx.waker());
                }
                poll
            })
            .await
        };
        let team = self.team.clone();
        let (runnable, task) = async_task::spawn(future, move |runnable| {
            workers::reschedule(&team, runnable);
        });
        assert!(
            workers::schedule(&self.team, runnable),
            "spawn: {}",
            Team::ended()
        );
        FutureHandle(Inner::Light {
            task: Some(task.fallible()),
            spawned_at: Location::caller(),
        })
    }
}

/// A future that was spawned: what [`spawn_future`] returns.
///
/// Dropping it detaches the future, which goes on, at the latest until its runtime ends. It is a future itself.
#[must_use = "dropping it detaches the future, and its value is lost"]
pub struct FutureHandle<T>(Inner<T>);

enum Inner<T> {
    Light {
        /// Taken when it is dropped.
        task: Option<FallibleTask<Result<T, Payload>>>,
        spawned_at: &'static Location<'static>,
    },
    Greenlet(Greenlet<T>),
}

impl<T> FutureHandle<T> {
    /// Waits for the future's value, as [`Greenlet::join`]. A kill of the caller leaves the future alone.
    ///
    /// # Errors
    /// It panicked ([`JoinError::is_panic`]), or its runtime ended before it.
    pub fn join(self) -> Result<T, JoinError>
    where
        T: Send + 'static,
    {
        block_on(self)
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        match &self.0 {
            Inner::Light { task, .. } => task.as_ref().is_none_or(FallibleTask::is_finished),
            Inner::Greenlet(greenlet) => greenlet.is_finished(),
        }
    }

    /// Drops the future, unless it has ended: at once if it waits, else when it next would. Where it has become a
    /// greenlet, that is killed.
    pub fn cancel(mut self) {
        match &mut self.0 {
            Inner::Light { task, .. } => drop(task.take()),
            Inner::Greenlet(greenlet) => greenlet.kill_nowait(),
        }
    }
}

impl<T: Send + 'static> Future for FutureHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Inner::Greenlet(greenlet) => Pin::new(greenlet).poll(cx),
            Inner::Light { task, spawned_at } => {
                let task = task.as_mut().expect("taken by drop and cancel alone");
                Pin::new(task).poll(cx).map(|outcome| match outcome {
                    Some(Ok(value)) => Ok(value),
                    Some(Err(payload)) => Err(JoinError::of_future(spawned_at, Some(payload))),
                    None => Err(JoinError::of_future(spawned_at, None)),
                })
            }
        }
    }
}

impl<T> Drop for FutureHandle<T> {
    fn drop(&mut self) {
        if let Inner::Light { task, .. } = &mut self.0
            && let Some(task) = task.take()
        {
            task.detach();
        }
    }
}

impl<T> fmt::Debug for FutureHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FutureHandle")
            .field("is_finished", &self.is_finished())
            .finish()
    }
}

/// A future before its first poll. What its destructor raises goes no further (`async-task` would abort): the panic hook has reported it,
/// and nobody is there to take it.
struct Unpolled<F>(Option<F>);

impl<F> Drop for Unpolled<F> {
    fn drop(&mut self) {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(self.0.take()))).map_err(std::mem::forget);
    }
}

/// A future from its first poll on, until it has ended. Its destructor is contained as [`Unpolled`]'s.
struct Polled<'a, F>(Pin<&'a mut Option<F>>);

impl<F: Future> Polled<'_, F> {
    /// Polls it, and drops it when it has ended. A panic of either is the joiner's, and ends nothing else.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<F::Output, Payload>> {
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let running = self.0.as_mut().as_pin_mut();
            let poll = running.expect("polled after its end").poll(cx);
            if poll.is_ready() {
                self.0.set(None);
            }
            poll
        }));
        match polled {
            Ok(poll) => poll.map(Ok),
            Err(payload) => {
                // One panic is enough to tell of.
                self.drop_quietly();
                Poll::Ready(Err(payload))
            }
        }
    }
}

impl<F> Polled<'_, F> {
    fn drop_quietly(&mut self) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.0.set(None))).map_err(std::mem::forget);
    }
}

impl<F> Drop for Polled<'_, F> {
    fn drop(&mut self) {
        self.drop_quietly();
    }
}

/// One of a team's futures, as long as it has not been dropped.
struct Member {
    team: Arc<Team>,
    /// Where the end of the team finds it, once it has waited.
    enlisted: Option<Enlisted>,
}

impl Member {
    /// The future is about to wait for `waker`.
    fn wait(&mut self, waker: &Waker) {
        self.enlisted = self.team.enlist(self.enlisted.take(), waker);
        if self.enlisted.is_none() {
            // The team ends: to be scheduled is to be dropped.
            waker.wake_by_ref();
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(enlisted) = self.enlisted.take() {
            self.team.delist(enlisted);
        }
        self.team.note_future_end();
    }
}
