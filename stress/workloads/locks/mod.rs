//! Everything that one waits for in `rustlet::sync`, contended.
//!
//! Plan: three crowds at once, each spread over the workers by the seed, and a trial.
//!
//! - *Actors* go from one [`Arena`] to the next, a lock each, or something else that can be left at any moment: they lock, try,
//!   wait for no longer than some microseconds, are inside of a `timeout`, yield or sleep while they hold what they got. Chaos kills
//!   them and panics in them. With workers some actors are plain threads, which nothing kills.
//! - A *store* (`store`) has a condition variable between those who bring and those who take, who may be killed.
//! - A *round* (`rounds`) is a few who meet at a barrier again and again, with a one-time call, a lazy value, a wait group and an
//!   event in each round. Nobody of these is killed: the others would wait for ever, rightly.
//! - In *heirs* (`heirs`) what is given to one who dies in the same moment must go to the next, with nobody else about.
//!
//! How many there are, how many arenas, and how long one stays inside varies from step to step. What is timed is how long it took to
//! get what could not be had at once.
//!
//! Invariant: nobody is where another must not be (a counter without protection loses nothing, an owner stays the owner);
//! on one thread those who waited got it in the order in which they came; a lock is poisoned only by a panic; each thing meant to
//! run once ran once; at the end every permit is back, and nobody waits any more, whoever was killed or gave up.

mod arena;
mod exclusion;
mod heirs;
mod permits;
mod rounds;
mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use rustlet::Greenlet;

use crate::crew::Crew;
use crate::witness::{Victims, Witness};
use crate::workload::{Context, Failure, Workload};
use arena::{Actor, Arena};

pub(crate) struct Locks;

/// Operations of all actors of a step.
const OPERATIONS: usize = 40_000;
/// The longest time in a `timeout` or a wait with a limit.
const PATIENCE: Duration = Duration::from_micros(300);

impl Workload for Locks {
    fn name(&self) -> &'static str {
        "locks"
    }

    fn about(&self) -> &'static str {
        "locks, semaphores, condition variables, barriers: exclusion holds, order too, no permit is lost"
    }

    fn unit(&self) -> &'static str {
        "operations"
    }

    fn timed(&self) -> Option<&'static str> {
        Some("wait for a lock")
    }

    fn step(&self, context: &Context) -> Result<(), Failure> {
        let mut rng = context.rng(0);
        let actors = context.crowd(&mut rng);
        let threads = if context.workers == 1 {
            0
        } else {
            rng.usize(..=2)
        };
        let scene = Arc::new(Scene::new(context, &mut rng, actors + threads));
        context.phase(&format!(
            "{actors} greenlets, {threads} threads, {} arenas",
            scene.arenas.len()
        ));

        let crew = Crew::of(context)?;
        let store = store::Store::open(&crew, context, &mut rng);
        let rounds = rounds::begin(&crew, context, &mut rng);
        let heirs = heirs::begin(&crew, context, &mut rng);
        let greenlets = Vec::from_iter((0..actors).map(|nth| {
            let scene = scene.clone();
            crew.spawn_on(rng.usize(..64), move || scene.play(nth, true))
        }));
        scene.victims.set(greenlets.iter().map(Greenlet::handle));
        let threads = Vec::from_iter((0..threads).map(|nth| {
            let scene = scene.clone();
            std::thread::spawn(move || scene.play(actors + nth, false))
        }));

        for (nth, greenlet) in greenlets.into_iter().enumerate() {
            scene.victims.ended(nth, greenlet.join())?;
        }
        for thread in threads {
            if let Err(payload) = thread.join() {
                std::panic::resume_unwind(payload);
            }
        }
        scene.witness.verdict()?;
        for arena in &scene.arenas {
            arena.settle()?;
        }
        store.close()?;
        rounds.end()?;
        heirs.join()?.verdict()?;
        crew.end()
    }
}

/// What actors share.
struct Scene {
    arenas: Vec<Box<dyn Arena>>,
    operations: usize,
    context: Context,
    witness: Witness,
    victims: Victims,
    /// Actors that have begun, so that none has the name 0.
    names: AtomicU64,
}

impl Scene {
    fn new(context: &Context, rng: &mut Rng, actors: usize) -> Scene {
        let arenas = rng.usize(1..=6);
        Scene {
            arenas: Vec::from_iter((0..arenas).map(|_| arena::any(context, rng))),
            operations: (context.scaled(OPERATIONS) / actors).clamp(1, 2000),
            context: *context,
            witness: Witness::default(),
            victims: Victims::default(),
            names: AtomicU64::new(1),
        }
    }

    fn play(&self, nth: usize, greenlet: bool) {
        let context = self.context;
        let mut actor = Actor {
            name: self.names.fetch_add(1, Ordering::Relaxed),
            rng: context.rng(1 + nth as u64),
            context,
            witness: &self.witness,
            mortal: greenlet,
        };
        for _ in 0..self.operations {
            let arena = &self.arenas[actor.rng.usize(..self.arenas.len())];
            if actor.rng.u8(..8) == 0 {
                let limit = actor.patience();
                // Whether it was over in time is the arena's to notice.
                let _ = rustlet::timeout(limit, || arena.act(&mut actor));
            } else {
                arena.act(&mut actor);
            }
            context.count(1);
            if greenlet {
                context.strike(&mut actor.rng);
            }
            self.victims.strike(&context, &mut actor.rng);
        }
    }
}
