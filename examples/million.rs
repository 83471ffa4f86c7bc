//! cargo run --release --example million
//!
//! Parks 1,000,000 greenlets on one thread, wakes each of them, and lets them finish. `--greenlets N`
//! takes another number. The last line of the output is for programs:
//!
//! - `bytes_each`: what the process's resident memory rose by while all are parked, for each; stack,
//!   control block, task and handle are in it;
//! - `page_table_bytes_each`: what the kernel keeps beside it, to map that memory;
//! - `vmas`: the process's mappings while all are parked; the system allows 65,530;
//! - `create_s`: spawning, the first run, up to the first park; `wake_s`: unparking all and running each up
//!   to its second park; `finish_s`: unparking and joining all.

use std::fs;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use lexopt::{Arg, ValueExt};

/// Spawned before they first run: more would only need a longer run queue.
const BATCH: usize = 1_000;

/// Which of its two parks a greenlet may leave.
static ROUND: AtomicU32 = AtomicU32::new(0);
/// Times that a greenlet has come to a park.
static ARRIVED: AtomicUsize = AtomicUsize::new(0);

/// What each greenlet does: it parks twice.
fn life() {
    for round in 1..=2 {
        ARRIVED.fetch_add(1, Relaxed);
        // In a loop, because a park may end without its unpark.
        while ROUND.load(Relaxed) < round {
            rustlet::park().expect("the main code has a handle and will unpark");
        }
    }
}

/// Lets greenlets run until `count` of them have come to a park.
fn run_until_arrived(count: usize) {
    while ARRIVED.load(Relaxed) < count {
        rustlet::yield_now();
    }
}

/// Lets all greenlets pass their next park.
fn wake(greenlets: &[rustlet::Greenlet<()>]) {
    ROUND.fetch_add(1, Relaxed);
    for greenlet in greenlets {
        greenlet.handle().unpark();
    }
}

/// Resident memory and page tables, in bytes.
fn memory() -> (f64, f64) {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has /proc");
    let bytes = |key| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.expect("the kernel reports it") * 1024.0
    };
    (bytes("VmRSS:"), bytes("VmPTE:"))
}

fn million(count: usize) {
    let (rss_before, tables_before) = memory();
    let start = Instant::now();
    let mut greenlets = Vec::with_capacity(count);
    while greenlets.len() < count {
        let batch = BATCH.min(count - greenlets.len());
        greenlets.extend((0..batch).map(|_| rustlet::spawn(life)));
        run_until_arrived(greenlets.len());
    }
    let create = start.elapsed().as_secs_f64();

    let (rss, tables) = memory();
    let bytes_each = (rss - rss_before) / count as f64;
    let table_bytes_each = (tables - tables_before) / count as f64;
    let maps = fs::read_to_string("/proc/self/maps").expect("Linux has /proc");
    let vmas = maps.lines().count();
    assert_eq!(rustlet::stats().live, count);
    println!("{count} greenlets are parked, {create:.2} s after the first was spawned");
    println!(
        "each holds {:.2} KiB of memory, page tables included; the process has {vmas} mappings",
        (bytes_each + table_bytes_each) / 1024.0
    );

    let start = Instant::now();
    wake(&greenlets);
    run_until_arrived(2 * count);
    let wake_s = start.elapsed().as_secs_f64();
    println!(
        "each was woken and has parked again: {wake_s:.2} s, {:.0} ns each",
        wake_s / count as f64 * 1e9
    );

    let start = Instant::now();
    wake(&greenlets);
    for greenlet in greenlets {
        greenlet.join().expect("nothing panics here");
    }
    let finish = start.elapsed().as_secs_f64();
    assert_eq!(rustlet::stats().live, 0);
    println!("all were woken, have finished and are joined: {finish:.2} s");
    println!(
        "million: greenlets={count} bytes_each={bytes_each:.0} page_table_bytes_each={table_bytes_each:.0} \
         vmas={vmas} create_s={create:.3} wake_s={wake_s:.3} finish_s={finish:.3}"
    );
}

fn greenlets_asked_for() -> Result<usize, lexopt::Error> {
    let mut count = 1_000_000;
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("greenlets") => count = parser.value()?.parse::<u32>()?.max(1) as usize,
            _ => return Err(arg.unexpected()),
        }
    }
    Ok(count)
}

fn main() -> ExitCode {
    match greenlets_asked_for() {
        Ok(count) => {
            million(count);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("million: {error} (there is --greenlets N)");
            ExitCode::from(2)
        }
    }
}
