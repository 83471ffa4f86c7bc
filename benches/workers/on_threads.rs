//! std's threads: what the kernel takes at least to wake one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use crate::programs::{self, Begin, Peer, Sample};

pub(crate) struct Threads;

/// A thread that waits, parked, for something to begin; it ends when `post` is dropped.
struct Sleeper {
    post: mpsc::Sender<(Begin, Instant)>,
    thread: thread::Thread,
}

fn sleeper() -> Sleeper {
    let (post, order) = mpsc::channel::<(Begin, Instant)>();
    let handle = thread::spawn(move || {
        loop {
            match order.try_recv() {
                Ok((begin, now)) => begin.note(now),
                Err(mpsc::TryRecvError::Empty) => thread::park(),
                Err(mpsc::TryRecvError::Disconnected) => return,
            }
        }
    });
    Sleeper {
        post,
        thread: handle.thread().clone(),
    }
}

impl Sleeper {
    fn call(&self, begin: Begin, now: Instant) {
        self.post
            .send((begin, now))
            .expect("it lives as long as this");
        self.thread.unpark();
    }

    fn end(self) {
        drop(self.post);
        self.thread.unpark();
    }
}

impl Peer for Threads {
    fn spawn_join(&self, _: u64, _: u64) -> Option<Sample> {
        None
    }
    fn skynet(&self, _: u32) -> Option<Sample> {
        None
    }

    fn unpark(&self, times: u64) -> Option<Sample> {
        let turns = Arc::new(AtomicU64::new(0));
        let also = turns.clone();
        let wait_for = |turns: &AtomicU64, turn| {
            while turns.load(Ordering::Acquire) < turn {
                thread::park();
            }
        };
        let here = thread::current();
        let there = thread::spawn(move || {
            for turn in 0..times {
                wait_for(&also, 2 * turn + 1);
                also.store(2 * turn + 2, Ordering::Release);
                here.unpark();
            }
        });
        let sample = Sample::of(2 * times, || {
            for turn in 0..times {
                turns.store(2 * turn + 1, Ordering::Release);
                there.thread().unpark();
                wait_for(&turns, 2 * turn + 2);
            }
        });
        there.join().expect("it only waits");
        Some(sample)
    }

    fn channel(&self, room: usize, times: u64) -> Option<Sample> {
        let (sender, there) = mpsc::sync_channel(room);
        let (back, receiver) = mpsc::sync_channel(room);
        let partner = thread::spawn(move || {
            for number in 0..times {
                assert_eq!(there.recv(), Ok(number));
                back.send(number).expect("it receives");
            }
        });
        let sample = Sample::of(2 * times, || {
            for number in 0..times {
                sender.send(number).expect("it receives");
                assert_eq!(receiver.recv(), Ok(number));
            }
        });
        partner.join().expect("it only waits");
        Some(sample)
    }

    fn wake_by_thread(&self, times: usize) -> Option<Sample> {
        let sleeper = sleeper();
        let sample = programs::wakes_by_thread(times, |begin, now| sleeper.call(begin, now));
        sleeper.end();
        Some(sample)
    }

    fn wake_by_worker(&self, times: usize) -> Option<Sample> {
        let sleeper = sleeper();
        let sample = programs::wakes_by_worker(times, |begin, now| sleeper.call(begin, now));
        sleeper.end();
        Some(sample)
    }
}
