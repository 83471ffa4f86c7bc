//! One worker's side of a team: its deque, where it looks when that is empty, and how it goes to sleep. Belongs to its
//! thread.
//!
//! # What a worker keeps
//! Whoever moves work into its own deque tells a sleeper of what it will not start at once: what waits there can be
//! stolen, and may have been on its way, and seen by nobody, when others looked. A worker that has nothing else to do
//! *keeps* one, which it starts next; so a single greenlet wakes a single worker.
//!
//! This file is checked by loom: `tests/loom`.

use core::cell::{Cell, RefCell};
use std::sync::Arc;

use crossbeam_deque::Steal;

use super::runners::Runners;
use super::trust::TRUST;
use super::{Fresh, Place, Team};
use crate::scheduler::inbox::Shared;
use crate::sys::clock::Nanos;
use crate::sys::ticks;

/// How long another worker must have been in one run before a busy one relieves it of what it has not started, in
/// milliseconds.
const STUCK: u64 = 10;

pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) team: Arc<Team>,
    deque: crossbeam_deque::Worker<Fresh>,
    pub(in crate::scheduler) runners: Runners,
    /// The victim that the next search begins with.
    next: Cell<usize>,
    /// For each worker, how many turns it had begun, and since when (ticks) that has been so.
    seen: RefCell<Vec<(u64, u64)>>,
    /// When the others were last looked at, in ticks.
    looked: Cell<u64>,
    /// It counts as searching.
    searching: Cell<bool>,
    /// Whom the last search left what it has.
    trusted: Cell<Option<usize>>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

impl Worker {
    pub(super) fn new(
        index: usize,
        deque: crossbeam_deque::Worker<Fresh>,
        team: Arc<Team>,
    ) -> Worker {
        Worker {
            index,
            seen: RefCell::new(vec![(0, 0); team.workers()]),
            team,
            deque,
            runners: Runners::default(),
            next: Cell::new(index + 1),
            looked: Cell::new(0),
            searching: Cell::new(false),
            trusted: Cell::new(None),
        }
    }

    /// The others find the worker's hub from now on.
    pub(in crate::scheduler) fn arrive(&self, place: Place) {
        if let Some(member) = self.team.members.get(self.index) {
            let _ = member.hub.set(place);
        }
    }

    /// Appends what any worker may start.
    #[inline]
    pub(in crate::scheduler) fn push(&self, item: Fresh) {
        self.deque.push(item);
        self.team.announce_push(self.index, || self.deque.len());
    }

    /// Takes the oldest.
    #[inline]
    pub(in crate::scheduler) fn pop(&self) -> Option<Fresh> {
        self.deque.pop()
    }

    /// How many there are, for others to steal too.
    #[inline]
    pub(in crate::scheduler) fn len(&self) -> usize {
        self.deque.len()
    }

    /// Between turns: takes a share of what came from outside. `keeps` as for [`Worker::search`].
    #[inline]
    pub(in crate::scheduler) fn look_outside(&self, keeps: usize) {
        if self.take_injected() > 0 && self.len() > keeps {
            self.team.announce();
        }
    }

    /// Takes a share of what came from outside; the number.
    #[inline]
    fn take_injected(&self) -> usize {
        if self.team.injector.is_empty() {
            return 0;
        }
        self.take_injected_share()
    }

    #[cold]
    fn take_injected_share(&self) -> usize {
        let workers = self.team.workers();
        self.team
            .injector
            .take_share(workers, |item| self.deque.push(item))
    }

    /// At the end, when nothing comes from outside any more: takes what is there.
    pub(in crate::scheduler) fn leave(&self) {
        while self.take_injected_share() > 0 {}
    }

    /// The deque is empty: looks everywhere once, if not enough others do, and moves what it finds to the own deque.
    /// If that is nothing, the worker counts as searching until it [rests](Worker::rest); so it does if there is no more than what is
    /// better [left where it is](super::trust).
    ///
    /// `keeps` is how many of what it finds the worker starts next: 1, or 0 if it has greenlets that come before.
    pub(in crate::scheduler) fn search(&self, keeps: usize) -> Found {
        if !self.searching.get() {
            if !self.team.idle.start_search() {
                return Found::Nothing;
            }
            self.searching.set(true);
        }
        self.trusted.set(None);
        let injected = self.take_injected();
        let stolen = match injected {
            0 => self.steal(keeps > 0),
            _ => 0,
        };
        if injected + stolen == 0 {
            return Found::Nothing;
        }
        self.trusted.set(None);
        self.end_search(keeps);
        Found::Some { stolen }
    }

    /// Ends searching, if the worker did: if it was the last, and there is more, somebody is woken for that.
    fn end_search(&self, keeps: usize) {
        if self.searching.take()
            && self.team.idle.end_search()
            && self.team.has_fresh(self.index, keeps, None)
        {
            self.team.announce();
        }
    }

    /// Half of what the first has that has something. If `may_trust`, a single greenlet is left to whom it can be.
    fn steal(&self, may_trust: bool) -> usize {
        let members = &self.team.members;
        let first = self.next.get();
        for nth in 0..members.len() {
            let victim = (first + nth) % members.len();
            if victim != self.index && !members[victim].stealer.is_empty() {
                if may_trust && self.team.is_quick(victim) {
                    self.trusted.set(Some(victim));
                    continue;
                }
                let stolen = self.steal_from(victim);
                if stolen > 0 {
                    self.next.set(victim);
                    return stolen;
                }
            }
        }
        0
    }

    fn steal_from(&self, victim: usize) -> usize {
        let Some(member) = self.team.members.get(victim) else {
            return 0;
        };
        let before = self.deque.len();
        // Somebody who got in the way has taken something: so this ends.
        while let Steal::Retry = member.stealer.steal_batch(&self.deque) {}
        self.deque.len().saturating_sub(before)
    }

    /// A busy worker's look at the others, once in a millisecond: what has been waiting behind a long run is taken
    /// over. The number.
    pub(in crate::scheduler) fn relieve(&self, now: u64) -> usize {
        if now.wrapping_sub(self.looked.get()) < ticks::one_millisecond() {
            return 0;
        }
        self.looked.set(now);
        let mut taken = 0;
        for victim in 0..self.team.workers() {
            let Some(place) = self.team.place(victim) else {
                continue;
            };
            if victim == self.index {
                continue;
            }
            let turns = place.counters.turns.get();
            let stuck = {
                let mut seen = self.seen.borrow_mut();
                let seen = &mut seen[victim];
                if seen.0 != turns {
                    *seen = (turns, now);
                }
                now.wrapping_sub(seen.1) > STUCK * ticks::one_millisecond()
            };
            if stuck {
                taken += self.steal_from(victim);
            }
        }
        if taken > 0 {
            self.team.announce();
        }
        taken
    }

    /// There is nothing to do: sleeps, unless something has come.
    ///
    /// `sleep` blocks the thread until the bell rings or something else happens, for no longer than it is told. `come_back` takes in what
    /// has come for this hub alone, and says how many of what is found the worker keeps.
    pub(in crate::scheduler) fn rest(
        &self,
        shared: &Shared,
        sleep: impl Fn(Option<Nanos>),
        come_back: impl Fn() -> usize,
    ) -> Found {
        let mut found = Found::Nothing;
        loop {
            let trusted = self.trusted.take();
            // The bell before the list: whom a push picks, it can wake.
            if !shared.prepare_sleep() {
                come_back();
                break;
            }
            if let Some(worker) = trusted {
                self.team.trust(worker);
            }
            self.lie_down();
            // The list before the look: a push that this does not see, sees the worker in the list. What it does see is for
            // those who search, if anybody does: they look again when they end that.
            let too_late =
                self.team.has_fresh(self.index, 0, trusted) && !self.team.idle.somebody_searches();
            if !too_late {
                sleep(trusted.map(|_| TRUST));
            }
            shared.awake();
            let picked = self.get_up();
            if let Some(worker) = trusted {
                self.team.end_trust(worker);
            }
            let keeps = come_back();
            // Nobody else need know of what was there too late: it is this worker's to start, or to tell of.
            if picked || too_late || trusted.is_some() {
                found = self.search(keeps);
            }
            if self.trusted.get().is_none() {
                break;
            }
        }
        self.end_search(0);
        found
    }

    fn lie_down(&self) {
        self.team.idle.lie_down(self.index, self.searching.take());
        self.tell_quiet();
    }

    /// Has nothing to do: tells whoever waits for the team to drain.
    fn tell_quiet(&self) {
        if let Some(quiet) = self.team.quiet.get() {
            quiet();
        }
    }

    /// True if it was picked: then it counts as searching.
    fn get_up(&self) -> bool {
        self.searching.set(self.team.idle.get_up(self.index));
        self.searching.get()
    }
}

/// What a search has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::scheduler) enum Found {
    /// So many were taken from other workers; if none, from outside.
    Some {
        stolen: usize,
    },
    Nothing,
}
