//! What the hub's loop calls (wakers, destructors of what nobody else holds) may try to wait, block or panic: the thread's own
//! wait, which the loop serves, comes to no harm.

mod support;

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use rustlet::sync::{Event, Mutex};
use rustlet::{Runtime, current, sleep, spawn, spawn_local, timeout, unblock, yield_now};

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(5);

struct Calls<F>(F);

impl<F: Fn() + Send + Sync> Wake for Calls<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

/// Has the hub's loop call `f`, while this code waits for a greenlet and others wait too.
fn called_by_the_loop(f: impl Fn() + Send + Sync + 'static) {
    let called = support::Counter::default();
    let counter = called.clone();
    let waker = Waker::from(Arc::new(Calls(move || {
        counter.add();
        f();
    })));
    let neighbours = Vec::from_iter((1..=20).map(|n| spawn(move || sleep(n * MOMENT / 2))));
    let mut alarm = pin!(rustlet::Sleep::new(MOMENT));
    assert!(
        alarm
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    let other = spawn(|| {
        sleep(4 * MOMENT);
        7
    });
    assert_eq!(other.join().unwrap(), 7);
    for neighbour in neighbours {
        neighbour.join().unwrap();
    }
    while called.get() == 0 {
        sleep(MOMENT);
    }
    assert_eq!(called.get(), 1);
    sleep(MOMENT);
}

/// Everywhere that a hub's loop is: under a thread's own code, and on a worker; while it is idle, and in a turn that does not end.
fn everywhere(f: impl Fn() + Clone + Send + Sync + 'static) {
    called_by_the_loop(f.clone());
    let stop = Rc::new(Cell::new(false));
    let busy = {
        let stop = stop.clone();
        spawn_local(move || {
            while !stop.get() {
                yield_now();
            }
        })
    };
    // A turn that lasts long is interrupted for timers.
    let long = spawn(|| {
        for _ in 0..20 {
            let start = std::time::Instant::now();
            while start.elapsed() < Duration::from_millis(2) {}
            yield_now();
        }
    });
    called_by_the_loop(f.clone());
    stop.set(true);
    busy.join().unwrap();
    long.join().unwrap();
    let runtime = Runtime::builder().workers(1).build().unwrap();
    runtime.run(move || called_by_the_loop(f));
    drop(runtime);
}

#[test]
fn a_waker_that_sleeps_blocks_the_thread_and_nothing_else() {
    let _watchdog = support::watchdog();
    everywhere(|| sleep(MOMENT));
}

#[test]
fn a_waker_that_yields_goes_on() {
    let _watchdog = support::watchdog();
    everywhere(|| (0..1000).for_each(|_| yield_now()));
}

#[test]
fn a_waker_that_offloads_runs_the_job_itself() {
    let _watchdog = support::watchdog();
    everywhere(|| assert_eq!(unblock(|| 5), 5));
}

#[test]
fn a_waker_that_waits_for_others_panics_and_says_why() {
    let _watchdog = support::watchdog();
    let texts = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = texts.clone();
    everywhere(move || {
        let locked = Arc::new(Mutex::new(()));
        let guard = locked.lock().unwrap();
        let waits: [&dyn Fn(); 3] = [&|| drop(locked.lock()), &|| Event::new().wait(), &|| {
            timeout(HOUR, || Event::new().wait()).unwrap()
        }];
        for wait in waits {
            let payload = std::panic::catch_unwind(std::panic::AssertUnwindSafe(wait)).unwrap_err();
            kept.lock()
                .unwrap()
                .push(*payload.downcast::<String>().unwrap());
        }
        drop(guard);
        let join = spawn(|| ()).join().unwrap_err();
        kept.lock().unwrap().push(join.to_string());
    });
    let texts = texts.lock().unwrap();
    assert_eq!(texts.len(), 12);
    for text in &*texts {
        assert!(text.contains("called by the scheduler"), "{text}");
    }
}

/// Dropped by the greenlet itself, when it has ended by the first: destructors may wait.
#[test]
fn payloads_that_nobody_raised_may_wait_in_their_destructors() {
    struct Slow(support::Counter, u64);
    impl Drop for Slow {
        fn drop(&mut self) {
            sleep(MOMENT);
            assert_eq!(current().id(), self.1, "on the greenlet's own stack");
            self.0.add();
        }
    }
    let _watchdog = support::watchdog();
    let dropped = support::Counter::default();
    let test = |dropped: support::Counter| {
        let other = spawn(|| sleep(10 * MOMENT));
        let target = spawn(|| sleep(HOUR));
        yield_now();
        target.throw("the first ends it");
        for _ in 0..3 {
            target.throw(Slow(dropped.clone(), target.id()));
        }
        drop(target);
        other.join().unwrap();
    };
    test(dropped.clone());
    assert_eq!(dropped.get(), 3);
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let more = dropped.clone();
    runtime.run(move || test(more));
    drop(runtime);
    assert_eq!(dropped.get(), 6);
}

#[test]
fn payloads_that_panic_in_their_destructors_concern_nobody() {
    struct Bad(support::Counter);
    impl Drop for Bad {
        fn drop(&mut self) {
            self.0.add();
            panic!("on purpose");
        }
    }
    let _watchdog = support::watchdog();
    let dropped = support::Counter::default();
    let other = spawn(|| sleep(4 * MOMENT));
    let target = spawn(|| sleep(HOUR));
    yield_now();
    target.throw("the first ends it");
    for _ in 0..3 {
        target.throw(Bad(dropped.clone()));
    }
    drop(target);
    other.join().unwrap();
    assert_eq!(dropped.get(), 3);
    let before = rustlet::stats().live;
    spawn(|| ()).join().unwrap();
    assert_eq!(rustlet::stats().live, before);
}
