//! `Once`, `OnceLock` and `LazyLock`: once, also with suspensions, panics and kills inside.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use rustlet::sync::{LazyLock, Once, OnceLock};
use rustlet::{Greenlet, park, sleep, spawn, timeout, yield_now};
use support::Counter;

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(5);

fn panics() {
    resume_unwind(Box::new("on purpose"));
}

fn text(panic: Box<dyn std::any::Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap()
}

#[test]
fn the_others_wait_while_one_runs_and_suspends() {
    let _watchdog = support::watchdog();
    let (once, runs) = (Arc::new(Once::new()), Counter::default());
    let greenlets: Vec<_> = (0..5)
        .map(|_| {
            let (once, runs) = (once.clone(), runs.clone());
            spawn(move || {
                once.call_once(|| {
                    yield_now();
                    runs.add();
                });
                assert_eq!(runs.get(), 1);
            })
        })
        .collect();
    let theirs = once.clone();
    let waiter = spawn(move || theirs.wait());
    yield_now();
    assert!(!once.is_completed() && !waiter.is_finished());
    greenlets.into_iter().for_each(|g| g.join().unwrap());
    waiter.join().unwrap();
    assert!(once.is_completed());
    once.wait();
    once.wait_force();
}

#[test]
fn a_panic_poisons_until_it_is_forced() {
    let _watchdog = support::watchdog();
    let once = Arc::new(Once::new());
    let theirs = once.clone();
    // Before and after the panic.
    let waiting = spawn(move || theirs.wait());
    let theirs = once.clone();
    let patient = spawn(move || theirs.wait_force());
    yield_now();
    let theirs = once.clone();
    let calling = spawn(move || {
        theirs.call_once(|| {
            yield_now();
            panics();
        });
    });
    yield_now();
    let theirs = once.clone();
    let second = spawn(move || theirs.call_once(|| ()));
    assert!(calling.join().is_err());
    assert!(waiting.join().is_err() && second.join().is_err());
    assert!(!once.is_completed() && !patient.is_finished());
    let again = catch_unwind(AssertUnwindSafe(|| once.call_once(|| ()))).unwrap_err();
    assert_eq!(text(again), "Once instance has previously been poisoned");
    assert!(catch_unwind(AssertUnwindSafe(|| once.wait())).is_err());
    once.call_once_force(|state| assert!(state.is_poisoned()));
    once.call_once(|| unreachable!());
    patient.join().unwrap();
    Once::new().call_once_force(|state| assert!(!state.is_poisoned()));
}

#[test]
fn a_kill_or_timeout_inside_lets_the_next_one_try() {
    let _watchdog = support::watchdog();
    let (once, runs) = (Arc::new(Once::new()), Counter::default());
    let runner = |how_long| {
        let (once, runs) = (once.clone(), runs.clone());
        spawn(move || {
            once.call_once(|| {
                runs.add();
                sleep(how_long);
            });
        })
    };
    let first = runner(HOUR);
    yield_now();
    let others = [runner(Duration::ZERO), runner(HOUR)];
    yield_now();
    assert_eq!(runs.get(), 1);
    first.kill().unwrap();
    for other in others {
        other.join().unwrap();
    }
    assert_eq!(runs.get(), 2);

    let once = Once::new();
    assert!(timeout(MOMENT, || once.call_once(|| sleep(HOUR))).is_err());
    once.call_once(|| ());
}

#[test]
fn one_that_asks_for_itself_panics() {
    let once = Once::new();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        once.call_once(|| once.call_once(|| ()))
    }));
    assert!(text(panic.unwrap_err()).contains("asks for itself"));
    let cell = OnceLock::new();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        cell.get_or_init(|| *cell.get_or_init(|| 1))
    }));
    assert!(panic.is_err() && cell.get().is_none());
}

#[test]
fn killed_waiters_are_gone() {
    let _watchdog = support::watchdog();
    let once = Arc::new(Once::new());
    let theirs = once.clone();
    let runner = spawn(move || theirs.call_once(|| park().unwrap()));
    yield_now();
    let waiters: Vec<_> = [true, false]
        .map(|calls| {
            let once = once.clone();
            spawn(move || {
                if calls {
                    once.call_once(|| ())
                } else {
                    once.wait()
                }
            })
        })
        .into();
    yield_now();
    for waiter in &waiters {
        waiter.kill().unwrap();
    }
    runner.handle().unpark();
    runner.join().unwrap();
    assert!(once.is_completed());
}

#[test]
fn a_cell_is_written_once() {
    let _watchdog = support::watchdog();
    let cell = Arc::new(OnceLock::new());
    assert_eq!(cell.get(), None);
    let theirs = cell.clone();
    let waiter = spawn(move || *theirs.wait());
    yield_now();
    assert_eq!(cell.set(1), Ok(()));
    assert_eq!(cell.set(2), Err(2));
    assert_eq!((*cell.get_or_init(|| 3), cell.get()), (1, Some(&1)));
    assert_eq!(waiter.join().unwrap(), 1);
}

#[test]
fn a_cell_whose_maker_fails_stays_empty() {
    let _watchdog = support::watchdog();
    let cell = Arc::new(OnceLock::new());
    let panic = catch_unwind(AssertUnwindSafe(|| {
        cell.get_or_init(|| {
            panics();
            1
        })
    }));
    assert!(panic.is_err() && cell.get().is_none());
    let makes = |value: u32| {
        let cell = cell.clone();
        spawn(move || {
            *cell.get_or_init(|| {
                sleep(HOUR * value);
                value
            })
        })
    };
    let killed = makes(1);
    yield_now();
    let next = makes(0);
    yield_now();
    killed.kill().unwrap();
    assert_eq!(next.join().unwrap(), 0);
}

#[test]
fn a_cell_drops_its_value_once() {
    let dropped = Counter::default();
    let mut cell = OnceLock::from(dropped.on_drop());
    assert!(cell.get_mut().is_some());
    drop(cell.take());
    assert!(cell.take().is_none());
    assert_eq!(dropped.get(), 1);
    assert!(cell.set(dropped.on_drop()).is_ok());
    assert!(cell.set(dropped.on_drop()).is_err());
    assert_eq!(dropped.get(), 2);
    drop(cell);
    assert_eq!(dropped.get(), 3);
    assert_eq!(OnceLock::from(1).into_inner(), Some(1));
    assert_eq!(OnceLock::from(1), OnceLock::from(1).clone());
    assert_ne!(OnceLock::from(1), OnceLock::new());
    assert_eq!(
        format!("{:?} {:?}", OnceLock::from(1), OnceLock::<u8>::default()),
        "OnceLock(1) OnceLock(<uninit>)"
    );
}

#[test]
fn a_lazy_value_is_made_at_its_first_use() {
    let _watchdog = support::watchdog();
    static RUNS: OnceLock<Counter> = OnceLock::new();
    static LAZY: LazyLock<usize> = LazyLock::new(|| {
        yield_now();
        RUNS.get_or_init(Counter::default).add()
    });
    assert_eq!(LazyLock::get(&LAZY), None);
    let greenlets: Vec<Greenlet<usize>> = (0..3).map(|_| spawn(|| *LAZY)).collect();
    for greenlet in greenlets {
        assert_eq!(greenlet.join().unwrap(), 0);
    }
    assert_eq!(RUNS.get().unwrap().get(), 1);
    let captured = 7;
    let mut lazy = LazyLock::new(move || captured);
    assert_eq!(format!("{lazy:?}"), "LazyLock(<uninit>)");
    *lazy += 1;
    assert_eq!((*lazy, LazyLock::get_mut(&mut lazy)), (8, Some(&mut 8)));
    assert_eq!(*LazyLock::<Vec<u8>>::default(), []);
}

#[test]
fn a_lazy_value_whose_maker_fails_is_poisoned() {
    let _watchdog = support::watchdog();
    let lazy = LazyLock::new(|| sleep(HOUR));
    assert!(timeout(MOMENT, || LazyLock::force(&lazy)).is_err());
    let again = catch_unwind(AssertUnwindSafe(|| *lazy)).unwrap_err();
    assert_eq!(
        text(again),
        "LazyLock instance has previously been poisoned"
    );
    let lazy = LazyLock::new(panics);
    for _ in 0..2 {
        assert!(catch_unwind(AssertUnwindSafe(|| *lazy)).is_err());
    }
}

#[test]
fn threads_and_greenlets_agree_on_one_value() {
    let _watchdog = support::watchdog();
    for _ in 0..100 {
        let (cell, runs) = (Arc::new(OnceLock::new()), Counter::default());
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (cell, runs) = (cell.clone(), runs.clone());
                std::thread::spawn(move || {
                    let greenlets: Vec<_> = (0..3)
                        .map(|_| {
                            let (cell, runs) = (cell.clone(), runs.clone());
                            spawn(move || {
                                *cell.get_or_init(|| {
                                    yield_now();
                                    runs.add() + 1
                                })
                            })
                        })
                        .collect();
                    greenlets.into_iter().all(|g| g.join().unwrap() == 1)
                })
            })
            .collect();
        assert!(threads.into_iter().all(|t| t.join().unwrap()));
        assert_eq!(runs.get(), 1);
    }
}
