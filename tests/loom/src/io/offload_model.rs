//! Pools of threads: each job runs once, what it leaves is taken or dropped once, and who waits for it, or for room, is woken.
//!
//! `offloaded.rs`, which puts pool and slot together, asks the thread what it is, and loom's threads are one; its lines are in
//! [`unblock`] and [`spawn`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::cell::UnsafeCell;
use loom::thread::{self, JoinHandle};

use super::limits::Limits;
use super::pool::{Job, Pool};
use super::slot::Slot;
use crate::models::{Row, check, check_at_most};
use crate::scheduler::park::{self, Obstacle, Parker, WaitReason, park_quietly};
use crate::sys::thread::join_started;
use crate::util::time_is_up;

pub(crate) const MODELS: &[Row] = &[
    (
        "offload wait",
        "who waits for a job gets what it leaves, whole",
        || check(|| waiting(false)),
    ),
    (
        "offload kill",
        "if a kill ends the wait, it is dropped, once, and if not, returned",
        || check(|| waiting(true)),
    ),
    (
        "offload room",
        "two callers, one thread, no queue: both jobs run, whoever comes first",
        || check_at_most(3, || room(false)),
    ),
    (
        "offload room kill",
        "who is killed while its job is held back takes it back, or it runs",
        || check_at_most(3, || room(true)),
    ),
    (
        "offload idle",
        "a job that comes when a thread has waited long enough is run",
        || check_at_most(3, idling),
    ),
];

const ROOM: WaitReason = WaitReason::external("room");

/// What has become of the jobs of a model. Not loom's: it orders nothing.
#[derive(Debug, Default)]
struct Fate {
    run: AtomicUsize,
    taken_back: AtomicUsize,
    dropped: AtomicUsize,
}

/// What a job leaves. Loom sees it if somebody looks before it was handed over.
struct Left {
    number: UnsafeCell<u32>,
    fate: Arc<Fate>,
}

// SAFETY: loom checks it.
unsafe impl Send for Left {}

impl Left {
    fn number(&self) -> u32 {
        // SAFETY: loom checks it.
        self.number.with(|number| unsafe { *number })
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        assert_eq!(self.number(), 7);
        self.fate.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

fn job(slot: &Arc<Slot<Left>>, fate: &Arc<Fate>) -> Job {
    let (slot, fate) = (slot.clone(), fate.clone());
    Box::new(move || {
        fate.run.fetch_add(1, Ordering::Relaxed);
        let left = Left {
            number: UnsafeCell::new(0),
            fate,
        };
        // SAFETY: loom checks it.
        left.number.with_mut(|number| unsafe { *number = 7 });
        slot.finish(Ok(left))
    })
}

/// As `offloaded::unblock`.
fn unblock(pool: &Arc<Pool>, fate: &Arc<Fate>) {
    let slot = Arc::new(Slot::new());
    let number = pool.submit(job(&slot, fate), None);
    let outcome = slot.wait(|| {
        if let Some(job) = number.and_then(|number| pool.take_back(number)) {
            fate.taken_back.fetch_add(1, Ordering::Relaxed);
            drop(job);
        }
    });
    assert_eq!(outcome.expect("it does not panic").number(), 7);
}

/// As `Offloaded::spawn` and `join`.
fn spawn(pool: &Arc<Pool>, fate: &Arc<Fate>) {
    let slot = Arc::new(Slot::new());
    if let Some(number) = pool.submit(job(&slot, fate), Some(park::current())) {
        while pool.holds_back(number) {
            match park_quietly(&ROOM) {
                Ok(()) => {}
                Err(Obstacle::Interrupted) => match pool.take_back(number) {
                    Some(job) => {
                        fate.taken_back.fetch_add(1, Ordering::Relaxed);
                        drop(job);
                        park::raise();
                    }
                    None => break,
                },
                Err(_) => unreachable!("not in a model"),
            }
        }
    }
    let handle = Forgets(&slot);
    let outcome = handle.0.wait(|| {});
    assert_eq!(outcome.expect("it does not panic").number(), 7);
}

/// As `Offloaded`.
struct Forgets<'a>(&'a Slot<Left>);

impl Drop for Forgets<'_> {
    fn drop(&mut self) {
        self.0.forget();
    }
}

fn pool(threads: usize, queued: usize) -> (Arc<Pool>, Arc<Fate>) {
    time_is_up(false);
    let limits = Limits::new().threads(threads).queued(queued);
    (Pool::new(limits), Arc::default())
}

/// A greenlet on a thread of its own.
fn greenlet(parker: &Parker, f: impl FnOnce() + 'static) -> JoinHandle<()> {
    let parker = parker.clone();
    thread::spawn(move || parker.run(f).unwrap_or_default())
}

/// Ends the pool, and looks whether so many jobs have been run or taken back, and nothing is left of them.
fn end(pool: &Pool, fate: &Fate, jobs: usize, threads: usize) {
    pool.close();
    let started = join_started();
    assert!(started <= threads, "{started} threads");
    let run = fate.run.load(Ordering::Relaxed);
    assert_eq!(run + fate.taken_back.load(Ordering::Relaxed), jobs);
    assert_eq!(fate.dropped.load(Ordering::Relaxed), run);
}

/// A greenlet has one job done, and may be killed meanwhile.
fn waiting(killed: bool) {
    let (pool, fate) = pool(1, 1);
    let parker = Parker::new();
    let waits = {
        let (pool, fate) = (pool.clone(), fate.clone());
        greenlet(&parker, move || unblock(&pool, &fate))
    };
    if killed {
        parker.kill();
    }
    waits.join().expect("it waits");
    end(&pool, &fate, 1, 1);
}

/// Two greenlets, one of which may be killed, have a job done each, by one thread, and neither may queue.
fn room(killed: bool) {
    let (pool, fate) = pool(1, 0);
    let parker = Parker::new();
    let spawns = {
        let (pool, fate) = (pool.clone(), fate.clone());
        greenlet(&parker, move || spawn(&pool, &fate))
    };
    // The model's own thread is a greenlet too.
    Parker::new().run(|| {
        if killed {
            parker.kill();
        }
        unblock(&pool, &fate);
    });
    spawns.join().expect("it waits");
    end(&pool, &fate, 2, 1);
}

/// One job after the other, and the thread between them gives up waiting whenever it is woken.
fn idling() {
    let (pool, fate) = pool(1, 1);
    time_is_up(true);
    Parker::new().run(|| {
        unblock(&pool, &fate);
        unblock(&pool, &fate);
    });
    end(&pool, &fate, 2, 2);
}
