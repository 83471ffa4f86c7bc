//! Raw greenlets: raising something in another one. After greenlet's `test_throw.py`, and the tests
//! of `throw` in `test_greenlet.py` and `test_extension_interface.py` (MIT).

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use rustlet::raw::{self, Greenlet, GreenletExit};

#[derive(Debug, PartialEq)]
struct Oops(u32);

fn caught<R>(f: impl FnOnce() -> R) -> Box<dyn std::any::Any + Send> {
    catch_unwind(AssertUnwindSafe(f)).err().expect("it panics")
}

/// Suspends until something is thrown, and returns that to main as text.
fn catcher() -> Greenlet<String> {
    Greenlet::new(|start: String| {
        let payload = caught(|| raw::switch_to_parent(start));
        format!("caught {:?}", payload.downcast_ref::<Oops>())
    })
}

#[test]
fn throw_is_raised_at_the_switch_and_caught_there() {
    let g = catcher();
    assert_eq!(g.switch("ok".into()), "ok");
    assert_eq!(g.throw(Oops(1)), "caught Some(Oops(1))");
    assert!(g.dead());
}

#[test]
fn throw_carries_its_value() {
    for value in [0, 7, u32::MAX] {
        let g = catcher();
        g.switch(String::new());
        assert_eq!(g.throw(Oops(value)), format!("caught Some(Oops({value}))"));
    }
}

#[test]
fn an_uncaught_throw_comes_to_the_caller() {
    let g = Greenlet::new(|()| raw::switch_to_parent(()));
    g.switch(());
    let payload = caught(|| g.throw(Oops(3)));
    assert_eq!(payload.downcast_ref(), Some(&Oops(3)));
    assert!(g.dead());
}

#[test]
fn kill() {
    let g = Greenlet::new(|_| {
        raw::switch_to_parent("yielded");
        unreachable!()
    });
    assert_eq!(g.switch("start"), "yielded");
    assert_eq!(g.throw_exit("killed"), "killed");
    assert!(g.dead());
    // Again, now that it is dead: the value comes back, anything else is raised.
    assert_eq!(g.throw_exit("again"), "again");
    let payload = caught(|| g.throw(Oops(4)));
    assert_eq!(payload.downcast_ref(), Some(&Oops(4)));
}

#[test]
fn an_exit_can_be_caught() {
    let g = Greenlet::new(|x| {
        let payload = caught(|| raw::switch_to_parent(x));
        assert!(payload.is::<GreenletExit>());
        raw::switch_to_parent(20);
        30
    });
    assert_eq!(g.switch(10), 10);
    assert_eq!(g.throw_exit(-1), 20);
    assert!(!g.dead());
    assert_eq!(g.switch(0), 30);
}

#[test]
fn an_exit_passed_on_still_returns_its_value() {
    let g = Greenlet::new(|x| {
        let payload = caught(|| raw::switch_to_parent(x));
        resume_unwind(payload)
    });
    g.switch(10);
    assert_eq!(g.throw_exit(-1), -1);
    assert!(g.dead());
}

#[test]
fn exit_from_inside() {
    fn deep(n: u32) -> u32 {
        if n == 0 {
            raw::exit::<u32>(42)
        }
        deep(n - 1) + 1
    }
    let g = Greenlet::new(deep);
    assert_eq!(g.switch(10), 42);
    assert!(g.dead());
}

#[test]
fn an_exit_in_anothers_hands_is_a_panic() {
    let taken = Rc::new(Cell::new(None));
    let victim = Greenlet::new({
        let taken = Rc::clone(&taken);
        move |x| {
            taken.set(Some(caught(|| raw::switch_to_parent(x))));
            x
        }
    });
    victim.switch(1);
    victim.throw_exit(2);
    let payload = taken.take().unwrap();
    let other = Greenlet::new(move |x: i32| {
        // It has an exit value of its own by then, which must not be taken for this one's.
        assert!(caught(|| raw::switch_to_parent(x)).is::<GreenletExit>());
        resume_unwind(payload)
    });
    other.switch(0);
    assert!(caught(|| other.throw_exit(7)).is::<GreenletExit>());
    assert!(other.dead());
}

#[test]
fn thrown_before_the_start_nothing_runs() {
    let ran = Rc::new(Cell::new(false));
    let g = Greenlet::new({
        let ran = Rc::clone(&ran);
        move |()| ran.set(true)
    });
    assert_eq!(Rc::strong_count(&ran), 2);
    g.throw_exit(());
    assert!(g.dead() && !ran.get());
    assert_eq!(
        Rc::strong_count(&ran),
        1,
        "the closure is dropped with the end"
    );
}

#[test]
fn throw_goes_to_the_parent() {
    // Upstream `test_throw_goes_to_original_parent`, case by case.
    let main = raw::current::<&str>();
    let waits = |main: &Greenlet<&'static str>| {
        let main = main.clone();
        move |_| {
            let payload = caught(|| main.switch("f1 ready"));
            assert!(payload.is::<Oops>());
            "caught"
        }
    };

    // Both unstarted: both end, and it is raised here.
    let g1 = Greenlet::new(waits(&main));
    let g2 = Greenlet::with_parent(&g1, |_| unreachable!());
    assert!(caught(|| g2.throw(Oops(0))).is::<Oops>());
    assert!(g1.dead() && g2.dead());

    // The parent waits, the child has not started.
    let g1 = Greenlet::new(waits(&main));
    let g2 = Greenlet::with_parent(&g1, |_| unreachable!());
    assert_eq!(g1.switch(""), "f1 ready");
    assert_eq!(g2.throw(Oops(0)), "caught");
    assert!(g1.dead() && g2.dead());

    // The parent waits, the child has started.
    let g1 = Greenlet::new(waits(&main));
    let g2 = Greenlet::with_parent(&g1, {
        let main = main.clone();
        move |_| main.switch("f2 ready")
    });
    assert_eq!(g1.switch(""), "f1 ready");
    assert_eq!(g2.switch(""), "f2 ready");
    assert_eq!(g2.throw(Oops(0)), "caught");
    assert!(g1.dead() && g2.dead());
}

#[test]
fn an_exit_before_the_start_goes_to_the_parent_as_a_value() {
    let parent = Greenlet::new(|x: i32| x * 2);
    let child = Greenlet::with_parent(&parent, |_| unreachable!());
    assert_eq!(child.throw_exit(21), 42);
    assert!(parent.dead() && child.dead());
}

#[test]
fn throw_to_oneself_and_to_main() {
    assert!(caught(|| raw::main::<()>().throw(Oops(1))).is::<Oops>());
    let g = Greenlet::new(|x: i32| {
        let me = raw::current::<i32>();
        assert!(caught(|| me.throw(Oops(2))).is::<Oops>());
        drop(me);
        raw::main::<i32>().throw(Oops(3)) + x
    });
    let payload = caught(|| g.switch(1));
    assert_eq!(payload.downcast_ref(), Some(&Oops(3)));
    assert_eq!(g.switch(5), 6);
    let g = Greenlet::new(|_: i32| raw::main::<i32>().throw_exit(1));
    assert!(caught(|| g.switch(1)).is::<GreenletExit>());
}
