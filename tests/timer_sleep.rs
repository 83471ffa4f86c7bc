//! Sleeping: never early, in order, thousands at a time, beside everything else.

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustlet::{sleep, sleep_until, spawn, spawn_later, spawn_local, yield_now};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn never_early() {
    let _watchdog = support::watchdog();
    let greenlets = Vec::from_iter((0..200_u64).map(|n| {
        spawn(move || {
            let duration = Duration::from_micros(n * 97);
            let start = Instant::now();
            sleep(duration);
            (duration, start.elapsed())
        })
    }));
    for greenlet in greenlets {
        let (asked, slept) = greenlet.join().unwrap();
        assert!(slept >= asked, "{slept:?} instead of {asked:?}");
    }
    for micros in [1, 50, 999, 3_141] {
        let deadline = Instant::now() + Duration::from_micros(micros);
        sleep_until(deadline);
        assert!(Instant::now() >= deadline);
    }
}

#[test]
fn wakes_in_the_order_of_the_deadlines() {
    let _watchdog = support::watchdog();
    let mut unit = Duration::from_millis(1);
    loop {
        let log = Rc::new(RefCell::new(Vec::new()));
        let start = Instant::now();
        let greenlets = [30, 10, 50, 20, 40].map(|n| {
            let log = log.clone();
            spawn_local(move || {
                sleep_until(start + n * unit);
                log.borrow_mut().push(n);
            })
        });
        // Runs when all of them sleep, or have found that their time is over.
        let begun = spawn(Instant::now).join().unwrap();
        for greenlet in greenlets {
            greenlet.join().unwrap();
        }
        if begun < start + 10 * unit {
            assert_eq!(*log.borrow(), [10, 20, 30, 40, 50]);
            break;
        }
        unit *= 4; // again, at the pace of this machine
    }
}

#[test]
fn ten_thousand_sleep_together() {
    let _watchdog = support::watchdog();
    let count = 10_000 / u64::from(support::slowdown());
    let start = Instant::now();
    let greenlets = Vec::from_iter((0..count).map(|n| {
        spawn(move || {
            let deadline = start + Duration::from_millis(50 + n % 50);
            sleep_until(deadline);
            assert!(Instant::now() >= deadline);
        })
    }));
    for greenlet in greenlets {
        greenlet.join().unwrap();
    }
    // One after the other they would take a quarter of an hour.
    assert!(start.elapsed() < Duration::from_secs(20) * support::slowdown());
}

#[test]
fn zero_is_a_yield() {
    let _watchdog = support::watchdog();
    let log = Rc::new(RefCell::new(String::new()));
    for name in ["a", "b"] {
        let log = log.clone();
        spawn_local(move || {
            for _ in 0..3 {
                log.borrow_mut().push_str(name);
                sleep(Duration::ZERO);
            }
        });
    }
    for _ in 0..4 {
        sleep(Duration::ZERO);
    }
    assert_eq!(*log.borrow(), "ababab");
}

#[test]
fn the_past_is_over() {
    let _watchdog = support::watchdog();
    let ran = support::Counter::default();
    let also = ran.clone();
    spawn(move || also.add());
    sleep_until(Instant::now());
    assert_eq!(ran.get(), 0, "it did not even suspend");
    // But whoever is far behind a schedule of its own does now and then.
    for _ in 0..1_000 {
        sleep_until(Instant::now());
    }
    assert_eq!(ran.get(), 1, "the others were starved");
}

#[test]
fn sleeping_on_the_threads_own_stack_runs_the_others() {
    let _watchdog = support::watchdog();
    let ran = support::Counter::default();
    let also = ran.clone();
    let other = spawn(move || {
        for _ in 0..5 {
            sleep(Duration::from_millis(1));
            also.add();
        }
    });
    while !other.is_finished() {
        sleep(Duration::from_millis(3));
    }
    assert_eq!(ran.get(), 5);
}

#[test]
fn for_ever_can_be_killed_and_holds_up_nobody() {
    let _watchdog = support::watchdog();
    let greenlet = spawn(|| sleep(Duration::MAX));
    let start = Instant::now();
    sleep(Duration::from_millis(5));
    assert!(start.elapsed() < Duration::from_secs(10));
    greenlet.kill().unwrap();
    assert!(greenlet.join().unwrap_err().is_killed());
}

#[test]
fn park_timeout_ends_by_time_or_by_token() {
    let _watchdog = support::watchdog();
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(10) {
        rustlet::park_timeout(Duration::from_millis(10));
    }
    rustlet::current().unpark();
    rustlet::park_timeout(HOUR); // the token is there
    let parked = spawn(|| rustlet::park_timeout(HOUR));
    yield_now();
    parked.handle().unpark();
    parked.join().unwrap();
}

#[test]
fn delayed_greenlets_start_in_time_and_order() {
    let _watchdog = support::watchdog();
    let mut unit = Duration::from_millis(1);
    loop {
        let log = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let start = Instant::now();
        let greenlets = [20, 5, 10, 0].map(|n| {
            let log = log.clone();
            let delay = n * unit;
            spawn_later(delay, move || {
                assert!(start.elapsed() >= delay);
                log.lock().unwrap().push(n);
            })
        });
        // Each delay begins with its own call.
        let spawned_in = start.elapsed();
        assert_eq!(rustlet::stack::stats().live, 0, "no stack before its time");
        for greenlet in greenlets {
            greenlet.join().unwrap();
        }
        if spawned_in < 5 * unit {
            assert_eq!(*log.lock().unwrap(), [0, 5, 10, 20]);
            break;
        }
        unit *= 4; // again, at the pace of this machine
    }
}

#[test]
fn cancelled_sleeps_leave_nothing_behind() {
    let _watchdog = support::watchdog();
    for _ in 0..10_000 / support::slowdown() {
        let greenlet = spawn(|| sleep(HOUR));
        yield_now();
        greenlet.kill().unwrap();
    }
    // Were an alarm left, the hub would wait for it instead of seeing that nothing else can happen.
    let stuck = spawn(|| sleep(Duration::MAX));
    assert!(stuck.join().unwrap_err().is_deadlock());
}

#[test]
fn sleeps_that_are_over_at_once_let_others_run() {
    let _watchdog = support::watchdog();
    let other = spawn(|| ());
    while !other.is_finished() {
        sleep(Duration::from_nanos(1));
    }
}
