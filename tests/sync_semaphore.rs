//! `Semaphore` and `BoundedSemaphore`: gevent's behaviours, order, limits, over-release.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustlet::sync::{BoundedSemaphore, OverRelease, Semaphore};
use rustlet::{Greenlet, spawn, yield_now};

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(5);

/// Takes a permit for good.
fn taker(semaphore: &Arc<Semaphore>) -> Greenlet<()> {
    let semaphore = semaphore.clone();
    spawn(move || semaphore.acquire().forget())
}

#[test]
fn acquire_gives_up_after_its_limit() {
    let _watchdog = support::watchdog();
    let semaphore = Semaphore::new(0);
    let start = Instant::now();
    assert!(semaphore.acquire_timeout(MOMENT).is_none());
    assert!(start.elapsed() >= MOMENT);
    semaphore.release();
    assert!(semaphore.acquire_timeout(Duration::ZERO).is_some());
    assert!(semaphore.acquire_timeout(HOUR).is_some());
}

/// gevent's test_release_twice: both waiters are woken.
#[test]
fn two_releases_wake_two() {
    let _watchdog = support::watchdog();
    let semaphore = Arc::new(Semaphore::new(0));
    let waiters = [taker(&semaphore), taker(&semaphore)];
    yield_now();
    semaphore.release();
    semaphore.release();
    waiters.into_iter().for_each(|g| g.join().unwrap());
    assert_eq!(semaphore.available_permits(), 0);
}

#[test]
fn many_permits_at_once_wake_as_many() {
    let _watchdog = support::watchdog();
    let semaphore = Arc::new(Semaphore::new(0));
    let waiters: Vec<_> = (0..10).map(|_| taker(&semaphore)).collect();
    yield_now();
    semaphore.add_permits(7);
    for _ in 0..20 {
        yield_now();
    }
    let finished: Vec<_> = waiters.iter().map(Greenlet::is_finished).collect();
    assert_eq!(finished, [[true; 7].as_slice(), &[false; 3]].concat());
    semaphore.add_permits(5);
    waiters.into_iter().for_each(|g| g.join().unwrap());
    assert_eq!(semaphore.available_permits(), 2);
    semaphore.add_permits(0);
    assert_eq!(semaphore.available_permits(), 2);
}

/// A release of many, one of which is owed to a waiter that was woken in vain.
#[test]
fn many_permits_after_a_vain_wake() {
    let _watchdog = support::watchdog();
    let semaphore = Arc::new(Semaphore::new(0));
    let waiters: Vec<_> = (0..3).map(|_| taker(&semaphore)).collect();
    yield_now();
    semaphore.release();
    semaphore.try_acquire().unwrap().forget();
    yield_now(); // the first was woken in vain, and is handed the next
    semaphore.add_permits(3);
    for _ in 0..5 {
        yield_now();
    }
    assert!(waiters.iter().all(Greenlet::is_finished));
    assert_eq!(semaphore.available_permits(), 0);
}

#[test]
fn released_more_often_than_acquired() {
    let semaphore = Semaphore::new(1);
    semaphore.release();
    assert_eq!(semaphore.available_permits(), 2);
    assert!(!semaphore.locked());
    let overflow = std::panic::catch_unwind(|| semaphore.add_permits(usize::MAX));
    assert!(overflow.is_err());
    assert_eq!(semaphore.available_permits(), 2);
}

/// gevent's test_fair_or_hangs (its #1487): two greenlets that pass the lock to each other's children must not
/// starve a third.
#[test]
fn fair_or_hangs() {
    fn acquire_then_spawn(semaphore: &Arc<Semaphore>, quit: &Arc<AtomicBool>) {
        if quit.load(Ordering::Relaxed) {
            return;
        }
        semaphore.acquire().forget();
        let (semaphore, quit) = (semaphore.clone(), quit.clone());
        let _ = spawn(move || release_then_spawn(&semaphore, &quit)).join();
    }
    fn release_then_spawn(semaphore: &Arc<Semaphore>, quit: &Arc<AtomicBool>) {
        semaphore.release();
        if quit.load(Ordering::Relaxed) {
            return;
        }
        let (semaphore, quit) = (semaphore.clone(), quit.clone());
        let _ = spawn(move || acquire_then_spawn(&semaphore, &quit)).join();
    }

    let _watchdog = support::watchdog();
    let (semaphore, quit) = (
        Arc::new(Semaphore::new(1)),
        Arc::new(AtomicBool::new(false)),
    );
    let passing: Vec<_> = (0..2)
        .map(|_| {
            let (semaphore, quit) = (semaphore.clone(), quit.clone());
            spawn(move || acquire_then_spawn(&semaphore, &quit))
        })
        .collect();
    let (theirs, stop) = (semaphore.clone(), quit.clone());
    let exiting = spawn(move || {
        theirs.acquire().forget();
        stop.store(true, Ordering::Relaxed);
    });
    exiting.join().unwrap();
    // It keeps the permit, as gevent's does: the others end in a deadlock, or by this.
    semaphore.add_permits(2);
    passing.into_iter().for_each(|g| g.join().unwrap());
}

#[test]
fn waiters_are_served_in_order() {
    let _watchdog = support::watchdog();
    let semaphore = Arc::new(Semaphore::new(0));
    let log = Arc::new(std::sync::Mutex::new(Vec::new()));
    let waiters: Vec<_> = (0..50)
        .map(|n| {
            let (semaphore, log) = (semaphore.clone(), log.clone());
            spawn(move || {
                let _permit = semaphore.acquire();
                log.lock().unwrap().push(n);
                yield_now();
            })
        })
        .collect();
    yield_now();
    semaphore.add_permits(3);
    waiters.into_iter().for_each(|g| g.join().unwrap());
    assert_eq!(*log.lock().unwrap(), (0..50).collect::<Vec<_>>());
    assert_eq!(semaphore.available_permits(), 3);
}

#[test]
fn killed_and_timed_out_waiters_cost_no_permit() {
    let _watchdog = support::watchdog();
    let semaphore = Arc::new(Semaphore::new(0));
    let waiters: Vec<_> = (0..4).map(|_| taker(&semaphore)).collect();
    yield_now();
    semaphore.release(); // wakes the first
    waiters[1].kill().unwrap();
    assert!(
        waiters[0].is_finished(),
        "a kill waits, and so the first ran"
    );
    waiters[2].kill().unwrap();
    semaphore.release();
    waiters.into_iter().nth(3).unwrap().join().unwrap();
    assert_eq!(semaphore.available_permits(), 0);
}

#[test]
fn a_permit_moves_to_another_greenlet() {
    let _watchdog = support::watchdog();
    let semaphore = Arc::new(Semaphore::new(1));
    let permit = semaphore.acquire_owned();
    assert!(semaphore.locked());
    let holder = std::thread::spawn(move || {
        spawn(move || drop(permit)).join().unwrap();
    });
    drop(semaphore.acquire());
    holder.join().unwrap();
    assert_eq!(semaphore.available_permits(), 1);
}

/// gevent: "Semaphore released too many times".
#[test]
fn a_bounded_one_refuses_a_release_too_many() {
    let _watchdog = support::watchdog();
    let semaphore = Arc::new(BoundedSemaphore::new(2));
    assert_eq!(semaphore.release(), Err(OverRelease));
    assert_eq!(OverRelease.to_string(), "semaphore released too many times");
    assert_eq!(
        (semaphore.available_permits(), semaphore.capacity()),
        (2, 2)
    );

    semaphore.acquire().forget();
    semaphore.try_acquire().unwrap().forget();
    assert!(semaphore.locked() && semaphore.try_acquire().is_none());
    assert!(
        semaphore
            .acquire_timeout(Duration::from_micros(100))
            .is_none()
    );
    let theirs = semaphore.clone();
    let waiter = spawn(move || theirs.acquire().forget());
    yield_now();
    assert_eq!(semaphore.release(), Ok(()));
    waiter.join().unwrap();
    assert_eq!(semaphore.release(), Ok(()));
    assert_eq!(semaphore.release(), Ok(()));
    assert_eq!(semaphore.release(), Err(OverRelease));

    // A guard whose permit was given back already gives back nothing.
    let permit = semaphore.acquire();
    assert_eq!(semaphore.release(), Ok(()));
    drop(permit);
    assert_eq!(semaphore.available_permits(), 2);
}

#[test]
fn a_permit_goes_from_hub_to_hub() {
    let _watchdog = support::watchdog();
    let semaphore = Arc::new(Semaphore::new(0));
    let theirs = semaphore.clone();
    let thread = std::thread::spawn(move || {
        let waiters: Vec<_> = (0..10).map(|_| taker(&theirs)).collect();
        waiters.into_iter().for_each(|g| g.join().unwrap());
    });
    for _ in 0..10 {
        semaphore.release();
        yield_now();
    }
    thread.join().unwrap();
    assert_eq!(semaphore.available_permits(), 0);
}
