//! Raw greenlets: the drop of a last handle. After the `test_dealloc*` tests of greenlet's
//! `test_greenlet.py` (MIT). `GREENLET.md` says which upstream test is which.

mod support;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;

use rustlet::raw::{self, Greenlet, GreenletExit};

/// Counts its drops, and whether the thread was unwinding.
#[derive(Clone, Default)]
struct Bell(Rc<Cell<u32>>);

struct Rings(Bell);

impl Bell {
    fn hang(&self) -> Rings {
        Rings(self.clone())
    }
    fn rings(&self) -> u32 {
        self.0.get()
    }
}

impl Drop for Rings {
    fn drop(&mut self) {
        self.0.0.set(self.0.rings() + 1);
    }
}

fn suspended(bell: &Bell) -> Greenlet<()> {
    let rings = bell.hang();
    let g = Greenlet::new(move |()| {
        let _rings = rings;
        raw::switch_to_parent(());
        unreachable!("nobody switches to it again");
    });
    g.switch(());
    g
}

#[test]
fn a_suspended_greenlet_is_unwound_at_once() {
    let bell = Bell::default();
    let (one, two) = (suspended(&bell), suspended(&bell));
    drop(one);
    assert_eq!(bell.rings(), 1);
    let twin = two.clone();
    drop(two);
    assert_eq!(bell.rings(), 1);
    drop(twin);
    assert_eq!(bell.rings(), 2);
}

#[test]
fn the_unwinding_can_be_recognised() {
    let seen = Rc::new(Cell::new(false));
    let g = Greenlet::new({
        let seen = Rc::clone(&seen);
        move |()| {
            let result = catch_unwind(AssertUnwindSafe(|| raw::switch_to_parent(())));
            seen.set(result.unwrap_err().is::<GreenletExit>());
        }
    });
    g.switch(());
    drop(g);
    assert!(seen.get());
}

#[test]
fn an_unstarted_greenlet_drops_its_closure_only() {
    let bell = Bell::default();
    let rings = bell.hang();
    let g = Greenlet::new(move |()| {
        let _rings = &rings;
        unreachable!("it never starts");
    });
    drop(g);
    assert_eq!(bell.rings(), 1);
}

#[test]
fn another_panic_during_the_unwinding_is_not_the_droppers() {
    // Upstream `test_dealloc_catches_GreenletExit_throws_other`; the hook reports it, once.
    if support::is_child() {
        let g = Greenlet::new(|()| {
            let _ = catch_unwind(AssertUnwindSafe(|| raw::switch_to_parent(())));
            panic!("instead of the exit");
        });
        g.switch(());
        drop(g);
        return;
    }
    let outcome = support::child("another_panic_during_the_unwinding_is_not_the_droppers").run();
    outcome.assert_passed();
    assert_eq!(
        outcome.stderr.matches("instead of the exit").count(),
        1,
        "{outcome:?}"
    );
}

#[test]
fn the_dropper_is_the_parent_for_the_time_of_the_drop() {
    // Upstream `test_parent_restored_on_kill`: it revives itself and gets its parent back.
    let hub = Greenlet::new(|()| ());
    let seen = Rc::new(RefCell::new(Vec::new()));
    let g = Greenlet::with_parent(&hub, {
        let (hub, seen) = (hub.downgrade(), Rc::clone(&seen));
        move |()| {
            let main = raw::main::<()>();
            let _ = catch_unwind(AssertUnwindSafe(|| main.switch(())));
            let me = raw::current::<()>();
            seen.borrow_mut().push(me.parent().unwrap());
            seen.borrow_mut().push(me);
            // The hub starts, ends, and its end comes to main: into the drop.
            hub.upgrade().unwrap().switch(());
        }
    });
    g.switch(());
    drop(g);
    let mut seen = seen.take();
    assert_eq!(seen[0], raw::main());
    let revived = seen.pop().unwrap();
    assert_eq!(revived.parent(), Some(hub));
    assert!(revived.is_active());
    revived.throw_exit(());
    assert!(revived.dead());
}

#[test]
fn one_that_swallows_the_exit_is_reported_and_leaked() {
    if support::is_child() {
        let bell = Bell::default();
        let rings = bell.hang();
        let g = Greenlet::new(move |()| {
            let _rings = rings;
            loop {
                let _ = catch_unwind(AssertUnwindSafe(|| raw::switch_to_parent(())));
            }
        });
        g.switch(());
        drop(g);
        assert_eq!(bell.rings(), 0);
        return;
    }
    let outcome = support::child("one_that_swallows_the_exit_is_reported_and_leaked").run();
    outcome.assert_passed();
    assert!(
        outcome.stderr.contains("GreenletExit did not end"),
        "{outcome:?}"
    );
}

#[test]
fn a_dropper_that_is_unwinding() {
    let bell = Bell::default();
    let payload = catch_unwind(AssertUnwindSafe(|| {
        let _one = suspended(&bell);
        let _two = suspended(&bell);
        panic_any("the dropper's own");
    }));
    assert_eq!(
        payload.unwrap_err().downcast_ref(),
        Some(&"the dropper's own")
    );
    assert_eq!(bell.rings(), 2);
    assert!(!std::thread::panicking());
}

#[test]
fn greenlets_on_the_stacks_of_greenlets() {
    let bell = Bell::default();
    fn tower(depth: u32, bell: Bell) -> Greenlet<u32> {
        let g = Greenlet::new(move |x| {
            let _rings = bell.hang();
            // The inner one lies on this stack, and does not know this one: its parent is main.
            let inner = (depth > 0).then(|| tower(depth - 1, bell));
            raw::main::<u32>().switch(x);
            drop(inner);
            x
        });
        g.set_parent(&raw::main()).unwrap();
        g.switch(depth);
        g
    }
    let g = Greenlet::new({
        let bell = bell.clone();
        move |x| {
            let _rings = bell.hang();
            raw::switch_to_parent(x)
        }
    });
    g.switch(0);
    drop(g);
    assert_eq!(bell.rings(), 1);
    let bell = Bell::default();
    drop(tower(0, bell.clone()));
    assert_eq!(bell.rings(), 1);
}

#[test]
fn dropping_from_a_greenlet_comes_back_to_it() {
    let bell = Bell::default();
    let victim = suspended(&bell);
    let dropper = Greenlet::new({
        let bell = bell.clone();
        move |()| {
            drop(victim);
            assert_eq!(bell.rings(), 1);
            raw::switch_to_parent(());
        }
    });
    dropper.switch(());
    assert!(dropper.is_active());
    assert_eq!(bell.rings(), 1);
}

#[test]
fn a_value_survives_its_senders_end() {
    // Upstream `test_dealloc_switch_args_not_lost`: the sender's last handle goes in the switch.
    let bell = Bell::default();
    let slot = Rc::new(RefCell::new(None::<Greenlet<Vec<i32>>>));
    let sender = Greenlet::new({
        let (slot, rings) = (Rc::clone(&slot), bell.hang());
        move |_| {
            let _rings = rings;
            // The handle in `slot` is the only one: from now on the running loop alone holds it.
            drop(slot.take());
            raw::switch_to_parent(vec![42])
        }
    });
    *slot.borrow_mut() = Some(sender.clone());
    let weak = sender.downgrade();
    let first = move || {
        let sender = slot.borrow().clone().unwrap();
        drop(sender);
    };
    first();
    let value = { sender }.switch(vec![1]);
    assert_eq!(value, [42]);
    assert_eq!(bell.rings(), 1);
    assert!(weak.upgrade().is_none());
}

#[test]
fn dropped_in_another_context_it_is_unwound_there() {
    let bell = Bell::default();
    let g = suspended(&bell);
    rustlet::spawn_local(move || drop(g)).join().unwrap();
    assert_eq!(bell.rings(), 1);
}
