//! Waiting in a queue: handing over against timeouts and kills, and waiting for two things at once.
//!
//! The object of these models is a [`Shelf`] with at most one item and a queue of takers: the least that has
//! every step of the protocol.

use loom::cell::UnsafeCell;
use loom::thread;
use std::sync::Arc;

use super::waiter::{Choice, NotGranted, WaitQueue, Waiter, wait_until};
use crate::models::{Row, check};
use crate::scheduler::park::{Parker, WaitReason, wait_is_over};
use crate::scheduler::sleeper::Sleeper;
use crate::sys::short_lock::ShortLock;
use crate::timer::Deadline;

pub(crate) const MODELS: &[Row] = &[
    (
        "waiter hand over",
        "a taker gets what was put, whole",
        || check(handing_over),
    ),
    (
        "waiter timeout",
        "a timeout gives the item or leaves it, never neither",
        || {
            check(|| ending(Parker::time_out));
        },
    ),
    ("waiter kill", "and so does a kill", || {
        check(|| ending(Parker::kill))
    }),
    (
        "waiter two takers",
        "one gives up: the other gets the one item",
        || check(two_takers),
    ),
    (
        "waiter all",
        "all are woken by one that grants to all",
        || check(granting_all),
    ),
    (
        "waiter choice",
        "of two shelves it takes one item and leaves the other",
        || {
            check(|| choosing(false));
        },
    ),
    (
        "waiter choice timeout",
        "and so with a timeout, which may leave both",
        || {
            check(|| choosing(true));
        },
    ),
];

const REASON: WaitReason = WaitReason::external("an item");

/// A place for items, and those who want one.
struct Shelf(ShortLock<State>);

struct State {
    items: Vec<u32>,
    queue: WaitQueue,
}

/// A waiter with room for an item.
#[repr(C)]
struct Taker {
    waiter: Waiter,
    /// Not atomic: loom sees it if the taker looks before it was handed over.
    item: UnsafeCell<Option<u32>>,
}

impl Taker {
    fn new(waiter: Waiter) -> Self {
        Taker {
            waiter,
            item: UnsafeCell::new(None),
        }
    }

    fn take(&self) -> u32 {
        // SAFETY: loom checks it.
        self.item
            .with_mut(|item| unsafe { (*item).take() })
            .expect("granted with an item")
    }
}

impl Shelf {
    fn new() -> Arc<Self> {
        let shelf = Arc::new(Shelf(ShortLock::new(State {
            items: Vec::with_capacity(2),
            queue: WaitQueue::new(),
        })));
        drop(shelf.0.lock()); // touched
        shelf
    }

    fn put(&self, item: u32) {
        let mut state = self.0.lock();
        let wake_up = match state.queue.pop() {
            Some(popped) => {
                // SAFETY: every waiter of this queue is a Taker's, which is repr(C) and begins with it.
                let taker = unsafe { &*std::ptr::from_ref(popped.waiter()).cast::<Taker>() };
                // SAFETY: loom checks it.
                taker.item.with_mut(|place| unsafe { *place = Some(item) });
                Some(popped.grant(1))
            }
            None => {
                state.items.push(item);
                None
            }
        };
        drop(state);
        if let Some(wake_up) = wake_up {
            wake_up.send();
        }
    }

    fn take(&self, deadline: Option<&Deadline>) -> Result<u32, NotGranted> {
        let taker = Taker::new(Waiter::new());
        let mut state = self.0.lock();
        if let Some(item) = state.items.pop() {
            return Ok(item);
        }
        // SAFETY: the frame waits next, and cancels.
        unsafe { state.queue.push(&taker.waiter) };
        drop(state);
        let granted = taker
            .waiter
            .wait(&REASON, deadline, || self.forget(&taker.waiter));
        wait_is_over();
        granted.map(|_| taker.take())
    }

    /// Takes a waiter out of the queue; whether it was there.
    fn forget(&self, waiter: &Waiter) -> bool {
        self.0.lock().queue.remove(waiter)
    }

    fn count(&self) -> usize {
        self.0.lock().items.len()
    }
}

/// What the taker got, if anything: by a timeout, or by a kill.
fn try_to_take(shelf: &Shelf, parker: &Parker) -> Option<u32> {
    let taken = parker.run(|| match shelf.take(Some(&Deadline::new(None))) {
        Ok(item) => Some(item),
        Err(NotGranted::TimedOut) => None,
        Err(other) => panic!("{other:?}"),
    });
    taken.flatten()
}

fn handing_over() {
    let shelf = Shelf::new();
    let taker = Parker::new();
    let other = {
        let shelf = shelf.clone();
        thread::spawn(move || {
            taker.run(|| {
                (
                    shelf.take(None).expect("put"),
                    shelf.take(None).expect("put"),
                )
            })
        })
    };
    Parker::new().run(|| {
        shelf.put(7);
        shelf.put(8);
    });
    let taken = other.join().expect("it takes").expect("nobody kills");
    assert_eq!(taken.0 + taken.1, 15);
}

/// One takes, one puts, one ends the wait.
fn ending(end: fn(&Parker)) {
    let shelf = Shelf::new();
    let taker = Parker::new();
    let other = {
        let (shelf, taker) = (shelf.clone(), taker.clone());
        thread::spawn(move || try_to_take(&shelf, &taker))
    };
    let putter = {
        let shelf = shelf.clone();
        let parker = Parker::new();
        thread::spawn(move || parker.run(|| shelf.put(7)))
    };
    end(&taker);
    let taken = other.join().expect("it takes");
    putter.join().expect("it puts");
    assert_eq!(
        usize::from(taken == Some(7)) + shelf.count(),
        1,
        "an item was lost or doubled"
    );
    assert!(shelf.0.lock().queue.is_empty());
}

/// The first of two takers times out while an item is put: if it does not take it, the second gets it.
fn two_takers() {
    let shelf = Shelf::new();
    let (first, second) = (Parker::new(), Parker::new());
    let impatient = {
        let (shelf, first) = (shelf.clone(), first.clone());
        thread::spawn(move || try_to_take(&shelf, &first))
    };
    let patient = {
        let shelf = shelf.clone();
        thread::spawn(move || second.run(|| shelf.take(None).expect("put")))
    };
    Parker::new().run(|| shelf.put(7));
    first.time_out();
    let taken = impatient.join().expect("it takes");
    if taken.is_some() {
        Parker::new().run(|| shelf.put(8));
    }
    assert_eq!(
        patient.join().expect("it takes"),
        Some(if taken.is_some() { 8 } else { 7 })
    );
}

fn granting_all() {
    let lock = Arc::new(ShortLock::new((false, WaitQueue::new())));
    drop(lock.lock()); // touched
    let waiting = |lock: Arc<ShortLock<(bool, WaitQueue)>>| {
        let parker = Parker::new();
        thread::spawn(move || {
            parker.run(|| {
                let waiter = Waiter::new();
                let mut event = lock.lock();
                if event.0 {
                    return;
                }
                // SAFETY: the frame waits next.
                unsafe { event.1.push(&waiter) };
                drop(event);
                let granted = waiter.wait(&REASON, None, || lock.lock().1.remove(&waiter));
                wait_is_over();
                assert_eq!(granted.expect("set"), 3);
            })
        })
    };
    let others = [waiting(lock.clone()), waiting(lock.clone())];
    Parker::new().run(|| {
        let mut event = lock.lock();
        event.0 = true;
        event.1.grant_all(3);
    });
    for other in others {
        other.join().expect("it waits");
    }
}

/// Waits for an item of either shelf; `None` after a timeout.
fn take_either(shelves: &[Arc<Shelf>; 2], deadline: &Deadline) -> Option<u32> {
    let choice = Choice::default();
    let sleeper = Sleeper::current();
    let takers = [0, 1].map(|index| Taker::new(Waiter::one_of(&choice, index, sleeper)));
    let mut found = None;
    for (shelf, taker) in shelves.iter().zip(&takers) {
        let mut state = shelf.0.lock();
        if !state.items.is_empty() && choice.close() {
            found = state.items.pop();
            break;
        }
        // SAFETY: it is removed below, whatever happens.
        unsafe { state.queue.push(&taker.waiter) };
    }
    let chosen = || {
        choice
            .chosen()
            .filter(|&index| takers[index].waiter.granted().is_some())
    };
    let mut index = None;
    if found.is_none() {
        index = wait_until(&REASON, Some(deadline), chosen, || {
            if choice.close() {
                return None;
            }
            // It was chosen, and is granted before the lock is given back.
            let index = choice.chosen().expect("closed by nobody else");
            drop(shelves[index].0.lock());
            Some(index)
        })
        .ok();
    }
    for (shelf, taker) in shelves.iter().zip(&takers) {
        shelf.forget(&taker.waiter);
    }
    wait_is_over();
    found.or_else(|| index.map(|index| takers[index].take()))
}

fn choosing(with_timeout: bool) {
    let shelves = [Shelf::new(), Shelf::new()];
    let chooser = Parker::new();
    let other = {
        let (shelves, chooser) = (shelves.clone(), chooser.clone());
        thread::spawn(move || chooser.run(|| take_either(&shelves, &Deadline::new(None))))
    };
    let putter = {
        let shelf = shelves[1].clone();
        let parker = Parker::new();
        thread::spawn(move || parker.run(|| shelf.put(1)))
    };
    Parker::new().run(|| shelves[0].put(0));
    if with_timeout {
        chooser.time_out();
    }
    let taken = other.join().expect("it takes").expect("nobody kills");
    putter.join().expect("it puts");
    let mut left = [shelves[0].count(), shelves[1].count()];
    match taken {
        Some(index) => left[index as usize] += 1,
        None => assert!(with_timeout, "no time limit, and nothing taken"),
    }
    assert_eq!(left, [1, 1], "an item was lost or doubled: {taken:?}");
}
