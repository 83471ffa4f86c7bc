//! Parking and unparking: two greenlets of one thread that wake each other in turn.
//!
//! What every lock, channel and join of the library is made of. An operation (criterion's "element") is one
//! way: unpark the other, park oneself. The floor is two bare coroutines resumed in turn. Times are CPU
//! time of the thread.
//!
//! Not for waking a greenlet of another thread, which goes through an inbox and maybe the kernel.
//!
//! ```text
//! cargo bench --bench park
//! ```

mod support;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use support::green::PingPong;
use support::raw::RoundRobin;
use support::slab::Tops;
use support::workload::Workload;

fn ping_pong(c: &mut Criterion) {
    let mut group = c.benchmark_group("ping_pong");
    group.throughput(Throughput::Elements(2));
    let mut floor = RoundRobin::new(2, Tops::Coloured);
    group.bench_function("raw", |b| b.iter_custom(|rounds| floor.run(rounds)));
    let mut green = PingPong::new();
    group.bench_function("rustlet", |b| b.iter_custom(|rounds| green.run(rounds)));
    group.finish();
}

criterion_group!(benches, ping_pong);
criterion_main!(benches);
