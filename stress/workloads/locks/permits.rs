//! What can be left at any moment and is no lock: semaphores, a barrier with a limit, values that are made once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use fastrand::Rng;
use rustlet::sync::{Barrier, BoundedSemaphore, OnceLock, Semaphore};

use super::arena::{Actor, Arena};
use crate::workload::{Failure, ensure};

/// How many are inside of something.
#[derive(Default)]
struct Inside(AtomicU64);

impl Inside {
    /// Stays; there must be no more than `most`.
    fn stay(&self, most: usize, actor: &mut Actor<'_>, what: &str) {
        struct Leave<'a>(&'a AtomicU64);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Relaxed);
            }
        }
        let now = self.0.fetch_add(1, Relaxed) + 1;
        let _leave = Leave(&self.0);
        actor.witness.expect(now <= most as u64, || {
            let name = actor.name;
            format!("{what} at {self:p}: with actor {name}, {now} are inside, of {most} at most")
        });
        actor.stay();
    }
}

pub(super) struct Permits {
    semaphore: Arc<Semaphore>,
    permits: usize,
    inside: Inside,
}

impl Permits {
    pub(super) fn any(rng: &mut Rng) -> Permits {
        let permits = rng.usize(1..=4);
        Permits {
            semaphore: Arc::new(Semaphore::new(permits)),
            permits,
            inside: Inside::default(),
        }
    }
}

const SEMAPHORE: &str = "a semaphore";

impl Arena for Permits {
    fn act(&self, actor: &mut Actor<'_>) {
        let since = Instant::now();
        let (most, inside) = (self.permits, &self.inside);
        match actor.rng.u8(..8) {
            0 => {
                let permit = self.semaphore.try_acquire();
                if permit.is_some() {
                    inside.stay(most, actor, SEMAPHORE);
                }
            }
            1 | 2 => {
                let permit = self.semaphore.acquire_timeout(actor.patience());
                if permit.is_some() {
                    inside.stay(most, actor, SEMAPHORE);
                }
            }
            3 => {
                let _permit = self.semaphore.acquire_owned();
                actor.waited(since);
                inside.stay(most, actor, SEMAPHORE);
            }
            4 => {
                // A permit that nobody holds, given back by hand.
                self.semaphore.acquire().forget();
                self.semaphore.release();
            }
            5 if most > 1 => {
                // Two, if nobody else wants to come by, given back together.
                let (one, two) = (self.semaphore.try_acquire(), self.semaphore.try_acquire());
                if let (Some(one), Some(two)) = (one, two) {
                    one.forget();
                    two.forget();
                    self.semaphore.add_permits(2);
                }
            }
            _ => {
                let _permit = self.semaphore.acquire();
                actor.waited(since);
                inside.stay(most, actor, SEMAPHORE);
            }
        }
    }

    fn settle(&self) -> Result<(), Failure> {
        let (free, most) = (self.semaphore.available_permits(), self.permits);
        ensure!(
            free == most,
            "{SEMAPHORE}: all have gone, and {free} of {most} permits are back"
        );
        Ok(())
    }
}

pub(super) struct Bounded {
    semaphore: BoundedSemaphore,
    inside: Inside,
}

const BOUNDED: &str = "a bounded semaphore";

impl Bounded {
    pub(super) fn any(rng: &mut Rng) -> Bounded {
        Bounded {
            semaphore: BoundedSemaphore::new(rng.usize(1..=4)),
            inside: Inside::default(),
        }
    }
}

impl Arena for Bounded {
    fn act(&self, actor: &mut Actor<'_>) {
        let most = self.semaphore.capacity();
        let since = Instant::now();
        match actor.rng.u8(..4) {
            0 => {
                let permit = self.semaphore.acquire_timeout(actor.patience());
                if permit.is_some() {
                    self.inside.stay(most, actor, BOUNDED);
                }
            }
            1 => {
                self.semaphore.acquire().forget();
                let released = self.semaphore.release();
                actor.witness.expect(released.is_ok(), || {
                    format!(
                        "{BOUNDED} of {most}: what actor {} took it did not take back",
                        actor.name
                    )
                });
            }
            _ => {
                let _permit = self.semaphore.acquire();
                actor.waited(since);
                self.inside.stay(most, actor, BOUNDED);
            }
        }
    }

    fn settle(&self) -> Result<(), Failure> {
        let (free, most) = (
            self.semaphore.available_permits(),
            self.semaphore.capacity(),
        );
        ensure!(
            free == most,
            "{BOUNDED}: all have gone, and {free} of {most} permits are back"
        );
        ensure!(
            self.semaphore.release().is_err(),
            "{BOUNDED}: it took {most} permits and one"
        );
        Ok(())
    }
}

/// A barrier at which nobody waits for long: who gives up does not count.
pub(super) struct Meeting {
    barrier: Barrier,
    size: u64,
    met: AtomicU64,
    leaders: AtomicU64,
}

impl Meeting {
    pub(super) fn any(rng: &mut Rng) -> Meeting {
        let size = rng.usize(2..6);
        Meeting {
            barrier: Barrier::new(size),
            size: size as u64,
            met: AtomicU64::new(0),
            leaders: AtomicU64::new(0),
        }
    }
}

impl Arena for Meeting {
    fn act(&self, actor: &mut Actor<'_>) {
        let limit = actor.patience();
        if let Some(result) = self.barrier.wait_timeout(limit) {
            self.met.fetch_add(1, Relaxed);
            self.leaders.fetch_add(result.is_leader().into(), Relaxed);
        }
    }

    fn settle(&self) -> Result<(), Failure> {
        let (met, leaders) = (self.met.load(Relaxed), self.leaders.load(Relaxed));
        let size = self.size;
        ensure!(
            met == leaders * size,
            "a barrier for {size} let {met} through, {leaders} of them as leaders"
        );
        Ok(())
    }
}

/// Values that are made by whoever comes first, or by the next, if that one is killed or runs out of time.
pub(super) struct Makers {
    cells: Vec<(OnceLock<u64>, AtomicU64)>,
}

impl Makers {
    pub(super) fn any(rng: &mut Rng) -> Makers {
        let cells = 1 << rng.u8(..8);
        Makers {
            cells: Vec::from_iter((0..cells).map(|_| (OnceLock::new(), AtomicU64::new(0)))),
        }
    }
}

impl Arena for Makers {
    fn act(&self, actor: &mut Actor<'_>) {
        let nth = actor.rng.usize(..self.cells.len());
        let (cell, makers) = &self.cells[nth];
        let witness = actor.witness;
        let value = *cell.get_or_init(|| {
            rustlet::yield_now();
            actor.stay();
            // Nothing is between this and the end of the making.
            makers.fetch_add(1, Relaxed);
            nth as u64 + 1
        });
        witness.expect(value == nth as u64 + 1, || {
            format!("a value made once at {cell:p} is {value}, not {}", nth + 1)
        });
    }

    fn settle(&self) -> Result<(), Failure> {
        for (cell, makers) in &self.cells {
            let (made, makers) = (u64::from(cell.get().is_some()), makers.load(Relaxed));
            ensure!(
                made == makers,
                "a value that is made once was made {makers} times, and {made} is there"
            );
        }
        Ok(())
    }
}
