//! Workloads on rustlet: yielding, spawning and joining, parking and unparking.
//!
//! All of them run on the calling thread's hub, as a program's `main` would. What is measured is
//! measured inside a greenlet where the work is done by greenlets, so that the way in and out of
//! the hub is not part of it.

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;

use rustlet::{Greenlet, Handle};

use super::clock;
use super::workload::Workload;

/// `count` greenlets that do nothing but yield. An operation is one yield: away and back again.
pub(crate) struct Yield {
    count: usize,
    others: Vec<Greenlet<()>>,
    stop: Rc<Cell<bool>>,
}

impl Yield {
    pub(crate) fn new(count: usize) -> Self {
        let stop = Rc::new(Cell::new(false));
        // One of the `count` is the one who measures.
        let others = (1..count)
            .map(|_| {
                let stop = stop.clone();
                rustlet::spawn_local(move || {
                    while !stop.get() {
                        rustlet::yield_now();
                    }
                })
            })
            .collect();
        Yield {
            count,
            others,
            stop,
        }
    }
}

impl Workload for Yield {
    fn operations(&self) -> u64 {
        self.count as u64
    }

    fn run(&mut self, rounds: u64) -> Duration {
        rustlet::run(move || {
            rustlet::yield_now(); // all others have started
            let start = clock::thread_cpu();
            for _ in 0..rounds {
                rustlet::yield_now();
            }
            clock::thread_cpu() - start
        })
    }
}

impl Drop for Yield {
    fn drop(&mut self) {
        self.stop.set(true);
        for other in self.others.drain(..) {
            other.join().expect("it only yields");
        }
    }
}

/// `batch` greenlets spawned, then joined in order. An operation is one of them.
pub(crate) struct SpawnJoin {
    greenlets: Vec<Greenlet<usize>>,
    batch: usize,
}

impl SpawnJoin {
    pub(crate) fn new(batch: usize) -> Self {
        SpawnJoin {
            greenlets: Vec::with_capacity(batch),
            batch,
        }
    }
}

impl Workload for SpawnJoin {
    fn operations(&self) -> u64 {
        self.batch as u64
    }

    fn run(&mut self, rounds: u64) -> Duration {
        let start = clock::thread_cpu();
        for _ in 0..rounds {
            for number in 0..self.batch {
                let number = black_box(number);
                self.greenlets.push(rustlet::spawn(move || number));
            }
            for greenlet in self.greenlets.drain(..) {
                black_box(greenlet.join().expect("it returns a number"));
            }
        }
        clock::thread_cpu() - start
    }
}

/// Two greenlets that wake each other in turn. An operation is one way: unpark the other, park oneself.
pub(crate) struct PingPong {
    partner: Option<Greenlet<()>>,
    /// Whom the partner wakes; `None` when it should end.
    ball: Rc<Cell<Option<Handle>>>,
}

impl PingPong {
    pub(crate) fn new() -> Self {
        let ball = Rc::new(Cell::new(None::<Handle>));
        let returned = ball.clone();
        let partner = rustlet::spawn_local(move || {
            loop {
                rustlet::park().expect("greenlets are not told of deadlocks");
                let Some(other) = returned.take() else { return };
                other.unpark();
                returned.set(Some(other));
            }
        });
        rustlet::yield_now(); // it waits
        PingPong {
            partner: Some(partner),
            ball,
        }
    }
}

impl Workload for PingPong {
    fn operations(&self) -> u64 {
        2
    }

    fn run(&mut self, rounds: u64) -> Duration {
        let partner = self.partner.as_ref().expect("ends when dropped").handle();
        let ball = self.ball.clone();
        rustlet::run(move || {
            ball.set(Some(rustlet::current()));
            let start = clock::thread_cpu();
            for _ in 0..rounds {
                partner.unpark();
                rustlet::park().expect("greenlets are not told of deadlocks");
            }
            clock::thread_cpu() - start
        })
    }
}

impl Drop for PingPong {
    fn drop(&mut self) {
        self.ball.set(None);
        if let Some(partner) = self.partner.take() {
            partner.handle().unpark();
            partner.join().expect("it ends when the ball is gone");
        }
    }
}
