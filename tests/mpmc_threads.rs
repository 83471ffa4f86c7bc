//! Senders and receivers on several threads, some of which are killed or time out: every item that was sent is received
//! once, and what a receiver gets from one sender it gets in order.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustlet::sync::mpmc::{
    Receiver, RecvTimeoutError, SendTimeoutError, Sender, bounded, unbounded,
};
use rustlet::{spawn_local, yield_now};

/// xorshift, for choices that need no shrinking.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// The sender's number, and that of the item.
type Item = (u64, u64);

/// What a greenlet has done so far. Nothing suspends between an operation and its entry.
type Log = Arc<Mutex<Vec<Item>>>;

fn send(sender: &Sender<Item>, me: u64, count: u64, mut random: Random, log: &Log) {
    let mut next = 0;
    while next < count {
        let item = (me, next);
        let done = match random.below(4) {
            0 => sender.try_send(item).is_ok(),
            1 => match sender.send_timeout(item, Duration::from_micros(random.below(50))) {
                Ok(()) => true,
                Err(SendTimeoutError::Timeout(back)) => {
                    assert_eq!(back, item);
                    false
                }
                Err(SendTimeoutError::Disconnected(_)) => unreachable!("receivers stay"),
            },
            _ => sender.send(item).is_ok(),
        };
        if done {
            log.lock().unwrap().push(item);
            next += 1;
        }
        if random.below(8) == 0 {
            yield_now();
        }
    }
}

fn recv(receiver: &Receiver<Item>, mut random: Random, log: &Log) {
    loop {
        let item = match random.below(3) {
            0 => match receiver.recv_timeout(Duration::from_micros(random.below(50))) {
                Ok(item) => item,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            },
            _ => match receiver.recv() {
                Ok(item) => item,
                Err(_) => return,
            },
        };
        log.lock().unwrap().push(item);
    }
}

/// Two threads of senders and two of receivers, four greenlets each, of which the last is killed some time.
fn stress((sender, receiver): (Sender<Item>, Receiver<Item>)) {
    let _watchdog = support::watchdog_of(Duration::from_secs(600));
    let seed = support::seed();
    let each = (2_000 / u64::from(support::slowdown())).max(10);
    let threads: Vec<_> = (0..4_u64)
        .map(|number| {
            let sender = (number < 2).then(|| sender.clone());
            let receiver = receiver.clone();
            std::thread::spawn(move || {
                let mut random = Random((seed ^ (number + 1) << 32) | 1);
                for _ in 0..20 {
                    random.below(2);
                }
                let (greenlets, logs): (Vec<_>, Vec<_>) = (0..4)
                    .map(|index| {
                        let log = Log::default();
                        let random = Random(random.below(u64::MAX) | 1);
                        let (sender, receiver, log2) =
                            (sender.clone(), receiver.clone(), log.clone());
                        let greenlet = spawn_local(move || match sender {
                            Some(sender) => send(&sender, number * 4 + index, each, random, &log2),
                            None => recv(&receiver, random, &log2),
                        });
                        (greenlet, log)
                    })
                    .unzip();
                // Kept to the end: who is killed last must not disconnect the others.
                let _receiver = receiver;
                drop(sender);
                (0..random.below(100)).for_each(|_| yield_now());
                greenlets[3].kill().unwrap();
                for greenlet in greenlets {
                    if let Err(error) = greenlet.join() {
                        assert!(error.is_killed(), "{error}");
                    }
                }
                logs
            })
        })
        .collect();
    drop(sender);
    let logs: Vec<Vec<Log>> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    let items = |logs: &[Vec<Log>]| {
        let all = logs.iter().flatten();
        let mut all: Vec<Item> = all.flat_map(|log| log.lock().unwrap().clone()).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(items(&logs[..2]), items(&logs[2..]), "sent, and received");
    assert!(receiver.try_recv().is_err());
    for log in logs[2..].iter().flatten() {
        let mut last = BTreeMap::new();
        for &(sender, number) in &*log.lock().unwrap() {
            if let Some(before) = last.insert(sender, number) {
                assert!(before < number, "sender {sender}: {number} after {before}");
            }
        }
    }
}

#[test]
fn rendezvous() {
    stress(bounded(0));
}

#[test]
fn room_for_one() {
    stress(bounded(1));
}

#[test]
fn room_for_some() {
    stress(bounded(16));
}

#[test]
fn room_for_all() {
    stress(unbounded());
}
