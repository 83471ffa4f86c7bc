//! `iwait` and `wait` over events, results, semaphores and wait groups, mixed with greenlets.

mod support;

use std::sync::Arc;
use std::time::Duration;

use rustlet::sync::{AsyncResult, BoundedSemaphore, Event, Semaphore, WaitGroup};
use rustlet::{Waitable, iwait, park, spawn, timeout, wait, yield_now};

const MOMENT: Duration = Duration::from_millis(5);

fn address(object: &dyn Waitable) -> *const () {
    std::ptr::from_ref(object).cast()
}

/// gevent's TestWait with mixed objects.
#[test]
fn each_comes_as_it_becomes_ready() {
    let _watchdog = support::watchdog();
    let (event, result) = (Arc::new(Event::new()), Arc::new(AsyncResult::<u32>::new()));
    let (group, semaphore) = (
        Arc::new(WaitGroup::with_count(1)),
        Arc::new(Semaphore::new(0)),
    );
    let bounded = BoundedSemaphore::new(1);
    let slow = spawn(|| park().unwrap());
    let last = slow.handle();
    let objects: [&dyn Waitable; 6] = [&slow, &*event, &*result, &*group, &*semaphore, &bounded];
    let expected = [
        &bounded as &dyn Waitable,
        &*semaphore,
        &*group,
        &*result,
        &*event,
        &slow,
    ];
    let theirs = (
        event.clone(),
        result.clone(),
        group.clone(),
        semaphore.clone(),
    );
    spawn(move || {
        theirs.3.release();
        yield_now();
        theirs.2.done();
        yield_now();
        theirs.1.set(1);
        yield_now();
        theirs.0.set();
        yield_now();
        last.unpark();
    });
    let order: Vec<_> = iwait(objects).map(address).collect();
    assert_eq!(order, expected.map(address));
    assert_eq!(semaphore.available_permits(), 1, "being told takes none");
}

#[test]
fn what_is_ready_at_once_and_what_never_is() {
    let _watchdog = support::watchdog();
    let (set, never) = (Event::new(), Event::new());
    set.set();
    let ready = wait([&set, &never], Some(MOMENT), None);
    assert_eq!(ready.len(), 1);
    assert!(std::ptr::eq(ready[0], &set));
    assert_eq!(wait([&set, &never], None, Some(1)).len(), 1);
    assert!(timeout(MOMENT, || wait([&never], None, None).len()).is_err());
    never.set();
    assert_eq!(wait([&set, &never], None, None).len(), 2);
}

/// A permit that somebody else took first: told in vain, and told again.
#[test]
fn a_semaphore_that_is_taken_again_is_not_ready() {
    let _watchdog = support::watchdog();
    let semaphore = Arc::new(Semaphore::new(0));
    let theirs = semaphore.clone();
    let waiting = spawn(move || wait([&*theirs], None, None).len());
    yield_now();
    semaphore.release();
    semaphore.try_acquire().unwrap().forget(); // before it runs
    for _ in 0..3 {
        yield_now();
    }
    assert!(!waiting.is_finished());
    semaphore.add_permits(2);
    assert_eq!(waiting.join().unwrap(), 1);
}

/// What waits for a permit to take it comes before those who only want to know.
#[test]
fn an_observer_does_not_keep_a_permit_from_a_waiter() {
    let _watchdog = support::watchdog();
    let semaphore = Arc::new(Semaphore::new(0));
    let theirs = semaphore.clone();
    let taker = spawn(move || theirs.acquire().forget());
    yield_now();
    let theirs = semaphore.clone();
    let observer = spawn(move || wait([&*theirs], None, None).len());
    yield_now();
    semaphore.release();
    taker.join().unwrap();
    yield_now();
    assert!(!observer.is_finished());
    semaphore.release();
    assert_eq!(observer.join().unwrap(), 1);
}

#[test]
fn across_threads() {
    let _watchdog = support::watchdog();
    for _ in 0..50 {
        let events: Vec<_> = (0..6).map(|_| Arc::new(Event::new())).collect();
        let setters: Vec<_> = (0..3)
            .map(|thread| {
                let mine = events[2 * thread..][..2].to_vec();
                std::thread::spawn(move || mine.iter().for_each(|event| event.set()))
            })
            .collect();
        assert_eq!(iwait(events.iter().map(|event| &**event)).count(), 6);
        setters.into_iter().for_each(|t| t.join().unwrap());
    }
}
