//! `Condvar`: order, limits, and that no notification is lost.

mod support;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustlet::sync::{Condvar, Mutex};
use rustlet::{Greenlet, spawn, timeout, yield_now};

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(5);

type Pair = Arc<(Mutex<Vec<usize>>, Condvar)>;

/// Waits once, then logs its number.
fn waiter(pair: &Pair, number: usize) -> Greenlet<()> {
    let pair = pair.clone();
    spawn(move || {
        let guard = pair.0.lock().unwrap();
        pair.1.wait(guard).unwrap().push(number);
    })
}

fn waiters(pair: &Pair, count: usize) -> Vec<Greenlet<()>> {
    let waiters = (0..count).map(|number| waiter(pair, number)).collect();
    yield_now();
    waiters
}

#[test]
fn one_notification_wakes_the_one_that_waits_longest() {
    let _watchdog = support::watchdog();
    let pair = Pair::default();
    let waiters = waiters(&pair, 3);
    for number in 0..3 {
        pair.1.notify_one();
        yield_now();
        assert_eq!(*pair.0.lock().unwrap(), (0..=number).collect::<Vec<_>>());
    }
    assert!(waiters.iter().all(Greenlet::is_finished));
}

#[test]
fn notify_all_wakes_all_who_wait_and_nobody_later() {
    let _watchdog = support::watchdog();
    let pair = Pair::default();
    pair.1.notify_all(); // for nobody
    let waiters = waiters(&pair, 5);
    pair.1.notify_all();
    let late = waiter(&pair, 5);
    for _ in 0..7 {
        yield_now();
    }
    assert!(waiters.iter().all(Greenlet::is_finished));
    assert!(!late.is_finished());
    assert_eq!(*pair.0.lock().unwrap(), [0, 1, 2, 3, 4]);
    pair.1.notify_one();
    late.join().unwrap();
}

#[test]
fn the_mutex_is_free_during_the_wait_and_held_after_it() {
    let _watchdog = support::watchdog();
    let pair = Pair::default();
    let waiters = waiters(&pair, 1);
    let guard = pair.0.try_lock().expect("free during the wait");
    pair.1.notify_one();
    yield_now();
    assert!(!waiters[0].is_finished(), "it waits for the mutex");
    drop(guard);
    yield_now();
    assert!(waiters[0].is_finished());
}

#[test]
fn limits() {
    let _watchdog = support::watchdog();
    let pair = Pair::default();
    let start = Instant::now();
    let guard = pair.0.lock().unwrap();
    let (guard, result) = pair.1.wait_timeout(guard, MOMENT).unwrap();
    assert!(result.timed_out() && start.elapsed() >= MOMENT);
    assert!(pair.0.try_lock().is_err(), "held again");

    // Asks before and after the wait. A limit that is over before the wait begins is no wait: on a slow machine, a
    // longer one.
    let (mut guard, mut limit) = (guard, MOMENT);
    loop {
        assert!(limit < Duration::from_secs(5) * support::slowdown());
        let mut asked = 0;
        let asks = |_: &mut Vec<usize>| {
            asked += 1;
            true
        };
        let (again, result) = pair.1.wait_timeout_while(guard, limit, asks).unwrap();
        assert!(result.timed_out());
        guard = again;
        if asked >= 2 {
            break;
        }
        limit *= 4;
    }
    let (guard, result) = pair.1.wait_timeout_while(guard, HOUR, |_| false).unwrap();
    assert!(!result.timed_out());

    let notifier = pair.clone();
    let notifier = spawn(move || {
        let _guard = notifier.0.lock().unwrap();
        notifier.1.notify_one();
    });
    let (_guard, result) = pair.1.wait_timeout(guard, HOUR).unwrap();
    assert!(!result.timed_out());
    notifier.join().unwrap();
}

#[test]
fn a_killed_waiter_costs_no_notification() {
    let _watchdog = support::watchdog();
    let pair = Pair::default();
    let waiters = waiters(&pair, 3);
    waiters[0].kill().unwrap();
    pair.1.notify_one();
    yield_now();
    assert_eq!(*pair.0.lock().unwrap(), [1]);
    pair.1.notify_one();
    yield_now();
    assert_eq!(*pair.0.lock().unwrap(), [1, 2]);
}

/// Notified, and killed while it waits for the mutex: the next one is notified.
#[test]
fn a_notification_is_passed_on_by_one_that_dies_before_it_has_the_mutex() {
    let _watchdog = support::watchdog();
    let pair = Pair::default();
    let waiters = waiters(&pair, 2);
    let guard = pair.0.lock().unwrap();
    pair.1.notify_one();
    yield_now(); // the first waits for the mutex
    waiters[0].kill().unwrap();
    drop(guard);
    yield_now();
    assert!(waiters[1].is_finished());
    assert_eq!(*pair.0.lock().unwrap(), [1]);
}

#[test]
fn an_outer_timeout_unwinds_without_the_mutex() {
    let _watchdog = support::watchdog();
    let pair = Pair::default();
    let elapsed = timeout(MOMENT, || drop(pair.1.wait(pair.0.lock().unwrap())));
    assert!(elapsed.is_err());
    assert!(pair.0.try_lock().is_ok(), "neither locked nor poisoned");
    pair.1.notify_all(); // nobody is left in the queue
}

#[test]
fn wait_while_waits_for_its_condition() {
    let _watchdog = support::watchdog();
    let pair = Pair::default();
    let theirs = pair.clone();
    let greenlet = spawn(move || {
        let guard = theirs.0.lock().unwrap();
        let guard = theirs.1.wait_while(guard, |log| log.len() < 3);
        guard.unwrap().len()
    });
    for number in 0..3 {
        yield_now();
        assert!(!greenlet.is_finished());
        pair.0.lock().unwrap().push(number);
        pair.1.notify_one();
    }
    assert_eq!(greenlet.join().unwrap(), 3);
}

#[test]
fn a_mutex_that_was_poisoned_meanwhile_is_an_error_with_the_guard() {
    let _watchdog = support::watchdog();
    let pair = Pair::default();
    let theirs = pair.clone();
    let greenlet = spawn(move || {
        let guard = theirs.0.lock().unwrap();
        let error = theirs.1.wait(guard).unwrap_err();
        error.into_inner().push(1);
    });
    yield_now();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _guard = pair.0.lock().unwrap();
        std::panic::resume_unwind(Box::new("on purpose"));
    }));
    assert!(caught.is_err());
    pair.1.notify_one();
    greenlet.join().unwrap();
    assert_eq!(*pair.0.lock().unwrap_err().into_inner(), [1]);
}

/// A bounded buffer between threads with greenlets: nothing is lost or made twice, although consumers are killed.
#[test]
fn a_buffer_between_hubs() {
    const ITEMS: usize = 3_000;
    struct Buffer {
        items: Mutex<VecDeque<usize>>,
        filled: Condvar,
        emptied: Condvar,
    }
    let _watchdog = support::watchdog();
    let buffer = Arc::new(Buffer {
        items: Mutex::default(),
        filled: Condvar::new(),
        emptied: Condvar::new(),
    });
    let theirs = buffer.clone();
    let producers = std::thread::spawn(move || {
        let greenlets: Vec<_> = (0..3)
            .map(|producer| {
                let buffer = theirs.clone();
                spawn(move || {
                    for item in 0..ITEMS {
                        let items = buffer.items.lock().unwrap();
                        let full = |items: &mut VecDeque<_>| items.len() >= 4;
                        let mut items = buffer.emptied.wait_while(items, full).unwrap();
                        items.push_back(producer * ITEMS + item);
                        buffer.filled.notify_one();
                    }
                })
            })
            .collect();
        greenlets.into_iter().for_each(|g| g.join().unwrap());
    });
    let mut got = vec![false; 3 * ITEMS];
    for turn in 0..3 * ITEMS {
        if turn.is_multiple_of(100) {
            // One that waits for an item and dies.
            let theirs = buffer.clone();
            let doomed = spawn(move || {
                let items = theirs.items.lock().unwrap();
                drop(theirs.filled.wait_while(items, |_| true));
            });
            yield_now();
            doomed.kill().unwrap();
        }
        let items = buffer.items.lock().unwrap();
        let mut items = buffer
            .filled
            .wait_while(items, |items| items.is_empty())
            .unwrap();
        let item = items.pop_front().unwrap();
        buffer.emptied.notify_one();
        drop(items);
        assert!(
            !std::mem::replace(&mut got[item], true),
            "{item} came twice"
        );
    }
    producers.join().unwrap();
    assert!(got.into_iter().all(|got| got));
}
