//! A few who meet in each round: [`Barrier`], [`Once`], [`LazyLock`], [`WaitGroup`], [`Event`]. Nobody is killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use fastrand::Rng;
use rustlet::Greenlet;
use rustlet::sync::{Barrier, Event, LazyLock, Once, WaitGroup};

use crate::crew::Crew;
use crate::witness::Witness;
use crate::workload::{Context, Failure};

/// Meetings in a step, over all who meet.
const MEETINGS: usize = 2000;

type Make = Box<dyn FnOnce() -> usize + Send>;

/// What happens in one round.
struct Round {
    came: AtomicUsize,
    leaders: AtomicUsize,
    once: Once,
    runs: AtomicUsize,
    lazy: LazyLock<usize, Make>,
    group: WaitGroup,
    done: AtomicUsize,
    event: Event,
}

struct Shared {
    barrier: Barrier,
    size: usize,
    rounds: Vec<Round>,
    witness: Witness,
    context: Context,
}

pub(super) struct Rounds {
    shared: Arc<Shared>,
    members: Vec<Greenlet<()>>,
}

pub(super) fn begin(crew: &Crew, context: &Context, rng: &mut Rng) -> Rounds {
    let size = rng.usize(1..=20);
    let rounds = (context.scaled(MEETINGS) / size).max(1);
    let shared = Arc::new(Shared {
        barrier: Barrier::new(size),
        size,
        rounds: Vec::from_iter((0..rounds).map(|nth| Round::new(size, nth))),
        witness: Witness::default(),
        context: *context,
    });
    let members = Vec::from_iter((0..size).map(|nth| {
        let shared = shared.clone();
        let rng = context.rng(u64::MAX / 3 - nth as u64);
        crew.spawn_on(nth, move || shared.meet(rng))
    }));
    Rounds { shared, members }
}

impl Rounds {
    pub(super) fn end(self) -> Result<(), Failure> {
        for member in self.members {
            member.join()?;
        }
        self.shared.witness.verdict()
    }
}

impl Round {
    fn new(size: usize, nth: usize) -> Round {
        Round {
            came: AtomicUsize::new(0),
            leaders: AtomicUsize::new(0),
            once: Once::new(),
            runs: AtomicUsize::new(0),
            lazy: LazyLock::new(Box::new(move || {
                rustlet::yield_now();
                nth
            })),
            group: WaitGroup::with_count(size),
            done: AtomicUsize::new(0),
            event: Event::new(),
        }
    }
}

impl Shared {
    fn meet(&self, mut rng: Rng) {
        let size = self.size;
        for (nth, round) in self.rounds.iter().enumerate() {
            let expect = |found: usize, wanted: usize, what: &str| {
                self.witness.expect(found == wanted, || {
                    format!("round {nth} of {size}: {found} {what}, not {wanted}")
                });
            };
            self.context.delay(&mut rng);
            round.came.fetch_add(1, Relaxed);
            let leads = self.barrier.wait().is_leader();
            expect(
                round.came.load(Relaxed),
                size,
                "had come when the barrier let one through",
            );
            round.leaders.fetch_add(leads.into(), Relaxed);

            round.once.call_once(|| {
                self.context.delay(&mut rng);
                rustlet::yield_now();
                round.runs.fetch_add(1, Relaxed);
            });
            expect(round.runs.load(Relaxed), 1, "runs of what runs once");
            expect(*LazyLock::force(&round.lazy), nth, "is a lazy value");

            self.context.delay(&mut rng);
            round.done.fetch_add(1, Relaxed);
            round.group.done();
            round.group.wait();
            expect(
                round.done.load(Relaxed),
                size,
                "were done when the wait group said so",
            );
            expect(round.leaders.load(Relaxed), 1, "led");

            if leads {
                self.context.delay(&mut rng);
                round.event.set();
            }
            round.event.wait();
            expect(
                round.event.is_set().into(),
                1,
                "events set after a wait for one",
            );
            self.context.count(5);
        }
    }
}
