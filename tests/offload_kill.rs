//! A kill or a timeout ends the wait for a job, not the job; what it returns is dropped once, on its thread.

mod support;

use std::sync::mpsc;
use std::thread::{self, ThreadId};
use std::time::Duration;

use rustlet::offload::{Limits, ThreadPool};
use rustlet::{spawn, spawn_blocking, timeout, unblock, yield_now};

/// Says on which thread it is dropped.
#[derive(Debug)]
struct Tells(mpsc::Sender<ThreadId>);

impl Drop for Tells {
    fn drop(&mut self) {
        let _ = self.0.send(thread::current().id());
    }
}

/// Lets the others run until `condition` holds.
fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        yield_now();
    }
}

#[test]
fn a_kill_leaves_the_job_running_and_its_result_is_dropped_there() {
    let _watchdog = support::watchdog();
    let (go, wait) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let (started, start) = mpsc::channel();
    let greenlet = spawn(move || {
        unblock(move || {
            started.send(thread::current().id()).unwrap();
            wait.recv().unwrap();
            Tells(tell)
        })
    });
    yield_now();
    let runs_on = start.recv().unwrap();
    greenlet.kill().unwrap();
    assert!(greenlet.join().unwrap_err().is_killed());
    assert_eq!(
        told.try_recv(),
        Err(mpsc::TryRecvError::Empty),
        "the job runs"
    );
    go.send(()).unwrap();
    assert_eq!(told.recv(), Ok(runs_on));
    assert!(told.recv().is_err(), "dropped once");
}

#[test]
fn a_timeout_does_the_same() {
    let _watchdog = support::watchdog();
    let (go, wait) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let elapsed = timeout(Duration::from_millis(1), || {
        unblock(move || {
            wait.recv().unwrap();
            Tells(tell)
        })
    });
    assert!(elapsed.is_err());
    go.send(()).unwrap();
    assert_ne!(told.recv(), Ok(thread::current().id()));
    assert!(told.recv().is_err());
    // The next wait is not disturbed by what the first has left behind.
    assert_eq!(unblock(|| 3), 3);
}

#[test]
fn what_is_held_back_never_runs_when_its_caller_is_killed() {
    let _watchdog = support::watchdog();
    let pool = std::sync::Arc::new(ThreadPool::with_limits(Limits::new().threads(1).queued(1)));
    let (go, wait) = mpsc::channel();
    let running = pool.spawn(move || wait.recv().unwrap());
    let queued = pool.spawn(|| ());
    let ran = support::Counter::default();
    let dropped = support::Counter::default();
    let held_back = [true, false].map(|handle| {
        let (pool, ran, on_drop) = (pool.clone(), ran.clone(), dropped.on_drop());
        spawn(move || {
            let job = move || {
                let _on_drop = &on_drop;
                ran.add();
            };
            match handle {
                true => drop(pool.spawn(job)),
                false => pool.unblock(job),
            }
        })
    });
    until(|| pool.stats().held_back == 2);
    for greenlet in held_back {
        greenlet.kill().unwrap();
        assert!(greenlet.join().unwrap_err().is_killed());
    }
    assert_eq!((pool.stats().held_back, dropped.get()), (0, 2));
    go.send(()).unwrap();
    running.join().unwrap();
    queued.join().unwrap();
    assert_eq!(pool.unblock(|| 1), 1);
    assert_eq!(ran.get(), 0);
}

#[test]
fn a_handle_that_is_dropped_leaves_its_job() {
    let _watchdog = support::watchdog();
    let (go, wait) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    drop(spawn_blocking(move || {
        wait.recv().unwrap();
        Tells(tell)
    }));
    go.send(()).unwrap();
    assert_ne!(told.recv(), Ok(thread::current().id()));

    // And if the job has ended, the result goes with the handle, here.
    let (tell, told) = mpsc::channel();
    let job = spawn_blocking(move || Tells(tell));
    until(|| job.is_finished());
    drop(job);
    assert_eq!(told.recv(), Ok(thread::current().id()));
    assert!(told.recv().is_err());
}

#[test]
fn a_join_that_is_killed_leaves_the_job() {
    let _watchdog = support::watchdog();
    let (go, wait) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let job = spawn_blocking(move || {
        wait.recv().unwrap();
        Tells(tell)
    });
    let greenlet = spawn(move || job.join().map(drop).unwrap());
    yield_now();
    greenlet.kill().unwrap();
    go.send(()).unwrap();
    assert_ne!(told.recv(), Ok(thread::current().id()));
}

#[test]
fn a_destructor_that_panics_does_not_cost_a_thread() {
    let _watchdog = support::watchdog();
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new(Panics2));
        }
    }
    struct Panics2;
    impl Drop for Panics2 {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new(()));
        }
    }
    let pool = ThreadPool::new(1);
    for _ in 0..10 {
        let (go, wait) = mpsc::channel();
        drop(pool.spawn(move || {
            wait.recv().unwrap();
            Panics
        }));
        go.send(()).unwrap();
        assert_eq!(pool.unblock(|| 1), 1);
    }
    assert_eq!(pool.stats().threads, 1);
}

#[test]
fn many_kills_at_any_moment_drop_each_result_once() {
    let _watchdog = support::watchdog();
    let made = support::Counter::default();
    let dropped = support::Counter::default();
    let rounds = 2000 / support::slowdown().min(20);
    for round in 0..rounds {
        let (made, dropped) = (made.clone(), dropped.clone());
        let greenlet = spawn(move || {
            unblock(move || {
                made.add();
                dropped.on_drop()
            })
        });
        for _ in 0..round % 40 {
            yield_now();
        }
        greenlet.kill().unwrap();
        drop(greenlet);
    }
    // Jobs start in order, but may end after a later one.
    until(|| rustlet::offload::stats().running == 0 && rustlet::offload::stats().queued == 0);
    until(|| dropped.get() == made.get());
    assert!(made.get() <= rounds as usize);
}
