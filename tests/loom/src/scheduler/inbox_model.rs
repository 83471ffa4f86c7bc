//! The inbox and the sleep of a hub: no wake-up is lost, and what was done before it is seen.

use loom::thread;
use std::sync::Arc;

use super::inbox::Shared;
use super::task::TaskRef;
use crate::models::{Row, check};
use crate::util::primitive::{AtomicBool, Ordering};

pub(crate) const MODELS: &[Row] = &[
    (
        "inbox one task",
        "two wakers of one task: the hub sees what both did",
        || {
            check(|| waking(1, false));
        },
    ),
    (
        "inbox two tasks",
        "two wakers of two tasks: both arrive",
        || check(|| waking(2, false)),
    ),
    (
        "inbox again",
        "a waker that wakes twice: the second is not swallowed by the first",
        || {
            check(|| waking(1, true));
        },
    ),
    (
        "inbox close",
        "what comes to a closed inbox is refused or taken, and freed",
        || {
            check(closing);
        },
    ),
];

/// What a waker does before it wakes. Relaxed: it is for the inbox to order it. A hub that was woken and does
/// not see the deed sleeps for ever, which loom reports.
#[derive(Default)]
pub(super) struct Deed(AtomicBool);

impl Deed {
    pub(super) fn does(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_done(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// An empty inbox, with all its atomics made.
pub(super) fn shared() -> &'static Shared {
    let shared: &'static Shared = Box::leak(Box::new(Shared::new()));
    let _ = shared.bell();
    shared.awake();
    assert!(shared.is_empty());
    shared
}

/// Two threads do a deed and wake a task of the hub, which looks at the deeds only when it is woken,
/// as `hub/idle.rs` does.
fn waking(tasks: usize, twice: bool) {
    let shared = shared();
    let tasks: Vec<_> = (0..tasks).map(|_| TaskRef::new(shared)).collect();
    let deeds: Arc<[Deed; 2]> = Arc::default();
    let mut wakers = Vec::new();
    for number in 0..if twice { 1 } else { 2 } {
        let (task, deeds) = (tasks[number % tasks.len()].clone(), deeds.clone());
        wakers.push(thread::spawn(move || {
            deeds[number].does();
            task.send();
            if twice {
                deeds[1].does();
                task.send();
            }
        }));
    }
    let mut seen = [false; 2];
    while seen != [true; 2] {
        let mut look = |_| {
            for (seen, deed) in seen.iter_mut().zip(deeds.iter()) {
                *seen |= deed.is_done();
            }
        };
        if !shared.is_empty() {
            shared.take(&mut look);
        } else if shared.prepare_sleep() {
            shared.wait_for_bell(None); // sleeps
            shared.awake();
            shared.take(&mut look);
        }
    }
    for waker in wakers {
        waker.join().expect("it wakes");
    }
    shared.take(drop); // a wake-up more than needed; loom counts the references
}

/// A hub ends while two others wake its task.
fn closing() {
    let shared = shared();
    let task = TaskRef::new(shared);
    let wakers: Vec<_> = (0..2)
        .map(|_| {
            let task = TaskRef::new(shared);
            thread::spawn(move || task.send())
        })
        .collect();
    task.send();
    let mut taken = 0;
    shared.close(|_| taken += 1);
    assert!(taken >= 1);
    for waker in wakers {
        waker.join().expect("it wakes");
    }
    assert!(shared.is_empty());
    task.send();
    assert!(shared.is_empty());
}
