//! `ReentrantMutex`: it belongs to a greenlet, not to a thread.

mod support;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use rustlet::sync::ReentrantMutex;
use rustlet::{sleep, spawn, spawn_local, timeout, yield_now};

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(5);

#[test]
fn the_owner_locks_again_and_others_wait_for_the_last_guard() {
    let _watchdog = support::watchdog();
    let mutex = Arc::new(ReentrantMutex::new(Cell::new(0)));
    let outer = mutex.lock();
    let inner = mutex.try_lock().unwrap();
    let third = mutex.lock_timeout(MOMENT).unwrap();
    assert!(mutex.is_mine());
    let theirs = mutex.clone();
    // On the same thread, and all the same another.
    let other = spawn(move || {
        assert!(!theirs.is_mine());
        assert!(theirs.try_lock().is_none());
        assert!(theirs.lock_timeout(MOMENT).is_none());
        theirs.lock().set(1);
    });
    for guard in [outer, inner] {
        drop(guard);
        yield_now();
        assert!(!other.is_finished());
    }
    sleep(2 * MOMENT);
    assert_eq!(third.get(), 0);
    drop(third);
    other.join().unwrap();
    assert_eq!(mutex.lock().get(), 1);
}

/// gevent's RLock of two threads' own code: both have no greenlet, and are not the same.
#[test]
fn two_threads_are_two() {
    let _watchdog = support::watchdog();
    let mutex = Arc::new(ReentrantMutex::new(()));
    let guard = mutex.lock();
    let theirs = mutex.clone();
    std::thread::spawn(move || assert!(theirs.try_lock().is_none() && !theirs.is_mine()))
        .join()
        .unwrap();
    drop(guard);
    let theirs = mutex.clone();
    std::thread::spawn(move || drop((theirs.lock(), theirs.lock())))
        .join()
        .unwrap();
    assert!(mutex.try_lock().is_some());
}

/// The memory of greenlets and of threads is used again; their names are not.
#[test]
fn a_guard_that_was_forgotten_is_nobody_elses() {
    let _watchdog = support::watchdog();
    for in_thread in [false, true] {
        let mutex = Arc::new(ReentrantMutex::new(()));
        let theirs = mutex.clone();
        let forget = move || std::mem::forget(theirs.lock());
        if in_thread {
            std::thread::spawn(forget).join().unwrap();
        } else {
            spawn(forget).join().unwrap();
        }
        for _ in 0..20 {
            let theirs = mutex.clone();
            let try_it = move || assert!(theirs.try_lock().is_none());
            if in_thread {
                std::thread::spawn(try_it).join().unwrap();
            } else {
                spawn(try_it).join().unwrap();
            }
        }
    }
}

#[test]
fn a_kill_and_a_timeout_give_back_all_guards() {
    let _watchdog = support::watchdog();
    let mutex = Arc::new(ReentrantMutex::new(()));
    let theirs = mutex.clone();
    let greenlet = spawn(move || {
        let _guards = (theirs.lock(), theirs.lock());
        sleep(HOUR);
    });
    yield_now();
    assert!(timeout(MOMENT, || drop(mutex.lock())).is_err());
    greenlet.kill().unwrap();
    let elapsed = timeout(MOMENT, || {
        let _guards = (mutex.lock(), mutex.lock());
        sleep(HOUR);
    });
    assert!(elapsed.is_err());
    let theirs = mutex.clone();
    assert!(spawn(move || theirs.try_lock().is_some()).join().unwrap());
}

/// A guard may move within its thread; the mutex does not change its owner.
#[test]
fn a_moved_guard_unlocks_for_its_owner() {
    let _watchdog = support::watchdog();
    let mutex: &'static ReentrantMutex<()> = Box::leak(Box::new(ReentrantMutex::new(())));
    let guard = mutex.lock();
    let other = spawn_local(move || {
        assert!(!mutex.is_mine() && mutex.try_lock().is_none());
        drop(guard);
        assert!(mutex.try_lock().is_some());
    });
    other.join().unwrap();
    assert!(!mutex.is_mine());
}

#[test]
fn there_is_no_poisoning() {
    let _watchdog = support::watchdog();
    let mutex = Arc::new(ReentrantMutex::new(Cell::new(1)));
    let theirs = mutex.clone();
    let panics = spawn(move || {
        let _guard = theirs.lock();
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(panics.join().unwrap_err().is_panic());
    assert_eq!(mutex.lock().get(), 1);
}

#[test]
fn waiters_are_served_in_order_from_several_threads() {
    const EACH: usize = 300;
    let _watchdog = support::watchdog();
    let mutex = Arc::new(ReentrantMutex::new(Cell::new(0)));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let mutex = mutex.clone();
            std::thread::spawn(move || {
                let greenlets: Vec<_> = (0..3)
                    .map(|_| {
                        let mutex = mutex.clone();
                        spawn(move || {
                            for _ in 0..EACH {
                                let outer = mutex.lock();
                                let inner = mutex.lock();
                                let before = inner.get();
                                drop(inner);
                                yield_now();
                                outer.set(before + 1);
                            }
                        })
                    })
                    .collect();
                greenlets.into_iter().for_each(|g| g.join().unwrap());
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(mutex.lock().get(), 9 * EACH);
}

#[test]
fn the_rest_of_the_face() {
    let mut mutex = ReentrantMutex::from(1);
    *mutex.get_mut() = 2;
    assert!(format!("{mutex:?}").contains("data: 2"));
    assert_eq!(
        (format!("{}", mutex.lock()), format!("{:?}", mutex.lock())),
        ("2".into(), "2".into())
    );
    assert_eq!(mutex.into_inner(), 2);
    assert_eq!(*ReentrantMutex::<u8>::default().lock(), 0);
}
