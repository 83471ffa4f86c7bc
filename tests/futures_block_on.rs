//! `block_on`: no wake-up is lost, whoever calls the waker, when, and how often; others go on; a kill, a timeout and a
//! panic unwind out of it and drop the future.
#![allow(unsafe_code)] // `pre_exec`, which is how std forks.

mod support;

use std::cell::Cell;
use std::future::{Future, pending, poll_fn, ready};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use rustlet::{Sleep, block_on};
use support::{Counter, watchdog};

const AGES: Duration = Duration::from_secs(3600);

/// Ready when somebody has opened it; keeps the waker of the latest poll.
#[derive(Clone, Debug, Default)]
struct Gate(Arc<Mutex<(bool, Option<Waker>)>>);

impl Gate {
    fn open(&self) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            state.0 = true;
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn waker(&self) -> Option<Waker> {
        self.0.lock().unwrap().1.clone()
    }
}

impl Future for Gate {
    type Output = ();
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap();
        if state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[test]
fn what_is_ready_is_returned_without_a_switch() {
    let _watchdog = watchdog();
    let before = rustlet::stats().switches;
    assert_eq!(block_on(ready(7)), 7);
    assert_eq!(rustlet::stats().switches, before);
}

#[test]
fn others_run_while_a_greenlet_waits() {
    let _watchdog = watchdog();
    let gate = Gate::default();
    let waiting = rustlet::spawn({
        let gate = gate.clone();
        move || block_on(gate)
    });
    rustlet::yield_now();
    assert!(!waiting.is_finished());
    gate.open();
    waiting.join().unwrap();
}

#[test]
fn a_threads_own_code_runs_the_greenlets_meanwhile() {
    let _watchdog = watchdog();
    let gate = Gate::default();
    let opener = gate.clone();
    let greenlet = rustlet::spawn(move || {
        rustlet::sleep(Duration::from_millis(2));
        opener.open();
    });
    block_on(gate);
    greenlet.join().unwrap();
}

#[test]
fn other_threads_wake() {
    let _watchdog = watchdog();
    // Each round ends only if its wake-up arrived, whether it came before, during or after the park.
    for round in 0..500 {
        let gate = Gate::default();
        let opener = gate.clone();
        let thread = thread::spawn(move || {
            for _ in 0..round % 50 {
                std::hint::spin_loop();
            }
            opener.open();
        });
        if round % 2 == 0 {
            block_on(gate);
        } else {
            rustlet::spawn(move || block_on(gate)).join().unwrap();
        }
        thread.join().unwrap();
    }
}

#[test]
fn a_waker_may_be_called_often_and_after_the_end() {
    let _watchdog = watchdog();
    let gate = Gate::default();
    let waiting = rustlet::spawn({
        let gate = gate.clone();
        move || {
            block_on(gate);
            // A wake-up that is late leaves no trace in later waits.
            let polls = Cell::new(0);
            let slept = Sleep::new(Duration::from_millis(20));
            let mut slept = pin!(slept);
            block_on(poll_fn(|cx| {
                polls.set(polls.get() + 1);
                slept.as_mut().poll(cx)
            }));
            polls.get()
        }
    });
    rustlet::yield_now();
    let waker = gate.waker().unwrap();
    gate.open();
    let stop = Arc::new(AtomicBool::new(false));
    let others: Vec<_> = (0..2)
        .map(|_| {
            let (waker, stop) = (waker.clone(), stop.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    waker.wake_by_ref();
                }
            })
        })
        .collect();
    assert_eq!(waiting.join().unwrap(), 2, "once at first, once when ready");
    stop.store(true, Ordering::Relaxed);
    others.into_iter().for_each(|thread| thread.join().unwrap());
    waker.wake(); // its greenlet has ended
}

#[test]
fn one_that_is_called_after_the_end_leaves_no_token() {
    let _watchdog = watchdog();
    let waker = block_on(poll_fn(|cx| Poll::Ready(cx.waker().clone())));
    waker.wake_by_ref();
    let start = Instant::now();
    rustlet::park_timeout(Duration::from_millis(20));
    assert!(start.elapsed() >= Duration::from_millis(20));
}

#[test]
fn a_waker_outlives_the_thread_it_wakes() {
    let _watchdog = watchdog();
    let gate = Gate::default();
    let thread = thread::spawn({
        let gate = gate.clone();
        move || {
            let mut gate = gate;
            block_on(poll_fn(|cx| {
                let _ = Pin::new(&mut gate).poll(cx);
                Poll::Ready(())
            }));
        }
    });
    thread.join().unwrap();
    let waker = gate.waker().unwrap();
    // Its hub's place is taken by another.
    thread::spawn(move || {
        rustlet::spawn(|| ()).join().unwrap();
        waker.wake_by_ref();
        rustlet::spawn(|| ()).join().unwrap();
    })
    .join()
    .unwrap();
}

#[test]
fn one_that_wakes_itself_lets_others_run() {
    let _watchdog = watchdog();
    let others = Rc::new(Cell::new(0));
    let counting = rustlet::spawn_local({
        let others = others.clone();
        move || {
            loop {
                others.set(others.get() + 1);
                rustlet::yield_now();
            }
        }
    });
    rustlet::spawn_local({
        let others = others.clone();
        move || {
            let mut rounds = 0;
            block_on(poll_fn(|cx| {
                assert!(others.get() >= rounds);
                rounds += 1;
                cx.waker().wake_by_ref();
                if rounds < 50 {
                    Poll::Pending
                } else {
                    Poll::Ready(())
                }
            }));
        }
    })
    .join()
    .unwrap();
    counting.kill().unwrap();
}

#[test]
fn futures_that_are_always_ready_let_others_run() {
    let _watchdog = watchdog();
    let stop = Rc::new(Cell::new(false));
    let stopper = rustlet::spawn_local({
        let stop = stop.clone();
        move || stop.set(true)
    });
    while !stop.get() {
        block_on(ready(()));
    }
    stopper.join().unwrap();
}

#[test]
fn code_that_is_polled_may_block() {
    let _watchdog = watchdog();
    // The inner wait takes the token of the outer waker's call; the call must not be lost with it.
    let gate = Gate::default();
    let greenlet = rustlet::spawn({
        let gate = gate.clone();
        move || {
            let mut gate = gate;
            let mut polls = 0;
            block_on(poll_fn(|cx| {
                polls += 1;
                let result = Pin::new(&mut gate).poll(cx);
                if polls == 1 {
                    rustlet::sleep(Duration::from_millis(30));
                    block_on(Sleep::new(Duration::from_millis(5))); // nested
                }
                result
            }));
            polls
        }
    });
    rustlet::yield_now();
    gate.open();
    assert_eq!(greenlet.join().unwrap(), 2);
}

#[test]
fn nested_to_some_depth() {
    let _watchdog = watchdog();
    fn nest(depth: u32) -> u32 {
        block_on(async move {
            Sleep::new(Duration::from_millis(1)).await;
            if depth == 0 { 0 } else { 1 + nest(depth - 1) }
        })
    }
    let all: Vec<_> = (0..10).map(|_| rustlet::spawn(|| nest(10))).collect();
    all.into_iter()
        .for_each(|one| assert_eq!(one.join().unwrap(), 10));
}

#[test]
fn a_kill_drops_the_future() {
    let _watchdog = watchdog();
    let dropped = Counter::default();
    let greenlet = rustlet::spawn({
        let guard = dropped.on_drop();
        move || {
            block_on(async move {
                let _guard = guard;
                pending::<()>().await;
            })
        }
    });
    rustlet::yield_now();
    assert_eq!(dropped.get(), 0);
    greenlet.kill().unwrap();
    assert_eq!(dropped.get(), 1);
    assert!(greenlet.join().unwrap_err().is_killed());
}

#[test]
fn a_kill_inside_a_nested_wait_unwinds_both() {
    let _watchdog = watchdog();
    let dropped = Counter::default();
    let greenlet = rustlet::spawn({
        let (outer, inner) = (dropped.on_drop(), dropped.on_drop());
        move || {
            block_on(async move {
                let _outer = outer;
                block_on(async move {
                    let _inner = inner;
                    pending::<()>().await;
                });
            })
        }
    });
    rustlet::yield_now();
    greenlet.kill().unwrap();
    assert_eq!(dropped.get(), 2);
}

#[test]
fn a_timeout_interrupts_it() {
    let _watchdog = watchdog();
    let dropped = Counter::default();
    let guard = dropped.on_drop();
    let result = rustlet::timeout(Duration::from_millis(5), || {
        block_on(async {
            let _guard = guard;
            Sleep::new(AGES).await;
        });
    });
    assert!(result.is_err());
    assert_eq!(dropped.get(), 1);
    // And a timeout that did not come to pass leaves nothing behind.
    assert_eq!(rustlet::timeout(AGES, || block_on(ready(1))), Ok(1));
}

#[test]
fn a_panic_passes_through() {
    let _watchdog = watchdog();
    let payload = catch_unwind(|| block_on(async { std::panic::panic_any(5_u8) })).unwrap_err();
    assert_eq!(*payload.downcast::<u8>().unwrap(), 5);
    block_on(Sleep::new(Duration::from_millis(1)));
}

/// Waits in its destructor.
struct Farewell<'a>(&'a Cell<bool>, Gate);

impl Drop for Farewell<'_> {
    fn drop(&mut self) {
        block_on(async {
            Sleep::new(Duration::from_millis(5)).await;
            (&mut self.1).await;
        });
        self.0.set(true);
    }
}

#[test]
fn while_unwinding_it_blocks_the_thread_and_looks_at_timers() {
    let _watchdog = watchdog();
    let (done, gate) = (Cell::new(false), Gate::default());
    let ran = Arc::new(AtomicUsize::new(0));
    let opener = {
        let gate = gate.clone();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            gate.open();
        })
    };
    let counted = ran.clone();
    let other = rustlet::spawn(move || counted.fetch_add(1, Ordering::Relaxed));
    let result = catch_unwind(AssertUnwindSafe(|| {
        let _farewell = Farewell(&done, gate);
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(result.is_err() && done.get());
    assert_eq!(
        ran.load(Ordering::Relaxed),
        0,
        "a greenlet ran during an unwinding"
    );
    other.join().unwrap();
    opener.join().unwrap();
}

#[test]
fn a_killed_greenlets_destructor_may_wait_too() {
    let _watchdog = watchdog();
    let (done, gate) = (Rc::new(Cell::new(false)), Gate::default());
    gate.open();
    let greenlet = rustlet::spawn_local({
        let done = done.clone();
        move || {
            let _farewell = Farewell(&done, gate);
            block_on(pending::<()>());
        }
    });
    rustlet::yield_now();
    greenlet.kill().unwrap();
    assert!(done.get());
}

#[test]
fn select_by_hand_takes_the_first() {
    let _watchdog = watchdog();
    let slow = rustlet::spawn(|| rustlet::sleep(AGES));
    let quick = rustlet::spawn(|| {
        rustlet::sleep(Duration::from_millis(5));
        "quick"
    });
    let killer = slow.handle();
    let winner = block_on(async {
        let (mut slow, mut quick) = (pin!(slow), pin!(quick));
        poll_fn(|cx| {
            if let Poll::Ready(ended) = quick.as_mut().poll(cx) {
                return Poll::Ready(ended.unwrap());
            }
            slow.as_mut().poll(cx).map(|_| "slow")
        })
        .await
    });
    assert_eq!(winner, "quick");
    killer.kill();
}

#[test]
fn futures_of_tokios_that_need_no_runtime_work() {
    let _watchdog = watchdog();
    let (send, mut receive) = tokio::sync::mpsc::channel(2);
    let sending = rustlet::spawn(move || {
        block_on(async {
            for n in 0..1000 {
                send.send(n).await.unwrap();
            }
        })
    });
    let mut received = Vec::new();
    while let Some(n) = block_on(receive.recv()) {
        received.push(n);
    }
    assert!(received.into_iter().eq(0..1000));
    sending.join().unwrap();
}

#[test]
fn a_future_may_be_polled_on_one_thread_after_the_other() {
    let _watchdog = watchdog();
    let pause = Duration::from_millis(300) * support::slowdown();
    let mut future: Pin<Box<dyn Future<Output = Instant> + Send>> = Box::pin(async move {
        Sleep::new(pause).await;
        Instant::now()
    });
    let start = Instant::now();
    for _ in 0..3 {
        let polled = thread::spawn(move || {
            let poll = block_on(poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))));
            (future, poll.is_ready())
        });
        let ready;
        (future, ready) = polled.join().unwrap();
        if ready {
            // This machine is very slow, and polling it again would panic.
            assert!(start.elapsed() >= pause);
            return;
        }
    }
    let end = block_on(future);
    assert!(end - start >= pause);
}

#[test]
fn a_sleep_can_be_put_off_and_taken_back() {
    let _watchdog = watchdog();
    let mut sleep = Sleep::new(Duration::from_millis(1));
    block_on(&mut sleep);
    assert!(sleep.is_elapsed());
    let start = Instant::now();
    sleep.reset(start + AGES);
    assert!(block_on(poll_fn(|cx| Poll::Ready(
        Pin::new(&mut sleep).poll(cx).is_pending()
    ))));
    sleep.reset(start + Duration::from_millis(10));
    block_on(&mut sleep);
    assert!(start.elapsed() >= Duration::from_millis(10));
    // Dropped while it is pending, here and on another thread.
    for elsewhere in [false, true] {
        let mut sleep = Sleep::new(AGES);
        block_on(poll_fn(|cx| {
            assert!(Pin::new(&mut sleep).poll(cx).is_pending());
            Poll::Ready(())
        }));
        if elsewhere {
            thread::spawn(move || drop(sleep)).join().unwrap();
        }
    }
}

#[test]
fn a_waker_that_panics_or_drops_much_harms_nobody() {
    let _watchdog = watchdog();
    struct Nasty(Mutex<Option<Sleep>>, AtomicBool);
    impl std::task::Wake for Nasty {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap().take()); // an alarm in the wheel that is just firing
            self.1.store(true, Ordering::SeqCst);
            panic!("a waker that panics");
        }
    }
    let mut other = Sleep::new(AGES);
    let short = Duration::from_millis(2) * support::slowdown().pow(2);
    block_on(poll_fn(|cx| {
        assert!(Pin::new(&mut other).poll(cx).is_pending());
        Poll::Ready(())
    }));
    let nasty = Arc::new(Nasty(Mutex::new(Some(other)), AtomicBool::new(false)));
    let waker = Waker::from(nasty.clone());
    // One that is over already when it is polled calls nobody.
    let sleep = loop {
        let mut sleep = Sleep::new(short);
        let polled = Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker));
        if polled.is_pending() {
            break sleep;
        }
    };
    block_on(Sleep::new(short * 10));
    assert!(sleep.is_elapsed() && nasty.1.load(Ordering::SeqCst));
}

#[test]
fn a_wait_that_nothing_can_end_is_a_panic_with_a_report() {
    let _watchdog = watchdog();
    if support::emulated() {
        println!("not run: the emulator has a thread of its own, which could wake anybody");
        return;
    }
    if !support::is_child() {
        let name = "a_wait_that_nothing_can_end_is_a_panic_with_a_report";
        support::child(name).run().assert_passed();
        return;
    }
    // Any other thread could hold the waker, so it takes a process with one thread: a fork of this.
    let mut command = std::process::Command::new("/this/is/never/run");
    // SAFETY: the forked process waits and ends. Of the threads it left behind, one waits for this test and the
    // other for the time to run out, with no lock held.
    unsafe {
        command.pre_exec(|| {
            // A sleep that is dropped takes its alarm along, which would be something to wait for.
            let mut sleep = Sleep::new(AGES);
            assert!(block_on(poll_fn(|cx| Poll::Ready(
                Pin::new(&mut sleep).poll(cx).is_pending()
            ))));
            drop(sleep);
            // std makes every panic here abort, after its report.
            block_on(pending::<()>());
            std::process::exit(0);
        });
    }
    let output = command.output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
    let text = text.unwrap_or_else(|error| error.to_string());
    assert!(
        text.contains("waits for a future, and nothing can ever wake it"),
        "{text}"
    );
}
