//! What a workload is, and what it is given.
//!
//! A workload is a function of a seed: a *step* is a bounded piece of work (a tenth of a second or so) that makes
//! its own greenlets, sockets and threads, checks its invariant, and leaves nothing behind. The tool calls one step after the other
//! until the time is over; step 17 of seed 5 is the same however long it runs, so a failing one can be run again
//! alone. Between steps the tool checks what every workload promises: no greenlet, descriptor, thread or mapping too many.
//!
//! What is in the way of an exact repetition: threads (with `--workers 1` there are none), the kernel, and time.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fastrand::Rng;
use rustlet::JoinError;

use crate::board::Board;
use crate::chaos::{Chaos, ChaosPanic};

/// One kind of stress.
pub(crate) trait Workload: Sync {
    fn name(&self) -> &'static str;

    /// One line: what is stressed, what must hold.
    fn about(&self) -> &'static str;

    /// What [`Context::count`] counts, in the plural: "switches".
    fn unit(&self) -> &'static str;

    /// What [`Context::time`] measures, if it is used: "round trip".
    fn timed(&self) -> Option<&'static str> {
        None
    }

    /// One step, on a thread's own stack. An error, a panic, or a greenlet's uncaught panic that chaos did not
    /// throw is a failure.
    fn step(&self, context: &Context) -> Result<(), Failure>;
}

/// An invariant that did not hold.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure(format!("{error} ({error:?})"))
    }
}

/// Returns a [`Failure`] with the rest of its arguments as text unless the first is true.
macro_rules! ensure {
    ($true:expr, $($text:tt)+) => {
        if !$true {
            return Err($crate::workload::Failure(format!($($text)+)));
        }
    };
}
pub(crate) use ensure;

/// What a step is given. Copies go along into its greenlets and threads.
#[derive(Clone, Copy)]
pub(crate) struct Context {
    /// The step's own: of the run's seed, the workload's name and the step's number.
    pub(crate) seed: u64,
    /// How many greenlets to work with, about.
    pub(crate) greenlets: usize,
    /// How many worker threads; 1 means that all happens on the step's own thread, where a seed decides everything.
    pub(crate) workers: usize,
    pub(crate) chaos: Chaos,
    /// How much slower than an ordinary machine this is: an emulator, a sanitizer. Divides work, multiplies patience.
    pub(crate) slowdown: u32,
    /// This step is run alone, again: there is time to look closely.
    pub(crate) alone: bool,
    pub(crate) board: &'static Board,
}

impl Context {
    /// Random numbers that follow from the step's seed and `stream`: one stream for each greenlet that wants its own.
    pub(crate) fn rng(&self, stream: u64) -> Rng {
        Rng::with_seed(self.seed ^ (stream + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// Counts operations, for the rate. From anywhere; better in hundreds than singly where they take nanoseconds.
    pub(crate) fn count(&self, operations: u64) {
        self.board
            .operations
            .fetch_add(operations, Ordering::Relaxed);
    }

    /// Notes how long something took, for the percentiles.
    pub(crate) fn time(&self, took: Duration) {
        self.board.times.add(took);
    }

    /// Says what happens now: some words for the display, at most 64 bytes.
    pub(crate) fn phase(&self, words: &str) {
        self.board.set_phase(words);
    }

    /// A place where chaos may delay the greenlet that calls it, where a panic would break what the workload is about.
    pub(crate) fn delay(&self, rng: &mut Rng) {
        let delays = Chaos {
            panic: 0.0,
            ..self.chaos
        };
        delays.strike(rng, || self.struck());
    }

    /// A place where chaos may delay or panic the greenlet that calls it.
    pub(crate) fn strike(&self, rng: &mut Rng) {
        self.chaos.strike(rng, || self.struck());
    }

    /// Whether chaos wants one of the caller's greenlets killed now; the caller does it.
    pub(crate) fn kills(&self, rng: &mut Rng) -> bool {
        let kills = self.chaos.kills(rng);
        if kills {
            self.struck();
        }
        kills
    }

    /// What the end of a greenlet means that gave no value: nothing if chaos killed it or made it panic.
    pub(crate) fn victim(&self, error: JoinError) -> Result<(), Failure> {
        if error.is_killed() && self.chaos.kill > 0.0 {
            return Ok(());
        }
        let text = format!("a greenlet ended without a value: {error}");
        match error.try_into_panic() {
            Ok(payload) if payload.is::<ChaosPanic>() => Ok(()),
            _ => Err(Failure(text)),
        }
    }

    /// Two to as many greenlets as the step is to work with, small numbers as likely as large ones.
    pub(crate) fn crowd(&self, rng: &mut Rng) -> usize {
        let most = self.greenlets.max(2);
        let magnitude = rng.u32(1..=most.ilog2());
        rng.usize(1 << magnitude..=((2 << magnitude) - 1).min(most))
    }

    /// Counts something that was thrown in.
    pub(crate) fn struck(&self) {
        self.board.chaos.fetch_add(1, Ordering::Relaxed);
    }

    /// `n`, or what a slow machine does in its place; at least 1.
    pub(crate) fn scaled(&self, n: usize) -> usize {
        (n / self.slowdown as usize).max(1)
    }
}
