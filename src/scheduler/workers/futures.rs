//! The futures of a team: polling one, cancelling one, and finding those that wait when the team ends.
//!
//! ```text
//!   in a queue, or being polled ──pending──► enlisted: on the list of the worker that polled it first, by its waker
//!                                               │ the worker ends, and wakes all of its list
//!                                               ▼
//!                            scheduled, by a thread that takes no more: dropped
//! ```
//! A future that waits is in nobody's hands but its wakers', and these may be anywhere, or nowhere. Without the list a join of it
//! would wait for ever when its runtime is gone. A future that is ready at once never enters one.
//!
//! # Why none is forgotten
//! A future enlists itself at the end of a poll that finds it pending, and again if the list that it was on has closed since. A
//! worker closes its list after it has stopped taking anything to poll; what is polled afterwards, by a runner that was in the middle of
//! it, finds no list open, wakes itself, and is dropped when it is scheduled. What other workers poll
//! they enlist themselves.
//!
//! Rejected: one list for the team (its lock would be every future's), and dropping futures that nobody can wake
//! (nobody knows which these are).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;

use async_task::Runnable;

use super::{Fresh, Team};
use crate::scheduler::hub;
use crate::sys::short_lock::ShortLock;
use crate::util::primitive::{AtomicBool, Ordering};

/// The futures that wait and were first polled by one worker.
#[derive(Debug)]
pub(super) struct Waiting {
    list: ShortLock<List>,
    /// As in the list, for a look without the lock.
    closed: AtomicBool,
}

#[derive(Debug)]
struct List {
    wakers: Vec<Option<Waker>>,
    /// Places in it that are free.
    free: Vec<usize>,
    closed: bool,
}

/// A place on a list.
#[derive(Debug)]
pub(crate) struct Enlisted {
    worker: usize,
    place: usize,
}

impl Waiting {
    pub(super) fn new() -> Self {
        Waiting {
            list: ShortLock::new(List {
                wakers: Vec::new(),
                free: Vec::new(),
                closed: false,
            }),
            closed: AtomicBool::new(false),
        }
    }

    fn enter(&self, waker: Waker) -> Option<usize> {
        let mut list = self.list.lock();
        if list.closed {
            drop(list); // before the waker, which is anybody's code
            return None;
        }
        match list.free.pop() {
            Some(place) => {
                list.wakers[place] = Some(waker);
                Some(place)
            }
            None => {
                list.wakers.push(Some(waker));
                Some(list.wakers.len() - 1)
            }
        }
    }

    fn leave(&self, place: usize) {
        let mut list = self.list.lock();
        let waker = list.wakers.get_mut(place).and_then(Option::take);
        if waker.is_some() {
            list.free.push(place);
        }
        drop(list);
        drop(waker);
    }

    fn close(&self) -> Vec<Option<Waker>> {
        let mut list = self.list.lock();
        list.closed = true;
        self.closed.store(true, Ordering::Release);
        std::mem::take(&mut list.wakers)
    }
}

impl Team {
    /// A future, polled by the calling thread, waits: the end of the team will find it. `before` is where it was. `None`
    /// if the calling worker ends: then the future is to wake itself.
    pub(crate) fn enlist(&self, before: Option<Enlisted>, waker: &Waker) -> Option<Enlisted> {
        let is_open = |before: &Enlisted| {
            let waiting = &self.members[before.worker].waiting;
            !waiting.closed.load(Ordering::Acquire)
        };
        if before.as_ref().is_some_and(is_open) {
            return before;
        }
        let worker = hub::existing()?.worker()?.index;
        let place = self.members[worker].waiting.enter(waker.clone())?;
        Some(Enlisted { worker, place })
    }

    /// A future waits no more.
    pub(crate) fn delist(&self, enlisted: Enlisted) {
        self.members[enlisted.worker].waiting.leave(enlisted.place);
    }

    /// At the end of a worker: has the futures of its list dropped.
    pub(in crate::scheduler) fn cancel_waiting(&self, worker: usize) {
        let wakers = self.members[worker].waiting.close();
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
    }
}

/// Has a new future polled by some worker; false if the runtime drains or ends, and the future is cancelled.
pub(crate) fn schedule(team: &Arc<Team>, future: Runnable) -> bool {
    hand_over(team, future, |fresh| team.inject(fresh, 0))
}

/// As [`schedule`], for one that was woken: it is part of what drains.
pub(crate) fn reschedule(team: &Arc<Team>, future: Runnable) {
    hand_over(team, future, |fresh| team.inject_known(fresh));
}

fn hand_over(
    team: &Arc<Team>,
    future: Runnable,
    inject: impl FnOnce(Fresh) -> Result<(), Fresh>,
) -> bool {
    let fresh = Fresh::future(future);
    if let Some(hub) = hub::existing()
        && let Some(worker) = hub.worker()
        && Arc::ptr_eq(&worker.team, team)
    {
        worker.push(fresh);
        return true;
    }
    match inject(fresh) {
        Ok(()) => true,
        Err(refused) => {
            if let super::Kind::Future(future) = refused.into_kind() {
                cancel(future);
            }
            false
        }
    }
}

/// Polls a future. What its destructor raises goes no further: the panic hook has reported it.
pub(in crate::scheduler) fn poll(future: Runnable) {
    let _ = catch_unwind(AssertUnwindSafe(|| future.run())).map_err(std::mem::forget);
}

/// Drops a future. What its destructor raises goes no further.
pub(in crate::scheduler) fn cancel(future: Runnable) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(future))).map_err(std::mem::forget);
}
