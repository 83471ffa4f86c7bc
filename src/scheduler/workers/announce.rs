//! Telling sleepers of work: after each push, and by whoever has looked for work and found some.
//!
//! The order of the steps is the protocol; [`super::idle`] has the states, `src/scheduler/README.md` the argument, and loom
//! (`tests/loom`) checks this file.

use super::Team;
use super::fresh::Fresh;
use crate::util::primitive::{Ordering, fence};

impl Team {
    /// For a thread that is none of the workers: hands `item` to one of them.
    ///
    /// # Errors
    /// With the item, if the runtime drains or ends.
    pub(in crate::scheduler) fn inject(&self, item: Fresh, greenlets: u64) -> Result<(), Fresh> {
        self.injector.push(item, greenlets)?;
        self.announce();
        Ok(())
    }

    /// As [`Team::inject`], for a future that was woken.
    ///
    /// # Errors
    /// With the item, if the runtime ends.
    pub(super) fn inject_known(&self, item: Fresh) -> Result<(), Fresh> {
        self.injector.push_known(item)?;
        self.announce();
        Ok(())
    }

    /// Something was pushed: wakes a worker for it, if one sleeps and none searches.
    #[inline]
    pub(in crate::scheduler) fn announce(&self) {
        if let Some(worker) = self.idle.pick(|| false) {
            self.wake(worker);
        }
    }

    /// [`Team::announce`] of what worker `index` has just pushed to its own deque, which has so many now.
    #[inline]
    pub(super) fn announce_push(&self, index: usize, len: impl FnOnce() -> usize) {
        let is_left_to_it = || {
            let member = self.members.get(index);
            member.is_some_and(|member| member.trust.is_trusted()) && len() <= 1
        };
        if let Some(worker) = self.idle.pick(is_left_to_it) {
            self.wake(worker);
        }
    }

    #[cold]
    fn wake(&self, worker: usize) {
        // Its bell was armed before it lay down. If it is awake already, it finds that it was picked.
        if let Some(place) = self.place(worker) {
            place.shared.ring_if_asleep();
        }
    }

    /// Whether there is something to be started that worker `index` will not start next: it keeps `kept` of its own, and trusts
    /// `trusted` with one. Sees every push that came before a sequentially consistent fence or read-modify-write of the caller's.
    pub(super) fn has_fresh(&self, index: usize, kept: usize, trusted: Option<usize>) -> bool {
        fence(Ordering::SeqCst); // pairs with the one in `pick`
        !self.injector.is_empty()
            || self.members.iter().enumerate().any(|(nth, member)| {
                if nth == index {
                    member.stealer.len() > kept
                } else if trusted == Some(nth) {
                    member.stealer.len() > 1
                } else {
                    !member.stealer.is_empty()
                }
            })
    }
}
