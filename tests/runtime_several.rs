//! Several runtimes in one process: into each other, inside each other.

mod support;

use std::sync::Arc;
use std::time::Duration;

use rustlet::sync::{Mutex, mpmc};
use rustlet::{Runtime, RuntimeHandle, sleep, spawn, worker_index, yield_now};
use support::{Counter, watchdog};

fn runtime(workers: usize, name: &str) -> Runtime {
    Runtime::builder()
        .workers(workers)
        .name(name)
        .build()
        .unwrap()
}

fn thread_name() -> String {
    std::thread::current().name().unwrap().to_owned()
}

#[test]
fn each_spawns_into_the_other_and_joins_there() {
    let _watchdog = watchdog();
    let (one, two) = (runtime(2, "one"), runtime(2, "two"));
    let (to_one, to_two) = (one.handle(), two.handle());
    let sum: usize = one.run(move || {
        let far: Vec<_> = (0..500)
            .map(|n| {
                let back = to_one.clone();
                to_two.spawn(move || {
                    assert!(thread_name().starts_with("two-"));
                    let here = spawn(|| assert!(thread_name().starts_with("two-")));
                    let home = back.spawn(move || {
                        assert!(thread_name().starts_with("one-"));
                        yield_now();
                        n
                    });
                    here.join().unwrap();
                    home.join().unwrap()
                })
            })
            .collect();
        assert!(thread_name().starts_with("one-"));
        far.into_iter()
            .map(|greenlet| greenlet.join().unwrap())
            .sum()
    });
    assert_eq!(sum, 499 * 250);
    // What came from the other side was counted on the right one: both drain.
    one.shutdown(Duration::from_secs(50)).unwrap();
    two.shutdown(Duration::from_secs(50)).unwrap();
}

#[test]
fn a_refusal_of_one_does_not_keep_the_other_from_draining() {
    let _watchdog = watchdog();
    let (one, two) = (runtime(2, "one"), runtime(2, "two"));
    let to_two = two.handle();
    drop(two);
    one.run(move || {
        for worker in 0..2 {
            assert!(rustlet::Builder::new().spawn_in(&to_two, || ()).is_err());
            assert!(
                rustlet::Builder::new()
                    .spawn_on(&to_two, worker, || ())
                    .is_err()
            );
        }
    });
    // A greenlet is counted as ended a moment after its joiners are told.
    while one.metrics().live > 0 {
        std::thread::yield_now();
    }
    one.shutdown(Duration::from_secs(50)).unwrap();
}

#[test]
fn channels_locks_and_kills_work_between_them() {
    let _watchdog = watchdog();
    let (one, two) = (runtime(2, "one"), runtime(2, "two"));
    let (tx, rx) = mpmc::bounded::<u64>(2);
    let total = Arc::new(Mutex::new(0));
    let consumers: Vec<_> = (0..4)
        .map(|_| {
            let (rx, total) = (rx.clone(), total.clone());
            two.spawn(move || {
                for n in rx.iter() {
                    let mut total = total.lock().unwrap();
                    yield_now(); // across a suspension
                    *total += n;
                }
            })
        })
        .collect();
    drop(rx);
    let producers: Vec<_> = (0..4)
        .map(|_| {
            let tx = tx.clone();
            one.spawn(move || (1..=250).for_each(|n| tx.send(n).unwrap()))
        })
        .collect();
    drop(tx);
    for greenlet in producers.into_iter().chain(consumers) {
        greenlet.join().unwrap();
    }
    assert_eq!(*total.lock().unwrap(), 4 * 250 * 251 / 2);
    let drops = Counter::default();
    let guard = drops.on_drop();
    let victim = two.spawn(move || {
        let _guard = guard;
        sleep(Duration::MAX);
    });
    one.run(move || victim.kill()).unwrap();
    assert_eq!(drops.get(), 1);
}

#[test]
fn one_is_made_used_and_dropped_inside_of_the_other() {
    let _watchdog = watchdog();
    let outer = runtime(2, "outer");
    for round in 0..10 {
        let result = outer.run(move || {
            let inner = runtime(2, "inner");
            assert_eq!(inner.run(thread_name).split_once('-').unwrap().0, "inner");
            assert!(inner.run(|| worker_index().is_some()));
            let deep = inner.run(|| {
                let innermost = runtime(1, "core");
                let seen = innermost.run(thread_name);
                innermost.shutdown(Duration::from_secs(50)).unwrap();
                seen
            });
            assert_eq!(deep, "core-0");
            let sleeper = inner.spawn(|| sleep(Duration::MAX));
            if round % 2 == 0 {
                drop(inner);
            } else {
                assert!(inner.shutdown(Duration::ZERO).is_err());
            }
            assert!(sleeper.join().unwrap_err().is_killed());
            assert_eq!(RuntimeHandle::current().unwrap().workers(), 2);
            thread_name()
        });
        assert!(result.starts_with("outer-"));
    }
}

#[test]
fn the_drop_inside_of_another_lets_the_others_of_its_worker_run() {
    let _watchdog = watchdog();
    let outer = runtime(1, "outer");
    outer.run(|| {
        let lock = Arc::new(Mutex::new(()));
        let inner = runtime(1, "inner");
        // A greenlet of `inner` blocks its thread until one of this worker has run, in a way that no kill ends.
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let (begin, began) = std::sync::mpsc::channel();
        let waiting = inner.spawn(move || {
            begin.send(()).unwrap();
            told.recv().unwrap();
        });
        began.recv().unwrap();
        let held = lock.clone();
        let helper = rustlet::spawn_local(move || {
            let _held = held.lock().unwrap();
            yield_now();
            tell.send(()).unwrap();
        });
        drop(inner); // would hang, if it blocked this worker's thread
        helper.join().unwrap();
        waiting.join().unwrap();
    });
}

#[test]
fn a_kill_in_the_middle_of_a_shutdown_still_ends_the_runtime() {
    let _watchdog = watchdog();
    let outer = runtime(1, "outer");
    let drops = Counter::default();
    let guard = drops.on_drop();
    let (begin, began) = std::sync::mpsc::channel();
    let shutting = outer.spawn(move || {
        let inner = runtime(2, "inner");
        let _sleeper = inner.spawn(move || {
            let _guard = guard;
            sleep(Duration::MAX);
        });
        begin.send(()).unwrap();
        let _ = inner.shutdown(Duration::MAX);
    });
    began.recv().unwrap();
    shutting.kill().unwrap();
    assert!(shutting.join().unwrap_err().is_killed());
    assert_eq!(
        drops.get(),
        1,
        "its greenlets have ended when the unwinding has passed"
    );
}
