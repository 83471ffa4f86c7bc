//! `scope`: children borrow from the frame, which returns only when all have ended, whatever happens.

mod support;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use rustlet::sync::Event;
use rustlet::{Killed, scope, sleep, spawn, spawn_local, timeout, yield_now};
use support::{Counter, watchdog};

const HOUR: Duration = Duration::from_secs(3600);

/// A local of the frame under test that knows whether it is still there: children look at it
/// through a borrow, and count it as a fault if it is not.
struct Alive {
    alive: Cell<bool>,
    touched: Cell<usize>,
}

thread_local! {
    static FAULTS: Cell<usize> = const { Cell::new(0) };
}

impl Alive {
    fn new() -> Self {
        Alive {
            alive: Cell::new(true),
            touched: Cell::new(0),
        }
    }

    fn touch(&self) {
        if !self.alive.get() {
            FAULTS.set(FAULTS.get() + 1);
        }
        self.touched.set(self.touched.get() + 1);
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.alive.set(false);
    }
}

/// Touches when it is dropped, after it let others run if it can.
struct TouchLate<'a>(&'a Alive);

impl Drop for TouchLate<'_> {
    fn drop(&mut self) {
        // What was killed is unwound again here.
        for _ in 0..3 {
            let _ = catch_unwind(yield_now);
        }
        self.0.touch();
    }
}

fn no_faults() {
    assert_eq!(FAULTS.get(), 0, "a child touched a frame that had gone");
}

fn text(payload: &(dyn std::any::Any + Send)) -> &str {
    payload.downcast_ref::<&str>().copied().unwrap_or_else(|| {
        payload
            .downcast_ref::<String>()
            .map_or("something else", String::as_str)
    })
}

#[test]
fn waits_for_all_children_at_its_end() {
    let _watchdog = watchdog();
    let log = RefCell::new(Vec::new());
    let value = scope(|s| {
        for n in 0..3 {
            let log = &log;
            s.spawn_local(move || {
                yield_now();
                log.borrow_mut().push(n);
            });
        }
        assert_eq!(s.running(), 3);
        assert!(log.borrow().is_empty());
        "value"
    });
    assert_eq!(value, "value");
    assert_eq!(log.into_inner(), [0, 1, 2]);
}

#[test]
fn children_spawn_children() {
    let _watchdog = watchdog();
    let count = Cell::new(0);
    scope(|s| {
        s.spawn_local(|| {
            yield_now();
            count.set(count.get() + 1);
            s.spawn_local(|| {
                yield_now();
                count.set(count.get() + 1);
                s.spawn_local(|| count.set(count.get() + 1));
            });
        });
    });
    assert_eq!(count.get(), 3);
}

#[test]
fn join_gives_values_that_borrow() {
    let _watchdog = watchdog();
    let words = [String::from("one"), String::from("three")];
    let longest = scope(|s| {
        let longest = s.spawn(|| words.iter().max_by_key(|word| word.len()).unwrap());
        let unfinished = s.spawn(|| ());
        assert!(!unfinished.is_finished());
        let longest = longest.join().unwrap();
        unfinished.join().unwrap();
        longest
    });
    assert_eq!(longest, "three");
}

#[test]
fn ten_thousand_children() {
    let _watchdog = watchdog();
    let mut slots = vec![0_u32; 10_000];
    scope(|s| {
        for (index, slot) in slots.iter_mut().enumerate() {
            s.spawn(move || {
                if index % 3 == 0 {
                    yield_now();
                }
                *slot = index as u32 + 1;
            });
        }
    });
    assert!(
        slots
            .iter()
            .enumerate()
            .all(|(index, &n)| n == index as u32 + 1)
    );
}

#[test]
fn places_are_used_again_in_a_long_scope() {
    let _watchdog = watchdog();
    let done = Cell::new(0);
    scope(|s| {
        for _ in 0..2_000 {
            s.spawn_local(|| done.set(done.get() + 1));
            yield_now();
            assert_eq!(s.running(), 0);
        }
    });
    assert_eq!(done.get(), 2_000);
}

#[test]
fn panic_of_an_unjoined_child_kills_the_rest_and_comes_out() {
    let _watchdog = watchdog();
    let frame = Alive::new();
    let raised = catch_unwind(AssertUnwindSafe(|| {
        scope(|s| {
            s.spawn_local(|| {
                let _late = TouchLate(&frame);
                sleep(HOUR);
            });
            s.spawn_local(|| {
                yield_now();
                panic!("the second child");
            });
            // The body is interrupted too.
            sleep(HOUR);
        })
    }))
    .unwrap_err();
    assert_eq!(text(&*raised), "the second child");
    assert_eq!(frame.touched.get(), 1);
    no_faults();
}

#[test]
fn panic_payload_is_the_first_childs_own() {
    let _watchdog = watchdog();
    let raised = catch_unwind(|| {
        scope(|s| {
            s.spawn(|| panic_any(1_u32));
            s.spawn(|| panic_any(2_u32));
        })
    })
    .unwrap_err();
    assert_eq!(raised.downcast_ref::<u32>(), Some(&1));
}

#[test]
fn panic_of_a_joined_child_is_the_joiners() {
    let _watchdog = watchdog();
    let value = scope(|s| {
        let child = s.spawn(|| panic!("joined"));
        let sibling = s.spawn(|| {
            yield_now();
            yield_now();
            5
        });
        let error = child.join().unwrap_err();
        assert!(error.is_panic());
        assert!(error.to_string().ends_with("panicked: joined"), "{error}");
        assert_eq!(text(&*error.try_into_panic().unwrap()), "joined");
        sibling.join().unwrap()
    });
    assert_eq!(value, 5);
}

#[test]
fn handle_dropped_after_the_panic_raises_it() {
    let _watchdog = watchdog();
    let ran = Cell::new(false);
    let raised = catch_unwind(AssertUnwindSafe(|| {
        scope(|s| {
            let child = s.spawn(|| panic!("late"));
            yield_now();
            assert!(child.is_finished());
            yield_now(); // nothing is raised while it could be joined
            ran.set(true);
            drop(child);
            sleep(HOUR);
        })
    }))
    .unwrap_err();
    assert_eq!(text(&*raised), "late");
    assert!(ran.get());
}

#[test]
fn panic_in_the_body_kills_children_and_waits_for_them() {
    let _watchdog = watchdog();
    let touched = {
        let frame = Alive::new();
        let raised = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| {
                for _ in 0..3 {
                    s.spawn_local(|| {
                        let _late = TouchLate(&frame);
                        sleep(HOUR);
                    });
                }
                yield_now();
                panic!("the body");
            })
        }))
        .unwrap_err();
        assert_eq!(text(&*raised), "the body");
        frame.touched.get()
    };
    assert_eq!(touched, 3);
    no_faults();
}

#[test]
fn a_killed_parent_waits_for_children_that_borrow() {
    let _watchdog = watchdog();
    let touched = Rc::new(Cell::new(0));
    let outer = touched.clone();
    let parent = spawn_local(move || {
        let frame = Alive::new();
        let _after = scopeguard(|| outer.set(frame.touched.get()));
        scope(|s| {
            for _ in 0..3 {
                s.spawn_local(|| {
                    let _late = TouchLate(&frame);
                    // Refuses twice, and suspends in between.
                    for _ in 0..2 {
                        let _ = catch_unwind(AssertUnwindSafe(|| sleep(HOUR)));
                        frame.touch();
                    }
                    sleep(HOUR);
                });
            }
            sleep(HOUR);
        });
    });
    yield_now();
    parent.kill().unwrap();
    assert!(parent.join().unwrap_err().is_killed());
    assert_eq!(touched.get(), 9);
    no_faults();
}

/// Runs `f` when it is dropped.
fn scopeguard<F: FnOnce()>(f: F) -> impl Drop {
    struct Guard<F: FnOnce()>(Option<F>);
    impl<F: FnOnce()> Drop for Guard<F> {
        fn drop(&mut self) {
            self.0.take().unwrap()();
        }
    }
    Guard(Some(f))
}

#[test]
fn kill_while_it_waits_for_children_is_deferred_until_they_end() {
    let _watchdog = watchdog();
    let (body_ended, refusals) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
    let (ended, count) = (body_ended.clone(), refusals.clone());
    let parent = spawn_local(move || {
        let frame = Alive::new();
        scope(|s| {
            s.spawn_local(|| {
                while count.get() < 50 {
                    let caught = catch_unwind(AssertUnwindSafe(|| sleep(HOUR))).unwrap_err();
                    assert!(caught.is::<Killed>());
                    count.set(count.get() + 1);
                    frame.touch();
                }
            });
            ended.set(true);
        });
        unreachable!("the kill is raised when the children have ended");
    });
    while !body_ended.get() {
        yield_now();
    }
    parent.kill_nowait();
    yield_now();
    // Again and again, while it waits.
    while refusals.get() < 50 {
        assert!(!parent.is_finished());
        parent.kill_nowait();
        yield_now();
    }
    assert!(parent.join().unwrap_err().is_killed());
    no_faults();
}

#[test]
fn a_timeout_around_a_scope_kills_children_and_waits() {
    let _watchdog = watchdog();
    let frame = Alive::new();
    let result = timeout(Duration::from_millis(5), || {
        scope(|s| {
            s.spawn_local(|| {
                let _late = TouchLate(&frame);
                let _ = catch_unwind(AssertUnwindSafe(|| sleep(HOUR)));
                frame.touch();
                sleep(HOUR);
            });
        })
    });
    assert!(result.is_err());
    assert_eq!(frame.touched.get(), 2);
    no_faults();
}

#[test]
fn a_timeout_in_the_body_is_the_bodys_own() {
    let _watchdog = watchdog();
    let (gate, done) = (Event::new(), Cell::new(false));
    scope(|s| {
        s.spawn_local(|| {
            gate.wait();
            done.set(true);
        });
        assert!(timeout(Duration::from_millis(1), || sleep(HOUR)).is_err());
        assert!(!done.get());
        gate.set();
    });
    assert!(done.get());
}

#[test]
fn a_cancelled_body_that_catches_the_unwinding_still_ends_with_the_panic() {
    let _watchdog = watchdog();
    let raised = catch_unwind(|| {
        scope(|s| {
            s.spawn(|| panic!("child"));
            let caught = catch_unwind(|| sleep(HOUR));
            assert!(caught.is_err());
        })
    })
    .unwrap_err();
    assert_eq!(text(&*raised), "child");
    // Nothing of it is left.
    sleep(Duration::from_millis(1));
}

#[test]
fn nested_scopes_are_killed_from_the_outside() {
    let _watchdog = watchdog();
    let frame = Alive::new();
    let raised = catch_unwind(AssertUnwindSafe(|| {
        scope(|outer| {
            outer.spawn_local(|| {
                let middle = Alive::new();
                scope(|inner| {
                    inner.spawn_local(|| {
                        let (_late, _later) = (TouchLate(&middle), TouchLate(&frame));
                        sleep(HOUR);
                    });
                });
                unreachable!("killed in the inner scope's wait");
            });
            yield_now();
            yield_now();
            panic!("outside");
        })
    }))
    .unwrap_err();
    assert_eq!(text(&*raised), "outside");
    assert_eq!(frame.touched.get(), 1);
    no_faults();
}

#[test]
fn children_spawned_after_the_cancellation_never_start() {
    let _watchdog = watchdog();
    let (started, dropped) = (Cell::new(0), Counter::default());
    let raised = catch_unwind(AssertUnwindSafe(|| {
        scope(|s| {
            s.spawn_local(|| {
                let _spawns_late = scopeguard(|| {
                    let guard = dropped.on_drop();
                    let started = &started;
                    s.spawn_local(move || {
                        let _guard = guard;
                        started.set(started.get() + 1);
                    });
                });
                sleep(HOUR);
            });
            yield_now();
            panic!("cancels");
        })
    }))
    .unwrap_err();
    assert_eq!(text(&*raised), "cancels");
    assert_eq!((started.get(), dropped.get()), (0, 1));
}

#[test]
fn a_value_that_nobody_joins_is_dropped_before_the_frame_goes() {
    let _watchdog = watchdog();
    let frame = Alive::new();
    // Its destructor suspends, and then touches the frame, which waits for the younger one first.
    scope(|s| {
        drop(s.spawn_local(|| TouchLate(&frame)));
        s.spawn(yield_now);
    });
    assert_eq!(frame.touched.get(), 1);
    // The handle outlives its greenlet.
    scope(|s| {
        let kept = s.spawn_local(|| TouchLate(&frame));
        yield_now();
        drop(kept);
    });
    assert_eq!(frame.touched.get(), 2);
}

#[test]
fn captures_of_a_child_that_never_starts_are_dropped_before_the_frame_goes() {
    let _watchdog = watchdog();
    let frame = Alive::new();
    scope(|s| {
        let late = TouchLate(&frame);
        s.spawn_local(move || drop(late)).kill_nowait();
        s.spawn(yield_now);
    });
    assert_eq!(frame.touched.get(), 1);
    let raised = catch_unwind(AssertUnwindSafe(|| {
        scope(|s| {
            let late = TouchLate(&frame);
            s.spawn_local(move || drop(late));
            panic!("before it starts");
        })
    }))
    .unwrap_err();
    assert_eq!(
        (text(&*raised), frame.touched.get()),
        ("before it starts", 2)
    );
}

#[test]
fn a_killed_child_is_no_failure() {
    let _watchdog = watchdog();
    let finished = Cell::new(false);
    scope(|s| {
        let victim = s.spawn(|| sleep(HOUR));
        s.spawn_local(|| {
            yield_now();
            yield_now();
            finished.set(true);
        });
        yield_now();
        victim.kill().unwrap();
        drop(victim);
    });
    assert!(finished.get());
}

#[test]
fn what_is_thrown_at_a_child_is_its_panic() {
    let _watchdog = watchdog();
    let raised = catch_unwind(|| {
        scope(|s| {
            let child = s.spawn(|| sleep(HOUR)).handle();
            yield_now();
            child.throw(77_u8);
        })
    })
    .unwrap_err();
    assert_eq!(raised.downcast_ref::<u8>(), Some(&77));
}

#[test]
fn a_scope_within_a_destructor_that_unwinds_spawns_nothing() {
    let _watchdog = watchdog();
    let refused = Cell::new(false);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _guard = scopeguard(|| {
            scope(|_| ()); // without children it is harmless
            let spawned = catch_unwind(AssertUnwindSafe(|| {
                scope(|s| {
                    s.spawn(|| ());
                })
            }));
            refused.set(spawned.is_err());
        });
        resume_unwind(Box::new("unwinding"));
    }));
    assert!(caught.is_err());
    assert!(refused.get());
}

#[test]
fn deadlocked_children_are_killed_and_reported() {
    if !support::is_child() {
        // Alone in its process: other tests' threads might wake anybody.
        support::child("deadlocked_children_are_killed_and_reported")
            .run()
            .assert_passed();
        return;
    }
    // The test harness has a thread of its own; joins of this thread's greenlets do not care.
    let frame = Alive::new();
    let raised = catch_unwind(AssertUnwindSafe(|| {
        scope(|s| {
            s.spawn_local(|| {
                let _late = TouchLate(&frame);
                rustlet::sleep(Duration::MAX);
            });
        })
    }))
    .unwrap_err();
    assert!(text(&*raised).contains("deadlock"), "{}", text(&*raised));
    assert_eq!(frame.touched.get(), 1);
    no_faults();
}

#[test]
fn children_of_several_threads() {
    let _watchdog = watchdog();
    let total = std::sync::atomic::AtomicUsize::new(0);
    let add = |n| total.fetch_add(n, std::sync::atomic::Ordering::Relaxed);
    scope(|s| {
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let child = s.spawn(|| {
                    yield_now();
                    add(1)
                });
                child.join().unwrap();
            });
        });
        s.spawn(|| add(10));
    });
    assert_eq!(total.into_inner(), 11);
}

#[test]
fn a_panic_on_another_thread_interrupts_the_body() {
    let _watchdog = watchdog();
    let raised = catch_unwind(|| {
        scope(|s| {
            // As soon as the thread's own code blocks, its greenlet runs.
            std::thread::scope(|threads| {
                threads.spawn(|| {
                    s.spawn(|| panic!("over there"));
                    yield_now();
                });
            });
            sleep(HOUR);
        })
    })
    .unwrap_err();
    assert_eq!(text(&*raised), "over there");
}

#[test]
fn a_child_abandoned_at_the_end_of_its_thread_does_not_hold_the_scope() {
    let _watchdog = watchdog();
    let raised = catch_unwind(|| {
        scope(|s| {
            std::thread::scope(|threads| {
                threads.spawn(|| {
                    // Refuses to die until its thread gives up.
                    s.spawn(|| {
                        loop {
                            let _ = catch_unwind(|| sleep(HOUR));
                        }
                    });
                    yield_now();
                });
            });
        })
    })
    .unwrap_err();
    assert!(
        text(&*raised).contains("did not run to its end"),
        "{}",
        text(&*raised)
    );
}

/// What a greenlet of a random tree does.
#[derive(Clone, Debug)]
enum Step {
    Yield,
    Sleep(u64),
    Spawn(Vec<Step>),
    Join(Vec<Step>),
    KillChild(Vec<Step>),
    Scope(Vec<Step>),
    Limit(u64, Vec<Step>),
    Catch(Vec<Step>),
    Panic,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let leaf = prop_oneof![
        4 => Just(Step::Yield),
        2 => (0..300_u64).prop_map(Step::Sleep),
        1 => Just(Step::Panic),
    ];
    let step = leaf.prop_recursive(4, 24, 4, |inner| {
        let inner = prop::collection::vec(inner, 0..4);
        prop_oneof![
            4 => inner.clone().prop_map(Step::Spawn),
            1 => inner.clone().prop_map(Step::Join),
            1 => inner.clone().prop_map(Step::KillChild),
            3 => inner.clone().prop_map(Step::Scope),
            1 => (0..300_u64, inner.clone()).prop_map(|(limit, steps)| Step::Limit(limit, steps)),
            1 => inner.prop_map(Step::Catch),
        ]
    });
    prop::collection::vec(step, 0..6)
}

/// Does `steps` in the scope `s`, whose frame has `frame`.
fn perform<'scope, 'env>(
    s: &'scope rustlet::Scope<'scope, 'env>,
    frame: &'env Alive,
    steps: &'env [Step],
    live: &'env Counter,
) {
    let child = move |steps: &'env [Step]| {
        let guard = live.on_drop();
        move || {
            let (_guard, _late) = (guard, TouchLate(frame));
            frame.touch();
            perform(s, frame, steps, live);
            frame.touch();
        }
    };
    for step in steps {
        frame.touch();
        match step {
            Step::Yield => yield_now(),
            Step::Sleep(micros) => sleep(Duration::from_micros(*micros)),
            Step::Spawn(steps) => drop(s.spawn_local(child(steps))),
            Step::Join(steps) => drop(s.spawn_local(child(steps)).join()),
            Step::KillChild(steps) => {
                let child = s.spawn_local(child(steps));
                yield_now();
                let _ = child.kill();
            }
            Step::Scope(steps) => {
                let inner = Alive::new();
                scope(|s| perform(s, &inner, steps, live));
                assert!(inner.alive.get());
            }
            Step::Limit(limit, steps) => {
                let limit = Duration::from_micros(*limit);
                let _ = timeout(limit, || perform(s, frame, steps, live));
            }
            Step::Catch(steps) => {
                let _ = catch_unwind(AssertUnwindSafe(|| perform(s, frame, steps, live)));
            }
            Step::Panic => resume_unwind(Box::new("on purpose")),
        }
    }
}

#[test]
fn random_trees_of_scopes() {
    let _watchdog = support::watchdog_of(Duration::from_secs(300));
    let operations = std::env::var("RUSTLET_TEST_OPERATIONS").map_or(4_000, |n| n.parse().unwrap());
    let config = support::proptest_config(operations / 10);
    proptest!(config, |(steps in steps(), kill_at in prop::option::of(0..20_usize))| {
        let (dropped, live) = (Counter::default(), Counter::default());
        let (outer, counted) = (dropped.on_drop(), live.clone());
        let root = spawn_local(move || {
            let _outer = outer;
            let frame = Alive::new();
            scope(|s| perform(s, &frame, &steps, &counted));
        });
        if let Some(turns) = kill_at {
            (0..turns).for_each(|_| yield_now());
            root.kill_nowait();
        }
        let ended = root.join();
        // The value that is returned by a scope whose children ended; or one of the ends on purpose.
        if let Err(error) = &ended {
            prop_assert!(error.is_killed() || error.to_string().contains("on purpose"), "{}", error);
        }
        prop_assert_eq!(dropped.get(), 1);
        prop_assert_eq!(rustlet::stats().live, 0);
        prop_assert_eq!(FAULTS.get(), 0);
    });
    let _ = spawn(|| ()).join();
}
