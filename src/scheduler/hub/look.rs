//! Looking at who waits for whom: the report of a deadlock, and cycles of waits.

use core::ptr;
use std::time::Duration;

use super::Hub;
use crate::scheduler::control::{Control, Parked};
use crate::scheduler::deadlock::Deadlock;
use crate::scheduler::driver::Wait;
use crate::scheduler::waits::{self, Cycle, Snapshot, Waiting, Who};
use crate::sys::{clock, ticks};

impl Hub {
    /// Visits all code of this hub that is parked.
    fn for_each_parked(&self, mut visit: impl FnMut(&Control)) {
        let mut visit = |control: &Control| {
            if control.parked.get() != Parked::NO {
                visit(control);
            }
        };
        visit(&self.main);
        self.list.for_each(visit);
    }

    fn waiting(control: &Control) -> Waiting {
        // SAFETY: the code is parked on this thread; its reason lies on its stack, in the frame that
        // waits.
        let (what, (target, certain)) = unsafe {
            let reason = &*control.reason.get();
            (reason.to_string(), reason.waits_for())
        };
        Waiting {
            key: ptr::from_ref(control).addr() as u64,
            who: Who::new(&control.task),
            what,
            target,
            certain,
            since: control.since.get(),
            number: control.waits.get(),
            seen: ticks::now(),
        }
    }

    /// The waits of this hub whose end depends on somebody known.
    fn snapshot(&self) -> Snapshot {
        let mut waits = Vec::new();
        self.for_each_parked(|control| {
            let waiting = Hub::waiting(control);
            if waiting.target.is_some() {
                waits.push(waiting);
            }
        });
        Snapshot {
            taken: ticks::now(),
            waits,
        }
    }

    /// Looks for cycles, and reports new ones.
    #[cold]
    #[inline(never)]
    pub(super) fn look(&self) {
        let began = ticks::now();
        let snapshot = self.snapshot();
        let leads_elsewhere = snapshot.leads_elsewhere();
        if snapshot.waits.is_empty() {
            self.withdraw();
        } else {
            self.watch.replace_published(true);
            for cycle in waits::publish_and_find_new(self.shared.hub_id(), snapshot) {
                waits::report(&cycle);
            }
        }
        self.watch.looked(began, ticks::now(), leads_elsewhere);
    }

    /// Nothing of this hub waits for anybody known any more, or it ends.
    pub(super) fn withdraw(&self) {
        if self.watch.replace_published(false) {
            waits::withdraw(self.shared.hub_id());
        }
    }

    /// `wait`, shortened if there is to be a look before its end.
    pub(super) fn not_beyond_the_next_look(&self, wait: Wait) -> Wait {
        let Some(until_look) = self.watch.next(ticks::now()) else {
            return wait;
        };
        // A little later, so that it is due then.
        let look = clock::after(until_look + Duration::from_millis(1));
        wait.no_later(look)
    }

    /// The report for the thread's own code, which nothing can wake.
    pub(super) fn deadlock(&self) -> Deadlock {
        let mut report = Deadlock::new(Hub::waiting(&self.main));
        self.list.for_each(|control| {
            if control.parked.get() != Parked::NO {
                report.add(|| Hub::waiting(control));
            }
        });
        report
    }
}

/// All cycles of waits in this process that are known now: those among the greenlets of the calling thread, and
/// those with greenlets of other threads as far as these have published their waits, which they do about a
/// second after the waits began.
///
/// Walks all waiting greenlets of the thread. See [`Cycle`].
pub fn cycles() -> Vec<Cycle> {
    match super::existing() {
        Some(hub) => {
            hub.watch.replace_published(true);
            waits::publish(hub.shared.hub_id(), hub.snapshot())
        }
        None => waits::published(),
    }
}
