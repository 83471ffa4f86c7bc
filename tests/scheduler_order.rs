//! Who runs when: spawning only schedules, first runs are in the order of spawning, yielding is a
//! round robin, and the woken queue in the order in which they were woken.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rustlet::{spawn_local, yield_now};

type Log<T> = Rc<RefCell<Vec<T>>>;

#[test]
fn spawning_only_schedules() {
    let _watchdog = support::watchdog();
    let ran = Rc::new(Cell::new(false));
    let also = ran.clone();
    let greenlet = spawn_local(move || also.set(true));
    assert!(!ran.get());
    assert!(!greenlet.is_finished());
    yield_now();
    assert!(ran.get());
    assert!(greenlet.is_finished());
}

#[test]
fn first_runs_are_in_the_order_of_spawning() {
    let _watchdog = support::watchdog();
    let log = Log::default();
    for n in 0..1000 {
        let log = log.clone();
        spawn_local(move || log.borrow_mut().push(n));
    }
    yield_now();
    assert_eq!(*log.borrow(), Vec::from_iter(0..1000));
}

#[test]
fn yielding_is_a_round_robin_that_includes_the_threads_own_code() {
    let _watchdog = support::watchdog();
    let log = Log::default();
    for name in ["a", "b"] {
        let log = log.clone();
        spawn_local(move || {
            for step in 1..=3 {
                log.borrow_mut().push(format!("{name}{step}"));
                yield_now();
            }
        });
    }
    for step in 1..=3 {
        log.borrow_mut().push(format!("main{step}"));
        yield_now();
    }
    assert_eq!(
        log.borrow().join(" "),
        "main1 a1 b1 main2 a2 b2 main3 a3 b3"
    );
}

#[test]
fn what_greenlets_spawn_queues_behind_what_is_there() {
    let _watchdog = support::watchdog();
    let log = Log::default();
    let say = |text: &'static str| {
        let log = log.clone();
        move || log.borrow_mut().push(text)
    };
    let (a, a_again, a1, a2, b, b1) = (
        say("a"),
        say("a again"),
        say("a1"),
        say("a2"),
        say("b"),
        say("b1"),
    );
    spawn_local(move || {
        a();
        spawn_local(a1);
        spawn_local(a2);
        yield_now();
        a_again();
    });
    spawn_local(move || {
        b();
        spawn_local(b1);
    });
    yield_now();
    yield_now();
    assert_eq!(log.borrow().join(", "), "a, b, a1, a2, a again, b1");
}

#[test]
fn the_woken_run_in_the_order_of_their_wake_ups() {
    let _watchdog = support::watchdog();
    let log = Log::default();
    let greenlets = Vec::from_iter((0..4).map(|n| {
        let log = log.clone();
        spawn_local(move || {
            rustlet::park().unwrap();
            log.borrow_mut().push(n);
        })
    }));
    yield_now();
    for n in [2, 0, 3, 1] {
        greenlets[n].handle().unpark();
    }
    yield_now();
    assert_eq!(*log.borrow(), [2, 0, 3, 1]);
}

#[test]
fn ten_thousand_greenlets_take_turns_exactly() {
    const ROUNDS: usize = 5;
    let _watchdog = support::watchdog();
    let count = 10_000 / support::slowdown() as usize;
    let log = Log::default();
    let greenlets = Vec::from_iter((0..count).map(|n| {
        let log = log.clone();
        spawn_local(move || {
            for _ in 0..ROUNDS {
                log.borrow_mut().push(n);
                yield_now();
            }
        })
    }));
    for greenlet in greenlets {
        greenlet.join().unwrap();
    }
    let log = log.borrow();
    assert_eq!(log.len(), ROUNDS * count);
    assert!(log.iter().enumerate().all(|(at, &n)| n == at % count));
}
