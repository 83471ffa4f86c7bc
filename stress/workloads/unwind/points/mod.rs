//! The places where a greenlet can wait.
//!
//! A scene is one such place, set up so that a wait there lasts until it is interrupted or released. It
//! knows how to tell, afterwards, whether what was waited for is intact: given how much was released, and
//! how much the victim's waits say they got.

mod groups;
mod locks;
mod plain;
mod queues;
mod sources;

use std::rc::Rc;
use std::sync::Arc;

use rustlet::sync::Event;
use rustlet::{Greenlet, Handle};

use crate::workload::{Failure, ensure};

/// A kind of place.
pub(super) struct Point {
    pub(super) name: &'static str,
    pub(super) set_up: fn() -> Result<Scene, Failure>,
    /// In descriptors, about; rarer the more it costs.
    pub(super) cost: usize,
}

/// One place.
pub(super) struct Scene {
    /// Waits; returns how much it got: an item, a byte.
    pub(super) wait: Rc<dyn Fn() -> u64>,
    /// Gives one wait what it waits for, and returns how much that is.
    pub(super) release: Option<Release>,
    /// Told how much was given and how much was got.
    pub(super) intact: Box<dyn FnOnce(u64, u64) -> Result<(), Failure>>,
}

type Release = Box<dyn FnOnce(&Handle) -> u64>;

pub(super) const ALL: &[Point] = &const { all() };

/// How many there are in all files.
const COUNT: usize = plain::ALL.len()
    + locks::ALL.len()
    + queues::ALL.len()
    + groups::ALL.len()
    + sources::ALL.len();

const fn all() -> [Point; COUNT] {
    let mut all = [const { plain::ALL[0].copy() }; COUNT];
    let files = [
        plain::ALL,
        locks::ALL,
        queues::ALL,
        groups::ALL,
        sources::ALL,
    ];
    let (mut file, mut nth, mut to) = (0, 0, 0);
    while file < files.len() {
        if nth == files[file].len() {
            (file, nth) = (file + 1, 0);
            continue;
        }
        all[to] = files[file][nth].copy();
        (nth, to) = (nth + 1, to + 1);
    }
    all
}

impl Point {
    const fn cheap(name: &'static str, set_up: fn() -> Result<Scene, Failure>) -> Point {
        Point::of_cost(0, name, set_up)
    }

    const fn of_cost(
        cost: usize,
        name: &'static str,
        set_up: fn() -> Result<Scene, Failure>,
    ) -> Point {
        Point { name, set_up, cost }
    }

    const fn copy(&self) -> Point {
        Point::of_cost(self.cost, self.name, self.set_up)
    }
}

impl Scene {
    /// A wait that nothing but an interruption ends, for which there is nothing to check.
    fn endless(wait: impl Fn() + 'static) -> Result<Scene, Failure> {
        Ok(Scene {
            wait: Rc::new(move || {
                wait();
                0
            }),
            release: None,
            intact: Box::new(|_, _| Ok(())),
        })
    }

    /// A wait for something of `thing` that `give` gives; `intact` is told what was given and got.
    fn given<T: 'static>(
        thing: T,
        wait: fn(&T) -> u64,
        give: fn(&T) -> u64,
        intact: fn(&T, u64, u64) -> bool,
    ) -> Result<Scene, Failure> {
        let thing = Rc::new(thing);
        let (waited, gave) = (thing.clone(), thing.clone());
        Ok(Scene {
            wait: Rc::new(move || wait(&waited)),
            release: Some(Box::new(move |_| give(&gave))),
            intact: Box::new(move |given, taken| {
                ensure!(
                    intact(&thing, given, taken),
                    "something is lost or too much: {given} given, {taken} taken"
                );
                Ok(())
            }),
        })
    }

    /// A wait for a lock that another greenlet holds, by `hold`, until it is told; `free` looks whether the lock is free.
    fn held<T: 'static>(
        lock: T,
        hold: fn(&T, &Event),
        wait: fn(&T),
        free: fn(&T) -> bool,
    ) -> Result<Scene, Failure> {
        let lock = Rc::new(lock);
        let (holds, waits) = (lock.clone(), lock.clone());
        let keeper = Keeper::new(move |until| hold(&holds, until));
        let opener = keeper.until.clone();
        Ok(Scene {
            wait: Rc::new(move || {
                wait(&waits);
                0
            }),
            release: Some(Box::new(move |_| {
                opener.set();
                1
            })),
            intact: Box::new(move |_, _| {
                keeper.end()?;
                ensure!(free(&lock), "the lock is held, and nobody holds it");
                Ok(())
            }),
        })
    }
}

/// A greenlet that does something until it is told to end. It has begun before those spawned later.
struct Keeper {
    until: Arc<Event>,
    greenlet: Greenlet<()>,
}

impl Keeper {
    fn new(keep: impl FnOnce(&Event) + 'static) -> Keeper {
        let until = Arc::new(Event::new());
        let told = until.clone();
        Keeper {
            until,
            greenlet: rustlet::spawn_local(move || keep(&told)),
        }
    }

    fn end(self) -> Result<(), Failure> {
        self.until.set();
        Ok(self.greenlet.join()?)
    }
}
