//! Who sleeps and who searches: which worker a new greenlet wakes, and why none is forgotten.
//!
//! ```text
//!            ┌───────── found / nothing found, as `end_search` ──────────┐
//!   running ─┤ queue empty                                               ▼
//!            └──► start_search ──► searching ──lie_down──► asleep ──pick──► searching
//!                                                             └──get_up──► running   (a descriptor, a timer, its inbox)
//! ```
//! # Protocol
//! - Who pushes a greenlet that any worker may start calls [`Idle::pick`] after the push. It names a sleeper to wake, if
//!   there is one and *nobody searches*; the sleeper counts as searching from then on.
//! - A worker whose queues are empty searches (at most half of the workers at a time), then lies down, and *then looks at all queues once
//!   more*; if there is something, and nobody searches, it gets up again and searches.
//! - A searcher that finds something and was the last one looks whether there is more than it starts next, and if so picks another:
//!   a burst wakes one worker after the other, as long as there is work for it.
//!
//! What a push need not tell, [`super::trust`] says. The steps are in [`super::worker`] and [`super::announce`]; `src/scheduler/README.md` has the argument at length.
//!
//! # Why nothing is forgotten
//! Let a greenlet be pushed while a worker sleeps. `pick` has a sequentially consistent fence between the push and its look at
//! `state`; all changes of `state` are sequentially consistent read-modify-writes, and a worker looks at the queues after its own.
//! So for each change of `state` to "asleep" or "does not search", either the look that follows it sees the push, or `pick` sees
//! the change. If `pick` sees nobody searching and somebody asleep, it wakes one. If it sees a searcher, that one has yet to change
//! `state`, and will see the push afterwards: by itself if it found nothing, and by looking whether there is more if it found
//! something else. If it sees nobody asleep, all run, and look at the queues before they sleep.
//!
//! There is no tick, and nobody spins: a search is one round of looking at each queue.
//!
//! # Cost
//! A push that wakes nobody pays for the fence and one load. The list of sleepers and its lock are touched by
//! those that go to sleep or get up, and by a `pick` that wakes.
//!
//! This file is checked by loom: `tests/loom`. Rejected: waking at each push (a system call for each greenlet of a
//! burst), and a count of sleepers alone (a woken worker that has not yet begun to look would be woken again).

use crate::sys::short_lock::ShortLock;
use crate::util::primitive::{AtomicUsize, Ordering, fence};

/// One sleeper in `state`; below it, the searchers.
const SLEEPER: usize = 1 << 16;

/// The workers of a runtime that sleep or search.
#[derive(Debug)]
pub(super) struct Idle {
    /// Sleepers that may be picked, and searchers: `sleepers * SLEEPER + searchers`.
    state: AtomicUsize,
    /// The sleepers, in the order in which they lay down. Changed together with `state`.
    sleepers: ShortLock<Vec<usize>>,
    workers: usize,
}

fn searchers(state: usize) -> usize {
    state % SLEEPER
}

impl Idle {
    /// # Panics
    /// If there are more workers than can be counted, 65,535.
    pub(super) fn new(workers: usize) -> Self {
        assert!(workers < SLEEPER, "at most 65,535 workers");
        Idle {
            state: AtomicUsize::new(0),
            sleepers: ShortLock::new(Vec::with_capacity(workers)),
            workers,
        }
    }

    /// After something was pushed: the worker to wake for it, unless nobody need know. It counts as searching.
    #[inline]
    pub(super) fn pick(&self, nobody_need_know: impl FnOnce() -> bool) -> Option<usize> {
        // Between the push and the look at `state`; see above.
        fence(Ordering::SeqCst);
        if nobody_need_know() {
            return None;
        }
        let state = self.state.load(Ordering::Relaxed);
        if searchers(state) > 0 || state < SLEEPER {
            return None;
        }
        self.pick_sleeper()
    }

    #[cold]
    #[inline(never)]
    fn pick_sleeper(&self) -> Option<usize> {
        let mut sleepers = self.sleepers.lock();
        if searchers(self.state.load(Ordering::SeqCst)) > 0 {
            return None; // another push was quicker
        }
        // The one that lay down last: its caches are the warmest.
        let worker = sleepers.pop()?;
        self.state.fetch_sub(SLEEPER - 1, Ordering::SeqCst);
        Some(worker)
    }

    /// Whether the caller, which does not search, may begin to; otherwise enough others do.
    pub(super) fn start_search(&self) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        if searchers(state) * 2 >= self.workers {
            return false;
        }
        self.state.fetch_add(1, Ordering::SeqCst);
        true
    }

    /// For one that has just changed `state`, and looked at all queues: whether others search, who will see what it has seen.
    pub(super) fn somebody_searches(&self) -> bool {
        searchers(self.state.load(Ordering::Relaxed)) > 0
    }

    /// The caller has found something. True if it was the last searcher: then it is to look whether there is more, and to
    /// [`Idle::pick`] somebody for it.
    #[must_use]
    pub(super) fn end_search(&self) -> bool {
        searchers(self.state.fetch_sub(1, Ordering::SeqCst)) == 1
    }

    /// The caller is about to sleep: whoever picks it finds its bell armed. It has to look at all queues afterwards.
    pub(super) fn lie_down(&self, worker: usize, searched: bool) {
        let mut sleepers = self.sleepers.lock();
        sleepers.push(worker);
        self.state
            .fetch_add(SLEEPER - usize::from(searched), Ordering::SeqCst);
    }

    /// The caller is awake. True if it was picked: then it counts as searching.
    #[must_use]
    pub(super) fn get_up(&self, worker: usize) -> bool {
        let mut sleepers = self.sleepers.lock();
        let Some(place) = sleepers.iter().position(|&sleeper| sleeper == worker) else {
            return true;
        };
        sleepers.remove(place);
        self.state.fetch_sub(SLEEPER, Ordering::SeqCst);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_the_last_to_lie_down_first() {
        let idle = Idle::new(3);
        assert_eq!(idle.pick(|| false), None); // nobody sleeps
        for worker in [0, 2, 1] {
            idle.lie_down(worker, false);
        }
        assert_eq!(idle.pick(|| false), Some(1));
        assert_eq!(idle.pick(|| false), None); // 1 searches
        assert!(idle.get_up(1));
        assert!(idle.end_search());
        assert_eq!(idle.pick(|| false), Some(2));
        assert!(!idle.get_up(0)); // by itself
        assert!(idle.get_up(2));
        idle.lie_down(2, true);
        assert_eq!(idle.pick(|| false), Some(2));
    }

    #[test]
    fn half_of_them_search() {
        let idle = Idle::new(4);
        assert!(idle.start_search() && idle.start_search());
        assert!(!idle.start_search());
        assert!(!idle.end_search());
        assert!(idle.start_search());
        idle.lie_down(0, true);
        assert!(idle.end_search());
        assert_eq!(idle.pick(|| false), Some(0));
    }
}
