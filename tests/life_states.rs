//! What a greenlet says of itself, and what a kill or a throw does to it, in each state of its life: before its
//! first run, before the time of a `spawn_later`, while it runs and waits, after its end. After
//! gevent's `TestBasic`, `TestKill`, `TestStart` and test__issue330, test__issue607.

mod support;

use std::cell::{Cell, RefCell};
use std::panic::catch_unwind;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use rustlet::{
    Greenlet, JoinError, killall, killall_timeout, sleep, spawn, spawn_later, spawn_local,
    yield_now,
};
use support::Counter;

const HOUR: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(5);

/// (is_started, is_finished, is_successful)
fn state<T>(greenlet: &Greenlet<T>) -> (bool, bool, bool) {
    let state = (
        greenlet.is_started(),
        greenlet.is_finished(),
        greenlet.is_successful(),
    );
    let handle = greenlet.handle();
    assert_eq!(
        state,
        (
            handle.is_started(),
            handle.is_finished(),
            handle.is_successful()
        )
    );
    state
}

const UNSTARTED: (bool, bool, bool) = (false, false, false);
const RUNNING: (bool, bool, bool) = (true, false, false);
const SUCCESSFUL: (bool, bool, bool) = (true, true, true);
const FAILED: (bool, bool, bool) = (true, true, false);
/// Ended without having run.
const NEVER_RAN: (bool, bool, bool) = (false, true, false);

#[test]
fn states_of_one_that_returns() {
    let _watchdog = support::watchdog();
    let greenlet = spawn(|| {
        rustlet::park().unwrap();
        "value"
    });
    assert_eq!(state(&greenlet), UNSTARTED);
    yield_now();
    assert_eq!(state(&greenlet), RUNNING);
    greenlet.handle().unpark();
    greenlet.wait().unwrap();
    assert_eq!(state(&greenlet), SUCCESSFUL);
    greenlet.wait().unwrap(); // again: at once
    assert!(greenlet.wait_timeout(Duration::ZERO));
    assert_eq!(greenlet.join().unwrap(), "value");
}

#[test]
fn states_of_one_that_panics() {
    let _watchdog = support::watchdog();
    let greenlet = spawn(|| {
        rustlet::park().unwrap();
        std::panic::panic_any(5_u8)
    });
    yield_now();
    assert_eq!(state(&greenlet), RUNNING);
    greenlet.handle().unpark();
    greenlet.wait().unwrap(); // a wait is quiet; a join is not
    assert_eq!(state(&greenlet), FAILED);
    let error = greenlet.join().unwrap_err();
    assert!(error.is_panic() && !error.is_killed());
    assert_eq!(
        *error.try_into_panic().unwrap().downcast::<u8>().unwrap(),
        5
    );
}

#[test]
fn states_of_one_that_starts_later() {
    let _watchdog = support::watchdog();
    let much_later = spawn_later(HOUR, || ());
    yield_now();
    assert_eq!(state(&much_later), UNSTARTED);
    much_later.kill().unwrap();
    let later = spawn_later(SHORT, || rustlet::park().unwrap());
    assert_eq!(state(&later), UNSTARTED);
    while !later.is_started() {
        sleep(Duration::from_millis(1));
    }
    assert_eq!(state(&later), RUNNING);
    later.handle().unpark();
    later.wait().unwrap();
    assert_eq!(state(&later), SUCCESSFUL);
}

#[test]
fn the_current_greenlet_is_started_and_not_finished() {
    let _watchdog = support::watchdog();
    spawn(|| {
        let me = rustlet::current();
        assert!(me.is_started() && !me.is_finished() && !me.is_successful());
        sleep(SHORT);
        assert!(me.is_started() && !me.is_finished());
    })
    .join()
    .unwrap();
    let main = rustlet::current();
    assert!(main.is_started() && !main.is_finished() && !main.is_successful());
}

#[test]
fn a_wait_ends_in_time_or_at_the_end() {
    let _watchdog = support::watchdog();
    let greenlet = spawn(|| rustlet::park().unwrap());
    let handle = greenlet.handle();
    let start = std::time::Instant::now();
    assert!(!greenlet.wait_timeout(SHORT));
    assert!(!handle.wait_timeout(SHORT));
    assert!(start.elapsed() >= 2 * SHORT);
    assert!(!greenlet.wait_timeout(Duration::ZERO));
    handle.unpark();
    assert!(handle.wait_timeout(HOUR));
    handle.wait().unwrap();
    assert!(greenlet.is_successful());
}

#[test]
fn many_wait_for_one_and_some_give_up() {
    let _watchdog = support::watchdog();
    let target = spawn(|| rustlet::park().unwrap());
    let outcomes = Rc::new(RefCell::new(Vec::new()));
    let waiters = Vec::from_iter((0..100).map(|n| {
        let (handle, outcomes) = (target.handle(), outcomes.clone());
        spawn_local(move || {
            let ended = handle.wait_timeout(if n % 2 == 0 { SHORT } else { HOUR });
            outcomes.borrow_mut().push((n, ended));
        })
    }));
    // The watchdog sees to it that this ends.
    while outcomes.borrow().len() < 50 {
        sleep(SHORT);
    }
    target.handle().unpark();
    rustlet::joinall(waiters);
    let mut outcomes = outcomes.take();
    let late = outcomes.split_off(50);
    assert!(outcomes.iter().all(|&(n, ended)| n % 2 == 0 && !ended));
    // Those who stayed are woken in the order in which they came.
    assert!(late.is_sorted());
    assert!(late.iter().all(|&(n, ended)| n % 2 == 1 && ended));
}

#[test]
fn who_has_given_up_is_not_woken() {
    let _watchdog = support::watchdog();
    let target = spawn(|| rustlet::park().unwrap());
    let given_up = Counter::default();
    let waiters = Vec::from_iter((0..3).map(|_| {
        let (handle, given_up) = (target.handle(), given_up.clone());
        spawn(move || {
            assert!(!handle.wait_timeout(SHORT));
            given_up.add();
            rustlet::park().unwrap();
        })
    }));
    while given_up.get() < 3 {
        sleep(SHORT);
    }
    target.handle().unpark();
    target.join().unwrap();
    yield_now();
    for waiter in waiters {
        assert!(!waiter.is_finished());
        waiter.handle().unpark();
        waiter.join().unwrap();
    }
}

#[test]
fn giving_up_does_not_take_time_by_the_number_of_waiters() {
    let _watchdog = support::watchdog();
    let count = 20_000 / support::slowdown();
    let target = spawn(|| rustlet::park().unwrap());
    let waiters = Vec::from_iter((0..count).map(|_| {
        let handle = target.handle();
        spawn(move || handle.wait())
    }));
    yield_now();
    let before = support::thread_cpu_time();
    killall(waiters.iter().rev()).unwrap(); // the worst order for a list that is searched
    let used = support::thread_cpu_time() - before;
    assert!(
        used < Duration::from_secs(10) * support::slowdown(),
        "{used:?}"
    );
    target.kill().unwrap();
}

/// Something that ends a greenlet from outside, and whether its end is a kill (or else a throw).
struct Ending {
    name: &'static str,
    end: fn(&Greenlet<()>),
    waits: bool,
    kills: bool,
}

const ENDINGS: [Ending; 9] = [
    Ending {
        name: "kill",
        end: |greenlet| greenlet.kill().unwrap(),
        waits: true,
        kills: true,
    },
    Ending {
        name: "kill_nowait",
        end: |greenlet| greenlet.kill_nowait(),
        waits: false,
        kills: true,
    },
    Ending {
        name: "Handle::kill",
        end: |greenlet| greenlet.handle().kill(),
        waits: false,
        kills: true,
    },
    Ending {
        name: "kill_timeout",
        end: |greenlet| assert!(greenlet.kill_timeout(HOUR)),
        waits: true,
        kills: true,
    },
    Ending {
        name: "killall",
        end: |greenlet| killall([greenlet]).unwrap(),
        waits: true,
        kills: true,
    },
    Ending {
        name: "killall_timeout",
        end: |greenlet| assert!(killall_timeout([greenlet, greenlet], HOUR)),
        waits: true,
        kills: true,
    },
    Ending {
        name: "throw a text",
        end: |greenlet| greenlet.throw("thrown"),
        waits: false,
        kills: false,
    },
    Ending {
        name: "throw a number",
        end: |greenlet| greenlet.handle().throw(7_u64),
        waits: false,
        kills: false,
    },
    Ending {
        name: "kill from another thread",
        end: |greenlet| {
            let handle = greenlet.handle();
            thread::spawn(move || handle.kill()).join().unwrap();
        },
        waits: false,
        kills: true,
    },
];

/// Ends greenlets in one state by each of the endings.
fn table(
    make: fn(Box<dyn FnOnce() + Send>) -> Greenlet<()>,
    prepare: fn(&Greenlet<()>),
    started: bool,
) {
    let _watchdog = support::watchdog();
    for ending in ENDINGS {
        let name = ending.name;
        let (drops, runs, links) = (Counter::default(), Counter::default(), Counter::default());
        let (guard, ran, linked) = (drops.on_drop(), runs.clone(), links.clone());
        let greenlet = make(Box::new(move || {
            let _guard = guard;
            ran.add();
            sleep(HOUR);
        }));
        greenlet.link(move |_| {
            linked.add();
        });
        prepare(&greenlet);
        assert_eq!(runs.get(), usize::from(started), "{name}");
        assert_eq!(greenlet.is_started(), started, "{name}");
        (ending.end)(&greenlet);
        if !ending.waits {
            assert!(!greenlet.is_finished(), "{name} does not wait");
        } else {
            assert!(greenlet.is_finished(), "{name} waits");
        }
        assert!(greenlet.wait_timeout(HOUR));
        let expected = if started { FAILED } else { NEVER_RAN };
        assert_eq!(state(&greenlet), expected, "{name}");
        assert_eq!(drops.get(), 1, "{name}: its values are dropped");
        assert_eq!(runs.get(), usize::from(started), "{name}");
        yield_now();
        assert_eq!(links.get(), 1, "{name}: links are called");
        // Once ended, nothing happens any more.
        (ending.end)(&greenlet);
        assert_eq!(state(&greenlet), expected, "{name}");
        let error: JoinError = greenlet.join().unwrap_err();
        assert_eq!(error.is_killed(), ending.kills, "{name}");
        assert_eq!(error.is_panic(), !ending.kills, "{name}");
        if !ending.kills {
            let payload = error.try_into_panic().unwrap();
            assert!(payload.is::<&str>() || payload.is::<u64>(), "{name}");
        }
        assert_eq!(rustlet::stats().live, 0, "{name}");
    }
}

#[test]
fn endings_before_the_first_run() {
    table(|f| spawn(f), |_| (), false);
}

#[test]
fn endings_before_the_time_has_come() {
    table(|f| spawn_later(HOUR, f), |_| (), false);
}

#[test]
fn endings_before_the_time_has_come_after_a_turn() {
    table(|f| spawn_later(HOUR, f), |_| yield_now(), false);
}

#[test]
fn endings_while_it_waits() {
    table(|f| spawn(f), |_| yield_now(), true);
}

#[test]
fn endings_while_it_waits_after_a_late_start() {
    table(
        |f| spawn_later(Duration::from_millis(1), f),
        |greenlet| {
            while !greenlet.is_started() {
                sleep(Duration::from_millis(1));
            }
        },
        true,
    );
}

#[test]
fn a_kill_without_waiting_takes_effect_after_the_caller_yields() {
    let _watchdog = support::watchdog();
    let ended = Rc::new(Cell::new(false));
    let (guard, seen) = (Counter::default(), ended.clone());
    let on_drop = guard.on_drop();
    let greenlet = spawn_local(move || {
        let _on_drop = on_drop;
        sleep(HOUR);
        seen.set(true);
    });
    yield_now();
    greenlet.kill_nowait();
    assert_eq!(guard.get(), 0);
    yield_now();
    assert_eq!(guard.get(), 1);
    assert!(!ended.get());
}

#[test]
fn a_limit_on_a_kill_passes_and_the_kill_stays_in_force() {
    let _watchdog = support::watchdog();
    let stop = Rc::new(Cell::new(false));
    let stopped = stop.clone();
    let stubborn = spawn_local(move || {
        while !stopped.get() {
            let _ = catch_unwind(|| sleep(SHORT));
        }
        sleep(HOUR);
    });
    yield_now();
    assert!(!stubborn.kill_timeout(SHORT));
    assert!(!killall_timeout([&stubborn], SHORT));
    stop.set(true);
    assert!(stubborn.wait_timeout(HOUR));
    assert!(stubborn.join().unwrap_err().is_killed());
}

#[test]
fn killing_all_kills_the_caller_last() {
    let _watchdog = support::watchdog();
    let others = [0; 3].map(|_| spawn(|| sleep(HOUR)));
    let mut handles = Vec::from_iter(others.iter().map(Greenlet::handle));
    let passed = Counter::default();
    let went_on = passed.clone();
    let suicide = spawn(move || {
        handles.insert(1, rustlet::current());
        let _ = killall(handles);
        went_on.add();
    });
    assert!(suicide.join().unwrap_err().is_killed());
    assert_eq!(passed.get(), 0);
    for outcome in rustlet::joinall(others) {
        assert!(outcome.unwrap_err().is_killed());
    }
}

#[test]
fn parents_and_places_are_known() {
    let _watchdog = support::watchdog();
    let line = line!() + 1;
    let outer = spawn(|| {
        let me = rustlet::current();
        let inner = spawn(|| ());
        assert_eq!(inner.parent_id(), Some(me.id()));
        assert_eq!(inner.handle().parent_id(), Some(me.id()));
        inner.spawned_at().line()
    });
    assert_eq!(outer.parent_id(), None); // this thread's own code
    assert_eq!(outer.spawned_at().line(), line);
    assert_eq!(outer.spawned_at().file(), file!());
    assert_eq!(outer.join().unwrap(), line + 2);

    // Every way to spawn.
    let here = line!();
    let ways = [
        spawn(|| ()).spawned_at(),
        spawn_local(|| ()).spawned_at(),
        spawn_later(SHORT, || ()).spawned_at(),
        rustlet::Builder::new().spawn(|| ()).unwrap().spawned_at(),
        rustlet::Builder::new()
            .spawn_local(|| ())
            .unwrap()
            .spawned_at(),
        rustlet::run(|| rustlet::current().spawned_at()),
    ];
    for place in ways {
        assert_eq!(place.file(), file!());
        assert!((here..here + 13).contains(&place.line()), "{place}");
    }
}
