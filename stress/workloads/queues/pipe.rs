//! Any queue or channel of the library, by one name.

use std::sync::Mutex;
use std::time::Duration;

use fastrand::Rng;
use rustlet::queue::{Channel, GetError, LifoQueue, PriorityQueue, PutError, Queue};
use rustlet::sync::Select;
use rustlet::sync::mpmc::{
    self, Receiver, RecvTimeoutError, SendTimeoutError, Sender, TryRecvError, TrySendError,
};

use super::ledger::Item;
use crate::workload::{Failure, ensure};

pub(super) enum Pipe {
    Queue(Queue<Item>),
    Lifo(LifoQueue<Item>),
    Priority(PriorityQueue<Item>),
    Channel(Channel<Item>),
    /// Who uses it clones an end for as long as an operation lasts. It is closed by dropping these.
    Mpmc(Mutex<Ends>),
}

pub(super) struct Ends {
    sender: Option<Sender<Item>>,
    receiver: Option<Receiver<Item>>,
}

/// What it takes to use a pipe: an end of a channel; of other pipes nothing.
pub(super) struct End<T>(Option<T>);

#[derive(Clone, Copy)]
pub(super) enum How {
    Wait,
    Limit(Duration),
    Now,
}

impl How {
    pub(super) fn any(rng: &mut Rng) -> How {
        match rng.u8(..8) {
            0 => How::Now,
            1 | 2 => How::Limit(Duration::from_nanos(rng.u64(..300_000))),
            _ => How::Wait,
        }
    }

    /// For what has a limit in any case: shorter or longer than its own.
    pub(super) fn limit(self, rng: &mut Rng) -> Duration {
        match self {
            How::Limit(limit) => limit * rng.u32(..4) / 2,
            How::Now => Duration::ZERO,
            How::Wait => Duration::from_nanos(rng.u64(..2_000_000)),
        }
    }
}

#[derive(Debug, PartialEq)]
pub(super) enum Put {
    Done,
    /// No room, now or in time.
    Refused,
    Closed,
}

pub(super) enum Got {
    Item(Item),
    Nothing,
    Closed,
}

/// `$do` with whichever of gevent's queues it is; `$otherwise` with a channel's ends.
macro_rules! with {
    ($pipe:expr, $queue:ident => $do:expr, $ends:pat => $otherwise:expr) => {
        match $pipe {
            Pipe::Queue($queue) => $do,
            Pipe::Lifo($queue) => $do,
            Pipe::Priority($queue) => $do,
            Pipe::Channel($queue) => $do,
            Pipe::Mpmc($ends) => $otherwise,
        }
    };
}

impl Pipe {
    /// With room for any number of items, if it is to keep what is put; else with a little or none, or with any.
    pub(super) fn any(stored: bool, rng: &mut Rng) -> Pipe {
        let room = if stored || rng.u8(..4) == 0 {
            None
        } else {
            Some(1 << rng.u8(..8))
        };
        match rng.u8(..8) {
            0 | 1 => Pipe::Queue(room.map_or_else(Queue::new, Queue::bounded)),
            2 => Pipe::Lifo(room.map_or_else(LifoQueue::new, LifoQueue::bounded)),
            3 => Pipe::Priority(room.map_or_else(PriorityQueue::new, PriorityQueue::bounded)),
            4 if !stored => Pipe::Channel(Channel::new()),
            _ => {
                let (sender, receiver) = match room {
                    None => mpmc::unbounded(),
                    Some(room) => mpmc::bounded(room - 1),
                };
                Pipe::Mpmc(Mutex::new(Ends {
                    sender: Some(sender),
                    receiver: Some(receiver),
                }))
            }
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Pipe::Queue(_) => "queue",
            Pipe::Lifo(_) => "lifo",
            Pipe::Priority(_) => "priority",
            Pipe::Channel(_) => "channel",
            Pipe::Mpmc(_) => "mpmc",
        }
    }

    /// Whether a producer's items come out in the order in which they went in.
    pub(super) fn keeps_order(&self) -> bool {
        matches!(self, Pipe::Queue(_) | Pipe::Channel(_) | Pipe::Mpmc(_))
    }

    /// Whether items come out smallest first.
    pub(super) fn is_sorted(&self) -> bool {
        matches!(self, Pipe::Priority(_))
    }

    /// `None` if it is closed, and has such ends.
    pub(super) fn put_end(&self) -> Option<End<Sender<Item>>> {
        with!(self, _queue => Some(End(None)), ends => {
            let sender = ends.lock().unwrap().sender.clone();
            sender.map(|sender| End(Some(sender)))
        })
    }

    /// As [`Pipe::put_end`].
    pub(super) fn get_end(&self) -> Option<End<Receiver<Item>>> {
        with!(self, _queue => Some(End(None)), ends => {
            let receiver = ends.lock().unwrap().receiver.clone();
            receiver.map(|receiver| End(Some(receiver)))
        })
    }

    pub(super) fn put(&self, item: Item, how: How) -> Put {
        let Some(End(sender)) = self.put_end() else {
            return Put::Closed;
        };
        match how {
            How::Wait => {
                with!(self, queue => put(queue.put(item)), _ => put(of(&sender).send(item)))
            }
            How::Limit(limit) => {
                with!(self, queue => put_perhaps(queue.put_timeout(item, limit)), _ => {
                    match of(&sender).send_timeout(item, limit) {
                        Ok(()) => Put::Done,
                        Err(SendTimeoutError::Timeout(_)) => Put::Refused,
                        Err(SendTimeoutError::Disconnected(_)) => Put::Closed,
                    }
                })
            }
            How::Now => with!(self, queue => put_perhaps(queue.put_nowait(item)), _ => {
                match of(&sender).try_send(item) {
                    Ok(()) => Put::Done,
                    Err(TrySendError::Full(_)) => Put::Refused,
                    Err(TrySendError::Disconnected(_)) => Put::Closed,
                }
            }),
        }
    }

    pub(super) fn get(&self, how: How) -> Got {
        let Some(End(receiver)) = self.get_end() else {
            return Got::Closed;
        };
        match how {
            How::Wait => with!(self, queue => got(queue.get()), _ => got(of(&receiver).recv())),
            How::Limit(limit) => with!(self, queue => got_perhaps(queue.get_timeout(limit)), _ => {
                match of(&receiver).recv_timeout(limit) {
                    Ok(item) => Got::Item(item),
                    Err(RecvTimeoutError::Timeout) => Got::Nothing,
                    Err(RecvTimeoutError::Disconnected) => Got::Closed,
                }
            }),
            How::Now => with!(self, queue => got_perhaps(queue.get_nowait()), _ => {
                match of(&receiver).try_recv() {
                    Ok(item) => Got::Item(item),
                    Err(TryRecvError::Empty) => Got::Nothing,
                    Err(TryRecvError::Disconnected) => Got::Closed,
                }
            }),
        }
    }

    /// Adds putting `item` here to a select. `end` is this pipe's.
    pub(super) fn put_arm<'a, R>(
        &'a self,
        End(sender): &'a End<Sender<Item>>,
        item: Item,
        select: Select<'a, R>,
        then: impl FnOnce(Put) -> R + 'a,
    ) -> Select<'a, R> {
        with!(self, queue => select.send(queue, item, |done| then(put(done))),
            _ => select.send(of(sender), item, |done| then(put(done))))
    }

    /// Adds getting from here to a select. `end` is this pipe's.
    pub(super) fn get_arm<'a, R>(
        &'a self,
        End(receiver): &'a End<Receiver<Item>>,
        select: Select<'a, R>,
        then: impl FnOnce(Got) -> R + 'a,
    ) -> Select<'a, R> {
        with!(self, queue => select.recv(queue, |item| then(got(item))),
            _ => select.recv(of(receiver), |item| then(got(item))))
    }

    /// Shows the item that is next, if the kind can and there is one.
    pub(super) fn peek(&self, look: impl FnMut(&Item)) {
        let shown = match self {
            Pipe::Queue(queue) => queue.peek_nowait().ok(),
            Pipe::Lifo(queue) => queue.peek_nowait().ok(),
            Pipe::Priority(queue) => queue.peek_timeout(Duration::from_micros(50)).ok(),
            Pipe::Channel(_) | Pipe::Mpmc(_) => None,
        };
        shown.iter().for_each(look);
    }

    /// Once more does nothing.
    pub(super) fn close(&self, throw_away: bool) {
        match self {
            Pipe::Mpmc(ends) => {
                let mut ends = ends.lock().unwrap();
                let taken = Ends {
                    sender: ends.sender.take(),
                    receiver: if throw_away {
                        ends.receiver.take()
                    } else {
                        None
                    },
                };
                drop(ends);
                drop(taken);
            }
            pipe if throw_away => with!(pipe, queue => queue.shutdown_now(), _ => ()),
            pipe => with!(pipe, queue => queue.shutdown(), _ => ()),
        }
    }

    /// An item that was taken is done with.
    pub(super) fn task_done(&self) {
        match self {
            Pipe::Queue(queue) => queue.task_done(),
            Pipe::Lifo(queue) => queue.task_done(),
            Pipe::Priority(queue) => queue.task_done(),
            Pipe::Channel(_) | Pipe::Mpmc(_) => {}
        }
    }

    /// What must be so when all have gone.
    pub(super) fn settle(&self) -> Result<(), Failure> {
        let kind = self.kind();
        let (left, unfinished) = match self {
            Pipe::Queue(queue) => (queue.len(), queue.unfinished_tasks()),
            Pipe::Lifo(queue) => (queue.len(), queue.unfinished_tasks()),
            Pipe::Priority(queue) => (queue.len(), queue.unfinished_tasks()),
            Pipe::Channel(channel) => (channel.balance().unsigned_abs(), 0),
            Pipe::Mpmc(ends) => (
                ends.lock()
                    .unwrap()
                    .receiver
                    .as_ref()
                    .map_or(0, Receiver::len),
                0,
            ),
        };
        ensure!(
            left == 0,
            "{kind}: all have gone, and {left} items (or those who wait with one) are left"
        );
        ensure!(
            unfinished == 0,
            "{kind}: each item was declared done, and {unfinished} are not"
        );
        Ok(())
    }
}

/// The end of a channel.
fn of<T>(end: &Option<T>) -> &T {
    end.as_ref().expect("a channel has ends")
}

fn put<E>(done: Result<(), E>) -> Put {
    match done {
        Ok(()) => Put::Done,
        Err(_) => Put::Closed,
    }
}

fn put_perhaps(done: Result<(), PutError<Item>>) -> Put {
    match done {
        Ok(()) => Put::Done,
        Err(PutError::Full(_)) => Put::Refused,
        Err(PutError::ShutDown(_)) => Put::Closed,
    }
}

fn got<E>(item: Result<Item, E>) -> Got {
    item.map_or(Got::Closed, Got::Item)
}

fn got_perhaps(item: Result<Item, GetError>) -> Got {
    match item {
        Ok(item) => Got::Item(item),
        Err(GetError::Empty) => Got::Nothing,
        Err(GetError::ShutDown) => Got::Closed,
    }
}
