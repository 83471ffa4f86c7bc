//! Permits: exclusion, no lost wake-up, and no permit lost to a wait that ends.

use loom::cell::UnsafeCell;
use loom::thread;
use std::sync::Arc;

use super::permits::Permits;
use super::waiter::NotGranted;
use crate::models::{Row, check};
use crate::scheduler::park::{Parker, wait_is_over};
use crate::timer::Deadline;

pub(crate) const MODELS: &[Row] = &[
    (
        "permits lock",
        "one at a time, and everybody comes to it",
        || check(|| locking(2, 2)),
    ),
    (
        "permits lock of three",
        "the same with three threads",
        || check(|| locking(3, 1)),
    ),
    (
        "permits timeout",
        "a wait that times out loses no permit and no wake-up",
        || {
            check(|| ending(Parker::time_out));
        },
    ),
    ("permits kill", "nor does one that is killed", || {
        check(|| ending(Parker::kill))
    }),
    (
        "permits add",
        "two permits added at once reach two waiters",
        || check(adding),
    ),
];

/// A lock around a count.
struct Counter {
    permits: Permits,
    count: UnsafeCell<usize>,
}

impl Counter {
    fn new() -> Arc<Self> {
        let counter = Counter {
            permits: Permits::new(1, "a lock", true),
            count: UnsafeCell::new(0),
        };
        assert_eq!(counter.permits.free(), 1); // touched
        Arc::new(counter)
    }

    fn count(&self, deadline: Option<&Deadline>) -> bool {
        let acquired = self.permits.acquire(deadline);
        wait_is_over();
        match acquired {
            Ok(()) => {}
            Err(NotGranted::TimedOut) => return false,
            Err(other) => panic!("{other:?}"),
        }
        // SAFETY: loom checks it.
        self.count.with_mut(|count| unsafe { *count += 1 });
        self.permits.release();
        true
    }

    fn total(&self) -> usize {
        // SAFETY: loom checks it.
        self.count.with(|count| unsafe { *count })
    }
}

fn locking(threads: usize, each: usize) {
    let counter = Counter::new();
    let others: Vec<_> = (1..threads)
        .map(|_| {
            let (counter, parker) = (counter.clone(), Parker::new());
            thread::spawn(move || {
                parker.run(|| (0..each).for_each(|_| assert!(counter.count(None))));
            })
        })
        .collect();
    Parker::new().run(|| (0..each).for_each(|_| assert!(counter.count(None))));
    for other in others {
        other.join().expect("it counts");
    }
    assert_eq!(counter.total(), threads * each);
    assert_eq!(counter.permits.free(), 1);
}

/// One holds the lock, two wait for it, and one of these is made to stop.
fn ending(end: fn(&Parker)) {
    let counter = Counter::new();
    assert!(counter.permits.try_acquire());
    let impatient = Parker::new();
    let first = {
        let (counter, parker) = (counter.clone(), impatient.clone());
        thread::spawn(move || {
            parker.run(|| counter.count(Some(&Deadline::new(None)))) == Some(true)
        })
    };
    let second = {
        let (counter, parker) = (counter.clone(), Parker::new());
        thread::spawn(move || parker.run(|| counter.count(None)))
    };
    end(&impatient);
    Parker::new().run(|| counter.permits.release());
    let counted = usize::from(first.join().expect("it ends"));
    assert_eq!(second.join().expect("it counts"), Some(true));
    assert_eq!(counter.total(), counted + 1);
    assert_eq!(counter.permits.free(), 1, "a permit was lost or doubled");
}

fn adding() {
    let permits = Arc::new(Permits::new(0, "a permit", false));
    assert_eq!(permits.free(), 0); // touched
    let others = [(); 2].map(|()| {
        let (permits, parker) = (permits.clone(), Parker::new());
        thread::spawn(move || {
            parker.run(|| {
                permits.acquire(None).expect("added");
                wait_is_over();
            })
        })
    });
    Parker::new().run(|| assert!(permits.add(2)));
    for other in others {
        other.join().expect("it acquires");
    }
    assert_eq!(permits.free(), 0);
}
