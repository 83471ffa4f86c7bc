//! Locks: [`Mutex`] and [`ReentrantMutex`], for one; [`RwLock`], for one who writes or many who read.

use std::cell::Cell;
use std::sync::TryLockError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use rustlet::sync::{
    Mutex, MutexGuard, ReentrantMutex, ReentrantMutexGuard, RwLock, RwLockReadGuard,
    RwLockWriteGuard,
};

use super::arena::{Actor, Arena, Line, Room};
use crate::workload::{Failure, ensure};

/// A lock for one, and its room. What is inside the lock is plain memory, for a checker that watches such.
pub(super) struct Exclusive {
    lock: Lock,
    room: Room,
    line: Line,
}

enum Lock {
    Mutex(Mutex<u64>),
    Reentrant(ReentrantMutex<Cell<u64>>),
}

/// `Cell` is not for other threads; a reentrant mutex makes it so.
enum Guard<'a> {
    Mutex(MutexGuard<'a, u64>),
    Reentrant(ReentrantMutexGuard<'a, Cell<u64>>),
}

impl Exclusive {
    pub(super) fn mutex(in_order: bool) -> Exclusive {
        Exclusive::of(Lock::Mutex(Mutex::new(0)), in_order)
    }

    pub(super) fn reentrant(in_order: bool) -> Exclusive {
        Exclusive::of(Lock::Reentrant(ReentrantMutex::new(Cell::new(0))), in_order)
    }

    fn of(lock: Lock, in_order: bool) -> Exclusive {
        Exclusive {
            lock,
            room: Room::default(),
            line: Line::new(in_order),
        }
    }

    fn what(&self) -> &'static str {
        match self.lock {
            Lock::Mutex(_) => "a mutex",
            Lock::Reentrant(_) => "a reentrant mutex",
        }
    }

    fn try_lock(&self, actor: &Actor<'_>) -> Option<Guard<'_>> {
        match &self.lock {
            Lock::Mutex(mutex) => tried(mutex.try_lock(), actor).map(Guard::Mutex),
            Lock::Reentrant(mutex) => mutex.try_lock().map(Guard::Reentrant),
        }
    }

    /// Waits, perhaps with a limit.
    fn wait(&self, actor: &mut Actor<'_>) -> Option<Guard<'_>> {
        let number = self.line.draw();
        let since = Instant::now();
        let limit = (actor.rng.u8(..4) == 0).then(|| actor.patience());
        let guard = match (&self.lock, limit) {
            (Lock::Mutex(mutex), None) => Some(Guard::Mutex(actor.sound(mutex.lock(), "a mutex"))),
            (Lock::Mutex(mutex), Some(limit)) => {
                tried(mutex.lock_timeout(limit), actor).map(Guard::Mutex)
            }
            (Lock::Reentrant(mutex), None) => Some(Guard::Reentrant(mutex.lock())),
            (Lock::Reentrant(mutex), Some(limit)) => {
                mutex.lock_timeout(limit).map(Guard::Reentrant)
            }
        };
        if guard.is_some() {
            actor.waited(since);
            self.line.alone(number, actor, self.what());
        }
        guard
    }
}

/// What a lock gave that may refuse.
fn tried<G>(tried: Result<G, TryLockError<G>>, actor: &Actor<'_>) -> Option<G> {
    match tried {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(error)) => Some(actor.sound(Err(error), "a lock")),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl Arena for Exclusive {
    fn act(&self, actor: &mut Actor<'_>) {
        let guard = match self.try_lock(actor) {
            None if actor.rng.bool() || actor.rng.bool() => self.wait(actor),
            guard => guard,
        };
        match guard {
            None => {}
            Some(Guard::Mutex(mut plain)) => {
                self.room.visit(actor, self.what());
                *plain += 1;
            }
            Some(Guard::Reentrant(outer)) => {
                let Lock::Reentrant(mutex) = &self.lock else {
                    unreachable!("the guard is of this lock");
                };
                actor.witness.expect(mutex.is_mine(), || {
                    format!(
                        "a reentrant mutex at {mutex:p} is not its owner's, actor {}",
                        actor.name
                    )
                });
                // As many guards more as it wants, dropped in any order.
                let inner = Vec::from_iter((0..actor.rng.u8(..3)).map(|_| mutex.lock()));
                let outer = if actor.rng.bool() { Some(outer) } else { None };
                let first = inner.first().or(outer.as_ref());
                if let Some(guard) = first {
                    self.room.visit(actor, self.what());
                    guard.set(guard.get() + 1);
                }
            }
        }
    }

    fn settle(&self) -> Result<(), Failure> {
        let what = self.what();
        self.room.settle(what)?;
        let (free, plain) = match &self.lock {
            Lock::Mutex(mutex) => match mutex.try_lock() {
                Ok(guard) => (true, *guard),
                Err(TryLockError::Poisoned(error)) => (true, **error.get_ref()),
                Err(TryLockError::WouldBlock) => (false, 0),
            },
            Lock::Reentrant(mutex) => match mutex.try_lock() {
                Some(guard) => (true, guard.get()),
                None => (false, 0),
            },
        };
        ensure!(free, "{what}: all have gone, and it is still locked");
        ensure!(
            plain == self.room.visits(),
            "{what}: {plain} is in it after {} visits",
            self.room.visits()
        );
        Ok(())
    }
}

/// A read-write lock. Handed over in the order of coming, readers next to each other together.
pub(super) struct Shared {
    lock: RwLock<u64>,
    room: Room,
    readers: AtomicU64,
    line: Line,
}

const WHAT: &str = "a read-write lock";

impl Shared {
    pub(super) fn new(in_order: bool) -> Shared {
        Shared {
            lock: RwLock::new(0),
            room: Room::default(),
            readers: AtomicU64::new(0),
            line: Line::new(in_order),
        }
    }

    fn read(&self, actor: &mut Actor<'_>) {
        let number = self.line.draw();
        let since = Instant::now();
        let guard = match actor.rng.u8(..4) {
            0 => tried(self.lock.try_read(), actor),
            1 => {
                let limit = actor.patience();
                tried(self.lock.read_timeout(limit), actor)
            }
            _ => Some(actor.sound(self.lock.read(), WHAT)),
        };
        if let Some(guard) = guard {
            actor.waited(since);
            self.line.shared(number, actor, WHAT);
            self.look(&guard, actor);
        }
    }

    /// Reads for a while.
    fn look(&self, guard: &RwLockReadGuard<'_, u64>, actor: &mut Actor<'_>) {
        struct Leave<'a>(&'a AtomicU64);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Relaxed);
            }
        }
        self.readers.fetch_add(1, Relaxed);
        let leave = Leave(&self.readers);
        let before = self.room.visits();
        for when in ["when it began", "when it ended"] {
            let (writer, now) = (self.room.owner(), self.room.visits());
            actor.witness.expect((writer, now) == (0, before), || {
                let name = actor.name;
                format!(
                    "{WHAT} at {self:p}: actor {name} read it, and {when} actor {writer} wrote, and there were \
                     {now} visits, not {before}"
                )
            });
            if when == "when it began" {
                actor.stay();
            }
        }
        actor.witness.expect(**guard == before, || {
            format!(
                "{WHAT} at {self:p}: {} is in it after {before} visits",
                **guard
            )
        });
        drop(leave);
    }

    fn write(&self, actor: &mut Actor<'_>) {
        let number = self.line.draw();
        let since = Instant::now();
        let guard = match actor.rng.u8(..4) {
            0 => tried(self.lock.try_write(), actor),
            1 => {
                let limit = actor.patience();
                tried(self.lock.write_timeout(limit), actor)
            }
            _ => Some(actor.sound(self.lock.write(), WHAT)),
        };
        let Some(mut guard) = guard else { return };
        actor.waited(since);
        self.line.alone(number, actor, WHAT);
        self.nobody_reads(actor);
        self.room.visit(actor, WHAT);
        self.nobody_reads(actor);
        *guard += 1;
        if actor.rng.bool() {
            let after = *guard;
            let guard = RwLockWriteGuard::downgrade(guard);
            actor.witness.expect(*guard == after, || {
                format!(
                    "{WHAT} at {self:p}: {} is in it after a downgrade, not {after}",
                    *guard
                )
            });
            self.look(&guard, actor);
        }
    }

    fn nobody_reads(&self, actor: &Actor<'_>) {
        let readers = self.readers.load(Relaxed);
        actor.witness.expect(readers == 0, || {
            format!(
                "{WHAT} at {self:p}: actor {} writes while {readers} read",
                actor.name
            )
        });
    }
}

impl Arena for Shared {
    fn act(&self, actor: &mut Actor<'_>) {
        match actor.rng.u8(..4) {
            0 => self.write(actor),
            _ => self.read(actor),
        }
    }

    fn settle(&self) -> Result<(), Failure> {
        self.room.settle(WHAT)?;
        let free = !matches!(self.lock.try_write(), Err(TryLockError::WouldBlock));
        ensure!(free, "{WHAT}: all have gone, and it is still locked");
        Ok(())
    }
}
