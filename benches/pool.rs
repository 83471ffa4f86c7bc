//! A pool's `map` of 100,000 trivial jobs, beside spawning and joining them without a pool.
//!
//! The pool has 10, 100 and 1,000 slots: with few of them the caller waits for a slot nearly every time. *all at once* is what a
//! program without a pool does; *in batches* has no more of them at a time than the pool of 1,000. Times are CPU
//! time; an operation is one job.
//!
//! Not for jobs that do something: what a pool costs is all there is here.
//!
//! ```text
//! cargo bench --bench pool
//! cargo bench --bench pool -- --rounds 31
//! ```

mod support;

use std::hint::black_box;
use std::time::Duration;

use rustlet::Pool;

use support::peers::{self, Contender, Table};
use support::{arguments, clock};

fn mapped(jobs: u64, slots: usize) -> Duration {
    let pool = Pool::new(slots);
    let start = clock::process_cpu();
    let results = pool.map(0..jobs, |number| black_box(number) + 1);
    let time = clock::process_cpu() - start;
    assert_eq!(results.len() as u64, jobs);
    time
}

fn spawned(jobs: u64, batch: u64) -> Duration {
    let start = clock::process_cpu();
    let mut results = Vec::with_capacity(jobs as usize);
    let mut greenlets = Vec::with_capacity(batch as usize);
    let mut number = 0;
    while number < jobs {
        let end = jobs.min(number + batch);
        greenlets.extend((number..end).map(|number| rustlet::spawn(move || black_box(number) + 1)));
        results.extend(
            greenlets
                .drain(..)
                .map(|greenlet| greenlet.join().expect("it adds")),
        );
        number = end;
    }
    assert_eq!(results.len() as u64, jobs);
    clock::process_cpu() - start
}

fn main() {
    let jobs = if arguments::is_smoke_test() {
        1_000
    } else {
        100_000
    };
    let mut table = Table::new("CPU ns a job", jobs as f64);
    table.row(
        "100,000 trivial jobs",
        peers::rounds(15),
        &mut [
            Contender::new("spawn, join: batches of 1,000", || spawned(jobs, 1_000)),
            Contender::new("spawn, join: all at once", || spawned(jobs, jobs)),
            Contender::new("Pool(10)", || mapped(jobs, 10)),
            Contender::new("Pool(100)", || mapped(jobs, 100)),
            Contender::new("Pool(1000)", || mapped(jobs, 1_000)),
        ],
    );
    table.print();
}
