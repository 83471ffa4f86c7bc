//! What actors go to, what an actor is, and how it is seen that two are where one may be.

use std::sync::LockResult;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::{PATIENCE, exclusion, permits};
use crate::witness::Witness;
use crate::workload::{Context, Failure};

/// A lock, or the like, that actors use at will. Who is killed in [`Arena::act`] has left it.
pub(super) trait Arena: Send + Sync {
    /// One operation.
    fn act(&self, actor: &mut Actor<'_>);

    /// What must be so when all actors have gone.
    fn settle(&self) -> Result<(), Failure>;
}

/// One of any kind.
pub(super) fn any(context: &Context, rng: &mut Rng) -> Box<dyn Arena> {
    let in_order = context.workers == 1;
    match rng.u8(..8) {
        0 | 1 => Box::new(exclusion::Exclusive::mutex(in_order)),
        2 => Box::new(exclusion::Exclusive::reentrant(in_order)),
        3 => Box::new(exclusion::Shared::new(in_order)),
        4 => Box::new(permits::Permits::any(rng)),
        5 => Box::new(permits::Bounded::any(rng)),
        6 => Box::new(permits::Meeting::any(rng)),
        _ => Box::new(permits::Makers::any(rng)),
    }
}

/// Who uses arenas: a greenlet or a thread.
pub(super) struct Actor<'a> {
    /// Not 0.
    pub(super) name: u64,
    pub(super) rng: Rng,
    pub(super) context: Context,
    pub(super) witness: &'a Witness,
    /// Chaos may panic in it.
    pub(super) mortal: bool,
}

impl Actor<'_> {
    pub(super) fn patience(&mut self) -> Duration {
        Duration::from_nanos(self.rng.u64(..PATIENCE.as_nanos() as u64))
    }

    /// Stays a while, mostly none. May be killed, and may panic.
    pub(super) fn stay(&mut self) {
        match self.rng.u8(..32) {
            0..16 => {}
            16..30 => (0..self.rng.u8(1..4)).for_each(|_| rustlet::yield_now()),
            _ => rustlet::sleep(self.patience()),
        }
        if self.mortal {
            self.context.strike(&mut self.rng);
        }
    }

    pub(super) fn waited(&self, since: Instant) {
        self.context.time(since.elapsed());
    }

    /// The guard; a poisoned one only if somebody may have panicked.
    pub(super) fn sound<G>(&self, locked: LockResult<G>, what: &str) -> G {
        locked.unwrap_or_else(|poisoned| {
            self.witness.expect(self.context.chaos.panic > 0.0, || {
                format!("{what} is poisoned; kills and timeouts poison nothing, and nobody panics")
            });
            poisoned.into_inner()
        })
    }
}

/// A place for one: who is in it, and a counter that loses increments if two are.
///
/// Atomics without read-modify-write: what another one does there in the middle is seen, and undefined it is not.
#[derive(Default)]
pub(super) struct Room {
    owner: AtomicU64,
    visits: AtomicU64,
    /// Those that came to their end, counted so that nothing can be lost.
    ended: AtomicU64,
}

impl Room {
    /// Stays in the room, in which nobody else is or comes.
    pub(super) fn visit(&self, actor: &mut Actor<'_>, what: &str) {
        struct Leave<'a>(&'a Room);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.owner.store(0, Relaxed);
            }
        }
        let other = self.owner.load(Relaxed);
        actor.witness.expect(other == 0, || {
            let name = actor.name;
            format!("{what} at {self:p}: actor {name} has got it while actor {other} holds it")
        });
        self.owner.store(actor.name, Relaxed);
        let leave = Leave(self);
        let before = self.visits.load(Relaxed);
        actor.stay();
        let (owner, now) = (self.owner.load(Relaxed), self.visits.load(Relaxed));
        actor.witness.expect((owner, now) == (actor.name, before), || {
            let name = actor.name;
            format!(
                "{what} at {self:p}: actor {name} held it, and found actor {owner} there and {now} visits, \
                 not {before}"
            )
        });
        self.visits.store(before + 1, Relaxed);
        self.ended.fetch_add(1, Relaxed);
        drop(leave);
    }

    pub(super) fn owner(&self) -> u64 {
        self.owner.load(Relaxed)
    }

    pub(super) fn visits(&self) -> u64 {
        self.visits.load(Relaxed)
    }

    pub(super) fn settle(&self, what: &str) -> Result<(), Failure> {
        let (owner, visits, ended) = (self.owner(), self.visits(), self.ended.load(Relaxed));
        if owner == 0 && visits == ended {
            return Ok(());
        }
        Err(Failure(format!(
            "{what} at {self:p}: {ended} visits came to their end, {visits} are counted; its owner is {owner}, not 0"
        )))
    }
}

/// Who came first, of those who wait on one thread. Nothing runs between drawing a number and standing in the
/// queue, there; with several threads anything may, and nobody looks.
pub(super) struct Line {
    watched: bool,
    next: AtomicU64,
    served: AtomicU64,
    served_alone: AtomicU64,
}

impl Line {
    pub(super) fn new(watched: bool) -> Line {
        Line {
            watched,
            next: AtomicU64::new(1),
            served: AtomicU64::new(0),
            served_alone: AtomicU64::new(0),
        }
    }

    pub(super) fn draw(&self) -> u64 {
        self.next.fetch_add(1, Relaxed)
    }

    /// It is the turn of `number`, whose holder has it alone: all before it have had theirs, or have gone.
    pub(super) fn alone(&self, number: u64, actor: &Actor<'_>, what: &str) {
        let later = self.served.fetch_max(number, Relaxed);
        self.served_alone.fetch_max(number, Relaxed);
        self.check(number, later, actor, what);
    }

    /// It is the turn of `number`, whose holder shares it with its neighbours in the queue.
    pub(super) fn shared(&self, number: u64, actor: &Actor<'_>, what: &str) {
        self.served.fetch_max(number, Relaxed);
        self.check(number, self.served_alone.load(Relaxed), actor, what);
    }

    fn check(&self, number: u64, later: u64, actor: &Actor<'_>, what: &str) {
        actor.witness.expect(!self.watched || later < number, || {
            let name = actor.name;
            format!("{what}: actor {name} came as number {number} and got it after number {later}")
        });
    }
}
