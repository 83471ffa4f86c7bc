//! Channels and queues: messages between greenlets of one hub, and of two.
//!
//! - *ping-pong*: two greenlets, a channel each way, of capacity 0 and 1. An operation is a message: send, switch,
//!   receive. The floor is `park` and `unpark` without a channel.
//! - *4 × 4*: four senders and four receivers of one channel with room for 128: mostly no switch at all.
//! - *two hubs*: the same between two threads. A message that finds the other asleep costs both sides a system call, and the
//!   kernel's wake-up of a thread; so the processor time depends on the neighbours of the machine, and the wall time even
//!   more. crossbeam-channel and flume between plain threads are there for the scale.
//!
//! tokio's own channel has one receiver and no capacity 0, may's have no capacity at all: where they cannot do what is
//! asked, flume does on tokio, and may is not held back. Times are CPU time of the process.
//!
//! Not for the latency of a message to a thread that sleeps.
//!
//! ```text
//! cargo bench --bench channels
//! cargo bench --bench channels -- --rounds 15
//! cargo bench --bench channels -- --only "two threads"
//! ```

mod support;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustlet::queue::Queue;
use rustlet::sync::mpmc;

use support::green::PingPong;
use support::peers::{self, Contender, Table};
use support::workload::compare;
use support::{arguments, clock};

const SIDES: u64 = 4;
const ROOM: usize = 128;

/// CPU time of the process while `f` runs.
fn cpu(f: impl FnOnce()) -> Duration {
    let start = clock::process_cpu();
    f();
    clock::process_cpu() - start
}

/// Runs the closures as greenlets of this thread.
fn greenlets<F: FnOnce() + Send + 'static>(bodies: Vec<F>) -> Duration {
    cpu(|| {
        let greenlets: Vec<_> = bodies.into_iter().map(rustlet::spawn).collect();
        for greenlet in greenlets {
            greenlet.join().expect("it sends or receives");
        }
    })
}

/// Runs two groups of closures, each as greenlets of a thread of its own.
fn two_hubs<F, G>(left: Vec<F>, right: Vec<G>) -> Duration
where
    F: FnOnce() + Send + 'static,
    G: FnOnce() + Send + 'static,
{
    cpu(|| {
        let left = thread::spawn(|| greenlets(left));
        let right = thread::spawn(|| greenlets(right));
        left.join().expect("it sends");
        right.join().expect("it receives");
    })
}

/// Runs the closures as threads.
fn threads(bodies: Vec<Box<dyn FnOnce() + Send>>) -> Duration {
    cpu(|| {
        let threads: Vec<_> = bodies.into_iter().map(thread::spawn).collect();
        for thread in threads {
            thread.join().expect("it sends or receives");
        }
    })
}

// ---------------------------------------------------------------------------- ping-pong

type Body = Box<dyn FnOnce() + Send>;

/// Both sides of a ping-pong through any kind of channel.
macro_rules! ping_pong {
    ($count:expr, $pair:expr) => {{
        let count: u64 = $count;
        let (there, from_there) = $pair;
        let (back, from_back) = $pair;
        let ping: Body = Box::new(move || {
            for number in 0..count {
                there.send(number).expect("the other receives");
                assert_eq!(from_back.recv().expect("the other sends"), number);
            }
        });
        let pong: Body = Box::new(move || {
            for _ in 0..count {
                back.send(from_there.recv().expect("the other sends"))
                    .expect("the other receives");
            }
        });
        (ping, pong)
    }};
}

fn rustlet_ping_pong(count: u64, capacity: usize) -> Duration {
    let (ping, pong) = ping_pong!(count, mpmc::bounded(capacity));
    greenlets(vec![ping, pong])
}

fn flume_on_tokio_ping_pong(count: u64, capacity: usize) -> Duration {
    let (there, from_there) = flume::bounded(capacity);
    let (back, from_back) = flume::bounded(capacity);
    peers::on_tokio(2, move |side| {
        let (there, from_there) = (there.clone(), from_there.clone());
        let (back, from_back) = (back.clone(), from_back.clone());
        async move {
            for number in 0..count {
                if side == 0 {
                    there.send_async(number).await.expect("the other receives");
                    assert_eq!(
                        from_back.recv_async().await.expect("the other sends"),
                        number
                    );
                } else {
                    let number = from_there.recv_async().await.expect("the other sends");
                    back.send_async(number).await.expect("the other receives");
                }
            }
        }
    })
}

fn tokio_ping_pong(count: u64) -> Duration {
    let (there, from_there) = tokio::sync::mpsc::channel(1);
    let (back, from_back) = tokio::sync::mpsc::channel(1);
    let mut sides = vec![(back, from_there), (there, from_back)];
    peers::on_tokio(2, move |side| {
        let (sender, mut receiver) = sides.pop().expect("two sides");
        async move {
            for number in 0..count {
                if side == 0 {
                    sender.send(number).await.expect("the other receives");
                    assert_eq!(receiver.recv().await, Some(number));
                } else {
                    let number = receiver.recv().await.expect("the other sends");
                    sender.send(number).await.expect("the other receives");
                }
            }
        }
    })
}

fn may_ping_pong(count: u64) -> Duration {
    let (ping, pong) = ping_pong!(count, may::sync::mpsc::channel());
    let mut bodies = vec![pong, ping];
    peers::on_may(2, move |_| bodies.pop().expect("two sides"))
}

// ---------------------------------------------------------------------------- 4 × 4

/// Senders and receivers of `count` messages in all, through any kind of channel.
macro_rules! four_by_four {
    ($count:expr, $pair:expr) => {{
        let each: u64 = $count / SIDES;
        let (sender, receiver) = $pair;
        let senders: Vec<Body> = (0..SIDES)
            .map(|_| {
                let sender = sender.clone();
                Box::new(move || {
                    for number in 0..each {
                        sender.send(number).expect("somebody receives");
                    }
                }) as Body
            })
            .collect();
        let receivers: Vec<Body> = (0..SIDES)
            .map(|_| {
                let receiver = receiver.clone();
                Box::new(move || {
                    for _ in 0..each {
                        receiver.recv().expect("somebody sends");
                    }
                }) as Body
            })
            .collect();
        (senders, receivers)
    }};
}

fn both((mut senders, receivers): (Vec<Body>, Vec<Body>)) -> Vec<Body> {
    senders.extend(receivers);
    senders
}

/// A queue with the methods of a channel.
#[derive(Clone)]
struct Ends(Arc<Queue<u64>>);

impl Ends {
    fn pair() -> (Self, Self) {
        let queue = Ends(Arc::new(Queue::bounded(ROOM)));
        (queue.clone(), queue)
    }

    #[inline]
    fn send(&self, item: u64) -> Result<(), rustlet::queue::ShutDown<u64>> {
        self.0.put(item)
    }

    #[inline]
    fn recv(&self) -> Result<u64, rustlet::queue::ShutDown> {
        self.0.get()
    }
}

fn flume_on_tokio_four_by_four(count: u64) -> Duration {
    let (sender, receiver) = flume::bounded(ROOM);
    peers::on_tokio(2 * SIDES, move |side| {
        let (sender, receiver) = (sender.clone(), receiver.clone());
        async move {
            for number in 0..count / SIDES {
                if side < SIDES {
                    sender.send_async(number).await.expect("somebody receives");
                } else {
                    receiver.recv_async().await.expect("somebody sends");
                }
            }
        }
    })
}

fn may_four_by_four(count: u64) -> Duration {
    let mut bodies = both(four_by_four!(count, may::sync::mpmc::channel()));
    bodies.reverse();
    peers::on_may(2 * SIDES, move |_| bodies.pop().expect("as many as that"))
}

// ---------------------------------------------------------------------------- the tables

fn main() {
    let smoke = arguments::is_smoke_test();
    let rounds = peers::rounds(9);
    let count: u64 = if smoke { 400 } else { 400_000 };
    peers::one_may_worker();

    let mut table = Table::new("CPU ns a message, one hub", 2.0 * count as f64);
    table.row(
        "ping-pong, capacity 0, at most 45",
        rounds,
        &mut [
            Contender::new("rustlet", || rustlet_ping_pong(count, 0)),
            Contender::new("flume on tokio", || flume_on_tokio_ping_pong(count, 0)),
        ],
    );
    table.row(
        "ping-pong, capacity 1, at most 45",
        rounds,
        &mut [
            Contender::new("rustlet", || rustlet_ping_pong(count, 1)),
            Contender::new("flume on tokio", || flume_on_tokio_ping_pong(count, 1)),
            Contender::new("tokio", || tokio_ping_pong(count)),
            Contender::new("may", || may_ping_pong(count)),
        ],
    );
    table.row(
        "4 × 4, mpmc(128), at most 35",
        rounds,
        &mut [
            Contender::new("rustlet", || {
                greenlets(both(four_by_four!(2 * count, mpmc::bounded(ROOM))))
            }),
            Contender::new("flume on tokio", || flume_on_tokio_four_by_four(2 * count)),
            Contender::new("may", || may_four_by_four(2 * count)),
        ],
    );
    table.row(
        "4 × 4, Queue(128)",
        rounds,
        &mut [Contender::new("rustlet", || {
            greenlets(both(four_by_four!(2 * count, Ends::pair())))
        })],
    );
    table.print();
    let floor = compare(&mut [&mut PingPong::new()], if smoke { 1 } else { 21 });
    println!(
        "floor of ping-pong, unpark the other and park: {:.1} ns",
        floor[0]
    );

    let count: u64 = if smoke { 400 } else { 100_000 };
    let mut walls = Vec::new();
    let mut table = Table::new("CPU ns a message, two threads", 2.0 * count as f64);
    for capacity in [0, 1] {
        table.row(
            &format!("ping-pong, capacity {capacity}, two threads"),
            rounds.min(5),
            &mut [
                Contender::new("rustlet", || {
                    let (ping, pong) = ping_pong!(count, mpmc::bounded(capacity));
                    let start = Instant::now();
                    let time = two_hubs(vec![ping], vec![pong]);
                    walls.push((capacity, start.elapsed()));
                    time
                }),
                Contender::new("crossbeam, threads", || {
                    let (ping, pong) = ping_pong!(count, crossbeam_channel::bounded(capacity));
                    threads(vec![ping, pong])
                }),
                Contender::new("flume, threads", || {
                    let (ping, pong) = ping_pong!(count, flume::bounded(capacity));
                    threads(vec![ping, pong])
                }),
            ],
        );
    }
    table.row(
        "4 × 4, mpmc(128), two threads",
        rounds.min(5),
        &mut [
            Contender::new("rustlet", || {
                let (senders, receivers) = four_by_four!(2 * count, mpmc::bounded(ROOM));
                two_hubs(senders, receivers)
            }),
            Contender::new("crossbeam, threads", || {
                threads(both(four_by_four!(
                    2 * count,
                    crossbeam_channel::bounded(ROOM)
                )))
            }),
            Contender::new("flume, threads", || {
                threads(both(four_by_four!(2 * count, flume::bounded(ROOM))))
            }),
        ],
    );
    table.print();
    for capacity in [0, 1] {
        let times = walls.iter().filter(|wall| wall.0 == capacity);
        if let Some(best) = times.map(|wall| wall.1).min() {
            let each = best.as_nanos() as f64 / (2.0 * count as f64);
            println!(
                "rustlet, two hubs, capacity {capacity}: {each:.0} ns of wall time a message at best"
            );
        }
    }
}
