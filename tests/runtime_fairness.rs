//! Who runs when: fresh greenlets and those that run already do not starve each other, and the order of first runs.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustlet::{Runtime, sleep, spawn, spawn_local, spawn_on, yield_now};
use support::{Counter, watchdog};

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

#[test]
fn a_yield_loop_on_every_worker_does_not_starve_fresh_work() {
    let _watchdog = watchdog();
    for workers in [1, 2, 4] {
        let runtime = runtime(workers);
        let stop = Arc::new(AtomicBool::new(false));
        let loops: Vec<_> = (0..workers)
            .map(|worker| {
                let stop = stop.clone();
                runtime.handle().spawn_on(worker, move || {
                    while !stop.load(Ordering::Relaxed) {
                        yield_now();
                    }
                })
            })
            .collect();
        // From outside, from inside, to a worker, as future, after a time.
        let outside: Vec<_> = (0..200).map(|_| runtime.spawn(yield_now)).collect();
        outside.into_iter().for_each(|g| g.join().unwrap());
        runtime.run(move || {
            let inside: Vec<_> = (0..200).map(|_| spawn(yield_now)).collect();
            inside.into_iter().for_each(|g| g.join().unwrap());
            let pinned: Vec<_> = (0..200).map(|n| spawn_on(n % workers, yield_now)).collect();
            pinned.into_iter().for_each(|g| g.join().unwrap());
            let futures: Vec<_> = (0..200)
                .map(|n| rustlet::spawn_future(async move { n }))
                .collect();
            futures.into_iter().for_each(|f| assert!(f.join().is_ok()));
            sleep(Duration::from_millis(1));
        });
        stop.store(true, Ordering::Relaxed);
        loops.into_iter().for_each(|g| g.join().unwrap());
    }
}

#[test]
fn fresh_work_without_end_does_not_starve_what_runs() {
    let _watchdog = watchdog();
    for workers in [1, 2] {
        let runtime = runtime(workers);
        let stop = Arc::new(AtomicBool::new(false));
        // Each spawns its successors: the deques are never empty.
        fn breed(stop: Arc<AtomicBool>) {
            if !stop.load(Ordering::Relaxed) {
                spawn(move || breed(stop));
            }
        }
        for _ in 0..workers * 8 {
            let stop = stop.clone();
            runtime.spawn(move || breed(stop));
        }
        let yielders: Vec<_> = (0..workers)
            .map(|worker| {
                runtime.handle().spawn_on(worker, || {
                    (0..2000).for_each(|_| yield_now());
                    sleep(Duration::from_millis(1)); // and timers go on
                })
            })
            .collect();
        yielders.into_iter().for_each(|g| g.join().unwrap());
        stop.store(true, Ordering::Relaxed);
        runtime.shutdown(Duration::from_secs(50)).unwrap();
    }
}

#[test]
fn on_one_worker_first_runs_are_in_the_order_of_spawning() {
    let _watchdog = watchdog();
    let runtime = runtime(1);
    let order = Arc::new(Mutex::new(Vec::new()));
    let log = order.clone();
    runtime.run(move || {
        let all: Vec<_> = (0..1000)
            .map(|n| {
                let log = log.clone();
                let f = move || log.lock().unwrap().push(n);
                match n % 3 {
                    0 => spawn(f),
                    1 => spawn_local(f),
                    _ => spawn_on(0, f),
                }
            })
            .collect();
        all.into_iter().for_each(|g| g.join().unwrap());
    });
    assert_eq!(*order.lock().unwrap(), Vec::from_iter(0..1000));
    // From outside, too.
    order.lock().unwrap().clear();
    let all: Vec<_> = (0..1000)
        .map(|n| {
            let log = order.clone();
            runtime.spawn(move || log.lock().unwrap().push(n))
        })
        .collect();
    all.into_iter().for_each(|g| g.join().unwrap());
    assert_eq!(*order.lock().unwrap(), Vec::from_iter(0..1000));
}

#[test]
fn what_one_thread_spawns_on_a_worker_runs_in_that_order() {
    let _watchdog = watchdog();
    let runtime = runtime(3);
    let logs: [Arc<Mutex<Vec<usize>>>; 3] = Default::default();
    let (to, handle) = (logs.clone(), runtime.handle());
    let all: Vec<_> = (0..3000)
        .map(|n| {
            let log = to[n % 3].clone();
            handle.spawn_on(n % 3, move || log.lock().unwrap().push(n))
        })
        .collect();
    all.into_iter().for_each(|g| g.join().unwrap());
    for (worker, log) in logs.iter().enumerate() {
        assert_eq!(
            *log.lock().unwrap(),
            Vec::from_iter((0..1000).map(|n| 3 * n + worker))
        );
    }
}

#[test]
fn a_burst_from_outside_is_all_run() {
    let _watchdog = watchdog();
    for workers in [1, 2, 4] {
        let runtime = runtime(workers);
        let ran = Counter::default();
        for _ in 0..3 {
            let burst: Vec<_> = (0..10_000)
                .map(|_| {
                    let ran = ran.clone();
                    runtime.spawn(move || ran.add())
                })
                .collect();
            burst.into_iter().for_each(|g| assert!(g.join().is_ok()));
        }
        assert_eq!(ran.get(), 30_000);
        // An end is told before it is counted.
        let finished = |metrics: rustlet::RuntimeMetrics| -> u64 {
            metrics.workers.iter().map(|worker| worker.finished).sum()
        };
        while finished(runtime.metrics()) < 30_000 {
            std::thread::yield_now();
        }
        assert_eq!(finished(runtime.metrics()), 30_000);
        assert_eq!(runtime.metrics().live, 0);
    }
}

#[test]
fn a_burst_wakes_workers_enough() {
    let _watchdog = watchdog();
    let runtime = runtime(4);
    // Each of the four blocks its thread until all four have begun: fewer awake workers would never get there.
    for _ in 0..50 {
        let barrier = Arc::new(std::sync::Barrier::new(4));
        let all: Vec<_> = (0..4)
            .map(|_| {
                let barrier = barrier.clone();
                runtime.spawn(move || barrier.wait().is_leader())
            })
            .collect();
        let leaders = all.into_iter().map(|g| g.join().unwrap());
        assert_eq!(leaders.filter(|&leader| leader).count(), 1);
    }
}
