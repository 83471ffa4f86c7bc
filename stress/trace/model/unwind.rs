//! Unwinding a greenlet of the model: what is raised, where it stops, what is given back on the way.

use super::super::event::{Cause, What};
use super::greenlet::{Ended, Frame, Kind};
use super::{Model, Timer};

impl Model<'_> {
    /// What is raised now, of what interrupts it.
    pub(super) fn raise(&mut self, me: usize) -> Option<Cause> {
        let greenlet = &mut self.greenlets[me];
        greenlet.ours = true;
        if greenlet.killed {
            return Some(Cause::Killed);
        }
        if let Some(what) = greenlet.thrown.pop_front() {
            greenlet.ours = false;
            return Some(Cause::Thrown(what));
        }
        greenlet.is_interrupted().then_some(Cause::Limit)
    }

    /// Unwinds to the block that stops it; false if none does.
    pub(super) fn unwind(&mut self, me: usize, cause: Cause) -> bool {
        // A limit stops at the innermost block of those that were hit when it was raised.
        let hit = |frame: &Frame<'_>| match frame.kind {
            Kind::Timeout { id, hit: true, .. } => Some(id),
            _ => None,
        };
        let goal = match cause {
            Cause::Limit => self.greenlets[me].frames.iter().rev().find_map(hit),
            _ => None,
        };
        while let Some(frame) = self.greenlets[me].frames.last() {
            let stops = match frame.kind {
                Kind::Catch => Some(cause),
                Kind::Timeout { id, .. } if goal == Some(id) => Some(Cause::Limit),
                _ => None,
            };
            let at_its_goal = matches!(frame.kind, Kind::Timeout { .. }) && stops.is_some();
            self.leave(me, true);
            if let Some(cause) = stops {
                if at_its_goal {
                    self.greenlets[me].ours = false;
                }
                self.ended(me, What::Unwound(cause));
                return true;
            }
        }
        self.log(me, 0, What::Unwound(cause));
        self.end(me, Ended::Unwound(cause));
        false
    }

    /// The innermost block ends.
    pub(super) fn leave(&mut self, me: usize, unwinding: bool) {
        self.give_back_all(me, unwinding);
        let frame = self.greenlets[me].frames.pop();
        if let Some(Kind::Timeout { moment, id, .. }) = frame.map(|frame| frame.kind) {
            self.disarm(moment, Timer::Hit(me, id));
        }
    }

    pub(super) fn give_back_all(&mut self, me: usize, unwinding: bool) {
        while let Some(held) = self.greenlets[me]
            .frames
            .last_mut()
            .and_then(|frame| frame.held.pop())
        {
            let poisons = unwinding && !self.greenlets[me].ours;
            self.give_back(held, poisons);
        }
    }

    /// The present unwinding, which begins now, is a panic's.
    pub(super) fn panics_with_hook(&mut self, me: usize) {
        self.greenlets[me].ours = false;
    }

    pub(super) fn end(&mut self, me: usize, how: Ended) {
        self.greenlets[me].ended = Some(how);
        for joiner in std::mem::take(&mut self.greenlets[me].joiners) {
            self.unpark(joiner);
        }
    }
}
