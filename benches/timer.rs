//! Timers with a million pending: arm and disarm, insert, cancel, fire.
//!
//! Through the public API, because that is what a program pays: `arm_disarm` is a [`rustlet::timeout`] around
//! nothing, the case of a limit that is not met; the others are delayed greenlets, so that an `insert` is
//! an insert into the wheel *and* a task with its closure, a `cancel` is a kill that drops the closure, and a
//! `fire` is also the run of the greenlet, and its join. The wheel alone is a few nanoseconds of that.
//!
//! All through, a million other delayed greenlets wait in the wheel, due at random within an hour. What
//! fires is due at random within a tenth of a second, and fires all at once, after the thread has slept for
//! so long: the hub's waking up for each of them is measured by `sleeps`. Times are CPU time of the thread.
//!
//! ```text
//! cargo bench --bench timer
//! ```

mod support;

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rustlet::Greenlet;

use support::random::Random;
use support::{arguments, clock};

const PENDING: usize = 1_000_000;
/// When the pending ones are due: more than the bench takes, so that none of them is.
const FAR: std::ops::Range<f64> = 3600.0..7200.0;
/// When those that fire are due, in seconds.
const NEAR: std::ops::Range<f64> = 0.0..0.1;

fn delayed(random: &mut Random, count: usize, due: std::ops::Range<f64>) -> Vec<Greenlet<()>> {
    (0..count)
        .map(|_| rustlet::spawn_later(random.seconds(due.clone()), || ()))
        .collect()
}

fn kill(greenlets: Vec<Greenlet<()>>) {
    for greenlet in &greenlets {
        greenlet.kill_nowait();
    }
    for greenlet in greenlets {
        assert!(greenlet.join().is_err_and(|error| error.is_killed()));
    }
}

fn timers(c: &mut Criterion) {
    let smoke = arguments::is_smoke_test();
    let mut random = Random::new(0x7131);
    let pending = delayed(&mut random, if smoke { 1_000 } else { PENDING }, FAR);
    let mut group = c.benchmark_group("timer_1M_pending");
    group.throughput(Throughput::Elements(1)).sample_size(20);

    group.bench_function("arm_disarm", |b| {
        b.iter_custom(|count| {
            let limit = Duration::from_secs(30);
            let start = clock::thread_cpu();
            for _ in 0..count {
                rustlet::timeout(limit, || ()).expect("it does not wait");
            }
            clock::thread_cpu() - start
        });
    });
    group.bench_function("insert", |b| {
        b.iter_custom(|count| {
            let start = clock::thread_cpu();
            let greenlets = delayed(&mut random, count as usize, FAR);
            let time = clock::thread_cpu() - start;
            kill(greenlets);
            time
        });
    });
    group.bench_function("cancel", |b| {
        b.iter_custom(|count| {
            let greenlets = delayed(&mut random, count as usize, FAR);
            let start = clock::thread_cpu();
            kill(greenlets);
            clock::thread_cpu() - start
        });
    });
    group.bench_function("fire", |b| {
        b.iter_custom(|count| {
            let greenlets = delayed(&mut random, count as usize, NEAR);
            // The thread, not the greenlet: the hub must not fire them before the clock is read.
            std::thread::sleep(Duration::from_secs_f64(NEAR.end));
            let start = clock::thread_cpu();
            for greenlet in greenlets {
                greenlet.join().expect("it returns");
            }
            clock::thread_cpu() - start
        });
    });
    group.finish();
    kill(pending);
}

criterion_group!(benches, timers);
criterion_main!(benches);
