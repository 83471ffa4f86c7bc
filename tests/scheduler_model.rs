//! Random programs of spawns, kills, waits, limits and joins: every closure is dropped exactly once,
//! every outcome is one that its history allows, nothing hangs, and nothing is left.

mod support;

use std::panic::catch_unwind;
use std::time::Duration;

use proptest::prelude::*;
use rustlet::{Greenlet, park_timeout, sleep, spawn, spawn_later, stack, timeout, yield_now};
use support::Counter;

/// What a greenlet does, one after the other.
#[derive(Clone, Debug)]
enum Step {
    Yield,
    Sleep(u64),
    Park,
    Limit(u64, Vec<Step>),
    Catch(Vec<Step>),
    Detach(Vec<Step>),
    Join(Vec<Step>),
    KillChild(Vec<Step>),
    Panic,
}

/// What the thread's own code does with the greenlets it has.
#[derive(Clone, Debug)]
enum Act {
    Spawn(Vec<Step>),
    SpawnLater(u64, Vec<Step>),
    Yield,
    Sleep(u64),
    Unpark(prop::sample::Index),
    Kill(prop::sample::Index),
    KillNowait(prop::sample::Index),
    KillFromThread(prop::sample::Index),
    JoinTimeout(prop::sample::Index, u64),
    TryJoin(prop::sample::Index),
    Drop(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let leaf = prop_oneof![
        4 => Just(Step::Yield),
        2 => (0..300_u64).prop_map(Step::Sleep),
        2 => Just(Step::Park),
        1 => Just(Step::Panic),
    ];
    let step = leaf.prop_recursive(3, 12, 3, |inner| {
        let inner = prop::collection::vec(inner, 0..3);
        prop_oneof![
            (0..300_u64, inner.clone()).prop_map(|(limit, steps)| Step::Limit(limit, steps)),
            inner.clone().prop_map(Step::Catch),
            inner.clone().prop_map(Step::Detach),
            inner.clone().prop_map(Step::Join),
            inner.prop_map(Step::KillChild),
        ]
    });
    prop::collection::vec(step, 0..5)
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let index = any::<prop::sample::Index>;
    let act = prop_oneof![
        6 => steps().prop_map(Act::Spawn),
        1 => (0..500_u64, steps()).prop_map(|(delay, steps)| Act::SpawnLater(delay, steps)),
        5 => Just(Act::Yield),
        1 => (0..300_u64).prop_map(Act::Sleep),
        2 => index().prop_map(Act::Unpark),
        2 => index().prop_map(Act::Kill),
        2 => index().prop_map(Act::KillNowait),
        1 => index().prop_map(Act::KillFromThread),
        1 => (index(), 0..300_u64).prop_map(|(which, limit)| Act::JoinTimeout(which, limit)),
        1 => index().prop_map(Act::TryJoin),
        1 => index().prop_map(Act::Drop),
    ];
    prop::collection::vec(act, 1..25)
}

/// What all greenlets of a program count on.
#[derive(Clone, Default)]
struct Counts {
    /// Closures made, and dropped.
    made: Counter,
    dropped: Counter,
}

impl Counts {
    /// A closure that does `steps`, and whose drop is counted.
    fn closure(&self, steps: Vec<Step>) -> impl FnOnce() + Send + 'static {
        self.made.add();
        let (guard, counts) = (self.dropped.on_drop(), self.clone());
        move || {
            let _guard = guard;
            counts.perform(steps);
        }
    }

    fn perform(&self, steps: Vec<Step>) {
        let micros = Duration::from_micros;
        for step in steps {
            match step {
                Step::Yield => yield_now(),
                Step::Sleep(time) => sleep(micros(time)),
                Step::Park => park_timeout(micros(500)),
                Step::Limit(limit, steps) => {
                    let _ = timeout(micros(limit), || self.perform(steps));
                }
                Step::Catch(steps) => {
                    let counts = std::panic::AssertUnwindSafe(self);
                    let _ = catch_unwind(move || counts.perform(steps));
                }
                Step::Detach(steps) => drop(spawn(self.closure(steps))),
                Step::Join(steps) => drop(spawn(self.closure(steps)).join()),
                Step::KillChild(steps) => {
                    let child = spawn(self.closure(steps));
                    yield_now();
                    let _ = child.kill();
                }
                // Without the hook's report, of which there would be thousands.
                Step::Panic => std::panic::resume_unwind(Box::new("on purpose")),
            }
        }
    }
}

fn check_end(greenlet: Greenlet<()>, may_be_killed: bool) {
    if let Err(error) = greenlet.join() {
        let killed = error.is_killed() && may_be_killed;
        assert!(killed || error.is_panic(), "{error}");
    }
}

fn run(acts: Vec<Act>) {
    let counts = Counts::default();
    let micros = Duration::from_micros;
    // Each with whether it was killed.
    let mut greenlets: Vec<(Greenlet<()>, bool)> = Vec::new();
    for act in acts {
        let count = greenlets.len();
        match act {
            Act::Spawn(steps) => greenlets.push((spawn(counts.closure(steps)), false)),
            Act::SpawnLater(delay, steps) => {
                greenlets.push((spawn_later(micros(delay), counts.closure(steps)), false));
            }
            Act::Yield => yield_now(),
            Act::Sleep(time) => sleep(micros(time)),
            _ if count == 0 => {}
            Act::Unpark(which) => which.get(&greenlets).0.handle().unpark(),
            Act::Kill(which) => {
                let (greenlet, killed) = &mut greenlets[which.index(count)];
                *killed = true;
                greenlet.kill().unwrap();
                assert!(greenlet.is_finished());
            }
            Act::KillNowait(which) => {
                let (greenlet, killed) = &mut greenlets[which.index(count)];
                *killed = true;
                greenlet.kill_nowait();
            }
            Act::KillFromThread(which) => {
                let (greenlet, killed) = &mut greenlets[which.index(count)];
                *killed = true;
                let handle = greenlet.handle();
                std::thread::spawn(move || handle.kill()).join().unwrap();
            }
            Act::JoinTimeout(which, limit) => {
                let (greenlet, killed) = greenlets.swap_remove(which.index(count));
                match greenlet.join_timeout(micros(limit)) {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => assert!(error.is_panic() || killed, "{error}"),
                    Err(greenlet) => greenlets.push((greenlet, killed)),
                }
            }
            Act::TryJoin(which) => {
                let (greenlet, killed) = greenlets.swap_remove(which.index(count));
                if let Err(greenlet) = greenlet.try_join() {
                    greenlets.push((greenlet, killed));
                }
            }
            Act::Drop(which) => drop(greenlets.swap_remove(which.index(count))),
        }
    }
    for (greenlet, killed) in greenlets {
        check_end(greenlet, killed);
    }
    // The detached ones end by themselves: no step waits for ever.
    while rustlet::stats().live > 0 {
        sleep(micros(50));
    }
    assert_eq!(counts.dropped.get(), counts.made.get(), "closures dropped");
    let stats = stack::stats();
    assert_eq!((stats.live, stats.promised), (0, 0));
}

proptest! {
    #![proptest_config(support::proptest_config(400))]

    #[test]
    fn every_program_ends_with_everything_dropped_once(acts in acts()) {
        support::deadline(Duration::from_secs(60), || run(acts));
    }

    /// Left in the middle, by the end of the thread.
    #[test]
    fn the_end_of_the_thread_drops_everything_once(programs in prop::collection::vec(steps(), 1..8), turns in 0..4) {
        let _watchdog = support::watchdog();
        let counts = Counts::default();
        let theirs = counts.clone();
        std::thread::spawn(move || {
            for steps in programs {
                drop(spawn(theirs.closure(steps)));
            }
            for _ in 0..turns {
                yield_now();
            }
        })
        .join()
        .unwrap();
        prop_assert_eq!(counts.dropped.get(), counts.made.get());
    }
}
