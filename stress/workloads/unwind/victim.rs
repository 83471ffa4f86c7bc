//! A victim: frames with witnesses, a wait at the bottom.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustlet::Killed;

use super::HOUR;
use super::points::Scene;
use crate::chaos::ChaosPanic;
use crate::workload::{Context, Failure};

/// What is thrown at a victim, or by it.
#[derive(Debug)]
pub(super) struct Thrown(pub(super) u64);

#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    Killed,
    /// Caught by the victim's outermost frame, which gives back the number.
    ThrownAt(u64),
    /// Comes out of the join.
    ThrownThrough,
    TimedOut(Duration),
    /// By the inner of two limits.
    TimedOutWithin(Duration),
    /// Panics where it would have waited.
    Panics(u64),
    Released,
    ReleasedAndKilled,
    KilledAndReleased,
}

/// How a victim that was not killed ended.
#[derive(Debug)]
pub(super) enum End {
    Returned,
    /// After so long.
    TimedOut(Duration),
    Threw(u64),
}

/// What a frame does about an unwinding.
#[derive(Clone, Copy)]
enum Catch {
    Nothing,
    PassOn,
    /// Swallows it and waits again.
    Insist,
}

pub(super) struct Plan {
    pub(super) fate: Fate,
    frames: Vec<Catch>,
    rng: Rng,
}

impl Plan {
    pub(super) fn random(rng: &mut Rng, scene: &Scene) -> Plan {
        let limit = Duration::from_micros(rng.u64(..2000));
        let fate = match (rng.u8(..16), scene.release.is_some()) {
            (0..3, _) => Fate::Killed,
            (3..5, _) => Fate::ThrownAt(rng.u64(..)),
            (5, _) => Fate::ThrownThrough,
            (6..8, _) => Fate::TimedOut(limit),
            (8..10, _) => Fate::TimedOutWithin(limit),
            (10, _) => Fate::Panics(rng.u64(..)),
            (11..13, true) => Fate::Released,
            (13..15, true) => Fate::ReleasedAndKilled,
            (_, true) => Fate::KilledAndReleased,
            (_, false) => Fate::Killed,
        };
        let frames = 1 + rng.usize(..12).min(rng.usize(..12));
        Plan {
            fate,
            frames: Vec::from_iter((0..frames).map(|_| match rng.u8(..8) {
                0..5 => Catch::Nothing,
                5..7 => Catch::PassOn,
                _ => Catch::Insist,
            })),
            rng: rng.fork(),
        }
    }
}

/// What the victim and its witnesses note.
#[derive(Default)]
pub(super) struct Told {
    /// Witnesses that are alive, the innermost last.
    alive: RefCell<Vec<usize>>,
    made: Cell<usize>,
    dropped: Cell<usize>,
    taken: Cell<u64>,
    failed: RefCell<Option<Failure>>,
}

impl Told {
    pub(super) fn began(&self) -> bool {
        self.made.get() > 0
    }

    /// What its waits got.
    pub(super) fn taken(&self) -> u64 {
        self.taken.get()
    }

    /// After its end.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        let (made, dropped) = (self.made.get(), self.dropped.get());
        match self.failed.take() {
            Some(failure) => Err(failure),
            None if made == dropped => Ok(()),
            None => Err(Failure(format!(
                "{made} frames were entered, {dropped} destructors ran"
            ))),
        }
    }

    fn fail(&self, text: String) {
        self.failed.borrow_mut().get_or_insert(Failure(text));
    }
}

/// What a victim runs.
pub(super) fn live(plan: Plan, context: &Context, wait: &dyn Fn() -> u64, told: &Told) -> End {
    let (fate, begun) = (plan.fate, Instant::now());
    let mut victim = Victim {
        plan,
        context,
        wait,
        told,
    };
    let limited = AssertUnwindSafe(|| match fate {
        Fate::TimedOut(limit) => rustlet::timeout(limit, || victim.frame(0)).is_ok(),
        Fate::TimedOutWithin(limit) => {
            let inner = || rustlet::timeout(limit, || victim.frame(0));
            let outer = rustlet::timeout(HOUR, inner);
            outer.expect("an hour is not over").is_ok()
        }
        _ => {
            victim.frame(0);
            true
        }
    });
    match catch_unwind(limited) {
        Ok(true) => End::Returned,
        Ok(false) => End::TimedOut(begun.elapsed()),
        Err(payload) => match payload.downcast::<Thrown>() {
            Ok(thrown) => End::Threw(thrown.0),
            Err(other) => resume_unwind(other),
        },
    }
}

struct Victim<'a> {
    plan: Plan,
    context: &'a Context,
    wait: &'a dyn Fn() -> u64,
    told: &'a Told,
}

impl Victim<'_> {
    #[inline(never)]
    fn frame(&mut self, level: usize) {
        let _witness = Witness::new(level, self.told, self.plan.rng.u8(..16) == 0);
        self.context.strike(&mut self.plan.rng);
        let Some(catch) = self.plan.frames.get(level).copied() else {
            return self.bottom();
        };
        if let Catch::Nothing = catch {
            return self.frame(level + 1);
        }
        let caught = catch_unwind(AssertUnwindSafe(|| self.frame(level + 1)));
        let Err(payload) = caught else {
            return;
        };
        let innermost = self.told.alive.borrow().last().copied();
        if innermost != Some(level) {
            self.told.fail(format!(
                "frame {level} caught an unwinding with frame {innermost:?} innermost"
            ));
        }
        match catch {
            Catch::Insist if comes_again(&*payload) => {
                self.wait();
                // What it waited for may have been there. The next suspension it is, then.
                rustlet::yield_now();
                self.told.fail(format!(
                    "frame {level} swallowed an unwinding and could suspend: {:?}",
                    self.plan.fate
                ));
            }
            _ => resume_unwind(payload),
        }
    }

    fn bottom(&mut self) {
        match self.plan.fate {
            Fate::Panics(number) => resume_unwind(Box::new(Thrown(number))),
            _ => self.wait(),
        }
    }

    fn wait(&self) {
        let got = (self.wait)();
        self.told.taken.set(self.told.taken.get() + got);
    }
}

/// Whether code that swallows this unwinding gets it again: a kill, or a timeout, whose payload is the library's
/// secret.
fn comes_again(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Killed>() || !(payload.is::<Thrown>() || payload.is::<ChaosPanic>())
}

/// One frame's destructor.
struct Witness<'a> {
    level: usize,
    told: &'a Told,
    suspends: bool,
}

impl<'a> Witness<'a> {
    fn new(level: usize, told: &'a Told, suspends: bool) -> Witness<'a> {
        told.alive.borrow_mut().push(level);
        told.made.set(told.made.get() + 1);
        Witness {
            level,
            told,
            suspends,
        }
    }
}

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        let innermost = self.told.alive.borrow_mut().pop();
        self.told.dropped.set(self.told.dropped.get() + 1);
        if innermost != Some(self.level) {
            self.told.fail(format!(
                "the destructor of frame {} ran when frame {innermost:?} was innermost",
                self.level
            ));
        }
        if self.suspends && std::thread::panicking() {
            let before = rustlet::stats().switches;
            rustlet::yield_now();
            rustlet::sleep(Duration::from_micros(1));
            let switches = rustlet::stats().switches - before;
            if switches > 0 {
                self.told.fail(format!(
                    "{switches} switches while frame {} unwound",
                    self.level
                ));
            }
        }
    }
}
