//! rustlet: greenlets, and futures that greenlets poll.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustlet::sync::mpmc;
use rustlet::{Greenlet, Runtime, park, spawn, spawn_future};

use crate::programs::{self, CHILDREN, Clocks, Peer, Sample};

fn two_workers() -> Runtime {
    Runtime::builder().workers(2).build().expect("two threads")
}

/// [`rustlet::spawn`].
pub(crate) struct Greenlets {
    runtime: Runtime,
}

impl Greenlets {
    pub(crate) fn new() -> Self {
        Greenlets {
            runtime: two_workers(),
        }
    }

    /// Two greenlets, one on each worker, from the first one's beginning to its end.
    fn between_workers<F, G>(&self, times: u64, first: F, second: G) -> Sample
    where
        F: FnOnce(Greenlet<()>) + Send + 'static,
        G: FnOnce() + Send + 'static,
    {
        let runtime = self.runtime.handle();
        let there = runtime.spawn_on(1, second);
        let here = runtime.spawn_on(0, move || Sample::of(2 * times, || first(there)));
        here.join().expect("it only waits")
    }
}

impl Peer for Greenlets {
    fn spawn_join(&self, batch: u64, times: u64) -> Option<Sample> {
        Some(self.runtime.run(move || {
            let mut greenlets = Vec::with_capacity(batch as usize);
            Sample::of(batch * times, || {
                for _ in 0..times {
                    greenlets.extend((0..batch).map(|number| {
                        let number = black_box(number);
                        spawn(move || number)
                    }));
                    for greenlet in greenlets.drain(..) {
                        black_box(greenlet.join().expect("it returns a number"));
                    }
                }
            })
        }))
    }

    fn skynet(&self, levels: u32) -> Option<Sample> {
        fn node(levels: u32, first: u64) -> u64 {
            if levels == 0 {
                return first;
            }
            let children = programs::children(levels, first);
            let children = children.map(|first| spawn(move || node(levels - 1, first)));
            let sums = children
                .into_iter()
                .map(|child| child.join().expect("it adds"));
            sums.sum()
        }
        let leaves = CHILDREN.pow(levels);
        Some(self.runtime.run(move || {
            Sample::of(leaves, || {
                assert_eq!(node(levels, 0), programs::sum(leaves))
            })
        }))
    }

    fn unpark(&self, times: u64) -> Option<Sample> {
        let turns = Arc::new(AtomicU64::new(0));
        let wait_for = |turns: &AtomicU64, turn| {
            while turns.load(Ordering::Acquire) < turn {
                park().expect("greenlets are not told of deadlocks");
            }
        };
        let (sender, partner) = mpmc::bounded(1);
        let also = turns.clone();
        let second = move || {
            let partner: rustlet::Handle = partner.recv().expect("it is sent first");
            for turn in 0..times {
                wait_for(&also, 2 * turn + 1);
                also.store(2 * turn + 2, Ordering::Release);
                partner.unpark();
            }
        };
        let first = move |there: Greenlet<()>| {
            sender.send(rustlet::current()).expect("it waits for that");
            for turn in 0..times {
                turns.store(2 * turn + 1, Ordering::Release);
                there.handle().unpark();
                wait_for(&turns, 2 * turn + 2);
            }
        };
        Some(self.between_workers(times, first, second))
    }

    fn channel(&self, room: usize, times: u64) -> Option<Sample> {
        let (sender, there) = mpmc::bounded(room);
        let (back, receiver) = mpmc::bounded(room);
        let second = move || {
            for number in 0..times {
                assert_eq!(there.recv(), Ok(number));
                back.send(number).expect("it receives");
            }
        };
        let first = move |_| {
            for number in 0..times {
                sender.send(number).expect("it receives");
                assert_eq!(receiver.recv(), Ok(number));
            }
        };
        Some(self.between_workers(times, first, second))
    }

    fn wake_by_thread(&self, times: usize) -> Option<Sample> {
        let runtime = self.runtime.handle();
        Some(programs::wakes_by_thread(times, |begin, now| {
            drop(runtime.spawn(move || begin.note(now)));
        }))
    }

    fn wake_by_worker(&self, times: usize) -> Option<Sample> {
        Some(self.runtime.run(move || {
            programs::wakes_by_worker(times, |begin, now| drop(spawn(move || begin.note(now))))
        }))
    }
}

/// [`rustlet::spawn_future`], joined by a future too.
pub(crate) struct Futures {
    runtime: Runtime,
}

impl Futures {
    pub(crate) fn new() -> Self {
        Futures {
            runtime: two_workers(),
        }
    }

    fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        let future = self.runtime.handle().spawn_future(future);
        future.join().expect("it does not panic")
    }
}

impl Peer for Futures {
    fn spawn_join(&self, batch: u64, times: u64) -> Option<Sample> {
        Some(self.run(async move {
            let mut futures = Vec::with_capacity(batch as usize);
            let clocks = Clocks::start();
            for _ in 0..times {
                futures.extend((0..batch).map(|number| {
                    let number = black_box(number);
                    spawn_future(async move { number })
                }));
                for future in futures.drain(..) {
                    black_box(future.await.expect("it returns a number"));
                }
            }
            clocks.sample(batch * times)
        }))
    }

    fn skynet(&self, levels: u32) -> Option<Sample> {
        fn node(levels: u32, first: u64) -> std::pin::Pin<Box<dyn Future<Output = u64> + Send>> {
            Box::pin(async move {
                if levels == 0 {
                    return first;
                }
                let children = programs::children(levels, first);
                let children = children.map(|first| spawn_future(node(levels - 1, first)));
                let mut sum = 0;
                for child in children {
                    sum += child.await.expect("it adds");
                }
                sum
            })
        }
        let leaves = CHILDREN.pow(levels);
        Some(self.run(async move {
            let clocks = Clocks::start();
            assert_eq!(node(levels, 0).await, programs::sum(leaves));
            clocks.sample(leaves)
        }))
    }

    // Futures are not on a certain worker, and are begun as greenlets are.
    fn unpark(&self, _: u64) -> Option<Sample> {
        None
    }
    fn channel(&self, _: usize, _: u64) -> Option<Sample> {
        None
    }
    fn wake_by_thread(&self, _: usize) -> Option<Sample> {
        None
    }
    fn wake_by_worker(&self, _: usize) -> Option<Sample> {
        None
    }
}
