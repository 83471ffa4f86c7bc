//! Operations that have several forms, on real objects: as long as it takes, not at all, for so long.

use rustlet::JoinError;
use rustlet::queue::{GetError, PutError};
use rustlet::sync::{LockResult, Select, TryLockError, TryLockResult};

use super::event::{Cause, Chosen, What};
use super::program::{Arm, How};
use super::run::{Frame, Given, Held};
use super::tally::Seat;
use super::world::{cause_of, lock};

/// A mutex or the like that was tried: the guard, and whether it is poisoned.
fn tried<G>(result: TryLockResult<G>) -> Option<(G, bool)> {
    match result {
        Ok(guard) => Some((guard, false)),
        Err(TryLockError::Poisoned(error)) => Some((error.into_inner(), true)),
        Err(TryLockError::WouldBlock) => None,
    }
}

fn waited<G>(result: LockResult<G>) -> Option<(G, bool)> {
    Some(match result {
        Ok(guard) => (guard, false),
        Err(error) => (error.into_inner(), true),
    })
}

fn value(value: u64, poisoned: bool) -> What {
    match poisoned {
        false => What::Value(value),
        true => What::Poisoned(value),
    }
}

/// What it means that an operation of this form did not do it.
pub(super) fn not(how: How) -> What {
    match how {
        How::Within(_) => What::TimedOut,
        How::Now | How::Wait => What::NotNow,
    }
}

fn joined(result: Result<(), JoinError>) -> What {
    match result {
        Ok(()) => What::Done,
        Err(error) if error.is_killed() => What::Unwound(Cause::Killed),
        Err(error) => match error.try_into_panic() {
            Ok(payload) => What::Unwound(cause_of(&*payload)),
            Err(_) => What::Unwound(Cause::Foreign),
        },
    }
}

impl<'w> Frame<'_, 'w> {
    pub(super) fn join(&self, other: usize, how: How) -> What {
        if other == self.me {
            return What::Nothing;
        }
        let world = self.world;
        let greenlet = lock(&world.places)[other].greenlet.take();
        let Some(greenlet) = greenlet else {
            return What::Nothing;
        };
        let ended = match how {
            How::Wait => Ok(greenlet.join()),
            How::Now => greenlet.try_join(),
            How::Within(moments) => {
                let deadline = world.clock.deadline(moments);
                greenlet.join_timeout(deadline.left())
            }
        };
        match ended {
            Ok(result) => joined(result),
            Err(greenlet) => {
                lock(&world.places)[other].greenlet = Some(greenlet);
                not(how)
            }
        }
    }

    pub(super) fn end(&self, other: usize, how: How) -> What {
        let handle = self.world.handle(other);
        let Some(handle) = handle.filter(|_| other != self.me) else {
            return What::Nothing;
        };
        let ended = match how {
            How::Wait => handle.wait().is_ok(),
            How::Now => handle.is_finished(),
            How::Within(moments) => {
                let deadline = self.world.clock.deadline(moments);
                handle.wait_timeout(deadline.left())
            }
        };
        if ended { What::Done } else { not(how) }
    }

    pub(super) fn lock(&self, number: usize, how: How) -> What {
        let mutex = &self.world.mutexes[number];
        let guard = match how {
            How::Wait => waited(mutex.lock()),
            How::Now => tried(mutex.try_lock()),
            How::Within(moments) => {
                let deadline = self.world.clock.deadline(moments);
                tried(mutex.lock_timeout(deadline.left()))
            }
        };
        let Some((mut guard, poisoned)) = guard else {
            return not(how);
        };
        *guard += 1;
        let seat = Seat::take(self.world, &self.world.mutex_tallies[number], true);
        let what = value(*guard, poisoned);
        self.keep(Held::Mutex(number, seat, guard));
        what
    }

    pub(super) fn read(&self, number: usize, how: How) -> What {
        let lock = &self.world.rwlocks[number];
        let guard = match how {
            How::Wait => waited(lock.read()),
            How::Now => tried(lock.try_read()),
            How::Within(moments) => {
                let deadline = self.world.clock.deadline(moments);
                tried(lock.read_timeout(deadline.left()))
            }
        };
        let Some((guard, poisoned)) = guard else {
            return not(how);
        };
        let what = value(*guard, poisoned);
        let seat = Seat::take(self.world, &self.world.rwlock_tallies[number], false);
        self.keep(Held::Read(number, Given(seat, guard)));
        what
    }

    pub(super) fn write(&self, number: usize, how: How) -> What {
        let lock = &self.world.rwlocks[number];
        let guard = match how {
            How::Wait => waited(lock.write()),
            How::Now => tried(lock.try_write()),
            How::Within(moments) => {
                let deadline = self.world.clock.deadline(moments);
                tried(lock.write_timeout(deadline.left()))
            }
        };
        let Some((mut guard, poisoned)) = guard else {
            return not(how);
        };
        *guard += 1;
        let what = value(*guard, poisoned);
        let seat = Seat::take(self.world, &self.world.rwlock_tallies[number], true);
        self.keep(Held::Write(number, Given(seat, guard)));
        what
    }

    pub(super) fn acquire(&self, number: usize, how: How) -> What {
        let semaphore = &self.world.semaphores[number];
        let permit = match how {
            How::Wait => Some(semaphore.acquire()),
            How::Now => semaphore.try_acquire(),
            How::Within(moments) => {
                let deadline = self.world.clock.deadline(moments);
                semaphore.acquire_timeout(deadline.left())
            }
        };
        let Some(permit) = permit else {
            return not(how);
        };
        self.keep(Held::Permit(number, permit));
        What::Done
    }

    pub(super) fn wait_condvar(&self, condvar: usize, mutex: usize, how: How) -> What {
        let condvar = &self.world.condvars[condvar];
        let mut what = What::Nothing;
        self.find(
            &|held| matches!(*held, Held::Mutex(n, ..) if n == mutex),
            &mut |frame, place| {
                let held = frame.held.borrow_mut().remove(place);
                let Held::Mutex(_, seat, guard) = held else {
                    unreachable!("it was found to be a mutex's");
                };
                drop(seat);
                let (result, timed_out) = match how {
                    How::Within(moments) => {
                        let deadline = frame.world.clock.deadline(moments);
                        match condvar.wait_timeout(guard, deadline.left()) {
                            Ok((guard, result)) => (Ok(guard), result.timed_out()),
                            Err(error) => {
                                let (guard, result) = error.into_inner();
                                (Err(guard), result.timed_out())
                            }
                        }
                    }
                    _ => (
                        condvar.wait(guard).map_err(|error| error.into_inner()),
                        false,
                    ),
                };
                let (mut guard, poisoned) = match result {
                    Ok(guard) => (guard, false),
                    Err(guard) => (guard, true),
                };
                *guard += 1;
                what = if timed_out {
                    What::TimedOut
                } else {
                    value(*guard, poisoned)
                };
                let seat = Seat::take(frame.world, &frame.world.mutex_tallies[mutex], true);
                frame.keep(Held::Mutex(mutex, seat, guard));
            },
        );
        what
    }

    pub(super) fn wait(&self, event: usize, how: How) -> What {
        let event = &self.world.events[event];
        let set = match how {
            How::Wait => {
                event.wait();
                true
            }
            How::Now => event.is_set(),
            How::Within(moments) => {
                let deadline = self.world.clock.deadline(moments);
                event.wait_timeout(deadline.left())
            }
        };
        if set { What::Done } else { not(how) }
    }

    pub(super) fn get(&self, queue: usize, how: How) -> What {
        let line = &self.world.queues[queue];
        let item = match how {
            How::Wait => line.get().map_err(|_| GetError::ShutDown),
            How::Now => line.get_nowait(),
            How::Within(moments) => {
                let deadline = self.world.clock.deadline(moments);
                line.get_timeout(deadline.left())
            }
        };
        match item {
            Ok(item) => What::Value(self.world.got(self.me, queue, item)),
            Err(GetError::Empty) => not(how),
            Err(GetError::ShutDown) => What::Closed,
        }
    }

    pub(super) fn put(&self, queue: usize, how: How) -> What {
        let world = self.world;
        let item = world.item(self.me);
        let number = item.number;
        let line = &world.queues[queue];
        let put = match how {
            How::Wait => line.put(item).map_err(|error| PutError::ShutDown(error.0)),
            How::Now => line.put_nowait(item),
            How::Within(moments) => {
                let deadline = world.clock.deadline(moments);
                line.put_timeout(item, deadline.left())
            }
        };
        let (back, what) = match put {
            Ok(()) => {
                world.did_put(queue);
                return What::Value(number);
            }
            Err(PutError::Full(item)) => (item, not(how)),
            Err(PutError::ShutDown(item)) => (item, What::Closed),
        };
        if back.number != number {
            world.broken(|| {
                format!(
                    "g{} got item {} back for item {number}",
                    self.me, back.number
                )
            });
        }
        what
    }

    pub(super) fn select(&self, arms: &[Arm], how: How) -> What {
        let (world, me) = (self.world, self.me);
        let mut select = Select::new();
        for (number, arm) in arms.iter().enumerate() {
            select = match *arm {
                Arm::Get(queue) => world.queues[queue]
                    .arm_get(select, number, move |item| world.got(me, queue, item)),
                Arm::Put(queue) => {
                    world.queues[queue]
                        .arm_put(select, number, world.item(me), move || world.did_put(queue))
                }
                Arm::Wait(event) => {
                    let chosen = move || What::Chose(number, Chosen::Done);
                    select.wait(&world.events[event], chosen)
                }
            };
        }
        match how {
            How::Wait => select.run(),
            How::Now => select.otherwise(|| What::NotNow).run(),
            How::Within(moments) => {
                let deadline = world.clock.deadline(moments);
                select.timeout(deadline.left(), || What::TimedOut).run()
            }
        }
    }
}
