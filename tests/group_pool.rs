//! `Pool`: spawning waits for a slot; `apply`, `map`, `imap`. After gevent's `test__pool.py`.
#![allow(unsafe_code)] // `pre_exec`, which is how std forks.

mod support;

use std::cell::{Cell, RefCell};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use rustlet::sync::Event;
use rustlet::{Pool, sleep, spawn, spawn_local, timeout, yield_now};
use support::{Counter, watchdog};

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(5);

/// Pools of the sizes that upstream runs its tests with.
fn pools() -> [Pool; 5] {
    [
        Pool::new(1),
        Pool::new(2),
        Pool::new(3),
        Pool::new(10),
        Pool::unlimited(),
    ]
}

fn square(n: u64) -> u64 {
    n * n
}

/// Squares after a time that depends on the number.
fn slow_square(n: u64) -> u64 {
    for _ in 0..(n * 7) % 13 {
        yield_now();
    }
    n * n
}

// ---------------------------------------------------------------------------- spawning

#[test]
fn spawn_waits_when_full_in_order() {
    let _watchdog = watchdog();
    let pool = Arc::new(Pool::new(2));
    let log = Rc::new(RefCell::new(Vec::new()));
    let gate = Arc::new(Event::new());
    for _ in 0..2 {
        let gate = gate.clone();
        pool.spawn(move || gate.wait());
    }
    assert!(pool.is_full());
    for n in 0..5 {
        let (pool, log) = (pool.clone(), log.clone());
        spawn_local(move || {
            pool.spawn_local(move || log.borrow_mut().push(n));
        });
    }
    yield_now();
    assert_eq!((pool.len(), pool.free_count()), (2, 0));
    assert!(log.borrow().is_empty());
    gate.set();
    while log.borrow().len() < 5 {
        yield_now();
    }
    pool.join();
    assert_eq!(*log.borrow(), [0, 1, 2, 3, 4]);
    assert_eq!(pool.free_count(), 2);
}

#[test]
fn never_more_than_its_size_at_a_time() {
    let _watchdog = watchdog();
    let pool = Pool::new(3);
    let (now, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    for n in 0..50 {
        let (now, most) = (now.clone(), most.clone());
        pool.spawn_local(move || {
            now.set(now.get() + 1);
            most.set(most.get().max(now.get()));
            (0..n % 5).for_each(|_| yield_now());
            now.set(now.get() - 1);
        });
        assert!(pool.len() <= 3);
    }
    pool.join();
    assert_eq!((now.get(), most.get()), (0, 3));
}

#[test]
fn slots_come_free_however_the_greenlet_ends() {
    let _watchdog = watchdog();
    let pool = Pool::new(4);
    let panics = pool.spawn(|| panic!("on purpose"));
    let unstarted = pool.spawn(|| unreachable!("never runs"));
    unstarted.kill_nowait();
    let running = pool.spawn(|| sleep(HOUR));
    let thrown = pool.spawn(|| sleep(HOUR));
    assert_eq!(pool.free_count(), 0);
    yield_now();
    assert_eq!(pool.free_count(), 2);
    running.kill().unwrap();
    thrown.throw("x");
    yield_now();
    assert_eq!(pool.free_count(), 4);
    assert!(panics.join().unwrap_err().is_panic());
}

#[test]
fn try_spawn_and_spawn_timeout_give_the_closure_back() {
    let _watchdog = watchdog();
    let pool = Pool::new(1);
    let dropped = Counter::default();
    let blocker = pool.try_spawn(|| sleep(HOUR)).unwrap();
    let guard = dropped.on_drop();
    let refused = pool.try_spawn(move || drop(guard)).unwrap_err();
    assert_eq!(dropped.get(), 0);
    let refused = pool.spawn_timeout(MOMENT, refused.0).unwrap_err();
    assert_eq!(
        (dropped.get(), refused.to_string()),
        (0, "the pool is full".to_owned())
    );
    blocker.kill().unwrap();
    pool.spawn_timeout(HOUR, refused.0).unwrap().join().unwrap();
    assert_eq!(dropped.get(), 1);
}

#[test]
fn a_spawner_that_is_killed_or_timed_out_takes_no_slot() {
    let _watchdog = watchdog();
    let pool = Arc::new(Pool::new(1));
    let dropped = Counter::default();
    let blocker = pool.spawn(|| sleep(HOUR));
    let guard = dropped.on_drop();
    assert!(timeout(MOMENT, || pool.spawn(move || drop(guard))).is_err());
    let spawners: Vec<_> = (0..3)
        .map(|n| {
            let (pool, guard) = (pool.clone(), dropped.on_drop());
            spawn(move || {
                let job = pool.spawn(move || {
                    drop(guard);
                    n
                });
                job.join().unwrap()
            })
        })
        .collect();
    yield_now();
    spawners[0].kill().unwrap();
    assert_eq!(dropped.get(), 2);
    blocker.kill().unwrap();
    let values: Vec<_> = spawners
        .into_iter()
        .map(|spawner| spawner.join().ok())
        .collect();
    assert_eq!(values, [None, Some(1), Some(2)]);
    assert_eq!((pool.free_count(), dropped.get()), (1, 4));
}

#[test]
fn a_slot_that_was_handed_over_is_taken_despite_the_kill() {
    let _watchdog = watchdog();
    let pool = Arc::new(Pool::new(1));
    let gate = Arc::new(Event::new());
    let opened = gate.clone();
    pool.spawn(move || opened.wait());
    let ran = Counter::default();
    let (inner, count) = (pool.clone(), ran.clone());
    let spawner = spawn(move || {
        inner.spawn(move || count.add());
        yield_now();
        unreachable!("the kill is raised here at the latest");
    });
    yield_now();
    gate.set();
    yield_now(); // the slot is the spawner's
    spawner.kill().unwrap();
    pool.join();
    assert_eq!((ran.get(), pool.free_count()), (1, 1));
}

#[test]
fn a_pool_of_none_is_always_full() {
    let _watchdog = watchdog();
    let pool = Pool::new(0);
    assert!(pool.is_full() && pool.is_empty());
    assert!(pool.try_spawn(|| ()).is_err());
    assert!(timeout(MOMENT, || pool.spawn(|| ())).is_err());
    assert!(!pool.wait_available_timeout(MOMENT));
    pool.join();
    assert_eq!(pool.map([0; 0], square), []);
}

#[test]
fn an_unlimited_pool_is_never_full() {
    let _watchdog = watchdog();
    let pool = Pool::unlimited();
    let jobs: Vec<_> = (0..1000)
        .map(|n| pool.try_spawn(move || n).unwrap())
        .collect();
    assert_eq!(
        (pool.size(), pool.len(), pool.is_full()),
        (None, 1000, false)
    );
    pool.wait_available();
    pool.join();
    assert_eq!(
        jobs.into_iter().map(|job| job.join().unwrap()).sum::<i32>(),
        499_500
    );
    assert_eq!(pool.free_count(), usize::MAX);
}

#[test]
fn add_takes_a_slot_and_discard_gives_it_back() {
    let _watchdog = watchdog();
    let pool = Pool::new(2);
    let [first, second, third] = [(); 3].map(|()| spawn(|| sleep(HOUR)));
    assert!(pool.add(&first) && pool.add(&second));
    assert!(pool.is_full());
    assert!(timeout(MOMENT, || pool.add(&third)).is_err());
    assert_eq!(pool.len(), 2);
    assert!(pool.discard(&first) && !pool.discard(&first));
    assert_eq!(pool.free_count(), 1);
    assert!(pool.add(&third));
    first.kill().unwrap(); // no member any more: its end frees nothing
    assert_eq!(pool.free_count(), 0);
    second.kill().unwrap();
    assert_eq!(pool.free_count(), 1);
    third.kill().unwrap();
    assert_eq!(pool.free_count(), 2);
}

#[test]
fn wait_available_takes_nothing() {
    let _watchdog = watchdog();
    let pool = Arc::new(Pool::new(1));
    pool.wait_available();
    let blocker = pool.spawn(|| sleep(HOUR));
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let pool = pool.clone();
            spawn(move || pool.wait_available())
        })
        .collect();
    yield_now();
    assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
    assert!(!pool.wait_available_timeout(MOMENT));
    blocker.kill().unwrap();
    waiters
        .into_iter()
        .for_each(|waiter| waiter.join().unwrap());
    assert_eq!(pool.free_count(), 1);
}

#[test]
fn kill_ends_all_and_those_who_wait_for_slots_go_on() {
    let _watchdog = watchdog();
    let pool = Arc::new(Pool::new(2));
    let jobs: Vec<_> = (0..2).map(|_| pool.spawn(|| sleep(HOUR))).collect();
    let spawner = {
        let pool = pool.clone();
        spawn(move || {
            pool.spawn(|| 3)
                .join()
                .is_err_and(|error| error.is_killed())
        })
    };
    yield_now();
    pool.kill();
    assert!(
        jobs.into_iter()
            .all(|job| job.join().unwrap_err().is_killed())
    );
    // It was handed a slot; whether its job was still killed depends on who came first.
    spawner.join().unwrap();
    pool.join();
    assert_eq!(pool.free_count(), 2);
    assert_eq!(pool.spawn(|| 4).join().unwrap(), 4);
}

#[test]
fn main_gets_a_deadlock_when_no_slot_can_come_free() {
    if support::emulated() {
        println!(
            "not run: the emulator has a thread of its own in this process, which could spawn"
        );
        return;
    }
    if !support::is_child() {
        return support::child("main_gets_a_deadlock_when_no_slot_can_come_free")
            .run()
            .assert_passed();
    }
    // Another thread might spawn into a pool that it shares, so it takes a process with one thread.
    for attempt in [
        |pool: &Pool| drop(pool.spawn(|| ())),
        |pool: &Pool| pool.join(),
    ] {
        let mut command = std::process::Command::new("/this/is/never/run");
        // SAFETY: as in tests/deadlock.rs: of the threads it left behind, one waits for this test and the
        // other for the time to run out, with no lock held.
        unsafe {
            command.pre_exec(move || {
                let pool = Pool::new(1);
                pool.spawn(|| sleep(Duration::MAX));
                attempt(&pool); // std makes the panic an abort here
                Ok(())
            });
        }
        let output = command.output().expect("it never returns from the attempt");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("deadlock: this code waits for"), "{text}");
        assert!(text.contains("pool") || text.contains("group"), "{text}");
    }
}

#[test]
fn two_threads_share_a_pool() {
    let _watchdog = watchdog();
    let pool = Pool::new(3);
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| {
                let sum: usize = pool
                    .map(0..500, |n| {
                        most.fetch_max(now.fetch_add(1, Relaxed) + 1, Relaxed);
                        yield_now();
                        now.fetch_sub(1, Relaxed);
                        n
                    })
                    .into_iter()
                    .sum();
                assert_eq!(sum, 124_750);
            });
        }
    });
    assert!(most.into_inner() <= 3);
    assert_eq!((pool.len(), pool.free_count()), (0, 3));
}

// ---------------------------------------------------------------------------- apply

#[test]
fn apply_gives_the_value_or_raises() {
    let _watchdog = watchdog();
    for pool in pools() {
        assert_eq!(pool.apply(|| slow_square(7)), 49);
        let raised = catch_unwind(AssertUnwindSafe(|| pool.apply(|| panic_any(9_u8)))).unwrap_err();
        assert_eq!(raised.downcast_ref::<u8>(), Some(&9));
        assert!(pool.is_empty());
    }
}

#[test]
fn apply_from_a_full_pools_own_greenlet_runs_inline() {
    let _watchdog = watchdog();
    for size in 1..4 {
        let pool = Arc::new(Pool::new(size));
        let jobs: Vec<_> = (0..6)
            .map(|n| {
                let inner = pool.clone();
                pool.spawn(move || {
                    yield_now();
                    let innermost = inner.clone();
                    inner.apply(move || innermost.apply(move || slow_square(n)))
                })
            })
            .collect();
        let values: Vec<u64> = jobs.into_iter().map(|job| job.join().unwrap()).collect();
        assert_eq!(values, [0, 1, 4, 9, 16, 25]);
    }
}

#[test]
fn apply_async_never_waits() {
    let _watchdog = watchdog();
    let pool = Arc::new(Pool::new(1));
    let gate = Arc::new(Event::new());
    let opened = gate.clone();
    let first = pool.apply_async(move || {
        opened.wait();
        1
    });
    let dropped = Counter::default();
    let (guard, other) = (dropped.on_drop(), dropped.on_drop());
    let second = pool.apply_async(move || {
        drop(guard);
        2
    });
    let never = pool.apply_async(move || drop(other));
    assert_eq!(pool.len(), 1);
    yield_now();
    assert_eq!(pool.len(), 1); // the second waits for a slot
    never.kill().unwrap();
    assert_eq!(dropped.get(), 1);
    gate.set();
    assert_eq!(first.join().unwrap(), 1);
    assert_eq!(second.join().unwrap(), 2);
    pool.join();
    assert_eq!(pool.free_count(), 1);
}

#[test]
fn links_on_jobs_are_the_callbacks() {
    let _watchdog = watchdog();
    let pool = Pool::new(2);
    let (send, receive) = std::sync::mpsc::channel();
    for n in 0..3 {
        let send = send.clone();
        pool.apply_async(move || square(n))
            .then(move |value| send.send(value.unwrap()).unwrap());
    }
    drop(send);
    pool.join();
    sleep(MOMENT);
    assert_eq!(Vec::from_iter(receive.try_iter()), [0, 1, 4]);
}

// ---------------------------------------------------------------------------- map

#[test]
fn map_keeps_the_order() {
    let _watchdog = watchdog();
    for pool in pools() {
        assert_eq!(pool.map(0..10, square), Vec::from_iter((0..10).map(square)));
        assert_eq!(
            pool.map(0..100, slow_square),
            Vec::from_iter((0..100).map(square))
        );
        assert_eq!(pool.map([0; 0], square), []);
        assert!(pool.is_empty());
    }
}

#[test]
fn map_borrows() {
    let _watchdog = watchdog();
    let pool = Pool::new(3);
    let words = ["a", "bc", "def"].map(String::from);
    let seen = AtomicUsize::new(0);
    let slices = pool.map(&words, |word| {
        yield_now();
        seen.fetch_add(1, Relaxed);
        &word[1..]
    });
    assert_eq!((slices, seen.into_inner()), (vec!["", "c", "ef"], 3));
}

#[test]
fn map_raises_the_first_panic_in_order_and_kills_the_rest() {
    let _watchdog = watchdog();
    let pool = Pool::new(5);
    let ended = AtomicUsize::new(0);
    struct End<'a>(&'a AtomicUsize);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Relaxed);
        }
    }
    let raised = catch_unwind(AssertUnwindSafe(|| {
        pool.map([3, 1, 2, 100, 101], |n| {
            let _end = End(&ended);
            (0..n).for_each(|_| yield_now());
            match n {
                1 => n,
                2 | 3 => panic_any(n),
                _ => {
                    sleep(HOUR);
                    n
                }
            }
        })
    }))
    .unwrap_err();
    assert_eq!(raised.downcast_ref::<i32>(), Some(&3));
    assert_eq!((ended.load(Relaxed), pool.len()), (5, 0));
}

#[test]
fn try_map_gives_each_items_result() {
    let _watchdog = watchdog();
    let pool = Pool::new(2);
    let results = pool.try_map(0..5, |n| match n {
        1 => panic!("one"),
        3 => {
            rustlet::current().kill();
            n
        }
        _ => n,
    });
    let shown: Vec<_> = results
        .iter()
        .map(|result| match result {
            Ok(n) => n.to_string(),
            Err(error) if error.is_killed() => "killed".into(),
            Err(error) => error.to_string().rsplit(' ').next().unwrap().to_owned(),
        })
        .collect();
    assert_eq!(shown, ["0", "one", "2", "killed", "4"]);
}

#[test]
fn a_killed_map_sees_its_jobs_out() {
    let _watchdog = watchdog();
    let (ended, late) = (Counter::default(), Rc::new(Cell::new(0)));
    let (counter, seen) = (ended.clone(), late.clone());
    let mapper = spawn_local(move || {
        let pool = Pool::new(2);
        let frame = Counter::default();
        struct Check<'a>(&'a Counter, Rc<Cell<usize>>);
        impl Drop for Check<'_> {
            fn drop(&mut self) {
                self.1.set(self.0.get());
            }
        }
        let _check = Check(&frame, seen);
        pool.map(0..4, |_| {
            let _end = counter.on_drop();
            // Refuses once.
            let _ = catch_unwind(|| sleep(HOUR));
            frame.add();
            sleep(HOUR);
        });
    });
    yield_now();
    yield_now();
    mapper.kill().unwrap();
    assert_eq!((late.get(), ended.get()), (2, 2));
}

#[test]
fn a_panic_of_the_input_ends_map_after_its_jobs() {
    let _watchdog = watchdog();
    let pool = Pool::new(2);
    let items = (0..10).map(|n| if n == 5 { panic_any(n) } else { n });
    let raised = catch_unwind(AssertUnwindSafe(|| pool.map(items, |n| n))).unwrap_err();
    assert_eq!(raised.downcast_ref::<i32>(), Some(&5));
    assert!(pool.is_empty());
}

#[test]
fn many_trivial_jobs() {
    let _watchdog = watchdog();
    let jobs = 100_000 / u64::from(support::slowdown());
    let pool = Pool::new(100);
    let values = pool.map(0..jobs, |n| n + 1);
    assert!(values.into_iter().eq(1..=jobs));
    let odd = |n: u64| n % 2;
    assert_eq!(pool.imap(0..jobs, |n| n).map(odd).sum::<u64>(), jobs / 2);
    let unordered = pool.imap_unordered(0..jobs, |n| n);
    assert_eq!(unordered.map(odd).sum::<u64>(), jobs / 2);
    let ran = Counter::default();
    for _ in 0..jobs {
        let ran = ran.clone();
        drop(pool.spawn(move || ran.add()));
    }
    pool.join();
    assert_eq!(ran.get() as u64, jobs);
}

// ---------------------------------------------------------------------------- imap

#[test]
fn imap_keeps_the_order_and_unordered_does_not() {
    let _watchdog = watchdog();
    for pool in pools() {
        let values = pool.imap(0..100, slow_square);
        assert!(values.eq((0..100).map(square)));
        let mut values = Vec::from_iter(pool.imap_unordered(0..100, slow_square));
        if pool.size() != Some(1) {
            assert!(!values.is_sorted());
        }
        values.sort_unstable();
        assert!(values.into_iter().eq((0..100).map(square)));
        assert_eq!(pool.imap([0; 0], square).next(), None);
        assert_eq!(pool.imap_unordered([0; 0], square).next(), None);
    }
}

#[test]
fn imap_is_lazy_and_bounded() {
    let _watchdog = watchdog();
    let taken = Cell::new(0);
    let items = || (0..).inspect(|n| taken.set(n + 1));
    let pool = Pool::new(5);
    let mut values = pool.imap(items(), square).ahead(3);
    sleep(MOMENT);
    assert_eq!(taken.get(), 0);
    assert_eq!(values.next(), Some(0));
    assert_eq!(taken.get(), 3);
    sleep(MOMENT); // nobody asks
    assert_eq!(taken.get(), 3);
    assert_eq!(values.next(), Some(1));
    assert_eq!(taken.get(), 4);
    drop(values);

    taken.set(0);
    let mut values = pool.imap_unordered(items(), square).ahead(2);
    assert_eq!(values.next(), Some(0));
    assert_eq!(taken.get(), 2);
    assert_eq!(values.next(), Some(1));
    assert_eq!(taken.get(), 3);
    drop(values);
    // No more than the pool's size by default.
    taken.set(0);
    assert_eq!(pool.imap(items(), square).next(), Some(0));
    assert_eq!(taken.get(), 5);
    pool.join();
}

#[test]
fn an_items_panic_is_that_items_and_iteration_goes_on() {
    let _watchdog = watchdog();
    let odd = |n: u64| if n % 2 == 1 { panic_any(n) } else { n };
    let step = |values: &mut dyn Iterator<Item = u64>| match catch_unwind(AssertUnwindSafe(|| {
        values.next()
    })) {
        Ok(value) => value.map(Ok),
        Err(payload) => Some(Err(*payload.downcast::<u64>().unwrap())),
    };
    for pool in pools() {
        let mut values = pool.imap(0..4, odd);
        let seen: Vec<_> = std::iter::from_fn(|| step(&mut values)).collect();
        assert_eq!(seen, [Ok(0), Err(1), Ok(2), Err(3)]);
        let mut values = pool.imap_unordered(0..4, odd);
        let mut seen: Vec<_> = std::iter::from_fn(|| step(&mut values)).collect();
        seen.sort_by_key(|&result| result.unwrap_or_else(|n| n));
        assert_eq!(seen, [Ok(0), Err(1), Ok(2), Err(3)]);
        let results = pool.imap(0..4, odd).results();
        assert!(
            results
                .map(|result| result.is_ok())
                .eq([true, false, true, false])
        );
    }
}

#[test]
fn a_panic_of_the_input_surfaces_once_and_ends() {
    let _watchdog = watchdog();
    let items = || (0..10_u64).map(|n| if n == 3 { panic_any(n) } else { n });
    let pool = Pool::new(1);
    let mut values = pool.imap(items(), square);
    let mut seen = Vec::new();
    loop {
        match catch_unwind(AssertUnwindSafe(|| values.next())) {
            Ok(Some(value)) => seen.push(value),
            Ok(None) => break,
            Err(payload) => seen.push(100 + *payload.downcast::<u64>().unwrap()),
        }
    }
    assert_eq!(seen, [0, 1, 4, 103]);
    assert_eq!(values.next(), None);
    let mut values = pool.imap_unordered(items(), square);
    assert!(catch_unwind(AssertUnwindSafe(|| values.by_ref().count())).is_err());
    assert_eq!(values.next(), None);
}

#[test]
fn an_interrupted_next_loses_nothing() {
    let _watchdog = watchdog();
    for size in [1, 3] {
        let pool = Pool::new(size);
        let slow = |n| {
            sleep(Duration::from_millis(3));
            n
        };
        let mut values = pool.imap(0..6, slow);
        let mut seen = Vec::new();
        while seen.len() < 6 {
            if let Ok(value) = timeout(Duration::from_millis(1), || values.next()) {
                seen.extend(value);
            }
        }
        assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
        let mut values = pool.imap_unordered(0..6, slow);
        seen.clear();
        while seen.len() < 6 {
            if let Ok(value) = timeout(Duration::from_millis(1), || values.next()) {
                seen.extend(value);
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
        // And one that waits for a slot.
        let blocker = pool.map([0; 0], square).len();
        assert_eq!(blocker, 0);
        let blockers: Vec<_> = (0..size).map(|_| pool.spawn(|| sleep(HOUR))).collect();
        let mut values = pool.imap(0..3, square);
        assert!(timeout(MOMENT, || values.next()).is_err());
        blockers.iter().for_each(|blocker| blocker.kill().unwrap());
        assert!(values.eq([0, 1, 4]));
    }
}

#[test]
fn a_dropped_imap_leaves_its_jobs_running() {
    let _watchdog = watchdog();
    let pool = Pool::new(3);
    let ended = Counter::default();
    let counter = ended.clone();
    let mut values = pool.imap(0..10, move |n| {
        (0..n).for_each(|_| yield_now());
        counter.add();
        n
    });
    assert_eq!(values.next(), Some(0));
    drop(values);
    pool.join();
    assert_eq!(ended.get(), 3);
}

#[test]
fn two_iterators_share_a_pool() {
    let _watchdog = watchdog();
    let pool = Pool::new(1);
    let (first, second) = (pool.imap(0..20, square), pool.imap(20..40, square));
    let pairs: Vec<_> = first.zip(second).collect();
    assert!(
        pairs
            .into_iter()
            .eq((0..20).map(|n| (square(n), square(n + 20))))
    );
}
