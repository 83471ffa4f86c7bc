//! Raw greenlets: weak handles. After greenlet's `test_weakref.py` (MIT).

use std::cell::RefCell;
use std::rc::Rc;

use rustlet::raw::{self, Greenlet, WeakGreenlet};

#[test]
fn to_a_dead_one() {
    let g = Greenlet::new(|()| ());
    g.switch(());
    let weak = g.downgrade();
    assert_eq!(weak.upgrade(), Some(g.clone()));
    drop(g);
    assert!(weak.upgrade().is_none());
}

#[test]
fn to_one_that_never_started() {
    let g = Greenlet::new(|()| ());
    let weak = g.downgrade();
    drop(g);
    assert!(weak.upgrade().is_none());
}

#[test]
fn to_a_suspended_one() {
    let g = Greenlet::new(|()| raw::switch_to_parent(()));
    g.switch(());
    let weak = g.downgrade();
    drop(g);
    assert!(weak.clone().upgrade().is_none());
}

#[test]
fn gone_when_its_drop_ends_its_parent() {
    // Upstream `test_dealloc_weakref`: the parent lives by its child alone, and is unwound when the
    // child goes; by then the child is gone.
    struct Looks(
        Rc<RefCell<Option<WeakGreenlet<()>>>>,
        Rc<RefCell<Vec<bool>>>,
    );
    impl Drop for Looks {
        fn drop(&mut self) {
            let child = self.0.borrow().as_ref().and_then(WeakGreenlet::upgrade);
            self.1.borrow_mut().push(child.is_none());
        }
    }
    let (child, seen) = (Rc::default(), Rc::default());
    let looks = Looks(Rc::clone(&child), Rc::clone(&seen));
    let parent = Greenlet::new(move |()| {
        let _looks = looks;
        raw::switch_to_parent(());
    });
    parent.switch(());
    let g = Greenlet::with_parent(&parent, |()| ());
    drop(parent);
    assert!(seen.borrow().is_empty());
    *child.borrow_mut() = Some(g.downgrade());
    drop(g);
    assert_eq!(*seen.borrow(), [true]);
}

#[test]
fn to_main() {
    assert_eq!(raw::main::<()>().downgrade().upgrade(), Some(raw::main()));
}
