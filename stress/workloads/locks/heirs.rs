//! What is meant for one who dies goes to the next.
//!
//! The crowd hides it when a wake-up goes down with its waiter: the next unlock wakes another. So here is nothing but the one: a few
//! wait, one thing is given, and before the first of them runs it is killed, or its time is over. Whoever is left must get it.
//! If nobody does, the step does not end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use fastrand::Rng;
use rustlet::Greenlet;
use rustlet::sync::{Condvar, Mutex, RwLock, Semaphore, WaitGroup};

use crate::crew::Crew;
use crate::witness::Witness;
use crate::workload::Context;

/// Trials of a step.
const TRIALS: usize = 100;

/// What is waited for.
struct Estate {
    kind: u8,
    semaphore: Semaphore,
    mutex: Mutex<bool>,
    changed: Condvar,
    lock: RwLock<()>,
    /// Who got it.
    heirs: AtomicUsize,
}

impl Estate {
    /// Waits for it, and gives it on.
    fn inherit(&self) {
        match self.kind {
            0 => drop(self.semaphore.acquire()),
            1 => drop(self.mutex.lock()),
            2 => drop(self.lock.write()),
            3 => drop(self.lock.read()),
            _ => {
                let is_closed = |there: &mut bool| !*there;
                let guard = self.mutex.lock().expect("nobody panics");
                drop(self.changed.wait_while(guard, is_closed));
                self.changed.notify_one();
            }
        }
        self.heirs.fetch_add(1, Relaxed);
    }

    /// Has `come` make them wait while nobody can have it, gives it, and tells `given` before one of them runs.
    fn bequeath(
        &self,
        come: impl FnOnce() -> Vec<Greenlet<()>>,
        given: impl FnOnce(&[Greenlet<()>]),
    ) {
        match self.kind {
            0 => {
                let waiters = come();
                self.semaphore.release();
                given(&waiters);
            }
            1 => {
                let guard = self.mutex.lock();
                let waiters = come();
                drop(guard);
                given(&waiters);
            }
            2 | 3 => {
                let guard = self.lock.write();
                let waiters = come();
                drop(guard);
                given(&waiters);
            }
            _ => {
                let waiters = come();
                let mut guard = self.mutex.lock().expect("nobody panics");
                *guard = true;
                self.changed.notify_one();
                rustlet::yield_now(); // the notified one waits for the mutex
                given(&waiters);
                drop(guard);
            }
        }
    }
}

/// A greenlet that does some trials.
pub(super) fn begin(crew: &Crew, context: &Context, rng: &mut Rng) -> Greenlet<Witness> {
    let (context, mut rng) = (*context, rng.fork());
    crew.spawn_on(rng.usize(..64), move || {
        let witness = Witness::default();
        for _ in 0..context.scaled(TRIALS) {
            trial(&mut rng, &witness);
            context.count(1);
        }
        witness
    })
}

fn trial(rng: &mut Rng, witness: &Witness) {
    let estate = Arc::new(Estate {
        kind: rng.u8(..5),
        semaphore: Semaphore::new(0),
        mutex: Mutex::new(false),
        changed: Condvar::new(),
        lock: RwLock::new(()),
        heirs: AtomicUsize::new(0),
    });
    let waiters = rng.usize(2..6);
    let dying = rng.usize(1..waiters);
    let by_time = rng.u8(..4) == 0;
    let limit = Duration::from_nanos(rng.u64(..100_000));
    let gone = Arc::new(WaitGroup::new());
    let kind = estate.kind;
    let spawn = |nth: usize| {
        let (estate, member) = (estate.clone(), gone.member());
        rustlet::spawn_local(move || {
            if by_time && nth < dying {
                // In time or not.
                let _ = rustlet::timeout(limit, || estate.inherit());
            } else {
                estate.inherit();
            }
            drop(member);
        })
    };
    estate.bequeath(
        || {
            let waiters = Vec::from_iter((0..waiters).map(spawn));
            rustlet::yield_now(); // they wait, in this order
            if by_time {
                rustlet::sleep(limit);
            }
            waiters
        },
        |waiters| {
            if !by_time {
                waiters[..dying].iter().for_each(Greenlet::kill_nowait);
            }
        },
    );
    gone.wait();
    let (heirs, least) = (estate.heirs.load(Relaxed), waiters - dying);
    witness.expect(heirs >= least, || {
        format!("of {waiters} who waited for estate {kind}, {dying} died and {heirs} got it, not {least} at least")
    });
    let free = estate.semaphore.available_permits();
    witness.expect(kind != 0 || free == 1, || {
        format!("a semaphore has {free} permits after one was given and handed round")
    });
}
