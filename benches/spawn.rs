//! Spawning and joining: batches of 1,000 and of 100,000, and one at a time.
//!
//! A greenlet here returns a number without ever waiting, so that a batch of any size needs one stack, which
//! stays in the cache; what is measured is the task, the handle and the first and last switch. The
//! floor is a boxed closure on a bare coroutine whose stack is used again. Times are CPU time of the thread.
//!
//! Not for what stacks cost when many greenlets live at the same time (`million`), nor for many threads.
//!
//! ```text
//! cargo bench --bench spawn
//! ```

mod support;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use support::green::SpawnJoin;
use support::raw::Spawn;
use support::workload::Workload;

fn spawn_join(c: &mut Criterion) {
    let mut group = c.benchmark_group("spawn_join");
    for batch in [1, 1_000, 100_000] {
        group.throughput(Throughput::Elements(batch as u64));
        if batch > 1_000 {
            group.sample_size(20);
        }
        let mut floor = Spawn::new(batch);
        group.bench_function(BenchmarkId::new("raw", batch), |b| {
            b.iter_custom(|rounds| floor.run(rounds));
        });
        let mut green = SpawnJoin::new(batch);
        group.bench_function(BenchmarkId::new("rustlet", batch), |b| {
            b.iter_custom(|rounds| green.run(rounds));
        });
    }
    group.finish();
}

criterion_group!(benches, spawn_join);
criterion_main!(benches);
