//! Runtimes of several workers: what is spawned there is shared, and everything works across them.

mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustlet::sync::{Barrier, Event, mpmc};
use rustlet::{Runtime, spawn, spawn_local, spawn_on, worker_index, yield_now};
use support::watchdog;

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

#[test]
fn run_returns_the_value_and_raises_the_panic() {
    let _watchdog = watchdog();
    let runtime = runtime(2);
    assert_eq!(runtime.run(|| 6 * 7), 42);
    let raised = std::panic::catch_unwind(|| runtime.run(|| panic!("as told")));
    assert_eq!(*raised.unwrap_err().downcast::<&str>().unwrap(), "as told");
}

#[test]
fn a_worker_that_computes_does_not_hold_back_what_has_not_started() {
    let _watchdog = watchdog();
    for workers in [2, 4] {
        let runtime = runtime(workers);
        let ran = runtime.run(|| {
            let ran = Arc::new(AtomicUsize::new(0));
            for _ in 0..100 {
                let ran = ran.clone();
                spawn(move || ran.fetch_add(1, Ordering::SeqCst));
            }
            // Never gives its thread back.
            let deadline = Instant::now() + Duration::from_secs(30);
            while ran.load(Ordering::SeqCst) < 100 && Instant::now() < deadline {
                std::hint::spin_loop();
            }
            ran.load(Ordering::SeqCst)
        });
        assert_eq!(ran, 100);
    }
}

#[test]
fn nor_does_one_that_was_quick_before() {
    let _watchdog = watchdog();
    for workers in [2, 4] {
        let held_back = runtime(workers).run(|| {
            (0..50).find(|_| {
                // One greenlet at a time, started at once: nobody else need take it.
                for number in 0..2_000 {
                    assert_eq!(spawn(move || number).join().unwrap(), number);
                }
                // One more, and the worker is not quick any more.
                let begun = Arc::new(AtomicUsize::new(0));
                let begins = begun.clone();
                let last = spawn(move || begins.store(1, Ordering::SeqCst));
                let deadline = Instant::now() + Duration::from_secs(30);
                while begun.load(Ordering::SeqCst) == 0 && Instant::now() < deadline {
                    std::hint::spin_loop();
                }
                let has_begun = begun.load(Ordering::SeqCst) == 1;
                last.join().unwrap();
                !has_begun
            })
        });
        assert_eq!(held_back, None, "with {workers} workers");
    }
}

#[test]
fn busy_workers_relieve_a_stuck_one() {
    let _watchdog = watchdog();
    let runtime = runtime(2);
    let done = Arc::new(Event::new());
    let stop = done.clone();
    // Worker 1 is never idle.
    let busy = runtime.handle().spawn_on(1, move || {
        while !stop.is_set() {
            yield_now();
        }
    });
    let by = runtime
        .handle()
        .spawn_on(0, move || {
            let (report, by) = std::sync::mpsc::channel();
            spawn(move || report.send(worker_index()).unwrap());
            by.recv_timeout(Duration::from_secs(30)) // blocks the thread
        })
        .join()
        .unwrap();
    assert_eq!(by, Ok(Some(1)));
    done.set();
    busy.join().unwrap();
}

#[test]
fn local_and_pinned_greenlets_stay() {
    let _watchdog = watchdog();
    let runtime = runtime(4);
    runtime.run(|| {
        let here = worker_index().unwrap();
        let thread = std::thread::current().id();
        let locals: Vec<_> = (0..1000)
            .map(|_| {
                let not_send = std::rc::Rc::new(());
                spawn_local(move || {
                    yield_now();
                    drop(not_send);
                    std::thread::current().id()
                })
            })
            .collect();
        for worker in 0..4 {
            let there = spawn_on(worker, move || {
                let before = worker_index();
                yield_now();
                assert_eq!(worker_index(), before);
                before
            });
            assert_eq!(there.join().unwrap(), Some(worker));
        }
        assert_eq!(worker_index(), Some(here));
        for local in locals {
            assert_eq!(local.join().unwrap(), thread);
        }
    });
}

#[test]
fn started_greenlets_never_move() {
    let _watchdog = watchdog();
    let runtime = runtime(4);
    let workers: HashSet<_> = runtime.run(|| {
        let greenlets: Vec<_> = (0..2000)
            .map(|_| {
                spawn(|| {
                    let thread = std::thread::current().id();
                    for _ in 0..20 {
                        yield_now();
                        assert_eq!(std::thread::current().id(), thread);
                    }
                    worker_index().unwrap()
                })
            })
            .collect();
        greenlets.into_iter().map(|g| g.join().unwrap()).collect()
    });
    assert!(!workers.is_empty());
}

#[test]
fn all_workers_take_part() {
    let _watchdog = watchdog();
    let runtime = runtime(4);
    // Four that wait for each other while they keep their threads.
    runtime.run(|| {
        let barrier = Arc::new(std::sync::Barrier::new(4));
        let all: Vec<_> = (0..4)
            .map(|_| {
                let barrier = barrier.clone();
                spawn(move || {
                    barrier.wait();
                    worker_index().unwrap()
                })
            })
            .collect();
        let seen: HashSet<_> = all.into_iter().map(|g| g.join().unwrap()).collect();
        assert_eq!(seen.len(), 4);
    });
}

#[test]
fn waits_work_across_workers() {
    let _watchdog = watchdog();
    let runtime = runtime(3);
    runtime.run(|| {
        let (tx, rx) = mpmc::bounded::<usize>(3);
        let consumers: Vec<_> = (0..3)
            .map(|worker| {
                let rx = rx.clone();
                spawn_on(worker, move || rx.iter().sum::<usize>())
            })
            .collect();
        drop(rx);
        let barrier = Arc::new(Barrier::new(3));
        let producers: Vec<_> = (0..3)
            .map(|worker| {
                let (tx, barrier) = (tx.clone(), barrier.clone());
                spawn_on(worker, move || {
                    barrier.wait();
                    for n in 1..=1000 {
                        tx.send(n).unwrap();
                    }
                })
            })
            .collect();
        drop(tx);
        for producer in producers {
            producer.join().unwrap();
        }
        let total: usize = consumers.into_iter().map(|c| c.join().unwrap()).sum();
        assert_eq!(total, 3 * 500_500);
    });
}

#[test]
fn kills_reach_greenlets_of_no_worker_yet_and_of_any() {
    let _watchdog = watchdog();
    let runtime = runtime(2);
    runtime.run(|| {
        for round in 0..500 {
            let ran = Arc::new(AtomicUsize::new(0));
            let victims: Vec<_> = (0..8)
                .map(|_| {
                    let ran = ran.clone();
                    spawn(move || {
                        ran.fetch_add(1, Ordering::SeqCst);
                        rustlet::sleep(Duration::MAX);
                    })
                })
                .collect();
            if round % 2 == 0 {
                yield_now();
            }
            for victim in &victims {
                victim.kill_nowait();
            }
            for victim in victims {
                assert!(victim.join().unwrap_err().is_killed());
            }
            assert!(ran.load(Ordering::SeqCst) <= 8);
        }
    });
}
