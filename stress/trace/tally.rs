//! Who has a lock and what went through a queue, counted beside the library's own count.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::world::World;

/// Who has a lock now, and what went through a queue.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Holders of a mutex; writers.
    pub(crate) alone: AtomicUsize,
    pub(crate) readers: AtomicUsize,
    pub(crate) put: AtomicUsize,
    pub(crate) got: AtomicUsize,
    /// Permits that were added.
    pub(crate) added: AtomicUsize,
}

impl Tally {
    /// One more holder; false if that is one too many.
    pub(crate) fn enter(&self, alone: bool) -> bool {
        if alone {
            let others = self.alone.fetch_add(1, Ordering::AcqRel);
            return others == 0 && self.readers.load(Ordering::Acquire) == 0;
        }
        self.readers.fetch_add(1, Ordering::AcqRel);
        self.alone.load(Ordering::Acquire) == 0
    }

    pub(crate) fn leave(&self, alone: bool) {
        let holders = if alone { &self.alone } else { &self.readers };
        holders.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn is_held(&self) -> bool {
        self.alone.load(Ordering::Acquire) + self.readers.load(Ordering::Acquire) > 0
    }
}

/// A holder's place in the tally of a lock.
#[derive(Debug)]
pub(crate) struct Seat<'w> {
    tally: &'w Tally,
    alone: bool,
}

impl<'w> Seat<'w> {
    pub(crate) fn take(world: &'w World, tally: &'w Tally, alone: bool) -> Self {
        if !tally.enter(alone) {
            world.broken(|| "two have a lock that is one's alone".to_owned());
        }
        Seat { tally, alone }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.tally.leave(self.alone);
    }
}

pub(crate) fn tallies(count: usize) -> Vec<Tally> {
    (0..count).map(|_| Tally::default()).collect()
}
