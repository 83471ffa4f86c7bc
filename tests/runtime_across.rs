//! join, kill, throw, link and locals across workers, and from threads that are none.

mod support;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use rustlet::sync::Event;
use rustlet::{Greenlet, Runtime, sleep, spawn, spawn_on, worker_index, yield_now};
use support::{Counter, OnDrop, watchdog};

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

/// A greenlet of worker 1 that waits for ever, once it does.
fn waiting(runtime: &Runtime, guard: OnDrop) -> Greenlet<()> {
    let (begin, began) = mpsc::channel();
    let greenlet = runtime.handle().spawn_on(1, move || {
        let _guard = guard;
        begin.send(()).unwrap();
        sleep(Duration::MAX);
    });
    began.recv().unwrap();
    greenlet
}

#[test]
fn joins_from_workers_threads_and_greenlets_of_threads() {
    let _watchdog = watchdog();
    let runtime = runtime(2);
    let handle = runtime.handle();
    let make = move || {
        handle.spawn_on(1, || {
            sleep(Duration::from_millis(2));
            worker_index()
        })
    };
    // A thread's own code, a greenlet of it, another thread, another worker, the same worker.
    assert_eq!(make().join().unwrap(), Some(1));
    let greenlet = make();
    assert_eq!(
        spawn(move || greenlet.join().unwrap()).join().unwrap(),
        Some(1)
    );
    let greenlet = make();
    assert_eq!(
        std::thread::spawn(move || greenlet.join().unwrap())
            .join()
            .unwrap(),
        Some(1)
    );
    for worker in 0..2 {
        let greenlet = make();
        let joiner = runtime
            .handle()
            .spawn_on(worker, move || greenlet.join().unwrap());
        assert_eq!(joiner.join().unwrap(), Some(1));
    }
    // With a limit that comes first, and one that does not.
    let drops = Counter::default();
    let slow = waiting(&runtime, drops.on_drop());
    let slow = slow.join_timeout(Duration::from_millis(5)).unwrap_err();
    slow.kill().unwrap();
    assert_eq!(drops.get(), 1);
    let all: Vec<_> = (0..100).map(|_| make()).collect();
    assert!(
        rustlet::joinall(all)
            .into_iter()
            .all(|outcome| outcome.unwrap() == Some(1))
    );
}

#[test]
fn kills_and_throws_from_everywhere() {
    let _watchdog = watchdog();
    let runtime = runtime(2);
    let drops = Counter::default();
    // A thread's own code.
    waiting(&runtime, drops.on_drop()).kill().unwrap();
    assert_eq!(drops.get(), 1);
    // Another thread; another worker; its own worker.
    let victim = waiting(&runtime, drops.on_drop());
    std::thread::spawn(move || victim.kill().unwrap())
        .join()
        .unwrap();
    for worker in 0..2 {
        let victim = waiting(&runtime, drops.on_drop());
        let killer = runtime
            .handle()
            .spawn_on(worker, move || victim.kill().unwrap());
        killer.join().unwrap();
    }
    assert_eq!(drops.get(), 4);
    for worker in 0..2 {
        let target = waiting(&runtime, drops.on_drop());
        let thrower = runtime.handle().spawn_on(worker, move || {
            target.throw("thrown");
            target.join().unwrap_err().try_into_panic().unwrap()
        });
        assert_eq!(
            *thrower.join().unwrap().downcast::<&str>().unwrap(),
            "thrown"
        );
    }
    assert_eq!(drops.get(), 6);
}

#[test]
fn kills_race_with_the_first_run_and_the_end() {
    let _watchdog = watchdog();
    let runtime = runtime(2);
    let (made, drops) = (Counter::default(), Counter::default());
    let killers: Vec<_> = (0..2)
        .map(|_| {
            let (handle, made, drops) = (runtime.handle(), made.clone(), drops.clone());
            std::thread::spawn(move || {
                for n in 0..2000 {
                    made.add();
                    let guard = drops.on_drop();
                    let greenlet = handle.spawn(move || {
                        let _guard = guard;
                        if n % 2 == 0 {
                            yield_now();
                        }
                    });
                    if n % 3 == 0 {
                        std::thread::yield_now();
                    }
                    greenlet.kill_nowait();
                    match greenlet.join() {
                        Ok(()) => {}
                        Err(error) => assert!(error.is_killed(), "{error}"),
                    }
                }
            })
        })
        .collect();
    killers
        .into_iter()
        .for_each(|killer| killer.join().unwrap());
    assert_eq!(drops.get(), made.get());
    // An end is told before it is counted.
    while runtime.metrics().live > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn links_are_called_on_the_worker_of_the_one_that_ended() {
    let _watchdog = watchdog();
    let runtime = runtime(3);
    let (tell, told) = mpsc::channel();
    for from in [None, Some(0), Some(2)] {
        let drops = Counter::default();
        let greenlet = waiting(&runtime, drops.on_drop());
        let tell = tell.clone();
        let link = move |greenlet: Greenlet<()>| {
            for _ in 0..10 {
                let tell = tell.clone();
                greenlet.link(move |ended| {
                    assert!(ended.is_killed());
                    tell.send(worker_index()).unwrap();
                });
            }
            greenlet.kill_nowait();
            greenlet.wait().unwrap();
            // After the end, too.
            let tell = tell.clone();
            greenlet.link(move |_| tell.send(worker_index()).unwrap());
        };
        match from {
            None => link(greenlet),
            Some(worker) => runtime
                .handle()
                .spawn_on(worker, move || link(greenlet))
                .join()
                .unwrap(),
        }
        for _ in 0..11 {
            assert_eq!(told.recv().unwrap(), Some(1));
        }
    }
}

#[test]
fn links_of_what_was_stolen_are_called_where_it_ran() {
    let _watchdog = watchdog();
    let runtime = runtime(2);
    let (by, there) = runtime.run(|| {
        let (tell, told) = mpsc::channel();
        let stolen = spawn(worker_index);
        stolen.link(move |_| tell.send(worker_index()).unwrap());
        // Blocks the thread until the other worker has taken it, run it, and called the link.
        let there = told.recv_timeout(Duration::from_secs(30)).unwrap();
        (stolen.join().unwrap(), there)
    });
    assert!(by.is_some());
    assert_eq!(by, there);
}

rustlet::local! {
    static OWN: Cell<u32> = Cell::new(7);
    static GUARD: RefCell<Option<OnDrop>> = RefCell::new(None);
    inherit static CONTEXT: RefCell<Vec<usize>> = RefCell::new(Vec::new());
}

#[test]
fn locals_are_the_greenlets_and_inherited_wherever_it_starts() {
    let _watchdog = watchdog();
    let runtime = runtime(3);
    let drops = Counter::default();
    let count = drops.clone();
    runtime.run(move || {
        fn descend(depth: usize, drops: Counter) -> usize {
            assert_eq!(OWN.get(), 7, "not the spawner's");
            OWN.set(depth as u32);
            GUARD.set(Some(drops.on_drop()));
            CONTEXT.with_borrow_mut(|path| path.push(depth));
            yield_now();
            assert_eq!(OWN.get(), depth as u32);
            if depth == 0 {
                assert_eq!(CONTEXT.with_borrow(Vec::clone), [4, 3, 2, 1, 0]);
                return 1;
            }
            let children = [
                spawn({
                    let drops = drops.clone();
                    move || descend(depth - 1, drops)
                }),
                spawn_on(depth % 3, {
                    let drops = drops.clone();
                    move || descend(depth - 1, drops)
                }),
            ];
            let sum = children
                .into_iter()
                .map(|child| child.join().unwrap())
                .sum();
            assert_eq!(CONTEXT.with_borrow(Vec::len), 5 - depth, "a copy");
            sum
        }
        assert_eq!(descend(4, count), 16);
    });
    assert_eq!(drops.get(), 31);
}

#[test]
fn unparks_and_events_from_plain_threads_reach_every_worker() {
    let _watchdog = watchdog();
    let runtime = runtime(3);
    for round in 0..200 {
        let (begin, began) = mpsc::channel();
        let set = Arc::new(Event::new());
        let all: Vec<_> = (0..3)
            .map(|worker| {
                let (begin, set) = (begin.clone(), set.clone());
                runtime.handle().spawn_on(worker, move || {
                    begin.send(rustlet::current()).unwrap();
                    if round % 2 == 0 {
                        set.wait();
                    } else {
                        let _ = rustlet::park();
                    }
                })
            })
            .collect();
        let handles: Vec<_> = (0..3).map(|_| began.recv().unwrap()).collect();
        let waker = std::thread::spawn(move || {
            if round % 2 == 0 {
                set.set();
            } else {
                handles.iter().for_each(rustlet::Handle::unpark);
            }
        });
        all.into_iter()
            .for_each(|greenlet| greenlet.join().unwrap());
        waker.join().unwrap();
    }
}
