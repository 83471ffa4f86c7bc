//! Greenlets that get no stack on their worker: who joins is told at once, and what their closures have is dropped as soon as there is a
//! stack to do it on. What children of a scope borrow is not touched.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustlet::sync::Event;
use rustlet::{Builder, Greenlet, Runtime, park, scope, sleep, spawn};

const WORKERS: usize = 2;
const LONG: Duration = Duration::from_secs(30);
const GIB: usize = 1 << 30;

/// Counts when it is dropped, on a greenlet's stack.
struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        assert_ne!(rustlet::current().id(), 0, "the thread's own code drops it");
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Blocks when it is dropped.
struct Slow(#[expect(dead_code, reason = "dropped after it")] Guard);

impl Drop for Slow {
    fn drop(&mut self) {
        sleep(Duration::from_millis(1));
    }
}

/// Waits until so many were dropped; the watchdog ends it if they never are.
fn wait_for(dropped: &AtomicUsize, count: usize) {
    while dropped.load(Ordering::SeqCst) < count {
        std::thread::yield_now();
    }
    assert_eq!(dropped.load(Ordering::SeqCst), count);
}

/// In a process of its own, with workers that have begun; false if it is not to run here.
fn runtime(test: &str) -> Option<Runtime> {
    if support::emulated() || support::slowdown() > 1 {
        println!("not run: the address space is the emulator's or the checker's too");
        return None;
    }
    if !support::is_child() {
        support::child(test).run().assert_passed();
        return None;
    }
    let runtime = Runtime::builder().workers(WORKERS).build().unwrap();
    for worker in 0..WORKERS {
        runtime.handle().spawn_on(worker, || ()).join().unwrap();
    }
    Some(runtime)
}

/// Limits the address space to what is in use and `room` more.
fn limit(room: usize) -> Rlimit {
    let before = getrlimit(Resource::As);
    let current = Some((support::address_space_bytes() + room) as u64);
    setrlimit(Resource::As, Rlimit { current, ..before }).unwrap();
    before
}

/// Parks greenlets on every worker until none gets a stack any more.
fn fill(runtime: &Runtime) -> Vec<Greenlet<()>> {
    let mut parked = Vec::new();
    for worker in 0..WORKERS {
        loop {
            let greenlet = runtime.handle().spawn_on(worker, || park().unwrap());
            while !greenlet.handle().is_started() && !greenlet.is_finished() {
                std::thread::yield_now();
            }
            if greenlet.is_finished() {
                let error = greenlet.join().unwrap_err();
                assert!(error.to_string().contains("got no stack"), "{error}");
                break;
            }
            parked.push(greenlet);
        }
    }
    assert!(parked.len() > WORKERS);
    parked
}

#[test]
fn their_closures_are_dropped() {
    let _watchdog = support::watchdog();
    let Some(runtime) = runtime("their_closures_are_dropped") else {
        return;
    };
    let before = limit(GIB / 2);
    let dropped = Arc::new(AtomicUsize::new(0));
    for _ in 0..10 {
        let guard = Slow(Guard(dropped.clone()));
        let huge = Builder::new()
            .stack_size(GIB)
            .spawn_in(&runtime.handle(), move || drop(guard))
            .unwrap();
        let error = huge.join().unwrap_err();
        assert!(error.to_string().contains("got no stack"), "{error}");
    }
    wait_for(&dropped, 10);
    setrlimit(Resource::As, before).unwrap();
    runtime.shutdown(LONG).unwrap();
}

/// Waits for something when it is dropped.
struct Blocked(Arc<Event>);

impl Drop for Blocked {
    fn drop(&mut self) {
        self.0.wait();
    }
}

#[test]
fn one_that_blocks_does_not_hold_up_the_others() {
    let _watchdog = support::watchdog();
    let Some(runtime) = runtime("one_that_blocks_does_not_hold_up_the_others") else {
        return;
    };
    let before = limit(GIB / 2);
    let huge = |closure: Box<dyn FnOnce() + Send>| {
        let builder = Builder::new().stack_size(GIB);
        let huge = builder.spawn_on(&runtime.handle(), 0, closure).unwrap();
        huge.join().unwrap_err();
    };
    let released = Arc::new(Event::new());
    let blocked = Blocked(released.clone());
    huge(Box::new(move || drop(blocked)));
    let dropped = Arc::new(AtomicUsize::new(0));
    for count in 1..=3 {
        let guard = Slow(Guard(dropped.clone()));
        huge(Box::new(move || drop(guard)));
        wait_for(&dropped, count);
    }
    released.set();
    setrlimit(Resource::As, before).unwrap();
    runtime.shutdown(LONG).unwrap();
}

#[test]
fn a_closure_waits_until_a_stack_comes_free() {
    let _watchdog = support::watchdog();
    let Some(runtime) = runtime("a_closure_waits_until_a_stack_comes_free") else {
        return;
    };
    let before = limit(32 << 20);
    let parked = fill(&runtime);
    let dropped = Arc::new(AtomicUsize::new(0));
    for worker in 0..WORKERS {
        let guard = Slow(Guard(dropped.clone()));
        let lost = runtime.handle().spawn_on(worker, move || drop(guard));
        let error = lost.join().unwrap_err();
        assert!(error.to_string().contains("got no stack"), "{error}");
    }
    assert_eq!(dropped.load(Ordering::SeqCst), 0, "on which stack?");
    // The one that was parked last is on the last worker.
    let mut parked = parked.into_iter();
    parked.next_back().unwrap().kill().unwrap();
    wait_for(&dropped, 1);
    // The other worker is told by nobody that there is memory again.
    setrlimit(Resource::As, before).unwrap();
    wait_for(&dropped, 2);
    parked.for_each(|greenlet| greenlet.kill().unwrap());
    runtime.shutdown(LONG).unwrap();
}

#[test]
fn they_are_dropped_at_the_end_of_the_worker_at_the_latest() {
    let _watchdog = support::watchdog();
    let test = "they_are_dropped_at_the_end_of_the_worker_at_the_latest";
    let Some(runtime) = runtime(test) else {
        return;
    };
    let before = limit(32 << 20);
    let parked = fill(&runtime);
    let dropped = Arc::new(AtomicUsize::new(0));
    for _ in 0..10 {
        let guard = Guard(dropped.clone());
        let lost = runtime.handle().spawn_on(0, move || drop(guard));
        lost.join().unwrap_err();
    }
    assert_eq!(dropped.load(Ordering::SeqCst), 0);
    drop(parked);
    let _ = runtime.shutdown(Duration::ZERO);
    assert_eq!(dropped.load(Ordering::SeqCst), 10);
    setrlimit(Resource::As, before).unwrap();
}

#[test]
fn what_a_child_of_a_scope_borrows_is_not_touched() {
    let _watchdog = support::watchdog();
    let Some(runtime) = runtime("what_a_child_of_a_scope_borrows_is_not_touched") else {
        return;
    };
    let before = limit(32 << 20);
    let dropped = Arc::new(AtomicUsize::new(0));
    let guard = Guard(dropped.clone());
    let scoped = runtime.handle().spawn_on(0, move || {
        park().unwrap();
        let ended = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| drop(s.spawn(|| drop(guard))))
        }));
        let text = *ended.unwrap_err().downcast::<String>().unwrap();
        assert!(text.contains("got no stack"), "{text}");
    });
    while !scoped.handle().is_started() {
        std::thread::yield_now();
    }
    let parked = fill(&runtime);
    scoped.handle().unpark();
    scoped.join().unwrap();
    setrlimit(Resource::As, before).unwrap();
    parked
        .into_iter()
        .for_each(|greenlet| greenlet.kill().unwrap());
    runtime.shutdown(LONG).unwrap();
    assert_eq!(dropped.load(Ordering::SeqCst), 0);
}

/// What follows an end needs a stack, and at that moment there is none: not even the one of the greenlet that ends is free. It is called later.
#[test]
fn links_are_called_when_there_is_a_stack_again() {
    if support::emulated() || support::slowdown() > 1 {
        println!("not run: the address space is the emulator's or the checker's too");
        return;
    }
    let _watchdog = support::watchdog();
    if !support::is_child() {
        return support::child("links_are_called_when_there_is_a_stack_again")
            .run()
            .assert_passed();
    }
    let done = Arc::new(Event::new());
    let wait = |done: &Arc<Event>| {
        let done = done.clone();
        move || done.wait()
    };
    let first = spawn(wait(&done));
    rustlet::yield_now();
    let before = limit(64 << 20);
    let mut others = Vec::new();
    let refused = loop {
        match Builder::new().spawn(wait(&done)) {
            Ok(other) => others.push(other),
            Err(error) => break error,
        }
    };
    let called = Arc::new(AtomicUsize::new(0));
    let group = rustlet::Group::new();
    group.add(&first);
    let counts = called.clone();
    let ending = first.handle();
    // In their order, and one that waits for a later one does not hold that up.
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let last_ran = Arc::new(Event::new());
    for nth in 0..4 {
        let (order, last_ran) = (order.clone(), last_ran.clone());
        ending.link(move |_| {
            order.lock().unwrap().push(nth);
            match nth {
                1 => last_ran.wait(),
                3 => last_ran.set(),
                _ => {}
            }
        });
    }
    first.then(move |_| {
        counts.fetch_add(1, Ordering::SeqCst);
    });
    ending.kill();
    ending.wait().unwrap();
    assert_eq!(
        (called.load(Ordering::SeqCst), group.len()),
        (0, 1),
        "{refused}"
    );
    done.set();
    for other in others {
        other.join().unwrap();
    }
    assert!(group.join_timeout(LONG));
    while called.load(Ordering::SeqCst) == 0 {
        sleep(Duration::from_millis(1));
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3]);
    setrlimit(Resource::As, before).unwrap();
}
