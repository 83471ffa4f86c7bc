//! What is said when a panic or a throw ends a greenlet: once, with its name; by the hook, if there is one.
//! The hook belongs to the process, so each test runs in a child of its own.

mod support;

use std::panic::{catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustlet::{Builder, set_uncaught_hook, sleep, spawn, take_uncaught_hook, yield_now};
use support::Outcome;

const HOUR: Duration = Duration::from_secs(3600);

/// Runs `body` in a child; gives what that printed.
#[track_caller]
fn in_child(test: &str, body: fn()) -> Option<Outcome> {
    if support::is_child() {
        body();
        return None;
    }
    let outcome = support::child(test).run();
    outcome.assert_passed();
    Some(outcome)
}

/// How often `text` was printed.
fn count(outcome: &Outcome, text: &str) -> usize {
    outcome.stderr.matches(text).count()
}

fn named<T: Send + 'static>(
    name: &str,
    f: impl FnOnce() -> T + Send + 'static,
) -> rustlet::Greenlet<T> {
    Builder::new().name(name).spawn(f).unwrap()
}

#[test]
fn without_a_hook_each_is_printed_once() {
    let Some(outcome) = in_child("without_a_hook_each_is_printed_once", || {
        let panics = named("panics", || panic!("the panic's text"));
        let sleeper = named("sleeper", || sleep(HOUR));
        let unstarted = named("unstarted", || ());
        let killed = named("killed", || sleep(HOUR));
        unstarted.throw("thrown early");
        yield_now();
        sleeper.throw(String::from("thrown text"));
        killed.kill().unwrap();
        for greenlet in [panics, sleeper, unstarted] {
            assert!(greenlet.join().unwrap_err().is_panic());
        }
        let caught = named("catches", || {
            catch_unwind(|| sleep(HOUR)).unwrap_err();
        });
        yield_now();
        caught.throw("caught text");
        caught.join().unwrap();
    }) else {
        return;
    };
    assert_eq!(count(&outcome, "the panic's text"), 1, "{outcome:?}");
    assert_eq!(count(&outcome, "greenlet 'panics' (#"), 1, "{outcome:?}");
    assert_eq!(count(&outcome, "thrown text"), 1, "{outcome:?}");
    assert_eq!(count(&outcome, "greenlet 'sleeper' (#"), 1, "{outcome:?}");
    assert_eq!(count(&outcome, "thrown early"), 1, "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("spawned at tests/life_uncaught.rs:"),
        "{outcome:?}"
    );
    assert_eq!(count(&outcome, "'killed'"), 0, "{outcome:?}");
    assert_eq!(count(&outcome, "caught text"), 0, "{outcome:?}");
}

#[test]
fn a_hook_is_called_once_for_each() {
    in_child("a_hook_is_called_once_for_each", || {
        let log = Arc::new(Mutex::new(Vec::new()));
        let out = log.clone();
        set_uncaught_hook(move |uncaught| {
            assert!(uncaught.spawned_at().file().ends_with("life_uncaught.rs"));
            assert_eq!(uncaught.id(), rustlet::current().id());
            out.lock().unwrap().push((
                uncaught.name().map(str::to_owned),
                uncaught.message().map(str::to_owned),
                uncaught.payload().is::<u8>(),
                uncaught.is_thrown(),
            ));
        });
        let outer = named("outer", || {
            let inner = named("inner", || std::panic::panic_any(1_u8));
            inner.join().unwrap_err().resume()
        });
        let thrown = named("thrown", || sleep(HOUR));
        let after = named("after", || {
            // A throw that is caught, and a panic after it.
            catch_unwind(|| sleep(HOUR)).unwrap_err();
            panic!("panic")
        });
        let again = named("again", || {
            // A throw that is caught and passed on.
            resume_unwind(catch_unwind(|| sleep(HOUR)).unwrap_err())
        });
        let killed = named("killed", || sleep(HOUR));
        let fine = named("fine", || ());
        yield_now();
        drop(outer.join());
        thrown.throw("thrown");
        thrown.wait().unwrap();
        after.throw("thrown");
        after.wait().unwrap();
        again.throw("thrown");
        again.wait().unwrap();
        killed.kill().unwrap();
        fine.join().unwrap();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            *log.lock().unwrap(),
            [
                (text("inner"), None, true, false),
                (text("outer"), None, true, false),
                (text("thrown"), text("thrown"), false, true),
                (text("after"), text("panic"), false, false),
                (text("again"), text("thrown"), false, true),
            ]
        );
    });
}

#[test]
fn a_hook_may_panic_or_block() {
    let Some(outcome) = in_child("a_hook_may_panic_or_block", || {
        set_uncaught_hook(|_| panic!("the hook's panic"));
        let broken = spawn(|| panic!("first"));
        assert!(broken.join().unwrap_err().to_string().ends_with("first"));
        set_uncaught_hook(|_| rustlet::park().unwrap());
        let broken = spawn(|| panic!("second"));
        yield_now();
        assert!(!broken.is_finished(), "its end comes after the hook's");
        broken.handle().unpark();
        assert!(broken.join().unwrap_err().to_string().ends_with("second"));
        // Killed while the hook waits: ended by what came first.
        set_uncaught_hook(|_| sleep(HOUR));
        let broken = spawn(|| panic!("third"));
        yield_now();
        broken.kill().unwrap();
        assert!(broken.join().unwrap_err().is_panic());
    }) else {
        return;
    };
    assert_eq!(count(&outcome, "the hook's panic"), 1, "{outcome:?}");
}

#[test]
fn a_hook_may_be_taken_and_replaced() {
    let Some(outcome) = in_child("a_hook_may_be_taken_and_replaced", || {
        assert!(take_uncaught_hook().is_none());
        let count = support::Counter::default();
        let counted = count.clone();
        set_uncaught_hook(move |_| {
            counted.add();
        });
        let hook = take_uncaught_hook().unwrap();
        let broken = spawn(|| panic!("not seen"));
        broken.wait().unwrap();
        assert_eq!(count.get(), 0);
        set_uncaught_hook(move |uncaught| {
            hook(uncaught);
            hook(uncaught);
        });
        let thrown = spawn(|| ());
        thrown.throw("not printed");
        thrown.wait().unwrap();
        assert_eq!(count.get(), 2);
    }) else {
        return;
    };
    assert_eq!(count(&outcome, "not printed"), 0, "{outcome:?}");
}
