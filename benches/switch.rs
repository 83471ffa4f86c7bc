//! Switching: bare corosensei, and `yield_now`, with few and with many stacks.
//!
//! For seeing whether a change to the switch, the run queue or the hub's loop made yields cheaper:
//! `cargo bench --bench switch -- --save-baseline before`, then `-- --baseline before`. Times are CPU time of
//! the thread. Setting up is not counted: every stack has been run on before.
//!
//! Not for comparing `raw` with `yield` to a few per cent, as criterion measures them minutes apart: that is
//! what `bounds` is for. With 1,000 stacks and more the caches decide, and the figure depends on
//! where the pages happen to lie: compare several runs.
//!
//! ```text
//! cargo bench --bench switch
//! cargo bench --bench switch -- yield/1000
//! ```

mod support;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use support::green::Yield;
use support::raw::RoundRobin;
use support::slab::Tops;
use support::workload::Workload;

fn round_trip(c: &mut Criterion) {
    let mut one = None;
    c.bench_function("raw/round_trip", |b| {
        let one = one.get_or_insert_with(|| RoundRobin::new(1, Tops::Plain));
        b.iter_custom(|rounds| one.run(rounds));
    });
}

fn round_robin(c: &mut Criterion) {
    let mut group = c.benchmark_group("switch");
    for count in [10, 1_000, 100_000] {
        group.throughput(Throughput::Elements(count as u64));
        if count > 1_000 {
            group.sample_size(20);
        }
        for (name, tops) in [("raw", Tops::Plain), ("raw_coloured", Tops::Coloured)] {
            // Made when it is its turn, so that a filter does not pay for what it leaves out.
            let mut workload = None;
            group.bench_function(BenchmarkId::new(name, count), |b| {
                let workload = workload.get_or_insert_with(|| RoundRobin::new(count, tops));
                b.iter_custom(|rounds| workload.run(rounds));
            });
        }
        let mut workload = None;
        group.bench_function(BenchmarkId::new("yield", count), |b| {
            let workload = workload.get_or_insert_with(|| Yield::new(count));
            b.iter_custom(|rounds| workload.run(rounds));
        });
    }
    group.finish();
}

criterion_group!(benches, round_trip, round_robin);
criterion_main!(benches);
