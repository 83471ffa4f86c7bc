//! Raw greenlets: switching, ends, and what a handle tells. After greenlet's `test_greenlet.py`
//! (MIT), the part about switching; parents are in `raw_parent.rs`, drops in `raw_drop.rs`.
//! `GREENLET.md` says which upstream test is which.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;

use rustlet::raw::{self, Greenlet};

/// A list that several greenlets write to.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<i32>>>);

impl Log {
    fn push(&self, value: i32) {
        self.0.borrow_mut().push(value);
    }
    fn values(&self) -> Vec<i32> {
        self.0.borrow().clone()
    }
}

fn caught<R>(f: impl FnOnce() -> R) -> Box<dyn std::any::Any + Send> {
    catch_unwind(AssertUnwindSafe(f)).err().expect("it panics")
}

#[test]
fn simple() {
    let log = Log::default();
    let g = Greenlet::new({
        let log = log.clone();
        move |()| {
            log.push(1);
            raw::switch_to_parent(());
            log.push(3);
        }
    });
    log.push(0);
    g.switch(());
    log.push(2);
    g.switch(());
    log.push(4);
    assert_eq!(log.values(), [0, 1, 2, 3, 4]);
    assert!(g.dead());
}

#[test]
fn parent_is_the_creator_not_the_first_to_switch() {
    let made = Rc::new(RefCell::new(None));
    let creator = Greenlet::new({
        let made = Rc::clone(&made);
        move |x: i32| {
            *made.borrow_mut() = Some(Greenlet::new(|x: i32| x * 10));
            let back = raw::switch_to_parent(x);
            assert_eq!(back, 50);
            back + 1
        }
    });
    assert_eq!(creator.switch(1), 1);
    let child = made.borrow_mut().take().unwrap();
    assert_eq!(child.parent(), Some(creator.clone()));
    // The child's result goes to the creator, whose result comes here.
    assert_eq!(child.switch(5), 51);
    assert!(child.dead() && creator.dead());
}

#[test]
fn two_children() {
    let log = Log::default();
    let child = |log: &Log| {
        let log = log.clone();
        Greenlet::new(move |()| {
            log.push(1);
            raw::switch_to_parent(());
            log.push(2);
        })
    };
    let (g, h) = (child(&log), child(&log));
    g.switch(());
    assert_eq!(log.values().len(), 1);
    h.switch(());
    assert_eq!(log.values().len(), 2);
    h.switch(());
    assert_eq!(log.values().len(), 3);
    assert!(h.dead() && !g.dead());
    g.switch(());
    assert_eq!(log.values(), [1, 1, 2, 2]);
    assert!(g.dead());
}

#[test]
fn two_recursive_children() {
    let log = Log::default();
    let body = Rc::new({
        let log = log.clone();
        move || {
            log.push(1);
            raw::switch_to_parent(());
        }
    });
    let before = Rc::strong_count(&body);
    let g = Greenlet::new({
        let (log, body) = (log.clone(), Rc::clone(&body));
        move |()| {
            log.push(0);
            let inner = Greenlet::new(move |()| body());
            inner.switch(());
            log.push(2);
        }
    });
    g.switch(());
    assert_eq!(log.values(), [0, 1, 2]);
    // The grandchild was dropped with its creator's frame, and its closure with it.
    assert_eq!(Rc::strong_count(&body), before);
}

#[test]
fn threads_have_families_of_their_own() {
    let threads: Vec<_> = (0..10).map(|_| std::thread::spawn(simple)).collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn greenlets_of_two_threads_block_their_own_thread_only() {
    let (ours, theirs) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
    let other = std::thread::spawn(move || {
        let g = Greenlet::new(move |()| {
            assert_eq!(ours.1.recv(), Ok(1));
            theirs.0.send(2).unwrap();
        });
        g.switch(());
    });
    let g = Greenlet::new(move |()| {
        ours.0.send(1).unwrap();
        assert_eq!(theirs.1.recv(), Ok(2));
    });
    g.switch(());
    other.join().unwrap();
}

#[test]
fn current_and_main() {
    let main = raw::current::<Option<bool>>();
    assert!(main.is_main() && main.is_current() && main.is_active());
    assert_eq!(main, raw::main());
    assert_eq!(main.parent(), None);
    let g = Greenlet::new({
        let main = main.clone();
        move |_| {
            assert_eq!(raw::main::<Option<bool>>(), main);
            Some(!main.is_current() && !raw::current::<Option<bool>>().is_main())
        }
    });
    assert_eq!(g.switch(None), Some(true));
}

#[test]
fn new_greenlet_runs_its_closure() {
    assert_eq!(Greenlet::new(|_| -15).switch(0), -15);
}

#[test]
fn a_switch_to_oneself_returns_the_value() {
    assert_eq!(raw::main().switch(7), 7);
    let g = Greenlet::new(|x| {
        let me = raw::current::<i32>();
        me.switch(x) + 1
    });
    assert_eq!(g.switch(1), 2);
}

#[test]
fn a_switch_to_a_dead_one_returns_the_value() {
    let g = Greenlet::new(|x: String| x);
    assert_eq!(g.switch("first".into()), "first");
    assert_eq!(g.switch("second".into()), "second");
    assert!(g.dead() && g.started() && !g.is_active());
}

#[test]
fn a_panic_goes_to_the_current_parent() {
    // Upstream `test_exception`: g1 raises into g2's parent chain as it is now, not as it was.
    let g1 = Greenlet::new(|()| {
        raw::switch_to_parent(());
        panic_any(1);
    });
    let g2 = Greenlet::new(|()| {
        raw::switch_to_parent(());
        panic_any(2);
    });
    g1.switch(());
    g2.switch(());
    g2.set_parent(&g1).unwrap();
    // g2's panic is raised in g1, where nobody catches it, and so comes here.
    let payload = caught(|| g2.switch(()));
    assert_eq!(payload.downcast_ref(), Some(&2));
    assert!(g1.dead() && g2.dead());
    g2.switch(());
}

#[test]
fn a_panic_is_caught_where_the_parent_waits() {
    let g = Greenlet::new(|x: i32| if x == 0 { panic_any("zero") } else { x });
    let caught = caught(|| g.switch(0));
    assert_eq!(caught.downcast_ref(), Some(&"zero"));
    assert!(g.dead());
}

#[test]
fn debug_shows_pythons_flags() {
    let main = raw::current::<i32>();
    assert_eq!(
        format!("{main:?}"),
        "Greenlet(#0 current active started main)"
    );
    let g = Greenlet::new({
        let main = main.clone();
        move |x| {
            assert_eq!(
                format!("{main:?}"),
                "Greenlet(#0 suspended active started main)"
            );
            let me = format!("{:?}", raw::current::<i32>());
            assert!(me.ends_with(" current active started)"), "{me}");
            raw::switch_to_parent(x)
        }
    });
    let id = g.id();
    assert_eq!(format!("{g:?}"), format!("Greenlet({id} pending)"));
    assert!(!g.started() && !g.is_active() && !g.dead());
    g.switch(1);
    assert_eq!(
        format!("{g:?}"),
        format!("Greenlet({id} suspended active started)")
    );
    assert!(g.started() && g.is_active() && !g.is_current());
    g.switch(1);
    assert_eq!(format!("{g:?}"), format!("Greenlet({id} dead)"));
}

#[test]
fn panicking_is_nobodys_but_ones_own() {
    // Upstream `test_exc_state`: what is being handled in one greenlet does not show in another.
    let g = Greenlet::new(|()| {
        assert!(!std::thread::panicking());
        let payload = caught(|| panic_any("inner"));
        assert_eq!(payload.downcast_ref(), Some(&"inner"));
        raw::switch_to_parent(());
        assert!(!std::thread::panicking());
        drop(payload);
    });
    let outer = caught(|| panic_any("outer"));
    g.switch(());
    assert!(!std::thread::panicking());
    g.switch(());
    assert_eq!(outer.downcast_ref(), Some(&"outer"));
}

#[test]
fn a_closure_that_switches_when_dropped() {
    // Upstream `test_reentrant_switch_run_callable_has_del`.
    struct Switches(Rc<Cell<u32>>);
    impl Drop for Switches {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            raw::switch_to_parent(10);
            self.0.set(self.0.get() + 1);
        }
    }
    let drops = Rc::new(Cell::new(0));
    let switches = Switches(Rc::clone(&drops));
    let g = Greenlet::new(move |x: i32| {
        let _used = &switches;
        x
    });
    assert_eq!(g.switch(1), 10);
    assert_eq!((drops.get(), g.dead()), (1, false));
    assert_eq!(g.switch(2), 1);
    assert_eq!((drops.get(), g.dead()), (2, true));
}

#[test]
fn switches_from_nested_destructors() {
    // Upstream `test_greenlet_trash.py`, gevent #1909.
    struct Nested(u32, Option<Box<Nested>>);
    impl Drop for Nested {
        fn drop(&mut self) {
            let back = raw::switch_to_parent(self.0);
            assert_eq!(back, self.0);
            drop(self.1.take());
        }
    }
    const DEPTH: u32 = 100;
    let tree = || {
        let chain = (0..DEPTH).fold(None, |inner, i| Some(Box::new(Nested(i, inner))));
        Greenlet::new(move |x: u32| {
            drop(chain);
            x
        })
    };
    let (a, b) = (tree(), tree());
    let (mut x, mut y) = (a.switch(1000), b.switch(2000));
    for i in (0..DEPTH).rev() {
        assert_eq!((x, y), (i, i));
        (x, y) = (a.switch(x), b.switch(y));
    }
    assert_eq!((x, y), (1000, 2000));
}

#[test]
fn switches_from_deep_frames() {
    // Upstream `test_get_stack_with_nested_c_calls`.
    fn recurse(n: u32) -> u32 {
        if n > 0 {
            recurse(n - 1) + raw::switch_to_parent(n)
        } else {
            0
        }
    }
    let g = Greenlet::new(|_| recurse(12));
    let mut got = g.switch(0);
    let mut switches = 0;
    while !g.dead() {
        got = g.switch(100);
        switches += 1;
    }
    assert_eq!((got, switches), (1200, 12));
}

#[test]
fn a_lock_held_over_a_switch_stays_held() {
    let lock = Rc::new(std::sync::Mutex::new(0));
    let g = Greenlet::new({
        let lock = Rc::clone(&lock);
        move |()| {
            let mut value = lock.lock().unwrap();
            raw::switch_to_parent(());
            *value += 1;
        }
    });
    g.switch(());
    assert!(lock.try_lock().is_err());
    g.switch(());
    assert_eq!(*lock.try_lock().unwrap(), 1);
}

#[test]
fn values_of_any_size_travel() {
    let g = Greenlet::new(|mut block: [u64; 256]| {
        loop {
            block[0] += 1;
            block = raw::switch_to_parent(block);
        }
    });
    for i in 0..10 {
        let block = g.switch([i; 256]);
        assert_eq!((block[0], block[255]), (i + 1, i));
    }
    let strings = Greenlet::new(|s: String| raw::switch_to_parent(s + "!") + "?");
    assert_eq!(strings.switch("a".into()), "a!");
    assert_eq!(strings.switch("b".into()), "b?");
}

#[test]
fn small_and_large_stacks() {
    let small = Greenlet::with_stack_size(16 * 1024, |x: u32| x + 1).unwrap();
    assert_eq!(small.switch(1), 2);
    let large = Greenlet::with_stack_size(4 << 20, |x: u32| {
        let block = std::hint::black_box([1_u8; 1 << 20]);
        x + u32::from(block[x as usize])
    });
    assert_eq!(large.unwrap().switch(1), 2);
    let error = Greenlet::with_stack_size(usize::MAX, |x: u32| x).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn no_switch_while_unwinding() {
    struct Switches(Greenlet<i32>, Rc<RefCell<String>>);
    impl Drop for Switches {
        fn drop(&mut self) {
            let payload = caught(|| self.0.switch(1));
            *self.1.borrow_mut() = (*payload.downcast_ref::<&str>().unwrap()).into();
        }
    }
    let said = Rc::new(RefCell::new(String::new()));
    let g = Greenlet::new(|x| x);
    let switches = Switches(g.clone(), Rc::clone(&said));
    caught(move || {
        let _switches = switches;
        panic_any("first");
    });
    assert!(
        said.borrow().contains("while the thread unwinds"),
        "{said:?}"
    );
    assert!(!g.started());
}
