//! Raw greenlets: the tracer. After greenlet's `test_tracing.py`, and the tests of tracers that
//! switch in `test_greenlet.py` (MIT): here a tracer must not switch.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;

use rustlet::raw::{self, EventKind, Greenlet, Id, set_tracer};

type Seen = Rc<RefCell<Vec<(EventKind, Id, Id)>>>;

fn record() -> Seen {
    let seen = Seen::default();
    let log = Rc::clone(&seen);
    set_tracer(Some(Box::new(move |event| {
        log.borrow_mut()
            .push((event.kind, event.origin, event.target));
    })));
    seen
}

fn caught<R>(f: impl FnOnce() -> R) -> Box<dyn std::any::Any + Send> {
    catch_unwind(AssertUnwindSafe(f)).err().expect("it panics")
}

#[test]
fn switches_and_throws_in_order() {
    use EventKind::{Switch, Throw};
    let seen = record();
    let g1 = Greenlet::new(|x: i32| x);
    g1.switch(1);
    let g2 = Greenlet::new(|_: i32| panic_any("thrown"));
    caught(|| g2.switch(2));
    set_tracer(None);
    g1.switch(3);
    let expected = [
        (Switch, Id::MAIN, g1.id()),
        (Switch, g1.id(), Id::MAIN),
        (Switch, Id::MAIN, g2.id()),
        (Throw, g2.id(), Id::MAIN),
    ];
    assert_eq!(*seen.borrow(), expected);
}

#[test]
fn a_greenlet_that_only_suspends() {
    use EventKind::{Switch, Throw};
    let g = Greenlet::new(|x: i32| raw::switch_to_parent(x));
    let id = g.id();
    let seen = record();
    g.switch(1);
    drop(g);
    set_tracer(None);
    let expected = [
        (Switch, Id::MAIN, id),
        (Switch, id, Id::MAIN),
        (Throw, Id::MAIN, id),
        (Throw, id, Id::MAIN),
    ];
    assert_eq!(*seen.borrow(), expected);
}

#[test]
fn a_panic_in_the_tracer_removes_it() {
    set_tracer(Some(Box::new(|_| panic_any("tracer"))));
    let g = Greenlet::new(|x: i32| x);
    let payload = caught(|| g.switch(1));
    assert_eq!(payload.downcast_ref(), Some(&"tracer"));
    assert!(set_tracer(None).is_none());
    // The switch it was told of has not taken place.
    assert!(!g.started());
    assert_eq!(g.switch(2), 2);
}

#[test]
fn a_panic_in_the_tracer_at_an_end_goes_to_the_parent() {
    set_tracer(Some(Box::new(|event| {
        if event.target == Id::MAIN {
            panic_any("tracer");
        }
    })));
    let g = Greenlet::new(|x: i32| x);
    assert_eq!(caught(|| g.switch(1)).downcast_ref(), Some(&"tracer"));
    assert!(g.dead());
}

#[test]
fn the_same_tracer_twice() {
    let seen = record();
    let tracer = set_tracer(None);
    assert!(tracer.is_some());
    assert!(set_tracer(tracer).is_none());
    let tracer = set_tracer(None);
    assert!(set_tracer(tracer).is_none());
    Greenlet::new(|()| ()).switch(());
    set_tracer(None);
    assert_eq!(seen.borrow().len(), 2);
}

#[test]
fn a_tracer_that_switches_is_told_so() {
    // Upstream `test_reentrant_switch_*`: no value may get lost. Here the switch is refused.
    let other = Greenlet::new(|x: i32| x);
    let switched = other.clone();
    set_tracer(Some(Box::new(move |_| {
        switched.switch(100);
    })));
    let g = Greenlet::new(|x: i32| x);
    let payload = caught(|| g.switch(1));
    let text = payload.downcast_ref::<&str>().unwrap();
    assert!(text.contains("a tracer cannot switch"), "{text}");
    assert!(!g.started() && !other.started());
    assert_eq!((g.switch(1), other.switch(2)), (1, 2));
}

#[test]
fn a_tracer_cannot_replace_itself() {
    set_tracer(Some(Box::new(|_| drop(set_tracer(None)))));
    let payload = caught(|| Greenlet::new(|()| ()).switch(()));
    assert!(
        payload
            .downcast_ref::<&str>()
            .unwrap()
            .contains("cannot be replaced")
    );
}
