//! gevent's `test__queue.py` (MIT licence, gevent contributors), retold: who waits at a queue, who is served, and who has died.
//!
//! Each test is named after the one it retells; PORTING.md says where we differ.

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustlet::queue::{Channel, GetError, JoinableQueue, LifoQueue, PriorityQueue, PutError, Queue};
use rustlet::{spawn, spawn_local, timeout, yield_now};

const SOON: Duration = Duration::from_millis(5);
const NEVER: Duration = Duration::from_secs(1000);

#[test]
fn send_first() {
    let queue = Queue::new();
    queue.put("hi").unwrap();
    assert_eq!(queue.peek(), Ok("hi"));
    assert_eq!(queue.len(), 1);
    assert_eq!(queue.get(), Ok("hi"));
    assert!(queue.is_empty());
}

#[test]
fn send_last() {
    let _watchdog = support::watchdog();
    let queue = Arc::new(Queue::new());
    let waiter = spawn({
        let queue = queue.clone();
        move || timeout(NEVER, || queue.get())
    });
    yield_now();
    queue.put("hi2").unwrap();
    assert_eq!(waiter.join().unwrap(), Ok(Ok("hi2")));
}

#[test]
fn peek_empty() {
    let queue = Queue::<()>::new();
    assert_eq!(queue.peek_nowait(), Err(GetError::Empty));
    assert_eq!(queue.peek_timeout(SOON), Err(GetError::Empty));
}

#[test]
fn peek_multi_greenlet() {
    let _watchdog = support::watchdog();
    let queue = Arc::new(Queue::new());
    let peekers: Vec<_> = (0..2)
        .map(|_| {
            let queue = queue.clone();
            spawn(move || queue.peek())
        })
        .collect();
    yield_now();
    queue.put(1).unwrap();
    for peeker in peekers {
        assert_eq!(peeker.join().unwrap(), Ok(1));
    }
    assert_eq!(queue.len(), 1);
    assert_eq!(queue.get(), Ok(1));
}

#[test]
fn max_size() {
    let _watchdog = support::watchdog();
    let queue = Rc::new(Queue::bounded(2));
    let results = Rc::new(RefCell::new(Vec::new()));
    let putter = spawn_local({
        let (queue, results) = (queue.clone(), results.clone());
        move || {
            for item in ["a", "b", "c"] {
                queue.put(item).unwrap();
                results.borrow_mut().push(item);
            }
        }
    });
    yield_now();
    assert_eq!(*results.borrow(), ["a", "b"]);
    assert!(queue.is_full());
    assert_eq!(queue.get(), Ok("a"));
    assert_eq!(queue.len(), 2, "the waiting item has moved up");
    yield_now();
    assert_eq!(*results.borrow(), ["a", "b", "c"]);
    assert_eq!(queue.get(), Ok("b"));
    assert_eq!(queue.get(), Ok("c"));
    putter.join().unwrap();
}

#[test]
fn zero_max_size() {
    let _watchdog = support::watchdog();
    let channel = Arc::new(Channel::new());
    let sender = spawn({
        let channel = channel.clone();
        move || channel.put("hi")
    });
    yield_now();
    assert!(!sender.is_finished());
    assert_eq!(channel.balance(), 1);
    let receiver = spawn({
        let channel = channel.clone();
        move || channel.get()
    });
    assert_eq!(receiver.join().unwrap(), Ok("hi"));
    sender.join().unwrap().unwrap();
    assert_eq!(channel.balance(), 0);
}

#[test]
#[should_panic(expected = "a queue has room for one item at least")]
fn a_queue_without_room_is_a_channel() {
    let _ = Queue::<()>::bounded(0);
}

#[test]
fn multiple_waiters() {
    let _watchdog = support::watchdog();
    let queue = Arc::new(Queue::new());
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let waiters: Vec<_> = (0..5)
        .map(|number| {
            let (queue, order) = (queue.clone(), order.clone());
            spawn(move || {
                let item = queue.get().unwrap();
                order.lock().unwrap().push((number, item));
            })
        })
        .collect();
    yield_now();
    (0..5).for_each(|item| queue.put(item).unwrap());
    waiters
        .into_iter()
        .for_each(|waiter| waiter.join().unwrap());
    // Getters are served in the order in which they came, with items in theirs.
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4].map(|n| (n, n)));
}

#[test]
fn putters_are_served_in_order() {
    let _watchdog = support::watchdog();
    let queue = Arc::new(Queue::bounded(1));
    let putters: Vec<_> = (0..5)
        .map(|item| {
            let queue = queue.clone();
            spawn(move || queue.put(item).unwrap())
        })
        .collect();
    yield_now();
    let got: Vec<_> = (0..5).map(|_| queue.get().unwrap()).collect();
    assert_eq!(got, [0, 1, 2, 3, 4]);
    putters
        .into_iter()
        .for_each(|putter| putter.join().unwrap());
}

#[test]
fn waiters_that_cancel() {
    let _watchdog = support::watchdog();
    let queue = Arc::new(Queue::new());
    let waiter = spawn({
        let queue = queue.clone();
        move || timeout(Duration::ZERO, || queue.get())
    });
    assert!(waiter.join().unwrap().is_err());
    queue.put("hi").unwrap();
    assert_eq!(queue.get_nowait(), Ok("hi"));
}

#[test]
fn senders_that_die() {
    let _watchdog = support::watchdog();
    let queue = Arc::new(Queue::new());
    let sender = spawn({
        let queue = queue.clone();
        move || queue.put("sent")
    });
    sender.join().unwrap().unwrap();
    assert_eq!(queue.get(), Ok("sent"));
    // One that is killed while it waits has put nothing.
    let queue = Arc::new(Queue::bounded(1));
    queue.put("first").unwrap();
    let sender = spawn({
        let queue = queue.clone();
        move || queue.put("second")
    });
    yield_now();
    sender.kill().unwrap();
    assert_eq!(queue.get(), Ok("first"));
    assert_eq!(queue.get_nowait(), Err(GetError::Empty));
}

#[test]
fn two_waiters_one_dies() {
    let _watchdog = support::watchdog();
    let queue = Arc::new(Queue::new());
    let get = |limit| {
        let queue = queue.clone();
        spawn(move || timeout(limit, || queue.get()))
    };
    let (dying, living) = (get(Duration::ZERO), get(NEVER));
    assert!(dying.join().unwrap().is_err());
    queue.put("hi").unwrap();
    assert_eq!(living.join().unwrap(), Ok(Ok("hi")));
}

#[test]
fn two_bogus_waiters() {
    let _watchdog = support::watchdog();
    let queue = Arc::new(Queue::new());
    let waiters: Vec<_> = (0..2)
        .map(|_| {
            let queue = queue.clone();
            spawn(move || timeout(Duration::ZERO, || queue.get()))
        })
        .collect();
    for waiter in waiters {
        assert!(waiter.join().unwrap().is_err());
    }
    queue.put("sent").unwrap();
    assert_eq!(queue.get_nowait(), Ok("sent"));
}

#[test]
fn one_who_was_served_and_then_killed_has_the_item() {
    let _watchdog = support::watchdog();
    let queue = Rc::new(Queue::new());
    let got = Rc::new(RefCell::new(None));
    let getter = spawn_local({
        let (queue, got) = (queue.clone(), got.clone());
        move || {
            *got.borrow_mut() = queue.get().ok();
            yield_now(); // dies here
            unreachable!();
        }
    });
    yield_now();
    queue.put(7).unwrap();
    getter.kill().unwrap();
    assert_eq!(*got.borrow(), Some(7));
    assert!(getter.join().unwrap_err().is_killed());
    assert!(queue.is_empty());
}

#[test]
fn put_nowait_simple() {
    let queue = Queue::bounded(1);
    assert_eq!(queue.put_nowait(2), Ok(()));
    assert_eq!(queue.put_nowait(3), Err(PutError::Full(3)));
}

#[test]
fn get_nowait_simple() {
    let queue = Queue::bounded(1);
    queue.put(4).unwrap();
    assert_eq!(queue.get_nowait(), Ok(4));
    assert_eq!(queue.get_nowait(), Err(GetError::Empty));
}

#[test]
fn put_nowait_unlock() {
    let _watchdog = support::watchdog();
    let channel = Arc::new(Channel::new());
    let getter = spawn({
        let channel = channel.clone();
        move || channel.get()
    });
    yield_now();
    assert_eq!(channel.put_nowait(10), Ok(()));
    // It has not switched.
    assert!(!getter.is_finished());
    yield_now();
    assert!(getter.is_finished());
    assert_eq!(getter.join().unwrap(), Ok(10));
}

#[test]
fn get_nowait_unlock() {
    let _watchdog = support::watchdog();
    let channel = Arc::new(Channel::new());
    let putter = spawn({
        let channel = channel.clone();
        move || channel.put(5)
    });
    yield_now();
    assert_eq!(channel.get_nowait(), Ok(5));
    assert!(!putter.is_finished());
    yield_now();
    assert!(putter.is_finished());
}

/// A thousand operations that need not wait: how often others ran meanwhile.
fn switches_during(operation: impl Fn() + 'static) -> usize {
    let ran = support::Counter::default();
    let other = spawn_local({
        let ran = ran.clone();
        move || {
            loop {
                ran.add();
                yield_now();
            }
        }
    });
    let worker = spawn_local(move || (0..1000).for_each(|_| operation()));
    worker.join().unwrap();
    other.kill().unwrap();
    ran.get()
}

#[test]
fn what_need_not_wait_does_not_switch() {
    let _watchdog = support::watchdog();
    let queue = Queue::new();
    let switches = switches_during(move || {
        queue.put_nowait(1).unwrap();
        queue.get_nowait().unwrap();
    });
    assert!(switches <= 2, "{switches}");
    // But put and get let others run every 128 operations, or a loop of them would stop the thread.
    let queue = Queue::new();
    let switches = switches_during(move || {
        queue.put(1).unwrap();
        queue.get().unwrap();
    });
    assert!((14..=18).contains(&switches), "{switches}");
}

#[test]
fn channel_send() {
    let _watchdog = support::watchdog();
    let channel = Rc::new(Channel::new());
    let events = Rc::new(RefCell::new(Vec::new()));
    let log = {
        let events = events.clone();
        move |event: &'static str| events.borrow_mut().push(event)
    };
    let getter = spawn_local({
        let (channel, log) = (channel.clone(), log.clone());
        move || {
            log(channel.get().unwrap());
            log(channel.get().unwrap());
        }
    });
    log("sending");
    channel.put("hello").unwrap();
    log("sent hello");
    channel.put("world").unwrap(); // somebody waits for it: gevent switches, we do not
    log("sent world");
    getter.join().unwrap();
    let expected = ["sending", "hello", "sent hello", "sent world", "world"];
    assert_eq!(*events.borrow(), expected);
}

#[test]
fn channel_wait() {
    let _watchdog = support::watchdog();
    let channel = Rc::new(Channel::new());
    let events = Rc::new(RefCell::new(Vec::new()));
    let log = {
        let events = events.clone();
        move |event: &'static str| events.borrow_mut().push(event)
    };
    let putter = spawn_local({
        let (channel, log) = (channel.clone(), log.clone());
        move || {
            log("sending hello");
            channel.put("hello").unwrap();
            log("sending world");
            channel.put("world").unwrap();
            log("sent world");
        }
    });
    log("waiting");
    log(channel.get().unwrap());
    log(channel.get().unwrap());
    putter.join().unwrap();
    let expected = [
        "waiting",
        "sending hello",
        "sending world",
        "hello",
        "world",
        "sent world",
    ];
    assert_eq!(*events.borrow(), expected);
}

#[test]
fn issue_45_join_of_nothing_does_not_switch() {
    let queue = JoinableQueue::<()>::new();
    let other = spawn(|| ());
    queue.join();
    assert!(!other.is_finished());
    other.join().unwrap();
}

#[test]
fn join_waits_for_task_done() {
    let _watchdog = support::watchdog();
    let queue = Arc::new(JoinableQueue::new());
    let sum = Arc::new(std::sync::Mutex::new(0));
    for _ in 0..2 {
        let (queue, sum) = (queue.clone(), sum.clone());
        spawn(move || {
            for item in &*queue {
                yield_now();
                *sum.lock().unwrap() += item;
                queue.task_done();
            }
        });
    }
    for round in 1..=2 {
        (0..100).for_each(|item| queue.put(item).unwrap());
        assert_eq!(queue.unfinished_tasks(), 100);
        queue.join();
        assert_eq!(*sum.lock().unwrap(), 4950 * round);
    }
    queue.shutdown();
}

#[test]
fn join_wakes_all_and_times_out() {
    let _watchdog = support::watchdog();
    let queue = Arc::new(Queue::new());
    queue.put(()).unwrap();
    assert!(!queue.join_timeout(SOON));
    let joiners: Vec<_> = (0..3)
        .map(|_| {
            let queue = queue.clone();
            spawn(move || queue.join())
        })
        .collect();
    yield_now();
    queue.get().unwrap();
    yield_now();
    assert!(joiners.iter().all(|joiner| !joiner.is_finished()));
    queue.task_done();
    joiners
        .into_iter()
        .for_each(|joiner| joiner.join().unwrap());
    assert!(queue.join_timeout(Duration::ZERO));
}

#[test]
#[should_panic(expected = "task_done() called too many times")]
fn task_done_too_often() {
    let queue = Queue::new();
    queue.put(()).unwrap();
    queue.task_done();
    queue.task_done();
}

#[test]
fn lifo_and_priority() {
    let lifo = LifoQueue::bounded(3);
    let priority = PriorityQueue::bounded(3);
    for item in [2, 3, 1] {
        lifo.put(item).unwrap();
        priority.put(item).unwrap();
    }
    assert_eq!(lifo.put_nowait(0), Err(PutError::Full(0)));
    assert_eq!(priority.put_nowait(0), Err(PutError::Full(0)));
    assert_eq!((lifo.peek(), priority.peek()), (Ok(1), Ok(1)));
    lifo.shutdown();
    priority.shutdown();
    assert_eq!(lifo.iter().collect::<Vec<_>>(), [1, 3, 2]);
    assert_eq!(priority.iter().collect::<Vec<_>>(), [1, 2, 3]);
}

/// gevent's `AbstractGenericGetTestCase`: what waits ends in time, and does not swallow an outer limit.
fn interrupts(get: impl Fn(Option<Duration>) -> bool) {
    let _watchdog = support::watchdog();
    let start = Instant::now();
    assert!(get(Some(SOON)), "it times out");
    assert!(start.elapsed() >= SOON);
    assert!(start.elapsed() < Duration::from_secs(20) * support::slowdown());
    assert!(timeout(SOON, || get(None)).is_err());
    assert!(timeout(SOON, || get(Some(NEVER))).is_err());
    // An inner limit that is shorter is the one that is seen.
    assert_eq!(timeout(NEVER, || get(Some(SOON))), Ok(true));
}

macro_rules! interrupts {
    ($($name:ident: $queue:expr, $get:ident, $get_timeout:ident;)*) => {$(
        #[test]
        fn $name() {
            let queue = $queue;
            interrupts(|limit| match limit {
                None => queue.$get().is_err(),
                Some(limit) => queue.$get_timeout(limit) == Err(GetError::Empty),
            });
        }
    )*};
}
interrupts! {
    interrupt_get_of_queue: Queue::<u8>::new(), get, get_timeout;
    interrupt_peek_of_queue: Queue::<u8>::new(), peek, peek_timeout;
    interrupt_get_of_lifo: LifoQueue::<u8>::new(), get, get_timeout;
    interrupt_get_of_priority: PriorityQueue::<u8>::new(), get, get_timeout;
    interrupt_peek_of_priority: PriorityQueue::<u8>::new(), peek, peek_timeout;
    interrupt_get_of_channel: Channel::<u8>::new(), get, get_timeout;
}

#[test]
fn interrupt_put_of_channel() {
    let channel = Channel::new();
    interrupts(|limit| match limit {
        None => channel.put(1).is_err(),
        Some(limit) => channel.put_timeout(1, limit) == Err(PutError::Full(1)),
    });
}

#[test]
fn interrupt_put_and_join_of_queue() {
    let queue = Queue::bounded(1);
    queue.put(0).unwrap();
    interrupts(|limit| match limit {
        None => queue.put(1).is_err(),
        Some(limit) => queue.put_timeout(1, limit) == Err(PutError::Full(1)),
    });
    interrupts(|limit| match limit {
        None => {
            queue.join();
            false
        }
        Some(limit) => !queue.join_timeout(limit),
    });
    assert_eq!(queue.get(), Ok(0));
    assert!(queue.is_empty());
}
