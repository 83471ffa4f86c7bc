//! Random selects of several greenlets over a few channels, with kills, throws and limits in between: what was sent is what
//! was received and what is left, and everything else was dropped once.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use rustlet::queue::Queue;
use rustlet::sync::mpmc::{self, Receiver, Sender};
use rustlet::sync::{Event, Select};
use rustlet::{Greenlet, spawn_local, timeout, yield_now};
use support::{Counter, OnDrop};

#[derive(Clone, Copy, Debug)]
enum Arm {
    Recv(usize),
    Send(usize),
    Get,
    Put,
    Event,
}

#[derive(Clone, Copy, Debug)]
enum Limit {
    None,
    Now,
    Micros(u64),
    /// A scope around the select.
    Outer(u64),
}

/// One select, and how often to yield after it.
type Round = (Vec<Arm>, Limit, usize);

#[derive(Clone, Debug)]
enum Act {
    Start(Vec<Round>),
    Yield,
    Kill(prop::sample::Index),
    KillNowait(prop::sample::Index),
    Throw(prop::sample::Index),
    TrySend(usize),
    TryRecv(usize),
    Set,
    Clear,
}

const CAPACITIES: [usize; 3] = [0, 1, 3];

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let arm = prop_oneof![
        4 => (0..3_usize).prop_map(Arm::Recv),
        4 => (0..3_usize).prop_map(Arm::Send),
        1 => Just(Arm::Get),
        1 => Just(Arm::Put),
        1 => Just(Arm::Event),
    ];
    let limit = prop_oneof![
        4 => Just(Limit::None),
        1 => Just(Limit::Now),
        1 => (0..100_u64).prop_map(Limit::Micros),
        1 => (0..100_u64).prop_map(Limit::Outer),
    ];
    prop::collection::vec((prop::collection::vec(arm, 1..5), limit, 0..3_usize), 1..8)
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let index = any::<prop::sample::Index>;
    let act = prop_oneof![
        6 => rounds().prop_map(Act::Start),
        6 => Just(Act::Yield),
        1 => index().prop_map(Act::Kill),
        2 => index().prop_map(Act::KillNowait),
        1 => index().prop_map(Act::Throw),
        3 => (0..3_usize).prop_map(Act::TrySend),
        3 => (0..3_usize).prop_map(Act::TryRecv),
        1 => Just(Act::Set),
        1 => Just(Act::Clear),
    ];
    prop::collection::vec(act, 1..30)
}

struct Item(usize, #[expect(dead_code, reason = "dropped")] OnDrop);

/// What all greenlets of a program, on all threads, use.
struct World {
    channels: Vec<(Sender<Item>, Receiver<Item>)>,
    queue: Queue<Item>,
    event: Event,
    made: Counter,
    dropped: Counter,
    sent: Mutex<Vec<usize>>,
    got: Mutex<Vec<usize>>,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(World {
            channels: CAPACITIES.map(mpmc::bounded).into(),
            queue: Queue::bounded(2),
            event: Event::new(),
            made: Counter::default(),
            dropped: Counter::default(),
            sent: Mutex::default(),
            got: Mutex::default(),
        })
    }

    fn item(&self) -> Item {
        Item(self.made.add(), self.dropped.on_drop())
    }

    fn note_got(&self, item: Item) {
        self.got.lock().unwrap().push(item.0);
    }

    fn note_sent(&self, number: usize) {
        self.sent.lock().unwrap().push(number);
    }

    /// Nothing suspends between the choice and the note of it.
    fn select(&self, arms: &[Arm], limit: Limit) {
        let mut select = Select::new();
        for arm in arms {
            select = match *arm {
                Arm::Recv(which) => select.recv(&self.channels[which].1, |item| {
                    self.note_got(item.expect("senders stay"));
                }),
                Arm::Get => select.recv(&self.queue, |item| {
                    self.note_got(item.expect("it is not shut down"));
                }),
                Arm::Send(which) => {
                    let item = self.item();
                    let number = item.0;
                    select.send(&self.channels[which].0, item, move |result| {
                        assert!(result.is_ok());
                        self.note_sent(number);
                    })
                }
                Arm::Put => {
                    let item = self.item();
                    let number = item.0;
                    select.send(&self.queue, item, move |result| {
                        assert!(result.is_ok());
                        self.note_sent(number);
                    })
                }
                Arm::Event => select.wait(&self.event, || ()),
            };
        }
        match limit {
            Limit::None => select.run(),
            Limit::Now => select.otherwise(|| ()).run(),
            Limit::Micros(limit) => select.timeout(Duration::from_micros(limit), || ()).run(),
            Limit::Outer(limit) => {
                let _ = timeout(Duration::from_micros(limit), || select.run());
            }
        }
    }

    /// Runs a program on the calling thread, to its end.
    fn run(self: &Arc<Self>, acts: Vec<Act>) {
        let mut greenlets: Vec<Greenlet<()>> = Vec::new();
        for act in acts {
            match act {
                Act::Start(rounds) => {
                    let world = self.clone();
                    greenlets.push(spawn_local(move || {
                        for (arms, limit, yields) in rounds {
                            world.select(&arms, limit);
                            (0..yields).for_each(|_| yield_now());
                        }
                    }));
                }
                Act::Yield => yield_now(),
                Act::TrySend(which) => {
                    let item = self.item();
                    let number = item.0;
                    if self.channels[which].0.try_send(item).is_ok() {
                        self.note_sent(number);
                    }
                }
                Act::TryRecv(which) => {
                    if let Ok(item) = self.channels[which].1.try_recv() {
                        self.note_got(item);
                    }
                }
                Act::Set => self.event.set(),
                Act::Clear => self.event.clear(),
                _ if greenlets.is_empty() => {}
                Act::Kill(which) => which.get(&greenlets).kill().expect("it ends"),
                Act::KillNowait(which) => which.get(&greenlets).kill_nowait(),
                Act::Throw(which) => which.get(&greenlets).throw("thrown"),
            }
        }
        (0..3).for_each(|_| yield_now());
        for greenlet in greenlets {
            greenlet.kill().expect("it ends");
            if let Err(error) = greenlet.join() {
                let thrown = error.is_panic() && format!("{error}").contains("thrown");
                assert!(error.is_killed() || thrown, "{error}");
            }
        }
    }

    fn check(self: Arc<Self>) {
        for (_, receiver) in &self.channels {
            receiver.try_iter().for_each(|item| self.note_got(item));
        }
        while let Ok(item) = self.queue.get_nowait() {
            self.note_got(item);
        }
        let sorted = |log: &Mutex<Vec<usize>>| {
            let mut log = log.lock().unwrap().clone();
            log.sort_unstable();
            log
        };
        assert_eq!(sorted(&self.got), sorted(&self.sent));
        let (made, dropped) = (self.made.clone(), self.dropped.clone());
        drop(self);
        assert_eq!(dropped.get(), made.get());
    }
}

/// How many acts all programs of a test have together, about.
fn operations() -> u32 {
    match std::env::var("RUSTLET_TEST_OPERATIONS") {
        Ok(text) => text.parse().expect("RUSTLET_TEST_OPERATIONS: a number"),
        Err(_) => 3_000,
    }
}

proptest! {
    #![proptest_config(support::proptest_config(operations().div_ceil(15)))]
    #[test]
    fn one_thread(acts in acts()) {
        let _watchdog = support::watchdog_of(Duration::from_secs(300));
        let world = World::new();
        world.run(acts);
        world.check();
    }
}

proptest! {
    #![proptest_config(support::proptest_config(operations().div_ceil(60)))]
    #[test]
    fn three_threads(programs in prop::collection::vec(acts(), 3)) {
        let _watchdog = support::watchdog_of(Duration::from_secs(300));
        let world = World::new();
        let threads: Vec<_> = programs
            .into_iter()
            .map(|acts| {
                let world = world.clone();
                std::thread::spawn(move || world.run(acts))
            })
            .collect();
        for thread in threads {
            thread.join().expect("its program ran");
        }
        world.check();
    }
}
