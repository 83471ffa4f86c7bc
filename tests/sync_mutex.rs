//! `Mutex`: exclusion, order, barging, limits, kills, poisoning, and use where one cannot wait.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustlet::sync::{Mutex, TryLockError};
use rustlet::{sleep, spawn, spawn_local, timeout, yield_now};
use support::Counter;

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(5);

/// Spawns a greenlet that locks, and logs its number.
fn locker(mutex: &Arc<Mutex<Vec<usize>>>, number: usize) -> rustlet::Greenlet<()> {
    let mutex = mutex.clone();
    spawn(move || mutex.lock().unwrap().push(number))
}

#[test]
fn waiters_are_served_in_order() {
    let _watchdog = support::watchdog();
    let mutex = Arc::new(Mutex::new(Vec::new()));
    let guard = mutex.lock().unwrap();
    let greenlets: Vec<_> = (0..100).map(|n| locker(&mutex, n)).collect();
    yield_now();
    drop(guard);
    greenlets.into_iter().for_each(|g| g.join().unwrap());
    assert_eq!(*mutex.lock().unwrap(), (0..100).collect::<Vec<_>>());
}

#[test]
fn running_code_barges_once_and_then_it_is_handed_over() {
    let _watchdog = support::watchdog();
    let mutex = Arc::new(Mutex::new(Vec::new()));
    let mut guard = mutex.lock().unwrap();
    let waiter = locker(&mutex, 1);
    yield_now();
    drop(guard);
    guard = mutex.lock().unwrap(); // before the waiter runs
    guard.push(0);
    yield_now(); // it was woken in vain
    assert!(!waiter.is_finished());
    drop(guard);
    assert!(mutex.try_lock().is_err(), "handed to the waiter");
    yield_now();
    assert!(waiter.is_finished());
    assert_eq!(*mutex.lock().unwrap(), [0, 1]);
}

#[test]
fn a_loop_of_locks_starves_nobody() {
    let _watchdog = support::watchdog();
    let mutex = Arc::new(Mutex::new(Vec::new()));
    let theirs = mutex.clone();
    // Holds it at each of its suspensions.
    let hog = spawn(move || {
        loop {
            let _guard = theirs.lock().unwrap();
            yield_now();
        }
    });
    yield_now();
    locker(&mutex, 1).join().unwrap();
    hog.kill().unwrap();
}

#[test]
fn a_limit_ends_the_wait_and_leaves_nothing() {
    let _watchdog = support::watchdog();
    let mutex = Arc::new(Mutex::new(()));
    let guard = mutex.lock().unwrap();
    let start = Instant::now();
    let theirs = mutex.clone();
    let waiter =
        spawn(move || matches!(theirs.lock_timeout(MOMENT), Err(TryLockError::WouldBlock)));
    assert!(waiter.join().unwrap());
    assert!(start.elapsed() >= MOMENT);
    drop(guard);
    assert!(mutex.lock_timeout(MOMENT).is_ok());
    assert!(
        mutex.try_lock().is_ok(),
        "nobody is left in the queue who might be told"
    );
}

#[test]
fn a_limit_lets_the_lock_come_in_time() {
    let _watchdog = support::watchdog();
    let mutex = Arc::new(Mutex::new(()));
    let guard = mutex.lock().unwrap();
    let theirs = mutex.clone();
    let waiter = spawn(move || theirs.lock_timeout(HOUR).is_ok());
    yield_now();
    drop(guard);
    assert!(waiter.join().unwrap());
}

/// gevent's killed first waiter: the wake-up it was sent goes to the next.
#[test]
fn a_killed_waiter_passes_its_wake_up_on() {
    let _watchdog = support::watchdog();
    let mutex = Arc::new(Mutex::new(Vec::new()));
    let guard = mutex.lock().unwrap();
    let waiters: Vec<_> = (0..3).map(|n| locker(&mutex, n)).collect();
    yield_now();
    drop(guard); // the first is woken
    waiters[0].kill_nowait();
    yield_now();
    yield_now();
    yield_now();
    assert!(waiters.iter().all(rustlet::Greenlet::is_finished));
    assert_eq!(*mutex.lock().unwrap(), [1, 2]);
}

#[test]
fn a_killed_waiter_leaves_the_queue() {
    let _watchdog = support::watchdog();
    let mutex = Arc::new(Mutex::new(Vec::new()));
    let guard = mutex.lock().unwrap();
    let waiters: Vec<_> = (0..3).map(|n| locker(&mutex, n)).collect();
    yield_now();
    waiters[0].kill().unwrap();
    waiters[1].kill().unwrap();
    drop(guard);
    yield_now();
    assert!(waiters[2].is_finished());
    assert_eq!(*mutex.lock().unwrap(), [2]);
}

#[test]
fn an_outer_timeout_is_not_swallowed() {
    let _watchdog = support::watchdog();
    let mutex = Mutex::new(());
    let guard = mutex.lock().unwrap();
    assert!(timeout(MOMENT, || mutex.lock().map(drop)).is_err());
    assert!(timeout(MOMENT, || mutex.lock_timeout(HOUR).map(drop)).is_err());
    drop(guard);
    assert!(mutex.try_lock().is_ok());
}

#[test]
fn a_panic_poisons_and_a_kill_or_timeout_does_not() {
    let _watchdog = support::watchdog();
    let mutex = Arc::new(Mutex::new(0));
    let holding = |act: fn()| {
        let mutex = mutex.clone();
        spawn(move || {
            let _guard = mutex
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            act();
        })
    };
    let killed = holding(|| sleep(HOUR));
    yield_now();
    killed.kill().unwrap();
    assert!(!mutex.is_poisoned());

    let timed_out = timeout(MOMENT, || {
        let _guard = mutex.lock().unwrap();
        sleep(HOUR);
    });
    assert!(timed_out.is_err() && !mutex.is_poisoned());

    assert!(
        holding(|| resume_unwind(Box::new("on purpose")))
            .join()
            .unwrap_err()
            .is_panic()
    );
    assert!(mutex.is_poisoned());
    assert!(matches!(mutex.try_lock(), Err(TryLockError::Poisoned(_))));
    let error = mutex.lock().unwrap_err();
    assert_eq!(**error.get_ref(), 0);
    drop(error);
    mutex.clear_poison();
    assert!(mutex.lock().is_ok());
}

/// A panic that follows a caught kill is a panic.
#[test]
fn a_panic_after_a_caught_kill_poisons() {
    let _watchdog = support::watchdog();
    let mutex = Arc::new(Mutex::new(()));
    let theirs = mutex.clone();
    let greenlet = spawn(move || {
        let caught = catch_unwind(|| sleep(HOUR));
        assert!(caught.is_err());
        let _guard = theirs.lock().unwrap();
        panic!("on purpose");
    });
    yield_now();
    greenlet.kill().unwrap();
    assert!(mutex.is_poisoned());
}

/// Taken and given back while something else unwinds: that says nothing about the value.
#[test]
fn a_lock_in_a_destructor_during_a_panic_does_not_poison() {
    struct Locks<'a>(&'a Mutex<i32>);
    impl Drop for Locks<'_> {
        fn drop(&mut self) {
            *self.0.lock().unwrap() += 1;
        }
    }
    let mutex = Mutex::new(0);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _locks = Locks(&mutex);
        resume_unwind(Box::new("on purpose"));
    }));
    assert!(caught.is_err() && !mutex.is_poisoned());
    assert_eq!(mutex.into_inner().unwrap(), 1);
}

/// Where it would have to wait and must not suspend, it panics instead of hanging.
#[test]
fn a_wait_in_a_destructor_during_a_kill_panics() {
    struct Locks(Arc<Mutex<()>>, Arc<std::sync::Mutex<String>>);
    impl Drop for Locks {
        fn drop(&mut self) {
            let panic = catch_unwind(AssertUnwindSafe(|| drop(self.0.lock()))).unwrap_err();
            *self.1.lock().unwrap() = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        }
    }
    let _watchdog = support::watchdog();
    let (mutex, text) = (Arc::new(Mutex::new(())), Arc::default());
    let guard = mutex.lock().unwrap();
    let locks = Locks(mutex.clone(), Arc::clone(&text));
    let greenlet = spawn(move || {
        let _locks = locks;
        sleep(HOUR);
    });
    yield_now();
    greenlet.kill().unwrap();
    let text = text.lock().unwrap();
    assert!(
        text.contains("locking a mutex would have to wait"),
        "{text}"
    );
    drop(guard);
    assert!(mutex.try_lock().is_ok(), "nothing is left in the queue");
}

/// The thread's own code would get a `Deadlock`: tests/sync_deadlock.rs.
#[test]
fn two_locks_of_one_greenlet_are_a_deadlock() {
    let _watchdog = support::watchdog();
    let greenlet = spawn(|| {
        let mutex = Mutex::new(());
        let _guard = mutex.lock().unwrap();
        let _never = mutex.lock();
    });
    yield_now();
    let deadlocks = rustlet::inspect::deadlocks();
    assert!(
        deadlocks.len() == 1 && deadlocks[0].is_certain(),
        "{deadlocks:?}"
    );
    greenlet.kill().unwrap();
    assert!(rustlet::inspect::deadlocks().is_empty());
}

#[test]
fn threads_without_greenlets() {
    const EACH: u32 = 2_000;
    let _watchdog = support::watchdog();
    let mutex = Mutex::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..EACH {
                    *mutex.lock().unwrap() += 1;
                }
            });
        }
    });
    assert_eq!(mutex.into_inner().unwrap(), 4 * EACH);
}

/// gevent's test_acquire_in_one_then_another: a lock of one thread, waited for by another's greenlets.
#[test]
fn a_lock_goes_from_hub_to_hub() {
    let _watchdog = support::watchdog();
    let mutex = Arc::new(Mutex::new(Vec::new()));
    let (send, receive) = mpsc::channel();
    let guard = mutex.lock().unwrap();
    let theirs = mutex.clone();
    let thread = std::thread::spawn(move || {
        let waiters: Vec<_> = (0..10).map(|n| locker(&theirs, n)).collect();
        yield_now();
        send.send(()).unwrap();
        waiters.into_iter().for_each(|g| g.join().unwrap());
    });
    receive.recv().unwrap();
    let mine = locker(&mutex, 10);
    yield_now();
    drop(guard);
    mine.join().unwrap();
    thread.join().unwrap();
    assert_eq!(*mutex.lock().unwrap(), (0..=10).collect::<Vec<_>>());
}

/// gevent's test_dueling_threads, with and without a suspension while it is held.
#[test]
fn dueling_threads() {
    const ROUNDS: usize = 500;
    let _watchdog = support::watchdog();
    let mutex = Arc::new(Mutex::new(0_usize));
    let threads: Vec<_> = [false, true]
        .map(|suspends| {
            let mutex = mutex.clone();
            std::thread::spawn(move || {
                let greenlets: Vec<_> = (0..3)
                    .map(|_| {
                        let mutex = mutex.clone();
                        spawn(move || {
                            for _ in 0..ROUNDS {
                                let mut count = mutex.lock().unwrap();
                                let before = *count;
                                if suspends {
                                    yield_now();
                                }
                                *count = before + 1;
                            }
                        })
                    })
                    .collect();
                greenlets.into_iter().for_each(|g| g.join().unwrap());
            })
        })
        .into();
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(*mutex.lock().unwrap(), 6 * ROUNDS);
}

/// gevent's test_give_up: a waiter of another thread whose time is over does not block the others.
#[test]
fn another_thread_gives_up() {
    let _watchdog = support::watchdog();
    let mutex = Arc::new(Mutex::new(Vec::new()));
    let guard = mutex.lock().unwrap();
    let theirs = mutex.clone();
    let gave_up = std::thread::spawn(move || theirs.lock_timeout(MOMENT).is_err());
    let waiter = locker(&mutex, 1);
    yield_now();
    assert!(gave_up.join().unwrap());
    drop(guard);
    waiter.join().unwrap();
}

/// gevent's test__issue2013: threads that own no greenlets and wait are woken by each other, one after the other.
#[test]
fn plain_threads_wake_each_other() {
    let _watchdog = support::watchdog();
    let mutex = Arc::new(Mutex::new(0));
    let guard = mutex.lock().unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let mutex = mutex.clone();
            std::thread::spawn(move || {
                for _ in 0..100 {
                    *mutex.lock().unwrap() += 1;
                    std::thread::yield_now();
                }
            })
        })
        .collect();
    drop(guard);
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(*mutex.lock().unwrap(), 400);
}

#[test]
fn the_end_of_a_thread_takes_its_waiters_along() {
    let _watchdog = support::watchdog();
    let mutex = Arc::new(Mutex::new(Vec::new()));
    let guard = mutex.lock().unwrap();
    let theirs = mutex.clone();
    std::thread::spawn(move || {
        drop(locker(&theirs, 1));
        yield_now();
    })
    .join()
    .unwrap();
    let waiter = locker(&mutex, 2);
    yield_now();
    drop(guard);
    waiter.join().unwrap();
    assert_eq!(*mutex.lock().unwrap(), [2]);
}

#[test]
fn a_local_value_and_the_rest_of_the_face() {
    let dropped = Counter::default();
    let mut mutex: Mutex<_> = dropped.on_drop().into();
    assert!(format!("{:?}", Mutex::new(7)).contains("data: 7"));
    let number = Mutex::new(7);
    let guard = number.lock().unwrap();
    assert!(format!("{number:?}").contains("<locked>"));
    assert_eq!(
        (format!("{guard}"), format!("{guard:?}")),
        ("7".into(), "7".into())
    );
    drop(guard);
    *mutex.get_mut().unwrap() = dropped.on_drop();
    assert_eq!(dropped.get(), 1);
    drop(mutex.into_inner());
    assert_eq!(dropped.get(), 2);
    let default = Mutex::<Vec<u8>>::default();
    assert!(default.lock().unwrap().is_empty());
    let unsized_value: Arc<Mutex<dyn std::fmt::Debug>> = Arc::new(Mutex::new(1));
    spawn_local(move || assert_eq!(format!("{:?}", unsized_value.lock().unwrap()), "1"))
        .join()
        .unwrap();
}
