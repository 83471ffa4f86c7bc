//! Running one greenlet of the model: its operations and blocks, one after the other.

use std::collections::VecDeque;

use super::super::event::{Cause, What};
use super::super::program::Op;
use super::wait::{For, Wait};
use super::{Model, Timer};

/// Where a greenlet goes on when it is resumed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum At {
    #[default]
    Nowhere,
    Beginning,
    /// After a `yield_now`.
    Yield,
    /// Inside of an operation of which it has done so many parts, after it has let others run.
    Again(u8),
    Waiting(Wait),
    /// What interrupted this wait is to be raised, now that others have run.
    Raising(For),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Mutex(usize),
    Read(usize),
    Write(usize),
    Permit(usize),
}

#[derive(Debug)]
pub(super) enum Kind {
    /// The greenlet's own, or of nested calls.
    Plain,
    Timeout {
        moment: u32,
        id: u32,
        hit: bool,
    },
    Catch,
    /// How many times the block is still to run after this.
    Repeat(u8),
}

/// A block that runs.
#[derive(Debug)]
pub(super) struct Frame<'p> {
    pub(super) kind: Kind,
    ops: &'p [Op],
    /// Which operation is next.
    next: usize,
    /// The first one's line; and that of the next.
    first_line: usize,
    line: usize,
    pub(super) held: Vec<Held>,
}

impl Frame<'_> {
    /// When its time is over, if that is limited.
    fn limit(&self) -> Option<u32> {
        match self.kind {
            Kind::Timeout { moment, .. } => Some(moment),
            _ => None,
        }
    }
}

/// How far a select's choice is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Choice {
    #[default]
    Closed,
    Open,
    Chosen(usize),
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Returned,
    Unwound(Cause),
}

/// A greenlet of the model.
#[derive(Debug, Default)]
pub(super) struct Greenlet<'p> {
    pub(super) spawned: bool,
    pub(super) ended: Option<Ended>,
    /// Its handle is there to be joined.
    pub(super) joinable: bool,
    pub(super) at: At,
    pub(super) parked: bool,
    pub(super) token: bool,
    pub(super) killed: bool,
    pub(super) thrown: VecDeque<u8>,
    /// A wait has raised something before.
    pub(super) raised: bool,
    /// What was raised last was a kill or a limit, and may have been caught by a block that catches everything.
    pub(super) ours: bool,
    pub(super) frames: Vec<Frame<'p>>,
    /// Who waits for its end.
    pub(super) joiners: VecDeque<usize>,
    /// What others gave it while it waits.
    pub(super) granted: Option<u8>,
    pub(super) item: Option<u64>,
    pub(super) choice: Choice,
    /// The items that its put, or its select by arm, has.
    pub(super) offers: Vec<Option<u64>>,
    /// The deadline of an operation that has not begun to wait.
    pub(super) deadline: Option<u32>,
    /// The block that gets the mutex back which a wait for a condition variable has unlocked.
    pub(super) relock_in: usize,
}

impl Greenlet<'_> {
    pub(super) fn is_alive(&self) -> bool {
        self.spawned && self.ended.is_none()
    }

    pub(super) fn is_interrupted(&self) -> bool {
        let hit = |frame: &Frame<'_>| matches!(frame.kind, Kind::Timeout { hit: true, .. });
        self.killed || !self.thrown.is_empty() || self.frames.iter().any(hit)
    }

    /// Where this was taken last: which block, and where in it.
    pub(super) fn find(&self, is: impl Fn(Held) -> bool) -> Option<(usize, usize)> {
        let blocks = self.frames.iter().enumerate().rev();
        let mut found = blocks.filter_map(|(block, frame)| {
            Some((block, frame.held.iter().rposition(|&held| is(held))?))
        });
        found.next()
    }

    pub(super) fn take(&mut self, (block, place): (usize, usize)) -> Held {
        self.frames[block].held.remove(place)
    }

    pub(super) fn keep(&mut self, held: Held) {
        let frame = self.frames.last_mut();
        frame
            .expect("a greenlet that does something is in a block")
            .held
            .push(held);
    }

    pub(super) fn keep_in(&mut self, block: usize, held: Held) {
        self.frames[block].held.push(held);
    }
}

/// What becomes of a greenlet after an operation, or a part of one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Then {
    /// The operation has ended so.
    Ended(What),
    /// It has ended, and a block begins.
    Block,
    /// The greenlet waits for this.
    Wait(Wait),
    /// It lets others run before it goes on with this part of the operation.
    LetOthers(u8),
    Yield,
    /// It goes on when it is resumed.
    Suspended,
    /// It is unwound: by what interrupted it, or by itself.
    RaiseNow,
    Unwind(Cause),
}

impl<'p> Model<'p> {
    // ------------------------------------------------------------------------ waking

    pub(super) fn spawn(&mut self, number: usize) -> bool {
        let greenlet = &mut self.greenlets[number];
        if greenlet.spawned {
            return false;
        }
        greenlet.spawned = true;
        greenlet.joinable = true;
        greenlet.at = At::Beginning;
        self.run_queue.push_back(number);
        true
    }

    /// Leaves the token.
    pub(super) fn unpark(&mut self, number: usize) {
        let greenlet = &mut self.greenlets[number];
        if !std::mem::replace(&mut greenlet.token, true) && std::mem::take(&mut greenlet.parked) {
            self.run_queue.push_back(number);
        }
    }

    pub(super) fn grant(&mut self, number: usize, what: u8) {
        self.greenlets[number].granted = Some(what);
        self.unpark(number);
    }

    pub(super) fn kill(&mut self, number: usize) {
        if self.greenlets[number].is_alive() {
            self.greenlets[number].killed = true;
            self.unpark(number);
        }
    }

    pub(super) fn throw(&mut self, number: usize, what: u8) {
        if self.greenlets[number].is_alive() {
            self.greenlets[number].thrown.push_back(what);
            self.unpark(number);
        }
    }

    /// The limit of a block has passed.
    pub(super) fn hit(&mut self, number: usize, scope: u32) {
        for frame in &mut self.greenlets[number].frames {
            match &mut frame.kind {
                Kind::Timeout { id, hit, .. } if *id == scope => *hit = true,
                _ => {}
            }
        }
        self.unpark(number);
    }

    // ------------------------------------------------------------------------ running

    /// One turn of a greenlet.
    pub(super) fn resume(&mut self, me: usize) {
        self.budget = 128;
        let greenlet = &mut self.greenlets[me];
        let then = match std::mem::take(&mut greenlet.at) {
            At::Nowhere => unreachable!("a greenlet in the run queue can go on"),
            At::Beginning => {
                let cause = match (greenlet.killed, greenlet.thrown.pop_front()) {
                    (true, _) => Cause::Killed,
                    (false, Some(what)) => Cause::Thrown(what),
                    (false, None) => return self.begin(me),
                };
                self.log(me, 0, What::NeverRan);
                return self.end(me, Ended::Unwound(cause));
            }
            At::Yield | At::Again(_) if greenlet.is_interrupted() => Then::RaiseNow,
            At::Yield => Then::Ended(What::Done),
            At::Raising(wait) => {
                self.unwind_wait(me, wait);
                Then::RaiseNow
            }
            At::Again(part) => self.perform(me, part),
            At::Waiting(wait) => {
                greenlet.token = false;
                self.pursue(me, wait, true)
            }
        };
        self.go_on(me, then);
    }

    fn begin(&mut self, me: usize) {
        self.log(me, 0, What::Began);
        self.enter(me, Kind::Plain, &self.program.greenlets[me].ops, 1);
        self.next(me);
    }

    fn enter(&mut self, me: usize, kind: Kind, ops: &'p [Op], line: usize) {
        self.greenlets[me].frames.push(Frame {
            kind,
            ops,
            next: 0,
            first_line: line,
            line,
            held: Vec::new(),
        });
    }

    /// The operation that is being done.
    pub(super) fn op(&self, me: usize) -> &'p Op {
        let frame = self.greenlets[me].frames.last().expect("in a block");
        &frame.ops[frame.next]
    }

    /// The present operation has ended.
    pub(super) fn ended(&mut self, me: usize, what: What) {
        let frame = self.greenlets[me].frames.last_mut().expect("in a block");
        let line = frame.line;
        frame.line += frame.ops[frame.next].lines();
        frame.next += 1;
        self.log(me, line, what);
    }

    /// Goes on with the operation after those that have ended.
    fn next(&mut self, me: usize) {
        loop {
            let Some(frame) = self.greenlets[me].frames.last_mut() else {
                return;
            };
            if frame.next < frame.ops.len() {
                let then = self.perform(me, 0);
                return self.go_on(me, then);
            }
            // The block has come to its end.
            if let Kind::Repeat(left @ 1..) = &mut frame.kind {
                *left -= 1;
                (frame.next, frame.line) = (0, frame.first_line);
                self.give_back_all(me, false);
                continue;
            }
            self.leave(me, false);
            if self.greenlets[me].frames.is_empty() {
                self.log(me, 0, What::Returned);
                return self.end(me, Ended::Returned);
            }
            self.ended(me, What::Done);
        }
    }

    fn go_on(&mut self, me: usize, mut then: Then) {
        loop {
            then = match then {
                Then::Ended(what) => {
                    self.ended(me, what);
                    return self.next(me);
                }
                Then::Block => {
                    self.begin_block(me);
                    return self.next(me);
                }
                Then::Wait(wait) => {
                    let (number, deadline) = (me, wait.deadline);
                    if let Some(moment) = deadline {
                        self.arm(moment, Timer::Wake(number));
                    }
                    self.pursue(me, wait, false)
                }
                Then::Yield => {
                    self.greenlets[me].at = At::Yield;
                    return self.run_queue.push_back(me);
                }
                Then::LetOthers(part) => {
                    self.greenlets[me].at = At::Again(part);
                    return self.run_queue.push_back(me);
                }
                Then::RaiseNow => match self.raise(me) {
                    Some(cause) => Then::Unwind(cause),
                    None => unreachable!("what is to be raised stays so"),
                },
                Then::Suspended => return,
                Then::Unwind(cause) => {
                    if self.unwind(me, cause) {
                        return self.next(me);
                    }
                    return;
                }
            };
        }
    }

    fn begin_block(&mut self, me: usize) {
        let line = self.greenlets[me].frames.last().expect("in a block").line + 1;
        match self.op(me) {
            Op::Timeout(moments, ops) => {
                let around = self.greenlets[me]
                    .frames
                    .iter()
                    .rev()
                    .find_map(Frame::limit);
                let moment = match (moments, around) {
                    (0, Some(around)) => around,
                    _ => self.deadline(*moments),
                };
                let id = self.next_scope;
                self.next_scope += 1;
                self.arm(moment, Timer::Hit(me, id));
                self.enter(
                    me,
                    Kind::Timeout {
                        moment,
                        id,
                        hit: false,
                    },
                    ops,
                    line,
                );
            }
            Op::Catch(ops) => self.enter(me, Kind::Catch, ops, line),
            Op::Depth(_, ops) => self.enter(me, Kind::Plain, ops, line),
            Op::Repeat(times @ 1.., ops) => self.enter(me, Kind::Repeat(times - 1), ops, line),
            _ => self.ended(me, What::Done),
        }
    }
}
