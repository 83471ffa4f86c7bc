//! Leaving a single greenlet to whoever pushed it, if that one is quick.
//!
//! Code that spawns a greenlet and joins it, again and again, has one fresh greenlet at a time, which its worker starts within a fraction of
//! a microsecond. A push wakes a sleeper all the same, since the worker might compute instead; and a thief that gets the greenlet makes
//! whoever joins it wait for ten microseconds. So a worker that has nothing to do, and finds no more than one greenlet
//! somewhere, looks for about a microsecond how its owner fares. If that turns meanwhile it is
//! *trusted*: the other takes nothing and lies down, for a millisecond at most; and so long the trusted one tells nobody
//! of a push that leaves it with one.
//!
//! # Why that is safe
//! The flag is set before the sleeper lies down and looks at the queues, where more than one greenlet of the trusted worker counts as something. It is
//! cleared when the sleeper gets up, and after a sequentially consistent fence *it searches*, whatever it was that woke it.
//! The push has such a fence before it reads the flag: either it sees it cleared, and tells a sleeper, or that search sees the push. So what
//! was not told of waits for a turn of the trusted worker, or for a millisecond.
//!
//! If two sleepers trust the same worker, the first that gets up clears the flag for both: pushes are told of, as without trust. It is never
//! left set, since whoever sets it clears it.
//!
//! This file is checked by loom: `tests/loom`. Rejected: having the worker that pushes say when it did (what a thief sees when it runs out of work was not
//! pushed for it); trusting whoever has but one (what is spawned by code that computes would wait).

use super::Team;
use crate::sys::clock::Nanos;
use crate::sys::ticks;
use crate::util::primitive::{AtomicBool, Ordering, fence, hint};

/// How long a sleeper trusts: as often as a busy worker looks after the others.
pub(super) const TRUST: Nanos = 1_000_000;
/// Who begins as many turns during a look is quick: two greenlets, spawned and joined.
const TURNS: u64 = 4;

/// Part of what others know of a worker.
#[derive(Debug)]
pub(super) struct Trust(AtomicBool);

impl Trust {
    pub(super) fn new() -> Trust {
        Trust(AtomicBool::new(false))
    }

    /// Asked after a push and a sequentially consistent fence.
    #[inline]
    pub(super) fn is_trusted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Team {
    /// Whether `worker` has a single greenlet at most, and turns quickly. Takes a microsecond or so.
    pub(super) fn is_quick(&self, worker: usize) -> bool {
        let (Some(member), Some(place)) = (self.members.get(worker), self.place(worker)) else {
            return false;
        };
        if member.stealer.len() > 1 {
            return false;
        }
        let enough = place.counters.turns.get() + TURNS;
        let began = ticks::now();
        while place.counters.turns.get() < enough {
            if ticks::now().wrapping_sub(began) > ticks::some_microseconds() / 16 {
                return false;
            }
            hint::spin_loop();
        }
        true
    }

    /// Trusts `worker`; before lying down.
    pub(super) fn trust(&self, worker: usize) {
        if let Some(member) = self.members.get(worker) {
            member.trust.0.store(true, Ordering::Relaxed);
        }
    }

    /// Trusts it no more; to be followed by a search.
    pub(super) fn end_trust(&self, worker: usize) {
        if let Some(member) = self.members.get(worker) {
            member.trust.0.store(false, Ordering::Relaxed);
            // Pairs with the one in `pick`. A search has such a fence wherever it looks; this is for one that leaves the
            // looking to those who search already, and has to see that they do.
            fence(Ordering::SeqCst);
        }
    }
}
