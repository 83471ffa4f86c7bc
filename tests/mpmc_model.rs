//! Random programs on channels of every capacity, with kills, throws, timeouts and lost ends in between: each item is
//! received exactly once or dropped, in order, by the right greenlet. See `queue_model/harness.rs`.

mod support;

#[path = "queue_model/harness.rs"]
mod harness;

use std::time::Duration;

use harness::{Item, Outcome, Subject, check};
use rustlet::sync::mpmc::{
    self, Receiver, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError,
    TrySendError,
};

/// Both ends, until they are dropped. A greenlet has both too, but lets go of the one that it does not use.
struct Ends {
    sender: std::cell::RefCell<Option<Sender<Item>>>,
    receiver: std::cell::RefCell<Option<Receiver<Item>>>,
}

impl Ends {
    fn new(capacity: usize) -> Self {
        let (sender, receiver) = match capacity {
            usize::MAX => mpmc::unbounded(),
            capacity => mpmc::bounded(capacity),
        };
        Ends {
            sender: Some(sender).into(),
            receiver: Some(receiver).into(),
        }
    }

    /// Takes the end that is used, and drops the other.
    fn send(&self, item: Item, send: impl FnOnce(&Sender<Item>, Item) -> Outcome) -> Outcome {
        self.receiver.take();
        match self.sender.take() {
            Some(sender) => send(&sender, item),
            None => Outcome::Closed(Some(item.value)),
        }
    }

    fn recv(&self, recv: impl FnOnce(&Receiver<Item>) -> Outcome) -> Outcome {
        self.sender.take();
        match self.receiver.take() {
            Some(receiver) => recv(&receiver),
            None => Outcome::Closed(None),
        }
    }
}

impl Subject for Ends {
    const HAS_ENDS: bool = true;
    fn put(&self, item: Item) -> Outcome {
        self.send(item, |sender, item| match sender.send(item) {
            Ok(()) => Outcome::Put,
            Err(SendError(item)) => Outcome::Closed(Some(item.value)),
        })
    }
    fn put_now(&self, item: Item) -> Outcome {
        self.user()
            .send(item, |sender, item| match sender.try_send(item) {
                Ok(()) => Outcome::Put,
                Err(TrySendError::Full(item)) => Outcome::NotNow(Some(item.value)),
                Err(TrySendError::Disconnected(item)) => Outcome::Closed(Some(item.value)),
            })
    }
    fn put_timeout(&self, item: Item, limit: Duration) -> Outcome {
        self.send(item, |sender, item| {
            match sender.send_timeout(item, limit) {
                Ok(()) => Outcome::Put,
                Err(SendTimeoutError::Timeout(item)) => Outcome::NotNow(Some(item.value)),
                Err(SendTimeoutError::Disconnected(item)) => Outcome::Closed(Some(item.value)),
            }
        })
    }
    fn get(&self) -> Outcome {
        self.recv(|receiver| match receiver.recv() {
            Ok(item) => Outcome::Got(item.value),
            Err(_) => Outcome::Closed(None),
        })
    }
    fn get_now(&self) -> Outcome {
        self.user().recv(|receiver| match receiver.try_recv() {
            Ok(item) => Outcome::Got(item.value),
            Err(TryRecvError::Empty) => Outcome::NotNow(None),
            Err(TryRecvError::Disconnected) => Outcome::Closed(None),
        })
    }
    fn get_timeout(&self, limit: Duration) -> Outcome {
        self.recv(|receiver| match receiver.recv_timeout(limit) {
            Ok(item) => Outcome::Got(item.value),
            Err(RecvTimeoutError::Timeout) => Outcome::NotNow(None),
            Err(RecvTimeoutError::Disconnected) => Outcome::Closed(None),
        })
    }
    fn len(&self) -> usize {
        match (&*self.sender.borrow(), &*self.receiver.borrow()) {
            (Some(sender), _) => sender.len(),
            (_, Some(receiver)) => receiver.len(),
            _ => 0,
        }
    }
    fn user(&self) -> Self {
        Ends {
            sender: self.sender.borrow().clone().into(),
            receiver: self.receiver.borrow().clone().into(),
        }
    }
    fn close(&mut self, discard: bool) {
        if discard {
            self.receiver.take();
        } else {
            self.sender.take();
        }
    }
}

fn model(capacities: &'static [usize]) {
    let _watchdog = support::watchdog_of(Duration::from_secs(600));
    check(capacities, Ends::new);
}

#[test]
fn rendezvous() {
    model(&[0]);
}

#[test]
fn room_for_one() {
    model(&[1]);
}

#[test]
fn room_for_some() {
    model(&[2, 3, 7]);
}

#[test]
fn unbounded() {
    model(&[usize::MAX]);
}
