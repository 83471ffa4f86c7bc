//! Joining: values, panics and failures come out once, on any thread, and nothing is dropped twice
//! or never.

mod support;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustlet::{Builder, Greenlet, sleep, spawn, spawn_local, yield_now};
use support::{Counter, OnDrop};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_value_comes_out() {
    let _watchdog = support::watchdog();
    assert_eq!(spawn(|| String::from("value")).join().unwrap(), "value");
    let late = spawn(|| {
        sleep(Duration::from_millis(5));
        7
    });
    assert_eq!(late.join().unwrap(), 7);
}

#[test]
fn try_join_never_waits() {
    let _watchdog = support::watchdog();
    let greenlet = spawn(|| 1).try_join().expect_err("it has not run");
    yield_now();
    assert_eq!(greenlet.try_join().expect("it has ended").unwrap(), 1);
}

#[test]
fn join_timeout_gives_the_handle_back_or_the_value() {
    let _watchdog = support::watchdog();
    let start = Instant::now();
    let slow = spawn(|| {
        rustlet::park().unwrap();
        "late"
    });
    let slow = slow
        .join_timeout(Duration::from_millis(20))
        .expect_err("nobody has unparked it");
    assert!(start.elapsed() >= Duration::from_millis(20));
    slow.handle().unpark();
    let value = slow.join_timeout(HOUR).expect("it ends now");
    assert_eq!(value.unwrap(), "late");
    let done = spawn(|| 3);
    yield_now();
    assert_eq!(done.join_timeout(Duration::ZERO).unwrap().unwrap(), 3);
}

#[test]
fn a_timed_out_joiner_is_forgotten() {
    let _watchdog = support::watchdog();
    let slow = spawn(|| rustlet::park().unwrap());
    let slow = slow.join_timeout(Duration::from_millis(1)).unwrap_err();
    slow.handle().unpark();
    drop(slow);
    // If the wait above had left this code registered, this park would be cut short.
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(20) {
        sleep(Duration::from_millis(20));
    }
    assert_eq!(rustlet::stats().live, 0);
}

#[test]
fn a_panic_is_a_value_with_the_greenlets_name() {
    let _watchdog = support::watchdog();
    let greenlet = Builder::new()
        .name("worker")
        .spawn(|| -> u8 { panic!("broke after {} steps", std::hint::black_box(3)) })
        .unwrap();
    let id = greenlet.id();
    let error = greenlet.join().unwrap_err();
    assert!(error.is_panic() && !error.is_killed() && !error.is_deadlock());
    let text = format!("greenlet 'worker' (#{id}) panicked: broke after 3 steps");
    assert_eq!(error.to_string(), text);
    let payload = error.try_into_panic().unwrap();
    assert_eq!(
        payload.downcast_ref::<String>().unwrap(),
        "broke after 3 steps"
    );
    assert_eq!(spawn(|| "others go on").join().unwrap(), "others go on");
}

#[test]
fn resume_passes_the_panic_on() {
    let _watchdog = support::watchdog();
    let error = spawn(|| std::panic::panic_any(42_u8)).join().unwrap_err();
    let raised = catch_unwind(AssertUnwindSafe(|| error.resume())).unwrap_err();
    assert_eq!(*raised.downcast::<u8>().unwrap(), 42);
}

#[test]
fn a_panics_payload_is_dropped_once_joined_or_not() {
    let _watchdog = support::watchdog();
    let drops = Counter::default();
    let throw = || {
        let payload = drops.on_drop();
        spawn(move || std::panic::panic_any(payload))
    };
    drop(throw().join().unwrap_err());
    assert_eq!(drops.get(), 1);
    drop(throw()); // detached before it panics
    yield_now();
    assert_eq!(drops.get(), 2);
    let ended = throw();
    yield_now();
    drop(ended); // detached afterwards
    assert_eq!(drops.get(), 3);
}

#[test]
fn joining_oneself_panics() {
    let _watchdog = support::watchdog();
    let own = Rc::new(RefCell::new(None::<Greenlet<()>>));
    let also = own.clone();
    let (send, receive) = mpsc::channel();
    *own.borrow_mut() = Some(spawn_local(move || {
        let me = also.borrow_mut().take().unwrap();
        let raised = catch_unwind(AssertUnwindSafe(|| me.join())).unwrap_err();
        send.send(*raised.downcast::<&str>().unwrap()).unwrap();
    }));
    yield_now();
    assert_eq!(receive.try_recv().unwrap(), "a greenlet cannot join itself");
}

#[test]
fn kill_and_join_from_different_greenlets() {
    let _watchdog = support::watchdog();
    let target = spawn(|| sleep(HOUR));
    let handle = target.handle();
    let joiner = spawn_local(move || target.join().unwrap_err().is_killed());
    yield_now();
    handle.kill();
    assert!(joiner.join().unwrap());
}

/// Every order in which a handle and its greenlet can end: closure and value are dropped once.
#[test]
fn closures_and_values_are_dropped_exactly_once() {
    let _watchdog = support::watchdog();
    let (closures, values) = (Counter::default(), Counter::default());
    let make = || -> Greenlet<OnDrop> {
        let (closure, value) = (closures.on_drop(), values.on_drop());
        spawn(move || {
            let _closure = closure;
            yield_now();
            value
        })
    };
    let check = |turn: usize, what: &str| {
        assert_eq!(closures.get(), turn, "closures, {what}");
        assert_eq!(values.get(), turn, "values, {what}");
    };

    drop(make().join().unwrap());
    check(1, "joined");

    let finished = make();
    yield_now();
    yield_now();
    assert_eq!(values.get(), 1, "the handle still owns the value");
    drop(finished);
    check(2, "finished, then the handle dropped");

    drop(make());
    yield_now();
    yield_now();
    check(3, "the handle dropped, then finished");

    let running = make();
    yield_now();
    drop(running);
    yield_now();
    check(4, "the handle dropped half-way");

    make().kill().unwrap();
    check(5, "killed before it started");

    let started = make();
    yield_now();
    started.kill().unwrap();
    check(6, "killed half-way");

    drop(make().try_join().unwrap_err().join_timeout(HOUR).unwrap());
    check(7, "join_timeout");

    let (closure, value) = (closures.on_drop(), values.on_drop());
    thread::spawn(move || {
        spawn(move || {
            let _closure = closure;
            value
        });
    })
    .join()
    .unwrap();
    check(8, "never run, its thread ended");
}

#[test]
fn a_value_whose_destructor_panics_harms_nobody() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in a value's destructor, on purpose");
        }
    }
    let _watchdog = support::watchdog();
    drop(spawn(|| Bomb)); // dropped by the greenlet itself
    yield_now();
    let finished = spawn(|| Bomb);
    yield_now();
    drop(finished); // dropped by the handle
    assert_eq!(spawn(|| 1).join().unwrap(), 1);
    assert_eq!(rustlet::stats().live, 0);
}

#[test]
fn a_handle_joins_on_another_thread() {
    let _watchdog = support::watchdog();
    let greenlet = spawn(|| {
        sleep(Duration::from_millis(20));
        "made here"
    });
    let (done, wait) = mpsc::channel();
    let joiner = thread::spawn(move || {
        // On that thread's own stack, and in a greenlet of it, whose neighbours go on meanwhile.
        let neighbour = spawn(|| sleep(Duration::from_millis(1)));
        let value = spawn(move || greenlet.join().unwrap()).join().unwrap();
        neighbour.join().unwrap();
        done.send(()).unwrap();
        value
    });
    while wait.try_recv().is_err() {
        sleep(Duration::from_millis(1));
    }
    assert_eq!(joiner.join().unwrap(), "made here");
}

#[test]
fn a_handle_joins_after_its_thread_has_ended() {
    let _watchdog = support::watchdog();
    let (finished, unfinished) = thread::spawn(|| {
        let finished = spawn(|| "value");
        yield_now();
        (finished, spawn(|| sleep(HOUR)))
    })
    .join()
    .unwrap();
    assert_eq!(finished.join().unwrap(), "value");
    assert!(unfinished.join().unwrap_err().is_killed());
}

#[test]
fn many_handles_join_across_threads_while_their_greenlets_end() {
    let _watchdog = support::watchdog();
    let count = 2_000 / support::slowdown() as usize;
    let (send, receive) = mpsc::channel::<Greenlet<usize>>();
    let joiner = thread::spawn(move || {
        let joining = Vec::from_iter(
            receive
                .into_iter()
                .map(|greenlet| spawn(move || greenlet.join().unwrap())),
        );
        joining
            .into_iter()
            .map(|g| g.join().unwrap())
            .sum::<usize>()
    });
    for n in 0..count {
        send.send(spawn(move || {
            yield_now();
            n
        }))
        .unwrap();
        yield_now();
    }
    drop(send);
    while rustlet::stats().live > 0 {
        yield_now();
    }
    assert_eq!(joiner.join().unwrap(), count * (count - 1) / 2);
}

/// The value of a greenlet whose handle is gone is dropped by the greenlet. Its destructor may wait, for another thread too.
#[test]
fn values_that_nobody_asks_for_may_wait_in_their_destructors() {
    use rustlet::sync::mpmc;
    struct Sends(mpmc::Sender<u32>);
    impl Drop for Sends {
        fn drop(&mut self) {
            assert_eq!(rustlet::unblock(|| 5), 5);
            for n in 0..3 {
                self.0.send(n).unwrap();
            }
        }
    }
    let _watchdog = support::watchdog();
    let test = || {
        let (sender, receiver) = mpmc::bounded(1);
        let received = thread::spawn(move || {
            thread::sleep(Duration::from_millis(5));
            receiver.iter().collect::<Vec<u32>>()
        });
        let ended = spawn(move || Sends(sender));
        let handle = ended.handle().clone();
        drop(ended);
        handle.wait().unwrap();
        assert_eq!(
            received.join().unwrap(),
            [0, 1, 2],
            "before its end was told"
        );
    };
    test();
    let runtime = rustlet::Runtime::builder().workers(1).build().unwrap();
    runtime.run(test);
    runtime.shutdown(Duration::from_secs(50)).unwrap();
}
