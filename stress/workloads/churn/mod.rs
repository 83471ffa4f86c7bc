//! Greenlets that begin and end, and the stacks that they have one after the other.
//!
//! Plan: lines of *lives*. A life is a greenlet with a stack of any size, on any worker, free to be stolen or bound to its thread. It
//! enters the range of its stack in a [`Table`] while it lives; goes down some frames, each painted with a pattern of its own,
//! and up again, and finds each as it left it, whatever happened meanwhile: it yielded, slept, parked, had a child
//! of its own and joined it, had the thread's free stacks trimmed. Then it soils what it can reach of its stack (zeros, ones, words
//! that look like those of a living frame), starts the next life of its line and ends. Chaos kills lives and panics in them
//! where they are deepest. What is timed is the way from `spawn` to the first run.
//!
//! Invariant: no two living greenlets have an address in common; no frame changes but by its owner; what a closure captured
//! and what it returned arrive as they were; a measured stack was used as deep as it was painted, and no deeper than it is; in the end no
//! stack is out. The next life finds the last one's soil, so whatever relied on a clean stack shows as well.

mod life;
mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustlet::sync::WaitGroup;

use crate::crew::Crew;
use crate::witness::Witness;
use crate::workload::{Context, Failure, Workload, ensure};
use life::Life;
use table::Table;

pub(crate) struct Churn;

/// Lives in a step, over all lines; more, if there are more lines.
const LIVES: usize = 20_000;
/// Bytes that all who live at the same time may paint: what a step needs of memory, about.
const PAINT: usize = 256 << 20;
/// Bytes that are painted in a step, about: what it needs of time.
const PAINTED: usize = 128 << 20;

impl Workload for Churn {
    fn name(&self) -> &'static str {
        "churn"
    }

    fn about(&self) -> &'static str {
        "greenlets begin and end on painted stacks: no stack is used twice at a time, none is lost"
    }

    fn unit(&self) -> &'static str {
        "lives"
    }

    fn timed(&self) -> Option<&'static str> {
        Some("start")
    }

    fn step(&self, context: &Context) -> Result<(), Failure> {
        let mut rng = context.rng(0);
        let lines = context.crowd(&mut rng);
        let deepest = (PAINT / lines).clamp(1024, 1 << rng.u8(12..=20));
        let scene = Arc::new(Scene {
            table: Table::default(),
            witness: Witness::default(),
            group: Arc::new(WaitGroup::new()),
            deepest,
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            context: *context,
        });
        // Few stacks are so large that all of it could be used.
        let painted = LIVES.min(PAINTED / deepest.min(128 << 10));
        let lives = (context.scaled(painted) / lines).max(1);
        context.phase(&format!(
            "{lines} lines of {lives}, up to {deepest} bytes deep"
        ));

        let crew = Crew::of(context)?;
        for line in 0..lines {
            let life = Life::first(&scene, line as u64, lives);
            let place = rng.usize(..64);
            // On one thread the first lives wait in its queue, as many as there are lines.
            drop(crew.spawn_on(place, move || life.beget()));
        }
        scene.group.wait();
        // Behind the last lives in the queues of their threads.
        let checks = Vec::from_iter((0..context.workers).map(|worker| {
            crew.spawn_on(worker, || {
                (rustlet::worker_index(), rustlet::stack::stats().live)
            })
        }));
        for check in checks {
            let (worker, live) = check.join()?;
            ensure!(
                live == 1,
                "all have ended, and {} stacks of worker {worker:?} are out",
                live - 1
            );
        }
        crew.end()?;

        scene.witness.verdict()?;
        let (begun, ended) = (scene.begun.load(Relaxed), scene.ended.load(Relaxed));
        ensure!(begun == ended, "{begun} lives began, {ended} ended");
        scene.table.settle()?;
        rustlet::stack::set_hot_limit(HOT);
        if rng.u8(..8) == 0 {
            rustlet::stack::trim();
            let stats = rustlet::stack::stats_with_resident();
            ensure!(
                (stats.live, stats.hot, stats.resident_bytes) == (0, 0, 0),
                "all stacks of the step's thread were trimmed: {stats:?}"
            );
        }
        Ok(())
    }
}

/// The library's default, which lives change.
const HOT: usize = 4096;

/// What all lives of a step share.
struct Scene {
    table: Table,
    witness: Witness,
    /// All lives that are to be or have not ended.
    group: Arc<WaitGroup>,
    /// How deep a life goes at most, in bytes.
    deepest: usize,
    begun: AtomicU64,
    ended: AtomicU64,
    context: Context,
}
