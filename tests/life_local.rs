//! Greenlet-locals: one value per greenlet, made late, dropped at its end before anybody is told; inherited
//! if asked for. After gevent's test__local.

mod support;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustlet::{sleep, spawn, spawn_later, spawn_local, yield_now};
use support::{Counter, OnDrop};

const HOUR: Duration = Duration::from_secs(3600);

rustlet::local! {
    static NUMBER: Cell<u32> = Cell::new(7);
    pub(crate) static LIST: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    static GUARD: RefCell<Option<OnDrop>> = RefCell::new(None);
    /// Goes to whom the greenlet spawns.
    inherit static CONTEXT: RefCell<Vec<&'static str>> = RefCell::new(vec!["root"]);
    static SHARED: Rc<Cell<u8>> = Rc::default()
}

#[test]
fn each_greenlet_has_its_own() {
    let _watchdog = support::watchdog();
    NUMBER.set(1);
    let greenlets = Vec::from_iter((0..100).map(|n| {
        spawn(move || {
            assert_eq!(NUMBER.get(), 7, "not the spawner's");
            NUMBER.set(n);
            LIST.with_borrow_mut(|list| list.push(n));
            yield_now();
            LIST.with_borrow_mut(|list| list.push(n));
            yield_now();
            assert_eq!(NUMBER.get(), n);
            assert_eq!(LIST.take(), [n, n]);
            assert!(LIST.with_borrow(Vec::is_empty));
        })
    }));
    for outcome in rustlet::joinall(greenlets) {
        outcome.unwrap();
    }
    assert_eq!(NUMBER.replace(2), 1);
    assert_eq!(NUMBER.take(), 2);
    assert_eq!(NUMBER.get(), 0);
    LIST.set(vec![5]);
    assert_eq!(LIST.replace(vec![6]), [5]);
}

#[test]
fn each_thread_has_its_own_for_its_own_code() {
    let _watchdog = support::watchdog();
    NUMBER.set(100);
    let drops = Counter::default();
    let guard = drops.on_drop();
    let seen = thread::spawn(move || {
        GUARD.set(Some(guard));
        let before = NUMBER.get();
        NUMBER.set(8);
        spawn(|| NUMBER.set(9)).join().unwrap();
        (before, NUMBER.get())
    });
    assert_eq!(seen.join().unwrap(), (7, 8));
    assert_eq!(NUMBER.get(), 100);
    assert_eq!(drops.get(), 1, "dropped at the end of the thread");
}

#[test]
fn values_are_made_when_first_asked_for_and_once() {
    thread_local!(static MADE: Cell<u32> = const { Cell::new(0) });
    rustlet::local!(static LATE: Cell<u32> = { MADE.set(MADE.get() + 1); Cell::new(MADE.get()) });
    let _watchdog = support::watchdog();
    spawn(|| ()).join().unwrap();
    assert_eq!(MADE.get(), 0);
    assert_eq!(spawn(|| (LATE.get(), LATE.get())).join().unwrap(), (1, 1));
    // Setting does not make the initial value.
    spawn(|| {
        LATE.set(5);
        assert_eq!(LATE.get(), 5);
        LATE.set(6);
        assert_eq!(LATE.get(), 6);
    })
    .join()
    .unwrap();
    assert_eq!(MADE.get(), 1);
}

#[test]
fn making_a_value_may_use_others_itself_and_fail() {
    rustlet::local! {
        static FIRST: Cell<u32> = { SECOND.set(1); Cell::new(SECOND.get() + 1) };
        static SECOND: Cell<u32> = Cell::new(0);
        static SETS_ITSELF: Cell<u32> = { SETS_ITSELF.set(40); Cell::new(1) };
        static FAILS: Cell<u32> = panic!("on purpose");
    }
    let _watchdog = support::watchdog();
    assert_eq!(spawn(|| FIRST.get()).join().unwrap(), 2);
    // The value that is there when the maker is done stays.
    assert_eq!(spawn(|| SETS_ITSELF.get()).join().unwrap(), 40);
    spawn(|| {
        assert!(catch_unwind(|| FAILS.get()).is_err());
        FAILS.set(1);
        assert_eq!(FAILS.get(), 1);
    })
    .join()
    .unwrap();
}

#[test]
fn values_are_dropped_at_the_end_before_anybody_is_told() {
    let _watchdog = support::watchdog();
    let endings: [fn(); 4] = [
        || (),
        || panic!("on purpose"),
        || sleep(HOUR),
        || {
            sleep(HOUR);
        },
    ];
    for (n, ending) in endings.into_iter().enumerate() {
        let drops = Counter::default();
        let guard = drops.on_drop();
        let greenlet = spawn(move || {
            GUARD.set(Some(guard));
            ending();
        });
        yield_now();
        if n == 2 {
            greenlet.kill_nowait();
        } else {
            greenlet.throw("thrown");
        }
        greenlet.wait().unwrap();
        assert_eq!(drops.get(), 1, "{n}");
    }
}

#[test]
fn destructors_run_on_the_greenlet_and_may_use_and_make_locals_and_block() {
    struct Uses(Arc<Mutex<Vec<u64>>>);
    impl Drop for Uses {
        fn drop(&mut self) {
            sleep(Duration::from_millis(1));
            NUMBER.set(NUMBER.get() + 1);
            self.0.lock().unwrap().push(rustlet::current().id());
        }
    }
    struct Again(Counter);
    impl Drop for Again {
        fn drop(&mut self) {
            if self.0.add() < 1000 {
                AGAIN.set(Some(Again(self.0.clone())));
            }
        }
    }
    rustlet::local! {
        static USES: RefCell<Option<Uses>> = RefCell::new(None);
        static AGAIN: RefCell<Option<Again>> = RefCell::new(None);
        static PANICS: RefCell<Option<Panics>> = RefCell::new(None);
    }
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let _watchdog = support::watchdog();
    let log = Arc::new(Mutex::new(Vec::new()));
    let drops = Counter::default();
    let (out, guard) = (log.clone(), drops.on_drop());
    let greenlet = spawn(move || {
        PANICS.set(Some(Panics));
        USES.set(Some(Uses(out)));
        GUARD.set(Some(guard));
    });
    let id = greenlet.id();
    greenlet.join().unwrap(); // a destructor's panic is not the greenlet's
    assert_eq!(*log.lock().unwrap(), [id]);
    assert_eq!(drops.get(), 1);
    // One that makes itself anew is given up at some time.
    let made = Counter::default();
    let counted = made.clone();
    spawn(move || AGAIN.set(Some(Again(counted))))
        .join()
        .unwrap();
    assert!((2..100).contains(&made.get()), "{}", made.get());
}

#[test]
fn destructors_of_a_killed_one_may_block() {
    struct Waits(Counter);
    impl Drop for Waits {
        fn drop(&mut self) {
            sleep(Duration::from_millis(1));
            self.0.add();
        }
    }
    rustlet::local!(static WAITS: RefCell<Option<Waits>> = RefCell::new(None));
    let _watchdog = support::watchdog();
    let ended = Counter::default();
    let counted = ended.clone();
    let greenlet = spawn(move || {
        WAITS.set(Some(Waits(counted)));
        sleep(HOUR);
    });
    yield_now();
    greenlet.kill().unwrap();
    assert_eq!(ended.get(), 1);
    assert!(greenlet.join().unwrap_err().is_killed());
}

#[test]
fn children_inherit_what_is_declared_so() {
    let _watchdog = support::watchdog();
    let path = || CONTEXT.with_borrow(|context| context.join("/"));
    let outer = spawn(move || {
        // The thread's code has not asked for it: nothing is inherited, the initial value is made.
        assert_eq!(path(), "root");
        CONTEXT.with_borrow_mut(|context| context.push("outer"));
        let inner = spawn_local(move || {
            CONTEXT.with_borrow_mut(|context| context.push("inner"));
            yield_now();
            let leaf = spawn_later(Duration::from_millis(1), path);
            (path(), leaf.join().unwrap())
        });
        // After the spawn: the child does not see it.
        CONTEXT.with_borrow_mut(|context| context.push("late"));
        let (inner, leaf) = inner.join().unwrap();
        assert_eq!(inner, "root/outer/inner");
        assert_eq!(leaf, inner);
        path()
    });
    assert_eq!(outer.join().unwrap(), "root/outer/late");
}

#[test]
fn inherited_values_of_what_never_ran_are_dropped() {
    #[derive(Clone)]
    struct Counts(Arc<()>);
    rustlet::local!(inherit static COUNTS: Counts = Counts(Arc::default()));
    let _watchdog = support::watchdog();
    let held = |of: &Counts| Arc::strong_count(&of.0);
    COUNTS.with(|counts| {
        assert_eq!(held(counts), 1);
        let child = spawn(|| ());
        assert_eq!(held(counts), 2);
        child.kill_nowait();
        child.wait().unwrap();
        assert_eq!(held(counts), 1);
        let child = spawn(|| sleep(HOUR));
        yield_now();
        assert_eq!(held(counts), 2);
        child.kill().unwrap();
        assert_eq!(held(counts), 1);
    });
}

#[test]
fn a_value_stays_while_it_is_looked_at() {
    let _watchdog = support::watchdog();
    let kept = Rc::new(RefCell::new(None));
    let out = kept.clone();
    let seen = Rc::new(Cell::new(0));
    let result = seen.clone();
    spawn_local(move || {
        let raw = rustlet::raw::Greenlet::new(move |()| {
            SHARED.with(|value| {
                struct LooksAgain<'a>(&'a Rc<Cell<u8>>, Rc<Cell<u8>>);
                impl Drop for LooksAgain<'_> {
                    fn drop(&mut self) {
                        self.1.set(self.0.get());
                    }
                }
                value.set(42);
                let _looks_again = LooksAgain(value, result);
                rustlet::raw::switch_to_parent(());
            });
        });
        raw.switch(());
        *out.borrow_mut() = Some(raw);
    })
    .join()
    .unwrap();
    // The greenlet has ended, and its raw greenlet is unwound only now.
    drop(kept.take());
    assert_eq!(seen.get(), 42);
}

/// Cloning what is inherited is the user's code: it may panic, or be killed while it waits, and nothing has been spawned then.
#[test]
fn a_spawn_that_fails_to_clone_has_not_happened() {
    #[derive(Clone, Copy, PartialEq)]
    enum Way {
        Panic,
        Wait,
    }
    struct Stubborn(Cell<Option<Way>>);
    impl Clone for Stubborn {
        fn clone(&self) -> Self {
            match self.0.get() {
                None => Stubborn(Cell::new(None)),
                Some(Way::Panic) => panic!("on purpose"),
                Some(Way::Wait) => {
                    sleep(HOUR);
                    unreachable!("the hour is cut short");
                }
            }
        }
    }
    rustlet::local!(inherit static STUBBORN: Stubborn = const { Stubborn(Cell::new(None)) });

    let _watchdog = support::watchdog();
    let test = |way| {
        let dropped = Counter::default();
        let pool = rustlet::Pool::new(1);
        let group = rustlet::Group::new();
        let spawns: [&dyn Fn(OnDrop); 6] = [
            &|guard| drop(spawn(move || drop(guard))),
            &|guard| drop(spawn_local(move || drop(guard))),
            &|guard| drop(spawn_later(HOUR, move || drop(guard))),
            &|guard| drop(pool.spawn(move || drop(guard))),
            &|guard| drop(group.spawn(move || drop(guard))),
            &|guard| rustlet::scope(|s| drop(s.spawn(move || drop(guard)))),
        ];
        for (nth, spawns) in spawns.into_iter().enumerate() {
            let before = (rustlet::stats().live, rustlet::stack::stats().promised);
            STUBBORN.with(|stubborn| stubborn.0.set(Some(way)));
            let failed = catch_unwind(AssertUnwindSafe(|| {
                rustlet::timeout(Duration::from_millis(5), || spawns(dropped.on_drop()))
            }));
            STUBBORN.with(|stubborn| stubborn.0.set(None));
            match way {
                Way::Panic => assert!(failed.is_err(), "{nth}"),
                Way::Wait => assert!(failed.unwrap().is_err(), "{nth}"),
            }
            assert_eq!(dropped.get(), nth + 1);
            assert_eq!(
                (rustlet::stats().live, rustlet::stack::stats().promised),
                before,
                "{nth}"
            );
        }
        assert_eq!((pool.len(), pool.free_count(), group.len()), (0, 1, 0));
        pool.spawn(|| ()).join().unwrap();
        pool.join();
        group.join();
    };
    for way in [Way::Panic, Way::Wait] {
        thread::spawn(move || test(way)).join().unwrap();
        thread::spawn(move || spawn(move || test(way)).join().unwrap())
            .join()
            .unwrap();
        let runtime = rustlet::Runtime::builder().workers(2).build().unwrap();
        runtime.run(move || test(way));
    }
}
