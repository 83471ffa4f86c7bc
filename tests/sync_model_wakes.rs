//! Random programs on what wakes: events, condition variables and barriers, with waits that are killed, limited
//! and interrupted. Each rests on one fact, which is checked whenever everything has come to rest:
//!
//! - event: a wait ends well if and only if the event was set when it began or since, and nobody waits for one
//!   that is set;
//! - condition variable: as long as somebody waits, as many have been woken as there were notifications, however
//!   many of the woken were killed before they had the mutex;
//! - barrier: all that were let go were as many as the barrier is for, with one leader.
//!
//! The number of operations: `RUSTLET_TEST_OPERATIONS`, for each kind.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rustlet::sync::{Barrier, Condvar, Event, Mutex, MutexGuard};
use rustlet::{Greenlet, spawn_local, timeout, yield_now};

const ACTORS: usize = 6;
const LENGTH: usize = 100;

/// How one waits.
#[derive(Clone, Copy, Debug)]
enum How {
    Forever,
    /// By the operation's own limit.
    Limit(u64),
    /// Inside of a `timeout`.
    Scope(u64),
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Wait(usize, How),
    /// Something that the driver does, and what that is depends on the test.
    Poke(u8),
    Kill(usize),
    Yield,
    /// Time passes, and no greenlet runs.
    Spin(u64),
    Settle,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let how = prop_oneof![
        4 => Just(How::Forever),
        1 => (0..150_u64).prop_map(How::Limit),
        1 => (0..150_u64).prop_map(How::Scope),
    ];
    let step = prop_oneof![
        10 => (0..ACTORS, how).prop_map(|(actor, how)| Step::Wait(actor, how)),
        6 => any::<u8>().prop_map(Step::Poke),
        3 => (0..ACTORS).prop_map(Step::Kill),
        4 => Just(Step::Yield),
        1 => (0..150_u64).prop_map(Step::Spin),
        3 => Just(Step::Settle),
    ];
    prop::collection::vec(step, LENGTH)
}

/// The wait of one greenlet, as the driver sees it.
#[derive(Default)]
struct Actor {
    how: Cell<Option<How>>,
    idle: Cell<bool>,
    /// It waits for a limited time.
    limited: Cell<bool>,
    /// Since when it waits.
    waits: Cell<Option<u64>>,
    /// The begin of the wait that ended well last.
    served: Cell<Option<u64>>,
    dead: Cell<bool>,
}

/// What a test has of its own.
trait Thing: 'static {
    fn new() -> Self;
    /// Waits as a greenlet; calls `begin` when it really begins. Whether the wait ended well.
    fn wait(&'static self, how: How, begin: impl FnOnce()) -> bool;
    /// Does something as the driver, at the moment `now`.
    fn poke(&'static self, what: u8, now: u64);
    /// Makes sure that everything comes to rest.
    fn before_rest(&self) {}
    /// `waiting`: since when, in order. `served`: the begins of those that ended well since the last rest, which was
    /// at `last`.
    fn check(&self, waiting: &[u64], served: &[u64], last: u64);
}

/// How a wait ends with a `timeout` around it.
fn in_limit(limit: u64, wait: impl FnOnce() -> bool) -> bool {
    timeout(Duration::from_micros(limit), wait).unwrap_or(false)
}

struct World<T: Thing> {
    thing: &'static T,
    actors: Vec<(Rc<Actor>, Greenlet<()>)>,
    clock: Rc<Cell<u64>>,
    last: u64,
}

struct End(Rc<Actor>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.waits.set(None);
        self.0.limited.set(false);
        self.0.dead.set(true);
    }
}

fn tick(clock: &Cell<u64>) -> u64 {
    clock.set(clock.get() + 1);
    clock.get()
}

impl<T: Thing> World<T> {
    fn actor(&self) -> (Rc<Actor>, Greenlet<()>) {
        let actor = Rc::new(Actor::default());
        actor.idle.set(true);
        let (end, thing, clock) = (End(actor.clone()), self.thing, self.clock.clone());
        let greenlet = spawn_local(move || {
            let actor = &*end.0;
            loop {
                let Some(how) = actor.how.take() else {
                    actor.idle.set(true);
                    rustlet::park().unwrap();
                    continue;
                };
                actor.limited.set(!matches!(how, How::Forever));
                let mut began = 0;
                let well = thing.wait(how, || {
                    began = tick(&clock);
                    actor.waits.set(Some(began));
                });
                actor.waits.set(None);
                actor.limited.set(false);
                if well {
                    actor.served.set(Some(began));
                }
            }
        });
        (actor, greenlet)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Wait(index, how) => {
                let (actor, greenlet) = &self.actors[index];
                // One wait between two rests, so that none is overlooked.
                if actor.served.get().is_none() && actor.idle.replace(false) {
                    actor.how.set(Some(how));
                    greenlet.handle().unpark();
                }
            }
            Step::Poke(what) => self.thing.poke(what, tick(&self.clock)),
            Step::Kill(index) => self.actors[index].1.kill_nowait(),
            Step::Yield => yield_now(),
            Step::Spin(time) => {
                let end = Instant::now() + Duration::from_micros(time);
                while Instant::now() < end {
                    std::hint::spin_loop();
                }
            }
            Step::Settle => self.settle(),
        }
    }

    fn settle(&mut self) {
        self.thing.before_rest();
        // Until nobody but this code runs, and nobody waits whose time will be over.
        loop {
            let switches = rustlet::stats().switches;
            yield_now();
            let alone = rustlet::stats().switches == switches + 1;
            if alone && self.actors.iter().all(|(actor, _)| !actor.limited.get()) {
                break;
            }
        }
        let all = || self.actors.iter().map(|(actor, _)| actor);
        let mut waiting: Vec<_> = all().filter_map(|actor| actor.waits.get()).collect();
        waiting.sort_unstable();
        let served: Vec<_> = all().filter_map(|actor| actor.served.take()).collect();
        self.thing.check(&waiting, &served, self.last);
        self.last = tick(&self.clock);
        for index in 0..ACTORS {
            if self.actors[index].0.dead.get() {
                self.actors[index] = self.actor();
            }
        }
        yield_now();
    }

    fn run(steps: Vec<Step>) {
        let _watchdog = support::watchdog_of(Duration::from_secs(120));
        let mut world = World {
            thing: Box::leak(Box::new(T::new())),
            actors: Vec::new(),
            clock: Rc::default(),
            last: 0,
        };
        world.actors = (0..ACTORS).map(|_| world.actor()).collect();
        yield_now();
        for step in steps {
            world.step(step);
        }
        world.settle();
        for (_, greenlet) in &world.actors {
            greenlet.kill_nowait();
        }
        world.settle();
        for (_, greenlet) in &world.actors {
            greenlet.kill().unwrap();
        }
    }
}

#[derive(Default)]
struct EventModel {
    event: Event,
    last_set: Cell<u64>,
}

impl Thing for EventModel {
    fn new() -> Self {
        EventModel::default()
    }

    fn wait(&'static self, how: How, begin: impl FnOnce()) -> bool {
        let (was_set, before) = (self.event.is_set(), self.last_set.get());
        begin();
        let well = match how {
            How::Forever => {
                self.event.wait();
                true
            }
            How::Limit(limit) => self.event.wait_timeout(Duration::from_micros(limit)),
            How::Scope(limit) => in_limit(limit, || {
                self.event.wait();
                true
            }),
        };
        assert_eq!(well, was_set || self.last_set.get() > before);
        well
    }

    fn poke(&'static self, what: u8, now: u64) {
        if what.is_multiple_of(2) {
            self.last_set.set(now);
            self.event.set();
        } else {
            self.event.clear();
        }
    }

    fn check(&self, waiting: &[u64], _: &[u64], _: u64) {
        assert!(waiting.is_empty() || !self.event.is_set());
        assert!(waiting.iter().all(|began| *began > self.last_set.get()));
    }
}

struct BarrierModel {
    barrier: Barrier,
    /// Let go, and leaders among them.
    gone: Cell<usize>,
    leaders: Cell<usize>,
}

impl Thing for BarrierModel {
    fn new() -> Self {
        BarrierModel {
            barrier: Barrier::new(3),
            gone: Cell::new(0),
            leaders: Cell::new(0),
        }
    }

    fn wait(&'static self, how: How, begin: impl FnOnce()) -> bool {
        begin();
        let met = match how {
            How::Forever => Some(self.barrier.wait()),
            How::Limit(limit) => self.barrier.wait_timeout(Duration::from_micros(limit)),
            How::Scope(limit) => timeout(Duration::from_micros(limit), || self.barrier.wait()).ok(),
        };
        let Some(met) = met else { return false };
        self.gone.set(self.gone.get() + 1);
        self.leaders
            .set(self.leaders.get() + usize::from(met.is_leader()));
        true
    }

    fn poke(&'static self, _: u8, _: u64) {}

    fn check(&self, waiting: &[u64], served: &[u64], _: u64) {
        assert_eq!((self.gone.get() % 3, served.len() % 3), (0, 0));
        assert_eq!(self.leaders.get(), self.gone.get() / 3);
        assert!(waiting.len() < 3);
    }
}

#[derive(Default)]
struct CondvarModel {
    mutex: Mutex<()>,
    condvar: Condvar,
    /// The driver's.
    guard: RefCell<Option<MutexGuard<'static, ()>>>,
    notified: Cell<usize>,
    notified_all: Cell<u64>,
}

impl Thing for CondvarModel {
    fn new() -> Self {
        CondvarModel::default()
    }

    fn wait(&'static self, how: How, begin: impl FnOnce()) -> bool {
        let guard = self.mutex.lock().unwrap();
        begin();
        match how {
            How::Forever => {
                drop(self.condvar.wait(guard).unwrap());
                true
            }
            How::Limit(limit) => {
                let limit = Duration::from_micros(limit);
                !self
                    .condvar
                    .wait_timeout(guard, limit)
                    .unwrap()
                    .1
                    .timed_out()
            }
            How::Scope(limit) => in_limit(limit, || {
                drop(self.condvar.wait(guard).unwrap());
                true
            }),
        }
    }

    fn poke(&'static self, what: u8, now: u64) {
        match what % 10 {
            0 => {
                self.condvar.notify_all();
                self.notified_all.set(now);
            }
            // Held for a while, so that the notified wait for it.
            1..=4 => {
                if self.guard.borrow().is_none() {
                    *self.guard.borrow_mut() = self.mutex.try_lock().ok();
                }
            }
            5 => drop(self.guard.take()),
            _ => {
                self.condvar.notify_one();
                self.notified.set(self.notified.get() + 1);
            }
        }
    }

    fn before_rest(&self) {
        drop(self.guard.take());
    }

    fn check(&self, waiting: &[u64], served: &[u64], last: u64) {
        let notified = self.notified.take();
        assert!(waiting.iter().all(|began| *began > self.notified_all.get()));
        if let Some(&first) = waiting.first() {
            // Nobody who came later, but for those that a notification found who came before a killed one.
            assert!(
                served.iter().all(|began| *began < first),
                "{served:?}, {first} waits"
            );
            if first < last {
                assert_eq!(served.len(), notified, "somebody waited all the time");
            }
        }
        assert!(!self.mutex.is_poisoned());
    }
}

/// How many programs make up the operations asked for.
fn cases() -> u32 {
    let operations = std::env::var("RUSTLET_TEST_OPERATIONS").map_or(4_000, |text| {
        text.parse::<usize>().expect("a number of operations")
    });
    u32::try_from(operations.div_ceil(LENGTH)).expect("not that many")
}

proptest! {
    #![proptest_config(support::proptest_config(cases()))]

    #[test]
    fn event(steps in steps()) {
        World::<EventModel>::run(steps);
    }

    #[test]
    fn barrier(steps in steps()) {
        World::<BarrierModel>::run(steps);
    }

    #[test]
    fn condvar(steps in steps()) {
        World::<CondvarModel>::run(steps);
    }
}
