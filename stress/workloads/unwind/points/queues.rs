//! Where items change hands: each that was given has been taken once, or is still there.

use rustlet::queue::{Channel, JoinableQueue, LifoQueue, PriorityQueue, Queue};
use rustlet::sync::Event;
use rustlet::sync::mpmc::{self, Receiver, Sender};

use super::{Point, Scene};

pub(super) const ALL: &[Point] = &[
    Point::cheap("mpmc: recv", || {
        Scene::given(mpmc::unbounded(), recv, send, |(_, rx), given, taken| {
            rx.len() as u64 + taken == given
        })
    }),
    Point::cheap("mpmc: recv of a bounded channel", || {
        Scene::given(mpmc::bounded(3), recv, send, |(_, rx), given, taken| {
            rx.len() as u64 + taken == given
        })
    }),
    Point::cheap("mpmc: send to a full channel", || {
        let (tx, rx) = mpmc::bounded(1);
        tx.send(0)?;
        Scene::given((tx, rx), fill, drain, |(_, rx), given, taken| {
            rx.len() as u64 == 1 + taken - given
        })
    }),
    Point::cheap("mpmc: recv at a rendezvous", || {
        Scene::given(mpmc::bounded(0), recv, send, |_, given, taken| {
            given == taken
        })
    }),
    Point::cheap("mpmc: send to a rendezvous", || {
        Scene::given(mpmc::bounded(0), fill, drain, |_, given, taken| {
            given == taken
        })
    }),
    Point::cheap("Queue::get", || {
        Scene::given(
            Queue::new(),
            |queue| queue.get().map_or(0, |item: u64| item),
            |queue| queue.put_nowait(1).is_ok().into(),
            |queue, given, taken| queue.len() as u64 + taken == given,
        )
    }),
    Point::cheap("Queue::put", || {
        let queue = Queue::bounded(1);
        queue.put(1)?;
        Scene::given(
            queue,
            |queue| queue.put(1_u64).is_ok().into(),
            |queue| queue.get_nowait().is_ok().into(),
            |queue, given, taken| queue.len() as u64 == 1 + taken - given,
        )
    }),
    Point::cheap("JoinableQueue::join", || {
        let queue = JoinableQueue::new();
        queue.put(1)?;
        Scene::given(
            queue,
            |queue| {
                queue.join();
                0
            },
            |queue| {
                queue.task_done();
                1
            },
            |queue, _, _| queue.get_nowait() == Ok(1),
        )
    }),
    Point::cheap("LifoQueue::get", || {
        Scene::given(
            LifoQueue::new(),
            |queue| queue.get().map_or(0, |item: u64| item),
            |queue| queue.put_nowait(1).is_ok().into(),
            |queue, given, taken| queue.len() as u64 + taken == given,
        )
    }),
    Point::cheap("PriorityQueue::get", || {
        Scene::given(
            PriorityQueue::new(),
            |queue| queue.get().map_or(0, |item: u64| item),
            |queue| queue.put_nowait(1).is_ok().into(),
            |queue, given, taken| queue.len() as u64 + taken == given,
        )
    }),
    Point::cheap("Channel::get", || {
        Scene::given(
            Channel::new(),
            |channel| channel.get().map_or(0, |item: u64| item),
            |channel| channel.put_nowait(1).is_ok().into(),
            |channel, given, taken| channel.balance() == 0 && given == taken,
        )
    }),
    Point::cheap("Channel::put", || {
        Scene::given(
            Channel::new(),
            |channel| channel.put(1_u64).is_ok().into(),
            |channel| channel.get_nowait().is_ok().into(),
            |channel, given, taken| channel.balance() == 0 && given == taken,
        )
    }),
    Point::cheap("select!", || {
        let never = Event::new();
        let full = Queue::bounded(1);
        full.put(1_u64)?;
        Scene::given(
            (mpmc::bounded(1), Queue::<u64>::new(), full, never),
            |((_, rx), queue, full, never)| {
                rustlet::select! {
                    recv(rx) -> item => item.unwrap_or(0),
                    get(queue) -> item => item.unwrap_or(0),
                    put(full, 1) -> put => put.is_ok().into(),
                    wait(never) => unreachable!("nobody sets it"),
                }
            },
            |(channel, _, _, _)| send(channel),
            |((_, rx), queue, full, _), given, taken| {
                rx.len() as u64 + taken == given && queue.is_empty() && full.len() == 1
            },
        )
    }),
];

type Ends = (Sender<u64>, Receiver<u64>);

fn recv((_, rx): &Ends) -> u64 {
    rx.recv().expect("the sender lives")
}

fn send((tx, _): &Ends) -> u64 {
    tx.try_send(1).is_ok().into()
}

fn fill((tx, _): &Ends) -> u64 {
    tx.send(1).is_ok().into()
}

fn drain((_, rx): &Ends) -> u64 {
    rx.try_recv().is_ok().into()
}
