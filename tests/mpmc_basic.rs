//! What `std::sync::mpsc` and `crossbeam-channel` promise of a channel: order, ends, errors, iterators.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustlet::sync::mpmc::{
    RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError, bounded,
    unbounded,
};
use rustlet::{spawn, spawn_local, timeout, yield_now};
use support::Counter;

const SOON: Duration = Duration::from_millis(5);

#[test]
fn first_in_first_out() {
    let (sender, receiver) = unbounded();
    (0..1000).for_each(|n| sender.send(n).unwrap());
    assert_eq!(sender.len(), 1000);
    assert!(receiver.iter().take(1000).eq(0..1000));
    assert!(receiver.is_empty());
}

#[test]
fn len_and_capacity() {
    let (sender, receiver) = bounded(2);
    assert_eq!((sender.capacity(), receiver.capacity()), (Some(2), Some(2)));
    assert!(sender.is_empty() && !sender.is_full());
    sender.send(1).unwrap();
    sender.send(2).unwrap();
    assert!(sender.is_full() && receiver.is_full());
    assert_eq!((sender.len(), receiver.len()), (2, 2));
    receiver.recv().unwrap();
    assert!(!sender.is_full());
    assert_eq!(unbounded::<u8>().0.capacity(), None);
    let (sender, receiver) = bounded::<u8>(0);
    assert!(sender.is_empty() && sender.is_full() && receiver.is_full());
    assert!(sender.same_channel(&sender.clone()));
    assert!(!receiver.same_channel(&bounded(0).1));
}

#[test]
fn what_is_left_is_received_after_the_last_sender() {
    let (sender, receiver) = bounded(3);
    let second = sender.clone();
    sender.send(1).unwrap();
    drop(sender);
    second.send(2).unwrap();
    drop(second);
    assert_eq!(receiver.recv(), Ok(1));
    assert_eq!(receiver.try_recv(), Ok(2));
    assert_eq!(receiver.recv(), Err(RecvError));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    assert_eq!(
        receiver.recv_timeout(SOON),
        Err(RecvTimeoutError::Disconnected)
    );
    assert_eq!(receiver.into_iter().next(), None);
}

#[test]
fn senders_get_their_items_back_after_the_last_receiver() {
    let dropped = Counter::default();
    let (sender, receiver) = bounded(3);
    let second = receiver.clone();
    sender.send(dropped.on_drop()).unwrap();
    drop(receiver);
    sender.send(dropped.on_drop()).unwrap();
    assert_eq!(dropped.get(), 0);
    drop(second);
    assert_eq!(dropped.get(), 2, "what was left is dropped at once");
    let SendError(item) = sender.send(dropped.on_drop()).unwrap_err();
    assert_eq!(dropped.get(), 2);
    let result = sender.try_send(item);
    assert!(matches!(result, Err(TrySendError::Disconnected(_))));
    let item = dropped.on_drop();
    let result = sender.send_timeout(item, SOON);
    assert!(matches!(result, Err(SendTimeoutError::Disconnected(_))));
}

#[test]
fn who_waits_learns_of_the_end() {
    let _watchdog = support::watchdog();
    let (sender, receiver) = bounded::<u8>(0);
    let receivers: Vec<_> = (0..3)
        .map(|_| {
            let receiver = receiver.clone();
            spawn(move || receiver.recv())
        })
        .collect();
    yield_now();
    drop(sender);
    for receiver in receivers {
        assert_eq!(receiver.join().unwrap(), Err(RecvError));
    }

    let (sender, receiver) = bounded(1);
    sender.send(0).unwrap();
    let senders: Vec<_> = (1..4)
        .map(|n| {
            let sender = sender.clone();
            spawn(move || sender.send(n))
        })
        .collect();
    yield_now();
    drop(receiver);
    for (sender, n) in senders.into_iter().zip(1..) {
        assert_eq!(sender.join().unwrap(), Err(SendError(n)));
    }
}

#[test]
fn rendezvous() {
    let _watchdog = support::watchdog();
    let (sender, receiver) = bounded(0);
    assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    let waiting = spawn({
        let sender = sender.clone();
        move || sender.send(2)
    });
    yield_now();
    assert!(!waiting.is_finished());
    assert_eq!(receiver.try_recv(), Ok(2));
    waiting.join().unwrap().unwrap();
    let waiting = spawn(move || receiver.recv());
    yield_now();
    assert_eq!(sender.try_send(3), Ok(()));
    assert_eq!(waiting.join().unwrap(), Ok(3));
}

#[test]
fn limits() {
    let _watchdog = support::watchdog();
    let (sender, receiver) = bounded(1);
    let start = Instant::now();
    assert_eq!(receiver.recv_timeout(SOON), Err(RecvTimeoutError::Timeout));
    sender.send_timeout(1, SOON).unwrap();
    assert_eq!(
        sender.send_timeout(2, SOON),
        Err(SendTimeoutError::Timeout(2))
    );
    assert!(start.elapsed() >= 2 * SOON);
    assert!(timeout(SOON, || sender.send(3)).is_err());
    assert_eq!(receiver.recv_timeout(SOON), Ok(1));
    assert!(timeout(SOON, || receiver.recv()).is_err());
    assert!(receiver.is_empty());
}

#[test]
fn iterators() {
    let _watchdog = support::watchdog();
    let (sender, receiver) = bounded(2);
    let producer = spawn(move || (0..10).for_each(|n| sender.send(n).unwrap()));
    yield_now();
    // Two are there, and each receive lets the one who waits move up.
    assert!(receiver.try_iter().eq(0..3));
    assert!(receiver.try_iter().eq(std::iter::empty()));
    assert!(receiver.iter().take(2).eq(3..5));
    assert!((&receiver).into_iter().take(1).eq(5..6));
    assert!(receiver.into_iter().eq(6..10));
    producer.join().unwrap();
}

#[test]
fn dropped_with_the_channel() {
    let dropped = Counter::default();
    let (sender, receiver) = unbounded();
    for _ in 0..100 {
        sender.send(dropped.on_drop()).unwrap();
    }
    drop(receiver.recv());
    drop(sender);
    assert_eq!(dropped.get(), 1);
    drop(receiver);
    assert_eq!(dropped.get(), 100);
}

#[test]
fn large_and_zero_sized_items() {
    let (sender, receiver) = bounded(70);
    (0..70_u8).for_each(|n| sender.send([n; 5000]).unwrap());
    assert!(receiver.try_iter().map(|item| item[4999]).eq(0..70));
    let (sender, receiver) = unbounded();
    (0..1000).for_each(|_| sender.send(()).unwrap());
    assert_eq!(receiver.try_iter().count(), 1000);
}

#[test]
fn a_loop_of_sends_lets_others_run() {
    let _watchdog = support::watchdog();
    let (sender, receiver) = unbounded();
    let sending = spawn_local(move || while sender.send(1).is_ok() {});
    yield_now();
    let count = receiver.len();
    assert!((1..=256).contains(&count), "{count}");
    drop(receiver);
    sending.join().unwrap();
}

/// A kill is raised before the item is taken, never after.
#[test]
fn the_yield_of_a_loop_loses_nothing_to_a_kill() {
    let _watchdog = support::watchdog();
    let total = 300;
    let (sender, receiver) = unbounded();
    (0..total).for_each(|n| sender.try_send(n).unwrap());
    let got = Counter::default();
    let receiving = spawn_local({
        let (receiver, got) = (receiver.clone(), got.clone());
        move || {
            while receiver.recv().is_ok() {
                got.add();
            }
        }
    });
    yield_now();
    assert!((1..total).contains(&got.get()));
    receiving.kill().unwrap();
    assert_eq!(got.get() + receiver.len(), total);
}

#[test]
fn plain_threads() {
    let _watchdog = support::watchdog();
    let (sender, receiver) = bounded(3);
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let sender = sender.clone();
            std::thread::spawn(move || (0..1000).for_each(|n| sender.send(n).unwrap()))
        })
        .collect();
    drop(sender);
    let sum: u64 = receiver.iter().sum();
    assert_eq!(sum, 3 * 999 * 1000 / 2);
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

#[test]
fn what_may_be_shared() {
    fn check<T: Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>(_: &T) {}
    let (sender, receiver) = unbounded::<std::cell::Cell<u8>>();
    check(&sender);
    check(&receiver);
    check(&Arc::new(
        rustlet::queue::Queue::<std::cell::Cell<u8>>::new(),
    ));
}
