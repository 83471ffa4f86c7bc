//! What the harness is run on: queues and channels.

use std::rc::Rc;
use std::time::Duration;

use rustlet::queue::{Channel, LifoQueue, PriorityQueue, Queue};
use rustlet::sync::mpmc::{self, Receiver, Sender};
use rustlet::{spawn_local, yield_now};

use super::Waited;

/// Getting from a queue that is empty, and putting into one that is full.
macro_rules! queue {
    ($get:ident, $put:ident, $queue:ident) => {
        pub(crate) struct $get($queue<u8>);

        impl Waited for $get {
            const USED_UP: bool = true;
            fn new() -> Self {
                $get($queue::new())
            }
            fn wait(&self) {
                assert_eq!(self.0.get(), Ok(5));
            }
            fn wait_timeout(&self, limit: Duration) -> bool {
                self.0.get_timeout(limit).is_ok()
            }
            fn grant(&self) {
                self.0.put_nowait(5).unwrap();
            }
        }

        pub(crate) struct $put($queue<u8>);

        impl Waited for $put {
            const USED_UP: bool = true;
            fn new() -> Self {
                let queue = $queue::bounded(2);
                (0..2).for_each(|item| queue.put(item).unwrap());
                $put(queue)
            }
            fn wait(&self) {
                self.0.put(5).unwrap();
            }
            fn wait_timeout(&self, limit: Duration) -> bool {
                let put = self.0.put_timeout(5, limit);
                put.map_err(|error| assert_eq!(error.into_inner(), 5))
                    .is_ok()
            }
            fn grant(&self) {
                self.0.get_nowait().unwrap();
            }
        }
    };
}

queue!(QueueGet, QueuePut, Queue);
queue!(LifoGet, LifoPut, LifoQueue);
queue!(PriorityGet, PriorityPut, PriorityQueue);

pub(crate) struct QueuePeek(Queue<u8>);

impl Waited for QueuePeek {
    const USED_UP: bool = false;
    fn new() -> Self {
        QueuePeek(Queue::new())
    }
    fn wait(&self) {
        assert_eq!(self.0.peek(), Ok(5));
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        self.0.peek_timeout(limit).is_ok()
    }
    fn grant(&self) {
        self.0.put_nowait(5).unwrap();
    }
}

/// The wait for the one task that is not done.
pub(crate) struct QueueJoin(Queue<u8>);

impl Waited for QueueJoin {
    const USED_UP: bool = false;
    fn new() -> Self {
        let queue = Queue::new();
        queue.put(5).unwrap();
        queue.get().unwrap();
        QueueJoin(queue)
    }
    fn wait(&self) {
        self.0.join();
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        self.0.join_timeout(limit)
    }
    fn grant(&self) {
        self.0.task_done();
    }
}

/// If nobody waits, the grant is a greenlet that holds the item out.
pub(crate) struct ChannelGet(Rc<Channel<u8>>);

impl Waited for ChannelGet {
    const USED_UP: bool = true;
    fn new() -> Self {
        ChannelGet(Rc::default())
    }
    fn wait(&self) {
        assert_eq!(self.0.get(), Ok(5));
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        self.0.get_timeout(limit).is_ok()
    }
    fn grant(&self) {
        if self.0.put_nowait(5).is_err() {
            let channel = self.0.clone();
            drop(spawn_local(move || channel.put(5)));
            yield_now();
        }
    }
}

/// If nobody waits, the grant is a greenlet that waits for an item.
pub(crate) struct ChannelPut(Rc<Channel<u8>>);

impl Waited for ChannelPut {
    const USED_UP: bool = true;
    fn new() -> Self {
        ChannelPut(Rc::default())
    }
    fn wait(&self) {
        self.0.put(5).unwrap();
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        self.0.put_timeout(5, limit).is_ok()
    }
    fn grant(&self) {
        if self.0.get_nowait().is_err() {
            let channel = self.0.clone();
            drop(spawn_local(move || channel.get()));
            yield_now();
        }
    }
}

/// A channel with room for `ROOM` items.
pub(crate) struct Receive<const ROOM: usize>(Sender<u8>, Receiver<u8>);

impl<const ROOM: usize> Waited for Receive<ROOM> {
    const USED_UP: bool = true;
    fn new() -> Self {
        let (sender, receiver) = mpmc::bounded(ROOM);
        Receive(sender, receiver)
    }
    fn wait(&self) {
        assert_eq!(self.1.recv(), Ok(5));
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        self.1.recv_timeout(limit).is_ok()
    }
    fn grant(&self) {
        if self.0.try_send(5).is_err() {
            let sender = self.0.clone();
            drop(spawn_local(move || sender.send(5)));
            yield_now();
        }
    }
}

/// A channel with room for `ROOM` items, which is full.
pub(crate) struct Send<const ROOM: usize>(Sender<u8>, Receiver<u8>);

impl<const ROOM: usize> Waited for Send<ROOM> {
    const USED_UP: bool = true;
    fn new() -> Self {
        let (sender, receiver) = mpmc::bounded(ROOM);
        (0..ROOM).for_each(|_| sender.try_send(0).unwrap());
        Send(sender, receiver)
    }
    fn wait(&self) {
        self.0.send(5).unwrap();
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        let sent = self.0.send_timeout(5, limit);
        sent.map_err(|error| assert_eq!(error.into_inner(), 5))
            .is_ok()
    }
    fn grant(&self) {
        if self.1.try_recv().is_err() {
            let receiver = self.1.clone();
            drop(spawn_local(move || receiver.recv()));
            yield_now();
        }
    }
}
