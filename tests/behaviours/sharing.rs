//! Pools, events, queues, locks and locals.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use rustlet::queue::{Channel, GetError, LifoQueue, PriorityQueue, Queue};
use rustlet::sync::{AsyncResult, Event, Mutex, Semaphore};
use rustlet::{Pool, sleep, spawn, spawn_local, timeout, yield_now};

use super::{HOUR, Log, SHORT};
use crate::support::{self, Counter};

#[test]
fn b09_a_full_pool_makes_the_spawner_wait() {
    let _watchdog = support::watchdog();
    let pool = Pool::new(2);
    let (running, ended) = (Counter::default(), Counter::default());
    for spawned in 0..6 {
        let (running, ended) = (running.clone(), ended.clone());
        let count = ended.clone();
        drop(pool.spawn(move || {
            assert!(running.add() - ended.get() < 2, "two at a time");
            sleep(SHORT);
            ended.add();
        }));
        assert!(spawned < 2 + count.get(), "it did not wait");
    }
    pool.join();
    assert_eq!(ended.get(), 6);
    let two = [(); 2].map(|()| pool.spawn(|| sleep(HOUR)));
    assert!(pool.try_spawn(|| ()).is_err());
    rustlet::killall(&two).unwrap();
    assert!(pool.try_spawn(|| ()).is_ok());
}

#[test]
fn b10_set_and_clear_wakes_all_who_waited() {
    let _watchdog = support::watchdog();
    for count in [1, 100, 1000] {
        let event = Rc::new(Event::new());
        let waiters = Vec::from_iter((0..count).map(|_| {
            let event = event.clone();
            spawn_local(move || event.wait_timeout(HOUR))
        }));
        yield_now();
        event.set();
        event.clear(); // before any of them has run
        assert!(!event.is_set());
        for waiter in waiters {
            assert!(waiter.join().unwrap());
        }
        assert!(!event.wait_timeout(Duration::ZERO), "it is clear");
        event.set();
        assert!(event.wait_timeout(Duration::ZERO));
        event.wait();
    }
}

/// As gevent; but a bound of 0 is refused: a `Channel` is the rendezvous.
#[test]
fn b11_queues_block_at_their_bound_and_lose_nothing() {
    let _watchdog = support::watchdog();
    let (log, queue) = (Log::default(), Rc::new(Queue::bounded(2)));
    let neighbour = {
        let log = log.clone();
        spawn_local(move || log.add("neighbour"))
    };
    queue.put(1).unwrap();
    queue.put(2).unwrap();
    assert_eq!(queue.get(), Ok(1));
    queue.put(3).unwrap();
    assert_eq!(log.text(), "", "what can be done at once does not switch");
    let full = timeout(SHORT, || queue.put(4));
    assert!(full.is_err());
    assert_eq!(log.text(), "neighbour");
    assert_eq!((queue.get(), queue.get()), (Ok(2), Ok(3)), "no 4");
    neighbour.join().unwrap();

    // Getters are served in order; of three, one is killed and one gives up.
    let getters = [HOUR, SHORT, HOUR].map(|limit| {
        let queue = queue.clone();
        spawn_local(move || queue.get_timeout(limit))
    });
    yield_now();
    getters[0].kill().unwrap();
    assert!(getters[1].wait_timeout(HOUR));
    queue.put(5).unwrap();
    let [_, late, served] = getters;
    assert_eq!(late.join().unwrap(), Err(GetError::Empty));
    assert_eq!(served.join().unwrap(), Ok(5));

    // Every item was put and got; a task is done when somebody says so.
    assert_eq!(queue.unfinished_tasks(), 4);
    (0..4).for_each(|_| queue.task_done());
    queue.join();

    catch_unwind(|| Queue::<u8>::bounded(0)).unwrap_err();
}

/// As gevent; and a waiter that was woken in vain is served next.
#[test]
fn b12_waiters_are_served_in_order_and_may_be_overtaken() {
    let _watchdog = support::watchdog();
    let (log, lock) = (Log::default(), Rc::new(Mutex::new(())));
    let mut guard = lock.lock().unwrap();
    let waiters = ["1", "2", "3"].map(|name| {
        let (log, lock) = (log.clone(), lock.clone());
        spawn_local(move || {
            let _guard = lock.lock().unwrap();
            log.add(name);
        })
    });
    yield_now();
    drop(guard); // wakes the first of them
    guard = lock.try_lock().expect("the running one is faster");
    yield_now(); // the first one runs, in vain
    assert_eq!(log.text(), "");
    drop(guard); // so it is handed over
    assert!(lock.try_lock().is_err());
    drop(lock.lock().unwrap()); // behind them all
    assert_eq!(log.text(), "1 2 3");
    for waiter in waiters {
        waiter.join().unwrap();
    }

    let semaphore = Semaphore::new(1);
    semaphore.release(); // nobody had acquired
    assert_eq!(semaphore.available_permits(), 2);
}

rustlet::local! {
    /// Starts empty in every greenlet.
    static VISITS: Cell<u32> = Cell::new(0);
    /// Is copied at the spawn.
    inherit static REQUEST: Cell<u32> = Cell::new(0);
}

#[test]
fn b18_locals_start_empty_and_thread_locals_are_shared() {
    thread_local!(static SHARED: Cell<u32> = const { Cell::new(0) });
    let _watchdog = support::watchdog();
    VISITS.set(5);
    REQUEST.set(7);
    let greenlets = [(); 2].map(|()| {
        spawn(|| {
            VISITS.set(VISITS.get() + 1);
            SHARED.set(SHARED.get() + 1);
            yield_now();
            (VISITS.get(), REQUEST.get(), SHARED.get())
        })
    });
    for greenlet in greenlets {
        assert_eq!(greenlet.join().unwrap(), (1, 7, 2));
    }
    assert_eq!((VISITS.get(), REQUEST.get()), (5, 7));
}

#[test]
fn s02_lifo_priority_and_rendezvous() {
    let _watchdog = support::watchdog();
    let (lifo, smallest) = (LifoQueue::new(), PriorityQueue::new());
    for item in [2, 3, 1] {
        lifo.put(item).unwrap();
        smallest.put(item).unwrap();
    }
    lifo.shutdown();
    smallest.shutdown();
    assert_eq!(Vec::from_iter(&lifo), [1, 3, 2]);
    assert_eq!(Vec::from_iter(&smallest), [1, 2, 3]);

    let channel = Rc::new(Channel::new());
    let theirs = channel.clone();
    let putter = spawn_local(move || theirs.put("taken"));
    yield_now();
    assert!(!putter.is_finished(), "it waits for the getter");
    assert_eq!(channel.balance(), 1);
    assert_eq!(channel.get(), Ok("taken"));
    putter.join().unwrap().unwrap();
}

#[test]
fn s04_a_result_comes_to_those_who_wait() {
    let _watchdog = support::watchdog();
    let result = Rc::new(AsyncResult::<u8, &str>::new());
    let getters = [(); 2].map(|()| {
        let result = result.clone();
        spawn_local(move || result.get())
    });
    yield_now();
    result.set(1);
    for getter in getters {
        assert_eq!(getter.join().unwrap(), Ok(1));
    }
    result.set_error("later"); // replaces it, as in gevent
    assert_eq!(result.get(), Err("later"));
}

#[test]
fn s05_a_map_goes_on_after_a_failure() {
    let _watchdog = support::watchdog();
    let pool = Pool::new(2);
    let mut tenths = pool.imap([5, 0, 2], |n: u32| 10 / n);
    assert_eq!(tenths.next(), Some(2));
    catch_unwind(AssertUnwindSafe(|| tenths.next())).unwrap_err();
    assert_eq!(tenths.next(), Some(5));
    assert_eq!(tenths.next(), None);
}
