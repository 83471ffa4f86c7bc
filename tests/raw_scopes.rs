//! Raw greenlets and what their frames have entered: a timeout or a scope is a frame that others rely on, so a greenlet
//! is not left inside of one.

mod support;

use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rustlet::raw::{self, Greenlet};
use rustlet::{sleep, spawn, timeout};

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(5);

/// The text of the panic of `f`.
fn panic_of<T>(f: impl FnOnce() -> T) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else {
        panic!("it returned");
    };
    *payload.downcast::<String>().expect("a panic with a text")
}

/// Raw greenlets whose frames overwrite what earlier ones have left on their stacks.
fn scribble() {
    let scribblers: Vec<Greenlet<()>> = Vec::from_iter((0..8).map(|_| {
        Greenlet::new(|()| {
            let mut junk = [0x4141_4141_4141_4100_u64; 2048];
            black_box(&mut junk);
            raw::switch_to_parent(());
            black_box(&mut junk);
        })
    }));
    for scribbler in &scribblers {
        scribbler.switch(());
    }
}

/// The code that runs is in no scope of somebody else's, and its own end in time.
fn all_is_well() {
    scribble();
    assert!(timeout(MOMENT, || sleep(HOUR)).is_err());
    sleep(MOMENT);
    assert_eq!(timeout(HOUR, || 3), Ok(3));
}

#[test]
fn a_generator_does_not_yield_inside_of_a_timeout() {
    let _watchdog = support::watchdog();
    let test = || {
        let make = || {
            raw::generator(|y| {
                y.yield_(1);
                let _ = timeout(MOMENT, || y.yield_(2));
            })
        };
        let (mut one, mut two) = (make(), make());
        assert_eq!((one.next(), two.next()), (Some(1), Some(1)));
        for generator in [&mut one, &mut two] {
            let text = panic_of(|| generator.next());
            assert!(text.contains("inside of a timeout or a scope"), "{text}");
            assert_eq!(generator.next(), None);
        }
        all_is_well();
    };
    test();
    spawn(test).join().unwrap();
}

#[test]
fn nor_does_a_greenlet_switch_inside_of_one_however_deep() {
    let _watchdog = support::watchdog();
    let other: Greenlet<u8> = Greenlet::new(|n| n);
    let greenlet: Greenlet<u8> = Greenlet::new(move |_| {
        let wrong: [&dyn Fn() -> u8; 4] = [
            &|| other.switch(1),
            &|| other.throw("thrown"),
            &|| raw::switch_to_parent(1),
            // From a greenlet of another family, whose own frames are in none.
            &|| {
                let inner: Greenlet<()> = Greenlet::new(|()| {
                    raw::switch_to_parent::<u8>(1);
                });
                inner.switch(());
                0
            },
        ];
        for wrong in wrong {
            let text = panic_of(|| rustlet::scope(|_| timeout(HOUR, wrong)));
            assert!(text.contains("inside of a timeout or a scope"), "{text}");
        }
        // One of another family may come and go.
        timeout(HOUR, || raw::generator(|y| y.yield_(7)).next())
            .unwrap()
            .unwrap()
    });
    assert_eq!(greenlet.switch(0), 7);
    all_is_well();
}

#[test]
fn a_limit_around_a_generator_stops_it_where_it_waits() {
    let _watchdog = support::watchdog();
    let dropped = support::Counter::default();
    let guard = dropped.on_drop();
    let mut generator = raw::generator(move |y| {
        let _guard = guard;
        y.yield_(1);
        sleep(HOUR);
    });
    assert_eq!(timeout(MOMENT, || generator.next()), Ok(Some(1)));
    assert!(timeout(MOMENT, || generator.next()).is_err());
    assert_eq!(dropped.get(), 1);
    assert_eq!(generator.next(), None);
    all_is_well();
}

/// The drop of a last handle switches too, and may be answered in a way that does not come back.
#[test]
fn a_greenlet_that_is_left_inside_of_one_by_a_drop_does_no_harm() {
    let _watchdog = support::watchdog();
    let test = |resume: bool| {
        let refuses: Greenlet<()> = Greenlet::new(|()| {
            let _ = catch_unwind(|| raw::switch_to_parent(()));
            raw::main::<()>().switch(());
        });
        refuses.switch(());
        let leaves: Greenlet<()> = Greenlet::new(move |()| {
            let _ = timeout(HOUR, move || drop(refuses));
        });
        leaves.switch(());
        assert!(
            !leaves.dead(),
            "it is in the middle of the drop, inside of its timeout"
        );
        let _ = timeout(HOUR, || {
            if resume {
                leaves.switch(());
                assert!(leaves.dead());
            }
            timeout(HOUR, scribble)
        });
        all_is_well();
        leaves
    };
    test(true);
    spawn(move || drop(test(true))).join().unwrap();
    test(false);
}
