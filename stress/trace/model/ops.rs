//! What each operation of the model does, and how each wait ends.

use super::super::event::{Cause, What};
use super::super::program::{Arm, How, Op};
use super::Model;
use super::exchange::{Step, Waiter};
use super::greenlet::{Choice, Ended, Held, Then};
use super::wait::{CLOSED, DONE, For, Wait, Waited};

/// What it means that an operation of this form did not do it.
pub(super) fn not(how: How) -> Then {
    Then::Ended(match how {
        How::Within(_) => What::TimedOut,
        How::Now | How::Wait => What::NotNow,
    })
}

const DID: Then = Then::Ended(What::Done);
const NOTHING: Then = Then::Ended(What::Nothing);

impl Model<'_> {
    /// Does the present operation from its part number `part` on: the parts are those between which it may let others run.
    pub(super) fn perform(&mut self, me: usize, part: u8) -> Then {
        let op = self.op(me);
        match *op {
            Op::Yield => return Then::Yield,
            Op::Sleep(moments) => return self.wait_for(For::Sleep, How::Within(moments)),
            Op::Park(how) => return self.wait_for(For::Token, how),
            Op::Unpark(other) | Op::Kill(other) | Op::Throw(other, _)
                if !self.greenlets[other].spawned =>
            {
                return NOTHING;
            }
            Op::Unpark(other) => self.unpark(other),
            Op::Kill(other) => {
                self.kill(other);
                if other == me {
                    return Then::RaiseNow;
                }
            }
            Op::Throw(other, what) => {
                self.throw(other, what);
                if other == me {
                    return Then::RaiseNow;
                }
            }
            Op::Panic(what, loud) => {
                if loud {
                    self.panics_with_hook(me);
                }
                return Then::Unwind(Cause::Panicked(what));
            }
            Op::Spawn(other) => {
                if !self.spawn(other) {
                    return NOTHING;
                }
            }
            Op::Join(other, how) => return self.join(me, other, how),
            Op::End(other, how) => {
                if other == me || !self.greenlets[other].spawned {
                    return NOTHING;
                }
                return self.wait_for_end(me, other, how);
            }
            Op::Set(event) => self.set(event),
            Op::Clear(event) => self.events[event].0 = false,
            Op::Wait(event, how) => {
                let deadline = self.deadline_of(how);
                if self.events[event].0 {
                    return DID;
                }
                if how == How::Now {
                    return not(how);
                }
                self.events[event]
                    .1
                    .push_back(Waiter { who: me, arm: None });
                return self.wait_until(For::Event(event), deadline);
            }
            Op::Lock(number, how) => {
                let deadline = self.deadline_of(how);
                return self.acquire(me, true, number, For::Mutex(number), how, deadline);
            }
            Op::Acquire(number, how) => {
                let deadline = self.deadline_of(how);
                return self.acquire(me, false, number, For::Semaphore(number), how, deadline);
            }
            Op::Add(number, count) => self.add_permits(number, count.into()),
            Op::Read(number, how) => return self.enter_rwlock(me, number, how, false),
            Op::Write(number, how) => return self.enter_rwlock(me, number, how, true),
            Op::Unlock(number) => {
                return self.give_back_one(me, |held| held == Held::Mutex(number));
            }
            Op::Leave(number) => {
                return self.give_back_one(me, |held| {
                    held == Held::Read(number) || held == Held::Write(number)
                });
            }
            Op::Release(number) => {
                return self.give_back_one(me, |held| held == Held::Permit(number));
            }
            Op::Await(condvar, mutex, how) => {
                let Some(place) = self.greenlets[me].find(|held| held == Held::Mutex(mutex)) else {
                    return NOTHING;
                };
                let deadline = self.deadline_of(how);
                self.greenlets[me].take(place);
                self.greenlets[me].relock_in = place.0;
                self.condvars[condvar].push_back(me);
                self.give_back(Held::Mutex(mutex), false);
                return self.wait_until(For::Condvar(condvar), deadline);
            }
            Op::Notify(condvar) => self.notify(condvar),
            Op::NotifyAll(condvar) => {
                while !self.condvars[condvar].is_empty() {
                    self.notify(condvar);
                }
            }
            Op::Put(queue, how) => return self.put(me, queue, how, part),
            Op::Get(queue, how) => return self.get(me, queue, how, part),
            Op::Shutdown(queue) => self.close(queue, false),
            Op::Discard(queue) => self.close(queue, true),
            Op::Select(ref arms, how) => return self.select(me, arms, how, part),
            Op::Timeout(..) | Op::Catch(_) | Op::Depth(..) | Op::Repeat(..) => return Then::Block,
        }
        DID
    }

    // ------------------------------------------------------------------------ beginnings

    pub(super) fn deadline_of(&mut self, how: How) -> Option<u32> {
        match how {
            How::Within(moments) => Some(self.deadline(moments)),
            How::Wait | How::Now => None,
        }
    }

    pub(super) fn wait_until(&mut self, what: For, deadline: Option<u32>) -> Then {
        Then::Wait(Wait { what, deadline })
    }

    fn wait_for(&mut self, what: For, how: How) -> Then {
        let deadline = self.deadline_of(how);
        self.wait_until(what, deadline)
    }

    fn join(&mut self, me: usize, other: usize, how: How) -> Then {
        if other == me || !std::mem::take(&mut self.greenlets[other].joinable) {
            return NOTHING;
        }
        self.wait_for_end(me, other, how)
    }

    fn wait_for_end(&mut self, me: usize, other: usize, how: How) -> Then {
        let deadline = self.deadline_of(how);
        if self.greenlets[other].ended.is_some() {
            return self.saw_the_end(me, other);
        }
        if how == How::Now {
            return self.did_not_see_the_end(me, other, how);
        }
        self.greenlets[other].joiners.push_back(me);
        self.wait_until(For::End(other), deadline)
    }

    fn saw_the_end(&mut self, me: usize, other: usize) -> Then {
        match (self.op(me), self.greenlets[other].ended) {
            (Op::Join(..), Some(Ended::Unwound(cause))) => Then::Ended(What::Unwound(cause)),
            _ => DID,
        }
    }

    fn did_not_see_the_end(&mut self, me: usize, other: usize, how: How) -> Then {
        // The handle is there again.
        self.greenlets[other].joinable |= matches!(self.op(me), Op::Join(..));
        not(how)
    }

    fn acquire(
        &mut self,
        me: usize,
        is_mutex: bool,
        number: usize,
        what: For,
        how: How,
        deadline: Option<u32>,
    ) -> Then {
        if self.permits(is_mutex, number).try_acquire() {
            return self.waited(me, what, Waited::Got(DONE));
        }
        if how == How::Now {
            return not(how);
        }
        self.permits(is_mutex, number).queue(me);
        self.wait_until(what, deadline)
    }

    fn enter_rwlock(&mut self, me: usize, number: usize, how: How, write: bool) -> Then {
        let deadline = self.deadline_of(how);
        let what = if write {
            For::Write(number)
        } else {
            For::Read(number)
        };
        let permits = &mut self.rwlocks[number].permits;
        if permits.try_acquire(write) {
            return self.waited(me, what, Waited::Got(DONE));
        }
        if how == How::Now {
            return not(how);
        }
        permits.queue(me, write);
        self.wait_until(what, deadline)
    }

    fn give_back_one(&mut self, me: usize, is: impl Fn(Held) -> bool) -> Then {
        let Some(place) = self.greenlets[me].find(is) else {
            return NOTHING;
        };
        let held = self.greenlets[me].take(place);
        self.give_back(held, false);
        DID
    }

    fn notify(&mut self, condvar: usize) {
        if let Some(first) = self.condvars[condvar].pop_front() {
            self.grant(first, DONE);
        }
    }

    // ------------------------------------------------------------------------ ends of waits

    /// A waiter was woken: whether it has what it waits for.
    pub(super) fn look_again(&mut self, me: usize, what: For) -> Option<u8> {
        match what {
            For::Sleep => None,
            For::Token => Some(DONE),
            For::Mutex(number) | For::MutexAgain(number, _) => {
                self.look_at_permits(me, true, number)
            }
            For::Semaphore(number) => self.look_at_permits(me, false, number),
            For::End(other) => self.greenlets[other].ended.is_some().then_some(DONE),
            For::Select => matches!(self.greenlets[me].choice, Choice::Chosen(_)).then_some(DONE),
            _ => self.greenlets[me].granted.take(),
        }
    }

    /// A wait ends otherwise, unless it was granted by now.
    pub(super) fn give_up(&mut self, me: usize, what: For) -> Option<u8> {
        match what {
            For::Sleep | For::Token | For::End(_) => return None,
            For::Mutex(number) | For::MutexAgain(number, _) => {
                return self.give_up_permits(me, true, number);
            }
            For::Semaphore(number) => return self.give_up_permits(me, false, number),
            For::Read(number) | For::Write(number) => return self.give_up_rwlock(me, number),
            For::Select => {
                if self.greenlets[me].choice == Choice::Open {
                    self.greenlets[me].choice = Choice::Closed;
                    self.unlink(me);
                    return None;
                }
                return Some(DONE);
            }
            For::Condvar(condvar) => self.condvars[condvar].retain(|&waiter| waiter != me),
            For::Event(_) | For::Put(_) | For::Get(_) => self.unlink(me),
        }
        self.greenlets[me].granted.take()
    }

    pub(super) fn stop_joining(&mut self, me: usize, other: usize) {
        self.greenlets[other].joiners.retain(|&joiner| joiner != me);
    }

    /// What a wait leaves to be done when something is raised in it.
    pub(super) fn unwind_wait(&mut self, me: usize, what: For) {
        match what {
            For::End(other) => self.stop_joining(me, other),
            // It was notified, and somebody else is to be in its stead.
            For::MutexAgain(_, Some(condvar)) => self.notify(condvar),
            _ => {}
        }
    }

    /// What becomes of the operation when its wait is over.
    pub(super) fn waited(&mut self, me: usize, what: For, waited: Waited) -> Then {
        let Waited::Got(got) = waited else {
            return match what {
                For::Sleep | For::Token => DID,
                For::End(other) => self.did_not_see_the_end(me, other, How::Within(0)),
                For::Condvar(_) => self.lock_again(me, None),
                _ => Then::Ended(What::TimedOut),
            };
        };
        match what {
            For::Sleep | For::Token | For::Event(_) => DID,
            For::End(other) => self.saw_the_end(me, other),
            For::Semaphore(number) => {
                self.greenlets[me].keep(Held::Permit(number));
                DID
            }
            For::Mutex(number) => {
                self.greenlets[me].keep(Held::Mutex(number));
                self.took_mutex(number)
            }
            For::MutexAgain(number, notified) => {
                let block = self.greenlets[me].relock_in;
                self.greenlets[me].keep_in(block, Held::Mutex(number));
                let then = self.took_mutex(number);
                if notified.is_some() {
                    then
                } else {
                    Then::Ended(What::TimedOut)
                }
            }
            For::Read(number) => {
                self.greenlets[me].keep(Held::Read(number));
                let lock = &self.rwlocks[number];
                Then::Ended(value(lock.value, lock.poisoned))
            }
            For::Write(number) => {
                self.greenlets[me].keep(Held::Write(number));
                let lock = &mut self.rwlocks[number];
                lock.value += 1;
                Then::Ended(value(lock.value, lock.poisoned))
            }
            For::Condvar(condvar) => self.lock_again(me, Some(condvar)),
            For::Put(_) if got == CLOSED => Then::Ended(What::Closed),
            For::Put(_) => {
                let item = self.greenlets[me].offers[0].expect("what it puts");
                Then::Ended(What::Value(item))
            }
            For::Get(_) => match self.greenlets[me].item.take() {
                Some(item) => Then::Ended(What::Value(item)),
                None => Then::Ended(What::Closed),
            },
            For::Select => {
                self.unlink(me);
                let Op::Select(arms, _) = self.op(me) else {
                    unreachable!("what waits so is a select")
                };
                Then::Ended(self.selected(me, arms))
            }
        }
    }

    fn took_mutex(&mut self, number: usize) -> Then {
        let lock = &mut self.mutexes[number];
        lock.value += 1;
        Then::Ended(value(lock.value, lock.poisoned))
    }

    /// The second half of a wait for a condition variable.
    fn lock_again(&mut self, me: usize, notified: Option<usize>) -> Then {
        let Op::Await(_, mutex, _) = *self.op(me) else {
            unreachable!("what waits so is a wait for a condition variable")
        };
        let what = For::MutexAgain(mutex, notified);
        self.acquire(me, true, mutex, what, How::Wait, None)
    }
}

fn value(value: u64, poisoned: bool) -> What {
    match poisoned {
        false => What::Value(value),
        true => What::Poisoned(value),
    }
}
