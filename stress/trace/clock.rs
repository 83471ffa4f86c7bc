//! The clock of a running program.
//!
//! Moment `n` of a program is `n` ticks after its beginning. A deadline's moment is chosen when its operation begins: the first
//! that is still free, counted from the moment that it is now. It is now the latest moment at which something was due
//! and the time has come. As long as the machine is done with each moment's work before the next, that is the model's
//! clock; where it is not, the run is *late* and is judged by nobody ([`super::check`]).

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::world::lock;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Clock {
    began: Instant,
    tick: Duration,
    moments: Mutex<Moments>,
}

#[derive(Debug)]
struct Moments {
    now: u32,
    /// Moments that are somebody's deadline, or were.
    used: BTreeSet<u32>,
    /// Those whose operations have not ended.
    armed: BTreeSet<u32>,
}

impl Clock {
    pub(crate) fn new(tick: Duration) -> Self {
        Clock {
            began: Instant::now(),
            tick,
            moments: Mutex::new(Moments {
                now: 0,
                used: BTreeSet::new(),
                armed: BTreeSet::new(),
            }),
        }
    }

    /// When moment `moment` is.
    pub(crate) fn time_of(&self, moment: u32) -> Instant {
        self.began + self.tick * moment
    }

    /// A deadline `after` moments from now.
    pub(crate) fn deadline(&self, after: u8) -> Deadline<'_> {
        let mut moments = lock(&self.moments);
        self.catch_up(&mut moments);
        let mut moment = moments.now + u32::from(after).max(1);
        while !moments.used.insert(moment) {
            moment += 1;
        }
        moments.armed.insert(moment);
        Deadline {
            clock: self,
            moment,
            own: true,
        }
    }

    /// The deadline of a block around, once more.
    pub(crate) fn same_deadline(&self, moment: u32) -> Deadline<'_> {
        Deadline {
            clock: self,
            moment,
            own: false,
        }
    }

    fn catch_up(&self, moments: &mut Moments) {
        let time = Instant::now();
        let due = moments
            .armed
            .iter()
            .copied()
            .take_while(|&moment| self.time_of(moment) <= time);
        if let Some(latest) = due.last() {
            moments.now = moments.now.max(latest);
        }
    }

    /// The first deadline of an operation that has not ended.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        lock(&self.moments)
            .armed
            .first()
            .map(|&moment| self.time_of(moment))
    }

    /// The first of them that has not passed.
    pub(crate) fn later_deadline(&self) -> Option<Instant> {
        let time = Instant::now();
        let moments = lock(&self.moments);
        moments
            .armed
            .iter()
            .map(|&moment| self.time_of(moment))
            .find(|&at| at > time)
    }
}

/// An operation's deadline, while it lasts.
#[derive(Debug)]
pub(crate) struct Deadline<'a> {
    clock: &'a Clock,
    moment: u32,
    /// It ends with this.
    own: bool,
}

impl Deadline<'_> {
    pub(crate) fn moment(&self) -> u32 {
        self.moment
    }

    pub(crate) fn time(&self) -> Instant {
        self.clock.time_of(self.moment)
    }

    pub(crate) fn left(&self) -> Duration {
        self.time().saturating_duration_since(Instant::now())
    }
}

impl Drop for Deadline<'_> {
    fn drop(&mut self) {
        let mut moments = lock(&self.clock.moments);
        self.clock.catch_up(&mut moments);
        if self.own {
            moments.armed.remove(&self.moment);
        }
    }
}
