//! Who wakes first, of a few who sleep on one thread.
//!
//! What can be said of the order, and no more:
//!
//! - Who has the same deadline wakes in the order in which they went to sleep. The library rounds deadlines up, by a power of two that
//!   goes with their distance: all of a trial are within one power's reach, or nothing is said.
//! - Of two deadlines that lie further apart than such rounding, the earlier one wakes first; unless it is late already by what
//!   makes a long turn. Such turns are interrupted, and whom that wakes goes before the rest of the turn.
//!
//! Rejected: asking that the order be kept on a busy thread too. It is not, by design, and the first trial beside a thousand sleepers
//! shows it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::witness::Witness;
use crate::workload::Context;

/// Further apart than deadlines are rounded at the distances here.
const APART: Duration = Duration::from_micros(50);
/// From this on a turn may have been interrupted: about a millisecond by design, but 2^21 cycles on x86_64, at 6 GHz.
const INTERRUPTED: Duration = Duration::from_micros(300);
/// Rounding is the same for all distances between these.
const SAME_ROUNDING: (Duration, Duration) = (
    Duration::from_nanos(4096 * 1024),
    Duration::from_nanos(8192 * 1024),
);
/// How far the wheel's time may lie back.
const LAG: Duration = Duration::from_millis(1);

struct Sleeper {
    deadline: Instant,
    went: Instant,
    woke: Instant,
    nth: usize,
}

/// So often must the order be wrong in a row: a thread that loses its processor between its look at the clock and its sleep may
/// begin that after the deadline.
const TRIALS: usize = 3;

/// Some sleepers of this thread, and the order of their waking.
pub(super) fn trial(context: &Context, rng: &mut Rng, witness: &Witness) {
    let wrong = Vec::from_iter((0..TRIALS).map_while(|_| once(context, rng, witness)));
    witness.expect(wrong.len() < TRIALS, || wrong.join("; "));
}

/// One of the trials: what was wrong with the order.
fn once(context: &Context, rng: &mut Rng, witness: &Witness) -> Option<String> {
    let sleepers = rng.usize(2..=64);
    let same = rng.bool();
    rustlet::yield_now();
    let begun = Instant::now();
    let distance = if same {
        6_500_000
    } else {
        rng.u64(1_000_000..4_000_000)
    };
    let base = begun + Duration::from_nanos(distance);
    let log = Rc::new(RefCell::new(Vec::with_capacity(sleepers)));
    let greenlets = Vec::from_iter((0..sleepers).map(|nth| {
        let spread = if same { 0 } else { rng.u64(..3_000_000) };
        let deadline = base + Duration::from_nanos(spread);
        let log = log.clone();
        rustlet::spawn_local(move || {
            let went = Instant::now();
            rustlet::sleep_until(deadline);
            let woke = Instant::now();
            log.borrow_mut().push(Sleeper {
                deadline,
                went,
                woke,
                nth,
            });
        })
    }));
    for greenlet in greenlets {
        let joined = greenlet.join();
        witness.expect(joined.is_ok(), || {
            format!("a sleeper ended otherwise: {joined:?}")
        });
    }
    let log = log.take();
    context.count(log.len() as u64);
    for sleeper in &log {
        let early = sleeper.deadline.saturating_duration_since(sleeper.woke);
        witness.expect(early.is_zero(), || {
            format!("a sleep until a time ended {early:?} early")
        });
        context.time(sleeper.woke.saturating_duration_since(sleeper.deadline));
    }
    if same {
        let rounded_alike = log.iter().all(|one| {
            one.deadline > one.went + SAME_ROUNDING.0
                && one.deadline + LAG < one.went + SAME_ROUNDING.1
        });
        let turned = log.windows(2).find(|two| two[0].nth > two[1].nth)?;
        let (first, second) = (turned[0].nth, turned[1].nth);
        return rounded_alike.then(|| {
            format!("of {sleepers} sleepers with one deadline, number {first} woke before number {second}")
        });
    }
    log.iter().enumerate().find_map(|(place, first)| {
        let second = log[place..].iter().find(|second| {
            second.deadline + APART <= first.deadline
                && second.went < second.deadline
                && first.woke < second.deadline + INTERRUPTED
        })?;
        let by = first.deadline - second.deadline;
        Some(format!(
            "of two sleepers, that with the later deadline (by {by:?}) woke first"
        ))
    })
}
