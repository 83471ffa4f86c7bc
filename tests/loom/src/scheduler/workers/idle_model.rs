//! Workers that sleep: what is pushed is started, and by no more workers than it takes.
//!
//! The files of the library are `worker.rs`, `announce.rs`, `idle.rs`, `injector.rs` and the hub's inbox; what is written here
//! is the hub's loop around them, [`Hub::work`]. What fails to be started is a deadlock, which loom reports.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::sync::{Condvar, Mutex};
use loom::thread::{self, JoinHandle};

use super::fresh::Fresh;
use super::{Found, Team, Worker};
use crate::models::{Row, check, check_at_most};
use crate::scheduler::bell::{count_rings, deadlines_come, rings};
use crate::scheduler::inbox::Shared;
use crate::scheduler::task::TaskRef;

pub(crate) const MODELS: &[Row] = &[
    (
        "idle push",
        "what a worker pushes while the other goes to sleep is started, and wakes no more than one",
        || check(|| pushing(1, true)),
    ),
    (
        "idle push to two",
        "the same with two others: one push wakes one",
        || check_at_most(3, || pushing(2, true)),
    ),
    (
        "idle inject",
        "what a plain thread hands to a worker that goes to sleep is started",
        || check(|| injecting(1)),
    ),
    (
        "idle inject two",
        "the same with two things, the second of which may come while the worker searches",
        || check(|| injecting(2)),
    ),
    (
        "idle burst",
        "two things that wait for each other wake two sleepers, and no more",
        || {
            check_at_most(2, || meeting(true));
            check_at_most(3, || meeting(false));
        },
    ),
    (
        "idle burst of a worker",
        "the same, pushed by a worker that does nothing else meanwhile",
        || check_at_most(2, meeting_of_a_worker),
    ),
    (
        "idle woken",
        "a worker that is woken for something else when it is picked, and does that first",
        || check_at_most(3, being_woken),
    ),
    (
        "idle trust",
        "a single thing of a trusted worker is started although who trusted it is woken for something else",
        || {
            deadlines_come(true);
            check_at_most(3, trusting_and_woken);
        },
    ),
    (
        "idle trust burst",
        "two things of a trusted worker are told of, however long the trust",
        || {
            deadlines_come(false);
            check_at_most(3, trusting);
        },
    ),
];

// Wakes are counted only where executions have few preemptions: with more of them there is one in which somebody sees a thing that
// was stolen twice, is preempted until it was done, and then wakes its doer again.

/// Something that happens once.
#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn open(&self) {
        *self.0.lock().expect("no panic while it is held") = true;
        self.1.notify_all();
    }

    fn wait(&self) {
        let mut open = self.0.lock().expect("no panic while it is held");
        while !*open {
            open = self.1.wait(open).expect("no panic while it is held");
        }
    }
}

/// What the things to do, numbers, are; and what was done.
struct World {
    team: Arc<Team>,
    done: [AtomicUsize; 3],
    /// Both things have been begun: each waits for the other, on its own thread.
    met: [Gate; 2],
    meet: bool,
    all_done: Gate,
    left: AtomicUsize,
}

impl World {
    fn new(team: Arc<Team>, things: usize, meet: bool) -> Arc<World> {
        count_rings();
        Arc::new(World {
            team,
            done: Default::default(),
            met: [Gate::default(), Gate::default()],
            meet,
            all_done: Gate::default(),
            left: AtomicUsize::new(things),
        })
    }

    /// What counting is needed is not loom's: it orders nothing.
    fn run(&self, Fresh(number): Fresh) {
        assert_eq!(self.done[number].fetch_add(1, Ordering::Relaxed), 0, "once");
        if self.meet {
            self.met[1 - number].open();
            self.met[number].wait();
        }
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.all_done.open();
        }
    }
}

/// A hub that is a worker.
struct Hub {
    worker: Worker,
    shared: &'static Shared,
    world: Arc<World>,
    /// The hub's own queue: what came through its inbox.
    own: Cell<usize>,
    /// What came there is the end.
    over: Cell<bool>,
}

impl Hub {
    fn new(worker: Worker, world: &Arc<World>) -> Hub {
        Hub {
            shared: world.team.members[worker.index]
                .hub
                .get()
                .expect("there")
                .shared,
            world: world.clone(),
            own: Cell::new(0),
            over: Cell::new(false),
            worker,
        }
    }

    /// The number of the first thing that comes through the inbox that ends it.
    fn start(self, ends_with: usize, own: impl Fn(&Hub) + Send + 'static) -> JoinHandle<()> {
        let hub = Sent(self);
        thread::spawn(move || {
            let Sent(hub) = { hub };
            hub.work(ends_with, own);
        })
    }

    fn empty_inbox(&self) {
        self.shared.take(|_| self.own.set(self.own.get() + 1));
    }

    fn keeps(&self) -> usize {
        usize::from(self.own.get() == 0)
    }

    /// The loop of `scheduler::hub` as far as it is a worker's: `run_until_main`, `turn`, `between_turns`, `idle`, `block`.
    fn work(&self, ends_with: usize, own: impl Fn(&Hub)) {
        let mut came = 0;
        loop {
            while self.own.get() > 0 {
                self.own.set(self.own.get() - 1);
                came += 1;
                if came == ends_with {
                    return;
                }
                own(self);
            }
            if self.worker.len() > 0
                && let Some(fresh) = self.worker.pop()
            {
                self.world.run(fresh);
            }
            // Between turns.
            self.empty_inbox();
            self.worker.look_outside(self.keeps());
            if self.own.get() + self.worker.len() > 0 {
                continue;
            }
            // Idle.
            if self.worker.search(self.keeps()) != Found::Nothing {
                continue;
            }
            self.worker.rest(
                self.shared,
                |limit| self.shared.wait_for_bell(limit), // waits for the bell
                || {
                    self.empty_inbox();
                    self.keeps()
                },
            );
        }
    }
}

/// Goes to its thread before that begins.
struct Sent(Hub);

// SAFETY: as the real worker, whose cells belong to the thread that it is moved to.
unsafe impl Send for Sent {}

fn end(tasks: Vec<TaskRef>, threads: Vec<JoinHandle<()>>) {
    tasks.iter().for_each(TaskRef::send);
    for thread in threads {
        thread.join().expect("it works");
    }
}

fn tasks(team: &Team) -> Vec<TaskRef> {
    let places = team.members.iter().filter_map(|member| member.hub.get());
    places.map(|place| TaskRef::new(place.shared)).collect()
}

fn started(workers: impl IntoIterator<Item = Worker>, world: &Arc<World>) -> Vec<JoinHandle<()>> {
    let hubs = workers.into_iter().map(|worker| Hub::new(worker, world));
    hubs.map(|hub| hub.start(1, |_| {})).collect()
}

/// Worker 0 pushes one thing and does something else until it is done; the others run out of work meanwhile.
fn pushing(others: usize, counted: bool) {
    let (team, mut workers) = Team::new(1 + others);
    let world = World::new(team.clone(), 1, false);
    let busy = workers.remove(0);
    let threads = started(workers, &world);
    busy.push(Fresh(0));
    world.all_done.wait();
    assert!(rings() <= 1 || !counted, "one push woke more than one");
    end(tasks(&team).split_off(1), threads);
}

/// A thread that is no worker hands `things` over to one.
fn injecting(things: usize) {
    let (team, workers) = Team::new(1);
    let world = World::new(team.clone(), things, false);
    let threads = started(workers, &world);
    for number in 0..things {
        team.inject(Fresh(number), 1).expect("open");
    }
    world.all_done.wait();
    assert!(rings() <= things, "a push woke more than one");
    end(tasks(&team), threads);
}

/// Two things, each of which needs a worker of its own.
fn meeting(counted: bool) {
    let (team, workers) = Team::new(2);
    let world = World::new(team.clone(), 2, true);
    let threads = started(workers, &world);
    for number in 0..2 {
        team.inject(Fresh(number), 1).expect("open");
    }
    world.all_done.wait();
    assert!(rings() <= 2 || !counted, "two pushes woke more than two");
    end(tasks(&team), threads);
}

/// The same, pushed by a third worker.
fn meeting_of_a_worker() {
    let (team, mut workers) = Team::new(3);
    let world = World::new(team.clone(), 2, true);
    let busy = workers.remove(0);
    let threads = started(workers, &world);
    busy.push(Fresh(0));
    busy.push(Fresh(1));
    world.all_done.wait();
    assert!(rings() <= 2, "two pushes woke more than two");
    end(tasks(&team).split_off(1), threads);
}

/// A worker that pushes one thing, and runs it quickly if no other does: one to be trusted.
fn be_quick(team: &Team, world: &World, worker: &Worker) {
    worker.push(Fresh(0));
    if let Some(fresh) = worker.pop() {
        world.run(fresh);
    }
    team.place(worker.index)
        .expect("there")
        .counters
        .turns
        .add(4);
}

/// Worker 0 is quick; then it pushes two things, and does something else until they are done.
fn trusting() {
    let (team, mut workers) = Team::new(2);
    let world = World::new(team.clone(), 3, false);
    let quick = workers.remove(0);
    let threads = started(workers, &world);
    be_quick(&team, &world, &quick);
    quick.push(Fresh(1));
    quick.push(Fresh(2));
    world.all_done.wait();
    end(tasks(&team).split_off(1), threads);
}

/// Worker 0 is quick; then it pushes one thing, and does something else until that is done. So does worker 1, which gets something of its
/// own through its inbox at the same time.
fn trusting_and_woken() {
    let (team, mut workers) = Team::new(3);
    let world = World::new(team.clone(), 2, false);
    let third = Hub::new(workers.remove(2), &world).start(1, |_| {});
    let computing = Arc::new(Gate::default());
    let enough = computing.clone();
    let second = Hub::new(workers.remove(1), &world).start(2, move |_| computing.wait());
    let quick = workers.remove(0);
    be_quick(&team, &world, &quick);
    let tasks = tasks(&team).split_off(1);
    let own = TaskRef::new(team.place(1).expect("there").shared);
    own.send();
    quick.push(Fresh(1));
    world.all_done.wait();
    enough.open();
    drop(own);
    end(tasks, vec![second, third]);
}

/// Worker 0 gets something of its own through its inbox, which takes until the thing that comes from outside at the same
/// time is done: so that is for worker 1, whoever was picked or has seen it.
fn being_woken() {
    let (team, mut workers) = Team::new(2);
    let world = World::new(team.clone(), 1, false);
    let second = Hub::new(workers.remove(1), &world).start(1, |_| {});
    let computing = Arc::new(Gate::default());
    let enough = computing.clone();
    let first = Hub::new(workers.remove(0), &world).start(2, move |_| computing.wait());
    let own = TaskRef::new(team.members[0].hub.get().expect("there").shared);
    own.send();
    team.inject(Fresh(0), 1).expect("open");
    world.all_done.wait();
    enough.open();
    drop(own);
    end(tasks(&team), vec![first, second]);
}
