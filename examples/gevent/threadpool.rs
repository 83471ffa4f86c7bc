//! cargo run --example gevent_threadpool
//!
//! gevent's `threadpool.py`: four calls that block their thread, on a pool of three threads, take as long as two. Greenlets
//! go on meanwhile.
//!
//! | gevent | here |
//! |---|---|
//! | `pool = ThreadPool(3)` | [`ThreadPool::new`], which has a queue; gevent's `spawn` blocks instead: `Limits::new().threads(3).queued(0)` |
//! | `pool.spawn(time.sleep, 1)` returns an `AsyncResult` | `spawn` returns an `Offloaded`: the result has one taker |
//! | `gevent.wait()` | `join` on each |

use std::thread;
use std::time::{Duration, Instant};

use rustlet::offload::ThreadPool;

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
    let jobs: Vec<_> = (1..=4)
        .map(|n| {
            pool.spawn(move || {
                thread::sleep(second);
                n * n
            })
        })
        .collect();
    for job in jobs {
        println!("a job gave {}", job.join().expect("jobs do not panic"));
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
