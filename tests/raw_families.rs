//! Raw greenlets of several value types in one another, and in scheduled greenlets.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;

use rustlet::raw::{self, Greenlet};

#[test]
fn the_code_of_one_family_is_the_main_of_another() {
    let a = Greenlet::new(|x: u8| {
        assert!(raw::main::<u16>().is_current());
        let b = Greenlet::new(|x: u16| {
            assert!(!raw::current::<u8>().is_main());
            raw::switch_to_parent(x + 1) + 1
        });
        let back = b.switch(u16::from(x));
        raw::switch_to_parent(back as u8);
        b.switch(back) as u8
    });
    assert_eq!(a.switch(1), 2);
    assert_eq!(a.switch(0), 3);
}

#[test]
fn a_switch_from_further_in_leaves_the_whole_chain() {
    let a = Greenlet::new(|x: u8| {
        // From inside a `u16` on top of this `u8`, both are left and come back together.
        let b = Greenlet::new(|x: u16| {
            let back = raw::switch_to_parent(x as u8 + 1);
            u16::from(back) * 2
        });
        b.switch(u16::from(x)) as u8
    });
    assert_eq!(a.switch(1), 2);
    assert!(a.is_active() && raw::main::<u16>().is_current());
    assert_eq!(a.switch(21), 42);
}

#[test]
fn a_greenlet_in_the_middle_of_a_chain_is_not_resumed_from_elsewhere() {
    let inner = Greenlet::new(|x: u16| {
        raw::switch_to_parent(1_u8);
        x + 1
    });
    let outer = Greenlet::new({
        let inner = inner.clone();
        move |_: u8| inner.switch(7) as u8
    });
    assert_eq!(outer.switch(0), 1);
    let payload = catch_unwind(AssertUnwindSafe(|| inner.switch(0))).unwrap_err();
    let text = payload.downcast_ref::<String>().unwrap();
    assert!(text.contains("in the middle of a switch"), "{text}");
    assert_eq!(outer.switch(0), 8);
    assert!(inner.dead() && outer.dead());
}

#[test]
fn two_roots_of_one_family_do_not_mix_values() {
    // Each `u8` greenlet is a root of the `u16` family, and is left in the middle of using it.
    let root = |step: u16| {
        Greenlet::new(move |_: u8| {
            let counter = Greenlet::new(move |mut x: u16| {
                loop {
                    raw::switch_to_parent((x & 0xff) as u8);
                    x = raw::main::<u16>().switch(x + step);
                }
            });
            let mut x = 0;
            for _ in 0..10 {
                x = counter.switch(x);
            }
            assert_eq!(x, 10 * step);
            255
        })
    };
    let (a, b) = (root(1), root(3));
    for i in 0..10 {
        assert_eq!((a.switch(0), b.switch(0)), (i, 3 * i));
    }
    assert_eq!((a.switch(0), b.switch(0)), (255, 255));
}

#[test]
fn an_outer_greenlets_exit_unwinds_the_inner_ones() {
    struct Notes(Rc<RefCell<Vec<&'static str>>>, &'static str);
    impl Drop for Notes {
        fn drop(&mut self) {
            self.0.borrow_mut().push(self.1);
        }
    }
    let log = Rc::new(RefCell::new(Vec::new()));
    let outer = Greenlet::new({
        let log = Rc::clone(&log);
        move |x: u8| {
            let _outer = Notes(Rc::clone(&log), "outer");
            let inner = Greenlet::new(move |x: u16| {
                let _inner = Notes(log, "inner");
                u16::from(raw::switch_to_parent(x as u8))
            });
            inner.switch(u16::from(x)) as u8
        }
    });
    outer.switch(1);
    assert_eq!(outer.throw_exit(9), 9);
    assert_eq!(*log.borrow(), ["inner", "outer"]);
    assert!(outer.dead());
}

#[test]
fn scheduled_greenlets_park_with_all_that_runs_on_them() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let tasks: Vec<_> = (0..3_u32)
        .map(|task| {
            let log = Rc::clone(&log);
            rustlet::spawn_local(move || {
                let a = Greenlet::new(move |mut x: u32| {
                    loop {
                        log.borrow_mut().push((x, task));
                        rustlet::yield_now();
                        assert!(raw::current::<u32>().is_active());
                        x = raw::switch_to_parent(x + 1);
                    }
                });
                (0..3).fold(0, |x, _| a.switch(x))
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.join().unwrap(), 3);
    }
    let rounds = (0..3).flat_map(|x| (0..3).map(move |task| (x, task)));
    assert!(log.borrow().iter().copied().eq(rounds), "{log:?}");
}

#[test]
fn a_kill_of_the_scheduled_greenlet_unwinds_through_the_raw_ones() {
    struct Rings(Rc<RefCell<u32>>);
    impl Drop for Rings {
        fn drop(&mut self) {
            *self.0.borrow_mut() += 1;
        }
    }
    let rung = Rc::new(RefCell::new(0));
    let task = rustlet::spawn_local({
        let rung = Rc::clone(&rung);
        move || {
            let _outer = Rings(Rc::clone(&rung));
            let g = Greenlet::new(move |()| {
                let _inner = Rings(rung);
                loop {
                    rustlet::yield_now();
                }
            });
            g.switch(());
        }
    });
    rustlet::yield_now();
    rustlet::yield_now();
    let _ = task.kill();
    assert!(task.join().is_err());
    assert_eq!(*rung.borrow(), 2);
}

#[test]
fn native_panics_in_four_interleaved_greenlets() {
    // Upstream `test_exception_switch`: each catches its own.
    let greenlets: Vec<_> = (0..4_u32)
        .map(|n| {
            Greenlet::new(move |x: u32| {
                raw::switch_to_parent(x);
                let caught = catch_unwind(|| {
                    raw::switch_to_parent(n);
                    panic_any(n);
                });
                // Left while the payload is in hand.
                raw::switch_to_parent(n);
                *caught.unwrap_err().downcast::<u32>().unwrap()
            })
        })
        .collect();
    for _ in 0..2 {
        greenlets.iter().for_each(|g| assert!(g.switch(0) < 4));
    }
    for (n, g) in greenlets.iter().enumerate() {
        assert_eq!(g.switch(100), n as u32);
    }
    for (n, g) in greenlets.iter().enumerate().rev() {
        assert_eq!(g.switch(100), n as u32);
        assert!(g.dead());
    }
}

#[test]
fn a_panic_handled_in_one_while_another_runs_leaks_nothing() {
    // Upstream `test_leak_test_exception_switch_and_do_in_g2`.
    let token = Rc::new(());
    for _ in 0..100 {
        let g2 = Greenlet::new({
            let token = Rc::clone(&token);
            move |()| drop(token)
        });
        let g1 = Greenlet::new({
            let token = Rc::clone(&token);
            move |()| {
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    let _token = token;
                    std::panic::resume_unwind(Box::new(1));
                }));
                g2.switch(());
                drop(caught);
            }
        });
        g1.switch(());
    }
    assert_eq!(Rc::strong_count(&token), 1);
}

#[test]
fn what_is_scheduled_from_inside_a_raw_greenlet_runs_outside_of_it() {
    // The thread's own code blocks inside a raw greenlet, so the hub runs on that one's stack.
    let g = Greenlet::new(|x: u64| {
        let task = rustlet::spawn_local(move || {
            assert!(raw::current::<u64>().is_main());
            let inner = Greenlet::new(|x: u64| raw::switch_to_parent(x + 1));
            assert_eq!(inner.parent(), Some(raw::main()));
            inner.switch(x)
        });
        task.join().unwrap() + 1
    });
    assert_eq!(g.switch(1), 3);
    assert!(g.dead());
}

#[test]
fn an_end_whose_parent_is_in_the_middle_of_a_chain_goes_to_main() {
    let inner = Greenlet::new(|x: u16| {
        raw::switch_to_parent(1_u8);
        x + 1
    });
    let outer = Greenlet::new({
        let inner = inner.clone();
        move |_: u8| inner.switch(7) as u8
    });
    assert_eq!(outer.switch(0), 1);
    // `inner` waits for a `u8`. A `u16` cannot be given to it, so its child's end is an error, and main's.
    let child = Greenlet::with_parent(&inner, |x: u16| x);
    let payload = catch_unwind(AssertUnwindSafe(|| child.switch(3))).unwrap_err();
    let text = payload.downcast_ref::<String>().unwrap();
    assert!(
        text.contains("ended, but its parent") && text.contains("in the middle of a switch"),
        "{text}"
    );
    assert!(child.dead());
    assert_eq!(outer.switch(0), 8);
    assert!(inner.dead() && outer.dead());
}
