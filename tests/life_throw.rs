//! Throwing into a greenlet: once, where it waits; may be caught; goes after kills and before limits.

mod support;

use std::panic::catch_unwind;
use std::thread;
use std::time::Duration;

use rustlet::{Killed, sleep, spawn, timeout, yield_now};
use support::Counter;

const HOUR: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(5);

fn text(payload: Box<dyn std::any::Any + Send>) -> &'static str {
    *payload.downcast::<&str>().expect("a text")
}

#[test]
fn is_raised_where_the_target_waits_and_runs_destructors() {
    let _watchdog = support::watchdog();
    let (drops, passed) = (Counter::default(), Counter::default());
    let (guard, went_on) = (drops.on_drop(), passed.clone());
    let greenlet = spawn(move || {
        let _guard = guard;
        sleep(HOUR);
        went_on.add();
    });
    yield_now();
    greenlet.throw("out");
    assert_eq!(drops.get(), 0, "not before the target's turn");
    let error = greenlet.join().unwrap_err();
    assert_eq!(text(error.try_into_panic().unwrap()), "out");
    assert_eq!((drops.get(), passed.get()), (1, 0));
}

#[test]
fn is_raised_once_and_may_be_caught() {
    let _watchdog = support::watchdog();
    let greenlet = spawn(|| {
        let caught = catch_unwind(|| sleep(HOUR)).unwrap_err();
        sleep(SHORT); // is not hit again
        yield_now();
        text(caught)
    });
    yield_now();
    greenlet.throw("once");
    assert_eq!(greenlet.join().unwrap(), "once");
}

#[test]
fn hits_the_next_wait_of_one_that_runs() {
    let _watchdog = support::watchdog();
    let greenlet = spawn(|| {
        let me = rustlet::current();
        // Another thread, so that this greenlet does not wait meanwhile.
        thread::spawn(move || me.throw("later")).join().unwrap();
        text(catch_unwind(|| sleep(HOUR)).unwrap_err())
    });
    assert_eq!(greenlet.join().unwrap(), "later");
}

#[test]
fn several_are_raised_one_after_the_other() {
    let _watchdog = support::watchdog();
    let greenlet = spawn(|| {
        let mut caught = Vec::new();
        for _ in 0..3 {
            caught.push(text(catch_unwind(|| sleep(HOUR)).unwrap_err()));
        }
        sleep(SHORT);
        caught
    });
    yield_now();
    for text in ["first", "second", "third"] {
        greenlet.throw(text);
    }
    assert_eq!(greenlet.join().unwrap(), ["first", "second", "third"]);
}

#[test]
fn at_oneself_is_raised_at_once() {
    let _watchdog = support::watchdog();
    let passed = Counter::default();
    let went_on = passed.clone();
    let greenlet = spawn(move || {
        rustlet::current().throw("self");
        went_on.add();
    });
    let error = greenlet.join().unwrap_err();
    assert_eq!(text(error.try_into_panic().unwrap()), "self");
    assert_eq!(passed.get(), 0);
    // The code on a thread's own stack can be thrown at, by itself and by a greenlet.
    let main = rustlet::current();
    assert_eq!(
        text(catch_unwind(|| rustlet::current().throw("main")).unwrap_err()),
        "main"
    );
    spawn(move || main.throw("from a greenlet"));
    let caught = catch_unwind(|| sleep(HOUR)).unwrap_err();
    assert_eq!(text(caught), "from a greenlet");
    sleep(SHORT);
}

#[test]
fn of_one_that_has_not_started_is_its_outcome() {
    let _watchdog = support::watchdog();
    let (drops, runs) = (Counter::default(), Counter::default());
    let (guard, ran) = (drops.on_drop(), runs.clone());
    let greenlet = spawn(move || {
        let _guard = guard;
        ran.add();
    });
    greenlet.throw("first");
    greenlet.throw("second");
    let error = greenlet.join().unwrap_err();
    assert!(error.to_string().contains("first"), "{error}");
    assert_eq!((drops.get(), runs.get()), (1, 0));
}

#[test]
fn into_one_that_has_ended_is_dropped() {
    let _watchdog = support::watchdog();
    let greenlet = spawn(|| 1);
    greenlet.wait().unwrap();
    let drops = Counter::default();
    greenlet.throw(drops.on_drop());
    assert_eq!(drops.get(), 1);
    assert_eq!(greenlet.join().unwrap(), 1);
}

#[test]
fn that_nobody_raised_is_dropped_with_the_greenlet() {
    let _watchdog = support::watchdog();
    let drops = Counter::default();
    let payload = drops.on_drop();
    let greenlet = spawn(move || {
        let me = rustlet::current();
        thread::spawn(move || me.throw(payload)).join().unwrap();
        1
    });
    assert_eq!(greenlet.join().unwrap(), 1);
    yield_now();
    assert_eq!(drops.get(), 1);
}

#[test]
fn a_kill_goes_first() {
    let _watchdog = support::watchdog();
    let greenlet = spawn(|| {
        let first = catch_unwind(|| sleep(HOUR)).unwrap_err();
        let second = catch_unwind(|| sleep(HOUR)).unwrap_err();
        assert!(first.is::<Killed>() && second.is::<Killed>());
    });
    yield_now();
    greenlet.throw("throw");
    greenlet.kill_nowait();
    let outcome = greenlet.join();
    assert!(outcome.is_ok(), "{outcome:?}");
    let unstarted = spawn(|| ());
    unstarted.throw("throw");
    unstarted.kill_nowait();
    assert!(unstarted.join().unwrap_err().is_killed());
}

#[test]
fn a_throw_goes_before_a_limit_that_has_passed() {
    let _watchdog = support::watchdog();
    let greenlet = spawn(|| {
        let me = rustlet::current();
        timeout(SHORT, || {
            let start = std::time::Instant::now();
            thread::spawn(move || me.throw("inner")).join().unwrap();
            while start.elapsed() < 4 * SHORT {}
            let first = catch_unwind(|| sleep(HOUR)).unwrap_err();
            assert_eq!(text(first), "inner");
            sleep(HOUR); // now the limit
        })
    });
    assert!(greenlet.join().unwrap().is_err());
}

#[test]
fn passes_through_a_limit_and_ends_it() {
    let _watchdog = support::watchdog();
    let greenlet = spawn(|| {
        let caught = catch_unwind(|| timeout(2 * SHORT, || sleep(HOUR))).unwrap_err();
        sleep(8 * SHORT); // the limit cannot hit this
        text(caught)
    });
    yield_now();
    greenlet.throw("through");
    assert_eq!(greenlet.join().unwrap(), "through");
}

#[test]
fn wakes_from_another_thread() {
    let _watchdog = support::watchdog();
    for _ in 0..100 {
        let greenlet = spawn(|| rustlet::park().unwrap());
        let handle = greenlet.handle();
        let thrower = thread::spawn(move || handle.throw("far"));
        assert!(greenlet.join().unwrap_err().is_panic());
        thrower.join().unwrap();
    }
}

#[test]
fn is_not_raised_while_the_target_unwinds() {
    struct Waits(Counter);
    impl Drop for Waits {
        fn drop(&mut self) {
            rustlet::current().throw("while unwinding");
            sleep(SHORT);
            self.0.add();
        }
    }
    let _watchdog = support::watchdog();
    let ended = Counter::default();
    let waits = Waits(ended.clone());
    let greenlet = spawn(move || {
        let _waits = waits;
        sleep(HOUR);
    });
    yield_now();
    greenlet.throw("outer");
    let error = greenlet.join().unwrap_err();
    assert_eq!(text(error.try_into_panic().unwrap()), "outer");
    assert_eq!(ended.get(), 1);
}

/// A guard that is dropped by a kill or a limit does not poison its lock; by a panic or a throw it does.
#[test]
fn poisons_as_a_panic_does_while_kills_and_limits_do_not() {
    use std::sync::Arc;
    let _watchdog = support::watchdog();
    let hold = |then: fn()| {
        let lock = Arc::new(rustlet::sync::Mutex::new(()));
        let also = lock.clone();
        let greenlet = spawn(move || {
            let _guard = also.lock().unwrap();
            then();
        });
        yield_now();
        (lock, greenlet)
    };
    let (lock, greenlet) = hold(|| sleep(HOUR));
    greenlet.kill().unwrap();
    assert!(!lock.is_poisoned());

    let (lock, greenlet) = hold(|| sleep(HOUR));
    greenlet.throw("poison");
    greenlet.wait().unwrap();
    assert!(lock.is_poisoned());

    let (lock, greenlet) = hold(|| panic!("on purpose"));
    greenlet.wait().unwrap();
    assert!(lock.is_poisoned());

    let lock = Arc::new(rustlet::sync::Mutex::new(()));
    let hit = timeout(SHORT, || {
        let _guard = lock.lock().unwrap();
        sleep(HOUR);
    });
    assert!(hit.is_err() && !lock.is_poisoned());

    // A limit that was hit before, and a kill that was caught, do not excuse a panic afterwards.
    // One that is raised without the panic hook included.
    for with_hook in [true, false] {
        lock.clear_poison();
        assert!(timeout(SHORT, || sleep(HOUR)).is_err());
        let panicked = catch_unwind(|| {
            let _guard = lock.lock().unwrap();
            if with_hook {
                panic!("on purpose");
            }
            std::panic::resume_unwind(Box::new("on purpose"))
        });
        assert!(panicked.is_err() && lock.is_poisoned());
    }
    let (lock, greenlet) = hold(|| {
        assert!(catch_unwind(|| sleep(HOUR)).unwrap_err().is::<Killed>());
        panic!("on purpose");
    });
    greenlet.kill().unwrap();
    assert!(lock.is_poisoned());
}
