//! What a program must do, by the documentation of what it uses: a sequential model.
//!
//! No greenlet, no stack, no clock: greenlets are indices into their own operations, wakers are a queue of numbers. It
//! was written from what the types document, and where that says nothing from the protocols at the heads of the modules:
//!
//! - **First in, first out.** Spawned, woken and yielding greenlets go to the end of one run queue.
//! - **One token each.** A wake-up of whatever kind leaves it, a wait takes it; so a wait may be woken in vain, and looks
//!   again.
//! - **An interrupted operation has not happened;** one that was granted at the same moment has, and the
//!   interruption is raised at the next wait.
//! - **Kill before throw before limit,** throws in their order, the innermost limit first. From the second wait on that
//!   raises, a greenlet lets the others run before.
//! - **Locks and semaphores barge once, read-write locks, queues, events and condition variables hand over.**
//! - **128 operations** of queues in a row, then the others run.
//!
//! Where several arms of a select are ready the documentation says "at random". The model looks up in the log of the real run
//! which was chosen, and checks that it was ready.
//!
//! | file | one idea |
//! |---|---|
//! | `mod.rs` | the state; the program from its beginning to its end |
//! | [`greenlet`], [`unwind`], [`wait`] | running one greenlet: its operations and blocks, what unwinds it, how it waits |
//! | [`ops`] | what each operation does |
//! | [`locks`], [`exchange`] | the objects |

mod exchange;
mod greenlet;
mod locks;
mod ops;
mod unwind;
mod wait;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::event::{Event, MAIN, What};
use super::program::Program;
use exchange::Exchange;
use greenlet::Greenlet;
use locks::{Lock, Permits, RwPermits};

/// What happens at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    /// A greenlet is woken.
    Wake(usize),
    /// The limit of a block of this greenlet has passed.
    Hit(usize, u32),
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Model<'p> {
    program: &'p Program,
    /// What has happened in reality: consulted where the documentation leaves a choice.
    real: &'p [Event],
    log: Vec<(Event, u32)>,
    greenlets: Vec<Greenlet<'p>>,
    run_queue: VecDeque<usize>,
    /// Operations that the running greenlet may do without letting others run.
    budget: u32,

    now: u32,
    used_moments: BTreeSet<u32>,
    /// Those of one moment in the order in which they were armed.
    timers: BTreeMap<u32, Vec<Timer>>,
    next_scope: u32,

    mutexes: Vec<Lock<Permits>>,
    rwlocks: Vec<Lock<RwPermits>>,
    semaphores: Vec<Permits>,
    condvars: Vec<VecDeque<usize>>,
    events: Vec<(bool, VecDeque<exchange::Waiter>)>,
    queues: Vec<Exchange>,
    next_item: u64,
}

/// The log that `program` gives, with the moment of each event. `real` is what it has given.
pub(crate) fn predict(program: &Program, real: &[Event]) -> Vec<(Event, u32)> {
    let objects = &program.objects;
    let mut model = Model {
        program,
        real,
        log: Vec::new(),
        greenlets: program
            .greenlets
            .iter()
            .map(|_| Greenlet::default())
            .collect(),
        run_queue: VecDeque::new(),
        budget: 0,
        now: 0,
        used_moments: BTreeSet::new(),
        timers: BTreeMap::new(),
        next_scope: 0,
        mutexes: (0..objects.mutexes)
            .map(|_| Lock::new(Permits::new(1)))
            .collect(),
        rwlocks: (0..objects.rwlocks).map(|_| Lock::default()).collect(),
        semaphores: objects
            .semaphores
            .iter()
            .map(|&permits| Permits::new(permits.into()))
            .collect(),
        condvars: vec![VecDeque::new(); objects.condvars],
        events: vec![(false, VecDeque::new()); objects.events],
        queues: objects
            .queues
            .iter()
            .map(|&room| Exchange::new(room))
            .collect(),
        next_item: 0,
    };
    model.run();
    model.log
}

impl Model<'_> {
    fn log(&mut self, who: usize, line: usize, what: What) {
        self.log.push((Event { who, line, what }, self.now));
    }

    fn run(&mut self) {
        for number in 0..self.program.greenlets.len() {
            if self.program.greenlets[number].root {
                self.spawn(number);
            }
        }
        self.settle();
        loop {
            let alive: Vec<usize> = (0..self.greenlets.len())
                .filter(|&number| self.greenlets[number].is_alive())
                .collect();
            if alive.is_empty() {
                break;
            }
            for &number in &alive {
                self.log(MAIN, 0, What::Waits(number));
            }
            for number in alive {
                if self.greenlets[number].is_alive() {
                    self.log(MAIN, 0, What::Kills(number));
                    self.kill(number);
                    self.settle();
                }
            }
        }
        self.look_at_what_is_left();
    }

    /// Lets all greenlets run until none can, and no time can help.
    fn settle(&mut self) {
        loop {
            while let Some(number) = self.run_queue.pop_front() {
                self.resume(number);
            }
            let Some((moment, timers)) = self.timers.pop_first() else {
                return;
            };
            self.now = moment;
            for timer in timers {
                match timer {
                    Timer::Wake(number) => self.unpark(number),
                    Timer::Hit(number, scope) => self.hit(number, scope),
                }
            }
        }
    }

    fn arm(&mut self, moment: u32, timer: Timer) {
        self.timers.entry(moment).or_default().push(timer);
    }

    fn disarm(&mut self, moment: u32, timer: Timer) {
        if let Some(timers) = self.timers.get_mut(&moment) {
            timers.retain(|&other| other != timer);
            if timers.is_empty() {
                self.timers.remove(&moment);
            }
        }
    }

    fn look_at_what_is_left(&mut self) {
        let mut left = Vec::new();
        for (number, lock) in self.mutexes.iter().enumerate() {
            let value =
                lock.value * 4 + u64::from(lock.permits.free == 0) * 2 + u64::from(lock.poisoned);
            left.push(What::Left("mutex", number, value));
        }
        for (number, lock) in self.rwlocks.iter().enumerate() {
            let value =
                lock.value * 4 + u64::from(lock.permits.is_held()) * 2 + u64::from(lock.poisoned);
            left.push(What::Left("rwlock", number, value));
        }
        for (number, permits) in self.semaphores.iter().enumerate() {
            left.push(What::Left("semaphore", number, permits.free as u64));
        }
        for (number, (set, _)) in self.events.iter().enumerate() {
            left.push(What::Left("event", number, u64::from(*set)));
        }
        for (number, queue) in self.queues.iter().enumerate() {
            left.extend(
                queue
                    .items
                    .iter()
                    .map(|&item| What::Left("queue", number, item)),
            );
        }
        for what in left {
            self.log(MAIN, 0, what);
        }
    }

    /// A deadline `after` moments from now.
    fn deadline(&mut self, after: u8) -> u32 {
        let mut moment = self.now + u32::from(after).max(1);
        while !self.used_moments.insert(moment) {
            moment += 1;
        }
        moment
    }
}
