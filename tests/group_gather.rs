//! `gather`, `as_completed`, `wait_until`, `shield`: asyncio's ways to wait for several greenlets.

mod support;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustlet::sync::Event;
use rustlet::{
    Greenlet, When, as_completed, gather, gather_settled, shield, sleep, spawn, spawn_local,
    timeout, wait_until, yield_now,
};
use support::{Counter, watchdog};

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(5);

/// Greenlets that end after so many turns each, with their numbers.
fn after_turns<const N: usize>(turns: [usize; N]) -> [Greenlet<usize>; N] {
    let mut index = 0;
    turns.map(|turns| {
        index += 1;
        let value = index - 1;
        spawn(move || {
            (0..turns).for_each(|_| yield_now());
            value
        })
    })
}

#[test]
fn gather_returns_values_in_order() {
    let _watchdog = watchdog();
    assert_eq!(gather(after_turns([5, 1, 3])).unwrap(), [0, 1, 2]);
    assert_eq!(gather(Vec::<Greenlet<u8>>::new()).unwrap(), []);
    let ended = after_turns([0, 0]);
    yield_now();
    assert_eq!(gather(ended).unwrap(), [0, 1]);
}

#[test]
fn gather_returns_the_first_failure_at_once_and_leaves_the_others() {
    let _watchdog = watchdog();
    let done = Counter::default();
    let gate = Arc::new(Event::new());
    let (opened, counter) = (gate.clone(), done.clone());
    let slow = spawn(move || {
        opened.wait();
        counter.add();
    });
    let slow_handle = slow.handle();
    let fails = spawn(|| {
        yield_now();
        panic!("early");
    });
    let also = spawn(|| {
        (0..3).for_each(|_| yield_now());
        panic!("later");
    });
    let error = gather([slow, fails, also]).unwrap_err();
    assert!(error.to_string().ends_with("early"), "{error}");
    assert!(!slow_handle.is_finished());
    gate.set();
    slow_handle.wait().unwrap();
    assert_eq!(done.get(), 1);
}

#[test]
fn an_interrupted_gather_kills_all() {
    let _watchdog = watchdog();
    let jobs = [(); 3].map(|()| spawn(|| sleep(HOUR)));
    let handles = jobs.each_ref().map(|job| job.handle());
    assert!(timeout(MOMENT, || gather(jobs)).is_err());
    handles.iter().for_each(|handle| handle.wait().unwrap());
    let job = spawn(|| sleep(HOUR));
    let handle = job.handle();
    let gatherer = spawn(move || gather_settled([job]).len());
    yield_now();
    gatherer.kill().unwrap();
    handle.wait().unwrap();
}

#[test]
fn gather_settled_returns_all_ends() {
    let _watchdog = watchdog();
    let killed = spawn(|| sleep(HOUR));
    killed.kill_nowait();
    let jobs = [killed, spawn(|| panic!("on purpose")), spawn(yield_now)];
    let results = gather_settled(jobs);
    assert!(results[0].as_ref().unwrap_err().is_killed());
    assert!(results[1].as_ref().unwrap_err().is_panic());
    assert!(results[2].is_ok());
}

#[test]
fn gathering_while_unwinding_is_refused() {
    let _watchdog = watchdog();
    struct Gathers(Rc<Cell<bool>>);
    impl Drop for Gathers {
        fn drop(&mut self) {
            let refused = catch_unwind(AssertUnwindSafe(|| gather([spawn(|| 1)])));
            self.0.set(refused.is_err());
        }
    }
    let refused = Rc::new(Cell::new(false));
    let gathers = Gathers(refused.clone());
    let victim = spawn_local(move || {
        let _gathers = gathers;
        sleep(HOUR);
    });
    yield_now();
    victim.kill().unwrap();
    assert!(refused.get());
}

#[test]
fn as_completed_yields_in_order_of_the_ends() {
    let _watchdog = watchdog();
    let order = as_completed(after_turns([5, 1, 3, 0])).map(|(index, result)| {
        assert_eq!(result.unwrap(), index);
        index
    });
    assert_eq!(Vec::from_iter(order), [3, 1, 2, 0]);
    let failing = [spawn(|| panic!("one")), spawn(|| ())];
    let ends: Vec<_> = as_completed(failing)
        .map(|(index, result)| (index, result.is_ok()))
        .collect();
    assert_eq!(ends, [(0, false), (1, true)]);
}

#[test]
fn as_completed_ends_with_its_limit_and_leaves_the_rest() {
    let _watchdog = watchdog();
    // One that ends in time, while it is waited for.
    let never = spawn(|| {
        sleep(HOUR);
        0
    });
    let mut ends = as_completed([never, spawn(|| 7)]).timeout(HOUR);
    let (index, result) = ends.next().unwrap();
    assert_eq!((index, result.unwrap()), (1, 7));
    drop(ends);

    let gate = Arc::new(Event::new());
    let done = Counter::default();
    let (opened, counter) = (gate.clone(), done.clone());
    let waiting = spawn(move || {
        opened.wait();
        counter.add()
    });
    let handle = waiting.handle();
    // It has ended before the limit begins, which may pass at any time.
    let ended = spawn(|| 7);
    ended.wait().unwrap();
    let mut ends = as_completed([waiting, ended]).timeout(MOMENT);
    assert_eq!(
        ends.next().map(|(index, result)| (index, result.unwrap())),
        Some((1, 7))
    );
    assert!(ends.next().is_none());
    drop(ends);
    gate.set();
    handle.wait().unwrap();
    assert_eq!(done.get(), 1);
}

#[test]
fn wait_until_tells_the_ended_from_the_pending() {
    let _watchdog = watchdog();
    let ids = |greenlets: &[Greenlet<usize>]| Vec::from_iter(greenlets.iter().map(Greenlet::id));

    let jobs = after_turns([1000, 1, 1000]);
    let all = ids(&jobs);
    let (done, pending) = wait_until(jobs, When::FirstCompleted, None);
    assert_eq!(
        (ids(&done), ids(&pending)),
        (vec![all[1]], vec![all[0], all[2]])
    );
    pending.iter().for_each(|job| job.kill_nowait());

    let (done, pending) = wait_until(after_turns([3, 1, 2]), When::All, Some(HOUR));
    assert_eq!((done.len(), pending.len()), (3, 0));

    // Without an error the first error is the end of all.
    let (done, pending) = wait_until(after_turns([3, 1, 2]), When::FirstError, None);
    assert_eq!((done.len(), pending.len()), (3, 0));

    let fails = spawn(|| {
        yield_now();
        panic!("on purpose")
    });
    let mut jobs = Vec::from(after_turns([0, 1000]));
    jobs.push(fails);
    let (done, pending) = wait_until(jobs, When::FirstError, None);
    assert_eq!((done.len(), pending.len()), (2, 1));
    pending.iter().for_each(|job| job.kill_nowait());

    let stuck = spawn(|| {
        sleep(HOUR);
        1
    });
    let (done, pending) = wait_until([stuck], When::All, Some(MOMENT));
    assert_eq!((done.len(), pending.len()), (0, 1));
    pending[0].kill().unwrap();
    assert!(
        wait_until(Vec::<Greenlet<u8>>::new(), When::All, None)
            .0
            .is_empty()
    );
}

#[test]
fn an_interrupted_wait_leaves_the_greenlets() {
    let _watchdog = watchdog();
    let jobs = after_turns([1000]);
    let handle = jobs[0].handle();
    let waiter = spawn(move || wait_until(jobs, When::All, None).0.len());
    yield_now();
    waiter.kill().unwrap();
    assert!(!handle.is_finished());
    handle.wait().unwrap();
    assert!(handle.is_successful());
}

#[test]
fn what_is_shielded_goes_on() {
    let _watchdog = watchdog();
    assert_eq!(shield(|| 5), 5);
    let raised = catch_unwind(|| shield(|| -> () { panic_any(6_u8) })).unwrap_err();
    assert_eq!(raised.downcast_ref::<u8>(), Some(&6));

    let (gate, done) = (Arc::new(Event::new()), Arc::new(Event::new()));
    let (opened, ended) = (gate.clone(), done.clone());
    let caller = spawn(move || {
        shield(move || {
            opened.wait();
            ended.set();
        });
    });
    yield_now();
    yield_now();
    caller.kill().unwrap();
    assert!(!done.is_set());
    gate.set();
    done.wait();
}
