//! Channels: every item is received once, by whoever it was sent for, whatever ends the waits.

use std::sync::Arc;

use loom::thread::{self, JoinHandle};

use super::mpmc::{self, Receiver, Sender};
use super::queue::Queue;
use crate::models::{Row, check};
use crate::scheduler::park::{Parker, wait_is_over};
use crate::util::primitive::Cell;

pub(crate) const MODELS: &[Row] = &[
    (
        "channel rendezvous",
        "a channel without room hands over",
        || check(|| sending(0)),
    ),
    (
        "channel of one",
        "and one with room for one, which makes senders wait",
        || {
            check(|| sending(1));
        },
    ),
    (
        "channel two receivers",
        "two receivers share what two send",
        || check(two_and_two),
    ),
    (
        "channel receive timeout",
        "a receive that times out leaves the item to the next",
        || {
            check(|| receiving(Parker::time_out));
        },
    ),
    (
        "channel receive kill",
        "and so does one that is killed",
        || {
            check(|| receiving(Parker::kill));
        },
    ),
    (
        "channel send timeout",
        "a send that times out gives its item back",
        || check(giving_back),
    ),
    (
        "channel close",
        "the last sender's end wakes a receiver, after the items",
        || {
            check(closing_by_senders);
        },
    ),
    (
        "channel abandoned",
        "the last receiver's end gives a sender its item back",
        || {
            check(closing_by_receivers);
        },
    ),
    (
        "queue peek",
        "a peek and a get wait for the same item",
        || check(peeking),
    ),
];

/// Something that loom watches: whoever reads it must come after who wrote it.
#[derive(Debug)]
struct Item(Cell<u32>);

fn item(number: u32) -> Item {
    let item = Item(Cell::new(0));
    item.0.set(number);
    item
}

impl Item {
    fn read(self) -> u32 {
        self.0.get()
    }
}

/// A channel whose lock exists.
fn channel(capacity: usize) -> (Sender<Item>, Receiver<Item>) {
    let (sender, receiver) = mpmc::bounded(capacity);
    assert!(sender.is_empty()); // touched
    (sender, receiver)
}

fn spawn<R: 'static>(f: impl FnOnce() -> R + 'static) -> JoinHandle<Option<R>> {
    let parker = Parker::new();
    thread::spawn(move || parker.run(f))
}

fn joined<R>(thread: JoinHandle<Option<R>>) -> R {
    thread.join().expect("no panic").expect("not killed")
}

fn receive(receiver: &Receiver<Item>) -> Option<u32> {
    let received = receiver.recv();
    wait_is_over();
    received.ok().map(Item::read)
}

fn send(sender: &Sender<Item>, number: u32) -> Result<(), u32> {
    let sent = sender.send(item(number));
    wait_is_over();
    sent.map_err(|error| error.0.read())
}

fn sending(capacity: usize) {
    let (sender, receiver) = channel(capacity);
    let other = spawn(move || [receive(&receiver), receive(&receiver), receive(&receiver)]);
    Parker::new().run(|| {
        assert_eq!(send(&sender, 1), Ok(()));
        assert_eq!(send(&sender, 2), Ok(()));
        drop(sender);
    });
    assert_eq!(joined(other), [Some(1), Some(2), None]);
}

fn two_and_two() {
    let (sender, receiver) = channel(1);
    let receivers = [(); 2].map(|()| {
        let receiver = receiver.clone();
        spawn(move || receive(&receiver).expect("as many are sent"))
    });
    let other = {
        let sender = sender.clone();
        spawn(move || assert_eq!(send(&sender, 1), Ok(())))
    };
    Parker::new().run(|| assert_eq!(send(&sender, 2), Ok(())));
    joined(other);
    let sum: u32 = receivers.into_iter().map(joined).sum();
    assert_eq!(sum, 3);
}

/// One item; a receiver whose wait may be ended; then somebody who takes what is left.
fn receiving(end: fn(&Parker)) {
    let (sender, receiver) = channel(1);
    let parker = Parker::new();
    let impatient = {
        let (receiver, parker) = (receiver.clone(), parker.clone());
        thread::spawn(move || {
            let received = parker.run(|| {
                let received = receiver.recv_timeout(std::time::Duration::from_secs(1));
                wait_is_over();
                received.ok().map(Item::read)
            });
            received.flatten()
        })
    };
    let sending = spawn(move || assert_eq!(send(&sender, 1), Ok(())));
    end(&parker);
    let received = impatient.join().expect("no panic");
    joined(sending);
    let left = Parker::new()
        .run(|| receiver.try_recv().ok().map(Item::read))
        .flatten();
    assert_eq!(
        received.xor(left),
        Some(1),
        "lost or doubled: {received:?}, {left:?}"
    );
}

/// A sender that waits for room, and stops, while a receiver comes.
fn giving_back() {
    let (sender, receiver) = channel(0);
    let parker = Parker::new();
    let impatient = {
        let parker = parker.clone();
        thread::spawn(move || {
            let sent = parker.run(|| {
                let sent = sender.send_timeout(item(1), std::time::Duration::from_secs(1));
                wait_is_over();
                sent.map_err(|error| error.into_inner().read())
            });
            parker.run(|| drop(sender));
            sent.expect("not killed")
        })
    };
    let receiving = spawn(move || receive(&receiver));
    parker.time_out();
    match impatient.join().expect("no panic") {
        Ok(()) => assert_eq!(joined(receiving), Some(1)),
        Err(back) => {
            assert_eq!(back, 1);
            assert_eq!(joined(receiving), None);
        }
    }
}

fn closing_by_senders() {
    let (sender, receiver) = channel(2);
    let receiving = spawn(move || [receive(&receiver), receive(&receiver)]);
    let other = {
        let sender = sender.clone();
        spawn(move || drop(sender))
    };
    Parker::new().run(|| {
        assert_eq!(send(&sender, 1), Ok(()));
        drop(sender);
    });
    joined(other);
    assert_eq!(joined(receiving), [Some(1), None]);
}

fn closing_by_receivers() {
    let (sender, receiver) = channel(0);
    let sending = spawn(move || send(&sender, 1));
    let other = receiver.clone();
    let dropping = spawn(move || drop(other));
    Parker::new().run(|| drop(receiver));
    joined(dropping);
    assert_eq!(joined(sending), Err(1));
}

fn peeking() {
    let queue = Arc::new(Queue::bounded(1));
    assert!(queue.is_empty()); // touched
    let peeker = {
        let queue = queue.clone();
        spawn(move || {
            let peeked = queue.peek();
            wait_is_over();
            peeked
        })
    };
    let getter = {
        let queue = queue.clone();
        spawn(move || {
            let got = queue.get();
            wait_is_over();
            got
        })
    };
    Parker::new().run(|| {
        assert_eq!(queue.put(1_u32), Ok(()));
        wait_is_over();
        assert_eq!(queue.put(2), Ok(()));
    });
    assert_eq!(joined(getter), Ok(1));
    assert!(matches!(joined(peeker), Ok(1 | 2)));
}
