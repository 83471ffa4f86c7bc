//! Items, and the account of them.
//!
//! A producer enters an item after the put that was a success, a consumer after the get that gave it, and nothing suspends between.
//! So the two columns are equal in the end, however many died: an item too many was put by somebody who
//! was told that it was not, or was given twice; an item too few was given to somebody who was not there to take it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::pipe::{Got, How, Pipe};
use crate::witness::Witness;
use crate::workload::{Failure, ensure};

/// What is put. Ordered by priority first.
pub(super) struct Item {
    priority: u8,
    producer: usize,
    number: u64,
    made: Instant,
    ledger: Arc<Ledger>,
}

impl Item {
    pub(super) fn age(&self) -> Duration {
        self.made.elapsed()
    }

    fn key(&self) -> (u8, usize, u64) {
        (self.priority, self.producer, self.number)
    }
}

impl Clone for Item {
    fn clone(&self) -> Item {
        self.ledger.alive.fetch_add(1, Relaxed);
        Item {
            ledger: self.ledger.clone(),
            ..*self
        }
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.ledger.alive.fetch_sub(1, Relaxed);
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Item) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Item) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Item) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// One producer's items in one pipe.
#[derive(Default)]
struct Account {
    sent: AtomicU64,
    taken: Mutex<Vec<bool>>,
}

pub(super) struct Ledger {
    /// By pipe and producer.
    accounts: Vec<Vec<Account>>,
    /// Items and copies that exist.
    alive: AtomicU64,
}

impl Ledger {
    pub(super) fn new(pipes: usize, producers: usize) -> Ledger {
        let of_pipe = || Vec::from_iter((0..producers).map(|_| Account::default()));
        Ledger {
            accounts: Vec::from_iter((0..pipes).map(|_| of_pipe())),
            alive: AtomicU64::new(0),
        }
    }

    pub(super) fn make(self: &Arc<Self>, producer: usize, number: u64, priority: u8) -> Item {
        self.alive.fetch_add(1, Relaxed);
        Item {
            priority,
            producer,
            number,
            made: Instant::now(),
            ledger: self.clone(),
        }
    }

    pub(super) fn sent(&self, pipe: usize, producer: usize) {
        self.accounts[pipe][producer].sent.fetch_add(1, Relaxed);
    }

    pub(super) fn taken(&self, pipe: usize, item: &Item, kind: &str, witness: &Witness) {
        let mut taken = self.accounts[pipe][item.producer].taken.lock().unwrap();
        let number = item.number as usize;
        if taken.len() <= number {
            taken.resize(number + 1, false);
        }
        let twice = std::mem::replace(&mut taken[number], true);
        witness.expect(!twice, || {
            format!(
                "{kind}: item {number} of producer {} came out twice",
                item.producer
            )
        });
    }

    /// A copy that stays in the pipe: may have been taken by now, but was put, or is being put just now.
    pub(super) fn look(&self, pipe: usize, item: &Item, witness: &Witness) {
        let sent = self.accounts[pipe][item.producer].sent.load(Relaxed);
        witness.expect(item.number <= sent, || {
            let (producer, number) = (item.producer, item.number);
            format!("a peek showed item {number} of producer {producer}, who has put {sent}")
        });
    }

    /// Takes what nobody took, and looks at its order.
    pub(super) fn stored(&self, nth: usize, pipe: &Pipe) -> Result<(), Failure> {
        let witness = Witness::default();
        let (kind, mut order) = (pipe.kind(), Order::default());
        let mut before: Option<Item> = None;
        let mut first_of: HashMap<usize, u64> = HashMap::new();
        while let Got::Item(item) = pipe.get(How::Now) {
            pipe.task_done();
            self.taken(nth, &item, kind, &witness);
            if pipe.keeps_order() {
                order.check(nth, &item, kind, &witness);
            } else if pipe.is_sorted() {
                let sorted = before.as_ref().is_none_or(|before| *before <= item);
                witness.expect(sorted, || {
                    format!(
                        "{kind}: {:?} came out after {:?}",
                        item.key(),
                        before.as_ref().map(Item::key)
                    )
                });
            } else {
                let later = first_of.insert(item.producer, item.number);
                witness.expect(later.is_none_or(|later| later > item.number), || {
                    let (producer, number) = (item.producer, item.number);
                    format!("{kind}: item {number} of producer {producer} came out after {later:?}")
                });
            }
            before = Some(item);
        }
        drop(before);
        witness.verdict()
    }

    /// What is in both columns, and that no item exists any more. `all` items were to be taken.
    pub(super) fn settle(
        &self,
        all: bool,
        kind: impl Fn(usize) -> &'static str,
    ) -> Result<(), Failure> {
        for (pipe, accounts) in self.accounts.iter().enumerate() {
            for (producer, account) in accounts.iter().enumerate() {
                let sent = account.sent.load(Relaxed);
                let taken = account.taken.lock().unwrap();
                let kind = kind(pipe);
                let lost = (0..sent as usize).find(|number| !taken.get(*number).unwrap_or(&false));
                ensure!(
                    taken.len() as u64 <= sent,
                    "{kind}: item {} of producer {producer} was taken, who had put {sent} and was refused the rest",
                    taken.len() - 1
                );
                ensure!(
                    lost.is_none() || !all,
                    "{kind}: producer {producer} put {sent} items, and item {} is lost",
                    lost.unwrap_or(0)
                );
            }
        }
        let alive = self.alive.load(Relaxed);
        ensure!(alive == 0, "{alive} items were never dropped");
        Ok(())
    }
}

/// What one consumer has seen.
#[derive(Default)]
pub(super) struct Order {
    /// The number of the next item, at least, by pipe and producer.
    next: HashMap<(usize, usize), u64>,
}

impl Order {
    pub(super) fn check(&mut self, pipe: usize, item: &Item, kind: &str, witness: &Witness) {
        let next = self.next.entry((pipe, item.producer)).or_default();
        witness.expect(*next <= item.number, || {
            let (producer, number) = (item.producer, item.number);
            format!(
                "{kind}: item {number} of producer {producer} came to a consumer after item {}",
                *next - 1
            )
        });
        *next = item.number + 1;
    }
}
