//! The wheel against a sorted map, and its corners one by one.
//!
//! The map holds what is pending by (deadline, order of insertion). It does not know ticks: that an
//! entry is never early and at most a tick late is checked from its deadline, not from a second
//! copy of the wheel's rounding. After every step [`check_structure`] also compares each node with
//! the facts at the head of `wheel.rs`.
//!
//! The random test prints its seed; `RUSTLET_TEST_SEED=<seed>` runs the same cases again.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

use super::*;

const TICK: u64 = Wheel::<()>::TICK_NS;
/// The first deadline that never fires: the start of the last tick can still be reached.
const FIRST_NEVER: u64 = LAST_TICK * TICK + 1;

/// Advances and returns what fired, after checking that the count says the same.
fn advance<T>(wheel: &mut Wheel<T>, now: u64) -> Vec<(u64, T)> {
    let mut fired = Vec::new();
    let count = wheel.advance(now, |deadline, value| fired.push((deadline, value)));
    assert_eq!(count, fired.len());
    fired
}

/// Checks the facts on which the wheel stands; panics with the first that is broken.
fn check_structure<T>(wheel: &Wheel<T>) {
    let mut live = 0;
    for (list, &List { head, tail }) in wheel.lists.iter().enumerate() {
        assert_eq!(wheel.is_occupied(list), head != NIL, "bit of list {list}");
        let (mut prev, mut index) = (NIL, head);
        while index != NIL {
            let node = &wheel.nodes[index as usize];
            assert_eq!(node.home as usize, list, "home of node {index}");
            assert_eq!(node.prev, prev, "prev of node {index}");
            assert!(
                node.value.is_some(),
                "node {index} is on list {list} and free"
            );
            assert_eq!(
                wheel.home_of(node.deadline),
                list,
                "node {index}: wrong list for its tick"
            );
            live += 1;
            (prev, index) = (index, node.next);
        }
        assert_eq!(tail, prev, "tail of list {list}");
    }
    assert_eq!(live, wheel.len());

    let mut free = 0;
    let mut index = wheel.free;
    while index != NIL {
        assert!(
            wheel.nodes[index as usize].value.is_none(),
            "free node {index} has a value"
        );
        free += 1;
        index = wheel.nodes[index as usize].next;
    }
    assert_eq!(live + free, wheel.nodes.len(), "a node is lost");
}

// ---- one corner each -----------------------------------------------------------------------

#[test]
fn a_new_wheel_allocates_nothing_and_asks_for_nothing() {
    let mut wheel = Wheel::<u8>::new(12_345);
    assert!(advance(&mut wheel, u64::MAX).is_empty());
    assert_eq!(wheel.next_wake_ns(), None);
    assert!(wheel.is_empty());
    assert_eq!(
        (
            wheel.lists.capacity(),
            wheel.nodes.capacity(),
            wheel.batch.capacity()
        ),
        (0, 0, 0)
    );
}

#[test]
fn a_node_is_24_bytes_and_the_value() {
    assert_eq!(size_of::<Node<Box<u8>>>(), 24 + size_of::<Box<u8>>());
}

#[test]
fn fires_in_its_tick_and_not_a_nanosecond_before() {
    for start in [0, 1, TICK - 1, TICK, 77 * TICK + 5] {
        for ahead in [
            1,
            2,
            TICK - 1,
            TICK,
            TICK + 1,
            63 * TICK,
            64 * TICK,
            65 * TICK + 1,
            1 << 40,
        ] {
            let deadline = start + ahead;
            let due = deadline.div_ceil(TICK) * TICK;
            let mut wheel = Wheel::new(start);
            wheel.insert(deadline, ());
            assert_eq!(
                advance(&mut wheel, due - 1),
                [],
                "start {start} ahead {ahead}"
            );
            assert_eq!(
                advance(&mut wheel, due),
                [(deadline, ())],
                "start {start} ahead {ahead}"
            );
        }
    }
}

#[test]
fn past_deadlines_fire_while_time_stands_still() {
    let start = 1_000 * TICK + 7;
    let mut wheel = Wheel::new(start);
    for (value, deadline) in [5 * TICK, 0, 1_000 * TICK, 5 * TICK]
        .into_iter()
        .enumerate()
    {
        wheel.insert(deadline, value);
    }
    assert_eq!(wheel.next_wake_ns(), Some(1_000 * TICK));
    let fired = advance(&mut wheel, start);
    assert_eq!(
        fired,
        [(0, 1), (5 * TICK, 0), (5 * TICK, 3), (1_000 * TICK, 2)]
    );
}

#[test]
fn time_does_not_go_back() {
    let mut wheel = Wheel::new(1_000 * TICK);
    wheel.insert(1_005 * TICK, 'a');
    assert_eq!(advance(&mut wheel, 3 * TICK), []);
    check_structure(&wheel);
    assert_eq!(wheel.next_wake_ns(), Some(1_005 * TICK));
    // In the past of the wheel, though not of the `now` that went back.
    wheel.insert(999 * TICK, 'b');
    assert_eq!(advance(&mut wheel, 4 * TICK), [(999 * TICK, 'b')]);
}

#[test]
fn order_within_a_tick_is_deadline_then_insertion() {
    let mut wheel = Wheel::new(0);
    // All in tick 100 001, inserted while it is on different levels.
    let base = 100_000 * TICK;
    let mut expected = Vec::new();
    for (seq, now) in [0, 50_000 * TICK, 99_990 * TICK, base]
        .into_iter()
        .enumerate()
    {
        assert_eq!(advance(&mut wheel, now), []);
        for offset in [9, 3, 9, 1] {
            wheel.insert(base + offset, (seq, expected.len()));
            expected.push((base + offset, (seq, expected.len())));
        }
    }
    expected.sort_by_key(|&(deadline, _)| deadline);
    assert_eq!(advance(&mut wheel, base + TICK), expected);
}

#[test]
fn a_key_names_one_entry_only() {
    let mut wheel = Wheel::new(0);
    let first = wheel.insert(10 * TICK, 'a');
    assert_eq!(wheel.cancel(first), Some('a'));
    assert_eq!(wheel.cancel(first), None);
    let second = wheel.insert(20 * TICK, 'b');
    assert_eq!(second.index, first.index, "the node is used again");
    assert_eq!(wheel.cancel(first), None);
    assert_eq!(advance(&mut wheel, 20 * TICK), [(20 * TICK, 'b')]);
    assert_eq!(wheel.cancel(second), None);
    assert_eq!(
        wheel.cancel(Key {
            index: 99,
            generation: 0
        }),
        None,
        "a key of another wheel"
    );
    assert!(wheel.is_empty());
    assert_eq!(wheel.nodes.len(), 1);
}

#[test]
fn the_end_of_time_is_kept_and_never_fires() {
    for start in [0, 1 << 63, u64::MAX] {
        let mut wheel = Wheel::new(start);
        let endless = wheel.insert(u64::MAX, 'm');
        let first_never = wheel.insert(FIRST_NEVER, 'n');
        assert_eq!(wheel.next_wake_ns(), None);
        assert_eq!(advance(&mut wheel, u64::MAX), []);
        assert_eq!(wheel.len(), 2);
        check_structure(&wheel);
        assert_eq!(wheel.cancel(endless), Some('m'));
        assert_eq!(wheel.cancel(first_never), Some('n'));
    }
}

#[test]
fn the_last_instant_that_can_fire_does() {
    let last = FIRST_NEVER - 1;
    let mut wheel = Wheel::new(0);
    wheel.insert(last, ());
    // Down through all levels by wake-ups alone.
    let mut wakes = 0;
    while let Some(wake) = wheel.next_wake_ns() {
        let fired = advance(&mut wheel, wake);
        wakes += 1;
        assert!(wakes <= LEVELS, "no progress at {wake}");
        assert!(wake <= last && (fired.is_empty() || wake == last));
    }
    assert_eq!(wakes, LEVELS);
    assert!(wheel.is_empty());
}

#[test]
fn centuries_cost_no_more_than_the_entries() {
    // Tick by tick this would be 2⁴⁸ steps.
    let mut wheel = Wheel::new(0);
    for bit in 0..64 {
        wheel.insert(1 << bit, bit);
    }
    let fired = advance(&mut wheel, u64::MAX);
    assert_eq!(
        fired,
        (0..64).map(|bit| (1 << bit, bit)).collect::<Vec<_>>()
    );
}

#[test]
fn a_panic_in_fire_loses_only_its_own_entry() {
    let mut wheel = Wheel::new(0);
    let mut keys = Vec::new();
    for (value, tick) in [1, 1, 1, 2, 500].into_iter().enumerate() {
        keys.push(wheel.insert(tick * TICK, value));
    }
    let mut seen = Vec::new();
    let result = catch_unwind(AssertUnwindSafe(|| {
        wheel.advance(1_000 * TICK, |_, value| {
            seen.push(value);
            assert_ne!(value, 1, "on purpose");
        })
    }));
    assert!(result.is_err());
    assert_eq!(seen, [0, 1]);
    assert_eq!(wheel.len(), 3);
    check_structure(&wheel);
    // What was left is due at once, can be cancelled, and fires in order, also with what came
    // later.
    assert!(wheel.next_wake_ns().is_some_and(|wake| wake <= TICK));
    assert_eq!(wheel.cancel(keys[1]), None);
    assert_eq!(wheel.cancel(keys[3]), Some(3));
    wheel.insert(TICK, 9);
    let fired = advance(&mut wheel, 1_000 * TICK);
    assert_eq!(fired, [(TICK, 2), (TICK, 9), (500 * TICK, 4)]);
    check_structure(&wheel);
}

// ---- the model -----------------------------------------------------------------------------

/// A deadline to insert, relative to the state in which it is inserted.
#[derive(Clone, Debug)]
enum Deadline {
    Ahead(u64),
    Behind(u64),
    /// The start of the tick so many ticks ahead, plus −1, 0 or 1 ns.
    NearBoundary(u64, i64),
    /// That of an entry inserted earlier.
    Again(prop::sample::Index),
    /// So far before the end of time.
    BeforeEnd(u64),
}

/// A time to advance to.
#[derive(Clone, Debug)]
enum Now {
    Still,
    Ahead(u64),
    Behind(u64),
    /// What `next_wake_ns` says.
    Wake,
    /// A nanosecond before that.
    BeforeWake,
    /// A deadline inserted earlier, plus −1, 0 or 1 ns.
    NearDeadline(prop::sample::Index, i64),
    End,
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Deadline),
    /// The key of any entry ever inserted, dead or alive.
    Cancel(prop::sample::Index),
    Advance(Now),
    /// To so many nanoseconds ahead; `fire` panics in its so-manieth call.
    Panic(u64, usize),
}

/// Durations of every magnitude, each as likely.
fn duration() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64_u32).prop_map(|(bits, shift)| bits >> shift)
}

fn step() -> impl Strategy<Value = Step> {
    let any_index = any::<prop::sample::Index>;
    let deadline = prop_oneof![
        4 => (0..200 * TICK).prop_map(Deadline::Ahead),
        4 => duration().prop_map(Deadline::Ahead),
        1 => duration().prop_map(Deadline::Behind),
        3 => (0..5_000_u64, -1..=1_i64).prop_map(|(ticks, off)| Deadline::NearBoundary(ticks, off)),
        3 => any_index().prop_map(Deadline::Again),
        1 => (0..3 * TICK).prop_map(Deadline::BeforeEnd),
    ];
    let now = prop_oneof![
        2 => Just(Now::Still),
        4 => (0..100 * TICK).prop_map(Now::Ahead),
        2 => (0..1_u64 << 44).prop_map(Now::Ahead),
        1 => duration().prop_map(Now::Ahead),
        1 => duration().prop_map(Now::Behind),
        6 => Just(Now::Wake),
        3 => Just(Now::BeforeWake),
        4 => (any_index(), -1..=1_i64).prop_map(|(which, off)| Now::NearDeadline(which, off)),
    ];
    // Rare, because little happens after it.
    let now = prop_oneof![150 => now, 1 => Just(Now::End)];
    prop_oneof![
        10 => deadline.prop_map(Step::Insert),
        4 => any_index().prop_map(Step::Cancel),
        8 => now.prop_map(Step::Advance),
        1 => (duration(), 1..4_usize).prop_map(|(ahead, call)| Step::Panic(ahead >> 16, call)),
    ]
}

struct Model {
    wheel: Wheel<usize>,
    /// The latest time given to the wheel.
    now: u64,
    /// The last `advance` ended in a panic: the wheel may be anywhere up to `now`.
    behind: bool,
    /// (deadline, order of insertion) of what is pending; the order is also the value.
    pending: BTreeMap<(u64, usize), Key>,
    /// Everything ever inserted.
    all: Vec<(u64, Key)>,
}

impl Model {
    fn new(now: u64) -> Self {
        Model {
            wheel: Wheel::new(now),
            now,
            behind: false,
            pending: BTreeMap::new(),
            all: Vec::new(),
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Insert(deadline) => {
                let deadline = match deadline {
                    Deadline::Ahead(ns) => self.now.saturating_add(ns),
                    Deadline::Behind(ns) => self.now.saturating_sub(ns),
                    Deadline::NearBoundary(ticks, off) => {
                        let tick = self.now / TICK + ticks;
                        tick.saturating_mul(TICK).saturating_add_signed(off)
                    }
                    Deadline::Again(which) if !self.all.is_empty() => which.get(&self.all).0,
                    Deadline::Again(_) => self.now,
                    Deadline::BeforeEnd(ns) => u64::MAX - ns,
                };
                let seq = self.all.len();
                let key = self.wheel.insert(deadline, seq);
                self.pending.insert((deadline, seq), key);
                self.all.push((deadline, key));
            }
            Step::Cancel(which) if !self.all.is_empty() => {
                let seq = which.index(self.all.len());
                let (deadline, key) = self.all[seq];
                let expected = self.pending.remove(&(deadline, seq)).map(|_| seq);
                assert_eq!(self.wheel.cancel(key), expected, "cancel of {key:?}");
            }
            Step::Cancel(_) => {}
            Step::Panic(ahead, call) => {
                self.advance_and_panic(self.now.saturating_add(ahead), call);
            }
            Step::Advance(now) => {
                let wake = self.wheel.next_wake_ns();
                let before_wake = matches!(now, Now::BeforeWake);
                let now = match now {
                    Now::Still => self.now,
                    Now::Ahead(ns) => self.now.saturating_add(ns),
                    Now::Behind(ns) => self.now.saturating_sub(ns),
                    Now::Wake => wake.unwrap_or(self.now),
                    Now::BeforeWake => wake.map_or(self.now, |wake| wake.saturating_sub(1)),
                    Now::NearDeadline(which, off) if !self.all.is_empty() => {
                        which.get(&self.all).0.saturating_add_signed(off)
                    }
                    Now::NearDeadline(..) => self.now,
                    Now::End => u64::MAX,
                };
                let fired = self.advance(now);
                if before_wake && wake.is_none_or(|wake| wake > self.now) {
                    assert_eq!(fired, 0, "fired before {wake:?}");
                }
            }
        }
        self.check();
    }

    /// Advances with a `fire` that panics in call number `call`, if there are so many.
    fn advance_and_panic(&mut self, now: u64, call: usize) {
        self.now = self.now.max(now);
        let mut fired = Vec::new();
        let result = catch_unwind(AssertUnwindSafe(|| {
            self.wheel.advance(now, |deadline, value| {
                fired.push((deadline, value));
                if fired.len() == call {
                    // Past the panic hook, whose output nobody wants a thousand times.
                    resume_unwind(Box::new(()));
                }
            })
        }));
        self.behind = result.is_err();
        self.retire(&fired);
    }

    fn advance(&mut self, now: u64) -> usize {
        // A time that a panic cut short does not count, so it is given again.
        let now = if self.behind { now.max(self.now) } else { now };
        self.now = self.now.max(now);
        let fired = advance(&mut self.wheel, now);
        self.behind = false;
        self.retire(&fired);
        if let Some((&(deadline, _), _)) = self.pending.first_key_value() {
            let late = self.now.saturating_sub(deadline);
            assert!(late < TICK, "{deadline} is {late} ns late");
        }
        fired.len()
    }

    /// Takes what has fired out of the model, checking that it was next and not early.
    fn retire(&mut self, fired: &[(u64, usize)]) {
        for &(deadline, seq) in fired {
            let (first, _) = self
                .pending
                .pop_first()
                .expect("fired, but nothing was pending");
            assert_eq!((deadline, seq), first, "out of order");
            assert!(deadline <= self.now, "{deadline} is early at {}", self.now);
        }
    }

    fn check(&self) {
        check_structure(&self.wheel);
        assert_eq!(self.wheel.len(), self.pending.len());
        assert_eq!(self.wheel.is_empty(), self.pending.is_empty());

        let first = self
            .pending
            .first_key_value()
            .map(|(&(deadline, _), _)| deadline);
        let Some(first) = first.filter(|&deadline| deadline < FIRST_NEVER) else {
            return assert_eq!(self.wheel.next_wake_ns(), None);
        };
        let wake = self.wheel.next_wake_ns().expect("something can fire");
        if self.behind {
            return assert!(wake <= first.div_ceil(TICK).max(self.now / TICK) * TICK);
        }
        let (tick, now) = (first.div_ceil(TICK), self.now / TICK);
        assert_eq!(wake % TICK, 0);
        if tick <= now {
            assert!(
                wake <= self.now,
                "wake {wake}, but {first} is due at {}",
                self.now
            );
        } else {
            assert!(
                wake > self.now,
                "wake {wake} would do nothing at {}",
                self.now
            );
        }
        // In the same 64 ticks: the lowest level, where the answer is exact.
        if tick > now && tick / 64 == now / 64 {
            assert_eq!(wake, tick * TICK);
        }
    }

    /// Fires all that can fire by wake-ups alone, then cancels the rest.
    fn drain(mut self) {
        let mut allowed = self.pending.len() * LEVELS;
        while let Some(wake) = self.wheel.next_wake_ns() {
            assert!(allowed > 0, "more wake-ups than entries times levels");
            allowed -= 1;
            let fired = self.advance(wake);
            self.check();
            let again = self.wheel.next_wake_ns();
            assert!(
                fired > 0 || again.is_none_or(|again| again > wake),
                "no progress at {wake}"
            );
        }
        while let Some(((deadline, seq), key)) = self.pending.pop_first() {
            assert!(deadline >= FIRST_NEVER);
            assert_eq!(self.wheel.cancel(key), Some(seq));
        }
        self.check();
    }
}

#[test]
fn behaves_like_a_sorted_map() {
    let seed = match std::env::var("RUSTLET_TEST_SEED") {
        Ok(seed) => match seed.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => seed.parse(),
        }
        .expect("RUSTLET_TEST_SEED is a u64, decimal or 0x…"),
        Err(_) => RandomState::new().hash_one(0),
    };
    println!("RUSTLET_TEST_SEED={seed}");
    let start = prop_oneof![
        Just(0),
        0..1_u64 << 50,
        // Just before all levels turn over.
        (0..300 * TICK).prop_map(|ns| (1 << 58) - ns),
        any::<u64>(),
        (0..200 * TICK).prop_map(|ns| u64::MAX - ns),
    ];
    let config = ProptestConfig {
        cases: if cfg!(miri) { 10 } else { 500 },
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(&(start, vec(step(), 1..120)), |(start, steps)| {
            let mut model = Model::new(start);
            steps.into_iter().for_each(|step| model.run(step));
            model.drain();
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}
