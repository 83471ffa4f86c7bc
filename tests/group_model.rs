//! Random programs on one pool: spawners, joiners and onlookers that wait, jobs that return, panic, are killed,
//! thrown at or discarded, in any order within a turn. Whatever happens, no slot is lost or doubled, nobody
//! waits without need, spawners are served in order, and each closure is dropped once.

mod support;

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use rustlet::{Greenlet, Handle, Pool, park, spawn_local, yield_now};
use support::Counter;

#[derive(Clone, Debug)]
enum Act {
    /// A greenlet that waits for a slot.
    Spawner,
    /// A greenlet that has another one added.
    Adder,
    TrySpawn,
    ApplyAsync,
    Joiner,
    Onlooker,
    Finish(prop::sample::Index),
    Panic(prop::sample::Index),
    Kill(prop::sample::Index),
    Throw(prop::sample::Index),
    Discard(prop::sample::Index),
    KillWaiting(prop::sample::Index),
    ThrowAtWaiting(prop::sample::Index),
    KillAll,
    KillAllNowait,
    Turn,
    /// Lets all run that can, and looks at everything.
    Settle,
}

fn acts() -> impl Strategy<Value = (usize, Vec<Act>)> {
    let index = any::<prop::sample::Index>;
    let act = prop_oneof![
        6 => Just(Act::Spawner),
        1 => Just(Act::Adder),
        2 => Just(Act::TrySpawn),
        1 => Just(Act::ApplyAsync),
        1 => Just(Act::Joiner),
        1 => Just(Act::Onlooker),
        4 => index().prop_map(Act::Finish),
        1 => index().prop_map(Act::Panic),
        2 => index().prop_map(Act::Kill),
        1 => index().prop_map(Act::Throw),
        1 => index().prop_map(Act::Discard),
        2 => index().prop_map(Act::KillWaiting),
        1 => index().prop_map(Act::ThrowAtWaiting),
        1 => Just(Act::KillAll),
        1 => Just(Act::KillAllNowait),
        3 => Just(Act::Turn),
        3 => Just(Act::Settle),
    ];
    (0..4_usize, prop::collection::vec(act, 1..40))
}

/// What the greenlets of a program share. Behind an `Arc` with locks that nobody waits for, because `try_spawn` asks
/// for `Send`.
struct World {
    pool: Pool,
    /// Jobs that were let in and are not known to have ended.
    jobs: Mutex<Vec<Handle>>,
    discarded: Mutex<Vec<Handle>>,
    /// The numbers of spawners that found the pool full, in the order in which they were served.
    served: Mutex<Vec<(usize, u64)>>,
    made: Counter,
    dropped: Counter,
    to_panic: Mutex<Vec<u64>>,
}

impl World {
    /// A job: waits until it is unparked, and then returns or panics.
    fn job(self: &Arc<Self>) -> impl FnOnce() + Send + 'static + use<> {
        self.made.add();
        let (guard, world) = (self.dropped.on_drop(), self.clone());
        move || {
            let _guard = guard;
            let _ = park();
            if world
                .to_panic
                .lock()
                .unwrap()
                .contains(&rustlet::current().id())
            {
                resume_unwind(Box::new("on purpose"));
            }
        }
    }

    fn live_jobs(&self) -> Vec<Handle> {
        let mut jobs = self.jobs.lock().unwrap();
        jobs.retain(|job| !job.is_finished());
        jobs.clone()
    }

    fn let_in(&self, job: &Greenlet<()>) {
        self.jobs.lock().unwrap().push(job.handle());
    }
}

/// A program in its course.
struct Course {
    world: Arc<World>,
    spawners: Vec<(usize, Greenlet<()>)>,
    /// Those of `apply_async`: members once they have a slot.
    asyncs: Vec<Greenlet<()>>,
    joiners: Vec<Greenlet<()>>,
    onlookers: Vec<Greenlet<()>>,
    outsiders: Vec<Greenlet<()>>,
    next: usize,
    /// Who was killed or thrown at while it waited: that may have it run before its turn.
    hurried: Vec<u64>,
}

impl Course {
    fn new(size: usize) -> Self {
        Course {
            world: Arc::new(World {
                pool: Pool::new(size),
                jobs: Mutex::default(),
                discarded: Mutex::default(),
                served: Mutex::default(),
                made: Counter::default(),
                dropped: Counter::default(),
                to_panic: Mutex::default(),
            }),
            spawners: Vec::new(),
            asyncs: Vec::new(),
            joiners: Vec::new(),
            onlookers: Vec::new(),
            outsiders: Vec::new(),
            next: 0,
            hurried: Vec::new(),
        }
    }

    fn act(&mut self, act: &Act) {
        let world = self.world.clone();
        let job = |which: &prop::sample::Index| {
            let jobs = world.live_jobs();
            (!jobs.is_empty()).then(|| jobs[which.index(jobs.len())].clone())
        };
        let waiting = |course: &Course, which: &prop::sample::Index| {
            let spawners = course.spawners.iter().map(|(_, spawner)| spawner);
            let all = spawners
                .chain(&course.joiners)
                .chain(&course.onlookers)
                .chain(&course.asyncs);
            let all: Vec<Handle> = all
                .filter(|one| !one.is_finished())
                .map(Greenlet::handle)
                .collect();
            (!all.is_empty()).then(|| all[which.index(all.len())].clone())
        };
        match act {
            Act::Spawner | Act::Adder => {
                let number = self.next;
                self.next += 1;
                let (adder, world) = (matches!(act, Act::Adder), self.world.clone());
                let outsider = adder.then(|| spawn_local(world.job()));
                let handle = outsider.as_ref().map(Greenlet::handle);
                self.outsiders.extend(outsider);
                let job = (!adder).then(|| world.job());
                let spawner = spawn_local(move || {
                    let waits = world.pool.is_full();
                    match (job, handle) {
                        (Some(job), _) => world.let_in(&world.pool.spawn(job)),
                        (None, Some(outsider)) => {
                            if world.pool.add(&outsider) {
                                world.jobs.lock().unwrap().push(outsider);
                            }
                        }
                        _ => unreachable!("one of the two"),
                    }
                    if waits {
                        world
                            .served
                            .lock()
                            .unwrap()
                            .push((number, rustlet::current().id()));
                    }
                });
                self.spawners.push((number, spawner));
                // So that their order of arrival is that of their numbers.
                yield_now();
            }
            Act::TrySpawn => {
                let free = world.pool.free_count();
                match world.pool.try_spawn(world.job()) {
                    Ok(job) => {
                        assert!(free > 0);
                        world.let_in(&job);
                    }
                    Err(_) => assert_eq!(free, 0),
                }
            }
            Act::ApplyAsync => self.asyncs.push(world.pool.apply_async(world.job())),
            Act::Joiner => {
                let world = world.clone();
                self.joiners.push(spawn_local(move || world.pool.join()));
            }
            Act::Onlooker => {
                let world = world.clone();
                self.onlookers
                    .push(spawn_local(move || world.pool.wait_available()));
            }
            Act::Finish(which) => job(which).iter().for_each(Handle::unpark),
            Act::Panic(which) => {
                if let Some(job) = job(which) {
                    world.to_panic.lock().unwrap().push(job.id());
                    job.unpark();
                }
            }
            Act::Kill(which) => job(which).iter().for_each(Handle::kill),
            Act::Throw(which) => job(which).iter().for_each(|job| job.throw("thrown")),
            Act::Discard(which) => {
                if let Some(job) = job(which)
                    && world.pool.discard(&job)
                {
                    let mut jobs = world.jobs.lock().unwrap();
                    jobs.retain(|other| other.id() != job.id());
                    world.discarded.lock().unwrap().push(job);
                }
            }
            Act::KillWaiting(which) => {
                if let Some(one) = waiting(self, which) {
                    self.hurried.push(one.id());
                    one.kill();
                }
            }
            Act::ThrowAtWaiting(which) => {
                if let Some(one) = waiting(self, which) {
                    self.hurried.push(one.id());
                    one.throw("thrown");
                }
            }
            Act::KillAll => world.pool.kill(),
            Act::KillAllNowait => world.pool.kill_nowait(),
            Act::Turn => yield_now(),
            Act::Settle => self.settle(),
        }
    }

    fn settle(&mut self) {
        // The longest chain: all who wait are served one after the other, and each job is killed.
        (0..self.next * 3 + 10).for_each(|_| yield_now());
        let pool = &self.world.pool;
        let size = pool.size().expect("limited");
        let (len, free) = (pool.len(), pool.free_count());
        assert_eq!(len + free, size, "slots are neither lost nor doubled");
        let jobs = self.world.live_jobs();
        let asyncs = self.asyncs.iter().filter(|job| pool.contains(*job)).count();
        assert_eq!(jobs.len() + asyncs, len, "members are the jobs that live");
        assert!(jobs.iter().all(|job| pool.contains(job)));
        self.spawners.retain(|(_, spawner)| !spawner.is_finished());
        self.asyncs.retain(|job| !job.is_finished());
        self.joiners.retain(|joiner| !joiner.is_finished());
        self.onlookers.retain(|onlooker| !onlooker.is_finished());
        if free > 0 {
            assert!(
                self.spawners.is_empty(),
                "a spawner waits, and a slot is free"
            );
            assert_eq!(self.asyncs.len(), asyncs, "a job waits, and a slot is free");
            assert!(
                self.onlookers.is_empty(),
                "an onlooker waits, and a slot is free"
            );
        }
        if len == 0 {
            assert!(self.joiners.is_empty(), "a joiner waits for an empty pool");
        }
        let served = self.world.served.lock().unwrap();
        let served = served.iter().filter(|(_, id)| !self.hurried.contains(id));
        assert!(served.is_sorted(), "first come, first served");
    }

    fn end(mut self) {
        self.settle();
        let world = self.world.clone();
        for one in self.spawners.iter().map(|(_, one)| one).chain(&self.asyncs) {
            one.kill().unwrap();
        }
        world.pool.kill();
        self.settle();
        world
            .discarded
            .lock()
            .unwrap()
            .drain(..)
            .for_each(|job| job.kill());
        self.outsiders.drain(..).for_each(|job| job.kill().unwrap());
        self.onlookers.drain(..).for_each(|one| one.kill().unwrap());
        (0..4).for_each(|_| yield_now());
        assert!(world.pool.is_empty());
        assert_eq!(world.pool.free_count(), world.pool.size().unwrap());
        assert_eq!(world.made.get(), world.dropped.get());
        drop(self);
        assert_eq!(rustlet::stats().live, 0);
    }
}

#[test]
fn random_programs() {
    let _watchdog = support::watchdog_of(Duration::from_secs(300));
    let operations = std::env::var("RUSTLET_TEST_OPERATIONS").map_or(4_000, |n| n.parse().unwrap());
    proptest!(support::proptest_config(operations / 20), |((size, acts) in acts())| {
        // A hub of its own, so that a program that fails leaves nothing to the next.
        let program = std::thread::spawn(move || {
            let mut course = Course::new(size);
            acts.iter().for_each(|act| course.act(act));
            course.end();
        });
        program.join().unwrap_or_else(|payload| resume_unwind(payload));
    });
}
