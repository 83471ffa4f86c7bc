//! Queues and channels of the model, and events, whose waiters may be arms of selects too.

use std::collections::VecDeque;

use super::super::event::{Chosen, What};
use super::super::program::{Arm, How};
use super::Model;
use super::greenlet::{Choice, Then};
use super::ops::not;
use super::wait::{CLOSED, DONE, For};

/// Who waits, and if it is a select, which arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    pub(super) who: usize,
    pub(super) arm: Option<usize>,
}

/// "An item goes straight to the getter that waits first. It is closed: nothing can be put, what is stored can be got."
#[derive(Debug)]
pub(super) struct Exchange {
    room: usize,
    pub(super) items: VecDeque<u64>,
    pub(super) getters: VecDeque<Waiter>,
    /// With the items that they wait to put.
    pub(super) putters: VecDeque<(Waiter, u64)>,
    closed: bool,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Done,
    Got(u64),
    Closed,
    NotNow,
}

impl Exchange {
    pub(super) fn new(room: Option<u8>) -> Self {
        Exchange {
            room: room.map_or(usize::MAX, usize::from),
            items: VecDeque::new(),
            getters: VecDeque::new(),
            putters: VecDeque::new(),
            closed: false,
        }
    }
}

impl Model<'_> {
    /// Whether a waiter is to be served: one of a select that has chosen is not.
    fn counts(&self, waiter: Waiter) -> bool {
        waiter.arm.is_none() || self.greenlets[waiter.who].choice == Choice::Open
    }

    /// Serves a waiter that has left its queue.
    fn serve(&mut self, waiter: Waiter, item: Option<u64>, what: u8) {
        if let Some(arm) = waiter.arm {
            self.greenlets[waiter.who].choice = Choice::Chosen(arm);
        }
        self.greenlets[waiter.who].item = item;
        self.grant(waiter.who, what);
    }

    fn pop_getter(&mut self, number: usize) -> Option<Waiter> {
        while let Some(getter) = self.queues[number].getters.pop_front() {
            if self.counts(getter) {
                return Some(getter);
            }
        }
        None
    }

    fn pop_putter(&mut self, number: usize) -> Option<(Waiter, u64)> {
        while let Some(putter) = self.queues[number].putters.pop_front() {
            if self.counts(putter.0) {
                return Some(putter);
            }
        }
        None
    }

    pub(super) fn put_now(&mut self, number: usize, item: u64) -> Step {
        if self.queues[number].closed {
            return Step::Closed;
        }
        if let Some(getter) = self.pop_getter(number) {
            self.serve(getter, Some(item), DONE);
            return Step::Done;
        }
        let queue = &mut self.queues[number];
        if queue.items.len() >= queue.room {
            return Step::NotNow;
        }
        queue.items.push_back(item);
        Step::Done
    }

    pub(super) fn get_now(&mut self, number: usize) -> Step {
        let stored = self.queues[number].items.pop_front();
        let from_putter = self.pop_putter(number).map(|(putter, item)| {
            self.serve(putter, None, DONE);
            item
        });
        match (stored, from_putter) {
            (Some(item), Some(theirs)) => {
                self.queues[number].items.push_back(theirs);
                Step::Got(item)
            }
            (Some(item), None) | (None, Some(item)) => Step::Got(item),
            (None, None) if self.queues[number].closed => Step::Closed,
            (None, None) => Step::NotNow,
        }
    }

    pub(super) fn close(&mut self, number: usize, discard: bool) {
        self.queues[number].closed = true;
        while let Some((putter, _)) = self.pop_putter(number) {
            self.serve(putter, None, CLOSED);
        }
        if discard {
            self.queues[number].items.clear();
        }
        if self.queues[number].items.is_empty() {
            while let Some(getter) = self.pop_getter(number) {
                self.serve(getter, None, CLOSED);
            }
        }
    }

    pub(super) fn set(&mut self, number: usize) {
        self.events[number].0 = true;
        for waiter in std::mem::take(&mut self.events[number].1) {
            if self.counts(waiter) {
                self.serve(waiter, None, DONE);
            }
        }
    }

    // ------------------------------------------------------------------------ select

    /// Whether an arm can be done now.
    fn is_ready(&self, arm: Arm) -> bool {
        match arm {
            Arm::Wait(event) => self.events[event].0,
            Arm::Get(queue) => {
                let queue = &self.queues[queue];
                queue.closed
                    || !queue.items.is_empty()
                    || queue.putters.iter().any(|putter| self.counts(putter.0))
            }
            Arm::Put(queue) => {
                let queue = &self.queues[queue];
                queue.closed
                    || queue.items.len() < queue.room
                    || queue.getters.iter().any(|&getter| self.counts(getter))
            }
        }
    }

    /// Does one of the arms that can be done, if there is any: the one that was done in reality.
    pub(super) fn select_now(&mut self, me: usize, arms: &[Arm]) -> Option<What> {
        let ready: Vec<usize> = (0..arms.len())
            .filter(|&arm| self.is_ready(arms[arm]))
            .collect();
        let &first = ready.first()?;
        let chosen = match self.real.get(self.log.len()).map(|event| event.what) {
            Some(What::Chose(arm, _)) if ready.contains(&arm) => arm,
            _ => first,
        };
        let (step, put) = match arms[chosen] {
            Arm::Wait(_) => (Step::Done, None),
            Arm::Get(queue) => (self.get_now(queue), None),
            Arm::Put(queue) => {
                let item = self.greenlets[me].offers[chosen].expect("an arm that puts has an item");
                (self.put_now(queue, item), Some(item))
            }
        };
        let what = match (step, put) {
            (Step::Got(item), _) => Chosen::Value(item),
            (Step::Closed, _) => Chosen::Closed,
            (_, Some(item)) => Chosen::Value(item),
            (_, None) => Chosen::Done,
        };
        Some(What::Chose(chosen, what))
    }

    /// Joins the queues of all arms.
    pub(super) fn link(&mut self, me: usize, arms: &[Arm]) {
        self.greenlets[me].choice = Choice::Open;
        for (number, arm) in arms.iter().enumerate() {
            let waiter = Waiter {
                who: me,
                arm: Some(number),
            };
            match *arm {
                Arm::Wait(event) => self.events[event].1.push_back(waiter),
                Arm::Get(queue) => self.queues[queue].getters.push_back(waiter),
                Arm::Put(queue) => {
                    let item =
                        self.greenlets[me].offers[number].expect("an arm that puts has an item");
                    self.queues[queue].putters.push_back((waiter, item));
                }
            }
        }
    }

    /// Leaves the queues that it still is in.
    pub(super) fn unlink(&mut self, me: usize) {
        for queue in &mut self.queues {
            queue.getters.retain(|waiter| waiter.who != me);
            queue.putters.retain(|(waiter, _)| waiter.who != me);
        }
        for (_, waiters) in &mut self.events {
            waiters.retain(|waiter| waiter.who != me);
        }
    }

    /// What a select that waited has chosen.
    pub(super) fn selected(&mut self, me: usize, arms: &[Arm]) -> What {
        let greenlet = &mut self.greenlets[me];
        let Choice::Chosen(arm) = std::mem::take(&mut greenlet.choice) else {
            unreachable!("a select that was granted something has chosen")
        };
        let closed = greenlet.granted.take() == Some(CLOSED);
        let item = greenlet.item.take();
        let offer = greenlet.offers.get(arm).copied().flatten();
        let chosen = match (arms[arm], closed) {
            (_, true) => Chosen::Closed,
            (Arm::Wait(_), _) => Chosen::Done,
            (Arm::Get(_), _) => item.map_or(Chosen::Done, Chosen::Value),
            (Arm::Put(_), _) => offer.map_or(Chosen::Done, Chosen::Value),
        };
        What::Chose(arm, chosen)
    }

    // ------------------------------------------------------------------------ operations

    /// Counts an operation; false if others must run before it.
    fn spend(&mut self) -> bool {
        let left = self.budget > 0;
        self.budget = if left { self.budget - 1 } else { 128 };
        left
    }

    /// An operation that may wait counts; one with a limit counts again when it begins to wait.
    pub(super) fn put(&mut self, me: usize, queue: usize, how: How, part: u8) -> Then {
        if part == 0 {
            let item = self.next_item;
            self.next_item += 1;
            let deadline = self.deadline_of(how);
            self.greenlets[me].offers = vec![Some(item)];
            self.greenlets[me].deadline = deadline;
            if how != How::Now && !self.spend() {
                return Then::LetOthers(1);
            }
        }
        let item = self.greenlets[me].offers[0].expect("made above");
        if part < 2 {
            match self.put_now(queue, item) {
                Step::Closed => return Then::Ended(What::Closed),
                Step::NotNow if how == How::Now => return not(how),
                Step::NotNow => {}
                _ => return Then::Ended(What::Value(item)),
            }
            if how != How::Wait && !self.spend() {
                return Then::LetOthers(2);
            }
        }
        match self.put_now(queue, item) {
            Step::NotNow => {
                let waiter = Waiter { who: me, arm: None };
                self.queues[queue].putters.push_back((waiter, item));
                let deadline = self.greenlets[me].deadline;
                self.wait_until(For::Put(queue), deadline)
            }
            Step::Closed => Then::Ended(What::Closed),
            _ => Then::Ended(What::Value(item)),
        }
    }

    pub(super) fn get(&mut self, me: usize, queue: usize, how: How, part: u8) -> Then {
        if part == 0 {
            let deadline = self.deadline_of(how);
            self.greenlets[me].deadline = deadline;
            if how != How::Now && !self.spend() {
                return Then::LetOthers(1);
            }
        }
        if part < 2 {
            match self.get_now(queue) {
                Step::Got(item) => return Then::Ended(What::Value(item)),
                Step::Closed => return Then::Ended(What::Closed),
                _ if how == How::Now => return not(how),
                _ => {}
            }
            if how != How::Wait && !self.spend() {
                return Then::LetOthers(2);
            }
        }
        match self.get_now(queue) {
            Step::Got(item) => Then::Ended(What::Value(item)),
            Step::Closed => Then::Ended(What::Closed),
            _ => {
                self.queues[queue]
                    .getters
                    .push_back(Waiter { who: me, arm: None });
                let deadline = self.greenlets[me].deadline;
                self.wait_until(For::Get(queue), deadline)
            }
        }
    }

    pub(super) fn select(&mut self, me: usize, arms: &[Arm], how: How, part: u8) -> Then {
        if part == 0 {
            let mut offers = Vec::new();
            for arm in arms {
                offers.push(matches!(arm, Arm::Put(_)).then_some(self.next_item));
                self.next_item += u64::from(matches!(arm, Arm::Put(_)));
            }
            self.greenlets[me].offers = offers;
            self.greenlets[me].deadline = self.deadline_of(how);
            if !self.spend() {
                return Then::LetOthers(1);
            }
        }
        if let Some(what) = self.select_now(me, arms) {
            return Then::Ended(what);
        }
        if how == How::Now {
            return not(how);
        }
        self.link(me, arms);
        let deadline = self.greenlets[me].deadline;
        self.wait_until(For::Select, deadline)
    }
}
