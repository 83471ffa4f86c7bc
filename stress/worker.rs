//! The inner loop: steps of one workload, in this process, until the time is over or an invariant fails.
//!
//! After each step come the checks that hold for all workloads: no greenlet of this thread is left, nobody's panic
//! went by unnoticed, and descriptors, threads and mappings do not become more from step to step.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rustlet::offload::{Limits, set_limits};

use crate::args::Args;
use crate::board::Board;
use crate::chaos::ChaosPanic;
use crate::workload::{Context, Failure, Workload, ensure};

/// Steps before the process's descriptors, threads and mappings are taken as what it needs.
const WARM_UP: u64 = 3;
/// How many more there may be later: pools of threads and stacks breathe.
const SLACK: usize = 64;
/// Threads for blocking work: few, as each is half a dozen mappings of that.
const POOL: usize = 8;

/// The first uncaught panic that chaos did not throw.
static UNCAUGHT: Mutex<Option<String>> = Mutex::new(None);

/// Runs `workload` and says how it failed, having noted the step on `board`.
pub(crate) fn run(
    args: &Args,
    workload: &dyn Workload,
    board: &'static Board,
) -> Result<(), Failure> {
    rustlet::set_uncaught_hook(|uncaught| {
        if uncaught.payload().is::<ChaosPanic>() {
            return;
        }
        let (id, place) = (uncaught.id(), uncaught.spawned_at());
        let text = words(uncaught.payload());
        let text = format!("greenlet {id}, spawned at {place}, panicked: {text}");
        UNCAUGHT.lock().unwrap().get_or_insert(text);
    });
    // In one process with others, the first has set it.
    let _ = set_limits(Limits::new().threads(POOL));
    // Tells where a hub is stuck before the tool gives up on it.
    let watch = rustlet::inspect::watch_stalls(args.patience / 2);

    let begun = Instant::now();
    let mut ended = Ok(());
    let mut needed = None;
    for done in 0..args.steps.unwrap_or(u64::MAX) {
        if begun.elapsed() >= args.time {
            break;
        }
        let step = args.first_step + done;
        board.step.store(step, Ordering::Relaxed);
        ended = one(args, workload, board, step).and_then(|()| leaks(done, &mut needed));
        if ended.is_err() {
            board.set_failed(step);
            break;
        }
        board.steps_done.fetch_add(1, Ordering::Relaxed);
    }
    drop(watch);
    ended
}

fn one(
    args: &Args,
    workload: &dyn Workload,
    board: &'static Board,
    step: u64,
) -> Result<(), Failure> {
    let context = Context {
        seed: seed_of(args.seed, workload.name(), step),
        greenlets: args.greenlets,
        workers: args.workers,
        chaos: args.chaos,
        slowdown: args.slowdown,
        alone: args.steps == Some(1),
        board,
    };
    match catch_unwind(AssertUnwindSafe(|| workload.step(&context))) {
        Ok(ended) => ended?,
        Err(payload) => return Err(Failure(format!("panicked: {}", words(&*payload)))),
    }
    match UNCAUGHT.lock().unwrap().take() {
        Some(text) => Err(Failure(text)),
        None => Ok(()),
    }
}

/// SplitMix64's mixing over what the step is called.
fn seed_of(seed: u64, name: &str, step: u64) -> u64 {
    let parts = name.bytes().map(u64::from).chain([step]);
    parts.fold(seed, |seed, part| {
        let mut mixed = seed.wrapping_add(part).wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    })
}

fn words(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    match text.or_else(|| payload.downcast_ref::<&str>().copied()) {
        Some(text) => text.to_owned(),
        None if payload.is::<ChaosPanic>() => "chaos reached the step's own stack".to_owned(),
        None => "a payload that is no text".to_owned(),
    }
}

/// What the process has of things that can leak.
#[derive(Clone, Copy)]
struct Holds {
    descriptors: usize,
    threads: usize,
    mappings: usize,
}

fn leaks(done: u64, needed: &mut Option<Holds>) -> Result<(), Failure> {
    let live = rustlet::stats().live;
    ensure!(live == 0, "{live} greenlets are left on the step's thread");
    let now = holds()?;
    let Some(before) = needed.filter(|_| done >= WARM_UP) else {
        let most = needed.get_or_insert(now);
        most.descriptors = most.descriptors.max(now.descriptors);
        most.threads = most.threads.max(now.threads);
        most.mappings = most.mappings.max(now.mappings);
        return Ok(());
    };
    let kinds = [
        ("descriptors", before.descriptors, now.descriptors),
        ("threads", before.threads, now.threads),
        ("mappings", before.mappings, now.mappings),
    ];
    for (what, before, now) in kinds {
        ensure!(
            now <= before + SLACK,
            "{now} {what}; the first {WARM_UP} steps needed {before}"
        );
    }
    Ok(())
}

fn holds() -> std::io::Result<Holds> {
    let entries = |dir: &str| Ok::<_, std::io::Error>(std::fs::read_dir(Path::new(dir))?.count());
    Ok(Holds {
        descriptors: entries("/proc/self/fd")?,
        threads: entries("/proc/self/task")?,
        mappings: std::fs::read_to_string("/proc/self/maps")?.lines().count(),
    })
}
