//! Stacks of every size class, filled to within a page of the guard.
//!
//! Plan: on each worker some divers, whose stacks have 16 KiB to 1 GiB, in random order. A diver goes down through
//! calls with painted arrays of 8 to 512 words, each word by its address, until less than a page is left above the
//! guard; in a large stack it first leaps over what nobody wants to fill. There it switches away (yields, a sleep), and
//! on its way up again now and then; meanwhile the others fill theirs. Each array is verified before its call
//! returns. Some stacks are measured by the library, and the free ones trimmed, or kept by fewer than usual, by chance.
//! Once in a step a child process fills a stack beyond its end.
//!
//! Chaos: kills and panics hit only those divers that have been told to stop 24 KiB above the guard, because unwinding takes
//! stack; their arrays are verified by destructors all the same. Delays hit all.
//!
//! Invariant: every word of a stack down to the guard is writable and keeps its value across switches; no two greenlets
//! have a stack at one address at a time; the high-water mark is at least the depth reached and at most the
//! stack; all stacks come back; who goes further is told so by name and size, and the process ends.

mod dive;
mod leap;
mod overflow;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use rustlet::stack::{self, StackSize};
use rustlet::{Builder, Greenlet};

use crate::crew::Crew;
use crate::workload::{Context, Failure, Workload, ensure};
use dive::Dive;

pub(crate) struct Depth;

/// Bytes filled in a step, on all workers together: about.
const FILLED: usize = 48 << 20;
/// As powers of two. Instrumented and unoptimised code needs more stack for a switch than the smallest have.
const SMALLEST: u8 = if dive::THRIFTY { 14 } else { 17 };
const LARGEST: u8 = if leap::POSSIBLE && !cfg!(rustlet_valgrind) {
    30
} else {
    22
};
/// From here on a stack that cannot be had is no failure: address space may be limited.
const MAY_BE_REFUSED: usize = 64 << 20;
/// The library's default.
const HOT_LIMIT: usize = 4096;

/// Where stacks lie that are in use, by their lowest address.
type InUse = Arc<Mutex<HashSet<usize>>>;

impl Workload for Depth {
    fn name(&self) -> &'static str {
        "depth"
    }

    fn about(&self) -> &'static str {
        "stacks of every size filled to the guard, and beyond: contents kept, overflow told"
    }

    fn unit(&self) -> &'static str {
        "pages"
    }

    fn timed(&self) -> Option<&'static str> {
        Some("filling a stack")
    }

    fn step(&self, context: &Context) -> Result<(), Failure> {
        if overflow::is_wanted() {
            return overflow::commit();
        }
        let mut rng = context.rng(0);
        let divers = context.crowd(&mut rng).div_ceil(context.workers);
        context.phase(&format!("{divers} divers on each worker"));
        let in_use = InUse::default();
        let crew = Crew::of(context)?;
        let masters = Vec::from_iter((0..context.workers).map(|nth| {
            let (context, in_use) = (*context, in_use.clone());
            crew.spawn_on(nth, move || master(&context, nth as u64, divers, &in_use))
        }));
        for master in masters {
            master.join()??;
        }
        crew.end()?;
        let left = in_use.lock().unwrap().len();
        ensure!(left == 0, "{left} divers never came up");

        context.phase("overflow in a child process");
        overflow::is_told(1 << rng.u8(SMALLEST..=LARGEST.min(24)))
    }
}

/// Sends divers down on one worker, and waits for them.
fn master(context: &Context, nth: u64, divers: usize, in_use: &InUse) -> Result<(), Failure> {
    let mut rng = context.rng(1 + nth);
    if rng.bool() {
        stack::set_hot_limit(rng.usize(..100));
    }
    let mut budget = context.scaled(FILLED) / context.workers;
    let mut below = Vec::new();
    for number in 0..divers {
        let Some((diver, dive)) = send(context, number, &mut rng, in_use)? else {
            continue;
        };
        let fills = dive.fills();
        below.push((diver, dive));
        if budget < fills {
            break;
        }
        budget -= fills;
    }
    rng.shuffle(&mut below);
    let mut killable = Vec::from_iter(below.iter().filter(|(_, dive)| dive.may_be_killed));
    if rng.bool() {
        rustlet::yield_now(); // so that kills find some at the bottom, and not only before they began
    }
    while let Some((diver, _)) = killable.pop() {
        if context.kills(&mut rng) {
            diver.kill_nowait();
        }
    }
    for (diver, dive) in below {
        if rng.u8(..16) == 0 {
            stack::trim(); // beside stacks that are in use
        }
        await_diver(context, diver, &dive)?;
    }
    stack::set_hot_limit(HOT_LIMIT);
    stack::trim();
    let live = stack::stats().live;
    ensure!(
        live == 1,
        "{live} stacks are in use on this thread, and only its master is left"
    );
    Ok(())
}

type Diver = Greenlet<Result<(), Failure>>;

/// A diver with a stack of a random class; none if the system refuses a large one.
fn send(
    context: &Context,
    number: usize,
    rng: &mut Rng,
    in_use: &InUse,
) -> Result<Option<(Diver, Dive)>, Failure> {
    // Small ones more often: there are more of them in the same memory.
    let class = rng.u8(SMALLEST..=LARGEST).min(rng.u8(SMALLEST..=LARGEST));
    let size = StackSize::new(1 << class)?;
    let measured = size.bytes() <= 256 << 10 && rng.u8(..4) == 0;
    let dive = Dive::plan(number, size, measured, rng.fork());
    let its = dive.clone();
    let (context, in_use) = (*context, in_use.clone());
    let spawned = Builder::new()
        .name(format!("diver {number}"))
        .stack_size(size.bytes())
        .measure_stack(measured)
        .spawn_local(move || its.run(context, &in_use));
    match spawned {
        Ok(diver) => Ok(Some((diver, dive))),
        Err(_) if size.bytes() >= MAY_BE_REFUSED => Ok(None),
        Err(error) => Err(Failure(format!("a stack of {size:?}: {error}"))),
    }
}

fn await_diver(
    context: &Context,
    diver: Greenlet<Result<(), Failure>>,
    dive: &Dive,
) -> Result<(), Failure> {
    diver.wait()?;
    let (reached, most) = (dive.reached(), dive.size.bytes() - dive.size.guard_bytes());
    if let Some(mark) = diver.stack_high_water() {
        ensure!(
            !dive.measured || (reached..=most).contains(&mark),
            "{dive:?} reached {reached} bytes below its stack's end, of {most}; its high-water mark is {mark}"
        );
    } else {
        ensure!(!dive.measured || reached == 0, "{dive:?} was not measured");
    }
    match diver.join() {
        Ok(ended) => ended?,
        Err(error) if dive.may_be_killed => context.victim(error)?,
        Err(error) => return Err(Failure(format!("{dive:?}: {error}"))),
    }
    dive.verdict()
}
