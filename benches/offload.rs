//! The way over the pool, and the way around it: `unblock`, and reads of a file that is in the page cache.
//!
//! *Round trip* is one job after the other, each of which does nothing: a thread is woken, the caller's thread sleeps and
//! is woken. *Sixteen at once* keeps the pool busy, with fewer wake-ups. The peers are `tokio::task::spawn_blocking`, the crate `blocking`
//! driven by tokio's `block_on`, and a std thread that is sent closures over a channel: the floor. Both clocks are given, since most of a
//! round trip is waiting for a thread to wake: CPU time of the process, and wall time.
//!
//! *Reads* are 4 KiB each at random positions of a file of 64 MiB that was read before, so no disk is meant.
//! std reads on its own thread, which is the floor; rustlet too, as long as the file system knows `RWF_NOWAIT` (ext4, xfs and btrfs
//! do, tmpfs does not; `RUSTLET_NOWAIT=none` shows what that costs); tokio goes over its pool and seeks before each read.
//!
//! Not for disks, and not for large reads, where copying is all there is.
//!
//! ```text
//! cargo bench --bench offload
//! cargo bench --bench offload -- --rounds 31 --only reads
//! RUSTLET_NOWAIT=none cargo bench --bench offload -- --only reads
//! ```

mod support;

use std::hint::black_box;
use std::io::{self, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncSeekExt};

use support::peers::{self, Contender, Table};
use support::{arguments, clock};

const FILE: u64 = 64 << 20;
const READ: usize = 4096;

/// Which clock a contender is measured by.
#[derive(Clone, Copy)]
enum Clock {
    Cpu,
    Wall,
}

impl Clock {
    fn measure(self, f: impl FnOnce()) -> Duration {
        match self {
            Clock::Cpu => {
                let start = clock::process_cpu();
                f();
                clock::process_cpu() - start
            }
            Clock::Wall => {
                let start = Instant::now();
                f();
                start.elapsed()
            }
        }
    }
}

/// As many callers as that, each of which makes its part of `jobs` round trips.
fn on_rustlet(jobs: u64, callers: u64) {
    let callers = (0..callers).map(|_| {
        rustlet::spawn(move || {
            for n in 0..jobs / callers {
                assert_eq!(rustlet::unblock(move || black_box(n)), n);
            }
        })
    });
    for caller in Vec::from_iter(callers) {
        caller.join().expect("it asserts what is true");
    }
}

fn with_tokio<F: Future<Output = ()> + Send + 'static>(callers: u64, caller: impl Fn() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("tokio's runtime");
    runtime.block_on(async {
        let callers = Vec::from_iter((0..callers).map(|_| tokio::spawn(caller())));
        for caller in callers {
            caller.await.expect("it asserts what is true");
        }
    });
}

fn on_tokio(jobs: u64, callers: u64) {
    with_tokio(callers, || async move {
        for n in 0..jobs / callers {
            let job = tokio::task::spawn_blocking(move || black_box(n));
            assert_eq!(job.await.expect("it returns"), n);
        }
    });
}

fn on_blocking(jobs: u64, callers: u64) {
    with_tokio(callers, || async move {
        for n in 0..jobs / callers {
            assert_eq!(blocking::unblock(move || black_box(n)).await, n);
        }
    });
}

type Job = Box<dyn FnOnce() + Send>;

/// A thread that is sent closures: nobody else runs meanwhile, and there is one caller.
fn on_a_thread(jobs: u64) {
    let (send, receive) = mpsc::channel::<Job>();
    let thread = std::thread::spawn(move || receive.into_iter().for_each(|job| job()));
    let (answer, answers) = mpsc::sync_channel(1);
    for n in 0..jobs {
        let answer = answer.clone();
        let job = move || answer.send(black_box(n)).expect("somebody waits");
        send.send(Box::new(job)).expect("the thread is there");
        assert_eq!(answers.recv(), Ok(n));
    }
    drop(send);
    thread.join().expect("it runs what it is given");
}

/// Positions that are the same for all, all over the file.
fn positions(reads: u64) -> impl Iterator<Item = u64> {
    // Multiples of an odd number: Fibonacci hashing.
    let scatter = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
    (1..=reads).map(move |n| scatter(n) % (FILE - READ as u64))
}

fn read_all(reads: u64, file: &impl FileExt) {
    let mut buf = [0; READ];
    for position in positions(reads) {
        file.read_exact_at(&mut buf, position).expect("it is there");
        black_box(&buf);
    }
}

fn read_on_tokio(reads: u64, path: &Path) {
    let path = path.to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("tokio's runtime");
    runtime.block_on(async {
        let mut file = tokio::fs::File::open(path).await.expect("it is there");
        let mut buf = [0; READ];
        for position in positions(reads) {
            file.seek(SeekFrom::Start(position)).await.expect("it can");
            file.read_exact(&mut buf).await.expect("it is there");
            black_box(&buf);
        }
    });
}

fn main() -> io::Result<()> {
    let (jobs, reads) = match arguments::is_smoke_test() {
        true => (64, 64),
        false => (20_000, 20_000),
    };
    let rounds = peers::rounds(9);
    for (clock, what) in [(Clock::Cpu, "CPU ns a job"), (Clock::Wall, "wall ns a job")] {
        let mut table = Table::new(what, jobs as f64);
        for (callers, name) in [(1, "round trip"), (16, "sixteen at once")] {
            let mut contenders = vec![
                Contender::new("rustlet", || clock.measure(|| on_rustlet(jobs, callers))),
                Contender::new("tokio", || clock.measure(|| on_tokio(jobs, callers))),
                Contender::new("blocking", || clock.measure(|| on_blocking(jobs, callers))),
            ];
            if callers == 1 {
                let thread = Contender::new("a thread", || clock.measure(|| on_a_thread(jobs)));
                contenders.push(thread);
            }
            table.row(name, rounds, &mut contenders);
        }
        table.print();
    }

    // Not in the temporary directory, which may be a tmpfs.
    let mut file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR"))?;
    let block = vec![1; 1 << 20];
    for _ in 0..FILE >> 20 {
        file.write_all(&block)?;
    }
    let path = file.path();
    let stds = std::fs::File::open(path)?;
    let ours = rustlet::fs::File::open(path)?;
    for (clock, what) in [
        (Clock::Cpu, "CPU ns a read"),
        (Clock::Wall, "wall ns a read"),
    ] {
        let mut table = Table::new(what, reads as f64);
        table.row(
            "cached random reads of 4 KiB",
            rounds,
            &mut [
                Contender::new("std", || clock.measure(|| read_all(reads, &stds))),
                Contender::new("rustlet", || clock.measure(|| read_all(reads, &ours))),
                Contender::new("tokio", || clock.measure(|| read_on_tokio(reads, path))),
            ],
        );
        table.print();
    }
    Ok(())
}
