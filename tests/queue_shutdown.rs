//! `shutdown` as Python 3.13 has it (CPython's `test_queue.py` and gevent's): putting fails at once, getting when nothing is
//! left, and `shutdown_now` drops what is left.

mod support;

use std::sync::Arc;
use std::time::Duration;

use rustlet::queue::{Channel, GetError, LifoQueue, PriorityQueue, PutError, Queue, ShutDown};
use rustlet::{spawn, yield_now};

const LONG: Duration = Duration::from_secs(1000);

macro_rules! for_all_queues {
    ($($test:ident)*) => {$(
        #[test]
        fn $test() {
            let _watchdog = support::watchdog();
            $test!(Queue);
            $test!(LifoQueue);
            $test!(PriorityQueue);
        }
    )*};
}

macro_rules! all_methods_when_empty {
    ($name:ident) => {{
        let queue = $name::bounded(2);
        assert!(!queue.is_shut_down());
        queue.shutdown();
        assert!(queue.is_shut_down());
        assert_eq!(queue.put(1), Err(ShutDown(1)));
        assert_eq!(queue.put_nowait(1), Err(PutError::ShutDown(1)));
        assert_eq!(queue.put_timeout(1, LONG), Err(PutError::ShutDown(1)));
        assert_eq!(queue.get(), Err(ShutDown(())));
        assert_eq!(queue.get_nowait(), Err(GetError::ShutDown));
        assert_eq!(queue.get_timeout(LONG), Err(GetError::ShutDown));
        assert_eq!(queue.peek(), Err(ShutDown(())));
        assert_eq!(queue.peek_nowait(), Err(GetError::ShutDown));
        assert_eq!(queue.peek_timeout(LONG), Err(GetError::ShutDown));
        assert_eq!(queue.iter().next(), None);
        queue.join();
        queue.shutdown();
        queue.shutdown_now();
    }};
}

macro_rules! what_is_left_can_be_got {
    ($name:ident) => {{
        let queue = $name::new();
        queue.put("a").unwrap();
        queue.put("b").unwrap();
        queue.shutdown();
        assert_eq!(queue.put("c"), Err(ShutDown("c")));
        queue.peek().unwrap();
        assert_eq!(queue.len(), 2);
        assert!(queue.get().is_ok() && queue.get_nowait().is_ok());
        assert_eq!(queue.get(), Err(ShutDown(())));
        assert_eq!(queue.unfinished_tasks(), 2);
        queue.task_done();
        queue.task_done();
        queue.join();
    }};
}

macro_rules! immediate_drops_what_is_left {
    ($name:ident) => {{
        let queue = Arc::new($name::new());
        let item = Arc::new(());
        (0..3).for_each(|_| queue.put(item.clone()).unwrap());
        drop(queue.get());
        let joiner = spawn({
            let queue = queue.clone();
            move || queue.join()
        });
        yield_now();
        queue.shutdown_now();
        assert_eq!(Arc::strong_count(&item), 1);
        assert_eq!(queue.get(), Err(ShutDown(())));
        // The one that was taken is not done.
        yield_now();
        assert!(!joiner.is_finished());
        assert_eq!(queue.unfinished_tasks(), 1);
        queue.task_done();
        joiner.join().unwrap();
    }};
}

macro_rules! immediate_unblocks_join {
    ($name:ident) => {{
        let queue = Arc::new($name::new());
        queue.put(1).unwrap();
        let joiner = spawn({
            let queue = queue.clone();
            move || queue.join()
        });
        yield_now();
        queue.shutdown_now();
        joiner.join().unwrap();
    }};
}

macro_rules! who_waits_is_told {
    ($name:ident) => {{
        for now in [false, true] {
            let queue = Arc::new($name::<u8>::bounded(1));
            let getters: Vec<_> = (0..3)
                .map(|_| {
                    let queue = queue.clone();
                    spawn(move || queue.get())
                })
                .collect();
            let peeker = spawn({
                let queue = queue.clone();
                move || queue.peek()
            });
            yield_now();
            if now {
                queue.shutdown_now()
            } else {
                queue.shutdown()
            }
            for getter in getters {
                assert_eq!(getter.join().unwrap(), Err(ShutDown(())));
            }
            assert_eq!(peeker.join().unwrap(), Err(ShutDown(())));

            let queue = Arc::new($name::<u8>::bounded(1));
            queue.put(0).unwrap();
            let putters: Vec<_> = (1..=3)
                .map(|item| {
                    let queue = queue.clone();
                    spawn(move || queue.put(item))
                })
                .collect();
            yield_now();
            if now {
                queue.shutdown_now()
            } else {
                queue.shutdown()
            }
            for (putter, item) in putters.into_iter().zip(1..) {
                assert_eq!(putter.join().unwrap(), Err(ShutDown(item)));
            }
            let left = if now { Err(GetError::ShutDown) } else { Ok(0) };
            assert_eq!(queue.get_nowait(), left);
            assert_eq!(queue.get_nowait(), Err(GetError::ShutDown));
            assert_eq!(queue.unfinished_tasks(), usize::from(!now));
        }
    }};
}

for_all_queues! {
    all_methods_when_empty
    what_is_left_can_be_got
    immediate_drops_what_is_left
    immediate_unblocks_join
    who_waits_is_told
}

#[test]
fn channel() {
    let _watchdog = support::watchdog();
    let channel = Arc::new(Channel::new());
    let getter = spawn({
        let channel = channel.clone();
        move || channel.get()
    });
    yield_now();
    channel.shutdown();
    assert_eq!(getter.join().unwrap(), Err(ShutDown(())));
    assert_eq!(channel.put(1), Err(ShutDown(1)));

    let channel = Arc::new(Channel::new());
    let putter = spawn({
        let channel = channel.clone();
        move || channel.put(2)
    });
    yield_now();
    channel.shutdown();
    assert_eq!(putter.join().unwrap(), Err(ShutDown(2)));
    assert_eq!(channel.get(), Err(ShutDown(())));
}

#[test]
fn more_done_than_put_back_is_no_underflow() {
    // As in Python: what is declared done need not have been taken.
    let queue = Queue::new();
    queue.put(1).unwrap();
    queue.task_done();
    queue.shutdown_now();
    assert_eq!(queue.unfinished_tasks(), 0);
}

#[test]
fn iteration_ends_for_all() {
    let _watchdog = support::watchdog();
    let queue = Arc::new(Queue::bounded(3));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let queue = queue.clone();
            spawn(move || queue.iter().count())
        })
        .collect();
    (0..1000).for_each(|item| queue.put(item).unwrap());
    queue.shutdown();
    let count: usize = workers
        .into_iter()
        .map(|worker| worker.join().unwrap())
        .sum();
    assert_eq!(count, 1000);
}
