//! tokio: its multi-threaded runtime with two workers; for ping-pong two of one thread each.

use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, mpsc};

use crate::programs::{self, CHILDREN, Clocks, Peer, Sample};

pub(crate) struct Tasks {
    runtime: Runtime,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).build();
        Tasks {
            runtime: runtime.expect("two threads"),
        }
    }

    /// On a worker, not on the thread that waits for it.
    fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        let task = self.runtime.spawn(future);
        self.runtime.block_on(task).expect("it does not panic")
    }

    /// Two tasks on threads of their own.
    fn between_threads<F, G>(times: u64, first: F, second: G) -> Sample
    where
        F: Future<Output = ()>,
        G: Future<Output = ()> + Send + 'static,
    {
        let one_thread = || Builder::new_current_thread().build().expect("a runtime");
        let there = std::thread::spawn(move || one_thread().block_on(second));
        let sample = one_thread().block_on(async {
            let clocks = Clocks::start();
            first.await;
            clocks.sample(2 * times)
        });
        there.join().expect("it only waits");
        sample
    }
}

impl Peer for Tasks {
    fn spawn_join(&self, batch: u64, times: u64) -> Option<Sample> {
        Some(self.run(async move {
            let mut tasks = Vec::with_capacity(batch as usize);
            let clocks = Clocks::start();
            for _ in 0..times {
                tasks.extend((0..batch).map(|number| {
                    let number = black_box(number);
                    tokio::spawn(async move { number })
                }));
                for task in tasks.drain(..) {
                    black_box(task.await.expect("it returns a number"));
                }
            }
            clocks.sample(batch * times)
        }))
    }

    fn skynet(&self, levels: u32) -> Option<Sample> {
        fn node(levels: u32, first: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
            Box::pin(async move {
                if levels == 0 {
                    return first;
                }
                let children = programs::children(levels, first);
                let children = children.map(|first| tokio::spawn(node(levels - 1, first)));
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

    fn unpark(&self, times: u64) -> Option<Sample> {
        let (ours, theirs) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (here, there) = (ours.clone(), theirs.clone());
        let second = async move {
            for _ in 0..times {
                theirs.notified().await;
                here.notify_one();
            }
        };
        let first = async {
            for _ in 0..times {
                there.notify_one();
                ours.notified().await;
            }
        };
        Some(Tasks::between_threads(times, first, second))
    }

    fn channel(&self, room: usize, times: u64) -> Option<Sample> {
        if room == 0 {
            return None; // it has none such
        }
        let (sender, mut there) = mpsc::channel(room);
        let (back, mut receiver) = mpsc::channel(room);
        let second = async move {
            for number in 0..times {
                assert_eq!(there.recv().await, Some(number));
                back.send(number).await.expect("it receives");
            }
        };
        let first = async {
            for number in 0..times {
                sender.send(number).await.expect("it receives");
                assert_eq!(receiver.recv().await, Some(number));
            }
        };
        Some(Tasks::between_threads(times, first, second))
    }

    fn wake_by_thread(&self, times: usize) -> Option<Sample> {
        Some(programs::wakes_by_thread(times, |begin, now| {
            self.runtime.spawn(async move { begin.note(now) });
        }))
    }

    fn wake_by_worker(&self, times: usize) -> Option<Sample> {
        Some(self.run(async move {
            programs::wakes_by_worker(times, |begin, now| {
                tokio::spawn(async move { begin.note(now) });
                // What a worker spawned last it keeps for itself; this puts the other where it can be stolen.
                tokio::spawn(async {});
            })
        }))
    }
}
