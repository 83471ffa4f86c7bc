//! Raw greenlets: what is left behind, which is nothing. After greenlet's `test_leaks.py`, and
//! `test_dead_circular_ref` of `test_gc.py` (MIT).

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rustlet::raw::{self, Greenlet};

#[test]
fn values_are_neither_lost_nor_kept() {
    let token = Rc::new(());
    let g = Greenlet::new(|mut x: Option<Rc<()>>| {
        loop {
            x = raw::switch_to_parent(x);
        }
    });
    for _ in 0..100 {
        assert!(g.switch(Some(Rc::clone(&token))).is_some());
        assert_eq!(Rc::strong_count(&token), 1);
    }
    // One that stays inside goes with the greenlet.
    let keeper = Greenlet::new(|x: Option<Rc<()>>| {
        let _kept = x;
        raw::switch_to_parent(None)
    });
    keeper.switch(Some(Rc::clone(&token)));
    assert_eq!(Rc::strong_count(&token), 2);
    drop(keeper);
    assert_eq!(Rc::strong_count(&token), 1);
}

#[test]
fn an_exit_value_is_dropped_with_its_greenlet() {
    let token = Rc::new(());
    let g = Greenlet::new(|x: Rc<()>| {
        let _ = std::panic::catch_unwind(|| raw::switch_to_parent(()));
        x
    });
    // Never started: the value goes through.
    drop(g.throw_exit(Rc::clone(&token)));
    drop(g);
    // Caught: the value stays behind, until the greenlet goes.
    let g = Greenlet::new(|x: Rc<()>| {
        let caught =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| raw::switch_to_parent(x)));
        assert!(caught.is_err());
        Rc::new(())
    });
    drop(g.switch(Rc::clone(&token)));
    g.throw_exit(Rc::clone(&token));
    assert!(g.dead());
    drop(g);
    assert_eq!(Rc::strong_count(&token), 1);
}

#[test]
fn a_dead_greenlet_that_holds_its_own_result() {
    // Upstream `test_dead_circular_ref`: with a counted pointer the circle must be opened by hand,
    // and a dead greenlet holds nothing else.
    let slot = Rc::new(RefCell::new(None::<Greenlet<u8>>));
    let g = Greenlet::new({
        let slot = Rc::clone(&slot);
        move |x| {
            *slot.borrow_mut() = Some(raw::current());
            x
        }
    });
    g.switch(1);
    let weak = g.downgrade();
    drop(g);
    assert_eq!(
        Rc::strong_count(&slot),
        1,
        "the closure has gone with the end"
    );
    drop(slot);
    assert!(weak.upgrade().is_none());
}

#[test]
fn threads_that_end_leave_nothing() {
    struct Count<'a>(&'a std::sync::atomic::AtomicU32);
    impl Drop for Count<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    static DROPS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let threads: Vec<_> = (0..10)
        .map(|_| {
            std::thread::spawn(|| {
                for finished in [true, false] {
                    let count = Count(&DROPS);
                    let g = Greenlet::new(move |()| {
                        let _count = count;
                        if !finished {
                            raw::switch_to_parent(());
                        }
                    });
                    g.switch(());
                    assert!(raw::current::<()>().is_main());
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(DROPS.load(std::sync::atomic::Ordering::Relaxed), 20);
}

/// Runs `round` three times to warm up and three times more; memory must not have grown by 3 MiB.
fn stays_the_same(round: impl Fn()) {
    (0..3).for_each(|_| round());
    let before = support::rss_bytes();
    (0..3).for_each(|_| round());
    let after = support::rss_bytes();
    assert!(
        after < before + (3 << 20),
        "{before} bytes before, {after} after"
    );
}

#[test]
fn memory_of_finished_ones_does_not_grow() {
    if support::is_child() {
        return stays_the_same(|| {
            for i in 0..10_000 {
                assert_eq!(Greenlet::new(|x: u32| x).switch(i), i);
            }
        });
    }
    support::child("memory_of_finished_ones_does_not_grow")
        .run()
        .assert_passed();
}

#[test]
fn memory_of_dropped_ones_does_not_grow() {
    // Upstream drops 20,000 that have not finished; here 4,000 live at a time, three rounds.
    const LIVE: u32 = 4_000;
    if support::is_child() {
        struct Counts(Rc<Cell<u32>>);
        impl Drop for Counts {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        return stays_the_same(|| {
            let unwound = Rc::new(Cell::new(0));
            let greenlets: Vec<_> = (0..LIVE)
                .map(|_| {
                    let counts = Counts(Rc::clone(&unwound));
                    let g = Greenlet::new(move |()| {
                        let _counts = counts;
                        raw::switch_to_parent(());
                    });
                    g.switch(());
                    g
                })
                .collect();
            assert_eq!(unwound.get(), 0);
            drop(greenlets);
            assert_eq!(unwound.get(), LIVE);
        });
    }
    support::child("memory_of_dropped_ones_does_not_grow")
        .run()
        .assert_passed();
}
