//! Choosing one of several arms.
//!
//! ```text
//!   try all, in random order ──► one was ready: done
//!   link a waiter at each ──► one has become ready: close the choice, unlink all, begin again
//!   wait ──► another claims the choice for one of the waiters, under the lock of that thing: done
//!            or a thing that only wakes is found ready: close the choice: done
//!   unlink all
//! ```
//! All waiters are of one [`Choice`], which can be claimed or closed once. Whoever serves a
//! waiter claims it first. A select claims nothing while it has a choice that is open itself, so no two can wait for
//! each other.
//!
//! # Rejected
//! A select that is told that something is ready and then tries: an item that is sent meanwhile can be taken by others, again and
//! again, and a rendezvous of two selects has no one who tries second. Starting at a random arm and taking the next that is
//! ready, instead of a random order: an arm behind two that are seldom ready is chosen three times as often.

use core::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use crate::scheduler::hub;
use crate::scheduler::park::WaitReason;
use crate::scheduler::sleeper::Sleeper;
use crate::scheduler::waitable::Signal;
use crate::sync::queue::exchange::{Side, begin};
use crate::sync::waiter::{Choice, Waiter, deadline_in, wait_until};
use crate::sys::clock;

/// One of the things to choose from.
#[expect(private_bounds, reason = "sealed")]
pub trait Arm: Choose {}

impl<A: Choose + ?Sized> Arm for A {}

/// What an arm does.
pub(super) trait Choose {
    /// Does it now, if it can be done.
    fn try_now(&mut self) -> bool;

    /// Links a waiter, which stays where it is until [`Choose::unlink`]; false, and nothing done, if it is worth
    /// trying now.
    fn link(&mut self, place: &Place<'_>) -> bool;

    /// Unlinks the waiter, if it was linked. If it was granted, that has happened when this returns.
    fn unlink(&mut self);

    /// It was chosen: by itself in [`Choose::try_now`] or [`Choose::is_ready_after_all`], or by another that
    /// granted its waiter.
    fn chosen(&mut self);

    /// Where it waits in an exchange: there a select must not mistake itself for another.
    fn side(&self) -> Option<(*const (), Side)> {
        None
    }

    /// Whether its thing does not grant waiters, but only tells that it may have become ready.
    fn is_told(&self) -> bool {
        false
    }

    /// It was told: whether it is ready. If it is not, it will be told again.
    fn is_ready_after_all(&mut self, _place: &Place<'_>) -> bool {
        false
    }

    /// Whether another thread may make it ready.
    fn is_external(&self) -> bool {
        true
    }
}

/// With what an arm waits.
pub(super) struct Place<'a> {
    choice: &'a Choice,
    sleeper: Sleeper,
    index: usize,
    /// How many of those who wait at the other side of its exchange are arms of the same select.
    pub(super) own: usize,
    signal: Option<&'a Arc<Signal>>,
}

impl Place<'_> {
    pub(super) fn waiter(&self) -> Waiter {
        Waiter::one_of(self.choice, self.index, self.sleeper)
    }

    /// Whom to tell, and of what: for arms that [are told](Choose::is_told).
    pub(super) fn signal(&self) -> (&Arc<Signal>, usize) {
        let signal = self.signal.expect("there is one if an arm is told");
        (signal, self.index)
    }
}

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// As long as it takes.
    Never,
    /// So long.
    After(Duration),
    /// Not at all.
    Now,
}

/// Chooses one of `arms`, and does it; `None` if none could be done in time.
///
/// # Panics
/// If it would have to wait and cannot.
pub fn choose(arms: &mut [&mut dyn Arm], limit: Limit) -> Option<usize> {
    begin(true);
    let mut room = [0; 8];
    let mut more = Vec::new();
    let order = match room.get_mut(..arms.len()) {
        Some(order) => order,
        None => {
            more.resize(arms.len(), 0);
            &mut *more
        }
    };
    shuffle(order);
    let deadline;
    let deadline = match limit {
        _ if let Some(index) = try_all(arms, order) => return Some(index),
        Limit::Now => return None,
        Limit::Never => None,
        Limit::After(limit) => {
            deadline = deadline_in(limit);
            Some(&deadline)
        }
    };
    let signal = arms.iter().any(|arm| arm.is_told()).then(Arc::default);
    loop {
        let choice = Choice::default();
        let mut linked = Linked {
            arms,
            count: 0,
            choice: &choice,
            sleeper: Sleeper::current(),
            signal: signal.as_ref(),
        };
        let found = if !linked.link_all() {
            choice.close_or_chosen()
        } else if let Some(index) = linked.found() {
            Some(index)
        } else {
            let reason = linked.reason();
            match wait_until(
                &reason,
                deadline,
                || linked.found(),
                || choice.close_or_chosen(),
            ) {
                Ok(index) => Some(index),
                Err(error) => {
                    error.timed_out_or_panic("selecting");
                    return None;
                }
            }
        };
        drop(linked); // what was granted has happened
        let found = match found {
            None => try_all(arms, order),
            Some(index) => {
                arms[index].chosen();
                Some(index)
            }
        };
        if found.is_some() {
            return found;
        }
    }
}

/// The first that can be done now, and is.
fn try_all(arms: &mut [&mut dyn Arm], order: &[usize]) -> Option<usize> {
    let index = order.iter().copied().find(|&index| arms[index].try_now())?;
    arms[index].chosen();
    Some(index)
}

impl Choice {
    /// Closes it; if that is too late, what was chosen.
    fn close_or_chosen(&self) -> Option<usize> {
        if self.close() { None } else { self.chosen() }
    }
}

/// Arms of which the first `count` are linked. Unlinks them when it is dropped.
struct Linked<'a, 'b> {
    arms: &'a mut [&'b mut dyn Arm],
    count: usize,
    choice: &'a Choice,
    sleeper: Sleeper,
    signal: Option<&'a Arc<Signal>>,
}

impl Linked<'_, '_> {
    /// False if one of them is worth trying.
    fn link_all(&mut self) -> bool {
        while self.count < self.arms.len() {
            let place = self.place(self.count);
            if !self.arms[self.count].link(&place) {
                return false;
            }
            self.count += 1;
        }
        true
    }

    fn place<'p>(&self, index: usize) -> Place<'p>
    where
        Self: 'p,
    {
        let own = self.arms[index].side().map_or(0, |(exchange, side)| {
            let opposite = Some((exchange, side.opposite()));
            let linked = self.arms[..index].iter();
            linked.filter(|arm| arm.side() == opposite).count()
        });
        Place {
            choice: self.choice,
            sleeper: self.sleeper,
            index,
            own,
            signal: self.signal,
        }
    }

    /// What was chosen, if anything was; chooses the first of those told that is ready.
    fn found(&mut self) -> Option<usize> {
        let chosen = self.choice.chosen();
        if chosen.is_some() {
            return chosen;
        }
        let signal = self.signal?;
        let task = hub::current_control().task.clone();
        while let Some(index) = signal.next(Some(&task)) {
            let place = self.place(index);
            if self.arms[index].is_ready_after_all(&place) {
                return if self.choice.close() {
                    Some(index)
                } else {
                    self.choice.chosen()
                };
            }
        }
        None
    }

    fn reason(&self) -> WaitReason {
        const WHAT: &str = "one of several things";
        if self.arms.iter().any(|arm| arm.is_external()) {
            WaitReason::external(WHAT)
        } else {
            WaitReason::local(WHAT)
        }
    }
}

impl Drop for Linked<'_, '_> {
    fn drop(&mut self) {
        for arm in &mut self.arms[..self.count] {
            arm.unlink();
        }
        if let Some(signal) = self.signal {
            signal.leave();
        }
    }
}

/// Numbers from 0 on, in random order.
fn shuffle(order: &mut [usize]) {
    for index in 0..order.len() {
        let other = random() as usize % (index + 1);
        order[index] = order[other];
        order[other] = index;
    }
}

thread_local! {
    /// Of [`random`]; 0 before its first use.
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// The next number of this thread's sequence; fairness needs no better.
#[inline(never)]
fn random() -> u64 {
    let state = match STATE.get() {
        0 => clock::now() | 1,
        state => state,
    };
    let (state, number) = step(state);
    STATE.set(state);
    number
}

/// Marsaglia's xorshift64*: the state after `state`, and its number.
fn step(mut state: u64) -> (u64, u64) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    (state, state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32)
}

#[cfg(test)]
mod tests {
    use super::{STATE, random, step};
    use crate::coroutine::wander::sees_the_present_thread;

    #[inline(never)]
    fn state() -> u64 {
        STATE.get()
    }

    #[test]
    fn random_numbers_are_those_of_the_present_thread() {
        let starts_its_own = |thread| {
            STATE.set(thread as u64 + 1);
            1
        };
        let goes_on_with_it = || {
            let (_, expected) = step(state());
            usize::from(random() == expected)
        };
        sees_the_present_thread(starts_its_own, goes_on_with_it);
    }
}
