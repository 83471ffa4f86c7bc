//! Futures as light tasks on the workers: many of them, woken from anywhere, that panic, block, are cancelled, or outlive their runtime.

mod support;

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustlet::{
    FutureHandle, Runtime, Sleep, block_on, sleep, spawn, spawn_future, spawn_on, yield_now,
};
use support::{Counter, watchdog};

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

/// Ready once it was woken so often from outside.
#[derive(Clone, Default)]
struct Bell(Arc<Mutex<(usize, Option<Waker>)>>);

impl Bell {
    fn ring(&self) {
        let waker = {
            let mut bell = self.0.lock().unwrap();
            bell.0 += 1;
            bell.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn rung(&self, times: usize) -> impl Future<Output = ()> + use<> {
        let bell = self.clone();
        poll_fn(move |cx| {
            let mut bell = bell.0.lock().unwrap();
            if bell.0 >= times {
                return Poll::Ready(());
            }
            bell.1 = Some(cx.waker().clone());
            Poll::Pending
        })
    }

    fn is_awaited(&self) -> bool {
        self.0.lock().unwrap().1.is_some()
    }
}

#[test]
fn thousands_that_yield_sleep_and_spawn() {
    let _watchdog = watchdog();
    for workers in [1, 2, 4] {
        let runtime = runtime(workers);
        let sum: u64 = runtime.run(|| {
            let futures: Vec<_> = (0..3000_u64)
                .map(|n| {
                    spawn_future(async move {
                        if n % 3 == 0 {
                            Sleep::new(Duration::from_micros(n)).await;
                        }
                        let mut polls = n % 4;
                        poll_fn(|cx| {
                            if polls == 0 {
                                return Poll::Ready(());
                            }
                            polls -= 1;
                            cx.waker().wake_by_ref();
                            Poll::Pending
                        })
                        .await;
                        // A future that waits for another.
                        match n % 10 {
                            0 => spawn_future(async move { n }).await.unwrap(),
                            _ => n,
                        }
                    })
                })
                .collect();
            futures
                .into_iter()
                .map(|future| future.join().unwrap())
                .sum()
        });
        assert_eq!(sum, 2999 * 1500);
        assert_eq!(runtime.metrics().futures, 0);
    }
}

#[test]
fn wakers_fire_on_plain_threads_and_on_any_worker() {
    let _watchdog = watchdog();
    let runtime = runtime(3);
    for ringer in [None, Some(0), Some(1), Some(2)] {
        const BELLS: usize = 100;
        const TIMES: usize = 20;
        let bells: Vec<Bell> = (0..BELLS).map(|_| Bell::default()).collect();
        let futures: Vec<_> = bells
            .iter()
            .map(|bell| {
                let bell = bell.clone();
                runtime.handle().spawn_future(async move {
                    for times in 1..=TIMES {
                        bell.rung(times).await;
                    }
                })
            })
            .collect();
        let ring = move || {
            for _ in 0..TIMES {
                bells.iter().for_each(Bell::ring);
                if ringer.is_some() {
                    yield_now();
                }
            }
        };
        match ringer {
            None => std::thread::spawn(ring).join().unwrap(),
            Some(worker) => runtime.handle().spawn_on(worker, ring).join().unwrap(),
        }
        // Waits from a plain thread, from a greenlet, and as a future.
        for (n, future) in futures.into_iter().enumerate() {
            match n % 3 {
                0 => future.join().unwrap(),
                1 => runtime.run(move || future.join().unwrap()),
                _ => block_on(future).unwrap(),
            }
        }
    }
}

#[test]
fn a_panic_is_the_joiners_and_the_destructor_has_run() {
    let _watchdog = watchdog();
    let runtime = runtime(2);
    let drops = Counter::default();
    for late in [false, true] {
        let guard = drops.on_drop();
        let future = runtime.handle().spawn_future(async move {
            let _guard = guard;
            if late {
                Sleep::new(Duration::from_millis(1)).await;
            }
            if true {
                panic!("no luck");
            }
        });
        let error = future.join().unwrap_err();
        assert!(error.is_panic() && !error.is_killed());
        let text = error.to_string();
        assert!(
            text.starts_with("the future spawned at tests/spawn_future.rs:"),
            "{text}"
        );
        assert!(text.ends_with("panicked: no luck"), "{text}");
        assert_eq!(
            *error.try_into_panic().unwrap().downcast::<&str>().unwrap(),
            "no luck"
        );
    }
    assert_eq!(drops.get(), 2);
    // A panic in the destructor is one as well, and nothing else suffers.
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("on the way out");
        }
    }
    struct WithBad(Bad);
    impl Future for WithBad {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            let _ = &self.0;
            Poll::Ready(())
        }
    }
    let error = runtime
        .handle()
        .spawn_future(WithBad(Bad))
        .join()
        .unwrap_err();
    assert!(
        error.to_string().ends_with("panicked: on the way out"),
        "{error}"
    );
    assert_eq!(
        runtime.handle().spawn_future(async { 5 }).join().unwrap(),
        5
    );
    assert_eq!(runtime.metrics().futures, 0);
}

#[test]
fn cancel_drops_it_and_drop_of_the_handle_does_not() {
    let _watchdog = watchdog();
    let runtime = runtime(2);
    let (drops, ran) = (Counter::default(), Counter::default());
    let until = |what: &Counter, wanted| {
        while what.get() < wanted {
            std::thread::yield_now();
        }
        assert_eq!(what.get(), wanted);
    };
    // Waiting, not polled yet, in the middle of a poll.
    let (guard, bell) = (drops.on_drop(), Bell::default());
    let rung = bell.rung(1);
    let waiting = runtime.handle().spawn_future(async move {
        let _guard = guard;
        rung.await;
    });
    while !bell.is_awaited() {
        std::thread::yield_now();
    }
    assert!(!waiting.is_finished());
    waiting.cancel();
    until(&drops, 1);
    bell.ring(); // a waker of something that is gone
    let guard = drops.on_drop();
    runtime
        .handle()
        .spawn_future(async move { drop(guard) })
        .cancel();
    until(&drops, 2);
    let (guard, count) = (drops.on_drop(), ran.clone());
    let (begin, began) = mpsc::channel();
    let busy = runtime.handle().spawn_future(async move {
        let _guard = guard;
        begin.send(()).unwrap();
        sleep(Duration::from_millis(5)); // blocks the poll, not the worker
        count.add();
        pending::<()>().await;
    });
    began.recv().unwrap();
    busy.cancel();
    until(&drops, 3);
    assert_eq!(ran.get(), 1, "a poll is not interrupted");
    // Detached.
    let (guard, count, bell) = (drops.on_drop(), ran.clone(), Bell::default());
    let rung = bell.rung(1);
    drop(runtime.handle().spawn_future(async move {
        let _guard = guard;
        rung.await;
        count.add();
    }));
    while !bell.is_awaited() {
        std::thread::yield_now();
    }
    assert_eq!(drops.get(), 3);
    bell.ring();
    until(&drops, 4);
    assert_eq!(ran.get(), 2);
    // After its end a cancel does nothing.
    let done = runtime.handle().spawn_future(async {});
    while !done.is_finished() {
        std::thread::yield_now();
    }
    done.cancel();
    while runtime.metrics().futures > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn one_that_blocks_in_its_poll_holds_up_itself_alone() {
    let _watchdog = watchdog();
    for workers in [1, 2] {
        let runtime = runtime(workers);
        runtime.run(|| {
            let open = Arc::new(rustlet::sync::Event::new());
            let blocked: Vec<_> = (0..20)
                .map(|_| {
                    let open = open.clone();
                    spawn_future(async move { open.wait() })
                })
                .collect();
            let others: Vec<_> = (0..500).map(|n| spawn_future(async move { n })).collect();
            others
                .into_iter()
                .for_each(|other| assert!(other.join().is_ok()));
            assert!(blocked.iter().all(|future| !future.is_finished()));
            open.set();
            blocked
                .into_iter()
                .for_each(|future| future.join().unwrap());
            // The runners that had waited inside of polls are there for others.
            let more: Vec<_> = (0..100)
                .map(|_| {
                    spawn_future(async {
                        sleep(Duration::from_millis(1));
                        Sleep::new(Duration::from_millis(1)).await;
                    })
                })
                .collect();
            more.into_iter().for_each(|future| future.join().unwrap());
        });
    }
}

#[test]
fn a_runner_that_is_killed_or_woken_by_what_it_polls_is_replaced() {
    let _watchdog = watchdog();
    for workers in [1, 2] {
        let runtime = runtime(workers);
        runtime.run(move || {
            let handles = Arc::new(Mutex::new(Vec::new()));
            for round in 0..50 {
                // The future takes hold of the greenlet that polls it, kills it or leaves tokens behind.
                let keep = handles.clone();
                let odd = spawn_future(async move {
                    let me = rustlet::current();
                    me.unpark();
                    keep.lock().unwrap().push(me.clone());
                    if round % 5 == 4 {
                        me.kill();
                    }
                });
                // A kill of oneself unwinds at once.
                assert_eq!(odd.join().is_ok(), round % 5 != 4);
                // While the runners rest.
                sleep(Duration::from_micros(200));
                for runner in handles.lock().unwrap().drain(..) {
                    if round % 2 == 0 {
                        runner.unpark();
                    } else if round % 3 == 0 {
                        runner.kill();
                    }
                }
                let block = spawn_future(async { sleep(Duration::from_micros(300)) });
                let all: Vec<_> = (0..10).map(|n| spawn_future(async move { n })).collect();
                all.into_iter()
                    .for_each(|future| assert!(future.join().is_ok()));
                block.join().unwrap();
            }
        });
        // Their ends are counted right: what is left is nothing, and it drains.
        assert_eq!(runtime.metrics().futures, 0);
        runtime.shutdown(Duration::from_secs(50)).unwrap();
    }
}

#[test]
fn the_end_of_the_runtime_drops_those_that_wait_and_tells_who_joins() {
    let _watchdog = watchdog();
    let drops = Counter::default();
    let bell = Bell::default();
    let mut handles: Vec<FutureHandle<()>> = Vec::new();
    let runtime = runtime(2);
    let begun = Counter::default();
    for n in 0..60 {
        let (guard, bell, begun) = (drops.on_drop(), bell.clone(), begun.clone());
        handles.push(runtime.handle().spawn_future(async move {
            let _guard = guard;
            begun.add();
            match n % 4 {
                0 => pending().await, // nobody has its waker
                1 => bell.rung(1).await,
                2 => Sleep::new(Duration::from_secs(3600)).await,
                _ => sleep(Duration::from_secs(3600)), // in the middle of a poll
            }
        }));
    }
    while begun.get() < 60 {
        std::thread::yield_now();
    }
    // Somebody waits already.
    let early = handles.pop().unwrap();
    let waiter = std::thread::spawn(move || early.join().unwrap_err().to_string());
    let in_greenlet = handles.remove(0);
    let greenlet = spawn(move || in_greenlet.join().unwrap_err().to_string());
    yield_now();
    assert!(runtime.shutdown(Duration::ZERO).is_err());
    assert_eq!(drops.get(), 60);
    let mut texts = vec![waiter.join().unwrap(), greenlet.join().unwrap()];
    for handle in handles {
        assert!(handle.is_finished());
        let error = handle.join().unwrap_err();
        assert!(!error.is_panic() && !error.is_killed(), "{error}");
        texts.push(error.to_string());
    }
    for text in texts {
        assert!(
            text.starts_with("the future spawned at tests/spawn_future.rs:"),
            "{text}"
        );
        assert!(
            text.ends_with("did not end before its runtime did"),
            "{text}"
        );
    }
    bell.ring(); // woken after the end
}

#[test]
fn wakers_outlive_the_runtime() {
    let _watchdog = watchdog();
    // Wakers in another thread's hands, which uses and drops them while and after the runtime ends.
    for _ in 0..30 {
        let runtime = runtime(2);
        let bell = Bell::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (ring, until) = (bell.clone(), stop.clone());
        let ringer = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                ring.ring();
            }
            ring.ring();
        });
        let polls = Arc::new(AtomicUsize::new(0));
        let count = polls.clone();
        let future = runtime.handle().spawn_future(async move {
            for times in 1.. {
                bell.rung(times).await;
                count.fetch_add(1, Ordering::Relaxed);
                // The bell may be far ahead: a poll without end could not be ended.
                let mut polled = false;
                poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    match std::mem::replace(&mut polled, true) {
                        true => Poll::Ready(()),
                        false => Poll::Pending,
                    }
                })
                .await;
            }
        });
        while polls.load(Ordering::Relaxed) < 5 {
            std::thread::yield_now();
        }
        drop(runtime);
        stop.store(true, Ordering::Relaxed);
        ringer.join().unwrap();
        assert!(future.join().is_err());
    }
}

#[test]
fn destructors_of_cancelled_futures_may_use_the_runtime_and_panic() {
    let _watchdog = watchdog();
    struct Busy(Counter);
    impl Drop for Busy {
        fn drop(&mut self) {
            yield_now();
            sleep(Duration::from_micros(10));
            self.0.add();
            panic!("as destructors should not");
        }
    }
    let runtime = runtime(2);
    let drops = Counter::default();
    let handles: Vec<_> = (0..20)
        .map(|_| {
            let busy = Busy(drops.clone());
            runtime.handle().spawn_future(async move {
                let _busy = busy;
                pending::<()>().await;
            })
        })
        .collect();
    while runtime.metrics().futures < 20 {
        std::thread::yield_now();
    }
    // Cancelled before its first poll, too.
    let busy = Busy(drops.clone());
    runtime
        .handle()
        .spawn_future(async move { drop(busy) })
        .cancel();
    drop(runtime);
    assert_eq!(drops.get(), 21);
    assert!(handles.into_iter().all(|handle| handle.join().is_err()));
}

#[test]
fn on_a_thread_of_no_runtime_it_is_a_greenlet() {
    let _watchdog = watchdog();
    assert_eq!(spawn_future(async { 3 }).join().unwrap(), 3);
    let error = spawn_future(async { panic!("here too") })
        .join()
        .map(|never: ()| never)
        .unwrap_err();
    assert!(error.to_string().ends_with("panicked: here too"), "{error}");
    let drops = Counter::default();
    let guard = drops.on_drop();
    let future = spawn_future(async move {
        let _guard = guard;
        pending::<()>().await;
    });
    yield_now();
    future.cancel();
    yield_now();
    assert_eq!(drops.get(), 1);
}

#[test]
fn a_kill_of_the_joiner_leaves_the_future_alone() {
    let _watchdog = watchdog();
    let runtime = runtime(2);
    runtime.run(|| {
        let ran = Counter::default();
        let (count, bell) = (ran.clone(), Bell::default());
        let rung = bell.rung(1);
        let future = spawn_future(async move {
            rung.await;
            count.add();
        });
        let joiner = spawn_on(1, move || future.join());
        sleep(Duration::from_millis(1));
        joiner.kill().unwrap();
        assert!(joiner.join().unwrap_err().is_killed());
        bell.ring();
        while ran.get() == 0 {
            yield_now();
        }
    });
}
