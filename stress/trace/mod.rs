//! Operation traces: random programs of many greenlets, run on real ones and checked against a model.
//!
//! ```text
//!   seed, or a fuzzer's bytes ──generate──► Program ◄──text──► FILE.trace
//!                                             │
//!             real greenlets ◄────run─────────┴─────model────► what must happen
//!                   └──────────────► log == log ◄──────────────┘
//!                                       │ no: shrink, save
//! ```
//! As the JDK's Continuation fuzzer, but of the whole public face: greenlets that wait, wake, kill, throw and join
//! each other and share locks, queues and events, with limits and blocks in blocks around it all. On one thread the order of
//! everything follows from the documentation, so [`check`] wants the log to be exactly the model's; with many workers
//! [`check_on_workers`] wants what holds in every order.
//!
//! | file | one idea |
//! |---|---|
//! | [`program`], [`text`] | what a trace says; its text |
//! | [`choices`], [`mod@generate`] | random programs |
//! | [`event`] | the log |
//! | [`world`], [`mod@line`], [`tally`], [`clock`] | what its greenlets share when it runs |
//! | [`run`], [`acts`], [`descend`], [`drive`], [`hooks`] | a program on real greenlets |
//! | [`model`] | what it must do |
//! | [`workers`] | a program on a runtime |
//! | [`mod@shrink`] | a smaller program that fails too |
//!
//! Three programs include this module by its path, and use a part of it each: the stress tool, `tests/stress_corpus.rs`, the
//! fuzz targets. It names nothing but rustlet and std.
//!
//! # Time, and machines that are late
//! Deadlines are [moments](program), all different. On a busy machine a moment can pass before the work of the one before is
//! done, and then the order is another through nobody's fault. So a difference is believed if the program has
//! nothing to do with time, or if nothing was late before it, or if it is still there when the moments are so long that no
//! machine is that late.
//!
//! # Rejected
//! - *Random calls with invariants only*: the suite has those (`tests/*_model.rs`). An order that is wrong once in a while breaks
//!   no invariant.
//! - *A virtual clock in the library*: it would have to be built in for this alone, and the wheel would go untested.

#![allow(dead_code, unused_imports)] // Each user of this module uses a part.

mod acts;
pub(crate) mod choices;
mod clock;
mod descend;
mod drive;
pub(crate) mod event;
pub(crate) mod generate;
mod hooks;
mod line;
mod model;
pub(crate) mod program;
mod run;
pub(crate) mod shrink;
mod tally;
pub(crate) mod text;
mod workers;
mod world;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use generate::{decode, generate};
pub(crate) use program::{Program, without_time};
pub(crate) use shrink::shrink;
pub(crate) use workers::check_on_workers;

use event::Event;

/// How long moments are, in the runs of a program until one is believed.
const TICKS: [Duration; 6] = [
    Duration::from_micros(400),
    Duration::from_micros(400),
    Duration::from_millis(2),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(250),
];

/// What a program that did what it must came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ran {
    /// Operations, beginnings and ends.
    pub(crate) events: usize,
    /// Greenlets that were spawned.
    pub(crate) greenlets: usize,
    /// Of these, those that in the end waited for what would never come, and were killed.
    pub(crate) stuck: usize,
    /// Runs that were late, and were done again with more time.
    pub(crate) late: usize,
}

/// A program that did not do what it must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    text: String,
}

impl Difference {
    fn new(text: String) -> Self {
        Difference { text }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Difference {}

/// `program` as it is to be saved: with how it failed at its head.
pub(crate) fn with_reason(mut program: Program, difference: &Difference) -> Program {
    let lines = difference
        .text
        .lines()
        .map(|line| line.trim_end().to_owned());
    program.comments.extend(lines);
    program
}

/// Runs `program` on the calling thread, and compares each event with the model's.
///
/// # Errors
/// The first event that is another, or what else is wrong.
///
/// # Panics
/// In a greenlet, or if the thread has any.
pub(crate) fn check(program: &Program) -> Result<Ran, Difference> {
    assert_eq!(
        rustlet::current().id(),
        0,
        "a trace runs on a thread's own stack"
    );
    program.check().map_err(Difference::new)?;
    hooks::quiet();
    let program = Arc::new(program.clone());
    let ticks = if program.is_timed() {
        &TICKS[..]
    } else {
        &TICKS[..1]
    };
    let mut late = 0;
    loop {
        let last = late + 1 == ticks.len();
        match run_once(&program, ticks[late])? {
            Ok(ran) => return Ok(Ran { late, ..ran }),
            Err((difference, on_time)) if on_time || last => return Err(difference),
            Err(_) => late += 1,
        }
    }
}

/// Runs it with moments of `tick`. With a difference comes whether nothing was late until then.
fn run_once(
    program: &Arc<Program>,
    tick: Duration,
) -> Result<Result<Ran, (Difference, bool)>, Difference> {
    let run = drive::run(program, tick).map_err(Difference::new)?;
    let real: Vec<Event> = run.log.iter().map(|(event, _)| *event).collect();
    let predicted = model::predict(program, &real);
    if let Err(difference) = compare(program, &real, &predicted) {
        return Ok(Err((difference, is_on_time(&run, &predicted, tick))));
    }
    let count = |is: fn(&event::What) -> bool| real.iter().filter(|event| is(&event.what)).count();
    Ok(Ok(Ran {
        events: real.len(),
        greenlets: count(|what| matches!(what, event::What::Began | event::What::NeverRan)),
        stuck: count(|what| matches!(what, event::What::Kills(_))),
        late: 0,
    }))
}

/// Whether each event, up to and with the one that is not the model's, was written before the moment after its own.
fn is_on_time(run: &drive::Run, predicted: &[(Event, u32)], tick: Duration) -> bool {
    let mut moment = 0;
    for (index, (event, time)) in run.log.iter().enumerate() {
        let same = predicted.get(index).filter(|(other, _)| other == event);
        moment = same.map_or(moment, |&(_, its)| its);
        if *time >= run.began + tick * (moment + 1) {
            return false;
        }
        if same.is_none() {
            return true;
        }
    }
    false
}

/// Events before the first difference that are told with it.
const BEFORE: usize = 12;

fn compare(
    program: &Program,
    real: &[Event],
    predicted: &[(Event, u32)],
) -> Result<(), Difference> {
    let same = real
        .iter()
        .zip(predicted)
        .take_while(|(real, predicted)| **real == predicted.0);
    let same = same.count();
    if same == real.len() && same == predicted.len() {
        return Ok(());
    }
    let say =
        |event: Option<&Event>| event.map_or("the end".to_owned(), |event| event.describe(program));
    let mut text = format!(
        "event {same} of {} is not the model's ({})\n",
        real.len(),
        predicted.len()
    );
    for (event, moment) in &predicted[same.saturating_sub(BEFORE)..same] {
        text += &format!("  at {moment:>3}  {}\n", event.describe(program));
    }
    let expected = predicted.get(same).map(|(event, _)| event);
    text += &format!(
        "  expected  {}\n  came      {}",
        say(expected),
        say(real.get(same))
    );
    for later in real.iter().skip(same + 1).take(3) {
        text += &format!("\n            {}", later.describe(program));
    }
    Err(Difference::new(text))
}
