//! Random graphs of raw greenlets against a model: who runs next, with what, and who is still there.
//!
//! Plan: several scheduled greenlets have a world each, of a main and up to some hundred raw greenlets. Whoever runs draws an
//! operation: switch to anybody (the running, the dead and the unborn too), to the parent, throw, make exit, return, panic,
//! change a parent, make a new one, forget a handle (the last of a suspended one unwinds it, and perhaps
//! those that only it held), or yield to the scheduler, by which the whole chain is parked and other worlds
//! go on. The operation is done 0 to 40 calls deep, over painted arrays, and now and then with a generator half-way
//! on the stack. At the end all handles go, in random order; what keeps itself alive in circles is told to exit.
//!
//! Before the operation the [`model`] is told of it, and says who runs next and what arrives there. It has no
//! stacks, and counts references as raw's documentation says who owns whom.
//!
//! Chaos: kills and panics come out of the yields, and end their world: all its greenlets on the way to main
//! are unwound, the rest told to exit. Delays are more yields.
//!
//! Invariant: control arrives where the model says, with the value, payload or exit that it says; as many closures are alive
//! as the model says, after every operation; at the end none.

mod model;
mod world;

use crate::crew::Crew;
use crate::workload::{Context, Failure, Workload};

pub(crate) struct Greenlets;

/// Operations in a step, in all worlds together.
const OPERATIONS: usize = 20_000;
/// Raw greenlets in a world, at most.
const WORLD: usize = 300;

impl Workload for Greenlets {
    fn name(&self) -> &'static str {
        "greenlet"
    }

    fn about(&self) -> &'static str {
        "random switches, throws, exits and drops of raw greenlets do what a model does"
    }

    fn unit(&self) -> &'static str {
        "operations"
    }

    fn timed(&self) -> Option<&'static str> {
        Some("making a raw greenlet")
    }

    fn step(&self, context: &Context) -> Result<(), Failure> {
        let mut rng = context.rng(0);
        let greenlets = context.crowd(&mut rng);
        let each = rng.usize(2..=greenlets.min(WORLD));
        let worlds = (greenlets / each).clamp(1, 1000);
        let operations = (context.scaled(OPERATIONS) / worlds).max(10);
        context.phase(&format!("{worlds} worlds of {each} raw greenlets"));

        let crew = Crew::of(context)?;
        let running = Vec::from_iter((0..worlds).map(|nth| {
            let context = *context;
            crew.spawn_on(rng.usize(..64), move || {
                world::live(&context, nth as u64, each, operations)
            })
        }));
        let handles = Vec::from_iter(running.iter().map(rustlet::Greenlet::handle));
        for world in running {
            if context.kills(&mut rng) {
                handles[rng.usize(..worlds)].kill();
            }
            match world.join() {
                Ok(ended) => ended?,
                Err(error) => context.victim(error)?,
            }
        }
        crew.end()
    }
}
