//! One greenlet's life: down, up, and the next one.
//!
//! The addresses are a stack's own, found from a local variable's: a stack is as large as a power of two says, and lies at a multiple of that
//! (`src/stack`). Only safe code runs here: frames are painted by having them.

use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustlet::stack::StackSize;
use rustlet::sync::WaitGroupMember;
use rustlet::{Builder, Greenlet, RuntimeHandle};

use super::Scene;
use crate::chaos::ChaosPanic;

/// Words that a frame paints.
const WORDS: usize = 64;
/// What a frame needs of the stack, about: checkers make frames larger.
const FRAME: usize = if cfg!(any(rustlet_asan, rustlet_tsan, debug_assertions)) {
    4096
} else {
    1024
};
/// Below the deepest frame: for the calls that it makes, and for unwinding from there.
const RESERVE: usize = 8 * 1024;
/// Colour and control block at the top.
const TOP: usize = 5 * 1024;
/// How many lives may be in each other.
const NESTED: usize = 3;

/// A greenlet that is to be.
pub(super) struct Life {
    scene: Arc<Scene>,
    rng: Rng,
    /// Makes its patterns its own.
    mark: u64,
    /// Lives of this line that are still to come.
    left: usize,
    /// How many lives it is in.
    nested: usize,
    size: usize,
    spawned: Instant,
    _member: WaitGroupMember,
}

impl Life {
    pub(super) fn first(scene: &Arc<Scene>, line: u64, lives: usize) -> Life {
        Life::new(scene, scene.context.rng(1 + line), lives - 1, 0)
    }

    fn new(scene: &Arc<Scene>, mut rng: Rng, left: usize, nested: usize) -> Life {
        Life {
            scene: scene.clone(),
            mark: rng.u64(..) | 1,
            left,
            nested,
            size: size(&mut rng),
            rng,
            spawned: Instant::now(),
            _member: scene.group.member(),
        }
    }

    /// Spawns it, somewhere, with more or less in its closure; its first life is a greenlet that has no other task.
    pub(super) fn beget(self) {
        drop(self.spawn());
    }

    fn spawn(mut self) -> Option<Greenlet<u64>> {
        match self.rng.u8(..4) {
            0 => self.spawn_with([0; 64]),
            1 => self.spawn_with([0; 8]),
            _ => self.spawn_with([0; 1]),
        }
    }

    fn spawn_with<const N: usize>(mut self, mut gift: [u64; N]) -> Option<Greenlet<u64>> {
        let (mark, scene) = (self.mark, self.scene.clone());
        gift.fill(mark);
        let builder = Builder::new().stack_size(self.size);
        // Measuring touches the whole stack.
        let measured = self.size <= 1 << 16 && self.rng.u8(..4) == 0;
        let builder = builder.measure_stack(measured);
        let place = self.rng.u8(..4);
        let worker = self.rng.usize(..);
        let live = move || {
            let intact = gift.iter().all(|word| *word == mark);
            self.scene.witness.expect(intact, || {
                format!("{N} words that a closure of mark {mark:#x} captured arrived as {gift:x?}")
            });
            self.live()
        };
        let spawned = match (place, RuntimeHandle::current()) {
            (0, Some(runtime)) => builder.spawn_on(&runtime, worker % runtime.workers(), live),
            (1, Some(runtime)) => builder.spawn_in(&runtime, live),
            (2, _) => builder.spawn_local(live),
            _ => builder.spawn(live),
        };
        match spawned {
            Ok(greenlet) => Some(greenlet),
            Err(error) => {
                scene
                    .witness
                    .expect(false, || format!("no stack for the next life: {error}"));
                None
            }
        }
    }

    #[inline(never)]
    fn live(mut self) -> u64 {
        struct End<'a>(&'a Scene);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.ended.fetch_add(1, Relaxed);
            }
        }
        let scene = self.scene.clone();
        let context = &scene.context;
        context.time(self.spawned.elapsed());
        context.count(1);
        scene.begun.fetch_add(1, Relaxed);
        let end = End(&scene);

        let top = address(&end);
        let size = StackSize::new(self.size).expect("a size that there is");
        let start = top & !(size.bytes() - 1);
        let stack = start..start + size.bytes();
        let lease = scene.table.enter(&stack, &scene.witness);
        let floor = start + size.guard_bytes() + RESERVE;
        let room = top.saturating_sub(floor).min(scene.deepest);
        let frames = self.rng.usize(..=room / FRAME);
        self.descend(&stack, frames);
        soil(self.rng.u8(..), frames);
        drop(lease);

        if let Some(left) = self.left.checked_sub(1) {
            Life::new(&scene, self.rng.fork(), left, self.nested).beget();
        }
        drop(end);
        self.mark
    }

    /// Paints a frame, goes deeper, and looks whether the frame is as it was.
    #[inline(never)]
    fn descend(&mut self, stack: &Range<usize>, frames: usize) {
        let mut frame = [0; WORDS];
        let here = address(&frame);
        let word =
            |nth: usize| (here as u64).wrapping_mul(31) ^ self.mark.wrapping_mul(1 + nth as u64);
        for (nth, place) in frame.iter_mut().enumerate() {
            *place = word(nth);
        }
        black_box(&mut frame);
        self.scene.witness.expect(stack.contains(&here), || {
            format!("a frame at {here:#x} is not on its stack, {stack:#x?}")
        });
        match frames.checked_sub(1) {
            Some(frames) => self.descend(stack, frames),
            None => self.be(),
        }
        if self.rng.u8(..32) == 0 {
            rustlet::yield_now();
        }
        black_box(&mut frame);
        let word =
            |nth: usize| (here as u64).wrapping_mul(31) ^ self.mark.wrapping_mul(1 + nth as u64);
        let changed = (0..WORDS).find(|nth| frame[*nth] != word(*nth));
        self.scene.witness.expect(changed.is_none(), || {
            let nth = changed.unwrap_or(0);
            format!(
                "greenlet {}: {nth} words from {here:#x} on its stack {stack:#x?}, {frames} frames above the deepest, are \
                 {:#x} and not {:#x}",
                rustlet::current().id(),
                frame[nth],
                word(nth)
            )
        });
    }

    /// What a life does where it is deepest.
    #[inline(never)]
    fn be(&mut self) {
        match self.rng.u8(..32) {
            0..12 => {}
            12..24 => (0..self.rng.u8(1..4)).for_each(|_| rustlet::yield_now()),
            24 => rustlet::sleep(Duration::from_micros(self.rng.u64(..1000))),
            25 => rustlet::park_timeout(Duration::from_micros(self.rng.u64(..1000))),
            26..30 if self.nested < NESTED => self.have_a_child(),
            30 => self.tidy(),
            _ => rustlet::yield_now(),
        }
        let context = self.scene.context;
        if context.kills(&mut self.rng)
            && let Some(victim) = self.scene.table.any(&mut self.rng)
        {
            victim.kill();
        }
        context.strike(&mut self.rng);
    }

    /// The thread's free stacks lose their memory, or some of it.
    fn tidy(&mut self) {
        match self.rng.u8(..8) {
            0 => rustlet::stack::trim(),
            _ => rustlet::stack::set_hot_limit(1 << self.rng.u8(..13)),
        }
    }

    #[inline(never)]
    fn have_a_child(&mut self) {
        let child = Life::new(&self.scene, self.rng.fork(), 0, self.nested + 1);
        let (mark, size) = (child.mark, child.size);
        let Some(child) = child.spawn() else { return };
        let ended = child.wait();
        let scene = &self.scene;
        scene.witness.expect(ended.is_ok(), || {
            format!("a child cannot be waited for: {ended:?}")
        });
        if let Some(used) = child.stack_high_water() {
            scene
                .witness
                .expect((size_of::<[u64; WORDS]>()..size).contains(&used), || {
                    format!("a child used {used} bytes of its stack of {size}")
                });
        }
        match child.join() {
            Ok(found) => scene.witness.expect(found == mark, || {
                format!("a child of mark {mark:#x} returned {found:#x}")
            }),
            Err(error) if error.is_killed() => {
                scene.witness.expect(scene.context.chaos.kill > 0.0, || {
                    "a child was killed, by nobody".to_owned()
                })
            }
            Err(error) => {
                let text = error.to_string();
                let thrown = error
                    .try_into_panic()
                    .is_ok_and(|payload| payload.is::<ChaosPanic>());
                scene.witness.expect(thrown, || text);
            }
        }
    }
}

/// Small stacks often, large ones seldom: address space is all they cost, but of that each worker takes some.
///
/// The smallest have no room for unwinding, and are left out where chaos makes lives unwind.
/// Not the smallest class: a spawn that has to map memory needs more than its 12 KiB.
fn size(rng: &mut Rng) -> usize {
    let power = match rng.u8(..64) {
        0 => 20..=22,
        1..32 => 15..=17,
        _ => 18..=18,
    };
    let smallest = StackSize::new(0).expect("the smallest size is one").bytes();
    (1 << rng.u32(power)).max(smallest).max(TOP + RESERVE)
}

fn address<T>(of: &T) -> usize {
    std::ptr::from_ref(of).addr()
}

/// Leaves as many frames full of what somebody might take for something.
#[inline(never)]
fn soil(with: u8, frames: usize) {
    let word = match with % 4 {
        0 => 0,
        1 => u64::MAX,
        2 => address(&with) as u64,
        _ => u64::from_ne_bytes([with; 8]),
    };
    let mut frame = [word; WORDS];
    black_box(&mut frame);
    if let Some(frames) = frames.checked_sub(1) {
        soil(with, frames);
    }
    black_box(&mut frame);
}
