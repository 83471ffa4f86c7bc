//! Pools keep their limits: so many threads, so long a queue, callers beyond it in order; and they shrink.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rustlet::offload::{self, Limits, ThreadPool};
use rustlet::{sleep, spawn, unblock, yield_now};

fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        yield_now();
    }
}

#[test]
fn ten_thousand_jobs_on_four_threads() {
    let _watchdog = support::watchdog();
    let jobs = if support::emulated() { 500 } else { 10_000 };
    let pool = Arc::new(ThreadPool::with_limits(Limits::new().threads(4).queued(16)));
    let now = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let greenlets = Vec::from_iter((0..jobs).map(|n| {
        let (pool, now, most) = (pool.clone(), now.clone(), most.clone());
        spawn(move || {
            let job = move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
                n
            };
            match n % 2 {
                0 => pool.unblock(job),
                _ => pool.spawn(job).join().unwrap(),
            }
        })
    }));
    yield_now();
    let stats = pool.stats();
    assert!(
        stats.threads <= 4 && stats.running + stats.queued <= 20,
        "{stats:?}"
    );
    for (n, greenlet) in greenlets.into_iter().enumerate() {
        assert_eq!(greenlet.join().unwrap(), n);
    }
    let most = most.load(Ordering::SeqCst);
    assert!((1..=4).contains(&most), "{most} at once");
    let stats = pool.stats();
    assert_eq!((stats.queued, stats.held_back), (0, 0));
}

#[test]
fn jobs_start_in_the_order_of_the_calls_though_most_are_held_back() {
    let _watchdog = support::watchdog();
    let pool = Arc::new(ThreadPool::with_limits(Limits::new().threads(1).queued(3)));
    let (go, wait) = mpsc::channel::<()>();
    let blocker = pool.spawn(move || wait.recv().unwrap());
    let order = Arc::new(Mutex::new(Vec::new()));
    let greenlets = Vec::from_iter((0..100).map(|n| {
        let (pool, order) = (pool.clone(), order.clone());
        spawn(move || {
            let job = move || order.lock().unwrap().push(n);
            match n % 3 {
                0 => drop(pool.spawn(job)),
                1 => pool.spawn(job).join().unwrap(),
                _ => pool.unblock(job),
            }
        })
    }));
    // The blocker is in the queue until its thread has begun.
    until(|| (pool.stats().held_back, pool.stats().queued) == (97, 3));
    go.send(()).unwrap();
    // A caller that comes while room appears does not pass those who wait.
    let last = order.clone();
    pool.unblock(move || last.lock().unwrap().push(100));
    blocker.join().unwrap();
    for greenlet in greenlets {
        greenlet.join().unwrap();
    }
    assert_eq!(*order.lock().unwrap(), Vec::from_iter(0..=100));
}

#[test]
fn a_caller_is_let_go_when_its_job_is_in_the_queue() {
    let _watchdog = support::watchdog();
    // gevent's `spawn`: it blocks while all threads are busy.
    let pool = Arc::new(ThreadPool::with_limits(Limits::new().threads(1).queued(0)));
    let (go, wait) = mpsc::channel::<()>();
    let (go_2, wait_2) = mpsc::channel::<()>();
    let first = pool.spawn(move || wait.recv().unwrap());
    let theirs = pool.clone();
    let second = spawn(move || theirs.spawn(move || wait_2.recv().unwrap()));
    until(|| pool.stats().held_back == 1);
    assert!(!second.is_finished());
    go.send(()).unwrap();
    let handle = second.join().unwrap(); // the job itself has not ended
    assert!(!handle.is_finished());
    first.join().unwrap();
    go_2.send(()).unwrap();
    handle.join().unwrap();
}

#[test]
fn threads_come_when_they_are_needed_and_go_when_they_are_not() {
    let _watchdog = support::watchdog();
    let idle = Duration::from_millis(20);
    let pool = ThreadPool::with_limits(Limits::new().threads(8).idle(idle));
    assert_eq!(pool.stats().threads, 0);
    let barrier = Arc::new(std::sync::Barrier::new(8));
    let jobs = Vec::from_iter((0..8).map(|_| {
        let barrier = barrier.clone();
        pool.spawn(move || barrier.wait()) // ends only if all eight run at once
    }));
    for job in jobs {
        job.join().unwrap();
    }
    while pool.stats().threads > 0 {
        sleep(Duration::from_millis(5));
    }
    assert_eq!(pool.unblock(|| 1), 1, "and they come again");
}

#[test]
fn a_thread_that_is_idle_is_used_again() {
    let _watchdog = support::watchdog();
    let pool = ThreadPool::new(8);
    for _ in 0..50 {
        pool.unblock(|| ());
        until(|| pool.stats().idle == pool.stats().threads);
    }
    assert_eq!(pool.stats().threads, 1);
}

#[test]
fn idle_threads_sleep() {
    if !support::is_child() {
        return support::child("idle_threads_sleep").run().assert_passed();
    }
    unblock(|| ());
    let switches = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let of_pool = tasks.filter_map(|task| {
            let task = task.ok()?.path();
            let name = std::fs::read_to_string(task.join("comm")).ok()?;
            let status = std::fs::read_to_string(task.join("status")).ok()?;
            let line = status
                .lines()
                .find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"))?;
            (name.trim() == "rustlet-offload").then(|| line.trim().parse::<u64>().unwrap())
        });
        Vec::from_iter(of_pool)
    };
    until(|| offload::stats().idle == 1);
    sleep(Duration::from_millis(50)); // until it has gone to sleep, mostly; else the assertion is weaker
    let before = switches();
    sleep(Duration::from_secs(2));
    let after = switches();
    if before.len() == 1 && after.len() == 1 {
        assert!(
            after[0] <= before[0] + 1,
            "woken meanwhile: {before:?} {after:?}"
        );
    } else {
        assert!(
            support::emulated(),
            "one thread of the pool: {before:?} {after:?}"
        );
    }
}

#[test]
fn a_dropped_pool_does_what_it_was_given() {
    let _watchdog = support::watchdog();
    let pool = ThreadPool::new(1);
    let done = support::Counter::default();
    let (go, wait) = mpsc::channel::<()>();
    let first = pool.spawn(move || wait.recv().unwrap());
    let jobs = Vec::from_iter((0..10).map(|_| {
        let done = done.clone();
        pool.spawn(move || done.add())
    }));
    drop(pool);
    go.send(()).unwrap();
    first.join().unwrap();
    for job in jobs {
        job.join().unwrap();
    }
    assert_eq!(done.get(), 10);
}

#[test]
fn map_keeps_the_order_and_the_first_panic() {
    let _watchdog = support::watchdog();
    let pool = ThreadPool::with_limits(Limits::new().threads(3).queued(2));
    assert_eq!(
        pool.map(0..50, |n| 2 * n),
        Vec::from_iter((0..50).map(|n| 2 * n))
    );
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        pool.map(0..10, |n| match n {
            3 | 7 => std::panic::panic_any(n),
            n => n,
        })
    }));
    assert_eq!(*caught.unwrap_err().downcast::<i32>().unwrap(), 3);
}

#[test]
fn limits_of_the_process_are_set_once_and_before_use() {
    if !support::is_child() {
        return support::child("limits_of_the_process_are_set_once_and_before_use")
            .run()
            .assert_passed();
    }
    let _watchdog = support::watchdog();
    assert_eq!(offload::stats(), offload::Stats::default());
    offload::set_limits(Limits::new().threads(0).queued(1)).unwrap(); // 0 means 1
    assert!(offload::set_limits(Limits::new()).is_err());
    let (go, wait) = mpsc::channel::<()>();
    let blocker = rustlet::spawn_blocking(move || wait.recv().unwrap());
    let others = Vec::from_iter((0..3).map(|n| spawn(move || unblock(move || n))));
    until(|| offload::stats().held_back == 2);
    assert_eq!(offload::stats().threads, 1);
    go.send(()).unwrap();
    blocker.join().unwrap();
    for (n, other) in others.into_iter().enumerate() {
        assert_eq!(other.join().unwrap(), n);
    }
    assert!(
        offload::set_limits(Limits::new())
            .unwrap_err()
            .to_string()
            .contains("once")
    );
}

#[test]
fn without_a_thread_jobs_run_on_the_callers() {
    if !support::is_child() {
        return support::child("without_a_thread_jobs_run_on_the_callers")
            .run()
            .assert_passed();
    }
    if support::emulated() {
        return; // the limit would be the emulator's
    }
    let _watchdog = support::watchdog();
    // Warm up what needs memory itself.
    spawn(yield_now).join().unwrap();
    let pool = ThreadPool::new(4);
    let limit = (support::address_space_bytes() + 512 * 1024) as u64; // no room for a thread's stack
    let rlimit = rustix::process::Rlimit {
        current: Some(limit),
        maximum: rustix::process::getrlimit(rustix::process::Resource::As).maximum,
    };
    rustix::process::setrlimit(rustix::process::Resource::As, rlimit).unwrap();
    let here = std::thread::current().id();
    assert_eq!(pool.unblock(|| std::thread::current().id()), here);
    let job = pool.spawn(|| std::thread::current().id());
    assert_eq!(job.join().unwrap(), here);
    assert_eq!(pool.stats(), offload::Stats::default());
}
