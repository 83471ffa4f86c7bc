//! Twin of `scheduler::workers`: all but the team's bookkeeping is the real one.

#[path = "../../../../../src/scheduler/workers/announce.rs"]
mod announce;
#[path = "../../../../../src/scheduler/workers/idle.rs"]
mod idle;
pub(crate) mod idle_model;
#[path = "../../../../../src/scheduler/workers/injector.rs"]
mod injector;
pub(crate) mod injector_model;
#[path = "../../../../../src/scheduler/workers/trust.rs"]
mod trust;
#[path = "../../../../../src/scheduler/workers/worker.rs"]
mod worker;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::inbox::Shared;
use crossbeam_deque::Stealer;
use idle::Idle;
use injector::Injector;
use trust::Trust;
use worker::{Found, Worker};

/// What may be stolen: the number of a thing to do.
pub(crate) mod fresh {
    #[derive(Debug)]
    pub(crate) struct Fresh(pub(crate) usize);
}

use fresh::Fresh;

/// There are no futures here.
mod runners {
    #[derive(Debug, Default)]
    pub(crate) struct Runners {}
}

pub(crate) struct Team {
    members: Box<[Member]>,
    injector: Injector,
    idle: Idle,
    quiet: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

struct Member {
    stealer: Stealer<Fresh>,
    hub: OnceLock<Place>,
    trust: Trust,
}

#[derive(Debug)]
pub(crate) struct Place {
    shared: &'static Shared,
    counters: Counters,
}

#[derive(Debug)]
struct Counters {
    turns: Count,
}

/// Not loom's: it orders nothing.
#[derive(Debug, Default)]
struct Count(AtomicU64);

impl Count {
    fn add(&self, some: u64) {
        self.0.fetch_add(some, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Team {
    /// As the real one, with the workers' hubs.
    fn new(workers: usize) -> (Arc<Team>, Vec<Worker>) {
        let deques = Vec::from_iter((0..workers).map(|_| crossbeam_deque::Worker::new_fifo()));
        let members = deques.iter().map(|deque| Member {
            stealer: deque.stealer(),
            hub: OnceLock::new(),
            trust: Trust::new(),
        });
        let team = Arc::new(Team {
            members: members.collect(),
            injector: Injector::new(),
            idle: Idle::new(workers),
            quiet: OnceLock::new(),
        });
        let workers = deques.into_iter().enumerate();
        let workers = workers.map(|(index, deque)| Worker::new(index, deque, team.clone()));
        let workers: Vec<_> = workers.collect();
        for worker in &workers {
            worker.arrive(Place {
                shared: super::inbox_model::shared(),
                counters: Counters {
                    turns: Count::default(),
                },
            });
        }
        // Touched.
        assert!(team.idle.pick(|| false).is_none() && team.injector.is_empty());
        assert!(!team.members.iter().any(|member| member.trust.is_trusted()));
        (team, workers)
    }

    fn workers(&self) -> usize {
        self.members.len()
    }

    fn place(&self, worker: usize) -> Option<&Place> {
        self.members.get(worker)?.hub.get()
    }
}
