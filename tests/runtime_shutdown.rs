//! The end of a runtime: what it waits for, what it kills, what it refuses, and what it tells of.

mod support;

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::time::{Duration, Instant};

use rustlet::sync::Event;
use rustlet::{
    Pool, Runtime, RuntimeHandle, Unclean, sleep, spawn, spawn_future, spawn_later, yield_now,
};
use support::{Counter, watchdog};

const LONG: Duration = Duration::from_secs(3600);

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

#[test]
fn it_drains_what_spawns_more_while_it_drains() {
    let _watchdog = watchdog();
    for workers in [1, 2, 4] {
        let runtime = runtime(workers);
        let (ended, went_on) = (Counter::default(), Arc::new(Event::new()));
        fn tree(depth: u32, ended: Counter) {
            for _ in 0..2 {
                let ended = ended.clone();
                if depth > 0 {
                    spawn(move || {
                        yield_now();
                        tree(depth - 1, ended);
                    });
                } else {
                    spawn(move || ended.add());
                }
            }
        }
        let (count, begin) = (ended.clone(), went_on.clone());
        runtime.spawn(move || {
            begin.wait();
            tree(9, count);
        });
        let opener = {
            let handle = runtime.handle();
            std::thread::spawn(move || {
                // Once nothing is taken from outside any more, the drain has begun.
                while rustlet::Builder::new().spawn_in(&handle, || ()).is_ok() {
                    std::thread::yield_now();
                }
                went_on.set();
            })
        };
        runtime.shutdown(LONG).unwrap();
        assert_eq!(ended.get(), 1 << 10, "{workers} workers");
        opener.join().unwrap();
    }
}

#[test]
fn it_drains_futures_timers_pools_and_links() {
    let _watchdog = watchdog();
    let runtime = runtime(2);
    let ended = Counter::default();
    let count = ended.clone();
    runtime.run(move || {
        let sleepy = count.clone();
        drop(spawn_future(async move {
            rustlet::Sleep::new(Duration::from_millis(50)).await;
            sleepy.add();
        }));
        let late = count.clone();
        drop(spawn_later(Duration::from_millis(60), move || late.add()));
        let pool = Pool::new(2);
        for _ in 0..4 {
            let member = count.clone();
            drop(pool.spawn(move || {
                sleep(Duration::from_millis(15));
                member.add();
            }));
        }
        let linked = count.clone();
        spawn(|| sleep(Duration::from_millis(70))).link(move |_| {
            sleep(Duration::from_millis(5));
            linked.add();
        });
        let unblocked = count.clone();
        drop(spawn(move || {
            rustlet::unblock(|| std::thread::sleep(Duration::from_millis(30)));
            unblocked.add();
        }));
    });
    let handle = runtime.handle();
    runtime.shutdown(LONG).unwrap();
    assert_eq!(ended.get(), 8);
    let metrics = handle.metrics();
    assert_eq!(
        (metrics.live, metrics.futures, metrics.stacks_live),
        (0, 0, 0)
    );
}

/// A wake-up by a thread that is no worker was taken for something new while the runtime drained: the future was dropped.
#[test]
fn it_drains_a_future_that_another_thread_wakes() {
    let _watchdog = watchdog();
    let runtime = runtime(2);
    let (wakers, waits) = mpsc::channel();
    let open = Arc::new(AtomicBool::new(false));
    let is_open = open.clone();
    let future = runtime.handle().spawn_future(async move {
        poll_fn(|cx| match is_open.load(Ordering::SeqCst) {
            true => Poll::Ready(()),
            false => {
                wakers.send(cx.waker().clone()).unwrap();
                Poll::Pending
            }
        })
        .await;
        5
    });
    let waker = waits.recv().unwrap();
    let opener = {
        let handle = runtime.handle();
        std::thread::spawn(move || {
            // Once nothing is taken from outside any more, the drain has begun.
            while rustlet::Builder::new().spawn_in(&handle, || ()).is_ok() {
                std::thread::yield_now();
            }
            open.store(true, Ordering::SeqCst);
            waker.wake();
        })
    };
    runtime.shutdown(LONG).unwrap();
    opener.join().unwrap();
    assert_eq!(future.join().unwrap(), 5);
}

/// One that was handed to a certain worker just when the drain began was accepted, and then killed.
#[test]
fn what_is_accepted_while_it_begins_to_drain_runs() {
    let _watchdog = watchdog();
    for _ in 0..100 / support::slowdown().min(20) {
        let runtime = runtime(2);
        let (ran, started) = (Counter::default(), Arc::new(AtomicBool::new(false)));
        let spawners = [0, 1].map(|worker| {
            let (handle, ran, started) = (runtime.handle(), ran.clone(), started.clone());
            std::thread::spawn(move || {
                let mut accepted = 0;
                loop {
                    let ran = ran.clone();
                    let spawned =
                        rustlet::Builder::new().spawn_on(&handle, worker, move || ran.add());
                    started.store(true, Ordering::Relaxed);
                    match spawned {
                        Ok(_) => accepted += 1,
                        Err(_) => return accepted,
                    }
                }
            })
        });
        while !started.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        runtime.shutdown(LONG).unwrap();
        let accepted: usize = spawners.map(|spawner| spawner.join().unwrap()).iter().sum();
        assert_eq!(ran.get(), accepted, "accepted, and not run");
    }
}

#[test]
fn after_the_limit_greenlets_are_killed_and_destructors_run_once() {
    let _watchdog = watchdog();
    loop {
        let runtime = runtime(2);
        let (drops, begun) = (Counter::default(), Counter::default());
        for n in 0..100 {
            let (guard, begun) = (drops.on_drop(), begun.clone());
            runtime.spawn(move || {
                let _guard = guard;
                begun.add();
                if n % 2 == 0 {
                    sleep(Duration::MAX);
                } else {
                    let _ = rustlet::park();
                }
            });
        }
        while begun.get() < 100 {
            std::thread::yield_now();
        }
        let unclean = runtime.shutdown(Duration::from_millis(20)).unwrap_err();
        if unclean.stuck > 0 {
            // A thread that was got no processor for a second.
            continue;
        }
        assert_eq!(
            (unclean.killed, unclean.refused, unclean.stuck),
            (100, 0, 0),
            "{unclean}"
        );
        assert_eq!(drops.get(), 100);
        return;
    }
}

#[test]
fn a_greenlet_that_refuses_to_die_is_told_of() {
    let _watchdog = watchdog();
    loop {
        let runtime = runtime(2);
        let (begin, began) = std::sync::mpsc::channel();
        let refuser = runtime.spawn(move || {
            begin.send(()).unwrap();
            loop {
                let _ = std::panic::catch_unwind(|| sleep(LONG));
            }
        });
        began.recv().unwrap();
        let unclean = runtime.shutdown(Duration::ZERO).unwrap_err();
        if unclean.stuck > 0 {
            // A thread that was got no processor for a second.
            continue;
        }
        assert_eq!((unclean.killed, unclean.refused, unclean.stuck), (1, 1, 0));
        assert!(
            unclean.to_string().contains("1 of them refused to die"),
            "{unclean}"
        );
        let error = refuser
            .join()
            .map(|never: std::convert::Infallible| never)
            .unwrap_err();
        assert!(!error.is_killed() && !error.is_panic(), "{error}");
        return;
    }
}

#[test]
fn a_stuck_worker_is_told_of_and_not_waited_for() {
    let _watchdog = watchdog();
    loop {
        let runtime = runtime(2);
        let (let_go, released) = std::sync::mpsc::channel::<()>();
        let (begin, began) = std::sync::mpsc::channel();
        let ended = Counter::default();
        let guard = ended.on_drop();
        let stuck = runtime.handle().spawn_on(0, move || {
            let _guard = guard;
            begin.send(()).unwrap();
            let _ = released.recv(); // blocks the thread
        });
        began.recv().unwrap();
        let before = Instant::now();
        let unclean: Unclean = runtime.shutdown(Duration::ZERO).unwrap_err();
        if unclean.stuck > 1 {
            // A thread that was got no processor for a second.
            continue;
        }
        assert_eq!((unclean.killed, unclean.stuck), (1, 1), "{unclean}");
        assert!(before.elapsed() < Duration::from_secs(30));
        assert_eq!(ended.get(), 0);
        // It ends when it can.
        drop(let_go);
        let _ = stuck.join();
        assert_eq!(ended.get(), 1);
        return;
    }
}

#[test]
fn handles_outlive_the_runtime_and_are_refused() {
    let _watchdog = watchdog();
    let runtime = runtime(2);
    let handle = runtime.handle();
    let inside = runtime.run(|| RuntimeHandle::current().unwrap());
    runtime.shutdown(LONG).unwrap();
    for handle in [handle, inside] {
        let dropped = Counter::default();
        for attempt in 0..2 {
            let guard = dropped.on_drop();
            let f = move || drop(guard);
            let error = match attempt {
                0 => rustlet::Builder::new().spawn_in(&handle, f).unwrap_err(),
                _ => rustlet::Builder::new().spawn_on(&handle, 1, f).unwrap_err(),
            };
            assert!(
                error.to_string().contains("takes no new greenlets"),
                "{error}"
            );
            assert_eq!(
                dropped.get(),
                attempt + 1,
                "the closure is gone when the error is there"
            );
        }
        let guard = dropped.on_drop();
        let refused = handle.clone();
        let future = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            drop(refused.spawn_future(async move { drop(guard) }));
        }));
        assert!(future.is_err());
        assert_eq!(dropped.get(), 3);
        assert!(std::panic::catch_unwind(|| handle.spawn(|| ())).is_err());
        assert_eq!(handle.metrics().live, 0);
        assert_eq!(handle.metrics().futures, 0);
        assert_eq!(handle.resident_stack_bytes(), 0);
    }
}

#[test]
fn a_refusal_does_not_swallow_what_is_meant_for_the_spawner() {
    let _watchdog = watchdog();
    let ended = runtime(1);
    let handle = ended.handle();
    drop(ended);
    let greenlet = spawn(move || {
        // A destructor that waits, in a closure that is refused, in a greenlet that is killed.
        struct Waits;
        impl Drop for Waits {
            fn drop(&mut self) {
                yield_now();
            }
        }
        let waits = Waits;
        assert!(
            rustlet::Builder::new()
                .spawn_in(&handle, move || drop(waits))
                .is_err()
        );
        let _ = rustlet::park();
    });
    yield_now();
    greenlet.kill_nowait();
    assert!(greenlet.join().unwrap_err().is_killed());
}

#[test]
fn spawns_that_race_with_the_end_run_or_are_dropped() {
    let _watchdog = watchdog();
    for round in 0..20 {
        let runtime = runtime(2);
        let (made, ran, dropped) = (Counter::default(), Counter::default(), Counter::default());
        let stop = Arc::new(AtomicBool::new(false));
        let spawners: Vec<_> = (0..4)
            .map(|nth| {
                let handle = runtime.handle();
                let (made, ran, dropped) = (made.clone(), ran.clone(), dropped.clone());
                let stop = stop.clone();
                std::thread::spawn(move || {
                    let mut refused = 0;
                    while !stop.load(Ordering::Relaxed) || refused == 0 {
                        let (guard, ran) = (dropped.on_drop(), ran.clone());
                        made.add();
                        let f = move || {
                            ran.add();
                            if nth == 0 {
                                yield_now();
                            }
                            drop(guard);
                        };
                        let builder = rustlet::Builder::new();
                        let spawned = match nth % 2 {
                            0 => builder.spawn_in(&handle, f),
                            _ => builder.spawn_on(&handle, nth / 2, f),
                        };
                        match spawned {
                            Ok(greenlet) if made.get() % 16 == 0 => drop(greenlet.join()),
                            Ok(greenlet) => drop(greenlet),
                            Err(_) => refused += 1,
                        }
                        if refused > 100 {
                            break;
                        }
                    }
                    refused
                })
            })
            .collect();
        while ran.get() < 200 {
            std::thread::yield_now();
        }
        if round % 2 == 0 {
            drop(runtime);
        } else {
            let _ = runtime.shutdown(Duration::from_millis(round));
        }
        stop.store(true, Ordering::Relaxed);
        let refused: usize = spawners
            .into_iter()
            .map(|spawner| spawner.join().unwrap())
            .sum();
        assert!(refused > 0);
        // A thread that got no processor for a second was not waited for.
        while dropped.get() < made.get() {
            std::thread::yield_now();
        }
        assert_eq!(dropped.get(), made.get(), "each closure once");
        assert!(ran.get() + refused <= made.get());
    }
}

#[test]
fn futures_that_race_with_the_end_are_dropped_once_and_joins_return() {
    let _watchdog = watchdog();
    for _ in 0..20 {
        let runtime = runtime(2);
        let (made, dropped) = (Counter::default(), Counter::default());
        let handle = runtime.handle();
        let (count, drops) = (made.clone(), dropped.clone());
        let spawner = std::thread::spawn(move || {
            let mut handles = Vec::new();
            loop {
                let guard = drops.on_drop();
                count.add();
                let spawned = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    handle.spawn_future(async move {
                        let _guard = guard;
                        if guard_number().is_multiple_of(3) {
                            std::future::pending::<()>().await;
                        }
                        rustlet::Sleep::new(Duration::from_micros(50)).await;
                    })
                }));
                match spawned {
                    Ok(handle) => handles.push(handle),
                    Err(_) => break,
                }
            }
            handles
                .into_iter()
                .map(|handle| handle.join().is_ok())
                .filter(|&ok| ok)
                .count()
        });
        while made.get() < 300 {
            std::thread::yield_now();
        }
        drop(runtime);
        spawner.join().unwrap();
        assert_eq!(dropped.get(), made.get());
    }
}

fn guard_number() -> usize {
    use std::sync::atomic::AtomicUsize;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[test]
fn one_of_its_own_greenlets_may_not_wait_for_its_end() {
    let _watchdog = watchdog();
    let runtime = runtime(2);
    let handle = runtime.handle();
    let error = handle
        .spawn(move || runtime.shutdown(LONG).is_ok())
        .join()
        .unwrap_err();
    assert!(error.is_panic() || error.is_killed(), "{error}");
}

#[test]
fn dropped_by_one_of_its_own_greenlets_it_ends() {
    let _watchdog = watchdog();
    let runtime = runtime(2);
    let handle = runtime.handle();
    let (drops, after) = (Counter::default(), Counter::default());
    let (guard, went_on) = (drops.on_drop(), after.clone());
    let elsewhere = drops.on_drop();
    let other = handle.spawn_on(1, move || {
        let _elsewhere = elsewhere;
        sleep(Duration::MAX);
    });
    let suicide = handle.spawn_on(0, move || {
        let _guard = guard;
        drop(runtime); // returns, and the greenlet goes on until it next waits
        went_on.add();
        sleep(Duration::MAX);
        went_on.add();
    });
    assert!(suicide.join().unwrap_err().is_killed());
    assert!(other.join().unwrap_err().is_killed());
    assert_eq!((drops.get(), after.get()), (2, 1));
}

/// A scope waits for a child on another worker, which takes its time to be killed: the frame around the scope is left when it has.
#[test]
fn a_scope_is_left_when_its_child_on_another_worker_has_been_killed() {
    struct Lag(u64);
    impl Drop for Lag {
        fn drop(&mut self) {
            std::thread::sleep(Duration::from_millis(self.0));
        }
    }
    // Whether both frames were left.
    let end = |lag| {
        let runtime = Runtime::builder().workers(2).build().unwrap();
        let (outer, inner) = (Counter::default(), Counter::default());
        let (guard, child_guard) = (outer.on_drop(), inner.on_drop());
        let (began, begin) = std::sync::mpsc::channel();
        let (waits, waiting) = std::sync::mpsc::channel();
        runtime.spawn(move || {
            let _guard = guard;
            rustlet::scope(|scope| {
                scope.spawn(move || {
                    let _guard = child_guard;
                    let _lag = Lag(lag);
                    began.send(()).unwrap();
                    sleep(Duration::MAX);
                });
                // Until the other worker has taken it.
                begin.recv().unwrap();
                waits.send(()).unwrap();
                sleep(Duration::MAX);
            });
        });
        waiting.recv().unwrap();
        let unclean = runtime.shutdown(Duration::ZERO).unwrap_err();
        unclean.refused == 0 && (outer.get(), inner.get()) == (1, 1)
    };
    let _watchdog = watchdog();
    for lag in [0, 100] {
        for round in 0..4 {
            // A worker that gets no processor for half a second is not waited for.
            assert!((0..4).any(|_| end(lag)), "{lag} ms, round {round}");
        }
    }
}
