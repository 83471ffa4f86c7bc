//! Raw greenlets that are suspended when a thread or the process ends. After greenlet's
//! `test_interpreter_shutdown.py` (MIT). Each case is a process of its own, whose end is the test.

mod support;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustlet::raw::{self, Greenlet};

/// Runs the test of this name in a child, which is to end well and to print `lines` on standard error.
fn ends_well(test: &str, in_child: impl FnOnce(), lines: usize) {
    if support::is_child() {
        return in_child();
    }
    let outcome = support::child(test).run();
    outcome.assert_passed();
    assert_eq!(
        outcome.stderr.matches("unwound\n").count(),
        lines,
        "{outcome:?}"
    );
}

/// Says so when it is unwound.
struct Tells;
impl Drop for Tells {
    fn drop(&mut self) {
        // `eprintln!` uses a thread-local that may be gone by now.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"unwound\n");
    }
}

fn suspended() -> Greenlet<u32> {
    let g = Greenlet::new(|x| {
        let _tells = Tells;
        raw::switch_to_parent(x)
    });
    g.switch(1);
    g
}

thread_local! {
    static KEPT: RefCell<Vec<Greenlet<u32>>> = const { RefCell::new(Vec::new()) };
}

#[inline(never)]
fn keep(greenlets: impl IntoIterator<Item = Greenlet<u32>>) {
    KEPT.with(|kept| kept.borrow_mut().extend(greenlets));
}

#[test]
fn exit_with_one_suspended() {
    ends_well(
        "exit_with_one_suspended",
        || {
            let _live = suspended();
            // The process ends here: no unwinding, as for any other local of `main`.
            std::process::exit(0);
        },
        0,
    );
}

#[test]
fn exit_with_ten_suspended() {
    ends_well(
        "exit_with_ten_suspended",
        || {
            // On the stack: `exit` runs the destructors of this thread's locals.
            let _live: Vec<_> = (0..10).map(|_| suspended()).collect();
            std::process::exit(0);
        },
        0,
    );
}

#[test]
fn exit_with_a_chain_of_parents_suspended() {
    ends_well(
        "exit_with_a_chain_of_parents_suspended",
        || {
            fn nest(depth: u32, main: Greenlet<u32>) -> u32 {
                let _tells = Tells;
                if depth == 0 {
                    return main.switch(0);
                }
                Greenlet::new(move |depth| nest(depth, main)).switch(depth - 1)
            }
            let g = Greenlet::new(|depth| nest(depth, raw::main()));
            g.switch(10);
            std::process::exit(0);
        },
        0,
    );
}

#[test]
fn exit_with_greenlets_of_other_threads_suspended() {
    ends_well(
        "exit_with_greenlets_of_other_threads_suspended",
        || {
            let (ready, wait) = std::sync::mpsc::channel();
            for _ in 0..3 {
                let ready = ready.clone();
                std::thread::spawn(move || {
                    let _live = suspended();
                    ready.send(()).unwrap();
                    std::thread::park();
                });
            }
            (0..3).for_each(|_| wait.recv().unwrap());
            std::process::exit(0);
        },
        0,
    );
}

#[test]
fn a_thread_that_ends_unwinds_what_it_holds() {
    ends_well(
        "a_thread_that_ends_unwinds_what_it_holds",
        || {
            std::thread::spawn(|| keep([suspended()])).join().unwrap();
            std::thread::spawn(|| drop(suspended())).join().unwrap();
        },
        2,
    );
}

#[test]
fn fifty_with_cleanup_in_any_order() {
    ends_well(
        "fifty_with_cleanup_in_any_order",
        || {
            std::thread::spawn(|| keep((0..50).map(|_| suspended())))
                .join()
                .unwrap();
        },
        50,
    );
}

#[test]
fn suspended_with_a_caught_panic_in_hand() {
    // Upstream `test_greenlet_with_traceback_at_shutdown`.
    ends_well(
        "suspended_with_a_caught_panic_in_hand",
        || {
            let thread = std::thread::spawn(|| {
                let g = Greenlet::new(|x| {
                    let _tells = Tells;
                    let payload = catch_unwind(|| std::panic::panic_any(5_u32)).unwrap_err();
                    let back = raw::switch_to_parent(x);
                    back + payload.downcast_ref::<u32>().unwrap()
                });
                g.switch(1);
                keep([g]);
            });
            thread.join().unwrap();
        },
        1,
    );
}

/// Uses raw greenlets in the destructor of a thread-local that is older than any of ours, and so is
/// destroyed after the thread's own ones of this library.
struct Late(u32);
impl Drop for Late {
    fn drop(&mut self) {
        assert!(raw::current::<u32>().is_main());
        assert!(raw::current::<u8>().is_current());
        let greenlets: Vec<_> = (0..self.0).map(|_| suspended()).collect();
        for (i, g) in greenlets.iter().enumerate() {
            assert_eq!(g.switch(i as u32), i as u32);
            assert!(g.dead());
        }
        drop(suspended());
        let caught = catch_unwind(AssertUnwindSafe(|| {
            Greenlet::new(|_: u32| std::panic::resume_unwind(Box::new(3_u8))).switch(0)
        }));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&3_u8));
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"late\n");
    }
}

thread_local! {
    static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
}

#[inline(never)]
fn arrange_late(greenlets: u32) {
    LATE.with(|late| *late.borrow_mut() = Some(Late(greenlets)));
}

fn late(test: &str, greenlets: u32, active: usize) {
    if support::is_child() {
        let thread = std::thread::spawn(move || {
            arrange_late(greenlets);
            keep((0..active).map(|_| suspended()));
        });
        return thread.join().unwrap();
    }
    let outcome = support::child(test).run();
    outcome.assert_passed();
    assert_eq!(outcome.stderr.matches("late\n").count(), 1, "{outcome:?}");
    let unwound = outcome.stderr.matches("unwound\n").count();
    assert_eq!(unwound, greenlets as usize + active + 1, "{outcome:?}");
}

#[test]
fn current_in_a_thread_locals_destructor() {
    late("current_in_a_thread_locals_destructor", 0, 0);
}

#[test]
fn current_in_a_thread_locals_destructor_with_five_active() {
    late(
        "current_in_a_thread_locals_destructor_with_five_active",
        0,
        5,
    );
}

#[test]
fn new_greenlets_in_a_thread_locals_destructor() {
    late("new_greenlets_in_a_thread_locals_destructor", 3, 0);
}

#[test]
fn new_greenlets_in_a_thread_locals_destructor_with_ten_active() {
    late(
        "new_greenlets_in_a_thread_locals_destructor_with_ten_active",
        3,
        10,
    );
}

#[test]
fn a_panic_out_of_a_greenlet_ends_main_like_any_other() {
    // Upstream `test_cpp.py`'s aborting tests: what is not caught in a greenlet goes to main; not
    // caught there either, it is the thread's panic, reported once.
    let test = "a_panic_out_of_a_greenlet_ends_main_like_any_other";
    if support::is_child() {
        let nested = Greenlet::new(|()| {
            Greenlet::new(|()| panic!("nobody catches this")).switch(());
        });
        return nested.switch(());
    }
    let outcome = support::child(test).run();
    assert_eq!(outcome.status.code(), Some(101), "{outcome:?}");
    assert_eq!(
        outcome.stderr.matches("nobody catches this").count(),
        1,
        "{outcome:?}"
    );
}
