//! Random programs on locks: a handful of greenlets that lock, try, wait with limits, are killed, interrupted
//! and panic, with the unlocking done at any moment. Whenever everything has come to rest it must hold:
//!
//! - those who hold the lock may do so together;
//! - nobody waits whom the lock would admit, so no wake-up was lost;
//! - nobody was served before one that came earlier and waits still;
//! - a panic of a writer has poisoned the lock, and nothing else has.
//!
//! The number of operations: `RUSTLET_TEST_OPERATIONS`, for each kind of lock.

mod support;

use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::rc::Rc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rustlet::sync::{
    Mutex, MutexGuard, Permit, PoisonError, ReentrantMutex, ReentrantMutexGuard, RwLock,
    RwLockReadGuard, RwLockWriteGuard, Semaphore, TryLockError, TryLockResult,
};
use rustlet::{Greenlet, spawn_local, timeout, yield_now};

const ACTORS: usize = 5;
const LENGTH: usize = 100;

/// What one comes to do; locks of one kind ignore it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Read,
    Write,
}

/// A lock under test. All of them live for ever.
trait Lock: 'static {
    type Guard: 'static;
    fn new() -> &'static Self;
    fn lock(&'static self, mode: Mode) -> Self::Guard;
    fn try_lock(&'static self, mode: Mode) -> Option<Self::Guard>;
    fn lock_timeout(&'static self, mode: Mode, limit: Duration) -> Option<Self::Guard>;
    fn is_poisoned(&self) -> bool {
        false
    }
    /// Makes it forget a panic; whether a panic of one that held it in `mode` poisons it.
    fn clear_poison(&self) {}
    fn panic_poisons(_mode: Mode) -> bool {
        false
    }
    /// Whether `actor` may hold it in `mode` beside `holders`.
    fn admits(holders: &[(usize, Mode)], actor: usize, mode: Mode) -> bool;
    /// Whether code that comes later may be served before one that waits.
    const BARGES: bool;
}

fn tried<G>(result: TryLockResult<G>) -> Option<G> {
    match result {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl Lock for Mutex<()> {
    type Guard = MutexGuard<'static, ()>;
    fn new() -> &'static Self {
        Box::leak(Box::new(Mutex::new(())))
    }
    fn lock(&'static self, _: Mode) -> Self::Guard {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn try_lock(&'static self, _: Mode) -> Option<Self::Guard> {
        tried(self.try_lock())
    }
    fn lock_timeout(&'static self, _: Mode, limit: Duration) -> Option<Self::Guard> {
        tried(self.lock_timeout(limit))
    }
    fn is_poisoned(&self) -> bool {
        self.is_poisoned()
    }
    fn clear_poison(&self) {
        self.clear_poison();
    }
    fn panic_poisons(_: Mode) -> bool {
        true
    }
    fn admits(holders: &[(usize, Mode)], _: usize, _: Mode) -> bool {
        holders.is_empty()
    }
    const BARGES: bool = true;
}

impl Lock for Semaphore {
    type Guard = Permit<'static>;
    fn new() -> &'static Self {
        Box::leak(Box::new(Semaphore::new(2)))
    }
    fn lock(&'static self, _: Mode) -> Self::Guard {
        self.acquire()
    }
    fn try_lock(&'static self, _: Mode) -> Option<Self::Guard> {
        self.try_acquire()
    }
    fn lock_timeout(&'static self, _: Mode, limit: Duration) -> Option<Self::Guard> {
        self.acquire_timeout(limit)
    }
    fn admits(holders: &[(usize, Mode)], _: usize, _: Mode) -> bool {
        holders.len() < 2
    }
    const BARGES: bool = true;
}

impl Lock for ReentrantMutex<()> {
    type Guard = ReentrantMutexGuard<'static, ()>;
    fn new() -> &'static Self {
        Box::leak(Box::new(ReentrantMutex::new(())))
    }
    fn lock(&'static self, _: Mode) -> Self::Guard {
        self.lock()
    }
    fn try_lock(&'static self, _: Mode) -> Option<Self::Guard> {
        self.try_lock()
    }
    fn lock_timeout(&'static self, _: Mode, limit: Duration) -> Option<Self::Guard> {
        self.lock_timeout(limit)
    }
    fn admits(holders: &[(usize, Mode)], actor: usize, _: Mode) -> bool {
        holders.iter().all(|(holder, _)| *holder == actor)
    }
    const BARGES: bool = true;
}

/// Held until dropped.
#[expect(dead_code, reason = "only dropped")]
enum RwGuard {
    Read(RwLockReadGuard<'static, ()>),
    Write(RwLockWriteGuard<'static, ()>),
}

impl Lock for RwLock<()> {
    type Guard = RwGuard;
    fn new() -> &'static Self {
        Box::leak(Box::new(RwLock::new(())))
    }
    fn lock(&'static self, mode: Mode) -> RwGuard {
        match mode {
            Mode::Read => RwGuard::Read(self.read().unwrap_or_else(PoisonError::into_inner)),
            Mode::Write => RwGuard::Write(self.write().unwrap_or_else(PoisonError::into_inner)),
        }
    }
    fn try_lock(&'static self, mode: Mode) -> Option<RwGuard> {
        match mode {
            Mode::Read => tried(self.try_read()).map(RwGuard::Read),
            Mode::Write => tried(self.try_write()).map(RwGuard::Write),
        }
    }
    fn lock_timeout(&'static self, mode: Mode, limit: Duration) -> Option<RwGuard> {
        match mode {
            Mode::Read => tried(self.read_timeout(limit)).map(RwGuard::Read),
            Mode::Write => tried(self.write_timeout(limit)).map(RwGuard::Write),
        }
    }
    fn is_poisoned(&self) -> bool {
        self.is_poisoned()
    }
    fn clear_poison(&self) {
        self.clear_poison();
    }
    fn panic_poisons(mode: Mode) -> bool {
        mode == Mode::Write
    }
    fn admits(holders: &[(usize, Mode)], _: usize, mode: Mode) -> bool {
        match mode {
            Mode::Read => holders.iter().all(|(_, held)| *held == Mode::Read),
            Mode::Write => holders.is_empty(),
        }
    }
    const BARGES: bool = false;
}

/// What a greenlet is told to do.
#[derive(Clone, Copy, Debug)]
enum Task {
    Lock(Mode),
    Try(Mode),
    LockTimeout(Mode, u64),
    /// A lock inside of a `timeout`.
    LockInLimit(Mode, u64),
    Panic,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Do(usize, Task),
    /// The guard that it took first is dropped, by somebody else and at once.
    Unlock(usize),
    Kill(usize),
    Yield,
    /// Time passes, and no greenlet runs.
    Spin(u64),
    /// Everything comes to rest, and is checked.
    Settle,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let mode = || prop_oneof![Just(Mode::Read), Just(Mode::Write)];
    let task = prop_oneof![
        6 => mode().prop_map(Task::Lock),
        2 => mode().prop_map(Task::Try),
        1 => (mode(), 0..150_u64).prop_map(|(mode, limit)| Task::LockTimeout(mode, limit)),
        1 => (mode(), 0..150_u64).prop_map(|(mode, limit)| Task::LockInLimit(mode, limit)),
        1 => Just(Task::Panic),
    ];
    let step = prop_oneof![
        10 => (0..ACTORS, task).prop_map(|(actor, task)| Step::Do(actor, task)),
        8 => (0..ACTORS).prop_map(Step::Unlock),
        3 => (0..ACTORS).prop_map(Step::Kill),
        4 => Just(Step::Yield),
        1 => (0..150_u64).prop_map(Step::Spin),
        6 => Just(Step::Settle),
    ];
    prop::collection::vec(step, LENGTH)
}

/// What a greenlet and the driver know of each other.
struct Actor<L: Lock> {
    task: Cell<Option<Task>>,
    guards: RefCell<Vec<(Mode, L::Guard)>>,
    /// While it waits: since when, in the order of all, and for what.
    waits: Cell<Option<(u64, Mode)>>,
    /// It waits for a limited time.
    limited: Cell<bool>,
    /// The one that it was last given was asked for then.
    granted: Cell<Option<u64>>,
    idle: Cell<bool>,
    dead: Cell<bool>,
}

struct World<L: Lock> {
    lock: &'static L,
    actors: Vec<(Rc<Actor<L>>, Greenlet<()>)>,
    clock: Rc<Cell<u64>>,
    /// A panic happened that poisons.
    poisoned: Rc<Cell<bool>>,
}

/// Ends an actor as its greenlet ends.
struct End<L: Lock>(Rc<Actor<L>>);

impl<L: Lock> Drop for End<L> {
    fn drop(&mut self) {
        self.0.guards.borrow_mut().clear();
        self.0.waits.set(None);
        self.0.limited.set(false);
        self.0.dead.set(true);
    }
}

impl<L: Lock> Actor<L> {
    fn start(world: (&'static L, Rc<Cell<u64>>, Rc<Cell<bool>>)) -> (Rc<Self>, Greenlet<()>) {
        let actor = Rc::new(Actor {
            task: Cell::new(None),
            guards: RefCell::default(),
            waits: Cell::new(None),
            limited: Cell::new(false),
            granted: Cell::new(None),
            idle: Cell::new(true),
            dead: Cell::new(false),
        });
        let end = End(actor.clone());
        let greenlet = spawn_local(move || {
            let (lock, clock, poisoned) = world;
            loop {
                let actor = &*end.0;
                let Some(task) = actor.task.take() else {
                    actor.idle.set(true);
                    rustlet::park().unwrap();
                    continue;
                };
                actor.perform(lock, task, &clock, &poisoned);
            }
        });
        (actor, greenlet)
    }

    fn perform(&self, lock: &'static L, task: Task, clock: &Cell<u64>, poisoned: &Cell<bool>) {
        let micros = Duration::from_micros;
        let now = clock.get();
        clock.set(now + 1);
        let waiting = |mode| self.waits.set(Some((now, mode)));
        let (mode, guard) = match task {
            Task::Lock(mode) => {
                waiting(mode);
                (mode, Some(lock.lock(mode)))
            }
            Task::Try(mode) => (mode, lock.try_lock(mode)),
            Task::LockTimeout(mode, limit) => {
                waiting(mode);
                self.limited.set(true);
                (mode, lock.lock_timeout(mode, micros(limit)))
            }
            Task::LockInLimit(mode, limit) => {
                waiting(mode);
                self.limited.set(true);
                (mode, timeout(micros(limit), || lock.lock(mode)).ok())
            }
            Task::Panic => {
                let guards = self.guards.borrow();
                if guards.iter().any(|(mode, _)| L::panic_poisons(*mode)) {
                    poisoned.set(true);
                }
                drop(guards);
                resume_unwind(Box::new("on purpose"));
            }
        };
        self.waits.set(None);
        self.limited.set(false);
        if let Some(guard) = guard {
            self.granted.set(Some(now));
            self.guards.borrow_mut().push((mode, guard));
        }
    }
}

impl<L: Lock> World<L> {
    fn new() -> Self {
        let mut world = World {
            lock: L::new(),
            actors: Vec::new(),
            clock: Rc::default(),
            poisoned: Rc::default(),
        };
        world.actors = (0..ACTORS).map(|_| world.actor()).collect();
        world
    }

    fn actor(&self) -> (Rc<Actor<L>>, Greenlet<()>) {
        Actor::start((self.lock, self.clock.clone(), self.poisoned.clone()))
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Do(index, task) => {
                let (actor, greenlet) = &self.actors[index];
                if actor.idle.replace(false) {
                    actor.task.set(Some(task));
                    greenlet.handle().unpark();
                }
            }
            Step::Unlock(index) => {
                let mut guards = self.actors[index].0.guards.borrow_mut();
                if !guards.is_empty() {
                    drop(guards.remove(0));
                }
            }
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
        let before = self.waiting();
        // Until nobody but this code runs, and nobody waits whose time will be over.
        loop {
            let switches = rustlet::stats().switches;
            yield_now();
            let alone = rustlet::stats().switches == switches + 1;
            if alone && self.actors.iter().all(|(actor, _)| !actor.limited.get()) {
                break;
            }
        }
        self.check(&before);
        for index in 0..ACTORS {
            if self.actors[index].0.dead.get() {
                self.actors[index] = self.actor();
            }
            self.actors[index].0.granted.set(None);
        }
        yield_now(); // the new ones start
        self.lock.clear_poison();
        self.poisoned.set(false);
    }

    /// Those who wait, by when they came.
    fn waiting(&self) -> Vec<(u64, usize, Mode)> {
        let waiting = self.actors.iter().enumerate();
        let mut waiting: Vec<_> = waiting
            .filter_map(|(index, (actor, _))| actor.waits.get().map(|(at, mode)| (at, index, mode)))
            .collect();
        waiting.sort_unstable_by_key(|(at, ..)| *at);
        waiting
    }

    fn check(&self, waited_before: &[(u64, usize, Mode)]) {
        let mut holders = Vec::new();
        for (index, (actor, _)) in self.actors.iter().enumerate() {
            for (mode, _) in &*actor.guards.borrow() {
                assert!(
                    L::admits(&holders, index, *mode),
                    "{index} beside {holders:?}"
                );
                holders.push((index, *mode));
            }
        }
        let waiting = self.waiting();
        if let Some(&(_, first, mode)) = waiting.first() {
            assert!(
                !L::admits(&holders, first, mode),
                "{first} waits for {mode:?}, and could have it: {holders:?} hold it"
            );
        }
        for &(at, index, _) in &waiting {
            for (other, (actor, _)) in self.actors.iter().enumerate() {
                let Some(granted) = actor.granted.get() else {
                    continue;
                };
                let may_barge = L::BARGES && !waited_before.iter().any(|(at, ..)| *at == granted);
                assert!(
                    granted < at || may_barge,
                    "{other} came at {granted} and was served, {index} came at {at} and waits"
                );
            }
        }
        assert_eq!(self.lock.is_poisoned(), self.poisoned.get(), "poisoned");
    }

    fn end(mut self) {
        for (_, greenlet) in &self.actors {
            greenlet.kill_nowait();
        }
        self.settle();
        drop(
            self.lock
                .try_lock(Mode::Write)
                .expect("nobody is left who holds it"),
        );
        for (_, greenlet) in &self.actors {
            greenlet.kill().unwrap();
        }
    }
}

fn run<L: Lock>(steps: Vec<Step>) {
    support::deadline(Duration::from_secs(120), || {
        let mut world = World::<L>::new();
        yield_now();
        for step in steps {
            world.step(step);
        }
        world.end();
    });
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
    fn mutex(steps in steps()) {
        run::<Mutex<()>>(steps);
    }

    #[test]
    fn semaphore(steps in steps()) {
        run::<Semaphore>(steps);
    }

    #[test]
    fn reentrant_mutex(steps in steps()) {
        run::<ReentrantMutex<()>>(steps);
    }

    #[test]
    fn rwlock(steps in steps()) {
        run::<RwLock<()>>(steps);
    }
}
