//! Between turns: the inbox, timers and descriptors, and sleeping when there is nothing to run.
//!
//! Rejected: giving way before sleeping (`sched_yield`). Where client and server share their cores, a worker then finds a batch when it comes
//! back instead of being woken for each request: measured, 5 to 15 % less processor time a request on two workers. But beside
//! threads that compute, the server waited a slice each time, and answered a third fewer requests; and pausing after it had
//! taken long lost what it had won. It is to be chosen (`RuntimeBuilder::batch`, where the kernel does it). Rejected too: after several
//! short sleeps, a nap of 20 or 50 µs instead of waiting for the next event. Timers cost more than what is saved: a quarter to a third more
//! processor time a request. And giving way, each 100 µs, only to a worker of the same runtime that waits for this one's processor: no gain that
//! two pairs of runs agree on.

use super::Hub;
use crate::scheduler::deadlock::Deadlock;
use crate::scheduler::driver::Wait;
use crate::sys::{clock, ticks};

/// Entries of very short turns that pass without a look at the cycle counter, which costs as much as a
/// switch on some machines.
const SHORT_TURNS: usize = 16;
/// How long the hub waits when it cannot wait properly, for want of the kernel's memory: a millisecond.
const NAP: clock::Nanos = 1_000_000;

impl Hub {
    /// Inbox, timers and descriptors; blocks if there is nothing else to do and `may_block`.
    pub(super) fn between_turns(&self, may_block: bool) -> Result<(), Deadlock> {
        if crate::sys::fork::is_child() {
            // A greenlet forked, and came back here in the child.
            super::in_child_of_fork();
        }
        // Of those that came from outside some have run if the turn had more than one pass.
        let before = self.queued().saturating_sub(self.from_outside.take());
        if !self.shared.is_empty() {
            self.empty_inbox();
        }
        let mut fresh = 0;
        if let Some(worker) = self.worker() {
            self.look_outside(worker);
            fresh = worker.len();
        }
        if self.queued() + fresh == 0 {
            self.idle(may_block)?;
        } else {
            self.short_turns.set(0);
            self.poll_if_due();
        }
        let queued = self.queued();
        self.outside_in_order.set(queued >= 2 * before);
        self.between_looks.set(ticks::one_millisecond());
        self.turn_left.set(queued);
        Ok(())
    }

    /// The entries of the next turn, if it may begin without a look at the clock; otherwise 0.
    #[inline(always)]
    pub(super) fn next_short_turn(&self) -> usize {
        let queued = self.queued();
        let entries = self.short_turns.get() + queued;
        if entries > SHORT_TURNS || !self.shared.is_empty() {
            return 0;
        }
        self.short_turns.set(entries);
        queued
    }

    pub(super) fn empty_inbox(&self) {
        self.shared.take(|task| {
            self.counters.arrived.add(1);
            self.admit(task);
        });
    }

    /// The queue is empty: fires timers, or waits.
    fn idle(&self, may_block: bool) -> Result<(), Deadlock> {
        if let Some(alarms) = self.alarms.get() {
            alarms.fire_due();
        }
        self.drop_kept();
        if self.queued() > 0 {
            // Due timers come first, but descriptors are not starved by them.
            self.poll_if_due();
            return Ok(());
        }
        if !may_block {
            return Ok(());
        }
        if let Some(worker) = self.worker()
            && self.search(worker)
        {
            return Ok(());
        }
        let Some(wait) = self.next_wait() else {
            // Since the look at the inbox the last of the other threads may have woken somebody, and ended.
            return match self.shared.is_empty() {
                true => Err(self.deadlock()),
                false => Ok(()),
            };
        };
        // SAFETY: as in `push`.
        unsafe { (*self.queue.get()).shrink() };
        self.block(wait);
        Ok(())
    }

    /// How long there is nothing to do, unless something comes; `None` if nothing ever can.
    pub(super) fn next_wait(&self) -> Option<Wait> {
        let wait = match self.alarms.get().and_then(|alarms| alarms.next()) {
            Some(deadline) => Some(Wait::Until(deadline)),
            None => self.wait_without_timers(),
        };
        let wait = self.until_next_try(wait)?;
        Some(self.not_beyond_the_next_look(wait))
    }

    /// How long anything but a timer may take to make a greenlet of this hub runnable; `None` if
    /// nothing ever can.
    fn wait_without_timers(&self) -> Option<Wait> {
        if self.at_work.get() || self.poller.get().is_some_and(|poller| poller.has_waiters()) {
            return Some(Wait::Forever);
        }
        if self.externals.get() == 0 {
            return None;
        }
        // Another thread may do it, if there is one. Asking costs microseconds, and two threads that
        // play ping-pong would ask at every wait: an answer serves for a while, after which the wait is
        // interrupted once and asks again.
        let now = ticks::now();
        if now.wrapping_sub(self.other_threads_seen.get()) < 100 * ticks::one_millisecond() {
            return Some(Wait::Until(clock::now() + 100 * NAP));
        }
        crate::sys::thread::has_other_threads().then(|| {
            self.other_threads_seen.set(now);
            Wait::Forever
        })
    }

    /// Waits for a descriptor, the bell, or the deadline.
    pub(super) fn block(&self, wait: Wait) {
        if let Some(worker) = self.worker() {
            let sleep = |limit: Option<clock::Nanos>| {
                // It may sleep more than once, and timers come due.
                let wait = self.next_wait().unwrap_or(wait);
                self.sleep(limit.map_or(wait, |limit| wait.no_later(clock::now() + limit)));
            };
            let come_back = || {
                self.empty_inbox();
                self.keeps()
            };
            let found = worker.rest(self.shared, sleep, come_back);
            self.note_found(found);
            return;
        }
        if self.shared.prepare_sleep() {
            self.sleep(wait);
            self.shared.awake();
        }
        self.empty_inbox();
    }

    fn sleep(&self, wait: Wait) {
        let began = self.look_at_clock();
        let counters = &self.counters;
        counters.runnable.set(0);
        counters.asleep_since.set(began);
        if self.poller.get().is_some() {
            self.poll(wait);
        } else {
            self.shared.wait_for_bell(wait.deadline());
            // There are no descriptors, but what the wait may have been shortened for: a look at who waits for whom.
            self.poll(Wait::No);
        }
        let now = ticks::now();
        counters.asleep_since.set(0);
        counters.idle.add(now.wrapping_sub(began));
        counters.looked.set(now);
    }

    /// Reads the cycle counter, in the course of running greenlets.
    #[inline]
    pub(super) fn look_at_clock(&self) -> u64 {
        let now = ticks::now();
        let run = now.wrapping_sub(self.counters.looked.get());
        self.counters.looked.set(now);
        if run > self.counters.longest.get() {
            self.counters.longest.set(run);
        }
        now
    }

    /// Polls without blocking, if the last time was a while ago.
    fn poll_if_due(&self) {
        let now = self.look_at_clock();
        if now.wrapping_sub(self.last_poll.get()) >= ticks::some_microseconds() {
            self.counters.runnable.set(self.queued() as u64);
            self.relieve_others(now);
            self.drop_kept();
            self.poll(Wait::No);
        }
    }

    /// Fires due timers and polls descriptors.
    pub(super) fn poll(&self, wait: Wait) {
        self.poll_descriptors(wait);
        self.fire_timers();
    }

    pub(super) fn poll_descriptors(&self, wait: Wait) {
        if let Some(poller) = self.poller.get()
            && (wait != Wait::No || poller.has_waiters())
        {
            self.counters.polls.add(1);
            if let Err(error) = poller.poll(wait) {
                tracing::error!(target: "rustlet", %error, "polling descriptors failed");
                if wait != Wait::No {
                    crate::sys::thread::sleep_until(clock::now() + NAP);
                }
            }
        }
    }

    pub(super) fn fire_timers(&self) {
        if let Some(alarms) = self.alarms.get() {
            alarms.fire_due();
        }
        let now = ticks::now();
        self.last_poll.set(now);
        self.recently.set(now);
        if self.watch.is_due(now) {
            self.look();
        }
    }
}
