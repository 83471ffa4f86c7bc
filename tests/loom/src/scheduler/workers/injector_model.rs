//! The injector: what is pushed while it is closed is refused, or taken by whoever looks after closing it.

use std::sync::Arc;

use loom::thread;

use super::fresh::Fresh;
use super::injector::Injector;
use crate::models::{Row, check};

pub(crate) const MODELS: &[Row] = &[
    (
        "injector close",
        "what comes while it is closed is refused, or there for who closed it",
        || check(closing),
    ),
    (
        "injector shares",
        "two that take shares get everything, once, and in order",
        || check(sharing),
    ),
];

fn injector() -> Arc<Injector> {
    let injector = Arc::new(Injector::new());
    assert!(injector.is_empty() && injector.greenlets() == 0); // touched
    assert_eq!(injector.take_share(1, drop), 0);
    injector
}

/// As `Worker::leave`.
fn take_all(injector: &Injector) -> Vec<usize> {
    let mut taken = Vec::new();
    while injector.take_share(2, |Fresh(number)| taken.push(number)) > 0 {}
    taken
}

/// Two push, one of them twice; the third closes it and takes what is there.
fn closing() {
    let injector = injector();
    let pushers = [vec![0, 1], vec![2]].map(|numbers| {
        let injector = injector.clone();
        thread::spawn(move || {
            let pushed = numbers.into_iter().filter(|&number| {
                let pushed = injector.push(Fresh(number), 1);
                pushed.is_ok()
            });
            pushed.collect::<Vec<_>>()
        })
    });
    injector.close();
    let mut taken = take_all(&injector);
    assert!(injector.is_empty());
    let pushed = pushers.map(|pusher| pusher.join().expect("it pushes"));
    assert!(injector.is_empty(), "something came after the end");
    assert_eq!(injector.greenlets(), taken.len() as u64);
    taken.sort_unstable();
    let mut pushed = pushed.concat();
    pushed.sort_unstable();
    assert_eq!(taken, pushed);
}

/// Two take what a third pushes.
fn sharing() {
    let injector = injector();
    let taker = {
        let injector = injector.clone();
        thread::spawn(move || {
            let mut taken = Vec::new();
            injector.take_share(2, |Fresh(number)| taken.push(number));
            taken
        })
    };
    let pusher = {
        let injector = injector.clone();
        thread::spawn(move || {
            for number in 0..3 {
                injector.push(Fresh(number), 1).expect("open");
            }
        })
    };
    let mut mine = Vec::new();
    injector.take_share(2, |Fresh(number)| mine.push(number));
    pusher.join().expect("it pushes");
    let theirs = taker.join().expect("it takes");
    assert!(mine.is_sorted() && theirs.is_sorted());
    let looks_empty = injector.is_empty();
    let left = take_all(&injector);
    assert_eq!(looks_empty, left.is_empty(), "its length is wrong");
    assert!(injector.is_empty());
    let mut all = [mine, theirs, left].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2]);
}
