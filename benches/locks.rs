//! Locks: what waiting in a queue costs, what not waiting costs, and two threads that want the same lock.
//!
//! - *handed around*: 1,000 greenlets, each 1,000 times: lock, yield while holding, unlock. All others
//!   wait meanwhile, so this is parking, waking and switching, with the lock's queue in between; an operation is
//!   one such iteration. Beside tokio (current thread) and may (one worker).
//! - *free*: lock and unlock, nobody else there. The floor is std's mutex.
//! - *two threads*: two hubs with one greenlet each that lock, count and unlock a million times. The processor time of both
//!   threads together, so time spent spinning counts and time asleep does not.
//!
//! Not for locks held for long, nor for fairness, which the tests have.
//!
//! ```text
//! cargo bench --bench locks
//! cargo bench --bench locks -- --rounds 15
//! ```

mod support;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use rustlet::sync::{Mutex, Semaphore};

use support::peers::{self, Contender, Table};
use support::workload::{Workload, compare};
use support::{arguments, clock};

/// `tasks` greenlets with `each` iterations.
#[derive(Clone, Copy)]
struct Shape {
    tasks: u64,
    each: u64,
}

// ---------------------------------------------------------------------------- handed around

fn on_rustlet<R: Send + Sync + 'static>(
    shape: Shape,
    shared: R,
    iteration: impl Fn(&R) + Send + Copy + 'static,
) -> Duration {
    let shared = Arc::new(shared);
    let start = clock::process_cpu();
    let greenlets: Vec<_> = (0..shape.tasks)
        .map(|_| {
            let shared = shared.clone();
            rustlet::spawn(move || (0..shape.each).for_each(|_| iteration(&shared)))
        })
        .collect();
    for greenlet in greenlets {
        greenlet.join().expect("it only counts");
    }
    clock::process_cpu() - start
}

fn rustlet_mutex(shape: Shape) -> Duration {
    on_rustlet(shape, Mutex::new(0_u64), |mutex| {
        let mut count = mutex.lock().expect("nobody panics");
        rustlet::yield_now();
        *count += 1;
    })
}

fn rustlet_semaphore(shape: Shape, permits: usize) -> Duration {
    on_rustlet(shape, Semaphore::new(permits), |semaphore| {
        let _permit = semaphore.acquire();
        rustlet::yield_now();
    })
}

fn tokio_mutex(shape: Shape) -> Duration {
    let mutex = Arc::new(tokio::sync::Mutex::new(0_u64));
    peers::on_tokio(shape.tasks, move |_| {
        let mutex = mutex.clone();
        async move {
            for _ in 0..shape.each {
                let mut count = mutex.lock().await;
                tokio::task::yield_now().await;
                *count += 1;
            }
        }
    })
}

fn tokio_semaphore(shape: Shape, permits: usize) -> Duration {
    let semaphore = Arc::new(tokio::sync::Semaphore::new(permits));
    peers::on_tokio(shape.tasks, move |_| {
        let semaphore = semaphore.clone();
        async move {
            for _ in 0..shape.each {
                let _permit = semaphore.acquire().await.expect("never closed");
                tokio::task::yield_now().await;
            }
        }
    })
}

fn may_mutex(shape: Shape) -> Duration {
    let mutex = Arc::new(may::sync::Mutex::new(0_u64));
    peers::on_may(shape.tasks, move |_| {
        let mutex = mutex.clone();
        move || {
            for _ in 0..shape.each {
                let mut count = mutex.lock().expect("nobody panics");
                may::coroutine::yield_now();
                *count += 1;
            }
        }
    })
}

fn may_semaphore(shape: Shape, permits: usize) -> Duration {
    let semaphore = Arc::new(may::sync::Semphore::new(permits));
    peers::on_may(shape.tasks, move |_| {
        let semaphore = semaphore.clone();
        move || {
            for _ in 0..shape.each {
                semaphore.wait();
                may::coroutine::yield_now();
                semaphore.post();
            }
        }
    })
}

// ---------------------------------------------------------------------------- free

/// Locks and unlocks, in a greenlet, with nobody else around.
struct Free<F>(F);

const FREE: u64 = 1_000;

impl<F: FnMut() + Clone + 'static> Workload for Free<F> {
    fn operations(&self) -> u64 {
        FREE
    }

    fn run(&mut self, rounds: u64) -> Duration {
        let mut operation = self.0.clone();
        let measured = rustlet::spawn_local(move || {
            let start = clock::thread_cpu();
            for _ in 0..rounds * FREE {
                operation();
            }
            clock::thread_cpu() - start
        });
        measured.join().expect("it only counts")
    }
}

fn free(samples: usize) -> Vec<(&'static str, f64)> {
    let (std, ours) = (
        Arc::new(std::sync::Mutex::new(0_u64)),
        Arc::new(Mutex::new(0_u64)),
    );
    let semaphore = Arc::new(Semaphore::new(1));
    let mut std = Free(move || *black_box(&std).lock().expect("nobody panics") += 1);
    let mut ours = Free(move || *black_box(&ours).lock().expect("nobody panics") += 1);
    let mut permits = Free(move || drop(black_box(&semaphore).acquire()));
    let medians = compare(&mut [&mut std, &mut ours, &mut permits], samples);
    ["std Mutex", "rustlet Mutex", "rustlet Semaphore"]
        .into_iter()
        .zip(medians)
        .collect()
}

// ---------------------------------------------------------------------------- two threads

fn two_threads<M: Send + Sync + 'static>(
    each: u64,
    mutex: M,
    operation: impl Fn(&M) + Send + Copy + 'static,
) -> Duration {
    let mutex = Arc::new(mutex);
    let start = clock::process_cpu();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let mutex = mutex.clone();
            std::thread::spawn(move || {
                rustlet::run(move || (0..each).for_each(|_| operation(&mutex)));
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("it only counts");
    }
    clock::process_cpu() - start
}

fn main() {
    let smoke = arguments::is_smoke_test();
    let shape = Shape {
        tasks: 1_000,
        each: if smoke { 3 } else { 1_000 },
    };
    let rounds = peers::rounds(9);
    let iterations = (shape.tasks * shape.each) as f64;
    peers::one_may_worker();

    let mut table = Table::new("CPU ns an iteration, handed around", iterations);
    table.row(
        "Mutex, at most 120",
        rounds,
        &mut [
            Contender::new("rustlet", || rustlet_mutex(shape)),
            Contender::new("tokio", || tokio_mutex(shape)),
            Contender::new("may", || may_mutex(shape)),
        ],
    );
    for permits in [1, 10] {
        table.row(
            &format!("Semaphore({permits}), at most 120"),
            rounds,
            &mut [
                Contender::new("rustlet", || rustlet_semaphore(shape, permits)),
                Contender::new("tokio", || tokio_semaphore(shape, permits)),
                Contender::new("may", || may_semaphore(shape, permits)),
            ],
        );
    }
    table.print();

    println!("\nlock and unlock, nobody waits, CPU ns:");
    for (what, time) in free(if smoke { 1 } else { 21 }) {
        println!("  {what}: {time:.1}");
    }

    let each = if smoke { 1_000 } else { 1_000_000 };
    let mut table = Table::new("CPU ns a lock, two threads", 2.0 * each as f64);
    table.row(
        "lock, count, unlock",
        rounds,
        &mut [
            Contender::new("rustlet", || {
                two_threads(each, Mutex::new(0_u64), |mutex| {
                    *mutex.lock().expect("nobody panics") += 1;
                })
            }),
            Contender::new("std", || {
                two_threads(each, std::sync::Mutex::new(0_u64), |mutex| {
                    *mutex.lock().expect("nobody panics") += 1;
                })
            }),
        ],
    );
    table.print();
}
