//! One greenlet's way down through calls and back, with a painted array on every level.

use std::hint::black_box;
use std::sync::{Arc, OnceLock};

use fastrand::Rng;
use rustlet::Handle;

use super::ways::{Probe, Way};
use crate::workload::{Context, Failure, ensure};

/// How much of its stack a walk may use, of the 237 KiB that a stack of 256 has: the rest is for a level, a
/// switch and the unwinder.
const ROOM: usize = 160 * 1024;

pub(super) struct Walk {
    pub(super) context: Context,
    pub(super) rng: Rng,
    pub(super) probe: Probe,
    pub(super) others: Arc<[OnceLock<Handle>]>,
    /// Where the stack of this walk begins.
    top: usize,
}

impl Walk {
    pub(super) fn new(context: Context, me: usize, others: Arc<[OnceLock<Handle>]>) -> Walk {
        Walk {
            context,
            rng: context.rng(1 + me as u64),
            probe: Probe::new(me as u32),
            others,
            top: 0,
        }
    }

    /// Goes down and up again `visits` times.
    pub(super) fn all(mut self, visits: usize, deepest: u32) -> Result<(), Failure> {
        self.top = here();
        for _ in 0..visits {
            let levels = self.rng.u32(..=deepest);
            self.descend(levels)?;
        }
        Ok(())
    }

    fn descend(&mut self, levels: u32) -> Result<(), Failure> {
        if levels == 0 || self.top - here() > ROOM {
            for _ in 0..4 {
                self.switch()?;
            }
            return Ok(());
        }
        match self.rng.u8(..16) {
            0..8 => self.level::<4>(levels),
            8..13 => self.level::<32>(levels),
            13..15 => self.level::<128>(levels),
            _ => self.level::<512>(levels),
        }
    }

    /// A call with an array of its own.
    #[inline(never)]
    fn level<const WORDS: usize>(&mut self, levels: u32) -> Result<(), Failure> {
        let mut array = [0; WORDS];
        let tag = self.rng.u64(..);
        for word in &mut array {
            *word = tag ^ address(word);
        }
        black_box(&mut array);
        if self.rng.u8(..32) == 0 {
            self.switch()?;
        }
        self.descend(levels - 1)?;
        for (nth, word) in black_box(&array).iter().enumerate() {
            let painted = tag ^ address(word);
            ensure!(
                *word == painted,
                "greenlet {}, {levels} levels above its bottom: word {nth} of {WORDS} at {word:p} is {:#x}, was {painted:#x}",
                self.probe.me,
                *word
            );
        }
        Ok(())
    }

    fn switch(&mut self) -> Result<(), Failure> {
        self.context.strike(&mut self.rng);
        let switches = Way::choose(&mut self.rng).go(self);
        self.context.count(switches);
        self.probe.verdict()
    }
}

fn address(word: &u64) -> u64 {
    core::ptr::from_ref(word).addr() as u64
}

/// An address in the caller's frame, about.
#[inline(never)]
fn here() -> usize {
    let local = 0_u8;
    core::ptr::from_ref(black_box(&local)).addr()
}
