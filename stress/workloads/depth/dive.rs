//! One stack: filled, left alone while others run, verified on the way back.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustlet::stack::StackSize;

use super::InUse;
use super::leap::{self, leap};
use crate::workload::{Context, Failure};

/// Whether this program's frames are as small as a release build's.
pub(super) const THRIFTY: bool = !cfg!(any(
    debug_assertions,
    rustlet_asan,
    rustlet_tsan,
    rustlet_valgrind
));
/// What a switch needs at the bottom, at most.
const SWITCH: usize = if THRIFTY { 2048 } else { 32 << 10 };
/// What the unwinder needs.
const UNWINDER: usize = if THRIFTY { 24 << 10 } else { 80 << 10 };
/// What a call takes beside its array.
const CALL: usize = if THRIFTY { 512 } else { 2048 };
/// Beyond this much, a diver leaps.
const FILLED: usize = 320 << 10;
const PAGE: usize = 4096;

/// A plan, and what became of it. Copies share that.
#[derive(Clone)]
pub(super) struct Dive {
    pub(super) number: usize,
    pub(super) size: StackSize,
    pub(super) measured: bool,
    pub(super) may_be_killed: bool,
    /// How much room it leaves above the guard.
    leaves: usize,
    rng: Rng,
    told: Rc<Told>,
}

#[derive(Default)]
struct Told {
    /// The lowest address that was filled, and the stack's end; 0 before.
    lowest: Cell<usize>,
    end: Cell<usize>,
    /// Words that were painted, and words that were verified.
    painted: Cell<usize>,
    verified: Cell<usize>,
    failed: RefCell<Option<Failure>>,
}

impl Dive {
    pub(super) fn plan(number: usize, size: StackSize, measured: bool, mut rng: Rng) -> Dive {
        let may_be_killed = size.bytes() >= 4 * UNWINDER && rng.bool();
        let leaves = match may_be_killed {
            true => UNWINDER,
            // So that less than a page is left when the last array is there.
            false => SWITCH + rng.usize(..PAGE - 2048 - CALL),
        };
        Dive {
            number,
            size,
            measured,
            may_be_killed,
            leaves,
            rng,
            told: Rc::default(),
        }
    }

    /// How much memory it is going to fill, about.
    pub(super) fn fills(&self) -> usize {
        self.size.bytes().min(FILLED)
    }

    /// How far below its stack's end it filled; 0 if it never began.
    pub(super) fn reached(&self) -> usize {
        self.told.end.get() - self.told.lowest.get()
    }

    /// After its end: whether all was as it had been painted.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        let (painted, verified) = (self.told.painted.get(), self.told.verified.get());
        match self.told.failed.take() {
            Some(failure) => Err(failure),
            None if painted == verified => Ok(()),
            None => Err(Failure(format!(
                "{self:?} painted {painted} words and verified {verified}"
            ))),
        }
    }

    /// The diver's life.
    pub(super) fn run(mut self, context: Context, in_use: &InUse) -> Result<(), Failure> {
        // Stacks lie at multiples of their size.
        let start = here() & !(self.size.bytes() - 1);
        let _lease = Lease::new(start, in_use, &self)?;
        self.told.end.set(start + self.size.bytes());
        self.told.lowest.set(here());
        let mut diver = Diver {
            guard_end: start + self.size.guard_bytes(),
            rng: self.rng.fork(),
            begun: Instant::now(),
            dive: &self,
            context,
        };
        diver.descend();
        context.count(self.reached().min(FILLED).div_ceil(PAGE) as u64);
        Ok(())
    }

    fn fail(&self, text: String) {
        self.told.failed.borrow_mut().get_or_insert(Failure(text));
    }
}

impl fmt::Debug for Dive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "diver {} with {:?}", self.number, self.size)
    }
}

/// The stack's address is this diver's alone.
struct Lease {
    start: usize,
    in_use: InUse,
}

impl Lease {
    fn new(start: usize, in_use: &InUse, dive: &Dive) -> Result<Lease, Failure> {
        if !in_use.lock().unwrap().insert(start) {
            return Err(Failure(format!(
                "{dive:?}: its stack at {start:#x} is in use by another"
            )));
        }
        Ok(Lease {
            start,
            in_use: in_use.clone(),
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.in_use.lock().unwrap().remove(&self.start);
    }
}

struct Diver<'a> {
    dive: &'a Dive,
    guard_end: usize,
    rng: Rng,
    begun: Instant,
    context: Context,
}

impl Diver<'_> {
    fn descend(&mut self) {
        let room = here() - self.guard_end;
        if room > FILLED && leap::POSSIBLE {
            let left = self.rng.usize(self.dive.leaves + PAGE..FILLED);
            return self.leap(room - left);
        }
        let words = match room.saturating_sub(self.dive.leaves + CALL) / 8 {
            0..8 => return self.bottom(),
            room => [8, 64, 512][self.rng.usize(..3)].min(room),
        };
        match words {
            ..64 => self.level::<8>(),
            64..512 => self.level::<64>(),
            _ => self.level::<512>(),
        }
    }

    #[allow(unsafe_code)] // a leap
    fn leap(&mut self, bytes: usize) {
        // SAFETY: `descend` leaves more than `Dive::leaves` of what is left above the guard.
        unsafe { leap(bytes, || self.descend()) };
    }

    #[inline(never)]
    fn level<const WORDS: usize>(&mut self) {
        let mut level = Level {
            array: [0; WORDS],
            tag: self.rng.u64(..),
            dive: self.dive,
        };
        level.paint();
        self.descend();
        if self.rng.u8(..64) == 0 {
            self.switch();
        }
    }

    fn bottom(&mut self) {
        self.context.time(self.begun.elapsed());
        for _ in 0..self.rng.u8(1..4) {
            self.switch();
        }
    }

    #[inline(never)]
    fn switch(&mut self) {
        if self.dive.may_be_killed {
            self.context.strike(&mut self.rng);
        } else {
            self.context.delay(&mut self.rng);
        }
        match self.rng.u8(..8) {
            0 => rustlet::sleep(Duration::from_micros(self.rng.u64(..200))),
            _ => rustlet::yield_now(),
        }
    }
}

/// An array that is verified when its call ends, in whatever way.
struct Level<'a, const WORDS: usize> {
    array: [u64; WORDS],
    tag: u64,
    dive: &'a Dive,
}

impl<const WORDS: usize> Level<'_, WORDS> {
    /// Not moved after this: each word says where it lies.
    fn paint(&mut self) {
        for word in &mut self.array {
            *word = self.tag ^ address(word);
        }
        let lowest = address(&black_box(&mut self.array)[0]) as usize;
        let told = &self.dive.told;
        told.lowest.set(told.lowest.get().min(lowest));
        told.painted.set(told.painted.get() + WORDS);
    }
}

impl<const WORDS: usize> Drop for Level<'_, WORDS> {
    fn drop(&mut self) {
        for (nth, word) in black_box(&self.array).iter().enumerate() {
            let painted = self.tag ^ address(word);
            if *word != painted {
                self.dive.fail(format!(
                    "{:?}: word {nth} of {WORDS} at {word:p} is {:#x}, was {painted:#x}",
                    self.dive, *word
                ));
                return;
            }
        }
        let verified = &self.dive.told.verified;
        verified.set(verified.get() + WORDS);
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
