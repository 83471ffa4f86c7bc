//! The short lock: excludes, and publishes.

use loom::cell::UnsafeCell;
use loom::thread;
use std::sync::Arc;

use super::spinning::ShortLock;
use crate::models::{Row, check, check_at_most};

pub(crate) const MODELS: &[Row] = &[
    (
        "short_lock two",
        "one at a time, who sees what the last one did",
        || {
            check(|| counting(2, 2));
        },
    ),
    (
        "short_lock three",
        "the same with three threads; more preemptions have too many rounds of spinning",
        || check_at_most(1, || counting(3, 1)),
    ),
];

/// `threads` threads that count `each` times; loom sees accesses to the cell that are not ordered.
fn counting(threads: usize, each: usize) {
    let lock = Arc::new(ShortLock::new(UnsafeCell::new(0)));
    drop(lock.lock()); // touched
    let others: Vec<_> = (1..threads)
        .map(|_| {
            let lock = lock.clone();
            thread::spawn(move || (0..each).for_each(|_| count(&lock)))
        })
        .collect();
    (0..each).for_each(|_| count(&lock));
    for other in others {
        other.join().expect("it counts");
    }
    // SAFETY: under the lock.
    let total = lock.lock().with(|count| unsafe { *count });
    assert_eq!(total, threads * each);
}

fn count(lock: &ShortLock<UnsafeCell<usize>>) {
    // SAFETY: under the lock.
    lock.lock().with_mut(|count| unsafe { *count += 1 });
}
