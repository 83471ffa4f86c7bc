//! Workers that share what has not started: trees, bursts from outside, a stuck worker, futures, blocking jobs, and an
//! end at any time.
//!
//! Plan: every closure and future carries a ticket ([`ledger`]) that says where it must run and notes each run and its
//! drop. A step makes a runtime of as many workers as asked for (one time in eight, of one) and sets several scenes on
//! it at once ([`scenes`]), as the seed says:
//!
//! | scene | what it does |
//! |---|---|
//! | tree | greenlets that spawn greenlets: here, on any worker, on a certain one; broad and flat, or a chain |
//! | burst | threads that are no workers inject closures as fast as they can, and join some; the start is timed |
//! | stuck | workers but one block their threads until others have run all that they had spawned |
//! | futures | light tasks that are woken by timers, threads, greenlets and each other; some are cancelled |
//! | jobs | `unblock` from greenlets |
//!
//! Then the runtime ends: drained after everything was joined, or drained at once while threads go on spawning, or cut
//! short (a limit of a millisecond or so), or dropped. With one worker there is no runtime: trees, futures and jobs on
//! the step's own thread. Chaos delays and panics inside of trees and futures, and kills children.
//!
//! Rejected: counting runs by a sum. A closure that ran twice beside one that was lost would pass.
//!
//! Invariant: what was accepted is dropped exactly once, and ran exactly once, where it had to, unless it was killed or cancelled,
//! or the runtime was cut short: then at most once. What was refused never ran. What a stuck worker had spawned runs while
//! it is stuck. Joins end, also those of other threads, and no greenlet refuses to die.

mod ledger;
mod scenes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustlet::{Runtime, Unclean};

use crate::workload::{Context, Failure, Workload, ensure};
use ledger::Ledger;
use scenes::Scene;

pub(crate) struct Steal;

/// Closures of a step, about: as many runtimes as that takes.
const CLOSURES: usize = 10_000;
/// How long a runtime may take to drain.
const LIMIT: Duration = Duration::from_secs(30);

/// How a runtime ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// All was joined before.
    Joined,
    /// Nothing was, and threads outside go on spawning.
    Drained,
    /// With no time to drain.
    Cut,
    Dropped,
}

impl Workload for Steal {
    fn name(&self) -> &'static str {
        "steal"
    }

    fn about(&self) -> &'static str {
        "workers, bursts, a stuck worker, futures, any end: every closure runs once, none is lost"
    }

    fn unit(&self) -> &'static str {
        "closures"
    }

    fn timed(&self) -> Option<&'static str> {
        Some("start from outside")
    }

    fn step(&self, context: &Context) -> Result<(), Failure> {
        let mut rng = context.rng(0);
        let all = context.scaled(CLOSURES);
        let mut done = 0;
        while done < all {
            // Small rounds as often as large ones.
            let most = all.min(context.greenlets).max(2);
            let closures = 2 + (most as f64).powf(rng.f64()) as usize;
            let round = match context.workers {
                1 => here(context, closures, rng.fork())?,
                _ => on_workers(context, closures, rng.fork())?,
            };
            context.count(round as u64);
            done += round.max(1);
        }
        Ok(())
    }
}

/// One runtime, from its beginning to its end. How many closures there were.
fn on_workers(context: &Context, closures: usize, mut rng: Rng) -> Result<usize, Failure> {
    let workers = match rng.u8(..8) {
        0 => 1,
        _ => context.workers,
    };
    let end = [End::Joined, End::Drained, End::Cut, End::Dropped][rng.usize(..4)];
    context.phase(&format!("{workers} workers, {closures} closures, {end:?}"));

    let runtime = Runtime::builder()
        .workers(workers)
        .name("steal")
        .pinned(rng.u8(..4) == 0)
        .build()?;
    let scene = Arc::new(Scene {
        context: *context,
        ledger: Arc::default(),
        handle: Some(runtime.handle()),
        workers,
        closures,
        ending: AtomicBool::new(false),
        cut: AtomicBool::new(end == End::Cut || end == End::Dropped),
    });
    // First of all, as no other may end the runtime under it: only what is running can run the rest.
    if rng.bool() && workers > 1 {
        scenes::stuck(&scene, &runtime, &mut rng)?;
    }
    let mut threads = Vec::new();
    for _ in 0..rng.usize(..=3) {
        let (scene, rng) = (scene.clone(), rng.fork());
        threads.push(std::thread::spawn(move || scenes::burst(&scene, rng)));
    }
    let inside = Vec::from_iter((0..rng.usize(1..=3)).map(|_| {
        let (inner, seed) = (scene.clone(), rng.u64(..));
        let which = scenes::INSIDE[rng.usize(..scenes::INSIDE.len())];
        runtime.spawn(move || which(&inner, seed))
    }));

    let mut left = Vec::new();
    if end == End::Joined {
        for greenlet in inside {
            scene.check("a scene", greenlet.join())?.unwrap_or(Ok(()))?;
        }
        for thread in threads.drain(..) {
            joined(thread)?;
        }
        scene.ledger.settle(context, false)?;
    } else {
        left = inside;
        rustlet::sleep(Duration::from_micros(rng.u64(..3000)));
        scene.ending.store(true, Ordering::SeqCst);
    }
    let handle = runtime.handle();
    let cut = finish(runtime, end, context, rng.u64(..2000))?;
    scene.cut.store(cut, Ordering::SeqCst);
    for greenlet in left {
        scene.check("a scene", greenlet.join())?.unwrap_or(Ok(()))?;
    }
    for thread in threads {
        joined(thread)?;
    }
    let all = scene.ledger.settle(context, cut)?;
    // A future that another thread drops is counted a moment later.
    let patience = Instant::now() + ledger::PATIENCE * context.slowdown;
    loop {
        let (live, futures) = (handle.metrics().live, handle.metrics().futures);
        if (live, futures) == (0, 0) {
            return Ok(all);
        }
        ensure!(
            Instant::now() < patience,
            "the runtime has ended ({end:?}) with {live} greenlets and {futures} futures"
        );
        rustlet::sleep(Duration::from_micros(100));
    }
}

/// What needs no workers, on the step's own thread. How many closures there were.
fn here(context: &Context, closures: usize, mut rng: Rng) -> Result<usize, Failure> {
    context.phase(&format!("no workers, {closures} closures"));
    let scene = Arc::new(Scene {
        context: *context,
        ledger: Arc::<Ledger>::default(),
        handle: None,
        workers: 0,
        closures,
        ending: AtomicBool::new(false),
        cut: AtomicBool::new(false),
    });
    let all = Vec::from_iter(scenes::INSIDE.iter().map(|which| {
        let (scene, seed) = (scene.clone(), rng.u64(..));
        rustlet::spawn(move || which(&scene, seed))
    }));
    for greenlet in all {
        scene.check("a scene", greenlet.join())?.unwrap_or(Ok(()))?;
    }
    scene.ledger.settle(context, false)
}

/// Ends the runtime as `end` says. Whether it was cut short.
fn finish(runtime: Runtime, end: End, context: &Context, limit: u64) -> Result<bool, Failure> {
    let limit = match end {
        End::Dropped => {
            drop(runtime);
            return Ok(true);
        }
        End::Cut => Duration::from_micros(limit),
        End::Joined | End::Drained => LIMIT * context.slowdown,
    };
    match runtime.shutdown(limit) {
        Ok(()) => Ok(false),
        Err(Unclean { refused, .. }) if refused > 0 => {
            Err(Failure(format!("{refused} greenlets refused to die")))
        }
        Err(_) if end == End::Cut => Ok(true),
        Err(unclean) => Err(unclean.into()),
    }
}

fn joined(thread: std::thread::JoinHandle<Result<(), Failure>>) -> Result<(), Failure> {
    match thread.join() {
        Ok(ended) => ended,
        Err(payload) => std::panic::resume_unwind(payload),
    }
}
