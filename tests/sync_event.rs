//! `Event`: gevent's behaviours.

mod support;

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustlet::sync::Event;
use rustlet::{Greenlet, spawn, timeout, yield_now};

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(5);

type Log = Arc<std::sync::Mutex<Vec<usize>>>;

fn waiters(event: &Arc<Event>, count: usize, log: &Log) -> Vec<Greenlet<bool>> {
    let waiter = |number| {
        let (event, log) = (event.clone(), log.clone());
        spawn(move || {
            let set = event.wait_timeout(HOUR);
            log.lock().unwrap().push(number);
            set
        })
    };
    let waiters = (0..count).map(waiter).collect();
    yield_now();
    waiters
}

/// gevent's TestEvent_SetThenClear, of 1, 100 and 1000.
#[test]
fn set_then_clear_wakes_all_who_waited_in_order() {
    let _watchdog = support::watchdog();
    for count in [1, 100, 1000] {
        let (event, log) = (Arc::new(Event::new()), Log::default());
        let waiters = waiters(&event, count, &log);
        event.set();
        event.clear();
        let late = spawn({
            let event = event.clone();
            move || event.wait_timeout(MOMENT)
        });
        for waiter in waiters {
            assert!(waiter.join().unwrap());
        }
        assert_eq!(*log.lock().unwrap(), (0..count).collect::<Vec<_>>());
        assert!(!late.join().unwrap());
    }
}

/// gevent's test_wait_twice_when_already_set.
#[test]
fn a_wait_for_one_that_is_set_returns_at_once() {
    let event = Event::default();
    event.set();
    event.set();
    let switches = rustlet::stats().switches;
    event.wait();
    event.wait();
    assert!(event.wait_timeout(Duration::ZERO));
    assert_eq!(rustlet::stats().switches, switches);
    event.clear();
    assert!(!event.is_set() && !event.wait_timeout(Duration::ZERO));
}

/// gevent's test_wait_while_notifying: whoever waits again from within the notification is not lost.
#[test]
fn a_wait_that_follows_a_wake_up_waits_for_the_next_one() {
    let _watchdog = support::watchdog();
    let event = Arc::new(Event::new());
    let theirs = event.clone();
    let waiter = spawn(move || {
        for _ in 0..3 {
            theirs.wait();
            theirs.clear();
        }
    });
    for _ in 0..3 {
        yield_now();
        assert!(!waiter.is_finished());
        event.set();
    }
    waiter.join().unwrap();
}

#[test]
fn a_limit_and_an_outer_timeout() {
    let _watchdog = support::watchdog();
    let event = Event::new();
    let start = Instant::now();
    assert!(!event.wait_timeout(MOMENT));
    assert!(start.elapsed() >= MOMENT);
    assert!(timeout(MOMENT, || event.wait()).is_err());
    assert!(
        timeout(MOMENT, || event.wait_timeout(HOUR)).is_err(),
        "not swallowed"
    );
    event.set();
    assert!(event.wait_timeout(MOMENT));
}

#[test]
fn a_killed_waiter_leaves_the_others() {
    let _watchdog = support::watchdog();
    let (event, log) = (Arc::new(Event::new()), Log::default());
    let mut waiters = waiters(&event, 3, &log);
    waiters.remove(1).kill().unwrap();
    event.set();
    assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap()));
    assert_eq!(*log.lock().unwrap(), [0, 2]);
}

/// gevent's TestEventCrossThread: set by a thread, waited for by one, with and without a limit.
#[test]
fn across_threads() {
    let _watchdog = support::watchdog();
    for round in 0..50_u32 {
        let (event, log) = (Arc::new(Event::new()), Log::default());
        let (theirs, their_log) = (event.clone(), log.clone());
        let (send, receive) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let greenlets = waiters(&theirs, 5, &their_log);
            send.send(()).unwrap();
            theirs.wait(); // the thread's own code
            assert!(greenlets.into_iter().all(|waiter| waiter.join().unwrap()));
        });
        let mine = waiters(&event, 5, &log);
        if round.is_multiple_of(2) {
            receive.recv().unwrap();
        }
        event.set();
        assert!(mine.into_iter().all(|waiter| waiter.join().unwrap()));
        thread.join().unwrap();
    }
}

/// A consumer that clears and then looks misses nothing, also if the event was set already when the item came.
#[test]
fn clear_look_wait_misses_nothing() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    const ITEMS: usize = 20_000;
    // Where every item costs a slice of somebody else's, as many as there is time for.
    const OVER: usize = usize::MAX;
    let _watchdog = support::watchdog();
    let end = Instant::now() + Duration::from_secs(15);
    let shared = Arc::new((Event::new(), AtomicUsize::new(0), AtomicUsize::new(0)));
    let theirs = shared.clone();
    let producer = std::thread::spawn(move || {
        let (event, made, taken) = &*theirs;
        for item in 1..=ITEMS {
            event.set(); // for nothing
            (0..item % 300).for_each(|n| {
                std::hint::black_box(n);
            });
            made.store(item, Ordering::Relaxed);
            event.set();
            while taken.load(Ordering::Relaxed) < item {
                std::thread::yield_now();
            }
            if taken.load(Ordering::Relaxed) == OVER {
                break;
            }
        }
    });
    let (event, made, taken) = &*shared;
    for item in 1..=ITEMS {
        if Instant::now() > end {
            taken.store(OVER, Ordering::Relaxed);
            break;
        }
        while made.load(Ordering::Relaxed) < item {
            event.wait();
            event.clear();
        }
        taken.store(item, Ordering::Relaxed);
    }
    producer.join().unwrap();
}

#[test]
fn debug_says_whether_it_is_set() {
    assert!(format!("{:?}", Event::new()).contains("set: false"));
}
