//! Mixed work for a while, on two and on four workers: everything at once, with invariants.
//!
//! ```text
//!   a driver for each kind of work (tests/soak/work.rs), on a plain thread of its own or in the runtime, until the time is up:
//!       do a round with random parameters, check what it must have given, count it
//!   then: the runtime is drained, and what is left is counted: greenlets, futures, threads, descriptors, mappings
//! ```
//! | variable | meaning |
//! |---|---|
//! | `RUSTLET_SOAK_SECONDS` | how long, for each number of workers; 2 unless it is set. CI says 60; ten minutes are for people |
//! | `RUSTLET_TEST_SEED` | as for every random test: the choices of each driver follow from it, though not how threads interleave |
//!
//! Each run is a process of its own, since it counts what the process has, and prints one line in the end:
//! `cargo test --release --test soak -- --nocapture`.

mod support;

#[path = "soak/rng.rs"]
mod rng;
#[path = "soak/work.rs"]
mod work;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rng::Rng;
use rustlet::Runtime;
use work::{Soak, WORKS};

fn seconds() -> u64 {
    match std::env::var("RUSTLET_SOAK_SECONDS") {
        Ok(text) => text.parse().expect("RUSTLET_SOAK_SECONDS is a number"),
        Err(_) => 2,
    }
}

/// What the process has, in the end compared with the beginning.
#[derive(Debug)]
struct Belongings {
    threads: usize,
    fds: usize,
    maps: usize,
    children: bool,
}

impl Belongings {
    fn now() -> Self {
        Belongings {
            threads: support::thread_count(),
            fds: support::open_fds(),
            maps: support::vma_count(),
            children: !matches!(
                rustix::process::wait(rustix::process::WaitOptions::NOHANG),
                Err(rustix::io::Errno::CHILD)
            ),
        }
    }
}

/// Where each driver is, for a run that does not come to its end.
type Board = Arc<[(AtomicU64, AtomicBool)]>;

/// Ends the process, and says what hangs, unless it is called off by dropping the sender.
fn alarm(board: &Board, handle: rustlet::RuntimeHandle, limit: Duration) -> mpsc::Sender<()> {
    let (alive, dead) = mpsc::channel();
    let board = board.clone();
    std::thread::spawn(move || {
        if dead.recv_timeout(limit) != Err(mpsc::RecvTimeoutError::Timeout) {
            return;
        }
        let mut text = String::from("\nsoak: these drivers have not ended:");
        for ((rounds, ended), (name, _)) in board.iter().zip(WORKS) {
            if !ended.load(Ordering::Relaxed) {
                text += &format!(" {name} (in round {})", rounds.load(Ordering::Relaxed));
            }
        }
        let first = handle.metrics();
        std::thread::sleep(Duration::from_secs(1));
        eprintln!(
            "{text}\nnow: {first:#?}\na second later: {:#?}",
            handle.metrics()
        );
        std::process::abort();
    });
    alive
}

fn soak(workers: usize, length: Duration, seed: u64) -> (u64, rustlet::RuntimeMetrics) {
    let runtime = Runtime::builder()
        .workers(workers)
        // Panics are part of the work.
        .uncaught_hook(|_| ())
        .build()
        .unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let board: Board = WORKS.iter().map(|_| Default::default()).collect();
    let limit = length + Duration::from_secs(90) * support::slowdown();
    let alive = alarm(&board, runtime.handle(), limit);
    let drivers: Vec<_> = WORKS
        .iter()
        .enumerate()
        .map(|(nth, &(name, work))| {
            let mut soak = Soak {
                handle: runtime.handle(),
                rng: Rng::new(seed ^ (nth as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
                drops: support::Counter::default(),
                made: 0,
            };
            let (stop, board) = (stop.clone(), board.clone());
            let drive = move || {
                let mut rounds = 0_u64;
                // Once at least, however slow the machine is.
                loop {
                    work(&mut soak);
                    rounds += 1;
                    board[nth].0.store(rounds, Ordering::Relaxed);
                    assert_eq!(soak.drops.get(), soak.made, "{name}: each destructor once");
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
                board[nth].1.store(true, Ordering::Relaxed);
                (name, rounds)
            };
            // Every other one is a thread that is no worker.
            match nth % 2 {
                0 => Driver::Thread(std::thread::spawn(drive)),
                _ => Driver::Greenlet(runtime.spawn(drive)),
            }
        })
        .collect();
    std::thread::sleep(length);
    stop.store(true, Ordering::Relaxed);
    let mut total = 0;
    for driver in drivers {
        let (name, rounds) = match driver {
            Driver::Thread(thread) => thread
                .join()
                .unwrap_or_else(|p| std::panic::resume_unwind(p)),
            Driver::Greenlet(greenlet) => greenlet.join().unwrap_or_else(|error| error.resume()),
        };
        print!("{name}={rounds} ");
        total += rounds;
    }
    let handle = runtime.handle();
    runtime
        .shutdown(Duration::from_secs(60))
        .expect("nothing is left to do");
    drop(alive);
    let metrics = handle.metrics();
    assert_eq!(
        (metrics.live, metrics.futures, metrics.stacks_live),
        (0, 0, 0)
    );
    assert_eq!(handle.resident_stack_bytes(), 0);
    (total, metrics)
}

enum Driver {
    Thread(std::thread::JoinHandle<(&'static str, u64)>),
    Greenlet(rustlet::Greenlet<(&'static str, u64)>),
}

fn alone(test: &str, workers: usize) {
    let length = Duration::from_secs(seconds());
    if !support::is_child() {
        let outcome = support::child(test)
            .env("RUSTLET_TEST_SEED", &format!("{:#x}", support::seed()))
            .limit(length * 3 + Duration::from_secs(300))
            .run();
        outcome.assert_passed();
        print!("{}", outcome.stdout);
        return;
    }
    let seed = support::seed();
    // Thousands of panics on purpose are not to be read.
    std::panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        if !text.is_some_and(|text| text.starts_with(work::ON_PURPOSE)) {
            eprintln!("{info}");
        }
    }));
    // Twice: the first run makes what is kept for the process (bells, threads of the pool, arenas of the allocator).
    let _ = soak(workers, Duration::from_millis(200), !seed);
    let before = Belongings::now();
    let began = Instant::now();
    let (rounds, metrics) = soak(workers, length, seed);
    let sum = |number: fn(&rustlet::WorkerMetrics) -> u64| {
        metrics.workers.iter().map(number).sum::<u64>()
    };
    println!(
        "\nsoak: workers={workers} seconds={:.1} seed={seed:#x} rounds={rounds} greenlets={} switches={} stolen={} events={} timers={} inbox={}",
        began.elapsed().as_secs_f64(),
        sum(|worker| worker.finished),
        sum(|worker| worker.switches),
        sum(|worker| worker.stolen),
        sum(|worker| worker.io_events),
        sum(|worker| worker.timers_fired),
        sum(|worker| worker.inbox_wakes),
    );
    // Threads of the pool for blocking work end when they have been idle for a while.
    let end = Instant::now() + Duration::from_secs(60);
    let mut after = Belongings::now();
    while after.threads > before.threads && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
        after = Belongings::now();
    }
    assert!(after.threads <= before.threads, "{before:?} {after:?}");
    assert!(!after.children, "{before:?} {after:?}");
    // Bells are kept for as many hubs as there were at once, which differs a little.
    assert!(after.fds <= before.fds + 16, "{before:?} {after:?}");
    // Emulators and sanitizers map memory for themselves.
    if !support::emulated() && !cfg!(any(rustlet_asan, rustlet_tsan)) {
        assert!(after.maps <= before.maps + 64, "{before:?} {after:?}");
    }
}

#[test]
fn two_workers() {
    alone("two_workers", 2);
}

#[test]
fn four_workers() {
    alone("four_workers", 4);
}
