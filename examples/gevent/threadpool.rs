//! cargo run --example gevent_threadpool
//!
//! gevent's `threadpool.py`: four calls that block their thread, on a pool of three threads, take as long as two. Greenlets
//! go on meanwhile.
//!
//! The library has no pool of threads for blocking calls yet; the resolver of host names alone has one of its own. This
//! example shows how little it takes to make one: plain threads take jobs from a channel and
//! set `AsyncResult`s, for which greenlets wait.
//!
//! | gevent | here |
//! |---|---|
//! | `pool = ThreadPool(3)`, `pool.spawn(time.sleep, 1)` | the `ThreadPool` below |
//! | returns an `AsyncResult` | so does it |
//! | `gevent.wait()` | `get` on each result: threads are no greenlets that `wait` could know of |

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustlet::sync::AsyncResult;

type Job = Box<dyn FnOnce() + Send>;

/// So many threads; they end when the pool is dropped.
struct ThreadPool {
    jobs: mpsc::Sender<Job>,
}

impl ThreadPool {
    fn new(threads: usize) -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let queue = queue.clone();
            thread::spawn(move || {
                loop {
                    // A statement of its own, so that the lock is free again before the job runs.
                    let next = queue.lock().unwrap().recv();
                    match next {
                        Ok(job) => job(),
                        Err(_) => return,
                    }
                }
            });
        }
        ThreadPool { jobs }
    }

    /// Runs `f` on one of the threads; a panic of `f` is the result's error.
    fn spawn<F, T>(&self, f: F) -> Arc<AsyncResult<T, &'static str>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Clone + Send + Sync + 'static,
    {
        let result = Arc::new(AsyncResult::new());
        let setter = result.clone();
        let job = move || {
            let outcome = catch_unwind(AssertUnwindSafe(f));
            setter.set_result(outcome.map_err(|_| "the job panicked"));
        };
        self.jobs.send(Box::new(job)).expect("threads take jobs");
        result
    }
}

fn main() {
    let second = Duration::from_millis(250);
    let ticks = rustlet::spawn(move || {
        for n in 1.. {
            rustlet::sleep(second / 2);
            println!("a greenlet goes on: {n}");
        }
    });

    let pool = ThreadPool::new(3);
    let start = Instant::now();
    let results: Vec<_> = (1..=4)
        .map(|n| {
            pool.spawn(move || {
                thread::sleep(second);
                n * n
            })
        })
        .collect();
    for result in results {
        println!("a job gave {}", result.get().expect("jobs do not panic"));
    }
    let delay = start.elapsed().div_duration_f32(second);
    println!("4 jobs of 1 unit of time with 3 threads took {delay:.0} units");
    ticks.kill().expect("main can wait");
}

// Prints:
//
// a greenlet goes on: 1
// a job gave 1
// a job gave 4
// a job gave 9
// a greenlet goes on: 2
// a greenlet goes on: 3
// a job gave 16
// 4 jobs of 1 unit of time with 3 threads took 2 units
