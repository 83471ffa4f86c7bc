//! What the greenlets of a running program share: the objects, the log, the clock, and what is counted.
//!
//! The same for one thread and for many workers; on one thread the locks here are never contended. None is held across a
//! suspension.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard as StdGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustlet::queue::{Channel, Queue};
use rustlet::sync::{Condvar, Event as Flag, Mutex, RwLock, Semaphore};
use rustlet::{Greenlet, Handle, Killed};

use super::clock::Clock;
use super::event::{Cause, Event, What};
use super::line::Line;
use super::program::Program;
use super::tally::{Tally, tallies};

/// Things of which each is made once and dropped once.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Items, payloads, frames and closures that are alive.
    pub(crate) alive: AtomicI64,
    pub(crate) made: AtomicU64,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Counted(Arc<Counts>);

impl Counted {
    pub(crate) fn new(counts: &Arc<Counts>) -> Self {
        counts.alive.fetch_add(1, Ordering::Relaxed);
        counts.made.fetch_add(1, Ordering::Relaxed);
        Counted(counts.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is put into queues.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) number: u64,
    /// Who made it.
    pub(crate) maker: usize,
    _counted: Counted,
}

/// What is thrown, or panicked with.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) cause: Cause,
    _counted: Counted,
}

/// What an unwinding was for.
pub(crate) fn cause_of(payload: &(dyn Any + Send)) -> Cause {
    if let Some(payload) = payload.downcast_ref::<Payload>() {
        payload.cause
    } else if payload.is::<Killed>() {
        Cause::Killed
    } else if payload.is::<&'static str>() || payload.is::<String>() {
        Cause::Foreign
    } else {
        // The library has no other payloads than that of a limit.
        Cause::Limit
    }
}

/// A greenlet of the program, once it was spawned.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// Until somebody joins it.
    pub(crate) greenlet: Option<Greenlet<()>>,
    pub(crate) handle: Option<Handle>,
}

/// What goes on in a greenlet, for those who look at it from outside.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// The line that it is at.
    pub(crate) line: AtomicUsize,
    pub(crate) ended: AtomicUsize,
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct World {
    myself: Weak<World>,
    pub(crate) program: Arc<Program>,
    pub(crate) mutexes: Vec<Mutex<u64>>,
    pub(crate) rwlocks: Vec<RwLock<u64>>,
    pub(crate) condvars: Vec<Condvar>,
    pub(crate) events: Vec<Flag>,
    pub(crate) semaphores: Vec<Semaphore>,
    pub(crate) queues: Vec<Line>,
    pub(crate) places: StdMutex<Vec<Place>>,
    pub(crate) looks: Vec<Look>,
    pub(crate) mutex_tallies: Vec<Tally>,
    pub(crate) rwlock_tallies: Vec<Tally>,
    pub(crate) semaphore_tallies: Vec<Tally>,
    pub(crate) queue_tallies: Vec<Tally>,
    pub(crate) counts: Arc<Counts>,
    /// With the time at which it was written.
    log: Option<StdMutex<Vec<(Event, Instant)>>>,
    /// What was found broken on the way.
    broken: StdMutex<Option<String>>,
    /// How much was done.
    progress: AtomicU64,
    next_item: AtomicU64,
    /// The last item that a greenlet got out of a queue which another one made.
    last_got: StdMutex<HashMap<(usize, usize, usize), u64>>,
    pub(crate) clock: Clock,
}

/// The locks of this file, which nothing poisons for good.
pub(crate) fn lock<T>(mutex: &StdMutex<T>) -> StdGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// The objects of `program`. Moments last `tick`. It keeps a log if `logs`.
    pub(crate) fn new(program: &Arc<Program>, tick: Duration, logs: bool) -> Arc<Self> {
        let objects = &program.objects;
        let queue = |room: &Option<u8>| match room {
            None => Line::Queue(Queue::new()),
            Some(0) => Line::Channel(Channel::new()),
            Some(room) => Line::Queue(Queue::bounded(usize::from(*room))),
        };
        Arc::new_cyclic(|myself| World {
            myself: myself.clone(),
            program: program.clone(),
            mutexes: (0..objects.mutexes).map(|_| Mutex::new(0)).collect(),
            rwlocks: (0..objects.rwlocks).map(|_| RwLock::new(0)).collect(),
            condvars: (0..objects.condvars).map(|_| Condvar::new()).collect(),
            events: (0..objects.events).map(|_| Flag::new()).collect(),
            semaphores: objects
                .semaphores
                .iter()
                .map(|&permits| Semaphore::new(permits.into()))
                .collect(),
            queues: objects.queues.iter().map(queue).collect(),
            places: StdMutex::new(program.greenlets.iter().map(|_| Place::default()).collect()),
            looks: program.greenlets.iter().map(|_| Look::default()).collect(),
            mutex_tallies: tallies(objects.mutexes),
            rwlock_tallies: tallies(objects.rwlocks),
            semaphore_tallies: tallies(objects.semaphores.len()),
            queue_tallies: tallies(objects.queues.len()),
            counts: Arc::default(),
            log: logs.then(StdMutex::default),
            broken: StdMutex::default(),
            progress: AtomicU64::new(0),
            next_item: AtomicU64::new(0),
            last_got: StdMutex::default(),
            clock: Clock::new(tick),
        })
    }

    /// For closures of further greenlets.
    pub(crate) fn myself(&self) -> Arc<World> {
        self.myself.upgrade().expect("whoever calls has one")
    }

    pub(crate) fn log(&self, who: usize, line: usize, what: What) {
        self.progress.fetch_add(1, Ordering::Relaxed);
        if let Some(log) = &self.log {
            lock(log).push((Event { who, line, what }, Instant::now()));
        }
    }

    /// A number that grows when something is done.
    pub(crate) fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    pub(crate) fn take_log(&self) -> Vec<(Event, Instant)> {
        self.log
            .as_ref()
            .map(|log| std::mem::take(&mut *lock(log)))
            .unwrap_or_default()
    }

    /// Something is wrong. The first such text is kept.
    pub(crate) fn broken(&self, text: impl FnOnce() -> String) {
        lock(&self.broken).get_or_insert_with(text);
    }

    pub(crate) fn take_broken(&self) -> Option<String> {
        lock(&self.broken).take()
    }

    pub(crate) fn counted(&self) -> Counted {
        Counted::new(&self.counts)
    }

    pub(crate) fn item(&self, maker: usize) -> Item {
        Item {
            number: self.next_item.fetch_add(1, Ordering::Relaxed),
            maker,
            _counted: self.counted(),
        }
    }

    pub(crate) fn payload(&self, cause: Cause) -> Payload {
        Payload {
            cause,
            _counted: self.counted(),
        }
    }

    /// An item has gone into a queue.
    pub(crate) fn did_put(&self, queue: usize) {
        self.queue_tallies[queue]
            .put
            .fetch_add(1, Ordering::Relaxed);
    }

    /// An item has come out of a queue. Items of one maker come to one taker in the order in which they were made: who makes
    /// two puts the second later.
    pub(crate) fn got(&self, taker: usize, queue: usize, item: Item) -> u64 {
        let number = item.number;
        self.queue_tallies[queue]
            .got
            .fetch_add(1, Ordering::Relaxed);
        let last = lock(&self.last_got).insert((queue, item.maker, taker), number);
        if let Some(last) = last.filter(|&last| last >= number) {
            self.broken(|| {
                format!(
                    "g{taker} got item {number} of g{} out of q{queue} after item {last}",
                    item.maker
                )
            });
        }
        number
    }

    /// How many greenlets were spawned.
    pub(crate) fn spawned(&self) -> usize {
        let places = lock(&self.places);
        places.iter().filter(|place| place.handle.is_some()).count()
    }

    pub(crate) fn handle(&self, greenlet: usize) -> Option<Handle> {
        lock(&self.places)[greenlet].handle.clone()
    }
}
