//! Known values in every register and on every level of the stack, while greenlets switch in all ways there are.
//!
//! Plan: greenlets (two to as many as asked for) descend through calls, some a few levels, some until hardly any stack is left.
//! Each level has a local array of 4 to 512 words in which every word says where it lies. At the bottom, and now
//! and then on the way, a greenlet switches away: by a yield, a park, a sleep, a raw greenlet or a generator of its own, a
//! yield from inside of one (both are then suspended), a child and a join, a raw greenlet dropped half-way (unwound
//! through such frames). Around each switch [`registers::carry`] loads values that name their register and their
//! greenlet into all registers that a call keeps, and now and then another way of rounding into the control word;
//! [`compiled`] has more values alive than there are registers. The step's own stack joins from inside of such a
//! call too. Raw round trips are timed.
//!
//! Chaos: kills and panics unwind through the carried frames and the levels, delays are more switches.
//!
//! Invariant: after each switch all registers hold what they held, the stack pointer at calls is aligned, the
//! direction flag is clear, the control word is what was last written on this *thread*; after each call every
//! word of the level's array is as it was. On x86_64 no vector register is kept by a call; what compiled
//! code holds in them must survive all the same.

mod compiled;
mod registers;
mod walk;
mod ways;

use std::sync::{Arc, OnceLock};

use rustlet::{Greenlet, Handle};

use crate::crew::Crew;
use crate::workload::{Context, Failure, Workload};
use registers::Carrier;
use walk::Walk;

pub(crate) struct Switch;

/// Switches in a step, all greenlets together: about.
const SWITCHES: usize = 12_000;
/// Levels of calls in memory at a time, all greenlets together: about 1 KiB each.
const LEVELS: usize = 50_000;
/// The number of the step's own stack among the carriers; greenlets count from 0.
const OWN_STACK: u32 = 0xff_ffff;

impl Workload for Switch {
    fn name(&self) -> &'static str {
        "switch"
    }

    fn about(&self) -> &'static str {
        "registers, control words and deep stacks across every kind of switch"
    }

    fn unit(&self) -> &'static str {
        "switches"
    }

    fn timed(&self) -> Option<&'static str> {
        Some("raw switch there and back")
    }

    fn step(&self, context: &Context) -> Result<(), Failure> {
        let mut rng = context.rng(0);
        let greenlets = context.crowd(&mut rng);
        let deepest = rng.usize(..=(LEVELS / greenlets).min(200)) as u32;
        let visits = (context.scaled(SWITCHES) / greenlets / 4).max(1);
        context.phase(&format!("{greenlets} greenlets, {deepest} levels"));

        let handles: Arc<[OnceLock<Handle>]> = (0..greenlets).map(|_| OnceLock::new()).collect();
        let crew = Crew::of(context)?;
        let mut running = Vec::with_capacity(greenlets);
        for me in 0..greenlets {
            let (context, others) = (*context, handles.clone());
            let greenlet = crew.spawn_on(rng.usize(..64), move || {
                Walk::new(context, me, others).all(visits, deepest)
            });
            // Nobody else sets it.
            let _ = handles[me].set(greenlet.handle());
            running.push(greenlet);
        }
        let ended = running.into_iter().enumerate().try_for_each(|(nth, one)| {
            if context.kills(&mut rng) {
                handles[rng.usize(..greenlets)]
                    .get()
                    .into_iter()
                    .for_each(Handle::kill);
            }
            join(context, nth as u32, one)
        });
        registers::reset_control();
        ended?;
        crew.end()
    }
}

/// Joins from inside of a carried call.
fn join(
    context: &Context,
    serial: u32,
    greenlet: Greenlet<Result<(), Failure>>,
) -> Result<(), Failure> {
    let mut joined = None;
    let me = Carrier {
        greenlet: OWN_STACK,
        serial,
    };
    registers::carry(me, None, || joined = Some(greenlet.join()))?;
    match joined.expect("the call came back") {
        Ok(ended) => ended,
        Err(error) => context.victim(error),
    }
}
