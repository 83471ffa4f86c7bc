//! Priority queues and peeks run code of the user's on stored items: it may panic, suspend, be killed, and come back to the
//! same queue.

mod support;

use std::cell::Cell;
use std::cmp::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustlet::queue::{GetError, PriorityQueue, Queue};
use rustlet::{spawn, spawn_local, yield_now};
use support::{Counter, OnDrop};

thread_local! {
    static WHEN_COMPARING: Cell<fn()> = const { Cell::new(|| ()) };
}

/// Compares by number, and does something else at it.
struct Odd(u32, #[expect(dead_code, reason = "dropped")] Option<OnDrop>);

impl PartialEq for Odd {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Odd {}
impl PartialOrd for Odd {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Odd {
    fn cmp(&self, other: &Self) -> Ordering {
        WHEN_COMPARING.get()();
        self.0.cmp(&other.0)
    }
}
impl Clone for Odd {
    fn clone(&self) -> Self {
        WHEN_COMPARING.get()();
        Odd(self.0, None)
    }
}

fn panics() {
    resume_unwind(Box::new("odd"));
}

#[test]
fn sorted_whatever_comes() {
    let queue = PriorityQueue::new();
    let mut expected: Vec<u32> = (0..1000).map(|n| n * 7919 % 1009).collect();
    expected.iter().for_each(|&item| queue.put(item).unwrap());
    expected.sort_unstable();
    let got: Vec<_> = (0..1000).map(|_| queue.get_nowait().unwrap()).collect();
    assert_eq!(got, expected);
}

#[test]
fn a_panic_loses_no_more_than_what_was_being_taken() {
    let dropped = Counter::default();
    let queue = PriorityQueue::new();
    for number in (0..20).rev() {
        queue.put(Odd(number, Some(dropped.on_drop()))).unwrap();
    }
    WHEN_COMPARING.set(panics);
    for attempt in 1..=3 {
        let result = catch_unwind(AssertUnwindSafe(|| queue.get()));
        assert!(result.is_err());
        assert!(dropped.get() <= attempt);
        assert_eq!(queue.len(), 20 - dropped.get());
        assert_eq!(queue.unfinished_tasks(), queue.len());
    }
    WHEN_COMPARING.set(|| ());
    let left = queue.len();
    let mut got = Vec::new();
    while let Ok(item) = queue.get_nowait() {
        got.push(item.0);
    }
    assert_eq!(got.len(), left);
    assert!(got.is_sorted(), "{got:?}");
    assert_eq!(dropped.get(), 20);
}

#[test]
fn what_was_being_taken_when_a_comparison_panicked_counts_as_done() {
    let dropped = Counter::default();
    let queue = PriorityQueue::new();
    for number in 0..20 {
        queue.put(Odd(number, Some(dropped.on_drop()))).unwrap();
    }
    queue.peek().unwrap(); // has sorted them
    WHEN_COMPARING.set(panics);
    assert!(catch_unwind(AssertUnwindSafe(|| queue.get())).is_err());
    WHEN_COMPARING.set(|| ());
    assert_eq!(dropped.get(), 1);
    assert_eq!((queue.len(), queue.unfinished_tasks()), (19, 19));
    queue.shutdown_now();
    queue.join();
}

#[test]
fn putting_does_not_compare() {
    WHEN_COMPARING.set(panics);
    let queue = PriorityQueue::new();
    (0..10).for_each(|number| queue.put(Odd(number, None)).unwrap());
    WHEN_COMPARING.set(|| ());
}

/// A comparison that suspends: others may put, and wait; all are served.
#[test]
fn a_comparison_may_suspend() {
    let _watchdog = support::watchdog();
    let queue = Rc::new(PriorityQueue::new());
    (0..50).for_each(|number| queue.put(Odd(number * 7 % 50, None)).unwrap());
    WHEN_COMPARING.set(yield_now);
    let getters: Vec<_> = (0..10)
        .map(|number| {
            let queue = queue.clone();
            spawn_local(move || {
                let got: Vec<_> = (0..6).map(|_| queue.get().unwrap().0).collect();
                queue.put(Odd(1000 + number, None)).unwrap();
                got
            })
        })
        .collect();
    // Ten more than there are: they come in the middle.
    for number in 0..10 {
        yield_now();
        queue.put(Odd(100 + number, None)).unwrap();
    }
    let mut all: Vec<_> = getters
        .into_iter()
        .flat_map(|getter| getter.join().unwrap())
        .collect();
    WHEN_COMPARING.set(|| ());
    all.sort_unstable();
    assert_eq!(all, (0..50).chain(100..110).collect::<Vec<_>>());
    assert_eq!(queue.len(), 10);
}

#[test]
fn nowait_waits_for_comparisons_alone() {
    let _watchdog = support::watchdog();
    let queue = Rc::new(PriorityQueue::new());
    (0..3).for_each(|number| queue.put(Odd(number, None)).unwrap());
    WHEN_COMPARING.set(yield_now);
    let getter = spawn_local({
        let queue = queue.clone();
        move || queue.get().unwrap().0
    });
    yield_now(); // in the middle of comparing
    assert!(!getter.is_finished());
    assert_eq!(queue.get_nowait().map(|item| item.0), Ok(1));
    assert_eq!(queue.peek_nowait().map(|item| item.0), Ok(2));
    assert_eq!(getter.join().unwrap(), 0);
    WHEN_COMPARING.set(|| ());
}

/// Killed in the middle of a comparison: the queue is as usable as before, and those who waited for the end of
/// the comparison are served.
#[test]
fn killed_while_comparing() {
    let _watchdog = support::watchdog();
    let dropped = Counter::default();
    let queue = Rc::new(PriorityQueue::new());
    (0..10).for_each(|number| queue.put(Odd(number, Some(dropped.on_drop()))).unwrap());
    WHEN_COMPARING.set(yield_now);
    let get = || {
        let queue = queue.clone();
        spawn_local(move || queue.get().map(|item| item.0))
    };
    let (first, second) = (get(), get());
    yield_now();
    first.kill().unwrap();
    assert!(second.join().unwrap().is_ok());
    WHEN_COMPARING.set(|| ());
    let left = queue.len();
    assert_eq!(std::iter::from_fn(|| queue.get_nowait().ok()).count(), left);
    assert_eq!(dropped.get(), 10);
    assert!(left >= 8);
}

#[test]
fn shut_down_while_comparing() {
    let _watchdog = support::watchdog();
    for now in [false, true] {
        let dropped = Counter::default();
        let queue = Rc::new(PriorityQueue::new());
        (0..3).for_each(|number| queue.put(Odd(number, Some(dropped.on_drop()))).unwrap());
        WHEN_COMPARING.set(yield_now);
        let getters: Vec<_> = (0..5)
            .map(|_| {
                let queue = queue.clone();
                spawn_local(move || queue.get().map(|item| item.0))
            })
            .collect();
        yield_now();
        if now {
            queue.shutdown_now();
        } else {
            queue.shutdown();
        }
        let got: Vec<_> = getters
            .into_iter()
            .map(|getter| getter.join().unwrap().ok())
            .collect();
        WHEN_COMPARING.set(|| ());
        // The first had begun.
        let expected = if now { 1 } else { 3 };
        assert_eq!(got[..expected], [Some(0), Some(1), Some(2)][..expected]);
        assert!(got[expected..].iter().all(Option::is_none));
        assert_eq!(dropped.get(), 3);
        assert_eq!(
            queue.get_nowait().map(|item| item.0),
            Err(GetError::ShutDown)
        );
    }
}

// ---------------------------------------------------------------------------- peeks

#[test]
fn a_peek_may_suspend() {
    let _watchdog = support::watchdog();
    let queue = Rc::new(Queue::bounded(3));
    (0..2).for_each(|number| queue.put(Odd(number, None)).unwrap());
    WHEN_COMPARING.set(yield_now);
    let peeker = spawn_local({
        let queue = queue.clone();
        move || queue.peek().unwrap().0
    });
    yield_now();
    assert!(!peeker.is_finished());
    // Items can be put, up to the bound, but not taken.
    queue.put_nowait(Odd(2, None)).unwrap();
    assert!(queue.put_nowait(Odd(3, None)).is_err());
    let getters: Vec<_> = (0..4)
        .map(|_| {
            let queue = queue.clone();
            spawn_local(move || queue.get().unwrap().0)
        })
        .collect();
    let putter = spawn_local({
        let queue = queue.clone();
        move || queue.put(Odd(3, None)).unwrap()
    });
    assert_eq!(peeker.join().unwrap(), 0);
    WHEN_COMPARING.set(|| ());
    let got: Vec<_> = getters
        .into_iter()
        .map(|getter| getter.join().unwrap())
        .collect();
    assert_eq!(got, [0, 1, 2, 3]);
    putter.join().unwrap();
}

#[test]
fn a_peek_that_panics_or_is_killed_leaves_the_item() {
    let _watchdog = support::watchdog();
    let queue = Rc::new(Queue::new());
    queue.put(Odd(7, None)).unwrap();
    WHEN_COMPARING.set(panics);
    assert!(catch_unwind(AssertUnwindSafe(|| queue.peek())).is_err());
    WHEN_COMPARING.set(yield_now);
    let peeker = spawn_local({
        let queue = queue.clone();
        move || queue.peek().map(|item| item.0)
    });
    yield_now();
    peeker.kill().unwrap();
    WHEN_COMPARING.set(|| ());
    assert_eq!(queue.peek_nowait().map(|item| item.0), Ok(7));
    assert_eq!(queue.get_nowait().map(|item| item.0), Ok(7));
}

#[test]
fn shut_down_while_peeking() {
    let _watchdog = support::watchdog();
    let dropped = Counter::default();
    let queue = Rc::new(Queue::new());
    queue.put(Odd(7, Some(dropped.on_drop()))).unwrap();
    WHEN_COMPARING.set(yield_now);
    let peeker = spawn_local({
        let queue = queue.clone();
        move || queue.peek().map(|item| item.0)
    });
    let getter = spawn_local({
        let queue = queue.clone();
        move || queue.get().map(|item| item.0)
    });
    yield_now();
    queue.shutdown_now();
    assert_eq!(dropped.get(), 0, "it is being looked at");
    assert_eq!(peeker.join().unwrap(), Ok(7));
    assert!(getter.join().unwrap().is_err());
    WHEN_COMPARING.set(|| ());
    assert_eq!(dropped.get(), 1);
}

/// Threads that put, get and peek: each item once, and each thread's in order of their values.
#[test]
fn threads() {
    let _watchdog = support::watchdog_of(Duration::from_secs(300));
    const EACH: u32 = 5_000;
    let queue = Arc::new(PriorityQueue::bounded(64));
    let threads: Vec<_> = (0..4_u32)
        .map(|number| {
            let queue = queue.clone();
            std::thread::spawn(move || {
                let mut got = Vec::new();
                for round in 0..EACH {
                    queue.put(round * 4 + number).unwrap();
                    if round % 64 == 0 {
                        let _ = queue.peek_nowait();
                    }
                    got.push(queue.get().unwrap());
                }
                got
            })
        })
        .collect();
    let mut all: Vec<_> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    all.sort_unstable();
    assert_eq!(all, (0..4 * EACH).collect::<Vec<_>>());
    assert!(queue.is_empty());
}

#[test]
fn many_peek_and_many_get() {
    let _watchdog = support::watchdog_of(Duration::from_secs(300));
    let queue = Arc::new(Queue::bounded(4));
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let queue = queue.clone();
            std::thread::spawn(move || {
                let work = move || match number {
                    0 => (0..5_000).for_each(|item: u32| queue.put(item).unwrap()),
                    1 => while queue.peek().is_ok() {},
                    _ => {
                        while queue.get().is_ok() {
                            queue.task_done();
                        }
                    }
                };
                let queue_is_done = spawn(work);
                queue_is_done.join().unwrap();
            })
        })
        .collect();
    let mut threads = threads.into_iter();
    threads.next().unwrap().join().unwrap();
    queue.join();
    queue.shutdown();
    threads.for_each(|thread| thread.join().unwrap());
    assert!(queue.is_empty());
}
