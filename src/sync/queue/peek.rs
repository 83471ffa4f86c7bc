//! Looking at the next item without taking it.
//!
//! A look is a `clone`, which is user code: it runs without the lock, while the exchange is `busy` and the item
//! stays where it is.
#![allow(unsafe_code)] // Borrows a stored item, and links waiters.

use std::time::Duration;

use super::exchange::{Exchange, Nothing, Order, begin, wait_a_moment};
use super::slot::DONE;
use super::state::{State, Step, Store};
use crate::sync::waiter::{Waiter, deadline_in};
use crate::sys::short_lock::ShortGuard;
use crate::timer::Deadline;

impl<T: Clone, O: Order<T>> Exchange<T, O> {
    /// A copy of the next item; waits for one until `deadline`. Panics as [`Exchange::get`].
    pub(in crate::sync) fn peek(&self, deadline: Option<&Deadline>) -> Result<T, Nothing> {
        begin(true);
        loop {
            let waiter = Waiter::new();
            match O::peek(self, Some(&waiter)) {
                Ok(copy) => return Ok(copy),
                Err(Step::Queued) => {}
                Err(_) => return Err(Nothing::Closed),
            }
            let reason = self.reason_to_get();
            let withdraw = || self.lock().peekers.remove(&waiter);
            match waiter.wait(&reason, deadline, withdraw) {
                Ok(DONE) => {}
                Ok(_) => return Err(Nothing::Closed),
                Err(error) => {
                    error.timed_out_or_panic(self.words.getting);
                    return Err(Nothing::Empty);
                }
            }
        }
    }

    /// A copy of the next item, if there is one. Yields as [`Exchange::get_now`].
    pub(in crate::sync) fn peek_now(&self) -> Result<T, Nothing> {
        loop {
            match O::peek(self, None) {
                Ok(copy) => return Ok(copy),
                Err(Step::Busy) if wait_a_moment() => {}
                Err(Step::Closed) => return Err(Nothing::Closed),
                Err(_) => return Err(Nothing::Empty),
            }
        }
    }

    /// As [`Exchange::peek`], waiting no longer than `limit`.
    pub(in crate::sync) fn peek_timeout(&self, limit: Duration) -> Result<T, Nothing> {
        match self.peek_now() {
            Err(Nothing::Empty) => self.peek(Some(&deadline_in(limit))),
            done => done,
        }
    }
}

/// There is nothing to see: links `waiter`, or says why not.
pub(super) fn queue<T, O>(mut state: ShortGuard<'_, State<T, O>>, waiter: Option<&Waiter>) -> Step {
    match waiter {
        _ if state.closed && !state.busy => Step::Closed,
        None if state.busy => Step::Busy,
        None => Step::NotNow,
        Some(waiter) => {
            // SAFETY: it is new; `peek` waits next, and removes it if the wait ends otherwise.
            unsafe { state.peekers.push(waiter) };
            Step::Queued
        }
    }
}

/// [`Order::peek`] where items are taken in the order of the store.
pub(super) fn stored<T: Clone, S: Order<T> + Store<T>>(
    exchange: &Exchange<T, S>,
    waiter: Option<&Waiter>,
) -> Result<T, Step> {
    /// Whoever is busy.
    struct Looking<'a, T, S: Store<T>>(&'a Exchange<T, S>);
    impl<T, S: Store<T>> Drop for Looking<'_, T, S> {
        fn drop(&mut self) {
            let mut state = self.0.lock();
            state.settle();
            let dropped = state.end();
            drop(state);
            drop(dropped);
        }
    }

    let mut state = exchange.lock();
    match state.store.front() {
        Some(place) if !state.busy => {
            state.busy = true;
            drop(state);
            let _looking = Looking(exchange);
            // SAFETY: it was the next item, and stays where it is until it is popped; nobody does
            // while it is busy.
            Ok(unsafe { place.as_ref() }.clone())
        }
        _ => Err(queue(state, waiter)),
    }
}
