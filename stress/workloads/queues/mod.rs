//! Items that change hands, through every queue and channel of the library.
//!
//! Plan: one to four *pipes* of any kind ([`pipe`]), each with producers and consumers on all workers, and with workers a plain
//! thread now and then. Each producer numbers its items, and tries the same one again until it is in: by waiting, with
//! a limit, at once or not at all, in a `timeout`, in a select. Consumers take in as many ways. Some producers and consumers *roam*:
//! one select over all pipes. Chaos kills and panics where they please; one consumer of each pipe lives on, because without
//! any the producers would wait for ever, rightly.
//!
//! A step ends in one of four ways: the pipes are closed when the producers are done; closed while they are at it; closed
//! while they are at it, and what is stored thrown away; or there are no consumers, and what is stored is looked at from outside. What is
//! timed is an item's way from its making to its consumer.
//!
//! Invariant ([`ledger`]): an item is taken once if putting it was a success, and never if it was not, whoever was killed or
//! gave up; items of a producer come in their order where the kind of queue has one, also out of a store;
//! no item is left, leaked or dropped twice; nothing is left undone or waited for.

mod ledger;
mod pipe;

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use rustlet::Greenlet;
use rustlet::sync::Select;

use crate::crew::Crew;
use crate::witness::{Victims, Witness};
use crate::workload::{Context, Failure, Workload};
use ledger::{Item, Ledger, Order};
use pipe::{Got, How, Pipe, Put};

pub(crate) struct Queues;

/// Items of a step, in all.
const ITEMS: usize = 30_000;

/// How a step ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Dry,
    Early,
    ThrownAway,
    Stored,
}

impl Workload for Queues {
    fn name(&self) -> &'static str {
        "queues"
    }

    fn about(&self) -> &'static str {
        "queues, channels, select: each item arrives once and in order, nothing is lost to the dying"
    }

    fn unit(&self) -> &'static str {
        "items"
    }

    fn timed(&self) -> Option<&'static str> {
        Some("item's way")
    }

    fn step(&self, context: &Context) -> Result<(), Failure> {
        let mut rng = context.rng(0);
        let scene = Arc::new(Scene::new(context, &mut rng));
        let (producers, consumers) = (scene.producers, scene.consumers);
        let kinds = Vec::from_iter(scene.pipes.iter().map(Pipe::kind));
        context.phase(&format!("{producers} to {consumers}: {}", kinds.join(", ")));

        let crew = Crew::of(context)?;
        let mut spawn = |role: fn(&Scene, usize), count: usize| {
            let roles = (0..count).map(|nth| {
                let scene = scene.clone();
                crew.spawn_on(rng.usize(..64), move || role(&scene, nth))
            });
            Vec::from_iter(roles)
        };
        let consumers = spawn(Scene::consume, consumers);
        let producers = spawn(Scene::produce, producers);
        let mortal = producers
            .iter()
            .chain(consumers.iter().skip(scene.immortal));
        scene.victims.set(mortal.map(Greenlet::handle));
        let thread = (context.workers > 1 && rng.bool()).then(|| {
            let scene = scene.clone();
            std::thread::spawn(move || scene.produce(scene.producers))
        });
        if matches!(scene.end, End::Early | End::ThrownAway) {
            rustlet::sleep(Duration::from_micros(rng.u64(..20_000)));
            scene.close();
        }

        let first_consumer = producers.len();
        for (nth, producer) in producers.into_iter().enumerate() {
            scene.victims.ended(nth, producer.join())?;
        }
        if let Some(Err(payload)) = thread.map(std::thread::JoinHandle::join) {
            std::panic::resume_unwind(payload);
        }
        scene.close();
        for (nth, consumer) in consumers.into_iter().enumerate() {
            match nth.checked_sub(scene.immortal) {
                None => consumer.join()?,
                Some(mortal) => drop(
                    scene
                        .victims
                        .ended(first_consumer + mortal, consumer.join())?,
                ),
            }
        }
        crew.end()?;

        scene.witness.verdict()?;
        for (nth, pipe) in scene.pipes.iter().enumerate() {
            if scene.end == End::Stored {
                scene.ledger.stored(nth, pipe)?;
            }
            pipe.settle()?;
        }
        scene
            .ledger
            .settle(scene.end != End::ThrownAway, |nth| scene.pipes[nth].kind())
    }
}

/// What producers and consumers share.
struct Scene {
    pipes: Vec<Pipe>,
    ledger: Arc<Ledger>,
    end: End,
    producers: usize,
    consumers: usize,
    /// How many consumers are not killed: the first ones, one for each pipe.
    immortal: usize,
    /// Of each producer.
    items: usize,
    witness: Witness,
    victims: Victims,
    context: Context,
}

impl Scene {
    fn new(context: &Context, rng: &mut Rng) -> Scene {
        let end = match rng.u8(..8) {
            0 => End::Stored,
            1 => End::Early,
            2 => End::ThrownAway,
            _ => End::Dry,
        };
        let stored = end == End::Stored;
        let pipes = rng.usize(1..=4);
        let crowd = context.crowd(rng);
        let consumers = match stored {
            true => 0,
            false => pipes + rng.usize(..crowd),
        };
        let producers = crowd.saturating_sub(consumers).max(1);
        Scene {
            pipes: Vec::from_iter((0..pipes).map(|_| Pipe::any(stored, rng))),
            // One more producer, which is a thread.
            ledger: Arc::new(Ledger::new(pipes, producers + 1)),
            end,
            producers,
            consumers,
            immortal: if stored { 0 } else { pipes },
            items: (context.scaled(ITEMS) / producers).clamp(1, 5000),
            witness: Witness::default(),
            victims: Victims::default(),
            context: *context,
        }
    }

    fn close(&self) {
        let thrown_away = self.end == End::ThrownAway;
        self.pipes.iter().for_each(|pipe| pipe.close(thrown_away));
    }

    /// What chaos does between two operations of a greenlet that may die.
    fn strike(&self, rng: &mut Rng, mortal: bool) {
        self.victims.strike(&self.context, rng);
        if mortal {
            self.context.strike(rng);
        } else {
            self.context.delay(rng);
        }
    }

    fn produce(&self, producer: usize) {
        let mut rng = self.context.rng(1 + producer as u64);
        let mortal = producer < self.producers;
        if rng.u8(..4) == 0 {
            return self.produce_anywhere(producer, rng, mortal);
        }
        let nth = producer % self.pipes.len();
        let pipe = &self.pipes[nth];
        for number in 0..self.items as u64 {
            let priority = rng.u8(..);
            let put = loop {
                let item = self.ledger.make(producer, number, priority);
                let how = How::any(&mut rng);
                let put = if rng.u8(..8) == 0 {
                    let limit = how.limit(&mut rng);
                    // What was put is put, though the time was over; else the item went with the waiting.
                    rustlet::timeout(limit, || pipe.put(item, how)).unwrap_or(Put::Refused)
                } else {
                    pipe.put(item, how)
                };
                match put {
                    Put::Refused => rustlet::yield_now(),
                    put => break put,
                }
            };
            if put == Put::Closed {
                return;
            }
            self.ledger.sent(nth, producer);
            self.strike(&mut rng, mortal);
        }
    }

    /// Each item goes into whichever pipe takes it.
    fn produce_anywhere(&self, producer: usize, mut rng: Rng, mortal: bool) {
        let mut numbers = vec![0; self.pipes.len()];
        for _ in 0..self.items {
            let put = {
                let ends: Option<Vec<_>> = self.pipes.iter().map(Pipe::put_end).collect();
                let Some(ends) = ends else { return };
                let mut select = Select::new();
                for (nth, (pipe, ends)) in self.pipes.iter().zip(&ends).enumerate() {
                    let item = self.ledger.make(producer, numbers[nth], rng.u8(..));
                    select = pipe.put_arm(ends, item, select, move |put| (nth, put));
                }
                let limit = How::any(&mut rng).limit(&mut rng);
                select.timeout(limit, || (0, Put::Refused)).run()
            };
            match put {
                (_, Put::Refused) => rustlet::yield_now(),
                (_, Put::Closed) => return,
                (nth, Put::Done) => {
                    numbers[nth] += 1;
                    self.ledger.sent(nth, producer);
                }
            }
            self.strike(&mut rng, mortal);
        }
    }

    fn consume(&self, consumer: usize) {
        let mut rng = self.context.rng(u64::MAX - consumer as u64);
        let mortal = consumer >= self.immortal;
        let mut order = Order::default();
        if mortal && rng.u8(..4) == 0 {
            return self.consume_anywhere(rng, order);
        }
        let nth = consumer % self.pipes.len();
        let pipe = &self.pipes[nth];
        loop {
            let how = How::any(&mut rng);
            let got = if rng.u8(..8) == 0 {
                let limit = how.limit(&mut rng);
                rustlet::timeout(limit, || pipe.get(how)).unwrap_or(Got::Nothing)
            } else {
                pipe.get(how)
            };
            match got {
                Got::Item(item) => self.received(nth, item, &mut order),
                Got::Nothing => rustlet::yield_now(),
                Got::Closed => return,
            }
            if rng.u8(..32) == 0 {
                pipe.peek(|item| self.ledger.look(nth, item, &self.witness));
            }
            self.strike(&mut rng, mortal);
        }
    }

    /// Takes whatever comes first from the pipes that are open.
    fn consume_anywhere(&self, mut rng: Rng, mut order: Order) {
        let mut open = Vec::from_iter(0..self.pipes.len());
        loop {
            let (nth, got) = {
                let ends = open
                    .iter()
                    .map(|nth| Some((*nth, self.pipes[*nth].get_end()?)));
                let ends = Vec::from_iter(ends.flatten());
                if ends.is_empty() {
                    return;
                }
                let mut select = Select::new();
                for (nth, end) in &ends {
                    select = self.pipes[*nth].get_arm(end, select, |got| (*nth, got));
                }
                let limit = How::any(&mut rng).limit(&mut rng);
                select.timeout(limit, || (0, Got::Nothing)).run()
            };
            match got {
                Got::Item(item) => self.received(nth, item, &mut order),
                Got::Nothing => rustlet::yield_now(),
                Got::Closed => open.retain(|other| *other != nth),
            }
            self.strike(&mut rng, true);
        }
    }

    /// Nothing suspends between the queue's return and this.
    fn received(&self, nth: usize, item: Item, order: &mut Order) {
        let pipe = &self.pipes[nth];
        pipe.task_done();
        self.context.count(1);
        self.context.time(item.age());
        self.ledger.taken(nth, &item, pipe.kind(), &self.witness);
        if pipe.keeps_order() {
            order.check(nth, &item, pipe.kind(), &self.witness);
        }
    }
}
