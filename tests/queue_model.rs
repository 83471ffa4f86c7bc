//! Random programs on every kind of queue, with kills, throws, timeouts and shutdowns in between: each item is received
//! exactly once or dropped, in the right order, by the right greenlet. See `queue_model/harness.rs`.

mod support;

#[path = "queue_model/harness.rs"]
mod harness;

use std::rc::Rc;
use std::time::Duration;

use harness::{Give, Item, Outcome, Subject, check};
use rustlet::queue::{Channel, GetError, LifoQueue, PriorityQueue, PutError, Queue, ShutDown};

macro_rules! subject {
    ($name:ident, $give:ident, $len:expr) => {
        impl Subject for Rc<$name<Item>> {
            const GIVE: Give = Give::$give;
            const JOINS: bool = true;
            fn put(&self, item: Item) -> Outcome {
                match (**self).put(item) {
                    Ok(()) => Outcome::Put,
                    Err(ShutDown(item)) => Outcome::Closed(Some(item.value)),
                }
            }
            fn put_now(&self, item: Item) -> Outcome {
                put(self.put_nowait(item))
            }
            fn put_timeout(&self, item: Item, limit: Duration) -> Outcome {
                put((**self).put_timeout(item, limit))
            }
            fn get(&self) -> Outcome {
                match (**self).get() {
                    Ok(item) => Outcome::Got(item.value),
                    Err(ShutDown(())) => Outcome::Closed(None),
                }
            }
            fn get_now(&self) -> Outcome {
                get(self.get_nowait())
            }
            fn get_timeout(&self, limit: Duration) -> Outcome {
                get((**self).get_timeout(limit))
            }
            fn len(&self) -> usize {
                $len(self)
            }
            fn user(&self) -> Self {
                self.clone()
            }
            fn close(&mut self, discard: bool) {
                if discard {
                    self.shutdown_now();
                } else {
                    self.shutdown();
                }
            }
            fn join(&self) {
                (**self).join();
            }
            fn task_done(&self) {
                (**self).task_done();
            }
            fn unfinished(&self) -> usize {
                self.unfinished_tasks()
            }
        }
    };
}
subject!(Queue, First, |queue: &Rc<Queue<_>>| (**queue).len());
subject!(LifoQueue, Last, |queue: &Rc<LifoQueue<_>>| (**queue).len());
subject!(PriorityQueue, Smallest, |queue: &Rc<PriorityQueue<_>>| {
    (**queue).len()
});

fn put(result: Result<(), PutError<Item>>) -> Outcome {
    match result {
        Ok(()) => Outcome::Put,
        Err(PutError::Full(item)) => Outcome::NotNow(Some(item.value)),
        Err(PutError::ShutDown(item)) => Outcome::Closed(Some(item.value)),
    }
}

fn get(result: Result<Item, GetError>) -> Outcome {
    match result {
        Ok(item) => Outcome::Got(item.value),
        Err(GetError::Empty) => Outcome::NotNow(None),
        Err(GetError::ShutDown) => Outcome::Closed(None),
    }
}

const CAPACITIES: &[usize] = &[1, 2, 5, usize::MAX];

macro_rules! new {
    ($name:ident) => {
        |capacity| {
            Rc::new(match capacity {
                usize::MAX => $name::new(),
                capacity => $name::bounded(capacity),
            })
        }
    };
}

#[test]
fn queue() {
    let _watchdog = support::watchdog_of(Duration::from_secs(600));
    check(CAPACITIES, new!(Queue));
}

#[test]
fn lifo_queue() {
    let _watchdog = support::watchdog_of(Duration::from_secs(600));
    check(CAPACITIES, new!(LifoQueue));
}

#[test]
fn priority_queue() {
    let _watchdog = support::watchdog_of(Duration::from_secs(600));
    check(CAPACITIES, new!(PriorityQueue));
}

/// A channel as a queue without room; it has no `join`.
struct Rendezvous(Rc<Channel<Item>>);

impl Subject for Rendezvous {
    fn put(&self, item: Item) -> Outcome {
        match self.0.put(item) {
            Ok(()) => Outcome::Put,
            Err(ShutDown(item)) => Outcome::Closed(Some(item.value)),
        }
    }
    fn put_now(&self, item: Item) -> Outcome {
        put(self.0.put_nowait(item))
    }
    fn put_timeout(&self, item: Item, limit: Duration) -> Outcome {
        put(self.0.put_timeout(item, limit))
    }
    fn get(&self) -> Outcome {
        match self.0.get() {
            Ok(item) => Outcome::Got(item.value),
            Err(ShutDown(())) => Outcome::Closed(None),
        }
    }
    fn get_now(&self) -> Outcome {
        get(self.0.get_nowait())
    }
    fn get_timeout(&self, limit: Duration) -> Outcome {
        get(self.0.get_timeout(limit))
    }
    fn len(&self) -> usize {
        0
    }
    fn user(&self) -> Self {
        Rendezvous(self.0.clone())
    }
    fn close(&mut self, discard: bool) {
        if discard {
            self.0.shutdown_now();
        } else {
            self.0.shutdown();
        }
    }
}

#[test]
fn channel() {
    let _watchdog = support::watchdog_of(Duration::from_secs(600));
    check(&[0], |_| Rendezvous(Rc::default()));
}
