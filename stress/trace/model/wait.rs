//! How a greenlet of the model waits, whatever it waits for.

use super::greenlet::{At, Then};
use super::{Model, Timer};

/// What a greenlet waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    Sleep,
    Token,
    Mutex(usize),
    Semaphore(usize),
    Read(usize),
    Write(usize),
    Event(usize),
    /// A notification; then the mutex.
    Condvar(usize),
    /// The mutex, after the notification of a condition variable, or after its time was over.
    MutexAgain(usize, Option<usize>),
    Put(usize),
    Get(usize),
    Select,
    End(usize),
}

/// A wait, in the course of an operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    pub(super) what: For,
    pub(super) deadline: Option<u32>,
}

/// How a wait ended, or that it has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// With what was granted.
    Got(u8),
    TimedOut,
    /// Something is to be raised.
    Interrupted,
    /// Not yet.
    Parked,
}

/// What was granted, where it says more than that it was.
pub(super) const DONE: u8 = 1;
pub(super) const CLOSED: u8 = 2;

impl Model<'_> {
    /// Waits, from the beginning or (`woken`) after a wake-up, and goes on with the operation when that is over.
    pub(super) fn pursue(&mut self, me: usize, wait: Wait, woken: bool) -> Then {
        let waited = self.wait(me, wait, woken);
        if waited == Waited::Parked {
            self.greenlets[me].at = At::Waiting(wait);
            return Then::Suspended;
        }
        if let Some(moment) = wait.deadline {
            self.disarm(moment, Timer::Wake(me));
        }
        if waited == Waited::Interrupted {
            // The first is raised at once, each further one after the others have run.
            if std::mem::replace(&mut self.greenlets[me].raised, true) {
                self.greenlets[me].at = At::Raising(wait.what);
                self.run_queue.push_back(me);
                return Then::Suspended;
            }
            self.unwind_wait(me, wait.what);
            return Then::RaiseNow;
        }
        self.waited(me, wait.what, waited)
    }

    fn wait(&mut self, me: usize, wait: Wait, mut woken: bool) -> Waited {
        loop {
            if !woken && wait.deadline.is_some_and(|moment| moment <= self.now) {
                let got = self.give_up(me, wait.what);
                if got.is_none()
                    && let For::End(other) = wait.what
                {
                    self.stop_joining(me, other);
                }
                return got.map_or(Waited::TimedOut, Waited::Got);
            }
            let greenlet = &mut self.greenlets[me];
            if greenlet.is_interrupted() {
                return self
                    .give_up(me, wait.what)
                    .map_or(Waited::Interrupted, Waited::Got);
            }
            if !woken && !std::mem::take(&mut greenlet.token) {
                greenlet.parked = true;
                return Waited::Parked;
            }
            woken = false;
            if let Some(got) = self.look_again(me, wait.what) {
                return Waited::Got(got);
            }
        }
    }
}
