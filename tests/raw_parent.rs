//! Raw greenlets: who is whose parent, and where ends go. After greenlet's `test_greenlet.py`
//! (MIT), the part about parents. `GREENLET.md` says which upstream test is which.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};

use rustlet::raw::{self, Greenlet, SetParentError};

fn caught<R>(f: impl FnOnce() -> R) -> Box<dyn std::any::Any + Send> {
    catch_unwind(AssertUnwindSafe(f)).err().expect("it panics")
}

#[test]
fn set_parent_then_switch_to_it() {
    // Upstream `test_setparent`: foo reparents bar to itself, and bar's end comes to foo.
    let bar = Greenlet::new(|x: i32| raw::switch_to_parent(x) + 1);
    let foo = Greenlet::new({
        let bar = bar.clone();
        move |x| {
            bar.set_parent(&raw::current()).unwrap();
            assert_eq!(bar.switch(x + 1), x + 1);
            bar.switch(10) * 2
        }
    });
    assert_eq!(foo.switch(0), 22);
    assert!(foo.dead() && bar.dead());
}

#[test]
fn cycles_are_refused() {
    let main = raw::current::<()>();
    let a = Greenlet::new(|()| ());
    assert_eq!(a.set_parent(&a), Err(SetParentError::Cycle));
    let b = Greenlet::with_parent(&a, |()| ());
    let c = Greenlet::with_parent(&b, |()| ());
    assert_eq!(a.set_parent(&c), Err(SetParentError::Cycle));
    assert_eq!(a.parent(), Some(main.clone()));
    assert_eq!(c.set_parent(&main), Ok(()));
    assert_eq!(a.set_parent(&c), Ok(()));
    assert_eq!(c.set_parent(&b), Err(SetParentError::Cycle));
}

#[test]
fn mains_parent_cannot_be_set() {
    let main = raw::main::<()>();
    let g = Greenlet::new(|()| ());
    assert_eq!(main.set_parent(&g), Err(SetParentError::Main));
    assert_eq!(main.set_parent(&main), Err(SetParentError::Main));
    assert!(SetParentError::Cycle.to_string().contains("cyclic"));
    let payload = caught(|| raw::switch_to_parent(1_u8));
    let text = payload.downcast_ref::<String>().unwrap();
    assert!(text.contains("a main greenlet has no parent"), "{text}");
}

#[test]
fn an_end_starts_an_unstarted_parent() {
    // Upstream `test_falling_off_end_switches_to_unstarted_parent_works`.
    let parent = Greenlet::new(|x: Vec<i32>| {
        let mut x = x;
        x.push(24);
        x
    });
    let child = Greenlet::with_parent(&parent, |x| {
        assert_eq!(x, [1]);
        vec![42]
    });
    assert_eq!(child.switch(vec![1]), [42, 24]);
    assert!(parent.dead() && child.dead());
}

#[test]
fn an_unstarted_parent_that_panics() {
    // Upstream `test_falling_off_end_switches_to_unstarted_parent_raises_error` and
    // `test_parent_return_failure`: what goes wrong in the parent's start comes to the resumer.
    let parent = Greenlet::new(|_: i32| panic_any("cannot start"));
    let child = Greenlet::with_parent(&parent, |x| x);
    let payload = caught(|| child.switch(1));
    assert_eq!(payload.downcast_ref(), Some(&"cannot start"));
    assert!(parent.dead() && child.dead());
    assert_eq!(child.switch(3), 3);
}

#[test]
fn a_dead_child_starts_its_unstarted_parents_one_after_another() {
    // Upstream `test_switch_to_dead_greenlet_with_unstarted_perverse_parent`, which raises twice.
    let child = Greenlet::new(|x: i32| x);
    child.switch(0);
    for round in 0..2 {
        let parent = Greenlet::new(move |x: i32| panic_any((round, x)));
        child.set_parent(&parent).unwrap();
        let payload = caught(|| child.switch(7));
        assert_eq!(payload.downcast_ref(), Some(&(round, 7)));
    }
}

#[test]
fn a_dead_child_reparented_to_an_unstarted_one() {
    // Upstream `test_switch_to_dead_greenlet_reparent`.
    let child = Greenlet::new(|x: i32| x);
    assert_eq!(child.switch(1), 1);
    let parent = Greenlet::new(|x: i32| x * 2);
    child.set_parent(&parent).unwrap();
    assert_eq!(child.switch(21), 42);
    assert!(parent.dead());
    assert_eq!(child.switch(5), 5);
}

#[test]
fn ends_pass_over_dead_ancestors() {
    let a = Greenlet::new(|x: i32| x);
    let b = Greenlet::with_parent(&a, |x: i32| x);
    let c = Greenlet::with_parent(&b, |x: i32| x + 1);
    a.switch(0);
    b.switch(0);
    assert!(a.dead() && b.dead());
    assert_eq!(c.switch(1), 2);
}

#[test]
fn greenlets_of_another_context_are_refused() {
    let kept = std::rc::Rc::new(std::cell::RefCell::new(None));
    let g = Greenlet::new(|x: i32| raw::switch_to_parent(x));
    g.switch(0);
    *kept.borrow_mut() = Some(g.clone());
    let other = rustlet::spawn_local({
        let kept = std::rc::Rc::clone(&kept);
        move || {
            let theirs = kept.borrow_mut().take().unwrap();
            let payload = caught(|| theirs.switch(1));
            let text = payload.downcast_ref::<String>().unwrap();
            assert!(text.contains("belongs to another context"), "{text}");
            let ours = Greenlet::new(|x: i32| x + 1);
            assert_eq!(ours.set_parent(&theirs), Err(SetParentError::OtherContext));
            assert_eq!(ours.switch(1), 2);
        }
    });
    other.join().unwrap();
    assert_eq!(g.switch(3), 3);
}
