//! A state machine for whatever puts and gets: random operations of greenlets, interleaved with kills, throws,
//! timeouts and the end, compared with a model that is a list of items and two lists of those who wait.
//!
//! The model decides at the time of each operation who gets what. The greenlets may learn it later: between two
//! operations they run only if the program says so, so that kills hit those who have been served and
//! do not know it yet.

// Each test binary compiles this file for itself and uses a part of it.
#![allow(dead_code)]

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rustlet::{Greenlet, spawn_local, yield_now};

use crate::support::{Counter, OnDrop};

/// What is put. Dropping it counts.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) value: u32,
    _dropped: OnDrop,
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Item {}
impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Item {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.cmp(&other.value)
    }
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Put,
    /// It gave the item back.
    Closed(Option<u32>),
    /// Not now, or not in time.
    NotNow(Option<u32>),
    Got(u32),
    Joined,
    Interrupted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Give {
    First,
    Last,
    Smallest,
}

/// What is tested. Each operation returns how it ended.
pub(crate) trait Subject {
    const GIVE: Give = Give::First;
    /// Whether it has `join` and `task_done`.
    const JOINS: bool = false;
    /// Whether it is closed by dropping an end, of which none must be in use then.
    const HAS_ENDS: bool = false;
    fn put(&self, item: Item) -> Outcome;
    fn put_now(&self, item: Item) -> Outcome;
    fn put_timeout(&self, item: Item, limit: Duration) -> Outcome;
    fn get(&self) -> Outcome;
    fn get_now(&self) -> Outcome;
    fn get_timeout(&self, limit: Duration) -> Outcome;
    fn len(&self) -> usize;
    /// For one more user.
    fn user(&self) -> Self;
    fn close(&mut self, discard: bool);
    fn join(&self) {}
    fn task_done(&self) {}
    fn unfinished(&self) -> usize {
        0
    }
}

/// What the thread's own code does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Put(u32),
    PutNow(u32),
    Get,
    GetNow,
    /// A get with a time limit, and maybe a put when the limit has passed, before the getter can notice.
    GetLate(Option<u32>),
    PutLate(u32, bool),
    Interrupt(prop::sample::Index, How),
    Join,
    TaskDone,
    Yield,
    Close(bool),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    Kill,
    KillNowait,
    Throw,
}

pub(crate) fn acts() -> impl Strategy<Value = Vec<Act>> {
    let value = || 0..1000_u32;
    let how = prop_oneof![Just(How::Kill), Just(How::KillNowait), Just(How::Throw)];
    let act = prop_oneof![
        8 => value().prop_map(Act::Put),
        6 => value().prop_map(Act::PutNow),
        8 => Just(Act::Get),
        6 => Just(Act::GetNow),
        1 => prop::option::of(value()).prop_map(Act::GetLate),
        1 => (value(), any::<bool>()).prop_map(|(value, get)| Act::PutLate(value, get)),
        6 => (any::<prop::sample::Index>(), how).prop_map(|(which, how)| Act::Interrupt(which, how)),
        2 => Just(Act::Join),
        4 => Just(Act::TaskDone),
        6 => Just(Act::Yield),
    ];
    let end = prop::option::weighted(0.7, any::<bool>().prop_map(Act::Close));
    let part = || prop::collection::vec(act.clone(), 0..40);
    (part(), end, part()).prop_map(|(mut acts, end, rest)| {
        acts.extend(end);
        acts.extend(rest);
        acts
    })
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wait {
    Get,
    Put(u32),
    Join,
}

/// What must be.
struct Model {
    give: Give,
    capacity: usize,
    items: VecDeque<u32>,
    waiting: Vec<(usize, Wait)>,
    unfinished: usize,
    closed: bool,
    expected: BTreeMap<usize, Outcome>,
}

impl Model {
    fn first(&self, which: impl Fn(Wait) -> bool) -> Option<usize> {
        self.waiting.iter().position(|&(_, wait)| which(wait))
    }

    fn pop(&mut self) -> Option<u32> {
        match self.give {
            Give::First => self.items.pop_front(),
            Give::Last => self.items.pop_back(),
            Give::Smallest => {
                let (place, _) = self.items.iter().enumerate().min_by_key(|item| item.1)?;
                self.items.remove(place)
            }
        }
    }

    fn put(&mut self, value: u32) -> Outcome {
        if self.closed {
            return Outcome::Closed(Some(value));
        }
        if let Some(place) = self.first(|wait| wait == Wait::Get) {
            let (id, _) = self.waiting.remove(place);
            self.expected.insert(id, Outcome::Got(value));
        } else if self.items.len() < self.capacity {
            self.items.push_back(value);
        } else {
            return Outcome::NotNow(Some(value));
        }
        self.unfinished += 1;
        Outcome::Put
    }

    fn get(&mut self) -> Outcome {
        let stored = self.pop();
        let mut theirs = None;
        if let Some(place) = self.first(|wait| matches!(wait, Wait::Put(_))) {
            let (id, wait) = self.waiting.remove(place);
            self.expected.insert(id, Outcome::Put);
            self.unfinished += 1;
            let Wait::Put(value) = wait else {
                unreachable!()
            };
            theirs = Some(value);
        }
        match (stored, theirs) {
            (Some(item), theirs) => {
                self.items.extend(theirs);
                Outcome::Got(item)
            }
            (None, Some(item)) => Outcome::Got(item),
            (None, None) if self.closed => Outcome::Closed(None),
            (None, None) => Outcome::NotNow(None),
        }
    }

    fn done(&mut self, count: usize) {
        self.unfinished -= count.min(self.unfinished);
        if self.unfinished == 0 {
            for (id, _) in self.waiting.extract_if(.., |(_, wait)| *wait == Wait::Join) {
                self.expected.insert(id, Outcome::Joined);
            }
        }
    }

    fn close(&mut self, discard: bool) {
        self.closed = true;
        if discard {
            let count = self.items.len();
            self.items.clear();
            self.done(count);
        }
        for (id, wait) in self.waiting.extract_if(.., |(_, wait)| *wait != Wait::Join) {
            let item = match wait {
                Wait::Put(value) => Some(value),
                _ => None,
            };
            self.expected.insert(id, Outcome::Closed(item));
        }
    }
}

/// The state machine.
pub(crate) struct Machine<S: Subject + 'static> {
    subject: Option<S>,
    model: Model,
    actual: Rc<RefCell<BTreeMap<usize, Outcome>>>,
    greenlets: BTreeMap<usize, Greenlet<()>>,
    /// Interrupted, and not run since.
    doomed: BTreeSet<usize>,
    made: Counter,
    dropped: Counter,
}

impl<S: Subject + 'static> Machine<S> {
    pub(crate) fn new(subject: S, capacity: usize) -> Self {
        Machine {
            subject: Some(subject),
            model: Model {
                give: S::GIVE,
                capacity,
                items: VecDeque::new(),
                waiting: Vec::new(),
                unfinished: 0,
                closed: false,
                expected: BTreeMap::new(),
            },
            actual: Rc::default(),
            greenlets: BTreeMap::new(),
            doomed: BTreeSet::new(),
            made: Counter::default(),
            dropped: Counter::default(),
        }
    }

    fn item(&self, value: u32) -> Item {
        self.made.add();
        Item {
            value,
            _dropped: self.dropped.on_drop(),
        }
    }

    fn subject(&self) -> &S {
        self.subject.as_ref().expect("there until the end")
    }

    /// Starts an operation on a greenlet of its own; it has run as far as it can when this returns.
    fn start(&mut self, operation: impl FnOnce(&S) -> Outcome + 'static) -> usize {
        let id = self.greenlets.len();
        let (user, actual) = (self.subject().user(), self.actual.clone());
        let greenlet = spawn_local(move || {
            let result = catch_unwind(AssertUnwindSafe(|| operation(&user)));
            drop(user);
            let (outcome, payload) = match result {
                Ok(outcome) => (outcome, None),
                Err(payload) => (Outcome::Interrupted, Some(payload)),
            };
            let twice = actual.borrow_mut().insert(id, outcome);
            assert_eq!(twice, None);
            if let Some(payload) = payload {
                resume_unwind(payload);
            }
        });
        self.greenlets.insert(id, greenlet);
        yield_now();
        id
    }

    /// What the model says of an operation that may wait.
    fn expect(&mut self, id: usize, outcome: Outcome, wait: Wait) {
        match outcome {
            Outcome::NotNow(_) => self.model.waiting.push((id, wait)),
            outcome => {
                self.model.expected.insert(id, outcome);
            }
        }
    }

    pub(crate) fn run(mut self, acts: Vec<Act>) {
        for act in acts {
            self.act(act);
            assert_eq!(self.subject().len(), self.model.items.len());
            if S::JOINS {
                assert_eq!(self.subject().unfinished(), self.model.unfinished);
            }
        }
        self.end();
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Put(value) => {
                let item = self.item(value);
                self.reap();
                let outcome = self.model.put(value);
                let id = self.start(move |subject| subject.put(item));
                self.expect(id, outcome, Wait::Put(value));
            }
            Act::PutNow(value) => {
                let outcome = self.subject().put_now(self.item(value));
                assert_eq!(outcome, self.model.put(value));
            }
            Act::Get => {
                self.reap();
                let outcome = self.model.get();
                let id = self.start(S::get);
                self.expect(id, outcome, Wait::Get);
            }
            Act::GetNow => assert_eq!(self.subject().get_now(), self.model.get()),
            Act::GetLate(put) => self.get_late(put),
            Act::PutLate(value, get) => self.put_late(value, get),
            Act::Interrupt(which, how) => {
                let ids: Vec<_> = self.greenlets.keys().copied().collect();
                if !ids.is_empty() {
                    self.interrupt(*which.get(&ids), how);
                }
            }
            Act::Join if S::JOINS => {
                self.reap();
                let id = self.start(|subject| {
                    subject.join();
                    Outcome::Joined
                });
                if self.model.unfinished == 0 {
                    self.model.expected.insert(id, Outcome::Joined);
                } else {
                    self.model.waiting.push((id, Wait::Join));
                }
            }
            Act::TaskDone if S::JOINS => {
                if self.model.unfinished > 0 {
                    self.subject().task_done();
                    self.model.done(1);
                }
            }
            Act::Join | Act::TaskDone => {}
            Act::Yield => self.settle(),
            Act::Close(discard) => self.close(discard),
        }
    }

    /// Others are about to run: those who were interrupted, and wait still, stop waiting before anything else happens.
    fn reap(&mut self) {
        for id in std::mem::take(&mut self.doomed) {
            self.stop_waiting(id, Outcome::Interrupted);
        }
    }

    /// Who has been served keeps what it has got.
    fn stop_waiting(&mut self, id: usize, outcome: Outcome) {
        let waiting = &mut self.model.waiting;
        if let Some(place) = waiting.iter().position(|&(other, _)| other == id) {
            waiting.remove(place);
            self.model.expected.insert(id, outcome);
        }
    }

    fn interrupt(&mut self, id: usize, how: How) {
        self.doomed.insert(id);
        // A kill waits, unless there is nothing to wait for.
        if matches!(how, How::Kill) && !self.greenlets[&id].is_finished() {
            self.reap();
        }
        let greenlet = &self.greenlets[&id];
        match how {
            How::Kill => greenlet.kill().expect("it ends"),
            How::KillNowait => greenlet.kill_nowait(),
            How::Throw => greenlet.throw("thrown"),
        }
    }

    /// Long past, for a limit that is set now, but without letting anyone run.
    fn pass_the_limit() -> Duration {
        let limit = Duration::from_micros(200);
        let start = Instant::now();
        while start.elapsed() < 2 * limit {
            std::hint::spin_loop();
        }
        limit
    }

    fn get_late(&mut self, put: Option<u32>) {
        let limit = Duration::from_micros(200);
        self.reap();
        let outcome = self.model.get();
        let id = self.start(move |subject| subject.get_timeout(limit));
        self.expect(id, outcome, Wait::Get);
        if !matches!(outcome, Outcome::NotNow(_)) {
            return;
        }
        Self::pass_the_limit();
        // On a slow machine it may have noticed before this.
        self.model_timeout(id, None);
        if let Some(value) = put {
            let outcome = self.subject().put_now(self.item(value));
            assert_eq!(outcome, self.model.put(value));
        }
        self.finish_late(id, None);
    }

    fn put_late(&mut self, value: u32, get: bool) {
        let limit = Duration::from_micros(200);
        let item = self.item(value);
        self.reap();
        let outcome = self.model.put(value);
        let id = self.start(move |subject| subject.put_timeout(item, limit));
        self.expect(id, outcome, Wait::Put(value));
        if !matches!(outcome, Outcome::NotNow(_)) {
            return;
        }
        Self::pass_the_limit();
        self.model_timeout(id, Some(value));
        if get {
            assert_eq!(self.subject().get_now(), self.model.get());
        }
        self.finish_late(id, Some(value));
    }

    /// If it has ended already, that was by its limit.
    fn model_timeout(&mut self, id: usize, item: Option<u32>) {
        if self.greenlets[&id].is_finished() {
            self.stop_waiting(id, Outcome::NotNow(item));
        }
    }

    /// Waits for the end of one with a limit that has passed.
    fn finish_late(&mut self, id: usize, item: Option<u32>) {
        self.greenlets[&id].wait().expect("it ends");
        self.stop_waiting(id, Outcome::NotNow(item));
    }

    /// Lets all run, and compares.
    fn settle(&mut self) {
        self.reap();
        (0..4).for_each(|_| yield_now());
        assert_eq!(*self.actual.borrow(), self.model.expected);
    }

    fn close(&mut self, discard: bool) {
        if S::HAS_ENDS {
            self.settle();
            let users = |wait: Wait| matches!(wait, Wait::Get) == discard;
            if self.model.waiting.iter().any(|&(_, wait)| users(wait)) {
                return; // they have ends of their own
            }
        }
        self.subject.as_mut().expect("there").close(discard);
        self.model.close(discard);
    }

    fn end(mut self) {
        self.settle();
        // Whoever waits now waits for ever.
        for (id, _) in std::mem::take(&mut self.model.waiting) {
            self.greenlets[&id].kill().expect("it ends");
            self.model.expected.insert(id, Outcome::Interrupted);
        }
        self.settle();
        for greenlet in std::mem::take(&mut self.greenlets).into_values() {
            if let Err(error) = greenlet.join() {
                assert!(error.is_killed() || error.is_panic(), "{error}");
            }
        }
        self.subject = None;
        assert_eq!(
            self.dropped.get(),
            self.made.get(),
            "items dropped and made"
        );
    }
}

/// How many operations a state machine does: `RUSTLET_TEST_OPERATIONS`, or few.
pub(crate) fn operations() -> u32 {
    match std::env::var("RUSTLET_TEST_OPERATIONS") {
        Ok(text) => text.parse().expect("RUSTLET_TEST_OPERATIONS: a number"),
        Err(_) => 2_000,
    }
}

/// Runs about [`operations`] random operations, each program on a new subject.
pub(crate) fn check<S: Subject + 'static>(capacities: &'static [usize], new: fn(usize) -> S) {
    // A program has 40 acts on average.
    let config = crate::support::proptest_config(operations().div_ceil(40));
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let program = (prop::sample::select(capacities), acts());
    let result = runner.run(&program, |(capacity, acts)| {
        Machine::new(new(capacity), capacity).run(acts);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}\n{runner}");
    }
}
