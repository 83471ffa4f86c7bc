//! Waiting for one of many things: what [`crate::iwait`] asks of a greenlet, an event, a semaphore.
//!
//! ```text
//!   iwait:      thing[i].register(signal, i) ──► a registration with the thing, or: it is ready now
//!   the thing:  becomes ready ──► signal.notify(i): i is queued, and whoever waits is unparked
//!   iwait:      takes i; if thing[i] is ready, yields it, else registers again
//! ```
//! The number spares `iwait` a look at every thing each time that it wakes: a hundred thousand greenlets that end one by
//! one would otherwise be ten thousand million looks.
//!
//! # What a thing promises
//! - A registration notifies once, after the thing became ready; it may do so without need. Then it
//!   is gone.
//! - `register` and becoming ready exclude each other: either `register` says that the thing is ready, or
//!   its registration will notify.
//! - `notify` is called without holding a lock that `register` or `unregister` take.
//!
//! The trait is sealed: things outside of this crate cannot keep these promises.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::greenlet::Greenlet;
use super::handle::Handle;
use super::hub;
use super::joiners::{Ticket, Waiter};
use super::park;
use super::task::TaskRef;

/// Where things report that they have become ready. Shared by one waiter and its registrations.
#[derive(Debug, Default)]
pub struct Signal {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Numbers of things that have reported, in that order.
    ready: VecDeque<usize>,
    /// Who waits for the next, if anybody does.
    waiter: Option<TaskRef>,
}

impl Signal {
    /// Reports that thing `index` has become ready. Any thread.
    pub(crate) fn notify(&self, index: usize) {
        let waiter = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.ready.push_back(index);
            state.waiter.take()
        };
        if let Some(waiter) = waiter {
            park::unpark(&waiter);
        }
    }

    /// The next that has reported; if there is none, `waiter` is unparked when there is.
    pub(crate) fn next(&self, waiter: Option<&TaskRef>) -> Option<usize> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let next = state.ready.pop_front();
        if next.is_none() {
            state.waiter = waiter.cloned();
        }
        next
    }

    /// Nobody waits any more.
    pub(crate) fn leave(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiter = None;
    }
}

/// See the head of this file.
pub trait Readiness {
    /// Whether a wait for this would return at once.
    fn is_ready(&self) -> bool;
    /// Has `signal` notified of `index` once this is ready; `None` if it is ready now. The number
    /// returned takes the registration back.
    fn register(&self, signal: &Arc<Signal>, index: usize) -> Option<u64>;
    /// Takes a registration back, if it is still there.
    fn unregister(&self, registration: u64);
    /// Whether a thread other than this one may make it ready: then a wait for it is no deadlock.
    fn is_external(&self) -> bool {
        true
    }
}

/// On which threads an iterator has waited that can be passed on to others: what is this thread's own elsewhere is another's here.
#[derive(Debug, Default)]
pub(crate) struct Travels {
    first: Option<u64>,
    are_several: bool,
}

impl Travels {
    /// Notes that the running code waits now. Whether there was another thread before: then what was said to be of the thread may be of that one.
    pub(crate) fn go_on_here(&mut self) -> bool {
        let here = hub::get().shared.hub_id();
        self.are_several |= *self.first.get_or_insert(here) != here;
        self.are_several
    }
}

impl Readiness for Handle {
    fn is_ready(&self) -> bool {
        self.is_finished()
    }

    fn register(&self, signal: &Arc<Signal>, index: usize) -> Option<u64> {
        let waiter = Waiter::OneOfMany(Box::new((signal.clone(), index)));
        self.task().add_waiter(waiter).map(|ticket| ticket.0)
    }

    fn unregister(&self, registration: u64) {
        self.task().remove_waiter(Ticket(registration));
    }

    fn is_external(&self) -> bool {
        !self.task().is_of_this_thread()
    }
}

impl<T> Readiness for Greenlet<T> {
    fn is_ready(&self) -> bool {
        self.as_handle().is_ready()
    }

    fn register(&self, signal: &Arc<Signal>, index: usize) -> Option<u64> {
        self.as_handle().register(signal, index)
    }

    fn unregister(&self, registration: u64) {
        self.as_handle().unregister(registration);
    }

    fn is_external(&self) -> bool {
        self.as_handle().is_external()
    }
}

impl<W: Readiness + ?Sized> Readiness for &W {
    fn is_ready(&self) -> bool {
        (**self).is_ready()
    }

    fn register(&self, signal: &Arc<Signal>, index: usize) -> Option<u64> {
        (**self).register(signal, index)
    }

    fn unregister(&self, registration: u64) {
        (**self).unregister(registration);
    }

    fn is_external(&self) -> bool {
        (**self).is_external()
    }
}

/// What [`crate::iwait`] and [`crate::wait`] can wait for, by value or reference: greenlets and their [`Handle`]s,
/// [`Event`](crate::sync::Event), [`AsyncResult`](crate::sync::AsyncResult), [`Semaphore`](crate::sync::Semaphore),
/// [`BoundedSemaphore`](crate::sync::BoundedSemaphore) and [`WaitGroup`](crate::sync::WaitGroup).
///
/// Different things are waited for together as `&dyn Waitable`. The trait is sealed.
pub trait Waitable: Readiness {}

impl Waitable for Handle {}
impl<T> Waitable for Greenlet<T> {}
impl<W: Waitable + ?Sized> Waitable for &W {}
