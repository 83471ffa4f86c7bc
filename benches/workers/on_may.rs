//! may, with two workers.
#![allow(unsafe_code)] // may's spawn is unsafe; see there.

use std::hint::black_box;

use may::coroutine::JoinHandle;

use crate::programs::{self, Peer, Sample};

/// So many stacks at once the kernel allows by default: each is two mappings, and made by the spawn.
const MOST: u64 = 30_000;

pub(crate) struct Coroutines;

impl Coroutines {
    pub(crate) fn new() -> Self {
        may::config().set_workers(2).set_worker_pin(false);
        Coroutines
    }
}

fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    // SAFETY: may asks for coroutines that touch no thread-local across a suspension and stay within their stack
    // (32 KiB): these count, and wait for others.
    unsafe { may::coroutine::spawn(f) }
}

impl Peer for Coroutines {
    fn spawn_join(&self, batch: u64, times: u64) -> Option<Sample> {
        if batch > MOST {
            return None;
        }
        let all = spawn(move || {
            let mut coroutines = Vec::with_capacity(batch as usize);
            Sample::of(batch * times, || {
                for _ in 0..times {
                    coroutines.extend((0..batch).map(|number| {
                        let number = black_box(number);
                        spawn(move || number)
                    }));
                    for coroutine in coroutines.drain(..) {
                        black_box(coroutine.join().expect("it returns a number"));
                    }
                }
            })
        });
        Some(all.join().expect("it only joins"))
    }

    /// More stacks at once than the kernel allows mappings.
    fn skynet(&self, _: u32) -> Option<Sample> {
        None
    }
    fn unpark(&self, _: u64) -> Option<Sample> {
        None
    }
    fn channel(&self, _: usize, _: u64) -> Option<Sample> {
        None
    }

    fn wake_by_thread(&self, times: usize) -> Option<Sample> {
        Some(programs::wakes_by_thread(times, |begin, now| {
            drop(spawn(move || begin.note(now)));
        }))
    }

    fn wake_by_worker(&self, times: usize) -> Option<Sample> {
        let all = spawn(move || {
            programs::wakes_by_worker(times, |begin, now| drop(spawn(move || begin.note(now))))
        });
        Some(all.join().expect("it only waits"))
    }
}
